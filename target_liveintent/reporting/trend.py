"""Says since when a figure has been worse."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Sequence

import msgspec

from target_liveintent.reporting.usual import LEAST_DAYS, Sample, comparable, range_of

LOW, HIGH = "low", "high"
_FOUR_WEEKS = 28
_LEAST_LENGTH = 4
"""Days that have to be worse: a few happen by chance."""
_LEAST_CHANGE = 0.05
"""By how much of the usual figure they have to be worse, at least."""
_AGAINST = 4
"""How many worse days make up for one that is not."""


class Worse(msgspec.Struct, frozen=True):
    """Since which day a figure has been worse, its middle before, and its middle since then."""

    since: dt.date
    before: float
    after: float

    @property
    def day_before(self) -> dt.date:
        """The day before: a change on it may be the cause as well."""
        return self.since - dt.timedelta(days=1)


def worse_since(
    samples: Sequence[Sample[float]], worse: str | None, *, is_share: bool
) -> Worse | None:
    """Return since which day a figure has been worse, up to now; None if it is not.

    The days since then are outside of the range that was usual before, nearly all of them. So the
    answer stays the same while they become the new usual ones.

    Args:
        samples: The figure on finished days, the oldest first.
        worse: Whether it is worse when it is `LOW` or `HIGH`; None if neither is.
        is_share: Whether it is a share, which has no weekly rhythm.
    """
    if worse is None:
        return None
    sign = 1 if worse == LOW else -1
    found, best = None, _LEAST_LENGTH - 1
    for start in range(len(samples) - _LEAST_LENGTH, LEAST_DAYS - 1, -1):
        before, after = samples[max(0, start - _FOUR_WEEKS) : start], samples[start:]
        old = [sign * figure for _, figure in before]
        new = [sign * figure for _, figure in after]
        middle = statistics.median(old)
        if middle - statistics.median(new) <= _LEAST_CHANGE * abs(middle):
            continue
        if not is_share:
            earlier, first = samples[:start], after[0][0]
            old = [sign * (n - _usual(earlier, first, day)) for day, n in before]
            new = [sign * (n - _usual(earlier, first, day)) for day, n in after]
        usual = range_of(old)
        if usual is None or new[0] >= usual.low or new[-1] >= usual.low:
            continue
        score = sum(1 if n < usual.low else -_AGAINST for n in new)
        if score > best:
            best = score
            found = Worse(after[0][0], abs(middle), abs(statistics.median(f for _, f in after)))
    return found


def _usual(earlier: Sequence[Sample[float]], first: dt.date, day: dt.date) -> float:
    """Return what was usual on the weekday of a day, before the first day."""
    same = first + dt.timedelta(days=(day - first).days % 7)
    return statistics.median(comparable(earlier, same))
