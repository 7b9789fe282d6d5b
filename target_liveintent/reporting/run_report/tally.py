"""What a run delivered, in numbers of bounded size; only runs that write a run report need it.

A tally of two billion events takes no more memory than one of ten: it has counters by stream,
source and combination of fields, steps of fixed widths, and exact sums by currency and day.
"""

from __future__ import annotations

import datetime as dt
import functools
import operator
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Context, Decimal

from msgspec.structs import astuple

from target_liveintent.clock import Clock
from target_liveintent.conversions import DAY, Event, exact
from target_liveintent.reporting.run_report.model import Coverage, DayValue, TimeStep
from target_liveintent.run import RunCounts

_MINUTE, HOUR = 60, 3_600
AGES = (
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY, 30 * DAY),
)
"""Upper bounds of the steps of age, in seconds; the last is the longest window of the API."""
LATENCIES = tuple(round(0.001 * 10 ** (n / 8), 6) for n in range(8 * 5 + 1))
"""Upper bounds of the steps of latency, in seconds: eight a decade, from 1 ms to 100 s."""
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
"""What coverage counts, each with its words on the page."""
_MOST_STEPS = 48
_MOST_CURRENCIES = 50
"""Events of further currencies are only counted: a currency is any three letters."""
OTHER_CURRENCIES = "others"
_QUARTER = 900
"""Seconds. In every time zone, a day begins at a multiple of it."""
_MOST_DAYS = 10_000
_exact = Context(prec=1_000)
"""Digits of a sum: more than any amount that can be sent has."""


class Histogram:
    """Counts numbers by steps, whose upper bounds rise; the last step has none."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.largest = 0.0

    def add(self, number: float) -> None:
        """Count a number in its step."""
        self.counts[bisect_left(self.bounds, number)] += 1
        self.largest = max(self.largest, number)

    def merge(self, other: Histogram) -> None:
        """Count the numbers of another histogram that has the same steps."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.largest = max(self.largest, other.largest)

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return sum(self.counts)

    @property
    def steps(self) -> list[tuple[float | None, int]]:
        """The upper bound of each step, None for the last, and how many numbers are in it."""
        return list(zip([*self.bounds, None], self.counts, strict=True))

    def up_to(self, bound: float) -> int:
        """Return how many numbers did not exceed the bound of a step."""
        return sum(self.counts[: self.bounds.index(bound) + 1])

    def quantile(self, share: float) -> float:
        """Return the bound of the first step up to which at least this share of the numbers is."""
        wanted, seen = share * self.total, 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(bound, self.largest)
        return self.largest


class Timeline:
    """Outcomes over the time of a run, in at most 48 steps; a longer run joins pairs of steps.

    Attributes:
        width: Seconds a step.
    """

    def __init__(self, clock: Clock) -> None:
        self.width = 1
        self.steps: list[TimeStep] = []
        self._before = TimeStep()
        self._clock = clock
        self._started = clock.monotonic()

    def update(self, counts: RunCounts) -> None:
        """Add what has happened since the last update to the present step."""
        total = counts.total
        now = TimeStep(
            total.delivered,
            total.rejected.total(),
            total.dropped.total(),
            total.filtered + total.unmapped + total.not_replayed.total(),
        )
        seconds = self._clock.monotonic() - self._started
        while (place := int(seconds / self.width)) >= _MOST_STEPS:
            pairs = zip(self.steps[::2], [*self.steps[1::2], TimeStep()], strict=False)
            self.steps = [_combine(operator.add, one, two) for one, two in pairs]
            self.width *= 2
        self.steps += [TimeStep()] * (place + 1 - len(self.steps))
        new = _combine(operator.sub, now, self._before)
        self.steps[place] = _combine(operator.add, self.steps[place], new)
        self._before = now


def _combine(how: Callable[[int, int], int], one: TimeStep, two: TimeStep) -> TimeStep:
    return TimeStep(*map(how, astuple(one), astuple(two)))


