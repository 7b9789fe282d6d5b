"""What the log says of a run that waits."""

from __future__ import annotations

import logging

import pytest
from fakes import FakeClock

from target_liveintent.delivery.model import DeliveryStatus
from target_liveintent.reporting.waits import WaitLog, three_digits
from target_liveintent.run import Elsewhere


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records]


def test_a_run_that_does_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    """Batches that only wait for those before them are not worth a line."""
    caplog.set_level(logging.INFO)
    WaitLog(logging.getLogger("test"), FakeClock()).update(DeliveryStatus(batches=9, waiting=7))
    assert lines(caplog) == []


def test_a_wait_for_the_pace(caplog: pytest.LogCaptureFixture) -> None:
    """The first wait is logged at once: the reason, since when, how many wait, and the pace."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    log = WaitLog(logging.getLogger("test"), clock)
    log.update(DeliveryStatus(9, 7, 2, 4.56789, "HTTP 429", clock.now - 12))
    text = (
        "the API has made the run wait for 12 s: HTTP 429. The run continues by itself."
        " Batches that wait: 7. Requests: now at most 2 in flight, and at most 4.57 per second"
    )
    assert lines(caplog) == [("INFO", text)]


@pytest.mark.parametrize(
    ("rate", "text"), [(1 / 60, "0.0167"), (4.56789, "4.57"), (999.9, "1000"), (31_249.0, "31200")]
)
def test_rates(rate: float, text: str) -> None:
    """A rate is rounded, and easy to read."""
    assert three_digits(rate) == text


def test_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """An outage is a warning, with the pace as well; it does not begin with "for 0 s"."""
    clock = FakeClock()
    log = WaitLog(logging.getLogger("test"), clock)
    log.update(DeliveryStatus(9, 7, 1, None, "HTTP 503", clock.now, is_outage=True))
    text = (
        "the API has accepted nothing for 1 s: HTTP 503. When this time reaches"
        " max_retry_seconds, the run fails. Batches that wait: 7. Requests: now at most 1 in"
        " flight"
    )
    assert lines(caplog) == [("WARNING", text)]


def test_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """After the first line, one comes each minute while there is a reason to wait."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    log = WaitLog(logging.getLogger("test"), clock)
    for _ in range(121):
        log.update(DeliveryStatus(9, 7, 2, 4.5, "HTTP 429", clock.now))
        clock.now += 1
    assert len(caplog.records) == 3


def test_a_wait_for_another_run(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once it lasts, and once a minute after that."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    log = WaitLog(logging.getLogger("test"), clock)
    since = clock.now
    log.update_elsewhere(None)
    for _ in range(70):
        log.update_elsewhere(Elsewhere(7, "run-2", since))
        clock.now += 1
    text = (
        "run run-2 is sending the same events (7) and has reserved them in the ledger; this run"
        " has been waiting for {} s. If that run has crashed, its reservation expires within 30"
        " seconds, and this run then sends the events"
    )
    assert lines(caplog) == [("INFO", text.format(5)), ("INFO", text.format(65))]
