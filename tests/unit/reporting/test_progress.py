"""Progress: what the log line and the live line say, and how often."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from fakes import FakeClock
from unit_support import NOW

from target_liveintent.delivery.model import DeliveryStatus
from target_liveintent.reporting.progress import LiveLine, Progress
from target_liveintent.run.counts import RunCounts

if TYPE_CHECKING:
    import pytest


class Line:
    """Keeps what would be drawn on a terminal."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def draw(self, words: str) -> None:
        self.drawn.append(words)


STATUS = DeliveryStatus(batches=4, waiting=1)


def report(delivered: int) -> RunCounts:
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered = delivered + 7, delivered
    counts.rejected["no_identity"] = 2
    report.retries = 3
    return report


def test_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line comes at each interval, with the rate since the last line."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = Progress(logging.getLogger("test"), 60, None, clock)
    for second in range(1, 121):
        clock.now = NOW + second
        progress.update(report(1_000 * second), STATUS)
    rest = "2 rejected, 4 in flight (1 waiting), 3 retries"
    assert caplog.messages == [
        f"so far: 60,007 read, 60,000 delivered (1,000/s), {rest}",
        f"so far: 120,007 read, 120,000 delivered (1,000/s), {rest}",
    ]


def test_the_rate_of_a_live_line_is_steady() -> None:
    """A busy run updates progress after every batch; a rate over milliseconds would be random."""
    clock, line = FakeClock(), Line()
    progress = Progress(logging.getLogger("test"), 60, line, clock)
    for batch in range(1, 201):
        clock.now = NOW + batch / 100
        progress.update(report(100 * batch), STATUS)
    assert 2 <= len(line.drawn) <= 4
    assert all("(10,000/s)" in words for words in line.drawn)


def test_a_pace_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Once a limit of the API is known, the line shows how many requests a second it allows."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = Progress(logging.getLogger("test"), 60, None, clock)
    clock.now += 60
    progress.update(report(1), STATUS._replace(rate=4.56789))
    assert caplog.messages[0].endswith("3 retries, 4.57 requests/s at most")


def test_a_live_line_that_was_never_drawn() -> None:
    """A run that ends before its first drawing has no line to remove."""
    terminal = io.StringIO()
    Progress(logging.getLogger("test"), 60, LiveLine(terminal), FakeClock()).close()
    assert terminal.getvalue() == ""
