"""The figures of a run: one struct for a stream, one way to add figures up, and what they mean."""

from __future__ import annotations

import bisect
import copy
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import event_model
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.coerce import WatchedZone, shape, text
from target_liveintent.mapping.stream_maps import RecordConverter, Stream, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import AFTER_BUILDING
from target_liveintent.run.amounts import Amount, Amounts, add_amounts
from target_liveintent.run.kinds import USUAL_RUN, RunKind
from target_liveintent.settings import EventDefaults

HOUR = 3_600
FIELDS = {
    "md5": "MD5 of the e-mail address",
    "sha2": "SHA-256 of the address",
    "both": "both hashes",
    "decision_id": "decision ID",
    "ip": "IP address",
    "user_agent": "user agent",
    "device_id": "idfa or aaid",
    "order_id": "order ID",
    "value": "value",
    "currency": "currency",
}
"""What coverage counts, each in words."""
ALL_SOURCES = ("web", "app", "offline")
_MOST_CAUSES = 200
_COUNTED_AT_ONCE = 500
"""How many delivered events may wait in memory to be counted."""
OUT_OF_RANGE = ("event_too_old", "event_in_future")


def _counter() -> Any:
    return msgspec.field(default_factory=Counter)


class StreamCounts(msgspec.Struct, omit_defaults=True):
    """What came of the records of one stream, in one run or in several.

    `read` is the sum of the outcomes at a good end; a record that several maps use counts once for
    each. docs/reference/store-tables.md describes the figures.
    """

    read: int = 0
    filtered: int = 0
    unmapped: int = 0
    delivered: int = 0
    not_replayed: Counter[str] = _counter()
    dropped: Counter[str] = _counter()
    rejected: Counter[str] = _counter()
    repeated: Counter[str] = _counter()  # Dead letters that the store had before.
    zone_uses: int = 0
    # How many of the dropped records have the ID of an event of another person, value or order.
    conflicting_ids: int = 0
    # If `decision_id` is mapped: how many events had one, and for how many it was another ID of
    # the record, by its column.
    decision_ids: int = 0
    own_ids: dict[str, int] = {}
    left_out: Counter[str] = _counter()
    # Why columns were left out, how times out of range are written, and what `source` held; each
    # text begins with the column or the reason.
    causes: Counter[str] = _counter()
    mapped: frozenset[str] = frozenset()
    values: Amounts = {}
    coverage: dict[str, dict[str, int]] = {}
    within_an_hour: int = 0
    within_a_day: int = 0
    within_two_days: int = 0

    # What is counted

    def converter(
        self,
        stream: Stream,
        plan: StreamPlan,
        defaults: EventDefaults,
        suppressions: Suppressions,
        now: Callable[[], float] = time.time,
    ) -> RecordConverter:
        """Return what converts the records of the stream, and counts here what it notices."""
        watched = defaults._replace(zone=WatchedZone(defaults.zone, self._note_zone_use))
        builder = EventBuilder(
            stream.name,
            plan.properties,
            stream.keys,
            watched,
            suppressions,
            mapped_keys=plan.keys,
            undeclared=plan.undeclared,
        )
        builder.causes = self.causes
        self.mapped |= builder.identifying
        if "decision_id" in builder.columns or "decision_id" in builder.undeclared:
            return _DecisionIdConverter(plan, builder, stream.keys, self, now)
        return RecordConverter(plan, builder, self.left_out, now)

    def _note_zone_use(self) -> None:
        self.zone_uses += 1

    def reject(self, rejection: event_model.Rejection) -> None:
        """Count a dead letter, and what its event time or its source is like if it is the cause."""
        self.rejected[rejection.reason] += 1
        held = None
        if rejection.reason in OUT_OF_RANGE:
            held = shape(rejection.columns.get("event_time"))
        elif rejection.reason == "invalid_source":
            held = rejection.detail
        cause = f"{rejection.reason}: {held}"
        if held is not None and (cause in self.causes or len(self.causes) < _MOST_CAUSES):
            self.causes[cause] += 1

    def deliver(self, events: Sequence[event_model.Event], sent_at: Sequence[float]) -> None:
        """Count events that LiveIntent has, each with the Unix time at which it was sent."""
        self.delivered += len(events)
        ages = [at - event.event_time for event, at in zip(events, sent_at, strict=True)]
        ages.sort()
        self.within_an_hour += bisect.bisect_right(ages, HOUR)
        self.within_a_day += bisect.bisect_right(ages, event_model.DAY)
        self.within_two_days += bisect.bisect_right(ages, 2 * event_model.DAY)
        by_source: defaultdict[str, list[event_model.Event]] = defaultdict(list)
        for event in events:
            by_source[event.source].append(event)
        for source, found in by_source.items():
            self._cover(source, found)

    def _cover(self, source: str, events: Sequence[event_model.Event]) -> None:
        known = self.coverage.setdefault(source, dict.fromkeys(("events", *FIELDS), 0))
        # The values of each field, which take half the time of the fields of each event.
        fields: dict[str, Sequence[Any]] = {"decision_id": [one.decision_id for one in events]}
        users = [one.user_data for one in events]
        purchases = [one.purchase_data for one in events]
        for struct, objects in (
            (event_model.UserData, users),
            (event_model.PurchaseData, purchases),
        ):
            values = zip(*map(msgspec.structs.astuple, objects), strict=True)
            fields |= zip(struct.__struct_fields__, values, strict=True)
        lacking = {name: 0 if all(found) else found.count(None) for name, found in fields.items()}
        no_hash, lacking["device_id"] = (
            lacking[one] and [*zip(fields[one], fields[other], strict=True)].count((None, None))
            for one, other in (("md5", "sha2"), ("idfa", "aaid"))
        )
        lacking["both"] = lacking["md5"] + lacking["sha2"] - no_hash
        known["events"] += len(events)
        for name in FIELDS:
            known[name] += len(events) - lacking[name]
        amounts: defaultdict[str, list[float | Decimal]] = defaultdict(list)
        for value, currency in zip(fields["value"], fields["currency"], strict=True):
            if value is not None:
                amounts[currency or ""].append(value)
        add_amounts(self.values, ((name, Amount.of(found)) for name, found in amounts.items()))

    # What the figures say

    @property
    def unsettled(self) -> int:
        """The number of records without an outcome: 0 after a run that ended well."""
        settled = self.filtered + self.unmapped + self.delivered
        others = (self.not_replayed, self.dropped, self.rejected)
        return self.read - settled - sum(counter.total() for counter in others)

    @property
    def not_sent(self) -> Counter[str]:
        """The records that became dead letters or were dropped, by reason."""
        return self.rejected + self.dropped

    @property
    def letters(self) -> Counter[str]:
        """The records that could not be sent, by reason; one that came again counts once."""
        return self.rejected - self.repeated

    @property
    def events(self) -> int:
        """The number of records of which all columns were read."""
        others = self.not_sent
        return self.delivered + self.unsettled + sum(others[reason] for reason in AFTER_BUILDING)

    @property
    def always_empty(self) -> list[str]:
        """The mapped columns that were empty in all events."""
        empty = {name for name, count in self.left_out.items() if count >= self.events}
        return sorted(name.removesuffix(" empty") for name in empty if name.endswith(" empty"))

    @property
    def taken(self) -> int:
        """The number of records that LiveIntent has, by this run or an earlier one."""
        return self.delivered + self.dropped["already_sent"]

    def having(self, field: str, sources: Iterable[str] = ALL_SOURCES) -> int:
        """Return how many delivered events of some sources have a field, or how many there are."""
        return sum(self.coverage.get(source, {}).get(field, 0) for source in sources)

    @property
    def with_email_hash(self) -> int:
        """How many delivered events have a hash of an e-mail address."""
        return self.having("md5") + self.having("sha2") - self.having("both")

    @property
    def late(self) -> int:
        """How many delivered events were sent more than an hour after their event time."""
        return self.delivered - self.within_an_hour


