"""The tally: what a run delivered, in numbers of bounded size."""

from __future__ import annotations

import datetime as dt
import pickle
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from fakes import FakeClock
from msgspec.structs import astuple
from unit_support import ADDRESS, DAY, MD5, NOW, SHA2, TIME, conversion, order

from target_liveintent.conversions.wire import SentEvent, read_back
from target_liveintent.reporting.run_report.model import DayValue, TimeStep
from target_liveintent.reporting.run_report.tally import (
    AGES,
    FIELDS,
    LATENCIES,
    Histogram,
    Tally,
    Timeline,
)
from target_liveintent.reporting.run_report.words import short_age
from target_liveintent.run.counts import RunCounts

UTC = dt.timezone.utc


def sent(*records: dict[str, Any]) -> list[SentEvent]:
    """The events of mapped records, read back from the bytes that are sent."""
    return read_back(conversion(order(**record)) for record in records)


def tallied(*records: dict[str, Any], at: float = NOW, zone: dt.tzinfo = UTC) -> Tally:
    tally = Tally(zone, FakeClock())
    tally.delivered("orders", sent(*records), [at] * len(records))
    return tally


# Read back


def test_read_back() -> None:
    """An event is read back as it was sent, its value to the last digit."""
    (event,) = sent({"value": "1234567890.123456789", "currency": "usd", "order_id": 7})
    assert event.event_time == TIME
    assert (event.user_data.md5, event.user_data.sha2) == (MD5, SHA2)
    assert event.purchase_data.value == Decimal("1234567890.123456789")
    assert (event.purchase_data.currency, event.purchase_data.order_id) == ("USD", "7")
    assert ADDRESS not in repr(event)


# Histograms


def test_steps_of_a_histogram() -> None:
    """A number belongs to the first step whose bound it does not exceed."""
    histogram = Histogram((1, 10, 100))
    for number in (-5, 0.5, 1, 1.1, 10, 99, 100, 101, 1e9):
        histogram.add(number)
    assert histogram.counts == [3, 2, 2, 2]
    assert histogram.steps == [(1, 3), (10, 2), (100, 2), (None, 2)]
    assert (histogram.total, histogram.largest) == (9, 1e9)
    assert (histogram.up_to(1), histogram.up_to(100)) == (3, 7)


def test_the_steps_of_age() -> None:
    """Reports of different days can be compared, as the bounds never change."""
    bounds = "1m 5m 15m 1h 3h 6h 12h 1d 2d 4d 7d 14d 30d"
    assert [short_age(age) for age in AGES] == bounds.split()


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_quantiles(share: float) -> None:
    """A quantile is exact to a step, which is a third wider than the one before."""
    histogram = Histogram(LATENCIES)
    for n in range(1, 1001):
        histogram.add(n / 1000)
    assert share <= histogram.quantile(share) <= share * 1.34
    assert Histogram(LATENCIES).quantile(share) == 0


def test_latencies_above_all_steps() -> None:
    """A request that took longer than the longest step is the longest."""
    tally = Tally(UTC, FakeClock())
    tally.delivered("orders", [], [], [0.01, 5_000])
    assert tally.latencies.quantile(1.0) == tally.latencies.largest == 5_000


# The time-line


def update(timeline: Timeline, clock: FakeClock, seconds: float, **counts: int) -> None:
    """Update a timeline that many seconds after its start."""
    clock.now = NOW + seconds
    report = RunCounts()
    stream = report.of("orders")
    stream.delivered, stream.filtered = counts.get("delivered", 0), counts.get("filtered", 0)
    stream.rejected["no_identity"] = counts.get("rejected", 0)
    timeline.update(report)


@pytest.mark.parametrize("length", [1, 47, 48, 49, 1_000, 100_000])
def test_a_time_line_of_any_length(length: int) -> None:
    """A run of any length has at most 48 steps, and they add up."""
    clock = FakeClock()
    timeline = Timeline(clock)
    for n in range(length):
        update(timeline, clock, n, delivered=n + 1, rejected=2 * (n + 1), filtered=3 * (n + 1))
    steps = timeline.steps
    assert len(steps) <= 48
    assert len(steps) > 24 or timeline.width == 1
    assert timeline.width * (len(steps) - 1) < length <= timeline.width * len(steps)
    sums = [sum(counts) for counts in zip(*map(astuple, steps), strict=True)]
    assert sums == [length, 2 * length, 0, 3 * length]


