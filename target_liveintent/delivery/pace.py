"""Decides when the next request may start, by a window and a rate that follow the API's answers.

The *window* is how many requests may be in flight. It follows how long answers take (window.py).
The *rate* is how many requests may start in a second. It follows throttled requests: requests whose
answer says that they come too fast, and the like (`RateEvent`). Before the first throttled request,
only `per_minute` limits it. Its phases are in rate_phases.py, its curve is in rate_limit.py.

- A *search* finds the limit: the rate falls quickly, until two requests in a row are accepted.
- A *climb* follows the limit: each throttled request cuts the rate a little, then the rate climbs
  with time.
- A *probe* shows whether throttling depends on the rate at all (probe.py).
- In a *standstill*, after eight failures in a row, the window is 1, and pauses are up to 13 seconds
  long. The first accepted request ends the standstill. Usually, the window and the rate then start
  again as at the beginning (backoff.py).
- If the API sends a `Retry-After`, no request starts before this time is over.

A fault says nothing about a limit, unless it has a `Retry-After`, or is the fifth failure in a row
or a later one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from target_liveintent.delivery.api import REPEATED, Verdict
from target_liveintent.delivery.backoff import LONGEST_PAUSE_SECONDS, Backoff, RetryAfter
from target_liveintent.delivery.probe import SAMPLE_ANSWERS, Probes
from target_liveintent.delivery.rate_limit import LEAST_MEASURED_SECONDS, RateState
from target_liveintent.delivery.rate_phases import RateEvent, RatePhase
from target_liveintent.delivery.window import FIRST_REQUESTS, Window

GUESS_RATIO = 1.25
"""If no limit is known, the throttled rate is estimated as this ratio times the rate in use: the
requests in flight divided by the latency. A search corrects an estimate that is too high, but not
one that is too low."""

SPREAD_RATIO = 0.25
"""The time between two starts varies at random, by up to half this ratio in each direction. So
several clients do not keep starting their requests at the same time."""


class Schedule:
    """Computes when the rate allows the next start. All times are in seconds.

    Attributes:
        cap: The most requests a second that `per_minute` allows; infinite without it.
        rate: How many requests may start in a second; infinite if there is no limit.
        last_start: When the last request started.
    """

    def __init__(self, per_minute: int | None) -> None:
        self.cap = per_minute / 60 if per_minute else math.inf
        self.rate = self.cap
        self.last_start = -math.inf
        self._spread = 1.0

    @property
    def allowed_at(self) -> float:
        """When `per_minute` allows the next start."""
        return self.last_start + 1 / self.cap

    @property
    def due(self) -> float:
        """When the rate and `per_minute` allow the next start."""
        return self.last_start + max(1 / self.cap, self._spread / self.rate)

    def started(self, now: float, jitter: float) -> None:
        """Note a start, and a random number from 0 to 1 for the time until the next start."""
        self.last_start = now
        self._spread = 1 + SPREAD_RATIO * (jitter - 0.5)


class Pace:
    """Decides when the next request may start. All times are seconds of one monotonic clock.

    At most `ceiling` requests are in flight. `tasks` is the number of tasks that share the API's
    limit, each with its own pace. `jitter` returns a random number from 0 to 1.
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
        self._guess_ratio = GUESS_RATIO / tasks  # Each task has only a share of the limit.
        self._jitter = jitter
        self._schedule = Schedule(per_minute)
        self._window = Window(ceiling)
        self._state = RateState()
        self._probes = Probes(tasks)
        self._backoff = Backoff()
        self._retry_after = RetryAfter()

    @property
    def window(self) -> int:
        """How many requests may be in flight."""
        return self._window.width

    @property
    def rate(self) -> float | None:
        """How many requests may start in a second; None if there is no limit."""
        return None if math.isinf(self._schedule.rate) else self._schedule.rate

    @property
    def allowed_at(self) -> float:
        """When `per_minute` allows the next start, whatever the API's answers say."""
        return self._schedule.allowed_at

    def next_start(self) -> float | None:
        """Return when the next request may start; None if an answer must come first.

        A full window delays a request until 13 seconds after the last start, but not longer,
        because all requests in flight may hang. During a probe, the window has at least the size
        of the probe.
        """
        if self.in_flight >= self._ceiling:
            return None
        due = max(self._schedule.due, self._retry_after.until)
        most = max(self.window, SAMPLE_ANSWERS) if self._probes.under_way else self.window
        if self.in_flight < most:
            return due
        return max(due, self._schedule.last_start + LONGEST_PAUSE_SECONDS)

    def started(self, now: float) -> None:
        """Note a start. It is never before `allowed_at`, but may be before `next_start`."""
        self.in_flight += 1
        self._state = self._state.started()
        self._schedule.started(now, self._jitter())
        self._update_rate(now)

    def answered(
        self, started_at: float, now: float, verdict: Verdict, retry_after: float = 0.0
    ) -> None:
        """Note the answer to a request, or that no answer came; `retry_after` is in seconds."""
        was_full = self.in_flight >= self.window
        self.in_flight -= 1
        is_accepted = verdict not in REPEATED
        is_limited = verdict is not Verdict.FAULT or retry_after > 0
        if verdict is not Verdict.FAULT and not retry_after and started_at >= self._state.cut_at:
            self._compare(now, accepted=is_accepted)
        if is_accepted:
            self._note_accepted(started_at, now)
            knows_limit = self._state.limit is not None
            self._window.accepted(started_at, now, was_full=was_full, is_limited=knows_limit)
        else:
            self._note_failure(started_at, now, retry_after, is_limited=is_limited)
        self._update_rate(now)

    def _update_rate(self, now: float) -> None:
        self._schedule.rate = min(self._schedule.cap, self._state.rate(now))

    def _compare(self, now: float, *, accepted: bool) -> None:
        """Compare the shares of throttled requests at different rates, and begin or end a probe."""
        self._probes.note_answer()
        if not self._state.limit or self._state.phase is RatePhase.SEARCH:
            self._probes.clear()
            return
        rate = self._state.rate(now)
        fastest = min(self._schedule.cap, self._window.most_per_second)
        result = self._probes.answered(now, accepted=accepted, rate=rate, fastest=fastest)
        if result:
            event, of_rate = result
            self._state = self._state.restarted(event, now, of_rate)

    def _note_accepted(self, started_at: float, now: float) -> None:
        """End the failures in a row, and let the rate climb."""
        if self._backoff.is_outdated(started_at):
            return
        ends_standstill = self._backoff.accepted(now)
        self._retry_after.accepted(started_at)
        if started_at < self._state.cut_at:
            return
        had_limit = self._state.limit is not None
        self._state = self._state.took(now, ends_standstill=ends_standstill)
        if had_limit and self._state.limit is None:
            self._window.set(self.in_flight + FIRST_REQUESTS)

    def _note_failure(
        self, started_at: float, now: float, retry_after: float, *, is_limited: bool
    ) -> None:
        """Slow down after a failure.

        `is_limited` says that the failure alone shows a limit. If it does not, only several
        failures in a row show a limit.
        """
        self._backoff.failed(started_at)
        if retry_after or self._backoff.is_long_standstill:
            self._probes.give_up()
            self._state = self._state.without_probe()
        is_throttled = is_limited or self._backoff.faults_count_as_throttling
        if is_throttled and started_at >= self._state.cut_at:
            self._note_throttling(now - started_at, now, retry_after)
        if self._backoff.is_standstill:
            self._window.set(1.0)
        if retry_after:  # Clients with the same `Retry-After` must not all start at once.
            apart = 1 / self._state.limit.start if self._state.limit else 1.0
            self._retry_after.received(now, now + retry_after + self._jitter() / 2 * apart)

    def _note_throttling(self, latency: float, now: float, retry_after: float) -> None:
        """Cut the rate, unless a probe is under way, or throttling is random and not too many."""
        if self._probes.under_way:
            return
        rate = self._throttled_rate(latency, now)
        if self._probes.random_throttling is None:
            least_rate = 1 / self._backoff.longest_pause
            self._state = self._state.throttled(now, rate, least_rate, retry_after)
            return
        self._probes.random_throttling, is_too_often = self._probes.random_throttling.throttled()
        if is_too_often:
            self._state = self._state.restarted(RateEvent.THROTTLED_TOO_OFTEN, now, rate)

    def _throttled_rate(self, latency: float, now: float) -> float:
        """Return the rate that was throttled, in requests a second.

        If no limit is known, this is an estimate by the latency of the request, or by the best
        latency if that is shorter (as it is after a timeout).
        """
        rate = self._state.rate(now)
        if math.isinf(rate):
            seconds = max(min(latency, self._window.best_latency), LEAST_MEASURED_SECONDS)
            rate = self._guess_ratio * (self.in_flight + 1) / seconds
        return min(rate, self._schedule.cap)
