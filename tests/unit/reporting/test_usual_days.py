"""Since when a figure has been worse, how improbable a count is, and numbers in words."""

import datetime as dt
import math
import random

import pytest

from target_liveintent.reporting import words
from target_liveintent.reporting.usual import (
    HIGH,
    LOW,
    Range,
    Worse,
    chance_of_so_few,
    worse_since,
)

FIRST = dt.date(2026, 2, 2)
_WEEK = (1.2, 1.1, 1.0, 1.0, 1.1, 0.7, 0.5)


def series(days: int, seed: int, changed: int | None = None, by: float = 1.0) -> list[float]:
    """Return figures with a weekly rhythm, which change at a day."""
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    changed = days if changed is None else changed
    return [
        200 * _WEEK[n % 7] * chance.gauss(1, 0.07) * (by if n >= changed else 1)
        for n in range(days)
    ]


def worse(figures: list[float], direction: str | None = LOW) -> Worse | None:
    dated = [(FIRST + dt.timedelta(days=n), figure) for n, figure in enumerate(figures)]
    return worse_since(dated, direction)


STEADY, RISE = series(60, seed=6), series(60, seed=4, changed=50, by=1.8)
ONE_GOOD_DAY = series(90, seed=8, changed=60, by=0.5)
ONE_GOOD_DAY[75] *= 4


@pytest.mark.parametrize(
    ("figures", "direction", "since"),
    [
        *[(series(90, seed=3, changed=n, by=0.6), LOW, n) for n in (30, 60, 80, 86)],
        *[(RISE, HIGH, 50), (RISE, LOW, None), (RISE, None, None)],
        *[([*STEADY[:-n], *[one / 3 for one in STEADY[-n:]]], LOW, None) for n in (1, 2, 3)],
        ([*STEADY[:30], *[one / 2 for one in STEADY[30:50]], *STEADY[50:]], LOW, None),
        *[(ONE_GOOD_DAY, LOW, 60), ([], LOW, None), ([1.0] * 8 + [0.1] * 8, LOW, None)],
    ],
)
def test_the_day_of_a_change(
    figures: list[float], direction: str | None, since: int | None
) -> None:
    """It stays the same while the worse days become the usual ones.

    A few bad days are chance or a holiday; a good day does not hide that the others are worse.
    """
    found = worse(figures, direction)
    assert (found is None) == (since is None)
    if found is not None and since is not None:
        assert abs((found.since - FIRST).days - since) <= 1  # A day can be worse by chance.
        more, less = (found.before, found.after)[:: -1 if direction == HIGH else 1]
        assert less < 0.8 * more


def test_a_share() -> None:
    """A share has no weekly rhythm; a small change that lasts is found."""
    chance = random.Random(5)  # noqa: S311 (no secrets)
    found = worse([chance.gauss(0.85 if n < 70 else 0.75, 0.015) for n in range(90)])
    assert found is not None
    assert found.since == FIRST + dt.timedelta(days=70)
    assert (found.before, found.after) == pytest.approx((0.85, 0.75), abs=0.01)


@pytest.mark.parametrize("is_share", [True, False])
def test_chance_is_no_change(is_share: bool) -> None:
    """Figures of shops where nothing happens, with and without a rhythm."""
    found = 0
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311 (no secrets)
        figures = [chance.gauss(0.6, 0.05) for _ in range(90)] if is_share else series(90, seed)
        for end in range(30, 91, 5):
            found += worse(figures[:end]) is not None
    assert found <= 2


def test_the_chance_of_so_few() -> None:
    """It is exact for nothing, and a bound above the true chance for more."""
    assert chance_of_so_few(0, 5) == pytest.approx(math.exp(-5))
    assert chance_of_so_few(0, 5, 10) == pytest.approx(0.5**10)
    poisson = sum(math.exp(-20) * 20**n / math.factorial(n) for n in range(6))
    assert poisson < chance_of_so_few(5, 20) < 10 * poisson
    binomial = sum(math.comb(40, n) for n in range(9)) / 2**40
    assert binomial < chance_of_so_few(8, 20, 40) < 10 * binomial
    assert chance_of_so_few(9, 10, 10) == 0


# In words


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        *[(0, 0, "0 %"), (0, 1_000, "0 %"), (1, 1_000, "less than 1 %"), (6, 1_000, "1 %")],
        *[(1, 3, "33 %"), (996, 1_000, "more than 99 %"), (9, 9, "100 %")],
    ],
)
def test_shares(part: int, whole: int, said: str) -> None:
    """None and all are said only where that is exact."""
    assert words.percent(part, whole) == said


def test_ranges_and_ages() -> None:
    """A range of one number is this number; an age is said in its largest unit."""
    assert words.usual_words(Range(0.83, 0.85, 0.86), words.share_words) == "83 % to 86 %"
    assert words.usual_words(Range(3, 3, 3), "{:.0f}".format) == "3"
    ages = [words.age_words(seconds) for seconds in (0.2, 1, 119, 7_265, 200_000)]
    assert ages == ["0 seconds", "1 second", "1 minute", "2 hours", "2 days"]