def test_steps_are_where_things_happened() -> None:
    """What happens after a pause is not spread over the pause; joined steps keep their place."""
    clock = FakeClock()
    timeline = Timeline(clock)
    update(timeline, clock, 0.5, delivered=10)
    update(timeline, clock, 40.2, delivered=15)
    assert delivered_by_step(timeline) == {0: 10, 40: 5}
    update(timeline, clock, 70.0, delivered=16)
    assert timeline.width == 2
    assert delivered_by_step(timeline) == {0: 10, 20: 5, 35: 1}


def test_steps_in_which_nothing_happened() -> None:
    """The steps of a pause are zero for every outcome."""
    clock = FakeClock()
    timeline = Timeline(clock)
    update(timeline, clock, 0.5, delivered=1)
    update(timeline, clock, 2.5, delivered=1)
    assert [astuple(step) for step in timeline.steps] == [(1, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]


def delivered_by_step(timeline: Timeline) -> dict[int, int]:
    return {n: step.delivered for n, step in enumerate(timeline.steps) if any(astuple(step))}


def test_an_update_from_the_counts() -> None:
    """A step has the outcomes of all streams, each counted once."""
    report, timeline = RunCounts(), Timeline(FakeClock())
    report.of("a").delivered = 5
    report.of("b").rejected["no_identity"] = 2
    report.of("b").dropped["suppressed"] = 1
    counts = report.of("c")
    counts.filtered, counts.unmapped = 1, 2
    counts.not_replayed["unconfirmed"] = 4
    timeline.update(report)
    timeline.update(report)
    assert timeline.steps == [TimeStep(5, 2, 1, 7)]


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
    assert list(EACH) == list(FIELDS)


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
    """Streams and sources are counted apart; batches add up."""
    tally = Tally(UTC, FakeClock())
    for stream, source, count in (
        ("b", "web", 2),
        ("a", "app", 1),
        ("b", "web", 1),
        ("b", "app", 3),
    ):
        tally.delivered(
            stream, sent(*[{"source": source, "ip": "192.0.2.1"}] * count), [NOW] * count
        )
    found = [(one.stream, one.source, one.events, one.having["ip"]) for one in tally.coverage()]
    assert found == [("a", "app", 1, 1), ("b", "app", 3, 3), ("b", "web", 3, 3)]


# Ages


def test_ages_by_source() -> None:
    """Each event has its own age, at the time when it was sent."""
    tally = Tally(UTC, FakeClock())
    events = sent({"event_time": TIME}, {"event_time": TIME - 60}, {"source": "offline"})
    tally.delivered("orders", events, [TIME + 3_600, TIME + 3_600, TIME + 10])
    tally.delivered("refunds", events[:1], [TIME + 60])
    assert {key: ages.total for key, ages in tally.ages.items()} == {
        ("orders", "web"): 2,
        ("orders", "offline"): 1,
        ("refunds", "web"): 1,
    }
    sources = tally.ages_by_source()
    assert list(sources) == ["offline", "web"]
    assert (sources["web"].total, sources["web"].up_to(3_600)) == (3, 2)
    assert sources["web"].largest == 3_660
    assert sources["offline"].up_to(60) == 1


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
    assert new_york == [DayValue("EUR", dt.date(2026, 7, 30), 2, Decimal(10))]


def test_currencies_are_not_mixed() -> None:
    """Each currency has its sum, and so have values without one."""
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
    size = len(pickle.dumps(tally))
    for _ in range(100):
        tally.delivered("orders", events, [NOW] * 100)
    assert len(pickle.dumps(tally)) - size < 50  # (Larger numbers have more bytes.)
    assert next(tally.coverage()).events == 10_001


# Tallies of several tasks


def test_a_merged_tally_is_that_of_all_events() -> None:
    """What tasks of Spark have counted apart is what one run counts."""
    some = [
        {"value": "1.10", "currency": "usd"},
        {"value": "2", "currency": "usd", "ip": "192.0.2.1"},
    ]
    others = [{"value": "0.05", "currency": "usd", "source": "offline"}, {}]
    whole = tallied(*some, *others)
    whole.latencies.add(0.2)
    merged = Tally(UTC, FakeClock())
    for records in (some, others):
        task: Tally = pickle.loads(pickle.dumps(tallied(*records)))  # noqa: S301
        merged.merge(task)
    one = Tally(UTC, FakeClock())
    one.latencies.add(0.2)
    merged.merge(one)
    assert list(merged.coverage()) == list(whole.coverage())
    assert merged.values() == whole.values()
    ages, expected = merged.ages_by_source(), whole.ages_by_source()
    assert {name: found.counts for name, found in ages.items()} == {
        name: found.counts for name, found in expected.items()
    }
    assert merged.latencies.counts == whole.latencies.counts
