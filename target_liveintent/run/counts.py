"""The figures of a run: a struct for each stream, how to add the figures up, and what they mean."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.amounts import Amounts, add_amounts, amounts_of
from target_liveintent.conversions.coerce import shape
from target_liveintent.conversions.event_model import Event, Rejection
from target_liveintent.reasons import AFTER_BUILDING, NEVER_TAKEN, REASONS
from target_liveintent.remarks import COLUMN_EMPTY, Remarks, UnusableCause
from target_liveintent.run.coverage import Timing, coverage_of, timing_of
from target_liveintent.run.kinds import USUAL_RUN, RunKind

ALL_SOURCES = ("web", "app", "offline")
_MOST_CAUSES = 200
"""The most different causes that are counted for one column."""
_COUNTED_AT_ONCE = 500
"""When this many delivered events wait in memory to be counted, they are counted together."""
OUT_OF_RANGE = ("event_too_old", "event_in_future")


def _counter() -> Any:
    return msgspec.field(default_factory=Counter)


class StreamCounts(msgspec.Struct, omit_defaults=True):
    """What became of the records of one stream, in one run or in several.

    After a run that ended well, `read` is the sum of the outcomes. If several maps use a record,
    the record counts once for each map. docs/reference/store-tables.md describes the figures.
    """

    read: int = 0
    filtered: int = 0
    unmapped: int = 0
    delivered: int = 0
    not_replayed: Counter[str] = _counter()
    dropped: Counter[str] = _counter()
    rejected: Counter[str] = _counter()
    repeated: Counter[str] = _counter()  # Dead letters that replaced an earlier one, by reason.
    # How many dropped records have the ID of an earlier event, but another person, value or order.
    conflicting_ids: int = 0
    remarks: dict[str, Counter[str]] = {}  # By kind and column.
    # By column, why its values cannot be used. By reason (`OUT_OF_RANGE`), the shapes of the times.
    causes: dict[str, Counter[UnusableCause]] = {}
    mapped: frozenset[str] = frozenset()
    values: Amounts = {}
    coverage: dict[str, dict[str, int]] = {}
    timing: Timing = Timing()

    # What is counted

    def note(self, remarks: Remarks) -> None:
        """Count what was noticed about a record."""
        by_kind = self.remarks
        for kind, column, cause in remarks:
            if (columns := by_kind.get(kind)) is None:
                columns = by_kind[kind] = Counter()
            columns[column] += 1
            if cause is not None:
                self._note_cause(column, cause)

    def _note_cause(self, about: str, cause: UnusableCause) -> None:
        causes = self.causes.setdefault(about, Counter())
        if cause in causes or len(causes) < _MOST_CAUSES:
            causes[cause] += 1

    def count_rejected(self, rejection: Rejection) -> None:
        """Count a dead letter; if its event time is out of range, also count the time's shape."""
        self.rejected[rejection.reason] += 1
        if rejection.reason in OUT_OF_RANGE:
            of_time = shape(rejection.columns.get("event_time"))
            self._note_cause(rejection.reason, UnusableCause("out_of_range", of_time))

    def count_delivered(self, events: Sequence[Event], sent_at: Sequence[float]) -> None:
        """Count events that LiveIntent has, each with the Unix time at which it was sent."""
        self.delivered += len(events)
        self.timing += timing_of(events, sent_at)
        by_source: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_source[event.source].append(event)
        for source, of_source in by_source.items():
            _sum(self.coverage, {source: coverage_of(of_source)})
        add_amounts(self.values, amounts_of(events).items())

    # What the figures say

    @property
    def without_outcome(self) -> int:
        """The number of records without an outcome: 0 after a run that ended well."""
        with_outcome = self.filtered + self.unmapped + self.delivered
        others = (self.not_replayed, self.dropped, self.rejected)
        return self.read - with_outcome - sum(counter.total() for counter in others)

    @property
    def not_sent(self) -> Counter[str]:
        """The records that became dead letters or were dropped, by reason."""
        return self.rejected + self.dropped

    @property
    def letters(self) -> Counter[str]:
        """The dead letters that replaced no earlier one, by reason: a record counts once.

        The earlier dead letter may be of this run or of an earlier one.
        """
        return self.rejected - self.repeated

    @property
    def events(self) -> int:
        """The number of records whose columns were all read without a problem."""
        others = self.not_sent
        return (
            self.delivered + self.without_outcome + sum(others[reason] for reason in AFTER_BUILDING)
        )

    @property
    def always_empty(self) -> list[str]:
        """The mapped columns that were empty in all events."""
        empty = self.noted(COLUMN_EMPTY)
        return sorted(column for column, count in empty.items() if count >= self.events)

    def noted(self, kind: str) -> Counter[str]:
        """Return how often remarks of a kind were made, by column."""
        return self.remarks.get(kind, Counter())

    @property
    def taken(self) -> int:
        """The number of records whose events this run or an earlier one has delivered."""
        return self.delivered + self.dropped["already_sent"]

    def having(self, field: str, sources: Iterable[str] = ALL_SOURCES) -> int:
        """Return how many delivered events of some sources have a field (`events`: all of them)."""
        return sum(self.coverage.get(source, {}).get(field, 0) for source in sources)

    @property
    def with_email_hash(self) -> int:
        """How many delivered events have a hash of an e-mail address."""
        return self.having("md5") + self.having("sha2") - self.having("both")

    @property
    def late(self) -> int:
        """How many delivered events were sent more than an hour after their event time."""
        return self.delivered - self.timing.within_an_hour


