"""The facts about a history while it is played. The checks record facts, and compare with them."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

from simulated_feed import Key, Record, event_key, place_of

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.reasons import NEVER_TAKEN, REASONS

if TYPE_CHECKING:
    from simulated_process import Surroundings
    from simulated_store import Kept, SimulatedDatabase
    from simulated_time import Signals

    from target_liveintent.delivery.batch import Batch

LAPSE_SECONDS = 30.0
"""The seconds after which reservations expire if they are not renewed."""
SILENT_INTERVALS = 2
"""After this multiple of `flush_interval_seconds` without a batch, the input counts as ended."""


class ViolationError(AssertionError):
    """A rule of the simulator was broken; the message names the rule and what was found."""


def require(is_kept: object, rule: str, found: object = None) -> None:
    """Raise a `ViolationError` with `found` if a rule is not kept."""
    if not is_kept:
        msg = f"{rule}; found {found!r}"
        raise ViolationError(msg)


class RunFacts:
    """The facts about one run. Numbers of events are the places of their records."""

    def __init__(
        self,
        run_id: str,
        first: int,
        started_at: float,
        signals: Signals,
        database: SimulatedDatabase,
    ) -> None:
        self.run_id = run_id
        self.signals = signals
        self.database = database
        self.reserved: dict[int, set[Key]] = {}  # The events that it has reserved, by batch.
        self.waited = 0.0  # For how many seconds it has waited for the store.
        self.first = first  # The number of records before its first one.
        self.started_at = started_at
        self.read = self.requests = 0  # How many records it has read, and requests it has made.
        self.retried = self.throttled = 0  # How many of them got a fault, or came too fast.
        self.accepted: set[int] = set()  # In a clear answer;
        self.confirmed: set[int] = set()  # those of them that were accepted by a 204,
        self.came_back: set[int] = set()  # and those that a result has named.
        self.unclear: set[int] = set()  # Events of an unclear 200.
        self.outcomes: dict[int, str] = {}  # Of each event: `delivered` or a reason.
        self.letters: Counter[int] = Counter()  # How many dead letters each record got.
        self.refused_before: set[int] = set()  # Events that the store says the API refused.
        self.refused_again: set[int] = set()  # Events whose dead letters say that they are refused.
        self.batches: dict[int, Batch] = {}  # Those in delivery, by number.
        self.finished: set[int] = set()  # The numbers of those that have come back as a whole.
        # Events of which the store must be told next, each with the call that tells it.
        self.untold: set[tuple[str, Key]] = set()
        self.on_their_way: set[int] = set()  # Events in requests without an answer.
        self.keys_on_their_way: set[Key] = set()
        self.in_flight = 0  # How many requests have no answer yet.
        self.starts: deque[float] = deque()  # Of the requests of the last minute, if capped.
        self.last_start = started_at
        self.taken_at = -math.inf  # When the API last took a request.
        self.failing_since = math.inf  # Since when each request got a fault, if that is so.
        self.failing_requests = 0  # How many requests started since then.
        self.longest_failing = 0.0  # The most seconds for which each request got a fault,
        self.longest_asked = 0.0  # and the most that the API asked to wait.
        self.newest_accepted = -math.inf  # When the newest request started that was accepted.
        self.refused_at: dict[int, float] = {}  # When each event was last in a refused request.
        # How often each event got a fault alone after others were accepted, and how many were.
        self.faults_alone: dict[int, tuple[int, int]] = {}
        self.quiet_since = self.quiet_until = -math.inf  # The last `Retry-After`.
        self.stop_at = math.inf  # Until when requests may start.
        self.signalled_at: float | None = None  # When SIGTERM came,
        self.failed_at: float | None = None  # and when the run failed.
        self.submitted_at = started_at  # When the last batch was handed over.
        self.is_ending = False  # Whether the input has ended.
        self.drained = False  # Whether delivery knows that nothing more comes for now.
        self.is_denied = False  # Whether the API denied access, or gave an unknown answer.
        self.wrong = 0  # How many answers said of new events that the settings are wrong.
        self.idle_asks = 0  # In a row, of callers that were told a time that is over.

    def held(self, now: float) -> set[Key]:
        """Return the events that this run has validly reserved at a true time."""
        if not self.reserved or now - self.database.renewed_at >= LAPSE_SECONDS:
            return set()
        batches = self.database.reserved
        return set().union(*(keys for n, keys in self.reserved.items() if n in batches))


class Facts:
    """The facts about consecutive runs, each of which continues after the last STATE.

    Attributes:
        accepted: The events that the API accepted in a clear answer, in any run.
        state: The last STATE that was written. Another process has it, so it survives a crash.
        covered: The number of records before this STATE.
        runs: The facts about all runs of the history.
        run: The facts about the current run.
        database: The connection of the current run to the database.
    """

    run: RunFacts
    database: SimulatedDatabase

    def __init__(self, surroundings: Surroundings) -> None:
        self.plan = surroundings.plan
        self.settings = surroundings.plan.settings
        self.feed = surroundings.feed
        self.api = surroundings.api
        self.world = surroundings.world
        self.accepted = surroundings.accepted
        self.runs = surroundings.runs
        self.state: str | None = None
        self.covered = 0

    def begin(
        self, run_id: str, started_at: float, signals: Signals, database: SimulatedDatabase
    ) -> None:
        """Begin the facts of a new run, which continues after the last STATE."""
        self.database = database
        self.run = RunFacts(run_id, self.covered, started_at, signals, database)
        self.runs.append(self.run)

    def is_safe(self, record: Record) -> bool:
        """Return whether a record has an outcome; a dead letter must be in the store."""
        result, kept = record.result, self.database.kept_then
        if result is None or record.place in self.accepted or record.place in kept.places:
            return True
        if isinstance(result, Rejection):
            return not REASONS[result.reason].letter
        return event_key(result) in kept.confirmed

    def is_known(self, key: Key) -> bool:
        """Return whether the store says that an event is delivered."""
        return self._is_known_in(self.database.kept, key)

    def was_known(self, key: Key) -> bool:
        """Return whether the store said so for the event after the run's last transaction."""
        return self._is_known_in(self.database.kept_then, key)

    def _is_known_in(self, kept: Kept, key: Key) -> bool:
        run_id = kept.confirmed.get(key)
        return run_id == self.run.run_id if self.plan.send_again else run_id is not None

    def was_refused(self, event: Conversion | Rejection) -> bool:
        """Return whether the store has a dead letter that says that the API refused an event."""
        letter = self.database.kept_then.letters.get((event.stream, event.event_id))
        return letter is not None and letter.reason == "refused_by_api"

    def is_bad(self, record: Record) -> bool:
        """Return whether the API refuses a record's event even with correct settings."""
        event = record.result
        if not isinstance(event, Conversion):
            return False
        return event.event_id in self.feed.bad or len(event.body) + 2 > self.plan.largest

    @property
    def was_silent(self) -> bool:
        """Whether reservations of any run have expired, so that two runs may send an event."""
        return any(one.database.longest_unrenewed >= LAPSE_SECONDS for one in self.runs)

    @property
    def betrayed_seconds(self) -> float:
        """The seconds by which the current run may be late, because of suspensions and waits."""
        return self.run.signals.suspended + self.run.waited

    def lost_before(self, place: int) -> list[int]:
        """Return the places of this run's dead letters, before a place, that LiveIntent lacks."""
        run = self.run
        reasons = {
            letter: result.reason if isinstance(result, Rejection) else run.outcomes[letter]
            for letter in run.letters
            if letter < place and letter not in run.refused_again
            for result in (self.feed.records[letter].result,)
        }
        return [letter for letter, reason in reasons.items() if reason in NEVER_TAKEN]

    @property
    def delivers(self) -> bool:
        """Whether an event of this run is delivered, now or by an earlier run."""
        run = self.run
        if "delivered" in run.outcomes.values():
            return True
        records = self.feed.records[run.first : run.first + run.read]
        events = [one.result for one in records if isinstance(one.result, Conversion)]
        return any(self.is_known(event_key(event)) for event in events)

    def has_outcome(self, event: Conversion) -> bool:
        """Return whether an event has an outcome in this run; this may be an unclear answer."""
        run, place = self.run, place_of(event)
        return place in run.accepted or place in run.unclear or place in run.outcomes
