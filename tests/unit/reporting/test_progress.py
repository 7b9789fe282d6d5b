"""Progress: what the log line and the live line say, and how often."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING
from unittest import mock

from fakes import FakeClock

from target_liveintent.delivery.model import DeliveryStatus
from target_liveintent.reporting.progress import LiveLine, Progress
from target_liveintent.run.counts import RunCounts

if TYPE_CHECKING:
    import pytest


STATUS = DeliveryStatus(batches=4, waiting=1)
LOGGER = logging.getLogger("test")


def report(delivered: int) -> RunCounts:
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered = delivered + 7, delivered
    counts.rejected["no_identity"] = 2
    report.retries = 3
    return report


def test_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """One comes at each interval, with the rate since the last; once it is known, with the pace."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = Progress(LOGGER, 60, None, clock)
    for second in range(1, 121):
        clock.now += 1
        status = STATUS._replace(rate=4.56789) if second == 120 else STATUS
        progress.update(report(1_000 * second), status)
    rest = "2 rejected, 4 in flight (1 waiting), 3 retries"
    assert caplog.messages == [
        f"so far: 60,007 read, 60,000 delivered (1,000/s), {rest}",
        f"so far: 120,007 read, 120,000 delivered (1,000/s), {rest}, 4.57 requests/s at most",
    ]


def test_the_rate_of_a_live_line_is_steady() -> None:
    """A busy run updates progress after every batch; a rate over milliseconds would be random."""
    clock, line = FakeClock(), mock.Mock()
    progress = Progress(LOGGER, 60, line, clock)
    for batch in range(1, 201):
        clock.now += 1 / 100
        progress.update(report(100 * batch), STATUS)
    drawn = [call.args[0] for call in line.draw.call_args_list]
    assert 2 <= len(drawn) <= 4
    assert all("(10,000/s)" in words for words in drawn)


def test_a_live_line_that_was_never_drawn() -> None:
    """A run that ends before its first drawing has no line to remove."""
    terminal = io.StringIO()
    Progress(LOGGER, 60, LiveLine(terminal), FakeClock()).close()
    assert terminal.getvalue() == ""
