"""What the log says of a run that waits."""

from __future__ import annotations

import logging

import pytest
from fakes import FakeClock
from unit_support import NOW

from target_liveintent.delivery.model import DeliveryStatus
from target_liveintent.reporting.waits import WaitLog, three_digits
from target_liveintent.run import ReservedByOther

LIMITED = DeliveryStatus(9, 7, 2, 4.56789, "HTTP 429")
PACE = (
    "the API has made the run wait for 12 s: HTTP 429. The run continues by itself. Batches that"
    " wait: 7. Requests: now at most 2 in flight, and at most 4.57 per second"
)
OUTAGE = (
    "the API has accepted nothing for 1 s: HTTP 503. When this time reaches max_retry_seconds, the"
    " run fails. Batches that wait: 7. Requests: now at most 1 in flight"
)
ELSEWHERE = (
    "run run-2 is sending the same events (7) and has reserved them in the store; this run has"
    " been waiting for {} s. If that run has crashed, its reservation expires within 30 seconds,"
    " and this run then sends the events"
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> WaitLog:
    caplog.set_level(logging.INFO)
    return WaitLog(logging.getLogger("test"), clock)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (DeliveryStatus(batches=9, waiting=7), []),
        (LIMITED._replace(since=12), [("INFO", PACE)]),
        (DeliveryStatus(9, 7, 1, None, "HTTP 503", 0, is_outage=True), [("WARNING", OUTAGE)]),
    ],
)
def test_a_wait(
    log: WaitLog,
    caplog: pytest.LogCaptureFixture,
    status: DeliveryStatus,
    expected: list[tuple[str, str]],
) -> None:
    """It is logged at once, unless batches only wait for those before; never with "for 0 s"."""
    log.update(status._replace(since=NOW - status.since))
    assert [(record.levelname, record.message) for record in caplog.records] == expected


def test_a_line_a_minute(clock: FakeClock, log: WaitLog, caplog: pytest.LogCaptureFixture) -> None:
    """After the first line, one comes each minute while there is a reason to wait."""
    for _ in range(121):
        log.update(LIMITED._replace(since=clock.now))
        clock.now += 1
    assert len(caplog.records) == 3


def test_a_wait_for_another_run(
    clock: FakeClock, log: WaitLog, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once it lasts, and once a minute after that."""
    since = clock.now
    log.update_elsewhere(None)
    for _ in range(70):
        log.update_elsewhere(ReservedByOther(7, "run-2", since))
        clock.now += 1
    assert caplog.messages == [ELSEWHERE.format(5), ELSEWHERE.format(65)]
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.parametrize(
    ("rate", "text"), [(1 / 60, "0.0167"), (4.56789, "4.57"), (999.9, "1000"), (31_249.0, "31200")]
)
def test_rates(rate: float, text: str) -> None:
    """A rate is rounded, and easy to read."""
    assert three_digits(rate) == text
