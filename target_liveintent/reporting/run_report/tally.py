"""What a run delivered, in numbers of a bounded size: for the run report, and only if it is wanted.

A tally of ten events and one of two billion take the same memory: counters by stream, source and
combination of fields, steps of fixed widths, exact sums by currency and day.
"""

from __future__ import annotations

import datetime as dt
import time
from bisect import bisect_left
from collections import Counter
from decimal import Context, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from target_liveintent.conversions.wire import SentEvent
    from target_liveintent.run.counts import RunCounts

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
AGES = (
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY),
)
"""Upper bounds of the steps of age, in seconds; the last is the longest window there is."""
LATENCIES = tuple(round(0.001 * 10 ** (n / 8), 6) for n in range(8 * 5 + 1))
"""Upper bounds of the steps of latency, in seconds: eight a decade, from 1 ms to 100 s."""
FIELDS = (
    *("md5", "sha2", "both", "decision_id", "ip", "user_agent", "device_id"),
    *("order_id", "value", "currency"),
)
"""What coverage is told of: `both` hashes, `device_id` for an idfa or aaid."""
_MOST_STEPS = 48
_MOST_CURRENCIES = 50
"""Of more (they are three free letters), the events are counted and not added up."""
OTHER_CURRENCIES = "others"
_QUARTER = 900
"""Seconds; no zone's day begins within one."""
_MOST_DAYS = 10_000
_exact = Context(prec=1_000)
"""Digits of a sum: more than any amount that can be sent has."""


class Histogram:
    """Counts by steps of fixed widths.

    Args:
        bounds: The steps' upper bounds, rising.

    Attributes:
        counts: A number for each step, and one for what is above.
        largest: The largest number so far.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start with nothing counted."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.largest = 0.0

    def add(self, number: float) -> None:
        """Count a number."""
        self.counts[bisect_left(self.bounds, number)] += 1
        self.largest = max(self.largest, number)

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return sum(self.counts)

    def up_to(self, bound: float) -> int:
        """How many were at most that, which must be the bound of a step."""
        return sum(self.counts[: self.bounds.index(bound) + 1])

    def quantile(self, share: float) -> float:
        """What that share of the numbers did not exceed: the bound of its step."""
        wanted, seen = share * self.total, 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(bound, self.largest)
        return self.largest


class Step(NamedTuple):
    """What happened in a step of a run's time.

    Attributes:
        delivered: Events that the API processed.
        rejected: Dead letters.
        dropped: Not to be sent.
        unused: Filtered, of no mapped stream, or letters that are not replayed.
    """

    delivered: int = 0
    rejected: int = 0
    dropped: int = 0
    unused: int = 0


class Timeline:
    """Fates over the time of a run, in at most 48 steps: when there are more, pairs are joined.

    Attributes:
        width: Seconds a step.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self.width = 1
        self._steps: list[Step] = []
        self._before = Step()
        self._started = time.monotonic()

    def look(self, report: RunCounts) -> None:
        """Book what happened since the last look; called about once a second."""
        total = report.total
        now = Step(
            total.delivered,
            total.rejected.total(),
            total.dropped.total(),
            total.filtered + total.unmapped + total.not_replayed.total(),
        )
        self._book(time.monotonic() - self._started, now)

    def _book(self, seconds: float, now: Step) -> None:
        while (place := int(seconds / self.width)) >= _MOST_STEPS:
            pairs = zip(self._steps[::2], [*self._steps[1::2], Step()], strict=False)
            self._steps = [_sum(one, two) for one, two in pairs]
            self.width *= 2
        self._steps += [Step()] * (place + 1 - len(self._steps))
        new = Step(*(n - before for n, before in zip(now, self._before, strict=True)))
        self._steps[place] = _sum(self._steps[place], new)
        self._before = now

    @property
    def steps(self) -> list[Step]:
        """What happened in each step so far."""
        return list(self._steps)


def _sum(one: Step, two: Step) -> Step:
    return Step(*map(sum, zip(one, two, strict=True)))


