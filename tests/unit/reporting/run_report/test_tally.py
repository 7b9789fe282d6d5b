"""What a run delivered, in numbers whose size does not depend on how much it was."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import ADDRESS, DAY, MD5, NOW, SHA2, TIME, conversion, order

from target_liveintent.reporting.run_report.tally import (
    AGES,
    FIELDS,
    LATENCIES,
    Histogram,
    Step,
    Tally,
    Timeline,
    Value,
)
from target_liveintent.run.counts import RunCounts
from target_liveintent.storage.delivered import SentEvent, read_back

if TYPE_CHECKING:
    from collections.abc import Iterable

UTC = dt.timezone.utc


def sent(*records: dict[str, Any]) -> list[SentEvent]:
    """The events of mapped records, read back from the bytes that are sent."""
    return read_back(conversion(order(**record)) for record in records)


def tallied(*records: dict[str, Any], at: float = NOW, zone: dt.tzinfo = UTC) -> Tally:
    tally = Tally(zone)
    tally.add("orders", sent(*records), [at] * len(records))
    return tally


# Read back


def test_read_back() -> None:
    """What is told of an event is what was sent, the amount to its last digit."""
    (event,) = sent({"value": "1234567890.123456789", "currency": "usd", "order_id": 7})
    assert event.event_time == TIME
    assert (event.user_data.md5, event.user_data.sha2) == (MD5, SHA2)
    assert event.purchase_data.value == Decimal("1234567890.123456789")
    assert (event.purchase_data.currency, event.purchase_data.order_id) == ("USD", "7")
    assert ADDRESS not in repr(event)


# Histograms


def test_steps_of_a_histogram() -> None:
    """A number belongs to the first step whose bound it does not exceed; none is lost."""
    histogram = Histogram((1, 10, 100))
    for number in (-5, 0.5, 1, 1.1, 10, 99, 100, 101, 1e9):
        histogram.add(number)
    assert histogram.counts == [3, 2, 2, 2]
    assert (histogram.total, histogram.largest) == (9, 1e9)
    assert (histogram.up_to(1), histogram.up_to(100)) == (3, 7)


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_quantiles(share: float) -> None:
    """A quantile is known to a step, which is a third wider than the one before."""
    histogram = Histogram(LATENCIES)
    for n in range(1, 1001):
        histogram.add(n / 1000)
    assert share <= histogram.quantile(share) <= share * 1.34
    assert Histogram(LATENCIES).quantile(share) == 0


def test_latencies_above_all_steps() -> None:
    """A request that took longer than the longest step is the longest."""
    tally = Tally(UTC)
    tally.add_latencies([0.01, 5_000])
    assert tally.latencies.quantile(1.0) == tally.latencies.largest == 5_000


# The time-line


def _booked(timeline: Timeline, seconds: Iterable[float]) -> int:
    booked = 0
    for booked, at in enumerate(seconds, 1):
        timeline._book(at, Step(booked, 2 * booked, 0, 3 * booked))
    return booked


@pytest.mark.parametrize("length", [1, 47, 48, 49, 1_000, 100_000])
def test_a_time_line_of_any_length(length: int) -> None:
    """However long a run is, there are at most 48 steps, and all adds up."""
    timeline = Timeline()
    booked = _booked(timeline, range(length))
    steps = timeline.steps
    assert len(steps) <= 48
    assert len(steps) > 24 or timeline.width == 1
    assert timeline.width * (len(steps) - 1) < length <= timeline.width * len(steps)
    assert Step(*map(sum, zip(*steps, strict=True))) == (booked, 2 * booked, 0, 3 * booked)


def test_steps_are_where_things_happened() -> None:
    """What happened after a silence is not spread over it; joined steps keep their place."""
    timeline = Timeline()
    timeline._book(0.5, Step(10))
    timeline._book(40.2, Step(15))
    assert {n: step.delivered for n, step in enumerate(timeline.steps) if any(step)} == {
        0: 10,
        40: 5,
    }
    timeline._book(70.0, Step(16))
    assert timeline.width == 2
    assert {n: step.delivered for n, step in enumerate(timeline.steps) if any(step)} == {
        0: 10,
        20: 5,
        35: 1,
    }


def test_a_look_at_the_counts() -> None:
    """All fates of all streams are in it, each in its kind."""
    report, timeline = RunCounts(), Timeline()
    report.of("a").delivered = 5
    report.of("b").rejected["no_identity"] = 2
    report.of("b").dropped["suppressed"] = 1
    counts = report.of("c")
    counts.filtered, counts.unmapped = 1, 2
    counts.not_replayed["unconfirmed"] = 4
    timeline.look(report)
    timeline.look(report)
    assert timeline.steps == [Step(5, 2, 1, 7)]


# Coverage

EACH: dict[str, dict[str, Any]] = {
    "md5": {"email": None, "md5": MD5},
    "sha2": {"email": None, "sha2": SHA2},
    "both": {},
    "decision_id": {"decision_id": "6d92078a-8246-4ba4-ae5b-76104861e7dc"},
    "ip": {"ip": "192.0.2.1"},
    "user_agent": {"user_agent": "Mozilla/5.0"},
    "device_id": {"aaid": "6d92078a-8246-4ba4-ae5b-76104861e7dc"},
    "order_id": {"order_id": "1"},
    "value": {"value": 0},
    "currency": {"currency": "EUR"},
}


def test_every_field_is_tried() -> None:
    assert tuple(EACH) == FIELDS


@pytest.mark.parametrize("field", FIELDS)
def test_coverage_of_a_field(field: str) -> None:
    """One of three events has it."""
    without = {"email": None, "md5": MD5} if field in {"sha2", "both"} else {}
    if field == "md5":
        without = {"email": None, "sha2": SHA2}
    (found,) = tallied(EACH[field], without, without).coverage()
    assert found.events == 3
    assert found.having[field] == 1


def test_coverage_by_stream_and_source() -> None:
    """Streams and sources are told apart; batches add up."""
    tally = Tally(UTC)
    for stream, source, count in (
        ("b", "web", 2),
        ("a", "app", 1),
        ("b", "web", 1),
        ("b", "app", 3),
    ):
        tally.add(stream, sent(*[{"source": source, "ip": "192.0.2.1"}] * count), [NOW] * count)
    found = [(one.stream, one.source, one.events, one.having["ip"]) for one in tally.coverage()]
    assert found == [("a", "app", 1, 1), ("b", "app", 3, 3), ("b", "web", 3, 3)]


# Ages


def test_ages_by_source() -> None:
    """An age is that at sending, each event's own."""
    tally = Tally(UTC)
    events = sent({"event_time": TIME}, {"event_time": TIME - 60}, {"source": "offline"})
    tally.add("orders", events, [TIME + 3_600, TIME + 3_600, TIME + 10])
    assert tally.ages["web"].up_to(3_600) == 1
    assert tally.ages["web"].largest == 3_660
    assert tally.ages["offline"].up_to(60) == 1


