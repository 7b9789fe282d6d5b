"""Numbers in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from unit_support import DAY

from target_liveintent.reporting.run_report import words
from target_liveintent.reporting.run_report.words import age_words, percent

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 10_000, "less than 1 %"),
        (9_999, 10_000, "more than 99 %"),
        (1, 3, "33 %"),
    ],
)
def test_percent(part: int, whole: int, words: str) -> None:
    assert percent(part, whole) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "less than a second"), (1, "1 second"), (119, "1 minute"), (7_200, "2 hours"),
     (DAY, "1 day"), (20 * DAY, "20 days")],
)  # fmt: skip
def test_age_words(seconds: float, words: str) -> None:
    assert age_words(seconds) == words


@pytest.mark.parametrize(
    ("word", "given", "expected"),
    [
        (words.short_age, (300,), "5m"),
        (words.short_age, (3 * 3_600,), "3h"),
        (words.short_age, (14 * DAY,), "14d"),
        (words.short_number, (9_999,), "9,999"),
        (words.short_number, (12_345,), "12.3 k"),
        (words.short_number, (10_000,), "10 k"),
        (words.short_number, (1_000_000,), "1 M"),
        (words.short_number, (1e9,), "1 G"),
        (words.short_number, (1e12,), "1 T"),
        (words.short_number, (-2_500_000,), "-2.5 M"),
        (words.short_number, (3e9,), "3 G"),
        (words.short_number, (4.5e12,), "4.5 T"),
        (words.clock, (90,), "1:30"),
        (words.clock, (7_200,), "2:00:00"),
        (words.duration, (0.0354,), "35.4 ms"),
        (words.duration, (1,), "1 s"),
        (words.duration, (119,), "119 s"),
        (words.duration, (150,), "2:30"),
        (
            words.period,
            ("2026-08-01T16:00:00Z", "2026-08-01T16:00:09Z"),
            "2026-08-01 16:00:00 to 16:00:09 UTC",
        ),
        (
            words.period,
            ("2026-08-01T23:59:59Z", "2026-08-02T00:00:01Z"),
            "2026-08-01 23:59:59 to 2026-08-02 00:00:01 UTC",
        ),
    ],
)
def test_other_words(word: Callable[..., str], given: tuple[Any, ...], expected: str) -> None:
    """Numbers, ages, amounts, durations and periods have the words of the page."""
    assert word(*given) == expected
