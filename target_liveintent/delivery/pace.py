"""When the next request may start: a window and a rate, which follow the API's answers.

The *window* is how many requests may be in flight. It follows how long answers take: when they take
longer, requests queue up at the API. The *rate* is how many requests may start in a second. It
follows refusals, and there is none before the first.

| the API's answers | window | rate |
|---|---|---|
| taken; no limit is known | + 0.5 for each | none |
| taken; a limit is known | + 1 a round | climbs to where it was cut, rests there, climbs on |
| a round of them took twice as long as the best one | times 0.7, then as above | |
| the first refusal | | times 0.4, again and again until two are taken in a row |
| a refusal later | | times 0.91, or 0.4 from the fifth cut in a row on |
| the same, after three starts or fewer | | to what was used of it, at least times 0.1 |
| none: the system gave no file descriptor | times 0.7 of what is in flight, then + 1 a round | |
| eight failures in a row: an outage | 1 | as above, but one request in 3 to 13 seconds at least |
| the first request taken after it | from 2 | none: the search for a limit begins anew |
| the first of all, after eight seconds of failures | the same | the same |

A round is as many answers as the window is wide, but eight at least. "In a row" means that nothing
was taken between. A fault says nothing of a limit, unless it is the fifth failure in a row or
later. A cut is the answer to all requests that are in flight then: their refusals cut no more.
After a `Retry-After` nothing starts before its end.
"""

from __future__ import annotations

import enum
import math
import random
import statistics
from collections.abc import Callable
from typing import NamedTuple


class Signal(enum.Enum):
    """What an answer means for the pace."""

    TAKEN = enum.auto()  # The API works: it accepted the events, or refused them for what they are.
    LIMITED = enum.auto()  # Too many requests, or too slow an answer: 429, 503, a timeout.
    STARVED = enum.auto()  # The request was not made: the system gave no file descriptor.
    FAULT = enum.auto()  # Anything else that went wrong: 500, 502, 504, no connection.


CUT = 0.91
"""The factor of a cut. A rate just below the limit is the best one, so cuts are small."""
STEEP_CUT = 0.4
"""The factor of a cut while the limit may be anywhere below: it finds it with few requests."""
FOUND = 2
"""Requests taken since a cut that end the search for a limit. One may be luck: where others share
the limit, it may be the only one that they left over."""
GUESS = 1.25
"""The factor of the first rate in use: a search soon corrects a high guess, but not a low one."""
PATIENCE = 4
"""Cuts in a row after which the limit may be anywhere below."""
CLIMB = 2.5
"""Least seconds of a climb: by time, not by answers, clients that share a limit become equals."""
CLIMB_AT_ONE = 5.5
"""Seconds of a climb at one request a second, where it costs one request in five."""
REPAID = 2.0
"""Seconds that each second of `Retry-After` adds to a climb, as refusals cost so much more."""
GONE = 3.0
"""How far a rate climbs without a refusal, in climbs, until no limit is known any more."""
FEW = 3
"""Starts since the last cut after which the rate is cut to what was used of it, if that is less: a
`Retry-After` left no time for more. The limit is higher than that, so the climb rests halfway to
where it was refused, at the geometric mean."""
DIVE = 0.1
"""The least factor of such a cut."""
LEAST_RATE = 1 / 60
"""The least requests a second, where failures do not come in a row."""
FIRST_GAP = 3.0
"""The most seconds between requests when failures in a row begin; each one adds a sixth."""
LONGEST_GAP = 13.0
"""The most seconds at all: 300 seconds of outage cost up to 100 requests, and 15 show its end."""
FAULTS = 5
"""Failures in a row from which on a fault counts as a refusal: by chance, 1 in 100 at 40 %."""
OUTAGE = 8
"""Failures in a row that are an outage."""
OUTAGE_SECONDS = 8.0
"""Seconds of failures that are an outage even if only one request was taken before them. A search
for a low limit, where refusals come within milliseconds, has as many in a row within a second. It
would begin anew after each request that is taken."""
NARROWER = 0.7
"""The factor of the window if answers are slow, or the system gives too few file descriptors."""
STARVED_PAUSE = 1.0
"""Seconds until the system is asked again for a file descriptor, if nothing is in flight."""
SLOW = 2.0
"""The factor between medians of latencies that chance does not explain."""
ROUND = 8
"""The least number of answers in a round, so that their median says something."""
SPREAD = 0.25
"""The share of the time between two starts that is random: clients do not march in step."""


