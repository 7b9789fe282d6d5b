"""How the events of two configurations are matched, and how the comparison is printed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from unit_support import each_of

from target_liveintent.conversions.event_model import event_of
from target_liveintent.explain.comparison import (
    Comparison,
    EventOfPlan,
    StreamComparison,
    StreamMatcher,
    differing_columns,
    notes_on_columns,
)
from target_liveintent.printing import lines_of

SENT = {"event_time": 1_785_500_000, "pixel_id": 1, "source": "web", "md5": "a" * 32}


def made(event_id: str, plan: str = "orders", **changes: Any) -> EventOfPlan:
    """Return an event whose identity is its event ID and its pixel."""
    event = event_of({"event_id": event_id, **SENT, **changes})
    return EventOfPlan(plan, f"time-{event_id}-{event.pixel_id}".encode(), event)


Row = tuple[str, str]
"""The IDs that each configuration makes of a record, separated by spaces."""


def matched(rows: Sequence[Row], already_delivered: int | None = None) -> StreamComparison:
    """Match the events of rows; an ID such as `leads:7` names its map."""
    matcher = StreamMatcher()
    for old, new in rows:
        matcher.take(*(_events(ids) for ids in (old, new)))
    return matcher.figures(already_delivered)


def _events(ids: str) -> list[EventOfPlan]:
    parts = [text.rpartition(":") for text in ids.split()]
    return [made(event_id, plan or "orders") for plan, _, event_id in parts]


# Rows, and how many events each configuration sends, are gained, are lost, and change their ID.
CASES: dict[str, tuple[list[Row], tuple[int, int, int, int, int]]] = {
    "equal": ([("1", "1"), ("2", "2")], (2, 2, 0, 0, 0)),
    "only the new one": ([("", "1"), ("2", "2")], (1, 2, 1, 0, 0)),
    "only the old one": ([("1", ""), ("2", "2")], (2, 1, 0, 1, 0)),
    "other IDs": ([("1", "o-1"), ("2", "o-2")], (2, 2, 0, 0, 2)),
    # A run sends an event ID only once.
    "a repeated row": ([("1", "o-1"), ("1", "o-1")], (1, 1, 0, 0, 1)),
    "a repeated row of both": ([("1", "1"), ("1", "1"), ("1", "1")], (1, 1, 0, 0, 0)),
    "the IDs of customers become those of orders": (
        [("c", "1"), ("c", "2"), ("c", "3")],
        (1, 3, 2, 0, 1),
    ),
    "the IDs of orders become those of customers": (
        [("1", "c"), ("2", "c"), ("3", "c")],
        (3, 1, 0, 2, 1),
    ),
    # A row comes again after a change, and only then passes the filter of one configuration.
    "the same ID from a later row of the old one": ([("", "1"), ("1", "1")], (1, 1, 0, 0, 0)),
    "the same ID from a later row of the new one": ([("1", ""), ("1", "1")], (1, 1, 0, 0, 0)),
    "another ID from a later row of the old one": ([("", "o-1"), ("1", "o-1")], (1, 1, 0, 0, 1)),
    "another ID from a later row of the new one": ([("1", ""), ("1", "o-1")], (1, 1, 0, 0, 1)),
    "the same ID from two rows": ([("1", ""), ("", "1")], (1, 1, 0, 0, 0)),
    # The ID of one event becomes that of another.
    "exchanged IDs": ([("1", "2"), ("2", "1")], (2, 2, 0, 0, 2)),
    # Several maps use the record.
    "two maps": ([("1 leads:l-1", "1 leads:l-1")], (2, 2, 0, 0, 0)),
    "two maps with equal IDs": ([("1 leads:1", "1 leads:1")], (1, 1, 0, 0, 0)),
    "a map more": ([("1", "leads:l-1 1")], (1, 2, 1, 0, 0)),
    "a map less": ([("leads:l-1 1", "1")], (2, 1, 0, 1, 0)),
    "another ID in one of two maps": ([("1 leads:l-1", "leads:x-1 1")], (2, 2, 0, 0, 1)),
    "other IDs in both maps": ([("1 leads:l-1", "leads:x-1 o-1")], (2, 2, 0, 0, 2)),
    "another name and other IDs": ([("1", "shop:o-1")], (1, 1, 0, 0, 1)),
    "two events of one name": ([("1 2", "o-1")], (2, 1, 0, 1, 1)),
}


@each_of("case", CASES)
def test_which_events_match(case: tuple[list[Row], tuple[int, int, int, int, int]]) -> None:
    rows, expected = case
    result = matched(rows)
    counts = (*result.events, result.gained, result.lost, result.changed_ids)
    assert counts == expected


def test_the_pairs_for_the_store() -> None:
    """The caller learns whose ID changes: the map of the same name comes first."""
    matcher = StreamMatcher()
    pairs = matcher.take(_events("1 leads:l-1"), _events("leads:x-1 o-1"))
    assert [(old.event.event_id, new.event.event_id) for old, new in pairs] == [
        ("1", "o-1"),
        ("l-1", "x-1"),
    ]
    assert matcher.take(_events("1 leads:l-1"), _events("leads:x-1 o-1")) == []


IDS = st.lists(st.sampled_from("1234"), max_size=3, unique=True).map(" ".join)


@given(st.lists(st.tuples(IDS, IDS)))
def test_each_event_is_counted_once(rows: list[Row]) -> None:
    """It is kept, changed, gained or lost; those that both send are kept unless paired before."""
    result = matched(rows)
    sent = [{event_id for row in rows for event_id in row[side].split()} for side in (0, 1)]
    assert result.events == (len(sent[0]), len(sent[1]))
    kept = {result.events[0] - result.lost, result.events[1] - result.gained}
    assert len(kept) == 1
    assert result.changed_ids <= kept.pop()
    assert min(result.gained, result.lost, result.changed_ids) >= 0


@given(st.lists(IDS), st.randoms())
def test_the_same_events_in_another_order(rows: list[str], chance: Any) -> None:
    """If both configurations make the same events of each row, nothing differs."""
    mixed = [" ".join(chance.sample(row.split(), len(row.split()))) for row in rows]
    result = matched([*zip(rows, mixed, strict=True)])
    assert (result.gained, result.lost, result.changed_ids, result.changed) == (0, 0, 0, {})


# Columns


@pytest.mark.parametrize(
    ("old", "new", "columns"),
    [
        ({"value": 12.5}, {"value": Decimal("12.50")}, []),
        ({"value": 0.1}, {"value": Decimal("0.1")}, []),
        ({"value": 12.5}, {"value": 1250}, ["value"]),
        ({"value": 12.5}, {}, ["value"]),
        ({"pixel_id": 1}, {"pixel_id": 2}, []),
        ({"source": "web"}, {"source": "app", "decision_id": "x"}, ["source", "decision_id"]),
        ({"md5": None}, {"ip": "203.0.113.7"}, ["md5", "ip"]),
        ({"currency": "EUR"}, {"order_id": "7"}, ["currency", "order_id"]),
    ],
    ids=["digits", "tenths", "cents", "none", "pixel", "source", "person", "order"],
)
def test_which_columns_differ(old: dict[str, Any], new: dict[str, Any], columns: list[str]) -> None:
    """Neither the event ID nor the pixel counts: they are a part of what identifies the event."""
    assert differing_columns(made("1", **old).event, made("2", **new).event) == columns


def test_columns_count_once_for_an_event() -> None:
    """They are compared at the first row of both, also if the ID changes; IDs are examples."""
    matcher = StreamMatcher()
    for number in range(5):
        for value in (1, 2):  # The second row is a repetition with another value.
            old, new = made(f"{number}", value=value), made(f"o-{number}", value=value * 100)
            matcher.take([old], [new])
    matcher.take([], [made("9", value=1)])
    matcher.take([made("9", value=7)], [made("9", value=7)])  # Nobody knows the first value.
    result = matcher.figures(None)
    assert result.changed == {"value": 5}
    assert result.examples.changed == {"value": ["o-0", "o-1", "o-2"]}
    assert [example.words for example in result.examples.changed_ids] == [
        f"{number} → o-{number}" for number in range(3)
    ]


def test_values_are_exact_and_count_once() -> None:
    """They are sums by currency; the empty text means no currency."""
    matcher = StreamMatcher()
    for number in range(10):
        old = made(f"{number}", value=0.1, currency="EUR")
        new = made(f"{number}", value=Decimal("0.10"), md5=None)
        matcher.take([old], [new])
        matcher.take([old], [new])
    result = matcher.figures(None)
    assert result.values == {"": (0, Decimal("1.0")), "EUR": (Decimal("1.0"), 0)}
    assert result.matchable == (10, 0)


# The text


def test_what_the_text_says(snapshot: SnapshotAssertion) -> None:
    """First what matters most, then a table for each stream, whose columns are aligned."""
    orders = StreamMatcher()
    for number in range(12):
        old = made(f"{number}", value=1_234.5, currency="EUR")
        new = made(f"o-{number}" if number < 2 else f"{number}", value=Decimal("1250.123"))
        orders.take([old] if number != 11 else [], [new] if number > 0 else [])
    leads = StreamMatcher()
    leads.take([made("7")], [made("7", pixel_id=2)])
    streams = {"orders": orders.figures(1), "leads": leads.figures(0)}
    found = Comparison(["--config: a sentence", "Another one."], streams)
    assert "\n".join(lines_of("explain/comparison.txt", found)) == snapshot


WORDS = {
    "nothing changes": ([("1", "1")], 0, "No event ID changes (1 in --config)."),
    "one": ([("1", "o-1")], 1, "1 of 1 event IDs changes: the event would be sent again, 1 of"),
    "many": (
        [("1", "x"), ("2", "y")],
        0,
        "2 of 2 event IDs change: they would be sent again, 0 of",
    ),
    "no store": ([("1", "x")], None, "is unknown, because --config has no store yet."),
}


@each_of("case", WORDS)
def test_the_first_sentence(case: tuple[list[Row], int | None, str]) -> None:
    rows, delivered, words = case
    assert words in Comparison([], {"orders": matched(rows, delivered)}).words


def test_a_note_on_times() -> None:
    """If the event time or the source changes, the store may not recognize older events."""
    for changes, expected in (({"source": "app"}, 1), ({"event_time": 1}, 1), ({"value": 1}, 0)):
        matcher = StreamMatcher()
        matcher.take([made("1")], [made("1", **changes)])
        assert len([*notes_on_columns([matcher.figures(None)])]) == expected
