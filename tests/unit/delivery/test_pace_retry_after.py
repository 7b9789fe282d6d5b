"""How long a `Retry-After` counts."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.pace import Pace, Signal


@pytest.mark.parametrize(("started_at", "waits"), [(1.0, True), (20.0, False)])
def test_what_ends_a_retry_after(started_at: float, waits: bool) -> None:
    """Only a request that started after it, and was taken, shows that the API takes more now."""
    pace = Pace(8, jitter=lambda: 0.5)
    for start in (0.0, 0.0):
        pace.started(start)
    pace.answered(0.0, 0.5, Signal.LIMITED)
    pace.started(1.0)
    pace.answered(0.0, 2.0, Signal.LIMITED, 30.0)
    if started_at > 1.0:
        pace.started(started_at)
    pace.answered(started_at, started_at + 1.5, Signal.TAKEN)
    start = pace.next_start()
    assert start is not None
    assert (start >= 32.0) is waits


@pytest.mark.parametrize(("seconds", "is_limit"), [(300.0, False), (1.0, True)])
def test_a_start_in_a_maintenance(seconds: float, is_limit: bool) -> None:
    """What was refused for long before anything was taken shows no limit of the rate."""
    pace = Pace(8, jitter=lambda: 0.5)
    pace.started(0.0)
    pace.answered(0.0, 0.1, Signal.LIMITED, seconds)
    pace.started(seconds + 1.0)
    pace.answered(seconds + 1.0, seconds + 1.1, Signal.TAKEN)
    assert (pace.rate is not None) is is_limit