class Tally:
    """Counts what was delivered.

    Args:
        zone: The time zone whose days the values are summed by.
        clock: Measures the time of the run.

    Attributes:
        ages: Seconds from the event to its sending, by stream and source.
        latencies: Seconds that requests took.
        timeline: Outcomes over the time of the run.
    """

    def __init__(self, zone: dt.tzinfo, clock: Clock) -> None:
        self.ages = defaultdict[tuple[str, str], Histogram](functools.partial(Histogram, AGES))
        self.latencies = Histogram(LATENCIES)
        self.timeline = Timeline(clock)
        self._zone = zone
        self._combinations: Counter[tuple[str, str, tuple[bool, ...]]] = Counter()
        self._values: dict[tuple[str, dt.date], tuple[int, Decimal]] = {}
        self._currencies: set[str] = set()
        self._days: dict[int, dt.date] = {}

    def delivered(
        self,
        stream: str,
        events: Sequence[Event],
        sent_at: Sequence[float],
        latencies: Iterable[float] = (),
    ) -> None:
        """Count the delivered events of a batch, as `RunParts.on_delivered`."""
        for seconds in latencies:
            self.latencies.add(seconds)
        for event, sent in zip(events, sent_at, strict=True):
            user, purchase = event.user_data, event.purchase_data
            has = (
                user.md5 is not None,
                user.sha2 is not None,
                event.decision_id is not None,
                user.ip is not None,
                user.user_agent is not None,
                user.idfa is not None or user.aaid is not None,
                purchase.order_id is not None,
                purchase.value is not None,
                purchase.currency is not None,
            )
            self._combinations[stream, event.source, has] += 1
            self.ages[stream, event.source].add(sent - event.event_time)
            if purchase.value is not None:
                self._add_value(purchase.currency or "", event.event_time, exact(purchase.value))

    def merge(self, other: Tally) -> None:
        """Count what another tally has counted, but for its timeline."""
        for key, ages in other.ages.items():
            self.ages[key].merge(ages)
        self.latencies.merge(other.latencies)
        self._combinations += other._combinations
        for (currency, day), (count, value) in other._values.items():
            self._add(currency, day, count, value)

    def _add_value(self, currency: str, event_time: int, value: Decimal) -> None:
        quarter = event_time // _QUARTER
        day = self._days.get(quarter)
        if day is None:
            if len(self._days) >= _MOST_DAYS:
                self._days.clear()
            day = self._days[quarter] = dt.datetime.fromtimestamp(event_time, self._zone).date()
        self._add(currency, day, 1, value)

    def _add(self, currency: str, day: dt.date, events: int, value: Decimal) -> None:
        if currency not in self._currencies:
            if len(self._currencies) >= _MOST_CURRENCIES:
                currency, value = OTHER_CURRENCIES, Decimal(0)
            else:
                self._currencies.add(currency)
        count, total = self._values.get((currency, day), (0, Decimal(0)))
        self._values[currency, day] = count + events, _exact.add(total, value)

    def coverage(self) -> Iterator[Coverage]:
        """Yield how many events have each field, by stream and source."""
        groups: dict[tuple[str, str], Counter[str]] = {}
        for (stream, source, has), count in self._combinations.items():
            group = groups.setdefault((stream, source), Counter())
            group["events"] += count
            md5, sha2, *others = has
            for name, there in zip(FIELDS, (md5, sha2, md5 and sha2, *others), strict=True):
                group[name] += count * there
        for (stream, source), group in sorted(groups.items()):
            yield Coverage(stream, source, group["events"], {name: group[name] for name in FIELDS})

    def ages_by_source(self) -> dict[str, Histogram]:
        """Return seconds from the event to its sending, by source."""
        sources: dict[str, Histogram] = {}
        for (_, source), ages in sorted(self.ages.items()):
            sources.setdefault(source, Histogram(AGES)).merge(ages)
        return dict(sorted(sources.items()))

    def values(self) -> list[DayValue]:
        """Return the value of the conversions by currency and day."""
        return [DayValue(*key, *found) for key, found in sorted(self._values.items())]
