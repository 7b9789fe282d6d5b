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
from unit_support import MD5, NOW, SHA2, conversion, order

from target_liveintent.conversions.model import Event
from target_liveintent.reporting.run_report.model import DayValue, TimeStep
from target_liveintent.reporting.run_report.tally import (
    FIELDS,
    Histogram,
    Tally,
    Timeline,
)
from target_liveintent.run.counts import RunCounts

UTC = dt.timezone.utc


def sent(*records: dict[str, Any]) -> list[Event]:
    """The events of mapped records."""
    return [conversion(order(**record)).event for record in records]


def empty() -> Tally:
    return Tally(UTC, FakeClock())


def tallied(*records: dict[str, Any], at: float = NOW, zone: dt.tzinfo = UTC) -> Tally:
    tally = Tally(zone, FakeClock())
    tally.delivered("orders", sent(*records), [at] * len(records))
    return tally


def test_steps_of_a_histogram() -> None:
    """A number belongs to the first step whose bound it does not exceed."""
    histogram = Histogram((1, 10, 100))
    for number in (-5, 0.5, 1, 1.1, 10, 99, 100, 101, 1e9):
        histogram.add(number)
    assert histogram.steps == [(1, 3), (10, 2), (100, 2), (None, 2)]
    assert (histogram.total, histogram.largest) == (9, 1e9)
    assert (histogram.up_to(1), histogram.up_to(100)) == (3, 7)


class Line(Timeline):
    """A time-line with a clock of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        super().__init__(self.clock)

    def at(self, seconds: float, delivered: int, rejected: int = 0, filtered: int = 0) -> None:
        """Update it that many seconds after its start."""
        self.clock.now = NOW + seconds
        report = RunCounts()
        stream = report.of("orders")
        stream.delivered, stream.filtered = delivered, filtered
        stream.rejected["no_identity"] = rejected
        self.update(report)


@pytest.mark.parametrize("length", [1, 47, 48, 49, 1_000, 10_000])
def test_a_time_line_of_any_length(length: int) -> None:
    """A run of any length has at most 48 steps, and they add up."""
    timeline = Line()
    for n in range(length):
        timeline.at(n, n + 1, 2 * (n + 1), 3 * (n + 1))
    steps = timeline.steps
    assert len(steps) <= 48
    assert len(steps) > 24 or timeline.width == 1
    assert timeline.width * (len(steps) - 1) < length <= timeline.width * len(steps)
    sums = [sum(counts) for counts in zip(*map(astuple, steps), strict=True)]
    assert sums == [length, 2 * length, 0, 3 * length]


def test_steps_are_where_things_happened() -> None:
    """What happens after a pause is not spread over the pause; joined steps keep their place."""
    timeline = Line()
    timeline.at(0.5, 10)
    timeline.at(40.2, 15)
    assert timeline.steps == [TimeStep(10), *[TimeStep()] * 39, TimeStep(5)]
    timeline.at(70.0, 16)
    delivered = {n: step.delivered for n, step in enumerate(timeline.steps) if any(astuple(step))}
    assert (timeline.width, delivered) == (2, {0: 10, 20: 5, 35: 1})


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
"""An event that has each field; all but two have both hashes."""


def test_coverage_of_each_field() -> None:
    (found,) = tallied(*EACH.values(), {"idfa": EACH["device_id"]["aaid"]}).coverage()
    hashes = {"md5": 10, "sha2": 10, "both": 9}
    assert found.events == 11
    assert found.having == dict.fromkeys(EACH, 1) | hashes | {"device_id": 2}
    assert list(found.having) == list(FIELDS)


def test_value_is_exact() -> None:
    """Ten cents a hundred times are ten, and a large amount does not swallow them."""
    tally = tallied(*[{"value": 0.1, "currency": "USD"}] * 100, {"value": 1e300, "currency": "USD"})
    (found,) = tally.values()
    assert (str(found.value), found.events) == (f"1{'0' * 298}10.0", 101)


def test_value_by_day_of_a_zone() -> None:
    """A day begins where the setting `timezone` says, summer time included."""
    midnight = 1_785_456_000  # 2026-07-31T00:00:00Z
    records = [
        {"value": 5, "currency": "EUR", "event_time": time} for time in (midnight - 1, midnight)
    ]
    first, second = dt.date(2026, 7, 30), dt.date(2026, 7, 31)
    assert tallied(*records).values() == [
        DayValue("EUR", first, 1, Decimal(5)),
        DayValue("EUR", second, 1, Decimal(5)),
    ]
    new_york = tallied(*records, zone=zoneinfo.ZoneInfo("America/New_York")).values()
    assert new_york == [DayValue("EUR", first, 2, Decimal(10))]


def test_more_currencies_than_there_are() -> None:
    """Three free letters cannot fill the memory: beyond the fiftieth, events are only counted."""
    names = [f"{a}{b}X" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
    found = tallied(*({"value": 1, "currency": name} for name in names)).values()
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


def test_a_merged_tally_is_that_of_all_events() -> None:
    """What tasks of Spark have counted apart is what one run counts."""
    usd = {"currency": "usd"}
    some = [{"value": "1.10", **usd}, {"value": "2", "ip": "192.0.2.1", **usd}]
    others = [{"value": "0.05", "source": "offline", **usd}, {}]
    whole, merged, one = tallied(*some, *others), empty(), empty()
    whole.latencies.add(0.2)
    one.latencies.add(0.2)
    for part in (tallied(*some), tallied(*others), one):
        task: Tally = pickle.loads(pickle.dumps(part))  # noqa: S301
        merged.merge(task)

    def numbers(tally: Tally) -> tuple[Any, ...]:
        ages = {name: found.counts for name, found in tally.ages_by_source().items()}
        return list(tally.coverage()), tally.values(), ages, tally.latencies.counts

    assert numbers(merged) == numbers(whole)
