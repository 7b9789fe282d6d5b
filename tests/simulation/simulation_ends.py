"""What must be true at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation_facts import require
from simulation_requests import STOP_SECONDS

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
    from simulation_facts import Facts

    from target_liveintent.run import RunCounts

MOST_WRONG_LETTERS = 30
"""Dead letters of good events that wrong settings cost."""
MOST_UNPROVEN = 100
"""Refused events that nothing was left to compare with, which may be dead letters as well."""
MOST_UNPROVEN_OF_NONE = 9
"""The same in a run in which nothing was accepted."""
FEWEST_JUDGED = 100
"""Records from which on the share of dead letters may fail a run."""
FEWEST_LOST = 10
"""Rejected records from which on a run that delivers nothing fails."""
A_MOMENT = 0.001
"""Seconds by which sums of times may be wrong."""


class EndChecks:
    """Watches how runs end."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def well(self, counts: RunCounts, read_to: int, last_state: str | None) -> None:
        """Check that the totals add up, and that nothing that was read is without an outcome.

        Args:
            counts: The counts of the run.
            read_to: The number of records before the first one that was not read.
            last_state: The last STATE that was read.
        """
        facts, run = self._facts, self._facts.run
        self._check_requests(counts)
        self._check_totals(counts)
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
        """Check that a canary sends as many events as `limit` says, if there are so many."""
        run, sent = self._facts.run, len(self._facts.run.outcomes)
        is_short = read_to == len(self._facts.feed.records) or run.signalled_at is not None
        enough = sent == limit or (sent < limit and is_short)
        require(enough, "a canary sends as many events as limit says", (sent, limit))

    def _check_totals(self, counts: RunCounts) -> None:
        run, total = self._facts.run, counts.total
        delivered = sum(outcome == "delivered" for outcome in run.outcomes.values())
        found = (total.read, total.unsettled, total.delivered, total.rejected.total())
        expected = (run.read, 0, delivered, len(run.letters))
        require(found == expected, "the totals add up", (found, expected))
        require(not run.untold, "the store learns what was confirmed", run.untold)

    def _check_requests(self, counts: RunCounts) -> None:
        run = self._facts.run
        found = (counts.requests, counts.retries, counts.throttled)
        expected = (run.requests, run.retried, run.throttled)
        require(found == expected, "the requests are counted", (found, expected))

    def failed(self, failure: Exception, counts: RunCounts, now: float) -> None:
        """Note a failure, and check that there is a good reason for it."""
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
            return facts.database.is_unwritable
        if isinstance(failure, AccessDeniedError):
            return run.is_denied
        return isinstance(failure, DeliveryError) and (is_stopped or run.is_denied)

    def _could_be_wrong(self) -> bool:
        """Return whether so many events are bad that the settings seem to be wrong."""
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
            is_lost = events and not self._facts.plan.store_goes
            require(not is_lost, "a full disk keeps nothing confirmed from the store", events)
            return
        require(not (events or letters), "the store learns everything", (events, letters))
        require(database.is_durable, "what a run has done survives a power cut")
        require(database.letters == kept.letters, "the store has the dead letters", kept.letters)
        found = database.count("event")
        require(found == len(kept.confirmed), "the store has what was confirmed", found)
        require(not database.reserved, "reservations end with the run", database.reserved)

    def over(self, counts: RunCounts, now: float) -> None:
        """Check what must be true of each run that was not killed."""
        facts, run = self._facts, self._facts.run
        found, expected = (counts.requests, counts.throttled), (run.requests, run.throttled)
        require(
            found == expected, "the requests of a run that fails are counted", (found, expected)
        )
        self._check_store()
        if run.signalled_at is not None:
            in_time = now <= run.signalled_at + STOP_SECONDS
            require(in_time, "a run ends soon after SIGTERM", now)
        good = [
            place
            for place, outcome in run.outcomes.items()
            if outcome == "refused_by_api"
            and run.letters[place]
            and not facts.is_bad(facts.feed.records[place])
        ]
        few = len(good) - min(counts.unproven, MOST_UNPROVEN) <= MOST_WRONG_LETTERS
        require(few, "wrong settings cost at most 30 dead letters", len(good))
