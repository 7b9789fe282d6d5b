"""The rate limit that the API's answers show, and the rate that follows from it.

After a cut, the rate is held until a request is accepted. Then it climbs to the throttled rate,
rests there, and climbs on, as TCP does (CUBIC). A climb depends on time, and not on the number of
answers. So clients that share a limit get equal rates.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from target_liveintent.delivery.rate_phases import (
    CUT_RATIO,
    TRANSITIONS,
    RateChange,
    RateEvent,
    RatePhase,
)

LEAST_CLIMB_SECONDS = 2.5
"""A climb takes at least this many seconds. With shorter climbs, more requests would be throttled
at a high limit."""

CLIMB_SECONDS_AT_ONE_PER_SECOND = 6.0
"""A climb to a rate of one request a second takes this many seconds. With shorter climbs, a low
limit would throttle more of the requests. A climb to another rate takes these seconds, divided by
the square root of that rate."""

CLIMB_SECONDS_FOR_EACH_RETRY_AFTER_SECOND = 2.0
"""Each second of a `Retry-After` makes the climb this many seconds longer, if the throttled rate is
at most one request a second. No request starts during a `Retry-After`, so throttled requests must
be rarer. At a higher rate, even more seconds are added: see `MOST_TIMES_LONGER`."""

MOST_TIMES_LONGER = 5.0
"""If the throttled rate is more than one request a second, the seconds that a `Retry-After` adds to
a climb are multiplied by this rate, but at most by this factor. With longer climbs, a run that was
throttled by chance would be slow for a long time."""

RETRY_AFTER_REST_RATIO = 0.93
"""After a throttled request with a `Retry-After`, the climb rests at this share of the throttled
rate. At this rate, requests are hardly ever throttled because the times between starts are
random."""

KNOWN_CLIMBS = 3.0
"""If this many times `RateLimit.climb_seconds` pass after the start of a climb, and the rate is not
cut, the limit is forgotten."""

LITTLE_USED_STARTS = 3
"""If at most this many requests started since the last cut, the run may have used much less than
the allowed rate, for example because it had to wait for a `Retry-After`. The next cut then sets the
rate to just below the used rate, if this is lower than a usual cut."""

RETRY_AFTER_START_RATIO = 0.55
"""If few requests started since the last cut (`LITTLE_USED_STARTS`), the used rate may be far below
the limit, because no request could start during an earlier `Retry-After`. So a throttled request
with a `Retry-After` does not cut the rate to the used rate, but at most to this share of the
geometric mean of the used and the throttled rate."""

LEAST_RATE_PER_SECOND = 1 / 60
"""If the API accepted a request since the last cut, the next cut leaves at least this rate, which
is one request a minute: with fewer requests, the rate would follow the limit too slowly."""

LEAST_MEASURED_SECONDS = 0.001
"""A rate is measured over at least this time. Over a shorter time, it would depend on the
resolution of the clock."""

ACCEPTED_TO_END_SEARCH = 2
"""After this many accepted requests since the last cut, the search for the limit ends. A single one
is not enough: if other clients share the limit, the API may accept a request although the rate is
too high."""


class RateLimit(NamedTuple):
    """The rate since a cut, as a curve. Rates are in requests a second.

    Attributes:
        rest: The rate to which the rate climbs, and where it rests: the throttled rate, or less.
        start: The rate right after the cut.
        climbs_since: When the climb began; infinite while the rate is held.
        climb_seconds: How long the climb from `start` to `rest` takes.
    """

    rest: float
    start: float
    climbs_since: float
    climb_seconds: float

    @classmethod
    def cut(
        cls, throttled: float, start: float, climbs_since: float, retry_after: float = 0.0
    ) -> RateLimit:
        """Return the curve after a throttled request, or after a probe.

        The rates `throttled` and `start` are in requests a second; `retry_after` is in seconds.
        """
        seconds = max(LEAST_CLIMB_SECONDS, CLIMB_SECONDS_AT_ONE_PER_SECOND / math.sqrt(throttled))
        times = min(max(1.0, throttled), MOST_TIMES_LONGER)
        longer = CLIMB_SECONDS_FOR_EACH_RETRY_AFTER_SECOND * retry_after * times
        rest = max(start, RETRY_AFTER_REST_RATIO * throttled) if retry_after else throttled
        return cls(rest, start, climbs_since, seconds + longer)

    def rate(self, now: float) -> float:
        """Return the rate at a time; infinite if the limit is forgotten.

        The curve is cubic: it is flat near the rate where the climb rests.
        """
        climbs = max(0.0, now - self.climbs_since) / self.climb_seconds
        if climbs >= KNOWN_CLIMBS:
            return math.inf
        return self.rest * math.pow(self.start / self.rest, (1 - climbs) ** 3)


class RateState(NamedTuple):
    """What the answers have shown about the rate limit.

    Attributes:
        phase: The phase of the rate.
        limit: The limit; None if no limit is known.
        cut_at: When the rate last changed by a throttled request, a probe or the end of a
            standstill. A request that started earlier shows nothing about the present rate, so its
            answer does not cut the rate again.
        starts: How many requests started since the last throttled request or probe that changed the
            rate.
        accepted: How many of these requests the API accepted while a limit was known.
    """

    phase: RatePhase = RatePhase.OPEN
    limit: RateLimit | None = None
    cut_at: float = -math.inf
    starts: int = 0
    accepted: int = 0

    def rate(self, now: float) -> float:
        """Return how many requests may start in a second; infinite if no limit is known."""
        return self.limit.rate(now) if self.limit else math.inf

    def started(self) -> RateState:
        """Return the state after the start of a request."""
        return self._replace(starts=self.starts + 1)

    def throttled(
        self, now: float, rate: float, least_rate: float, retry_after: float = 0.0
    ) -> RateState:
        """Return the state after a throttled request that cuts the rate.

        Args:
            now: The time, in seconds.
            rate: The rate that was throttled, in requests a second.
            least_rate: The least rate after the cut, if the API accepted no request since the last
                cut, or the limit is forgotten.
            retry_after: The seconds that the API asks to wait.
        """
        phase = self._phase_at(now)
        transition = TRANSITIONS[phase, RateEvent.THROTTLED]
        start = rate * transition.ratio
        if self.limit and self.starts <= LITTLE_USED_STARTS:
            seconds = max(now - self.cut_at, LEAST_MEASURED_SECONDS)
            used = (self.starts + 1) / seconds
            # The limit is probably between the used and the throttled rate, so the climb rests at
            # their geometric mean.
            rate = min(rate, math.sqrt(used * rate))
            least_start = rate * RETRY_AFTER_START_RATIO if retry_after else 0.0
            start = min(start, max(used * CUT_RATIO, least_start))
        # (Requests that were accepted under a forgotten limit say nothing about the next limit.)
        has_measured = self.accepted and phase is not RatePhase.OPEN
        start = max(start, LEAST_RATE_PER_SECOND if has_measured else least_rate)
        limit = RateLimit.cut(max(rate, start), start, math.inf, retry_after)
        return RateState(transition.next_phase, limit, now)

    def restarted(self, event: RateEvent, now: float, rate: float) -> RateState:
        """Return the state after an event that sets a new rate, which is not held.

        Args:
            event: A probe begins or ends, or random throttling has become too frequent.
            now: The time, in seconds.
            rate: The rate that the factor of the table multiplies, in requests a second.
        """
        transition = TRANSITIONS[self._phase_at(now), event]
        limit = RateLimit.cut(rate, rate * transition.ratio, now)
        return RateState(transition.next_phase, limit, now)

    def took(self, now: float, *, ends_standstill: bool) -> RateState:
        """Return the state after an accepted request, which started after the last cut."""
        if not self.limit:
            return self
        accepted = self.accepted + 1
        is_held = math.isinf(self.limit.climbs_since)
        event = RateEvent.ACCEPTED
        if ends_standstill and is_held:
            event = RateEvent.STANDSTILL_OVER
        elif accepted >= ACCEPTED_TO_END_SEARCH:
            event = RateEvent.ACCEPTED_AGAIN
        transition = TRANSITIONS[self.phase, event]
        state = self._replace(phase=transition.next_phase, accepted=accepted)
        if transition.change is RateChange.FORGET:  # Earlier requests may hang: see `cut_at`.
            return state._replace(limit=None, cut_at=now)
        if transition.change is RateChange.BEGIN_CLIMB and is_held:
            return state._replace(limit=self.limit._replace(climbs_since=now))
        return state

    def without_probe(self) -> RateState:
        """Return the state after a probe, if any, is given up without a result."""
        if self.phase is not RatePhase.PROBE:
            return self
        transition = TRANSITIONS[self.phase, RateEvent.PROBE_VOID]
        return self._replace(phase=transition.next_phase)

    def _phase_at(self, now: float) -> RatePhase:
        """Return the phase: open if a climb has lasted so long that the limit is forgotten."""
        if self.phase is RatePhase.CLIMB and math.isinf(self.rate(now)):
            return RatePhase.OPEN
        return self.phase
