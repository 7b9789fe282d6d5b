"""The live line and the log line: what they say, and how often."""

from __future__ import annotations

import io
import logging

import pytest

from target_liveintent.reporting import progress as progress_module
from target_liveintent.reporting.progress import Progress
from target_liveintent.run.counts import RunCounts


class Clock:
    now = 1_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock.now)
    return clock


def report(delivered: int) -> RunCounts:
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered = delivered + 7, delivered
    counts.rejected["no_identity"] = 2
    report.retries = 3
    return report


def test_a_log_line(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Every so many seconds, however often it is asked; the rate is that since the last line."""
    caplog.set_level(logging.INFO)
    progress = Progress(logging.getLogger("test"), io.StringIO(), 60)
    for second in range(1, 121):
        clock.now = 1_000.0 + second
        progress.show(report(1_000 * second), 4, 1)
    rest = "2 rejected, 4 in flight (1 waiting), 3 retries"
    assert caplog.messages == [
        f"so far: 60,007 read, 60,000 delivered (1,000/s), {rest}",
        f"so far: 120,007 read, 120,000 delivered (1,000/s), {rest}",
    ]


def test_the_rate_of_a_live_line_holds(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy run looks up after every batch; a rate over milliseconds would be a random one."""
    drawn: list[str] = []
    monkeypatch.setattr(Progress, "_draw", lambda _, words: drawn.append(words))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    progress = Progress(logging.getLogger("test"), terminal, 60)
    for batch in range(1, 201):
        clock.now = 1_000.0 + batch / 100
        progress.show(report(100 * batch), 4, 1)
    assert 2 <= len(drawn) <= 4
    assert all("(10,000/s)" in words for words in drawn)
