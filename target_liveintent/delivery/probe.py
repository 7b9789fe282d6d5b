"""Probes, which show whether throttling depends on the rate.

A limit accepts the same number of requests a second at any rate above it. If throttling is random,
or other clients cause it, the same share of requests is throttled at any rate. A *probe* tells
these cases apart: the run sends ten requests at up to four times the rate. If the API accepts at
least half the share that it accepted before, throttling is random. Then, up to 55 % of throttled
requests do not cut the rate during the next 100 answers.

During these answers, other clients that share a limit get less, because the run does not know about
these clients. The tasks of a Spark write know how many tasks there are. So each task finds its
share of the limit before its first probe.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from target_liveintent.delivery.rate_phases import RateEvent

SAMPLE_ANSWERS = 10
"""After this many answers, the share of throttled requests among them decides whether a probe
begins. A probe has the same number of requests: it must be short, because a limit throttles most of
them."""

LEAST_THROTTLED_RATIO, MOST_THROTTLED_RATIO = 0.4, 0.8
"""A probe can begin if the share of throttled requests is at least the first and at most the second
of these ratios. A single client at a limit has fewer. If more requests are throttled, too few
requests are accepted to compare shares."""

PROBE_RATIO = 4.0
"""The rate of a probe is this many times the highest rate before the probe. A limit then accepts
only a quarter of the former share of requests, which is well below `RANDOM_RATIO`."""

LEAST_PROBE_RATIO = 2.5
"""A probe begins only if its rate can be at least this many times the highest rate before it.
During a slower probe, a limit would accept almost the former share. The full `PROBE_RATIO` may be
impossible because of `per_minute`, or because too many requests would be in flight."""

RANDOM_RATIO = 0.5
"""Throttling is random if the share of accepted requests in a probe is at least half the share
before the probe. A limit accepts only a quarter of that share at four times the rate."""

RANDOM_ANSWERS = 100
"""If a probe shows that throttling is random, it counts as random during this many answers. The
next probe may begin afterwards."""

PAUSE_ANSWERS = 40
"""After a probe that found a limit, the next probe begins after at least this many answers. The
tasks of a Spark write also wait for this many answers before their first probe, to find their
shares of the limit. (`EARLY_PROBE_RATIO` is an exception.)"""

EARLY_PROBE_RATIO, EARLY_PROBE_SECONDS = 0.5, 5.0
"""If the rate of the next probe would be at most half the rate of the last probe, the next probe
may begin after 5 seconds, before `PAUSE_ANSWERS` have come. At a low rate, these take long."""

ALLOWED_THROTTLED_RATIO = 0.55
"""While throttling is random, up to this share of throttled requests does not cut the rate. If the
API throttles half of the requests at random, a run should still be fast."""

EXCESS_THROTTLED = 3.0
"""While throttling is random, this many throttled requests above the allowed share cut the rate. By
chance, there are rarely this many."""


class Probe(NamedTuple):
    """A probe under way.

    Attributes:
        rate: The requests a second during the probe.
        rate_before: The requests a second before the probe.
        accepted_before: The share of accepted requests before the probe, from 0 to 1.
    """

    rate: float
    rate_before: float
    accepted_before: float


class RandomThrottling(NamedTuple):
    """What is known after a probe has shown that throttling does not depend on the rate.

    Attributes:
        answers_left: For how many more answers throttling counts as random.
        excess: The number of throttled requests beyond the allowed share.
    """

    answers_left: int = RANDOM_ANSWERS
    excess: float = 0.0

    def answered(self) -> RandomThrottling | None:
        """Return what is known after an answer; None if throttling no longer counts as random."""
        if self.answers_left == 1:
            return None
        excess = max(0.0, self.excess - ALLOWED_THROTTLED_RATIO)
        return RandomThrottling(self.answers_left - 1, excess)

    def throttled(self) -> tuple[RandomThrottling, bool]:
        """Return what is known after a throttled request, and whether there are too many."""
        excess = self.excess + 1
        if excess >= EXCESS_THROTTLED:
            return self._replace(excess=0.0), True
        return self._replace(excess=excess), False


class Probes:
    """Decides when a probe begins and ends, and keeps what the probe has shown.

    Attributes:
        under_way: The present probe, or None.
        random_throttling: What is known while throttling counts as random; otherwise None.
    """

    def __init__(self, tasks: int) -> None:
        self.under_way: Probe | None = None
        self.random_throttling: RandomThrottling | None = None
        self._sample: deque[tuple[bool, float]] = deque(maxlen=SAMPLE_ANSWERS)
        self._pause_answers = PAUSE_ANSWERS if tasks > 1 else 0
        self._early_at = math.inf
        self._last_rate = 0.0  # The requests a second of the last probe.

    def note_answer(self) -> None:
        """Count an answer during the pause before the next probe."""
        self._pause_answers -= 1

    def clear(self) -> None:
        """Forget the last answers: while no limit is known, their shares cannot be compared."""
        self._sample.clear()

    def give_up(self) -> None:
        """Forget the present probe, and what a probe has shown.

        This is for a `Retry-After` and for a long standstill.
        """
        self.under_way = None
        self.random_throttling = None

    def answered(
        self, now: float, *, accepted: bool, rate: float, fastest: float
    ) -> tuple[RateEvent, float] | None:
        """Note whether a request was accepted, and begin or end a probe.

        Args:
            now: The time, in seconds.
            accepted: Whether the request was accepted.
            rate: The present rate, in requests a second.
            fastest: The highest rate that a probe can have, in requests a second.

        Returns:
            The event, and the rate for `RateState.restarted`; None if no probe begins or ends.
        """
        if self.random_throttling:
            self.random_throttling = self.random_throttling.answered()
            return None
        self._sample.append((accepted, rate))
        if len(self._sample) < SAMPLE_ANSWERS:
            return None
        share = sum(accepted for accepted, _ in self._sample) / SAMPLE_ANSWERS
        if self.under_way:
            return self._end(self.under_way, now, share)
        if not 1 - MOST_THROTTLED_RATIO <= share <= 1 - LEAST_THROTTLED_RATIO:
            return None
        highest = max(rate for _, rate in self._sample)
        probe = Probe(min(PROBE_RATIO * highest, fastest), rate, share)
        is_faster = LEAST_PROBE_RATIO * highest <= probe.rate < math.inf
        if not is_faster or not self._may_begin(now, highest):
            return None
        self.under_way = probe
        self._sample.clear()
        return RateEvent.MIXED, probe.rate

    def _may_begin(self, now: float, highest: float) -> bool:
        """Return whether the pause after the last probe is over, or may be cut short."""
        if self._pause_answers <= 0:
            return True
        is_slower = PROBE_RATIO * highest <= EARLY_PROBE_RATIO * self._last_rate
        return is_slower and now >= self._early_at

    def _end(self, probe: Probe, now: float, share: float) -> tuple[RateEvent, float]:
        """End a probe in which this share of the requests was accepted."""
        self.under_way = None
        self._sample.clear()
        self._last_rate = probe.rate
        self._early_at = now + EARLY_PROBE_SECONDS
        if share >= RANDOM_RATIO * probe.accepted_before:
            self.random_throttling = RandomThrottling()
            self._pause_answers = 0
            return RateEvent.PROBE_ACCEPTED, probe.rate
        self._pause_answers = PAUSE_ANSWERS
        return RateEvent.PROBE_THROTTLED, probe.rate_before
