"""Decides when the next request may start, from the API's answers alone.

Two numbers hold requests back. The *window* is how many may be in flight; it follows how long
answers take. The *rate* is how many may start in a second; it follows refusals, and there is none
until the first.

| what happens | window | rate |
|---|---|---|
| requests are taken, no limit is known | +0.5 for each | none |
| requests are taken, a limit is known | +1 a round trip | back to the rate that was refused, rests there, then beyond |
| answers take twice as long as the fastest did | × 0.7 | – |
| the first refusal | – | × 0.4 of the rate in use |
| a refusal later | – | × 0.85; × 0.4 if nothing was taken since the last four cuts |
| eight failures, nothing taken between: an outage | 1 | × 0.4 each time, at least one request in 12 s |
| something is taken after an outage | grows from 1 | none: the search for a limit begins anew |

One failure is no sign of a limit, so a fault changes nothing before it is the sixth in a row; from
then on it counts as a refusal. All requests that were in flight at a cut count as one with it.
"""

from __future__ import annotations

import enum
import math
import random
import statistics
from collections.abc import Callable
from typing import NamedTuple


class Signal(enum.Enum):
    """What an answer says about the pace."""

    TAKEN = enum.auto()
    LIMITED = enum.auto()
    FAULT = enum.auto()


BACK_OFF = 0.87
SEARCH = 0.4
STEEP = 4
LEAST_RATE = 1 / 60
LONGEST_GAP = 12.0
FAULTS = 6
OUTAGE = 8
PROOF = 8
SECONDS = 2.0
STARTS = 6
STRETCH = 2.0
FEW = 3
GONE = 3.0
SLOW = 2.0
ROUND = 8
SPREAD = 0.25


class _Limit(NamedTuple):
    refused: float
    start: float
    since: float
    seconds: float

    def rate(self, now: float) -> float | None:
        climbed = max(0.0, now - self.since) / self.seconds
        if climbed >= GONE:
            return None
        return self.refused * (self.start / self.refused) ** ((1 - climbed) ** 3)


class Pace:
    def __init__(
        self,
        ceiling: int,
        *,
        per_minute: int | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ceiling = ceiling
        self._least_interval = 60 / per_minute if per_minute else 0.0
        self._jitter = jitter
        self.in_flight = 0
        self._window = min(2.0, ceiling)
        self._latencies: list[float] = []
        self._least = math.inf
        self._queued = False
        self._limit: _Limit | None = None
        self._last_start = self._due = self._quiet_until = -math.inf
        self._cut_at = self._taken_at = self._failing_since = -math.inf
        self._starts = self._cuts = self._failures = 0
        self._taken_since_outage = PROOF

    @property
    def window(self) -> int:
        return int(self._window)

    def rate(self, now: float) -> float | None:
        return None if self._limit is None else self._limit.rate(now)

    def next_start(self, now: float) -> float | None:
        due = max(self._due, self._quiet_until)
        if self.in_flight < self.window:
            return due
        if self.in_flight < self._ceiling:
            return max(due, self._last_start + LONGEST_GAP)
        return None

    def started(self, now: float) -> None:
        if self._limit is not None:  # Time in which nothing waited for the pace does not count.
            idle = max(0.0, now - max(self._due, self._limit.since))
            self._limit = self._limit._replace(since=self._limit.since + idle)
        self.in_flight += 1
        self._starts += 1
        self._last_start = now
        self._schedule(now)

    def answered(
        self, started_at: float, now: float, signal: Signal, retry_after: float | None = None
    ) -> None:
        self.in_flight -= 1
        if signal is Signal.TAKEN:
            self._follow_latency(now - started_at)
            self._taken(started_at, now)
        else:
            self._failed(started_at, now, signal, retry_after or 0.0)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        self._due = self._last_start + self._interval(now) * (1 + SPREAD * (self._jitter() - 0.5))

    def _interval(self, now: float) -> float:
        rate = self.rate(now)
        return max(self._least_interval, 1 / rate if rate else 0.0)

    def _failed(self, started_at: float, now: float, signal: Signal, retry_after: float) -> None:
        if not self._failures:
            self._failing_since = started_at
        self._failures += 1
        refused = signal is Signal.LIMITED or retry_after or self._failures >= FAULTS
        if refused and started_at >= self._cut_at:
            self._cut(now, now - started_at, retry_after)
        if self._failures >= OUTAGE:
            self._window = 1.0
        if retry_after:
            until = now + retry_after + self._jitter() * self._interval(now)
            self._quiet_until = max(self._quiet_until, until)

    def _cut(self, now: float, latency: float, retry_after: float) -> None:
        rate = self.rate(now)
        if rate is None:
            rate = (self.in_flight + 1) / max(latency, 0.001)
            self._cuts = STEEP
        else:
            if self._starts <= FEW:
                rate = min(rate, (self._starts + 1) / max(now - self._cut_at, 0.001))
        if self._failures >= OUTAGE:
            rate = min(rate, 1.0)
        least = LEAST_RATE if self._limit and not self._cuts else 1 / LONGEST_GAP
        factor = SEARCH if self._cuts >= STEEP else BACK_OFF
        start = max(rate * factor, least)
        seconds = max(SECONDS, STARTS / math.sqrt(max(rate, start))) + STRETCH * retry_after
        self._limit = _Limit(max(rate, start), start, math.inf, seconds)
        self._cut_at = now
        self._cuts += 1
        self._starts = 0

    def _taken(self, started_at: float, now: float) -> None:
        gap = now - self._taken_at
        self._taken_at = now
        self._taken_since_outage += 1
        if started_at < self._failing_since:
            return
        outage = self._failures >= OUTAGE
        self._failures = 0
        if self._limit is None or started_at < self._cut_at:
            return
        if outage and self._taken_since_outage >= PROOF:
            self._limit = None
            self._taken_since_outage = 0
        elif self._cuts > STEEP:
            start = min(self._limit.start, max(1 / gap, LEAST_RATE))
            self._limit = self._limit._replace(start=start, since=now)
        elif self._cuts:
            self._limit = self._limit._replace(since=now)
        self._quiet_until = -math.inf
        self._cuts = 0

    def _follow_latency(self, seconds: float) -> None:
        if self.in_flight + 1 >= self.window:
            self._window += 1 / self._window if self._queued or self._limit else 0.5
        self._latencies.append(seconds)
        if len(self._latencies) >= max(ROUND, self.window):
            median = statistics.median(self._latencies)
            self._latencies.clear()
            self._least = median if self._window < 2 else min(self._least, median)
            if median > SLOW * self._least:
                self._window *= 0.7
                self._queued = True
        self._window = min(max(1.0, self._window), self._ceiling)