def test_steps_of_age_have_the_windows() -> None:
    assert {3_600, DAY, 7 * DAY, 30 * DAY} <= set(AGES)


# Values


def test_value_is_exact() -> None:
    """Ten cents a hundred times are ten, and a large amount does not swallow them."""
    tally = tallied(*[{"value": 0.1, "currency": "USD"}] * 100, {"value": 1e300, "currency": "USD"})
    (found,) = tally.values()
    assert str(found.value) == f"1{'0' * 298}10.0"
    assert found.events == 101


def test_value_by_day_of_a_zone() -> None:
    """A day begins where the setting `timezone` says, summer time included."""
    midnight = 1_785_456_000  # 2026-07-31T00:00:00Z
    record = {"value": 5, "currency": "EUR"}
    records = [{**record, "event_time": midnight - 1}, {**record, "event_time": midnight}]
    utc = tallied(*records).values()
    assert [(one.day.isoformat(), one.value) for one in utc] == [
        ("2026-07-30", 5),
        ("2026-07-31", 5),
    ]
    new_york = tallied(*records, zone=zoneinfo.ZoneInfo("America/New_York")).values()
    assert new_york == [Value("EUR", dt.date(2026, 7, 30), 2, Decimal(10))]


def test_currencies_are_not_mixed() -> None:
    """Nor is what has none added to what has one; what has no value is not counted."""
    tally = tallied(
        {"value": 1, "currency": "EUR"},
        {"value": 2, "currency": "USD"},
        {"value": 4},
        {"currency": "USD"},
    )
    assert [(one.currency, one.value) for one in tally.values()] == [
        ("", 4),
        ("EUR", 1),
        ("USD", 2),
    ]


def test_more_currencies_than_there_are() -> None:
    """Three free letters cannot fill the memory: beyond the fiftieth, events are only counted."""
    names = [f"{a}{b}X" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
    tally = tallied(*({"value": 1, "currency": name} for name in names))
    found = tally.values()
    assert len(found) == 51
    assert [(one.events, one.value) for one in found if one.currency == "others"] == [(50, 0)]


def test_memory_is_bounded() -> None:
    """A hundred times as many events of the same kinds leave the same tally behind."""
    record = {"value": 1, "currency": "EUR", "ip": "192.0.2.1"}
    tally = tallied(record)
    events = sent(*[record] * 100)
    size = (len(tally._combinations), len(tally._values), len(tally._days), len(tally.ages))
    for _ in range(100):
        tally.add("orders", events, [NOW] * 100)
    again = (len(tally._combinations), len(tally._values), len(tally._days), len(tally.ages))
    assert size == again == (1, 1, 1, 1)
    assert next(tally.coverage()).events == 10_001
