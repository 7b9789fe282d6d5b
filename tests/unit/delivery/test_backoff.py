"""How long a retry waits."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.sender import FIRST_WAIT, LONGEST_WAIT, backoff


@pytest.mark.parametrize(
    ("attempt", "shortest", "longest"),
    [(0, 0.25, 0.5), (1, 0.5, 1.0), (2, 1.0, 2.0), (5, 8.0, 16.0), (6, 15.0, 30.0)],
)
def test_the_wait_doubles(attempt: int, shortest: float, longest: float) -> None:
    """Half of a wait is random; the other half grows with each attempt, up to a limit."""
    assert backoff(attempt, 0.0) == shortest
    assert backoff(attempt, 0.5) == (shortest + longest) / 2
    assert backoff(attempt, 1.0) == longest
    assert (FIRST_WAIT, LONGEST_WAIT) == (0.5, 30.0)


def test_no_wait_is_longer_than_the_limit() -> None:
    """However many attempts have failed, the wait is a number, and not above the limit."""
    assert backoff(100_000, 1.0) == LONGEST_WAIT


@pytest.mark.parametrize(("asked", "waited"), [(None, 0.5), (0.0, 0.5), (0.4, 0.5), (90.0, 90.0)])
def test_what_the_api_asks_for(asked: float | None, waited: float) -> None:
    """The wait that the API asks for is the least; it may exceed the limit."""
    assert backoff(0, 1.0, asked) == waited
