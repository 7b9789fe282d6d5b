"""Numbers in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from unit_support import DAY

from target_liveintent.reporting.run_report import words

if TYPE_CHECKING:
    from collections.abc import Callable

START = "2026-08-01T23:59:59Z"


@pytest.mark.parametrize(
    ("word", "given", "expected"),
    [
        (words.percent, (0, 0), "0 %"),
        (words.percent, (0, 9), "0 %"),
        (words.percent, (1, 10_000), "less than 1 %"),
        (words.percent, (9_999, 10_000), "more than 99 %"),
        (words.percent, (1, 3), "33 %"),
        (words.age_words, (0,), "less than a second"),
        (words.age_words, (1,), "1 second"),
        (words.age_words, (119,), "1 minute"),
        (words.age_words, (7_200,), "2 hours"),
        (words.age_words, (DAY,), "1 day"),
        (words.age_words, (20 * DAY,), "20 days"),
        (words.short_number, (9_999,), "9,999"),
        (words.short_number, (10_000,), "10 k"),
        (words.short_number, (12_345,), "12.3 k"),
        (words.short_number, (1_000_000,), "1 M"),
        (words.short_number, (-2_500_000,), "-2.5 M"),
        (words.short_number, (1e9,), "1 G"),
        (words.short_number, (1e12,), "1 T"),
        (words.short_number, (4.5e12,), "4.5 T"),
        (words.clock, (90,), "1:30"),
        (words.clock, (7_200,), "2:00:00"),
        (words.duration, (0.0354,), "35.4 ms"),
        (words.duration, (119,), "119 s"),
        (words.duration, (150,), "2:30"),
        (
            words.period,
            (START, "2026-08-02T00:00:01Z"),
            "2026-08-01 23:59:59 to 2026-08-02 00:00:01 UTC",
        ),
    ],
)
def test_words(word: Callable[..., str], given: tuple[Any, ...], expected: str) -> None:
    """Shares, ages, numbers, durations and periods have the words of the page."""
    assert word(*given) == expected
