"""What is known of a history while it is played; the checks keep it, and judge by it."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

from simulated_feed import Key, Record, event_key, place_of

from target_liveintent.conversions import Conversion, Rejection
from target_liveintent.reasons import NEVER_TAKEN, REASONS

if TYPE_CHECKING:
    from simulated_api import SimulatedApi
    from simulated_feed import Feed
    from simulated_plan import Plan
    from simulated_store import SimulatedDatabase

    from target_liveintent.delivery import Batch

SILENT_INTERVALS = 2
"""Times `flush_interval_seconds` without a batch after which the input is as good as over."""


class ViolationError(AssertionError):
    """A rule was broken.

    Attributes:
        rule: The rule.
    """

    def __init__(self, rule: str, found: object) -> None:
        super().__init__(f"{rule}; found {found!r}")
        self.rule = rule


def require(is_kept: object, rule: str, found: object = None) -> None:
    """Raise `ViolationError` if a rule is not kept."""
    if not is_kept:
        raise ViolationError(rule, found)


class RunFacts:
    """What is known of one run. Events are named by the places of their records.

    Attributes:
        run_id: Its ID.
        first: The number of records before its first one.
        read: How many records it has read.
        requests: How many requests it has made.
        retried: How many of them got a fault.
        throttled: How many of them came too fast.
        accepted: Events that the API accepted in a clear answer.
        confirmed: Those of them that were accepted by a 204.
        came_back: Those of them that a result has named.
        unclear: Events of an unclear 200.
        outcomes: What became of each event: `delivered` or a reason.
        letters: How many dead letters each record got.
        batches: The batches in delivery, by number.
        untold: Events of which the store must be told next, each with the call that tells it.
        finished: The numbers of the batches that have come back as a whole.
        on_their_way: Events in requests without an answer.
        in_flight: How many requests have no answer yet.
        starts: When the requests of the last minute started, if there is a cap.
        last_start: When the newest request started.
        taken_at: When the API last took a request.
        failing_since: Since when each request got a fault; infinite if that is not so.
        failing_requests: How many requests started since then.
        longest_failing: The most seconds for which each request got a fault.
        longest_asked: The most seconds that the API asked to wait.
        newest_accepted: When the newest request started that was accepted.
        faults_alone: How often each event got a fault alone after others were accepted, and how
            many were accepted at the last time.
        refused_at: When each event was last in a request that was refused.
        quiet_since: When the last `Retry-After` came,
        quiet_until: and until when it counts.
        stop_at: Until when requests may start.
        signalled_at: When SIGTERM came.
        is_ending: Whether the input has ended.
        drained: Whether delivery knows that nothing more comes for now.
        submitted_at: When the last batch was handed over.
        failed_at: When it failed.
        wrong: How many answers said that the settings are wrong.
        is_denied: Whether the API denied access, or gave an unknown answer.
        idle_asks: How often in a row a caller was told to ask again at a time that is over.
    """

    def __init__(self, run_id: str, first: int, started_at: float) -> None:
        self.run_id = run_id
        self.first = first
        self.started_at = started_at
        self.read = self.requests = self.retried = self.throttled = 0
        self.accepted: set[int] = set()
        self.confirmed: set[int] = set()
        self.came_back: set[int] = set()
        self.unclear: set[int] = set()
        self.outcomes: dict[int, str] = {}
        self.letters: Counter[int] = Counter()
        self.batches: dict[int, Batch] = {}
        self.untold: set[tuple[str, Key]] = set()
        self.finished: set[int] = set()
        self.on_their_way: set[int] = set()
        self.keys_on_their_way: set[Key] = set()
        self.in_flight = 0
        self.starts: deque[float] = deque()
        self.last_start = started_at
        self.taken_at = -math.inf
        self.failing_since = math.inf
        self.failing_requests = 0
        self.longest_failing = self.longest_asked = 0.0
        self.newest_accepted = -math.inf
        self.refused_at: dict[int, float] = {}
        self.faults_alone: dict[int, tuple[int, int]] = {}
        self.quiet_since = self.quiet_until = -math.inf
        self.stop_at = math.inf
        self.signalled_at: float | None = None
        self.failed_at: float | None = None
        self.submitted_at = started_at
        self.is_ending = self.drained = self.is_denied = False
        self.wrong = 0
        self.idle_asks = 0


class Facts:
    """What is known of a history.

    Attributes:
        accepted: Events that the API accepted in a clear answer, in any run.
        state: The last STATE that was written. Another process has it, so it survives a crash.
        covered: The number of records before it.
        run: What is known of the present run.
    """

    def __init__(
        self, plan: Plan, feed: Feed, api: SimulatedApi, database: SimulatedDatabase
    ) -> None:
        self.plan = plan
        self.settings = plan.settings
        self.feed = feed
        self.api = api
        self.database = database
        self.accepted: set[int] = set()
        self.state: str | None = None
        self.covered = 0
        self.run = RunFacts("", 0, 0.0)

    def is_safe(self, record: Record) -> bool:
        """Return whether a record has its outcome, in the store if that is a dead letter."""
        result, kept = record.result, self.database.kept
        if result is None or record.place in self.accepted or record.place in kept.places:
            return True
        if isinstance(result, Rejection):
            return not REASONS[result.reason].letter
        return event_key(result) in kept.confirmed

    def is_known(self, key: Key) -> bool:
        """Return whether the present run must take an event for delivered."""
        run_id = self.database.kept.confirmed.get(key)
        return run_id == self.run.run_id if self.plan.send_again else run_id is not None

    def is_bad(self, record: Record) -> bool:
        """Return whether the API refuses a record's event, whatever the settings are."""
        event = record.result
        if not isinstance(event, Conversion):
            return False
        return event.event_id in self.feed.bad or len(event.body) + 2 > self.plan.largest

    def lost_before(self, place: int) -> list[int]:
        """Return the dead letters of this run before a place that LiveIntent never took."""
        run = self.run
        reasons = {
            letter: result.reason if isinstance(result, Rejection) else run.outcomes[letter]
            for letter in run.letters
            if letter < place
            for result in (self.feed.records[letter].result,)
        }
        return [letter for letter, reason in reasons.items() if reason in NEVER_TAKEN]

    @property
    def delivers(self) -> bool:
        """Whether an event of this run is delivered, or was before."""
        run = self.run
        if "delivered" in run.outcomes.values():
            return True
        records = self.feed.records[run.first : run.first + run.read]
        events = [one.result for one in records if isinstance(one.result, Conversion)]
        return any(self.is_known(event_key(event)) for event in events)

    def has_outcome(self, event: Conversion) -> bool:
        """Return whether an event has its outcome in this run, or an unclear one."""
        run, place = self.run, place_of(event)
        return place in run.accepted or place in run.unclear or place in run.outcomes
