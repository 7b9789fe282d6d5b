"""Compares the events that two configurations make of one input, for `explain --against`.

The first configuration is the one in use, the second is the new one. Where a value has two parts,
they are in this order. The command prints these values as text (comparison.txt), or as one JSON
object. docs/reference/json.md describes the fields of this object. If the meaning of a field
changes, increase `version` in `Comparison`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from typing import NamedTuple

import msgspec

from target_liveintent.conversions.amounts import money_in
from target_liveintent.conversions.coerce import exact
from target_liveintent.conversions.event_model import Event, PurchaseData, UserData
from target_liveintent.store.deduplication import RECENT, TIME_BYTES

_MOST_EXAMPLES = 3
OLD, NEW = _BOTH = (0, 1)
"""The places of the two configurations in a pair."""
_ALONE = (1, 2)
"""For each configuration, the mark of an event that has no counterpart so far."""
_MATCHED = (4, 8)
"""For each configuration, the mark of an event that has a counterpart."""
_OF_EVENT = ("event_time", "source", "decision_id")
"""The columns in `Event` itself, without the IDs that identify the event."""
_digits = Context(prec=100)
"""Exact, because every sum of amounts has fewer digits."""


class EventOfPlan(NamedTuple):
    """An event that a configuration makes of a record.

    Attributes:
        plan: The name under which the map counts the record. A stream may have several maps.
        key: The key by which the store recognizes the event.
        event: The event.
    """

    plan: str
    key: bytes
    event: Event

    @property
    def identity(self) -> bytes:
        """The hash of the account, the pixel, the stream and the event ID."""
        return self.key[TIME_BYTES:]


# The values of the output


class IdAndPixel(msgspec.Struct, frozen=True):
    """What identifies an event within an account and a stream.

    Attributes:
        event_id: The event ID.
        pixel_id: The pixel ID.
    """

    event_id: str
    pixel_id: int

    @classmethod
    def of(cls, event: Event) -> IdAndPixel:
        """Return the ID and the pixel of an event."""
        return cls(event.event_id, event.pixel_id)


class ChangedId(msgspec.Struct, frozen=True):
    """An event in both configurations. If only the account changes, `old` equals `new`.

    Attributes:
        old: The event of the first configuration.
        new: The event of the second configuration.
    """

    old: IdAndPixel
    new: IdAndPixel

    @property
    def words(self) -> str:
        """The change in words: "7 → order-7"."""
        old, new = self.old, self.new
        if old.pixel_id == new.pixel_id:
            return f"{old.event_id} → {new.event_id}"
        return f"{old.event_id} (pixel {old.pixel_id}) → {new.event_id} (pixel {new.pixel_id})"


class ComparisonExamples(msgspec.Struct, frozen=True):
    """Up to three examples of each difference, by event ID.

    Attributes:
        gained: Event IDs that only the second configuration sends.
        lost: Event IDs that only the first configuration sends.
        changed_ids: Events whose ID, pixel or account changes.
        changed: For each column, the IDs of events in which it differs.
    """

    gained: list[str]
    lost: list[str]
    changed_ids: list[ChangedId]
    changed: dict[str, list[str]]


class StreamComparison(msgspec.Struct, frozen=True):
    """The comparison of the events of one stream of the tap.

    Attributes:
        events: How many events each configuration sends. A repeated event ID counts once.
        gained: How many events only the second configuration sends.
        lost: How many events only the first configuration sends.
        changed_ids: How many events would be sent again, because their ID, pixel or account
            changes; they are neither gained nor lost.
        already_delivered: How many of these the first configuration has delivered, according to its
            store; None if the store does not exist.
        changed: For each column, in how many events that both send it differs; event IDs and pixel
            IDs do not count.
        values: For each currency, the exact sums of the values; the name is empty for values
            without a currency.
        matchable: How many events have a hashed address.
        examples: Up to three examples of each difference.
    """

    events: tuple[int, int]
    gained: int
    lost: int
    changed_ids: int
    already_delivered: int | None
    changed: dict[str, int]
    values: dict[str, tuple[Decimal, Decimal]]
    matchable: tuple[int, int]
    examples: ComparisonExamples

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The rows of the table for people: a label, and a text for each configuration."""
        delivered = self.already_delivered
        rows = [
            ("events", *_numbers(self.events)),
            ("only in this configuration", *_numbers((self.lost, self.gained))),
            ("event IDs that change", "", f"{self.changed_ids:,}"),
            ("of these, already delivered", "", "" if delivered is None else f"{delivered:,}"),
            ("with a hashed address", *_numbers(self.matchable)),
        ]
        for currency, (old, new) in self.values.items():
            rows.append((f"value {money_in(currency)}", _amount(old), _amount(new)))
        return [row for row in rows if any(row[1:])]


