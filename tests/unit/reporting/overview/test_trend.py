"""Since when a figure has been worse."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from target_liveintent.reporting.overview.model import HIGH, LOW
from target_liveintent.reporting.overview.trend import worse_since

FIRST = dt.date(2026, 2, 2)
_WEEK = (1.2, 1.1, 1.0, 1.0, 1.1, 0.7, 0.5)


def series(days: int, seed: int, changed: int | None = None, by: float = 1.0) -> list[float]:
    """Return figures with a weekly rhythm, which change at a day."""
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    return [
        200
        * _WEEK[n % 7]
        * chance.gauss(1, 0.07)
        * (by if changed is not None and n >= changed else 1)
        for n in range(days)
    ]


def dated(figures: list[float]) -> list[tuple[dt.date, float]]:
    return [(FIRST + dt.timedelta(days=n), figure) for n, figure in enumerate(figures)]


@pytest.mark.parametrize("length", [4, 10, 30, 60])
def test_the_day_of_a_change(length: int) -> None:
    """It stays the same while the worse days become the usual ones."""
    figures = series(90, seed=3, changed=90 - length, by=0.6)
    found = worse_since(dated(figures), LOW, is_share=False)
    assert found is not None
    off = found.since - FIRST - dt.timedelta(days=90 - length)
    assert abs(off.days) <= 1  # A day can be worse by chance.
    assert found.after < 0.8 * found.before


def test_a_rise() -> None:
    """A figure that is worse when it is high; the other direction is no news."""
    samples = dated(series(60, seed=4, changed=50, by=1.8))
    found = worse_since(samples, HIGH, is_share=False)
    assert found is not None
    assert found.since == FIRST + dt.timedelta(days=50)
    assert found.before < found.after
    assert worse_since(samples, LOW, is_share=False) is None
    assert worse_since(samples, None, is_share=False) is None


def test_a_share() -> None:
    """A share has no weekly rhythm; a small change that lasts is found."""
    chance = random.Random(5)  # noqa: S311 (no secrets)
    shares = [chance.gauss(0.85 if n < 70 else 0.75, 0.015) for n in range(90)]
    found = worse_since(dated(shares), LOW, is_share=True)
    assert found is not None
    assert found.since == FIRST + dt.timedelta(days=70)
    assert found.before == pytest.approx(0.85, abs=0.01)
    assert found.after == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("is_share", [True, False])
def test_chance_is_no_change(is_share: bool) -> None:
    """Figures of shops where nothing happens, with and without a rhythm."""
    found = 0
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311 (no secrets)
        figures = [chance.gauss(0.6, 0.05) for _ in range(90)] if is_share else series(90, seed)
        for end in range(30, 91, 5):
            found += worse_since(dated(figures[:end]), LOW, is_share=is_share) is not None
    assert found <= 2


def test_a_single_bad_day() -> None:
    """A few days are chance, or a holiday."""
    figures = series(60, seed=6)
    for length in (1, 2, 3):
        worse = [*figures[:-length], *[one / 3 for one in figures[-length:]]]
        assert worse_since(dated(worse), LOW, is_share=False) is None


def test_what_is_over() -> None:
    """What has become better again is not said."""
    figures = series(60, seed=7)
    worse = [*figures[:30], *[one / 2 for one in figures[30:50]], *figures[50:]]
    assert worse_since(dated(worse), LOW, is_share=False) is None


def test_too_little_history() -> None:
    assert worse_since([], LOW, is_share=True) is None
    assert worse_since(dated([1.0] * 8 + [0.1] * 8), LOW, is_share=True) is None


def test_one_good_day_among_the_worse() -> None:
    """It does not hide that the others are worse."""
    figures = series(90, seed=8, changed=60, by=0.5)
    figures[75] *= 4
    found = worse_since(dated(figures), LOW, is_share=False)
    assert found is not None
    assert found.since == FIRST + dt.timedelta(days=60)