def add(total: StreamCounts, *more: StreamCounts) -> StreamCounts:
    """Add figures to a total, and return it; figures in dictionaries are added by their keys."""
    for counts in more:
        for name in total.__struct_fields__:
            setattr(total, name, _sum(getattr(total, name), getattr(counts, name)))
    return total


def _sum(ours: Any, more: Any) -> Any:
    if isinstance(ours, frozenset):
        return ours | more
    if not isinstance(ours, dict):
        return ours + more
    for key, value in more.items():
        ours[key] = _sum(ours[key], value) if key in ours else copy.copy(value)
    return ours


class ReservedByOther(NamedTuple):
    """How many events wait while another run sends the same events."""

    events: int
    run_id: str  # The ID of the other run.
    since: float  # When the wait began, in monotonic seconds.


class RunCounts:
    """The figures of a run that began `seconds` ago."""

    def __init__(
        self,
        *,
        kind: RunKind = USUAL_RUN,
        dry_run: bool = False,
        seconds: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._streams: defaultdict[str, StreamCounts] = defaultdict(StreamCounts)
        # Events and their times of sending, by stream, that `streams` does not count yet.
        self._delivered: dict[str, tuple[list[Event], list[float]]] = {}
        self._uncounted = 0
        self.requests = self.retries = self.throttled = 0
        # Refused events that could not be compared with later events, because there were none.
        self.unproven = 0
        # Delivered events that no 204 confirmed: a 200 named other events of their requests.
        self.partly_answered = 0
        # Dead letters of events that the API refused before, and that were not delivered now.
        self.refused_again = 0
        self.elsewhere: ReservedByOther | None = None  # Events that wait for another run now.
        self.kind, self.dry_run = kind, dry_run
        self._clock = clock
        self._started = clock.monotonic() - seconds

    def of(self, stream: str) -> StreamCounts:
        """Return the figures of one stream, which the caller may change."""
        return self._streams[stream]

    def count_delivered(
        self, stream: str, events: Sequence[Event], sent_at: Sequence[float]
    ) -> None:
        """Count events that LiveIntent has, each with the Unix time at which it was sent.

        The events of several batches are counted together. To count each batch takes twice as long.
        """
        together, moments = self._delivered.setdefault(stream, ([], []))
        together += events
        moments += sent_at
        self._uncounted += len(events)
        if self._uncounted >= _COUNTED_AT_ONCE:
            self._count_delivered()

    def _count_delivered(self) -> None:
        self._uncounted = 0
        while self._delivered:
            stream, delivered = self._delivered.popitem()
            self._streams[stream].count_delivered(*delivered)

    @property
    def streams(self) -> dict[str, StreamCounts]:
        """The figures of each stream."""
        self._count_delivered()
        return self._streams

    def add(self, other: RunCounts) -> None:
        """Add the figures of another run."""
        self.requests += other.requests
        self.retries += other.retries
        self.throttled += other.throttled
        self.unproven += other.unproven
        self.partly_answered += other.partly_answered
        self.refused_again += other.refused_again
        for stream, counts in other.streams.items():
            add(self.of(stream), counts)

    @property
    def total(self) -> StreamCounts:
        """The figures of all streams."""
        return add(StreamCounts(), *self.streams.values())

    @property
    def seconds(self) -> float:
        """How many seconds the run has taken so far."""
        return self._clock.monotonic() - self._started

    @property
    def bad(self) -> Counter[str]:
        """How many dead letters may fail the run, by reason.

        Reasons that are normal in every run do not count. Events that the API refused before do not
        count either, as they show nothing new.
        """
        rejected = self.total.rejected
        bad = Counter({reason: n for reason, n in rejected.items() if REASONS[reason].is_bad})
        return bad - Counter({"refused_by_api": self.refused_again})

    @property
    def lost(self) -> Counter[str]:
        """Those of `bad` whose events LiveIntent certainly does not have, by reason."""
        return Counter({reason: n for reason, n in self.bad.items() if reason in NEVER_TAKEN})

    @property
    def has_taken(self) -> bool:
        """Whether this run or an earlier one has delivered the event of any record of this run."""
        return any(counts.taken for counts in self.streams.values())