class _DecisionIdConverter(RecordConverter):
    """Converts the records of a stream, and counts the decision IDs that are IDs of the user."""

    def __init__(
        self,
        plan: StreamPlan,
        builder: EventBuilder,
        keys: Sequence[str],
        counts: StreamCounts,
        now: Callable[[], float],
    ) -> None:
        super().__init__(plan, builder, counts.left_out, now)
        self._keys = keys
        self._counts = counts

    def convert(
        self, record: dict[str, Any], violation: str | None = None
    ) -> event_model.Conversion | event_model.Rejection | None:
        """Convert a record, and compare the event's decision ID with the other IDs."""
        result, own_ids = super().convert(record, violation), self._counts.own_ids
        if isinstance(result, event_model.Conversion) and result.event.decision_id is not None:
            self._counts.decision_ids += 1
            event = result.event
            ids: dict[str, Any] = {key: text(record.get(key)) for key in self._keys}
            ids = {"event_id": event.event_id, "order_id": event.purchase_data.order_id, **ids}
            if same := [name for name, other in ids.items() if other == event.decision_id]:
                own_ids[same[0]] = own_ids.get(same[0], 0) + 1
        return result


def add(total: StreamCounts, *more: StreamCounts) -> StreamCounts:
    """Add figures to a total, those of dictionaries by their keys; return the total."""
    for one in more:
        for name in total.__struct_fields__:
            setattr(total, name, _sum(getattr(total, name), getattr(one, name)))
    return total


def _sum(one: Any, more: Any) -> Any:
    if isinstance(one, dict):
        for key, value in more.items():
            one[key] = _sum(one[key], value) if key in one else copy.copy(value)
        return one
    return one | more if isinstance(one, frozenset) else one + more


class ReservedByOther(NamedTuple):
    """Events that wait because another run has reserved them, since when in monotonic seconds."""

    events: int
    run_id: str
    since: float


class RunCounts:
    """The figures of a run, which has taken some seconds already."""

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
        self._delivered: dict[str, tuple[list[event_model.Event], list[float]]] = {}
        self._uncounted = 0
        self.requests = self.retries = self.throttled = 0
        self.unproven = 0  # Dead letters of refused events that nothing was left to compare with.
        self.elsewhere: ReservedByOther | None = None  # What waits for another run now.
        self.kind, self.dry_run = kind, dry_run
        self._clock = clock
        self._started = clock.monotonic() - seconds

    def of(self, stream: str) -> StreamCounts:
        """Return the figures of one stream, to add to them; they are made when first asked for."""
        return self._streams[stream]

    def deliver(
        self, stream: str, events: Sequence[event_model.Event], sent_at: Sequence[float]
    ) -> None:
        """Count events that LiveIntent has, each with the Unix time at which it was sent.

        Those of several batches are counted at once, which takes half of the time.
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
            stream, found = self._delivered.popitem()
            self._streams[stream].deliver(*found)

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
    def has_taken(self) -> bool:
        """Whether LiveIntent has any record that came in this run."""
        return any(counts.taken for counts in self.streams.values())
