"""When the next request may start: a window and a rate, which follow the API's answers.

The *window* is how many requests may be in flight. It follows how long answers take: when they take
longer, requests queue up at the API. The *rate* is how many requests may start in a second. It
follows refusals, and there is none before the first.

| the API's answers | window | rate |
|---|---|---|
| taken; no limit is known | + 0.5 for each | none |
| taken; a limit is known | + 1 a round | climbs to where it was cut, rests there, climbs on |
| a round of them took twice as long as the best one | times 0.7, then as above | |
| a fourth such round, although the window is narrower | as before them | |
| the first refusal | | times 0.45, again and again until two are taken in a row |
| a refusal in this search, after one was taken | | times 0.75 |
| a refusal later | | times 0.91 |
| the same, after three starts or fewer | | to 0.91 of what was used of it |
| four to eight refusals in ten answers | | a probe: times 4 for ten requests |
| the API took as large a share of the probe | | 0.6 of that of the probe; no cut for half refused |
| the API took a smaller share of the probe | | as before the probe |
| eight failures in a row: an outage | 1 | as above, but one request in 3 to 13 seconds at least |
| the first request taken after it | from 2 | none: the search for a limit begins anew |
| the first of all, after eight seconds of failures | the same | the same |

A round is as many answers as the window is wide, but eight at least. "In a row" means that nothing
was taken between. A fault says nothing of a limit, unless it is the fifth failure in a row or
later. A cut is the answer to all requests that are in flight then: their refusals cut no more.
After a `Retry-After` nothing starts before its end.

A limit takes the same number of requests at any rate above it. Where a share is refused by chance,
or because of other clients, slower requests are refused as often: a probe tells these cases apart.
Others who share a limit get less then, as the run cannot know whether they would ask for more.
Tasks that know how many they are begin lower, and find their shares before the first probe.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from target_liveintent.delivery.api import REPEATED, Verdict

# Cuts and the search for a limit
CUT = 0.91  # The factor of a cut. A rate just below the limit is the best one, so cuts are small.
STEEP_CUT = 0.45  # While the limit may be anywhere below: this finds it with few requests.
GENTLE_CUT = 0.75  # In a search in which a request was taken: the limit is near.
EXCESS_CUT = 0.6  # After a probe, and if too many are refused while refusals are random.
# So many requests taken after a cut end the search for a limit: other clients that share the limit
# may have left only one.
FOUND = 2
GUESS = 1.25  # The first limit, by the rate in use. A search corrects a high guess, not a low one.
# After at most so many starts since the last cut, the rate is cut to the rate that was really used:
# a `Retry-After` left no time for more. The limit is higher than this, so the climb rests halfway
# to the refused rate, at the geometric mean.
FEW = 3
LEAST_RATE = 1 / 60  # The least requests a second, where failures do not come in a row.

# Climbs depend on time, and not on answers: so clients that share a limit get equal rates.
CLIMB = 2.5  # The least seconds of a climb.
CLIMB_AT_ONE = 6.0  # Seconds at one request a second, where it costs one request in five.
REPAID = 2.0  # Seconds for each second of `Retry-After`, because refusals cost more then.
GONE = 3.0  # After so many climbs without a refusal, no limit is known any more.

# Failures in a row
# The longest pause between requests at the first failures in a row, each of which adds a sixth, and
# the longest of all, in seconds. An outage of 300 seconds costs up to 100 requests, and its end is
# found within 15 seconds.
FIRST_GAP, LONGEST_GAP = 3.0, 13.2
FAULTS = 5  # So many count as a refusal. If 40 % fail by chance, 1 in 100 series is as long.
OUTAGE = 8  # So many are an outage.
# Failures for so many seconds are an outage even if only one request was taken before them. In a
# search for a low limit, as many refusals in a row come within a second: without this time, the
# search would start again after each request that is taken.
OUTAGE_SECONDS = 8.0

# Probes
SAMPLE = 10  # The answers whose share of refusals begins a probe, and those that end it.
FEWEST_REFUSED, MOST_REFUSED = 0.4, 0.8  # Begin a probe. A single client at a limit has fewer.
PROBE_RATE = 4.0  # The rate of a probe, relative to the highest rate of these answers.
LEAST_PROBE_RATE = 2.5  # If requests in flight limit it more than that, a probe shows nothing.
SAME = 0.5  # How much of the share of accepted requests must remain: less is not chance.
BELIEVED = 100  # For so many answers, the result of a probe counts.
REST = 40  # Answers after a probe that found a limit, before another one, and of tasks at first.
LOWER, REST_SECONDS = 0.5, 5.0
"""As answers are few where the rate has fallen, after this time it is enough for another probe that
it is so much slower than the one before."""
ALLOWED = 0.55  # The share of refusals that leads to no cut while refusals are random,
EXCESS = 3.0  # and the number of refusals beyond this share that leads to one.

# The window
ROUND = 8  # The fewest answers in a round, so that their median is reliable.
SLOW = 2.0  # The factor between medians of latencies that chance does not explain.
NARROWER = 0.7  # The factor of the window after a slow round.
SLOW_ROUNDS = 3  # Slow rounds in a row after which a narrower window must have helped,
RELIEF = 0.7  # that is, the latency must have fallen by this factor.

SPREAD = 0.25  # The random share of the time between two starts: clients do not start together.
INSTANT = 0.001  # The shortest time over which a rate is measured, in seconds.


class Window:
    """How many requests may be in flight, at most `ceiling`.

    If answers stay slow in a narrower window, it is not the number of requests that makes them
    slow: the API is slower than before, or this machine is busy.
    """

    def __init__(self, ceiling: int) -> None:
        self.best = math.inf  # The least latency of a round, in seconds.
        self._ceiling = ceiling
        self._width = min(2.0, ceiling)
        self._latencies: list[float] = []  # Of this round.
        self._slow: list[float] = []  # Medians of the last rounds, if these were slow.
        self._was_slow = False
        self._narrowed_at = -math.inf

    @property
    def width(self) -> int:
        """How many requests may be in flight."""
        return int(self._width)

    def set(self, width: float) -> None:
        """Set the width, within its bounds."""
        self._width = min(max(1.0, width), self._ceiling)

    def answered(self, started_at: float, now: float, *, was_full: bool, is_limited: bool) -> None:
        """Widen the window while answers stay fast, and narrow it after a slow round.

        Where fewer requests were in flight than may be, a wider one would change nothing.
        """
        if started_at < self._narrowed_at:  # It says nothing of the narrower window.
            return
        slowly = is_limited or self._was_slow
        if was_full and not slowly:
            self.set(self._width + 0.5)
        self._latencies.append(now - started_at)
        if len(self._latencies) < max(ROUND, self.width):
            return
        latency = statistics.median(self._latencies)
        self._latencies.clear()
        self.best = min(latency, self.best)
        if latency <= SLOW * self.best:
            self._slow.clear()
            self.set(self._width + (was_full and slowly))
            return
        self._was_slow = True
        self._narrowed_at = now
        self._slow.append(latency)
        if len(self._slow) > SLOW_ROUNDS and latency > RELIEF * self._slow[0]:
            self._slow.clear()
            self.best = latency
            self.set(self._width / NARROWER**SLOW_ROUNDS)
        else:
            self.set(self._width * NARROWER)


class _Limit(NamedTuple):
    """The rate since a cut, in requests a second."""

    refused: float  # Where a request was refused, or a lower rate at which a climb rests.
    start: float  # After the cut.
    since: float  # When a request was taken, and the climb began; infinite before that.
    climb: float  # How many seconds the climb takes.

    def rate(self, now: float) -> float:
        """Return the rate: a cubic curve, as in TCP, which is flat near `refused`."""
        climbs = max(0.0, now - self.since) / self.climb
        if climbs >= GONE:
            return math.inf
        return self.refused * math.pow(self.start / self.refused, (1 - climbs) ** 3)


class _Probe(NamedTuple):
    """Requests at a higher rate show whether refusals depend on the rate."""

    rate: float
    before: float  # The rate before it,
    share: float  # and the share of requests that were taken.


class Pace:
    """When the next request may start. All times are seconds of one monotonic clock.

    At most `ceiling` requests are in flight; `tasks` such paces share the API's limit, and know it.
    `jitter` returns a random number from 0 to 1.
    """

    def __init__(
        self,
        ceiling: int,
        *,
        per_minute: int | None = None,
        tasks: int = 1,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.in_flight = 0
        self._ceiling = ceiling
        self._window = Window(ceiling)
        self._cap = per_minute / 60 if per_minute else math.inf
        self._jitter = jitter
        self._limit: _Limit | None = None
        self._rate = self._cap
        self._last_start = self._due = -math.inf
        self._quiet_since = self._quiet_until = -math.inf  # The last `Retry-After`.
        self._spread = 1.0
        self._failures = 0  # In a row,
        self._failing_since = -math.inf  # and when the first one started.
        self._taken = 0  # Since the last outage; at first, of all.
        self._searching = False
        self._is_near = False  # Whether a request was taken in this search.
        self._cut_at = -math.inf
        self._starts_since_cut = self._taken_since_cut = 0
        # Since a search took its first request, whether requests were taken, and at which rate.
        self._recent: deque[tuple[bool, float]] = deque(maxlen=SAMPLE)
        self._probe: _Probe | None = None
        self._guess = GUESS / tasks
        self._rests = REST if tasks > 1 else 0  # Answers until the next probe may begin. From this
        self._probes_again_at = math.inf  # time on, it may begin before that
        self._too_fast = 0.0  # if it is slow beside this rate of the last one.
        self._believed = 0  # Answers for which refusals count as chance.
        self._excess = 0.0  # Refusals beyond the allowed share meanwhile.

    @property
    def window(self) -> int:
        """How many requests may be in flight."""
        return self._window.width

    @property
    def rate(self) -> float | None:
        """How many requests may start in a second; None for any number."""
        return None if math.isinf(self._rate) else self._rate

    @property
    def allowed_at(self) -> float:
        """When `per_minute` allows the next start, whatever the API's answers say."""
        return self._last_start + 1 / self._cap

    def next_start(self) -> float | None:
        """Return when the next request may start; None if an answer must come first.

        A full window holds it back for a time only, as all requests in flight may be hanging. It
        does not hold back a probe.
        """
        due = max(self._due, self._quiet_until)
        most = max(self.window, SAMPLE) if self._probe else self.window
        if self.in_flight < min(most, self._ceiling):
            return due
        return max(due, self._last_start + LONGEST_GAP) if self.in_flight < self._ceiling else None

    def started(self, now: float) -> None:
        """Note a start, maybe earlier than `next_start` says, but not before `allowed_at`."""
        self.in_flight += 1
        self._starts_since_cut += 1
        self._last_start = now
        self._spread = 1 + SPREAD * (self._jitter() - 0.5)
        self._schedule(now)

    def answered(
        self, started_at: float, now: float, verdict: Verdict, retry_after: float = 0.0
    ) -> None:
        """Note that a request has its answer, or will get none; `retry_after` is in seconds."""
        was_full = self.in_flight >= self.window
        self.in_flight -= 1
        is_taken = verdict not in REPEATED
        if verdict is not Verdict.FAULT and not retry_after and started_at >= self._cut_at:
            self._doubt(now, taken=is_taken)
        if is_taken:
            self._note_taken(started_at, now)
            is_limited = self._limit is not None
            self._window.answered(started_at, now, was_full=was_full, is_limited=is_limited)
        else:
            limited = verdict is not Verdict.FAULT or retry_after > 0
            self._note_failure(started_at, now, retry_after, limited=limited)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        """Compute the rate, and when it allows the next start."""
        rate = self._limit.rate(now) if self._limit else math.inf
        self._rate = min(self._cap, rate)
        self._due = self._last_start + max(1 / self._cap, self._spread / self._rate)

    # Whether refusals depend on the rate

    def _doubt(self, now: float, *, taken: bool) -> None:
        """Judge by an answer whether refusals depend on the rate; begin or end a probe."""
        self._rests -= 1
        if not self._limit or (self._searching and not self._is_near):
            self._recent.clear()
            return
        if self._believed:
            self._believed -= 1
            self._excess = max(0.0, self._excess - ALLOWED)
            return
        rate = self._limit.rate(now)
        self._recent.append((taken, rate))
        if len(self._recent) < SAMPLE:
            return
        share = sum(taken for taken, _ in self._recent) / SAMPLE
        if self._probe:
            self._end_probe(self._probe, now, by_chance=share >= SAME * self._probe.share)
        elif 1 - MOST_REFUSED <= share <= 1 - FEWEST_REFUSED:
            highest = max(rate for _, rate in self._recent)
            is_lower = PROBE_RATE * highest <= LOWER * self._too_fast
            if self._rests > 0 and not (is_lower and now >= self._probes_again_at):
                return
            # (Zero before the first round is over, as its latency is not known.)
            fast = min(PROBE_RATE * highest, self._cap, self._ceiling / self._window.best)
            if LEAST_PROBE_RATE * highest <= fast < math.inf:
                self._probe = _Probe(fast, rate, share)
                self._recent.clear()
                self._searching = False
                self._set_limit(fast, fast, now, now)

    def _end_probe(self, probe: _Probe, now: float, *, by_chance: bool) -> None:
        """End a probe, and set the limit by its result."""
        self._probe = None
        self._recent.clear()
        self._believed, self._rests = (BELIEVED, 0) if by_chance else (0, REST)
        self._too_fast, self._probes_again_at = probe.rate, now + REST_SECONDS
        self._excess = 0.0
        rate, factor = (probe.rate, EXCESS_CUT) if by_chance else (probe.before, CUT)
        self._set_limit(rate, rate * factor, now, now)

    # Requests that were taken, and failures

    def _note_taken(self, started_at: float, now: float) -> None:
        """End a series of failures, and let the rate climb."""
        if started_at < self._failing_since:
            return  # The answer says nothing about the time since then.
        is_long = now - self._failing_since > OUTAGE_SECONDS
        is_outage = self._failures >= OUTAGE
        ends_outage = is_long and not self._taken
        if is_outage:
            ends_outage = is_long or self._taken > 1
        self._taken = 1 if is_outage else self._taken + 1
        self._failures = 0
        if started_at >= self._quiet_since:  # Others started before the `Retry-After`.
            self._quiet_until = -math.inf
        if not self._limit or started_at < self._cut_at:
            return
        self._is_near = True
        self._taken_since_cut += 1
        if self._taken_since_cut >= FOUND:
            self._searching = False
        if math.isinf(self._limit.since):
            self._limit = self._limit._replace(since=now)
            if ends_outage:  # Requests that still hang are no refusals.
                self._limit = None
                self._cut_at = now
                self._window.set(self.in_flight + 2.0)

    def _note_failure(
        self, started_at: float, now: float, retry_after: float, *, limited: bool
    ) -> None:
        """Slow down after a failure. Faults show a limit only if several come in a row."""
        if not self._failures:
            self._failing_since = started_at
        self._failures += 1
        if retry_after or self._failures >= OUTAGE + SAMPLE:
            self._probe, self._believed = None, 0
        if started_at >= self._cut_at and (limited or self._failures >= FAULTS):
            self._note_refusal(now - started_at, now, retry_after)
        if self._failures >= OUTAGE:
            self._window.set(1.0)
        if retry_after:  # Clients that were told the same time do not all start at that time.
            apart = 1 / self._limit.start if self._limit else 1.0
            until = now + retry_after + self._jitter() / 2 * apart
            self._quiet_since = now
            self._quiet_until = max(self._quiet_until, until)

    def _note_refusal(self, latency: float, now: float, retry_after: float) -> None:
        """Cut the rate, unless the refusal is by chance."""
        if self._probe:
            return
        self._excess += bool(self._believed)
        if not self._believed:
            self._cut(self._used_rate(now, latency), now, retry_after)
        elif self._excess >= EXCESS:
            self._excess = 0.0
            rate = self._used_rate(now, latency)
            self._set_limit(rate, rate * EXCESS_CUT, now, now)

    def _used_rate(self, now: float, latency: float) -> float:
        """Estimate the rate that led to a refusal (by the latency of a timeout, it is too low)."""
        rate = self._limit.rate(now) if self._limit else math.inf
        if math.isinf(rate):
            if not self._searching:
                self._searching = True
                self._is_near = False
            seconds = max(min(latency, self._window.best), INSTANT)
            rate = self._guess * (self.in_flight + 1) / seconds
        return min(rate, self._cap)

    def _cut(self, rate: float, now: float, retry_after: float) -> None:
        """Lower the rate, and hold it until a request is taken."""
        factor = CUT
        if self._searching:
            factor = GENTLE_CUT if self._is_near else STEEP_CUT
        least = LEAST_RATE
        if not self._taken_since_cut:  # It may be an outage, whose end must be noticed.
            least = 1 / min(LONGEST_GAP, FIRST_GAP + self._failures / 6)
        start = rate * factor
        if self._limit and self._starts_since_cut <= FEW:
            used = (self._starts_since_cut + 1) / max(now - self._cut_at, INSTANT)
            start = min(start, used * CUT)
            rate = min(rate, math.sqrt(used * rate))
        start = max(start, least)
        self._set_limit(max(rate, start), start, math.inf, now, REPAID * retry_after)

    def _set_limit(
        self, refused: float, start: float, since: float, now: float, longer: float = 0.0
    ) -> None:
        """Set the limit after a cut or a probe; see `_Limit`. `longer` is added to the climb."""
        climb = max(CLIMB, CLIMB_AT_ONE / math.sqrt(refused)) + longer
        self._limit = _Limit(refused, start, since, climb)
        self._cut_at = now
        self._starts_since_cut = self._taken_since_cut = 0
