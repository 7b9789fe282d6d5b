"""Says since when a figure has been worse."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence

from target_liveintent.reporting.history.usual import Range, Sample, comparable, range_of
from target_liveintent.reporting.overview.model import LEAST_DAYS, LOW, Worse

_FOUR_WEEKS = 28
_LEAST_LENGTH = 3
"""Days that have to be worse: one or two happen by chance."""
_LEAST_CHANGE = 0.05
"""By how much of the usual figure they have to be worse, at least."""
_AGAINST = 4
"""How many worse days make up for one that is not."""


def worse_since(samples: Sequence[Sample[float]], worse: str | None) -> Worse | None:
    """Return since which day a figure has been worse, up to now; None if it is not.

    The days since then are outside of the range that was usual before, nearly all of them. So the
    answer stays the same while they become the new usual ones.

    Args:
        samples: The figure on finished days, the oldest first.
        worse: Whether it is worse when it is `LOW` or `HIGH`; None if neither is.
    """
    if worse is None:
        return None
    sign = 1 if worse == LOW else -1
    found, best = None, _LEAST_LENGTH - 1
    for start in range(len(samples) - _LEAST_LENGTH, LEAST_DAYS - 1, -1):
        is_worse = _judge_of(samples[:start], samples[start][0], sign)
        after = samples[start:]
        if not (is_worse(after[0]) and is_worse(after[-1])):
            continue
        score = sum(1 if is_worse(one) else -_AGAINST for one in after)
        if score <= best:
            continue
        old = range_of(figure for _, figure in samples[max(0, start - _FOUR_WEEKS) : start])
        new = range_of(figure for _, figure in after)
        if old and new and sign * (old.middle - new.middle) > _LEAST_CHANGE * abs(old.middle):
            found, best = Worse(after[0][0], old.middle, new.middle), score
    return found


def _judge_of(
    before: Sequence[Sample[float]], start: dt.date, sign: int
) -> Callable[[Sample[float]], bool]:
    """Return what says whether a day is outside of the range that was usual before a day."""

    @functools.cache
    def usual(days: int) -> Range | None:
        return range_of(comparable(before, start + dt.timedelta(days=days)))

    def is_worse(sample: Sample[float]) -> bool:
        found = usual((sample[0] - start).days % 7)
        if found is None:
            return False
        return sample[1] < found.low if sign > 0 else sample[1] > found.high

    return is_worse