class Comparison(msgspec.Struct, frozen=True):
    """The output of `explain --against`.

    Attributes:
        notes: Sentences about the settings, and why a run over the same input would fail.
        streams: The comparison of each stream of the tap, by its name.
        version: The version of this format.
    """

    notes: list[str]
    streams: dict[str, StreamComparison]
    version: int = 1

    @property
    def changed_ids(self) -> int:
        """How many events would be sent again, because their IDs change."""
        return sum(stream.changed_ids for stream in self.streams.values())

    @property
    def words(self) -> str:
        """The result in a sentence or two."""
        events = sum(stream.events[OLD] for stream in self.streams.values())
        changed = self.changed_ids
        if not changed:
            return f"No event ID changes ({events:,} in --config)."
        if changed == 1:
            said = f"1 of {events:,} event IDs changes: the event would be sent again"
        else:
            said = f"{changed:,} of {events:,} event IDs change: they would be sent again"
        known = [stream.already_delivered for stream in self.streams.values()]
        if None in known:
            return (
                f"{said}, as duplicates of those that were already delivered. How many these are is"
                " unknown, because --config has no store yet."
            )
        delivered = sum(filter(None, known))
        were = "was" if delivered == 1 else "were"
        return f"{said}, {delivered:,} of them {were} already delivered."

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each column of the tables."""
        heading = ("", "--config", "--against")
        rows = [heading, *(row for stream in self.streams.values() for row in stream.rows)]
        columns = [*zip(*rows, strict=True), [f"Stream {name}" for name in self.streams]]
        first, *others, names = (max(map(len, column), default=0) for column in columns)
        return max(first + 2, names), *others


def notes_on_columns(streams: Sequence[StreamComparison]) -> Iterator[str]:
    """Yield a note if a column changes by which the store recognizes older events."""
    if any({"event_time", "source"} & stream.changed.keys() for stream in streams):
        yield (
            "event_time or source changes. If either changes, the store recognizes only its newest"
            f" {RECENT:,} events. If it has older ones of this input, they would be sent again,"
            " with the same IDs"
        )


def _numbers(pair: tuple[int, int]) -> tuple[str, str]:
    return f"{pair[OLD]:,}", f"{pair[NEW]:,}"


def _amount(value: Decimal) -> str:
    """Return a sum with all of its digits, and at least with cents."""
    cents = f"{value:,.2f}"
    return cents if Decimal(cents.replace(",", "")) == value else f"{value:,}"


# How events are matched


class StreamMatcher:
    """Matches the events that two configurations make of the records of one stream.

    A configuration sends an event ID only once, and so an event counts at the first record that
    gives it. Events of the same identity match, even if they come from different records. Other
    events match if they come from the same record: then, the ID changes. The memory grows only by
    the identities of the events.
    """

    def __init__(self) -> None:
        self._marks: dict[bytes, int] = {}  # By identity.
        self._totals = (_Totals(), _Totals())
        self._alone = (_Examples(), _Examples())
        self._changed_ids: list[ChangedId] = []
        self._changed_id_count = 0
        self._changed: Counter[str] = Counter()
        self._changed_examples: dict[str, list[str]] = {}

    def take(
        self, old: Sequence[EventOfPlan], new: Sequence[EventOfPlan]
    ) -> list[tuple[EventOfPlan, EventOfPlan]]:
        """Match the events of a record, and return the pairs whose ID changes.

        Args:
            old: The events that the first configuration makes of the record.
            new: The events that the second configuration makes of it.
        """
        first_seen = (self._see(OLD, old), self._see(NEW, new))
        for identity in first_seen[OLD].keys() & first_seen[NEW].keys():
            self._compare(first_seen[OLD][identity], first_seen[NEW][identity])
        changed = _pairs(self._without_match(OLD, old), self._without_match(NEW, new))
        for before, after in changed:
            self._match(OLD, before.identity)
            self._match(NEW, after.identity)
            self._note_changed_id(before, after)
            if before.identity in first_seen[OLD] and after.identity in first_seen[NEW]:
                self._compare(before, after)
        return changed

    def _see(self, side: int, events: Sequence[EventOfPlan]) -> dict[bytes, EventOfPlan]:
        """Count the events that a configuration has not sent before; return them by identity."""
        first_seen = {}
        for made in events:
            identity = made.identity
            mark = self._marks.get(identity, 0)
            if mark & (_ALONE[side] | _MATCHED[side]):
                continue
            first_seen[identity] = made
            self._totals[side].add(made.event)
            self._marks[identity] = mark | _ALONE[side]
            self._alone[side].add(identity, made.event.event_id)
            if mark & _ALONE[1 - side]:
                self._match(OLD, identity)
                self._match(NEW, identity)
        return first_seen

    def _without_match(self, side: int, events: Sequence[EventOfPlan]) -> list[EventOfPlan]:
        """Return the events without a counterpart, each once."""
        by_identity = {made.identity: made for made in events}
        return [made for key, made in by_identity.items() if self._marks[key] & _ALONE[side]]

    def _match(self, side: int, identity: bytes) -> None:
        self._marks[identity] ^= _ALONE[side] | _MATCHED[side]
        self._alone[side].remove(identity)

    def _note_changed_id(self, before: EventOfPlan, after: EventOfPlan) -> None:
        self._changed_id_count += 1
        if len(self._changed_ids) < _MOST_EXAMPLES:
            example = ChangedId(IdAndPixel.of(before.event), IdAndPixel.of(after.event))
            self._changed_ids.append(example)

    def _compare(self, before: EventOfPlan, after: EventOfPlan) -> None:
        for column in differing_columns(before.event, after.event):
            self._changed[column] += 1
            examples = self._changed_examples.setdefault(column, [])
            if len(examples) < _MOST_EXAMPLES:
                examples.append(after.event.event_id)

    def figures(self, already_delivered: int | None) -> StreamComparison:
        """Return the figures of all records so far; `StreamComparison` explains the argument."""
        old, new = self._totals
        currencies = sorted({*old.values, *new.values})
        zero = Decimal(0)
        return StreamComparison(
            events=(old.events, new.events),
            gained=self._alone[NEW].count,
            lost=self._alone[OLD].count,
            changed_ids=self._changed_id_count,
            already_delivered=already_delivered,
            changed=dict(self._changed.most_common()),
            values={c: (old.values.get(c, zero), new.values.get(c, zero)) for c in currencies},
            matchable=(old.matchable, new.matchable),
            examples=ComparisonExamples(
                gained=self._alone[NEW].shown,
                lost=self._alone[OLD].shown,
                changed_ids=self._changed_ids,
                changed=self._changed_examples,
            ),
        )


class _Totals:
    """The totals of the events that one configuration sends."""

    def __init__(self) -> None:
        self.events = self.matchable = 0
        self.values: dict[str, Decimal] = {}

    def add(self, event: Event) -> None:
        user, purchase = event.user_data, event.purchase_data
        self.events += 1
        self.matchable += user.md5 is not None or user.sha2 is not None
        if purchase.value is not None:
            currency = purchase.currency or ""
            known = self.values.get(currency, Decimal(0))
            self.values[currency] = _digits.add(known, exact(purchase.value))


class _Examples:
    """The number of events without a counterpart, and the IDs of a few of them."""

    def __init__(self) -> None:
        self.count = 0
        self._ids: dict[bytes, str] = {}

    @property
    def shown(self) -> list[str]:
        return [*self._ids.values()]

    def add(self, identity: bytes, event_id: str) -> None:
        self.count += 1
        if len(self._ids) < _MOST_EXAMPLES:
            self._ids[identity] = event_id

    def remove(self, identity: bytes) -> None:
        self.count -= 1
        self._ids.pop(identity, None)


def _pairs(
    old: Sequence[EventOfPlan], new: Sequence[EventOfPlan]
) -> list[tuple[EventOfPlan, EventOfPlan]]:
    """Return pairs of events of a record: those of maps with the same name, then the rest."""
    pairs, rest, left = [], [], [*new]
    for before in old:
        same_map = next((after for after in left if after.plan == before.plan), None)
        if same_map is None:
            rest.append(before)
        else:
            left.remove(same_map)
            pairs.append((before, same_map))
    return [*pairs, *zip(rest, left, strict=False)]


def differing_columns(before: Event, after: Event) -> list[str]:
    """Return the columns that differ in two events; event ID and pixel ID do not count.

    A value may be a float or a decimal number: 0.1 is the same as a decimal 0.10.
    """
    if before == after:
        return []
    parts = (
        (_OF_EVENT, before, after),
        (UserData.__struct_fields__, before.user_data, after.user_data),
        (PurchaseData.__struct_fields__, before.purchase_data, after.purchase_data),
    )
    return [
        name
        for names, old, new in parts
        for name in names
        if _differs(getattr(old, name), getattr(new, name))
    ]


def _differs(old: object, new: object) -> bool:
    return old != new and _comparable(old) != _comparable(new)


def _comparable(value: object) -> object:
    return exact(value) if isinstance(value, (float, Decimal)) else value
