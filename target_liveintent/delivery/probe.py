"""Probes, which show whether refusals depend on the rate.

A limit accepts the same number of requests at any rate above it. If a share is refused at random,
or because of other clients, slower requests are refused as often. A *probe* tells these cases
apart: ten requests at four times the rate. If the API accepts at least half of the former share,
refusals are random: for the next 100 answers, a usual share of refusals does not cut the rate.

During these answers, other clients that share a limit get less, because the run does not know about
these clients. The tasks of a Spark write know their number. Before its first probe, each task finds
its share of the limit.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from target_liveintent.delivery.rate_phases import RateEvent

SAMPLE_ANSWERS = 10
"""The number of answers whose share of refusals can begin a probe, and the number of requests in a
probe. A probe must be short, because a limit refuses most of its requests."""

LEAST_REFUSED_RATIO, MOST_REFUSED_RATIO = 0.4, 0.8
"""The least and the greatest share of refusals that begin a probe. A single client at a limit gets
a lower share. At a higher share, too few requests are accepted to compare shares."""

PROBE_RATIO = 4.0
"""The rate of a probe, relative to the highest rate of the answers before it. A limit then accepts
only a quarter of the former share, which is well below what counts as random."""

LEAST_PROBE_RATIO = 2.5
"""The least rate of a probe, relative to the highest rate before the probe. With a slower probe, a
limit would accept a similar share. The full `PROBE_RATIO` is not always possible, because of the
requests in flight or `per_minute`."""

RANDOM_RATIO = 0.5
"""Refusals are random if the share of accepted requests in a probe is at least half the share
before the probe. At a limit, a probe at four times the rate gets a quarter of this share."""

RANDOM_ANSWERS = 100
"""The number of answers after a probe during which refusals count as random, if the probe found
them random. The next probe may come afterwards."""

PAUSE_ANSWERS = 40
"""The least number of answers between a probe that found a limit and the next probe. The tasks of a
Spark write also wait for this number of answers before their first probe, to find their shares of
the limit."""

EARLY_PROBE_RATIO, EARLY_PROBE_SECONDS = 0.5, 5.0
"""At a low rate, answers are few. So the next probe may begin 5 seconds after the last probe,
without a pause of answers, if its rate is at most half the rate of the last probe."""

ALLOWED_REFUSED_RATIO = 0.55
"""The greatest share of refusals that leads to no cut of the rate while refusals are random. If the
API refuses half of the requests at random, a run should still be fast."""

EXCESS_REFUSALS = 3.0
"""The number of refusals beyond the allowed share that leads to a cut of the rate. Chance rarely
causes this number."""


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


class RandomRefusals(NamedTuple):
    """The result of a probe that refusals do not depend on the rate.

    Attributes:
        answers_left: For how many more answers the run assumes this.
        excess: The refusals beyond the allowed share.
    """

    answers_left: int = RANDOM_ANSWERS
    excess: float = 0.0

    def answered(self) -> RandomRefusals | None:
        """Return what is known after an answer; None if the run no longer assumes it."""
        if self.answers_left == 1:
            return None
        excess = max(0.0, self.excess - ALLOWED_REFUSED_RATIO)
        return RandomRefusals(self.answers_left - 1, excess)

    def refused(self) -> tuple[RandomRefusals, bool]:
        """Return what is known after a refusal, and whether there are too many refusals."""
        excess = self.excess + 1
        if excess >= EXCESS_REFUSALS:
            return self._replace(excess=0.0), True
        return self._replace(excess=excess), False


class Probes:
    """Decides when a probe begins and ends, and keeps what the probe has shown.

    Attributes:
        under_way: The present probe, or None.
        random_refusals: What is known of random refusals after a probe, or None.
    """

    def __init__(self, tasks: int) -> None:
        self.under_way: Probe | None = None
        self.random_refusals: RandomRefusals | None = None
        self._sample: deque[tuple[bool, float]] = deque(maxlen=SAMPLE_ANSWERS)
        self._pause_answers = PAUSE_ANSWERS if tasks > 1 else 0
        self._early_at = math.inf
        self._last_rate = 0.0  # The requests a second of the last probe.

    def note_answer(self) -> None:
        """Count an answer of the pause after a probe."""
        self._pause_answers -= 1

    def clear(self) -> None:
        """Forget the last answers: at the present rate, refusals cannot be compared."""
        self._sample.clear()

    def give_up(self) -> None:
        """Forget the probe and its result after a `Retry-After` or a long standstill."""
        self.under_way = None
        self.random_refusals = None

    def answered(
        self, now: float, *, accepted: bool, rate: float, fastest: float
    ) -> tuple[RateEvent, float] | None:
        """Note whether a request was accepted, and begin or end a probe.

        Args:
            now: The time, in seconds.
            accepted: Whether the request was accepted.
            rate: The present rate, in requests a second.
            fastest: The requests a second that a probe can have at most.

        Returns:
            The event, and the rate that it is about; None if there is no event.
        """
        if self.random_refusals:
            self.random_refusals = self.random_refusals.answered()
            return None
        self._sample.append((accepted, rate))
        if len(self._sample) < SAMPLE_ANSWERS:
            return None
        share = sum(accepted for accepted, _ in self._sample) / SAMPLE_ANSWERS
        if self.under_way:
            return self._end(self.under_way, now, share)
        if not 1 - MOST_REFUSED_RATIO <= share <= 1 - LEAST_REFUSED_RATIO:
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
        """Return whether the pause after the last probe is over, or the rate has fallen far."""
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
            self.random_refusals = RandomRefusals()
            self._pause_answers = 0
            return RateEvent.PROBE_ACCEPTED, probe.rate
        self._pause_answers = PAUSE_ANSWERS
        return RateEvent.PROBE_REFUSED, probe.rate_before
