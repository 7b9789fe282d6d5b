"""The rules for outcomes (one for each event), for STATE, and for the end of each run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from part_states import part_state
from simulated_feed import event_key, place_of, place_of_state
from simulation_facts import LAPSE_SECONDS, SILENT_INTERVALS, require
from simulation_requests import STOP_SECONDS

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.outcome_table import OUTCOME_TABLE, PartState
from target_liveintent.errors import (
    AccessDeniedError,
    AllRefusedError,
    DeliveryError,
    OutageError,
    RunError,
    StorageError,
    TooManyRejectedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulated_store import Letter
    from simulation_facts import Facts

    from target_liveintent.delivery.api import Verdict
    from target_liveintent.delivery.batch import Batch, BatchResult, Request
    from target_liveintent.delivery.outcome_table import PartKind
    from target_liveintent.run.counts import RunCounts

MOST_FAULTS = 10
"""The number of faults of a single event after which it may become a dead letter."""
FEWEST_FAULTS = 1
"""The same number if the API has accepted nothing for `max_retry_seconds`."""
MOST_WRONG_LETTERS = 30
"""The maximum number of dead letters of good events because of wrong settings."""
MOST_UNPROVEN = 100
"""The maximum number of further dead letters of events whose refusal could not be proven."""
MOST_UNPROVEN_OF_NONE = 9
"""The maximum number of such dead letters in a run in which the API accepted nothing."""
FEWEST_JUDGED = 100
"""The minimum number of records of a run that fails because of the share of dead letters."""
FEWEST_LOST = 10
"""The minimum number of rejected records that fail a run that delivers nothing."""
A_MOMENT = 0.001
"""The maximum error of sums of times, in seconds."""


class OutcomeChecks:
    """Checks the batches, the dead letters, the confirmed events, and STATE."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def submitted(self, batch: Batch, now: float) -> None:
        """Record a batch that the run has submitted to the delivery."""
        run = self._facts.run
        require(batch.number not in run.batches, "a batch is submitted once", batch.number)
        run.batches[batch.number] = batch
        run.drained = False
        run.submitted_at = now

    def finished(self, result: BatchResult, now: float) -> None:
        """Check that the delivery does not give up too early on a proof for refused events."""
        run, flush = self._facts.run, self._facts.settings.flush_interval_seconds
        run.came_back.update(map(place_of, result.delivered))
        is_silent = now >= run.submitted_at + SILENT_INTERVALS * flush
        is_over = run.drained or (is_silent and run.newest_accepted > -math.inf)
        rule = "refused events are left unproven only when nothing more comes"
        require(not result.unproven or is_over, rule, result.unproven)
        is_late = now >= run.failing_since + self._facts.settings.max_retry_seconds
        if is_late and any(one.reason == "api_error" for one in result.undelivered):
            run.failing_since = math.inf  # These events were at fault, and not the API.
            run.failing_requests = 0

    def answered(self, request: Request) -> None:
        """Check that accepted events come back, even if other events of the batch wait."""
        run = self._facts.run
        missing = run.accepted.intersection(map(place_of, request.conversions)) - run.came_back
        require(not missing, "what is delivered does not wait for the rest of its batch", missing)

    def part_answered(
        self, request: Request, verdict: Verdict, kind: PartKind, results: Iterable[BatchResult]
    ) -> None:
        """Check that the events of a request are in a state that the table of outcomes allows."""
        states = {
            row.action.state
            for row in OUTCOME_TABLE
            if verdict in row.verdicts and kind in row.parts.kinds
        }
        if request.delivery.result.failure is not None:  # Whatever the answer was.
            states.add(PartState.WITHOUT_OUTCOME)
        state = part_state(request, results)
        require(
            state in states, "what becomes of events is in the table", (request, verdict, state)
        )

    def result(self, result: BatchResult, unix_time: float) -> None:
        """Check that each event of a batch has exactly one outcome, and that it is true."""
        run, batch = self._facts.run, result.batch
        expected = run.batches.get(batch.number)
        require(expected is batch, "a batch comes back once", batch)
        if result.is_last:
            del run.batches[batch.number]
            run.finished.add(batch.number)
        for event in result.delivered:
            is_accepted = place_of(event) in run.accepted
            require(is_accepted, "only what the API accepted is delivered", event)
            self._note_outcome(event, "delivered")
        times = len(result.sent_at)
        require(times == len(result.delivered), "each delivered event has its time", times)
        for one in result.undelivered:
            self._check_reason(one, unix_time)
            self._note_undelivered(one)
        if result.is_last and result.failure is None:
            left = [one for one in batch.conversions if place_of(one) not in run.outcomes]
            require(not left, "a batch is finished when each of its events has an outcome", left)
        refused = [one for one in result.undelivered if one.reason == "refused_by_api"]
        proven = [one for one in refused if self._is_proven(one)]
        few = len(refused) - len(proven) <= result.unproven
        require(few, "a refusal is proven by what is accepted after it", refused)
        self._check_confirmed(result)

    def _is_proven(self, event: Rejection) -> bool:
        run, place = self._facts.run, place_of(event)
        return place in run.refused_again or run.newest_accepted >= run.refused_at[place]

    def _note_outcome(self, event: Conversion | Rejection, outcome: str) -> None:
        outcomes, place = self._facts.run.outcomes, place_of(event)
        require(place not in outcomes, "an event has one outcome", (event, outcome))
        outcomes[place] = outcome

    def _note_undelivered(self, event: Rejection) -> None:
        if event.was_refused and event.reason in {"refused_by_api", "not_tried"}:
            self._facts.run.refused_again.add(place_of(event))
        # (An event that was refused before keeps this reason, also if it is not tried.)
        self._note_outcome(event, "refused_by_api" if event.reason == "not_tried" else event.reason)

    def _check_reason(self, event: Rejection, unix_time: float) -> None:
        facts, place = self._facts, place_of(event)
        sent = facts.feed.records[place].result
        assert isinstance(sent, Conversion)
        is_true = {
            "event_too_old": unix_time >= sent.expires_at,
            "refused_by_api": place in facts.api.refused_alone,
            "not_tried": event.was_refused,
            "api_error": facts.api.failed_alone[place] >= self._fewest_faults,
            "unconfirmed": place in facts.run.unclear,
            "not_processed": event.event_id in facts.feed.bad,
        }[event.reason]
        is_true = is_true and place not in facts.run.accepted
        is_true = is_true and (place in facts.run.refused_before or not event.was_refused)
        require(is_true, "the reason of a dead letter is true", event)

    @property
    def _fewest_faults(self) -> int:
        """The minimum number of faults of a single event before it becomes a dead letter."""
        facts = self._facts
        # The clock adds up floating-point numbers, so 20 seconds can be 19.999….
        is_outage = facts.run.longest_failing >= facts.settings.max_retry_seconds - 0.001
        return FEWEST_FAULTS if is_outage else MOST_FAULTS

    def _check_confirmed(self, result: BatchResult) -> None:
        """Check that the result confirms exactly the events that the API accepted with a 204."""
        run = self._facts.run
        self.all_told()
        given = {place_of(event) for event in result.confirmed}
        expected = {
            place for event in result.delivered if (place := place_of(event)) in run.confirmed
        }
        require(given == expected, "what a 204 accepted is confirmed", (given, expected))
        self.must_tell("confirm", result.confirmed)
        self.must_tell("deliver", result.delivered)

    def claimed(self, conversions: Iterable[Conversion]) -> None:
        """Check that events are marked as refused earlier only if the store says so."""
        for event in conversions:
            if event.was_refused:
                is_true = self._facts.was_refused(event)
                require(is_true, "an event that was refused before has its dead letter", event)
                self._facts.run.refused_before.add(place_of(event))

    def must_tell(self, call: str, conversions: Iterable[Conversion]) -> None:
        """Record that the run must pass events to a method of the store."""
        self._facts.run.untold |= {(call, event_key(event)) for event in conversions}

    def told(self, call: str, conversions: Iterable[Conversion]) -> None:
        """Check that the run may pass these events to this method of the store."""
        facts, run = self._facts, self._facts.run
        for event in conversions:
            key = event_key(event)
            is_true = {
                "confirm": place_of(event) in run.confirmed,
                "deliver": place_of(event) in run.accepted,
                "sent": facts.was_known(key) or key in facts.database.told_events,
            }[call]
            require(is_true, "the store is told only what is true", (call, event))
            run.untold.discard((call, key))

    def all_told(self) -> None:
        """Check that the run has passed on all events that `must_tell` recorded."""
        untold = self._facts.run.untold
        require(not untold, "the store learns what was confirmed", untold)

    def letter_written(self, letter: Letter) -> None:
        """Check that a record gets only one dead letter, for the reason of its outcome."""
        run = self._facts.run
        run.letters[letter.place] += 1
        require(run.letters[letter.place] == 1, "a record has one dead letter", letter)
        result = self._facts.feed.records[letter.place].result
        outcome = run.outcomes.get(letter.place)
        expected = result.reason if isinstance(result, Rejection) else outcome
        rule = "a dead letter is written of what was not delivered, for its reason"
        require(letter.reason == expected, rule, (letter, expected))

    def state_written(self, text: str) -> None:
        """Check that everything before a STATE has an outcome that is durable."""
        facts, place = self._facts, place_of_state(text)
        database = facts.database
        require(place >= facts.covered, "STATE does not go back", text)
        require(not database.is_unwritable, "no STATE comes after a failed write", text)
        require(facts.settings.limit is None, "a canary writes no STATE", text)
        self.all_told()
        told = (*database.told_events, *database.told_letters)
        require(not told, "before STATE, the store learns everything", (text, told))
        may_come = database.is_asked and not database.has_lost
        require(may_come, "no STATE comes after the store has lost outcomes", text)
        require(database.is_durable, "what STATE covers survives a power cut", text)
        self._check_state_is_kept(text, place)
        self._check_passed(place)
        facts.covered = place
        facts.state = text

    def _check_state_is_kept(self, text: str, place: int) -> None:
        """Check that the store has the outcomes of all records that a STATE covers."""
        facts, database = self._facts, self._facts.database
        events, kept = database.count("event"), database.kept
        require(events == len(kept.confirmed), "the store has what was confirmed", events)
        letters = database.count("dead_letter")
        require(letters == len(kept.letters), "the store has the dead letters", letters)
        reserved = database.reserved & facts.run.finished
        have_ended = not reserved or database.loses  # A loss brings back what has ended.
        require(have_ended, "the reservations of a batch end with it", reserved)
        for record in facts.feed.records[facts.covered : place]:
            require(facts.is_safe(record), "no STATE comes early", (text, record))

    def _check_passed(self, place: int) -> None:
        """Check that no STATE passes rejected records before anything is delivered."""
        facts, run = self._facts, self._facts.run
        if facts.delivers or not (lost := facts.lost_before(place)):
            return
        is_over = run.is_ending and not run.batches and run.failed_at is None
        require(is_over, "until something is delivered, no STATE passes a rejected record", lost)