class _Limit(NamedTuple):
    """The rate since a cut, in requests a second.

    Attributes:
        refused: The rate at which a request was refused, or a lower one at which a climb rests.
        start: The rate after it.
        since: When a request was taken after it, and the climb began; infinite before that.
        climb: How many seconds the climb takes.
    """

    refused: float
    start: float
    since: float
    climb: float

    def rate(self, now: float) -> float:
        """Return the rate: a cubic curve, as in TCP, which is steep far from `refused` only."""
        climbs = max(0.0, now - self.since) / self.climb
        if climbs >= GONE:
            return math.inf
        return self.refused * math.pow(self.start / self.refused, (1 - climbs) ** 3)


class Pace:
    """When the next request may start. All times are seconds of one monotonic clock.

    Args:
        ceiling: The most requests in flight.
        per_minute: The most requests in a minute.
        jitter: Returns a random number from 0 to 1.
    """

    def __init__(
        self,
        ceiling: int,
        *,
        per_minute: int | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.in_flight = 0
        self._ceiling = ceiling
        self._cap = per_minute / 60 if per_minute else math.inf
        self._jitter = jitter
        self._window = min(2.0, ceiling)
        self._latencies: list[float] = []  # Of this round.
        self._best = math.inf  # The least median of a round.
        self._climbs_slowly = False  # As the window was too wide before.
        self._limit: _Limit | None = None
        self._rate = self._cap
        self._last_start = self._due = -math.inf
        self._quiet_since = self._quiet_until = -math.inf  # The last `Retry-After`.
        self._spread = 1.0
        self._cut_at = self._failing_since = -math.inf
        self._cuts = self._failures = 0  # In a row.
        self._has_begun = False  # Whether any request was taken.
        self._taken = 0  # Since the last `OUTAGE` failures in a row.
        self._searching = False
        self._starts_since_cut = self._taken_since_cut = 0

    @property
    def window(self) -> int:
        """How many requests may be in flight."""
        return int(self._window)

    @property
    def rate(self) -> float | None:
        """How many requests may start in a second; None for any number."""
        return None if math.isinf(self._rate) else self._rate

    @property
    def allowed_at(self) -> float:
        """When `per_minute` allows the next start, whatever the API's answers say."""
        return self._last_start + 1 / self._cap

    def next_start(self) -> float | None:
        """Return when the next request may start; None for not before an answer.

        A full window holds it back for a time only, as all requests in flight may be hanging.
        """
        due = max(self._due, self._quiet_until)
        if self.in_flight < self.window:
            return due
        return max(due, self._last_start + LONGEST_GAP) if self.in_flight < self._ceiling else None

    def started(self, now: float) -> None:
        """Note that a request starts. It may do so earlier than `next_start` says.

        It must not do so before `allowed_at`.
        """
        if self._limit:  # Time in which no request waited for the rate proves nothing.
            idle = max(0.0, now - max(self._due, self._limit.since))
            self._limit = self._limit._replace(since=self._limit.since + idle)
        self.in_flight += 1
        self._starts_since_cut += 1
        self._last_start = now
        self._spread = 1 + SPREAD * (self._jitter() - 0.5)
        self._schedule(now)

    def answered(
        self, started_at: float, now: float, signal: Signal, retry_after: float | None = None
    ) -> None:
        """Note that a request has its answer, or will get none.

        Args:
            started_at: When the request started.
            now: The present time.
            signal: What the answer means.
            retry_after: How many seconds the API asks to wait.
        """
        self.in_flight -= 1
        if signal is Signal.TAKEN:
            self._note_taken(started_at, now)
            self._follow_latency(now - started_at)
        elif signal is Signal.STARVED:
            self._note_starved(now)
        else:
            limited = signal is Signal.LIMITED or bool(retry_after)
            self._note_failure(started_at, now, retry_after or 0.0, limited=limited)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        """Compute the rate, and when it allows the next start."""
        self._rate = min(self._cap, self._limit.rate(now) if self._limit else math.inf)
        self._due = self._last_start + max(1 / self._cap, self._spread / self._rate)

    def _follow_latency(self, seconds: float) -> None:
        """Widen the window while answers are as fast as ever, and narrow it if a round is slow."""
        was_full = self.in_flight + 1 >= self.window  # If not, a wider one would change nothing.
        slowly = self._limit or self._climbs_slowly
        if was_full and not slowly:
            self._window += 0.5
        self._latencies.append(seconds)
        if len(self._latencies) >= max(ROUND, self.window):
            median = statistics.median(self._latencies)
            self._latencies.clear()
            # A request that is alone does not queue behind others: the API itself is slower now.
            self._best = median if self.window == 1 else min(median, self._best)
            if median > SLOW * self._best:
                self._window *= NARROWER
                self._climbs_slowly = True
            elif was_full and slowly:
                self._window += 1
        self._window = min(max(1.0, self._window), self._ceiling)

    def _note_starved(self, now: float) -> None:
        """Narrow the window to fewer requests than there are file descriptors for."""
        self._window = max(1.0, min(self._window, self.in_flight * NARROWER))
        self._climbs_slowly = True
        if not self.in_flight:
            self._quiet_until = max(self._quiet_until, now + STARVED_PAUSE)

    def _note_taken(self, started_at: float, now: float) -> None:
        """End a row of failures, and let the rate climb."""
        if started_at < self._failing_since:
            return  # It says nothing of the time since then.
        is_long = now - self._failing_since > OUTAGE_SECONDS
        ends_outage = is_long and not self._has_begun
        self._has_begun = True
        if self._failures >= OUTAGE:
            ends_outage = is_long or self._taken > 1
            self._taken = 0
        self._taken += 1
        self._failures = 0
        if started_at >= self._quiet_since:  # Others were under way before the `Retry-After`.
            self._quiet_until = -math.inf
        if not self._limit or started_at < self._cut_at:
            return
        self._taken_since_cut += 1
        if self._taken_since_cut >= FOUND:
            self._searching = False
        if not self._cuts:
            return
        self._cuts = 0
        self._limit = self._limit._replace(since=now)
        if ends_outage:  # What still hangs from it is not a refusal, and delays nothing.
            self._limit = None
            self._cut_at = now
            self._window = min(self.in_flight + 2.0, self._ceiling)

    def _note_failure(
        self, started_at: float, now: float, retry_after: float, *, limited: bool
    ) -> None:
        if not self._failures:
            self._failing_since = started_at
        self._failures += 1
        if started_at >= self._cut_at and (limited or self._failures >= FAULTS):
            self._cut(self._used_rate(now, now - started_at), now, retry_after)
        if self._failures >= OUTAGE:
            self._window = 1.0
        if retry_after:  # Clients that were told the same time do not all start at that time.
            apart = 1 / self._limit.start if self._limit else 1.0
            until = now + retry_after + self._jitter() / 2 * apart
            self._quiet_since = now
            self._quiet_until = max(self._quiet_until, until)

    def _used_rate(self, now: float, latency: float) -> float:
        """Return the rate that led to a refusal, for what is known of it.

        A timeout takes much longer than an answer, so its latency alone says too low a rate.
        """
        rate = self._limit.rate(now) if self._limit else math.inf
        if math.isinf(rate):
            self._searching = True
            rate = GUESS * (self.in_flight + 1) / max(min(latency, self._best), 0.001)
        return min(rate, self._cap)

    def _cut(self, rate: float, now: float, retry_after: float) -> None:
        """Lower the rate, and hold it until a request is taken."""
        steep = self._searching or self._cuts >= PATIENCE
        least = LEAST_RATE
        if not self._taken_since_cut:  # It may be an outage, whose end must be noticed.
            least = 1 / min(LONGEST_GAP, FIRST_GAP + self._failures / 6)
        start = rate * (STEEP_CUT if steep else CUT)
        if self._limit and self._starts_since_cut <= FEW:
            used = (self._starts_since_cut + 1) / max(now - self._cut_at, 0.001)
            start = min(start, max(used * CUT, rate * DIVE))
            rate = min(rate, math.sqrt(used * rate))
        start = max(start, least)
        refused = max(rate, start)
        climb = max(CLIMB, CLIMB_AT_ONE / math.sqrt(refused)) + REPAID * retry_after
        self._limit = _Limit(refused, start, math.inf, climb)
        self._cut_at = now
        self._cuts += 1
        self._starts_since_cut = self._taken_since_cut = 0
