"""The rate limit that the API's answers show, and the rate that follows from it.

After a cut, the rate is held until a request is accepted. Then it climbs to the refused rate, rests
there, and climbs on, as TCP does (CUBIC). Climbs depend on time, but not on the number of answers,
so clients that share a limit get equal rates.
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
"""The shortest climb. Shorter climbs lead to more refusals at a high limit."""

CLIMB_SECONDS_AT_ONE_PER_SECOND = 6.0
"""The seconds of a climb to a limit of one request a second. The limit then refuses one request in
five. Climbs to higher rates are shorter, by the square root of the rate."""

CLIMB_SECONDS_FOR_EACH_RETRY_AFTER_SECOND = 2.0
"""The seconds by which each second of a `Retry-After` makes a climb longer, at a limit of at most
one request a second. A refusal costs the time of the `Retry-After`, so refusals must be rarer. At a
higher limit, a refusal costs more requests: see `MOST_TIMES_LONGER`."""

MOST_TIMES_LONGER = 5.0
"""The greatest factor for the extra seconds after a `Retry-After` at a higher limit; a smaller
factor is the limit in requests a second. With longer climbs, a run that was refused by chance would
be slow for a long time."""

RETRY_AFTER_REST_RATIO = 0.93
"""The rate at which a climb rests after a `Retry-After`, relative to the refused rate. There, the
random spread of starts hardly leads to refusals."""

KNOWN_CLIMBS = 3.0
"""The time without a refusal after which the limit is forgotten, in lengths of a climb."""

LITTLE_USED_STARTS = 3
"""If at most this number of requests started since the last cut, the next cut starts from the rate
that was really used, because a `Retry-After` left no time for more requests."""

RETRY_AFTER_START_RATIO = 0.55
"""The least rate after a cut, relative to the rate at which the climb rests, if there were few
starts (`LITTLE_USED_STARTS`) and a `Retry-After`. No request could start during the `Retry-After`,
so the used rate may be far below the limit."""

LEAST_RATE_PER_SECOND = 1 / 60
"""The least rate while some requests are accepted. A lower limit would need hours to be noticed."""

LEAST_MEASURED_SECONDS = 0.001
"""A rate that is measured over a shorter time depends on the resolution of the clock."""

ACCEPTED_TO_END_SEARCH = 2
"""The number of accepted requests after a cut that ends the search for the limit. If other clients
share the limit, the API may accept a single request although the rate is too high."""


class RateLimit(NamedTuple):
    """The rate since a cut, as a curve.

    Attributes:
        refused: The requests a second that were refused, or a lower rate at which a climb rests.
        start: The requests a second after the cut.
        climbs_since: When the climb began; infinite before that.
        climb_seconds: How long the climb takes.
    """

    refused: float
    start: float
    climbs_since: float
    climb_seconds: float

    @classmethod
    def cut(
        cls, refused: float, start: float, climbs_since: float, retry_after: float = 0.0
    ) -> RateLimit:
        """Return the limit after a cut, or after a probe."""
        seconds = max(LEAST_CLIMB_SECONDS, CLIMB_SECONDS_AT_ONE_PER_SECOND / math.sqrt(refused))
        times = min(max(1.0, refused), MOST_TIMES_LONGER)
        longer = CLIMB_SECONDS_FOR_EACH_RETRY_AFTER_SECOND * retry_after * times
        rest = max(start, RETRY_AFTER_REST_RATIO * refused) if retry_after else refused
        return cls(rest, start, climbs_since, seconds + longer)

    def rate(self, now: float) -> float:
        """Return the requests a second: a cubic curve, which is flat near the refused rate."""
        climbs = max(0.0, now - self.climbs_since) / self.climb_seconds
        if climbs >= KNOWN_CLIMBS:
            return math.inf
        return self.refused * math.pow(self.start / self.refused, (1 - climbs) ** 3)


class RateState(NamedTuple):
    """The phase of the rate, and the numbers by which the next answer is judged.

    Attributes:
        phase: What is known of the limit.
        limit: The limit; None if no limit is known.
        cut_at: When the rate last changed by a refusal or a probe. Requests that started before
            say nothing about the present rate: one cut is enough for all refusals of that time.
        starts: How many requests started since `cut_at`.
        accepted: How many of these requests were accepted.
    """

    phase: RatePhase = RatePhase.OPEN
    limit: RateLimit | None = None
    cut_at: float = -math.inf
    starts: int = 0
    accepted: int = 0

    def rate(self, now: float) -> float:
        """Return the requests a second that may start; infinite without a limit."""
        return self.limit.rate(now) if self.limit else math.inf

    def started(self) -> RateState:
        """Return the state after the start of a request."""
        return self._replace(starts=self.starts + 1)

    def refused(
        self, now: float, rate: float, least_rate: float, retry_after: float = 0.0
    ) -> RateState:
        """Return the state after a refusal that cuts the rate.

        Args:
            now: The time, in seconds.
            rate: The requests a second that led to the refusal.
            least_rate: A floor for the rate while no request is accepted since the last cut.
            retry_after: The seconds that the API asks to wait.
        """
        phase = self._phase_at(now)
        transition = TRANSITIONS[phase, RateEvent.REFUSED]
        start = rate * transition.ratio
        if self.limit and self.starts <= LITTLE_USED_STARTS:
            seconds = max(now - self.cut_at, LEAST_MEASURED_SECONDS)
            used = (self.starts + 1) / seconds
            # The limit is higher than the used rate, so the climb rests between the used
            # and the refused rate: at their geometric mean.
            rate = min(rate, math.sqrt(used * rate))
            least_start = rate * RETRY_AFTER_START_RATIO if retry_after else 0.0
            start = min(start, max(used * CUT_RATIO, least_start))
        # (Requests that were accepted under a forgotten limit say nothing about the next limit.)
        has_measured = self.accepted and phase is not RatePhase.OPEN
        start = max(start, LEAST_RATE_PER_SECOND if has_measured else least_rate)
        limit = RateLimit.cut(max(rate, start), start, math.inf, retry_after)
        return RateState(transition.next_phase, limit, now)

    def restarted(self, event: RateEvent, now: float, rate: float) -> RateState:
        """Return the state after an event that sets the rate, from which it climbs at once.

        Args:
            event: A probe begins or ends, or there are too many random refusals.
            now: The time, in seconds.
            rate: The rate, in requests a second, that is multiplied by the factor of the table.
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
        if transition.change is RateChange.FORGET:  # Requests that still hang do not count.
            return state._replace(limit=None, cut_at=now)
        if transition.change is RateChange.BEGIN_CLIMB and is_held:
            return state._replace(limit=self.limit._replace(climbs_since=now))
        return state

    def without_probe(self) -> RateState:
        """Return the state after the end of a probe that was given up and shows nothing."""
        if self.phase is not RatePhase.PROBE:
            return self
        transition = TRANSITIONS[self.phase, RateEvent.PROBE_VOID]
        return self._replace(phase=transition.next_phase)

    def _phase_at(self, now: float) -> RatePhase:
        """Return the phase; a limit that has refused nothing for long is forgotten."""
        if self.phase is RatePhase.CLIMB and math.isinf(self.rate(now)):
            return RatePhase.OPEN
        return self.phase