class EndChecks:
    """Checks how runs end."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def well(self, counts: RunCounts, read_to: int, last_state: str | None) -> None:
        """Check that the totals add up, and that each record that was read has an outcome.

        Args:
            counts: The counts of the run.
            read_to: The number of records before the first one that was not read.
            last_state: The last STATE that was read.
        """
        facts, run = self._facts, self._facts.run
        self._check_requests(counts)
        self._check_totals(counts)
        rule = "a run does not end well after the store has lost outcomes"
        require(not facts.database.has_lost, rule)
        if facts.settings.limit is not None:
            self._check_canary(facts.settings.limit, read_to)
            return
        lost = facts.lost_before(read_to)
        few = len(lost) < FEWEST_LOST or facts.settings.max_dead_letter_percent == 100
        require(few or facts.delivers, "a run that delivers nothing fails", lost)
        unsafe = [one for one in facts.feed.records[run.first : read_to] if not facts.is_safe(one)]
        require(not unsafe, "a run that ends well leaves nothing", unsafe)
        is_written = last_state is None or facts.state == last_state
        require(is_written, "a run that ends well writes its last STATE", last_state)

    def _check_canary(self, limit: int, read_to: int) -> None:
        """Check that a run with `limit` sends this number of events, if the input has enough."""
        run = self._facts.run
        sent = sum(outcome != "event_too_old" for outcome in run.outcomes.values())
        is_short = read_to == len(self._facts.feed.records) or run.signalled_at is not None
        enough = sent == limit or (sent < limit and is_short)
        require(enough, "a canary sends as many events as limit says", (sent, limit))

    def _check_totals(self, counts: RunCounts) -> None:
        run, total = self._facts.run, counts.total
        delivered = sum(outcome == "delivered" for outcome in run.outcomes.values())
        found = (total.read, total.without_outcome, total.delivered, total.rejected.total())
        expected = (run.read, 0, delivered, len(run.letters))
        require(found == expected, "the totals add up", (found, expected))
        require(not run.untold, "the store learns what was confirmed", run.untold)

    def _check_requests(self, counts: RunCounts) -> None:
        run = self._facts.run
        found = (counts.requests, counts.retries, counts.throttled)
        expected = (run.requests, run.retried, run.throttled)
        require(found == expected, "the requests are counted", (found, expected))

    def failed(self, failure: Exception, counts: RunCounts, now: float) -> None:
        """Record a failure, and check that there is a good reason for it."""
        run = self._facts.run
        require(isinstance(failure, RunError), "a run ends in an orderly way", failure)
        if run.failed_at is None:
            run.failed_at = now
            is_justified = self._is_justified(failure, counts)
            require(is_justified, "a run fails for a good reason", failure)

    def _is_justified(self, failure: Exception, counts: RunCounts) -> bool:
        facts, run = self._facts, self._facts.run
        is_stopped = run.signalled_at is not None
        if isinstance(failure, OutageError):
            budget = facts.settings.max_retry_seconds - A_MOMENT
            is_long = max(run.longest_failing, run.longest_asked) >= budget
            return is_stopped or is_long
        if isinstance(failure, AllRefusedError):
            return run.wrong > 0 or self._could_be_wrong()
        if isinstance(failure, TooManyRejectedError):
            return facts.settings.on_rejection == "fail" or self._are_many_rejected(counts)
        if isinstance(failure, StorageError):
            return facts.database.is_unwritable or self._was_betrayed()
        if isinstance(failure, AccessDeniedError):
            return run.is_denied
        return isinstance(failure, DeliveryError) and (is_stopped or run.is_denied)

    def _was_betrayed(self) -> bool:
        """Return whether the database was out of reach, or reservations expired or were lost."""
        database = self._facts.database
        unrenewed = self._facts.world.now - database.renewed_at
        has_lapsed = unrenewed >= LAPSE_SECONDS or self._facts.was_silent
        return database.has_broken or has_lapsed or database.server.has_lost

    def _could_be_wrong(self) -> bool:
        """Return whether enough events are bad that the settings could be wrong."""
        facts, run = self._facts, self._facts.run
        bad = sum(map(facts.is_bad, facts.feed.records[run.first :]))
        return bad > (MOST_UNPROVEN if run.accepted else MOST_UNPROVEN_OF_NONE)

    def _are_many_rejected(self, counts: RunCounts) -> bool:
        facts, total = self._facts, counts.total
        share = facts.settings.max_dead_letter_percent / 100
        if total.rejected.total() <= share * total.delivered:
            return False
        # Of the run so far; that the share is exact is tested elsewhere.
        lost = facts.lost_before(len(facts.feed.records))
        return total.read >= FEWEST_JUDGED or (len(lost) >= FEWEST_LOST and not facts.delivers)

    def _check_store(self) -> None:
        """Check that the store has what it was told, and nothing else, and that no event waits."""
        database = self._facts.database
        kept, events, letters = database.kept, database.told_events, database.told_letters
        if database.is_unwritable:
            lost = [key for key in events if key not in kept.confirmed]
            # (A failover may lose even what was saved on a full disk.)
            is_kept = not lost or self._facts.plan.store_goes or database.loses
            require(is_kept, "a full disk keeps nothing confirmed from the store", lost)
            return
        if self._facts.run.failed_at is not None and database.has_broken:
            return  # The run has failed because the store was out of reach, or has lost something.
        require(not (events or letters), "the store learns everything", (events, letters))
        require(database.letters == kept.letters, "the store has the dead letters", kept.letters)
        found = database.count("event")
        require(found == len(kept.confirmed), "the store has what was confirmed", found)
        have_ended = not database.reserved or database.loses
        require(have_ended, "reservations end with the run", database.reserved)

    def over(self, counts: RunCounts, now: float) -> None:
        """Check the rules for each run that was not killed."""
        facts, run = self._facts, self._facts.run
        found, expected = (counts.requests, counts.throttled), (run.requests, run.throttled)
        require(
            found == expected, "the requests of a run that fails are counted", (found, expected)
        )
        self._check_store()
        if run.signalled_at is not None:
            in_time = now <= run.signalled_at + STOP_SECONDS + facts.betrayed_seconds
            require(in_time, "a run ends soon after SIGTERM", now)
        good = [
            place
            for place, outcome in run.outcomes.items()
            if outcome == "refused_by_api"
            and run.letters[place]
            and place not in run.refused_again  # Its dead letter is older than the run.
            and not facts.is_bad(facts.feed.records[place])
        ]
        few = len(good) - min(counts.unproven, MOST_UNPROVEN) <= MOST_WRONG_LETTERS
        require(few, "wrong settings cost at most 30 dead letters", len(good))
