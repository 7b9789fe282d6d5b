"""The window: how many requests may be in flight. It follows how long answers take.

When too many requests are in flight, they queue up at the API, and answers take longer.

| what happens | window |
|---|---|
| A request is accepted. No rate limit is known, and no round was slow yet. | + 0.5 |
| A round was not slow. A rate limit is known, or an earlier round was slow. | + 1 |
| A round is slow: its median latency is more than twice the least median. | times 0.7 |
| A fourth round in a row is slow, and hardly faster than the first one. | as before these rounds |

A *round* is as many accepted requests as the window is wide, but at least eight. The window grows
only if it was full: otherwise, a wider window would change nothing.
"""

from __future__ import annotations

import math
import statistics

FIRST_REQUESTS = 2.0
"""How many requests may be in flight at the start, and after a standstill in addition to those that
still are. A smaller window would grow slowly."""

REQUESTS_FOR_EACH_ANSWER = 0.5
"""At first, each accepted request widens the window by this. So the window grows by half in each
round trip."""

LEAST_ROUND_ANSWERS = 8
"""A round has at least this many accepted requests. The median latency of fewer requests depends
too much on chance."""

SLOW_RATIO = 2.0
"""A round is slow if its median latency is more than this many times the least median latency.
Without a queue at the API, medians of eight answers hardly ever differ that much."""

NARROWING_RATIO = 0.7
"""After a slow round, the window is multiplied by this factor. A queue at the API is gone after a
few such steps. If the round was slow by chance, a single step costs little speed."""

SLOW_ROUNDS = 3
"""After this many slow rounds in a row, the window is a third as wide. If a queue at the API had
made answers slow, they would now be faster. If they are not, the window gets its former width back
after the next slow round."""

FASTER_RATIO = 0.7
"""Answers are faster in a narrower window if their median latency is at most this ratio of the
median of the first slow round. Smaller differences happen by chance."""


class Window:
    """How many requests may be in flight, at most `ceiling`.

    Attributes:
        best_latency: The least median latency of a round, in seconds; infinite before the first
            round is over.
    """

    def __init__(self, ceiling: int) -> None:
        self.best_latency = math.inf
        self._ceiling = ceiling
        self._width = min(FIRST_REQUESTS, ceiling)
        self._round: list[float] = []  # The latencies of this round, in seconds.
        self._slow_medians: list[float] = []  # Of the last slow rounds in a row.
        self._was_ever_slow = False
        self._narrowed_at = -math.inf

    @property
    def width(self) -> int:
        """How many requests may be in flight."""
        return int(self._width)

    @property
    def most_per_second(self) -> float:
        """How many requests can start in a second while `ceiling` requests are in flight.

        It is 0 before the first round is over, as no latency is known.
        """
        return self._ceiling / self.best_latency if self.best_latency else math.inf

    def set(self, width: float) -> None:
        """Set the width, but at least to 1 and at most to the ceiling."""
        self._width = min(max(1.0, width), self._ceiling)

    def accepted(self, started_at: float, now: float, *, was_full: bool, is_limited: bool) -> None:
        """Widen the window while answers stay fast, and narrow it after a slow round.

        Args:
            started_at: When the accepted request started, in seconds.
            now: The time, in seconds.
            was_full: Whether the window was full before the answer.
            is_limited: Whether a rate limit is known, so that the window need not grow quickly.
        """
        if started_at < self._narrowed_at:
            return  # The latency of this request shows nothing about the narrower window.
        grows_by_round = is_limited or self._was_ever_slow
        if was_full and not grows_by_round:
            self.set(self._width + REQUESTS_FOR_EACH_ANSWER)
        self._round.append(now - started_at)
        if len(self._round) < max(LEAST_ROUND_ANSWERS, self.width):
            return
        median = statistics.median(self._round)
        self._round.clear()
        self.best_latency = min(median, self.best_latency)
        if median > SLOW_RATIO * self.best_latency:
            self._end_slow_round(median, now)
            return
        self._slow_medians.clear()
        if was_full and grows_by_round:
            self.set(self._width + 1)

    def _end_slow_round(self, median: float, now: float) -> None:
        """Narrow the window, or widen it again if narrower windows did not help.

        If answers stay slow in a narrower window, requests in flight are not the reason: the API
        is slower than before, or this machine is busy.
        """
        self._was_ever_slow = True
        self._narrowed_at = now
        self._slow_medians.append(median)
        is_useless = median > FASTER_RATIO * self._slow_medians[0]
        if len(self._slow_medians) > SLOW_ROUNDS and is_useless:
            self._slow_medians.clear()
            self.best_latency = median
            self.set(self._width / NARROWING_RATIO**SLOW_ROUNDS)
        else:
            self.set(self._width * NARROWING_RATIO)
