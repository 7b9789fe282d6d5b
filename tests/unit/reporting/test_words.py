"""Numbers in words."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from target_liveintent.reporting import words
from target_liveintent.reporting.usual import Range

UTC = dt.timezone.utc


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        *[
            (0, 0, "0 %"),
            (0, 1_000, "0 %"),
            (1, 1_000, "less than 1 %"),
            (5, 1_000, "less than 1 %"),
        ],
        *[(6, 1_000, "1 %"), (1, 3, "33 %"), (996, 1_000, "more than 99 %"), (9, 9, "100 %")],
    ],
)
def test_shares(part: int, whole: int, said: str) -> None:
    """None and all are said only where that is exact."""
    assert words.percent(part, whole) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        *[("0", "0.00"), ("9999.994", "9,999.99"), ("10000.5", "10,000"), ("-12345.6", "-12,346")],
        *[("1e15", "1.000e+15"), ("1e300", "1.000e+300")],
    ],
)
def test_money(amount: str, said: str) -> None:
    """A large amount has no cents."""
    assert words.money(Decimal(amount)) == said


@pytest.mark.parametrize(
    ("seconds", "duration", "age"),
    [
        (0.2, "0 seconds", "less than a second"),
        (1, "1 second", "1 second"),
        (119, "119 seconds", "1 minute"),
        (150, "2:30 minutes", "2 minutes"),
        (7_265, "2:01:05 hours", "2 hours"),
        (200_000, "55:33:20 hours", "2 days"),
    ],
)
def test_times(seconds: float, duration: str, age: str) -> None:
    assert (words.duration(seconds), words.age_words(seconds)) == (duration, age)


def test_ranges_and_moments() -> None:
    """A unit is said once, and the day as people say it."""
    assert words.usual_words(Range(0.83, 0.85, 0.86), words.share_words) == "83 to 86 %"
    assert words.usual_words(Range(0.001, 0.5, 0.86), words.share_words) == "less than 1 % to 86 %"
    assert words.usual_words(Range(3, 3, 3), "{:.0f}".format) == "3"
    now = dt.datetime(2026, 3, 2, 12, tzinfo=UTC)
    moments = [now - dt.timedelta(days=back) for back in (0, 1, 5)]
    assert [words.time_words(one, now) for one in moments] == [
        *("12:00 UTC today", "12:00 UTC yesterday", "12:00 UTC on 25 February"),
    ]
    assert (words.of_them(3, 3), words.of_them(2, 3)) == ("all of them", "2 of them")
