"""Progress: what the log line and the live line say, and how often."""

import logging
import re
import sys

import pytest
from fakes import FakeClock
from unit_support import NOW

from target_liveintent.delivery.batch import DeliveryStatus
from target_liveintent.run.counts import ReservedByOther, RunCounts
from target_liveintent.run.progress import Progress

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
    rest = "2 rejected, 4 batches in flight (1 waiting), 3 retries"
    assert caplog.messages == [
        f"so far: 60,007 read, 60,000 delivered (1,000/s), {rest}",
        f"so far: 120,007 read, 120,000 delivered (1,000/s), {rest}, 4.57 requests/s at most",
    ]


def test_a_live_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A busy run updates progress after every batch; a rate over milliseconds would be random.

    The line stays one line, below what is logged.
    """
    clock = FakeClock()
    progress = Progress(LOGGER, 60, sys.stderr, clock)
    for batch in range(1, 201):
        clock.now += 1 / 100
        progress.update(report(100 * batch), STATUS)
    LOGGER.warning("a warning")
    progress.close()
    shown = capsys.readouterr().err
    assert re.findall(r"\r +\r(.*)\n", shown) == ["a warning"]
    drawn = re.findall(r"delivered \((\S+)\)", shown)
    assert 3 <= len(drawn) <= 5
    assert set(drawn) == {"10,000/s"}


# What a run waits for

OUTAGE = (
    "the API has accepted nothing for 1 s: HTTP 503. When this time reaches max_retry_seconds, the"
    " run fails"
)
ELSEWHERE = (
    "run run-2 is sending the same events (7) and has reserved them in the store; this run has"
    " been waiting for {} s. If that run has crashed, its reservation expires within 30 seconds,"
    " and this run then sends the events"
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(DeliveryStatus(batches=9, waiting=7), [], id="waits for batches before"),
        pytest.param(DeliveryStatus(batches=9, fault="HTTP 503"), [], id="a fault, nothing waits"),
        pytest.param(
            DeliveryStatus(9, 7, 1, None, "HTTP 503"), [("WARNING", OUTAGE)], id="an outage"
        ),
    ],
)
def test_a_wait(
    caplog: pytest.LogCaptureFixture, status: DeliveryStatus, expected: list[tuple[str, str]]
) -> None:
    """It is logged at once, unless batches only wait for those before; never with "for 0 s"."""
    caplog.set_level(logging.INFO)
    progress = Progress(LOGGER, 1_000, None, FakeClock())
    progress.update(RunCounts(), status._replace(since=NOW - status.since))
    assert [(record.levelname, record.message) for record in caplog.records] == expected


def test_a_wait_for_another_run(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once it lasts, and once a minute after that."""
    caplog.set_level(logging.INFO)
    clock, counts = FakeClock(), RunCounts()
    progress = Progress(LOGGER, 1_000, None, clock)
    counts.elsewhere = ReservedByOther(7, "run-2", clock.now)
    for _ in range(70):
        progress.update(counts, DeliveryStatus())
        clock.now += 1
    assert caplog.messages == [ELSEWHERE.format(5), ELSEWHERE.format(65)]
    assert {record.levelname for record in caplog.records} == {"INFO"}
