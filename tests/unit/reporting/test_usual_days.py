"""How improbable a count is, and numbers in words."""

import datetime as dt
import math

import pytest

from target_liveintent.reporting import words
from target_liveintent.reporting.history import Range
from target_liveintent.reporting.usual_range import chance_of_so_few


def test_the_chance_of_so_few() -> None:
    """It is exact for nothing, and a bound above the true chance for more."""
    assert chance_of_so_few(0, 5) == pytest.approx(math.exp(-5))
    assert chance_of_so_few(0, 5, 10) == pytest.approx(0.5**10)
    poisson = sum(math.exp(-20) * 20**n / math.factorial(n) for n in range(2))
    assert poisson < chance_of_so_few(1, 20) < 10 * poisson
    binomial = sum(math.comb(40, n) for n in range(9)) / 2**40
    assert binomial < chance_of_so_few(8, 20, 40) < 10 * binomial


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        *[
            pytest.param(0, 0, "0 %", id="none of none"),
            pytest.param(0, 1_000, "0 %", id="none of many"),
            pytest.param(1, 1_000, "less than 1 %", id="less than one percent"),
            pytest.param(6, 1_000, "1 %", id="rounded up"),
        ],
        *[
            pytest.param(1, 3, "33 %", id="rounded down"),
            pytest.param(996, 1_000, "more than 99 %", id="not quite all"),
            pytest.param(9, 9, "100 %", id="all"),
        ],
    ],
)
def test_shares(part: int, whole: int, said: str) -> None:
    """None and all are said only where that is exact."""
    assert words.percent(part, whole) == said


def test_ranges_and_ages() -> None:
    """A range of one number is this number; an age is said in its largest unit."""
    assert words.range_words(Range(0.83, 0.85, 0.86), words.share_words) == "83 % to 86 %"
    assert [words.range_words(one, str) for one in (Range(3, 3, 3), None)] == ["3", "-"]
    ages = [dt.timedelta(seconds=seconds) for seconds in (0.2, 1, 120, 7_265, 200_000)]
    said = [words.age_words(age) for age in ages]
    assert said == ["0 seconds", "1 second", "2 minutes", "2 hours", "2 days"]
