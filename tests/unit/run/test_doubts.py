"""Warnings about what the records of a stream had in common."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from unit_support import DEFAULTS, NOW, order, rejection

from target_liveintent.conversions import EventBuilder
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.doubts import left_out_columns


def counts_of(*records: dict[str, Any]) -> StreamCounts:
    """Count records as a run does."""
    counts = StreamCounts(mapped=frozenset({"email"}))
    columns = {column for record in records for column in record}
    builder = EventBuilder("orders", columns, (), DEFAULTS)
    builder.causes = counts.causes
    for record in records:
        counts.read += 1
        result = builder.build(record, record, NOW, counts.left_out)
        if hasattr(result, "reason"):
            counts.reject(result)
        else:
            counts.delivered += 1
    return counts


ORDER = order(value=1, currency="USD", ip="203.0.113.9", email="ann@example.com")


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("email", "Jane Doe", '"x x" is neither an e-mail address nor a hash of one'),
        ("email", 4711, '"9999" is neither an e-mail address nor a hash of one'),
        ("ip", "10.0.0.5", '"99.9.9.9" is not a public IP address'),
        ("value", "99,50", '"99,99" is not a number with a decimal point'),
        ("currency", "Euro", '"x" is not a three-letter code, such as EUR'),
        ("order_id", [1], "a value of the type list is not a text"),
        ("order_id", "jane@example.com", '"x@x.x" is not a text, or has an e-mail address in it'),
    ],
)
def test_a_column_that_is_left_out(column: str, value: Any, cause: str) -> None:
    """From five events and five percent on, the column, the cause and the shape are said."""
    few = [{**ORDER, column: value}] * 4
    many = [{**ORDER, column: value}] * 5
    known = column in ("value", "currency")  # What was sent without them cannot be corrected.
    assert len(list(counts_of(*few, *[ORDER] * 50).doubts())) == known
    assert len(list(counts_of(*many, *[ORDER] * 95).doubts())) == known
    (said,) = counts_of(*many, *[ORDER] * 94).doubts()
    assert said.startswith(f"{column} is left out of 5 of 99 events: {cause}")
    assert f". Check what is mapped to {column}" in said


def test_the_most_frequent_cause_is_said() -> None:
    causes = {"value: rare": 1, "value: frequent": 4, "ip: other": 9}
    (said,) = left_out_columns({"value": 5}, causes, 5)
    assert said.startswith("value is left out of 5 of 5 events: frequent. ")


def test_causes_are_bounded() -> None:
    """Columns in which each value is written in another way cost no more memory."""
    values = ("-" * a + "." * b for a in range(1, 20) for b in range(1, 20))
    counts = counts_of(*({**ORDER, "value": value} for value in values))
    assert len(counts.causes) <= 200
    assert counts.left_out["value"] == 19 * 19


@pytest.mark.parametrize(("empty", "warns"), [(4, False), (5, True)])
def test_an_empty_event_id(empty: int, *, warns: bool) -> None:
    """It falls back to the keys, which is counted, and a warning if it happens often."""
    records = [{**ORDER, "event_id": None, "order_id": n} for n in range(empty)]
    counts = counts_of(*records, *[ORDER] * 20)
    assert counts.left_out["event_id empty"] == empty
    said = list(counts.doubts())
    assert [one.partition(",")[0] for one in said] == (
        [f"event_id is empty in {empty} of {20 + empty} events"] if warns else []
    )


@pytest.mark.parametrize(
    ("read", "filtered", "mapped", "warns"),
    [
        (5, 5, "email", True),
        (4, 4, "email", False),
        (6, 5, "email", False),
        (0, 0, "email", False),
        (5, 5, "", False),  # The map drops the stream as a whole.
    ],
)
def test_a_filter_that_removes_everything(
    read: int, filtered: int, mapped: str, *, warns: bool
) -> None:
    counts = StreamCounts(read, filtered=filtered, mapped=frozenset(mapped.split()))
    said = list(counts.doubts())
    assert len(said) == warns
    assert all("the filter of the map removes all 5 records" in one for one in said)


@pytest.mark.parametrize(
    ("old", "read", "warns"), [(5, 9, True), (5, 10, False), (4, 4, False), (480, 500, True)]
)
def test_times_out_of_range(old: int, read: int, *, warns: bool) -> None:
    """More than half of the records: the warning shows how the times are written."""
    counts = StreamCounts(read + 3, filtered=2, unmapped=1, delivered=read - old)
    for _ in range(old):
        counts.reject(rejection(order(event_time="2020-01-31 10:00")))
    said = list(counts.doubts())
    assert len(said) == warns
    for one in said:
        assert one.startswith(
            f"{old} of {read} records are too old or in the future (event_too_old {old}); their"
            ' event_time looks like "9999-99-99 99:99". A first run over older rows is normal.'
        )


def test_old_and_future_times() -> None:
    """Both count together, as a wrong form of times gives some of each."""
    rejected = Counter(event_in_future=2, event_too_old=3)
    (said,) = StreamCounts(6, delivered=1, rejected=rejected).doubts()
    assert said.startswith(
        "5 of 6 records are too old or in the future (event_too_old 3, event_in_future 2). A first"
    )