class Coverage(NamedTuple):
    """What the events of one stream and source hold.

    Attributes:
        stream: The stream.
        source: The events' source.
        events: How many there are.
        having: How many of them have each of `FIELDS`.
    """

    stream: str
    source: str
    events: int
    having: dict[str, int]


class Value(NamedTuple):
    """What the conversions of a currency and a day are worth.

    Attributes:
        currency: Three letters; `OTHER_CURRENCIES` for what was not added up.
        day: In the zone of the setting `timezone`.
        events: Those that have a value.
        value: Its exact sum.
    """

    currency: str
    day: dt.date
    events: int
    value: Decimal


class Tally:
    """Counts what was delivered.

    Args:
        zone: Where days begin.

    Attributes:
        ages: Seconds from event to sending, by source.
        latencies: Seconds that requests took.
        timeline: Fates over the time of the run.
    """

    def __init__(self, zone: dt.tzinfo) -> None:
        """Start with nothing."""
        self.ages: dict[str, Histogram] = {}
        self.latencies = Histogram(LATENCIES)
        self.timeline = Timeline()
        self._zone = zone
        self._combinations: Counter[tuple[str, str, tuple[bool, ...]]] = Counter()
        self._values: dict[tuple[str, dt.date], tuple[int, Decimal]] = {}
        self._currencies: set[str] = set()
        self._days: dict[int, dt.date] = {}

    def delivered(
        self,
        stream: str,
        events: Sequence[SentEvent],
        sent_at: Sequence[float],
        latencies: Sequence[float],
    ) -> None:
        """Count the result of a batch.

        Args:
            stream: The name under which its events are counted.
            events: Those of its events that were delivered.
            sent_at: Unix time, in seconds, at which each of them was sent.
            latencies: Seconds that each request took.
        """
        self.add(stream, events, sent_at)
        self.add_latencies(latencies)

    def add(self, stream: str, events: Sequence[SentEvent], sent_at: Sequence[float]) -> None:
        """Count events.

        Args:
            stream: Under which name.
            events: Those of one batch that were delivered.
            sent_at: Unix time at which each of them was sent.
        """
        combinations = self._combinations
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
            combinations[stream, event.source, has] += 1
            ages = self.ages.get(event.source)
            if ages is None:
                ages = self.ages[event.source] = Histogram(AGES)
            ages.add(sent - event.event_time)
            if purchase.value is not None:
                self._add_value(purchase.currency or "", event.event_time, purchase.value)

    def _add_value(self, currency: str, event_time: int, value: Decimal) -> None:
        if currency not in self._currencies:
            if len(self._currencies) >= _MOST_CURRENCIES:
                currency, value = OTHER_CURRENCIES, Decimal(0)
            else:
                self._currencies.add(currency)
        quarter = event_time // _QUARTER
        day = self._days.get(quarter)
        if day is None:
            if len(self._days) >= _MOST_DAYS:
                self._days.clear()
            day = self._days[quarter] = dt.datetime.fromtimestamp(event_time, self._zone).date()
        count, total = self._values.get((currency, day), (0, Decimal(0)))
        self._values[currency, day] = count + 1, _exact.add(total, value)

    def add_latencies(self, seconds: Iterable[float]) -> None:
        """Count how long requests took."""
        for one in seconds:
            self.latencies.add(one)

    def coverage(self) -> Iterator[Coverage]:
        """What events hold, by stream and source."""
        groups: dict[tuple[str, str], Counter[str]] = {}
        for (stream, source, has), count in self._combinations.items():
            group = groups.setdefault((stream, source), Counter())
            group["events"] += count
            md5, sha2, *others = has
            for name, there in zip(FIELDS, (md5, sha2, md5 and sha2, *others), strict=True):
                group[name] += count * there
        for (stream, source), group in sorted(groups.items()):
            yield Coverage(stream, source, group["events"], {name: group[name] for name in FIELDS})

    def values(self) -> list[Value]:
        """What conversions are worth, by currency and day."""
        return [Value(*key, *found) for key, found in sorted(self._values.items())]
