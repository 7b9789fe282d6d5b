"""Says in the log what a run waits for."""

from __future__ import annotations

import logging

from target_liveintent.clock import Clock
from target_liveintent.delivery import DeliveryStatus
from target_liveintent.run import ReservedByOther

_INTERVAL = 60.0
"""Seconds between two lines."""
_LASTING = 5.0
"""Seconds after which a wait for another run is worth a line; most end sooner."""


def three_digits(rate: float) -> str:
    """Return a rate with three significant digits, and without an exponent."""
    return f"{float(f'{rate:.3g}'):g}"


class WaitLog:
    """Logs what a run waits for: at the first wait, and once a minute after that."""

    def __init__(self, logger: logging.Logger, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._next_line = 0.0
        self._next_of_elsewhere = 0.0

    def update_elsewhere(self, elsewhere: ReservedByOther | None) -> None:
        """Log a line if another run is waited for, and it is time; called once a second."""
        now = self._clock.monotonic()
        if elsewhere is None or now < max(self._next_of_elsewhere, elsewhere.since + _LASTING):
            return
        self._next_of_elsewhere = now + _INTERVAL
        self._logger.info(
            "run %s is sending the same events (%d) and has reserved them in the store; this"
            " run has been waiting for %d s. If that run has crashed, its reservation expires"
            " within 30 seconds, and this run then sends the events",
            elsewhere.run_id,
            elsewhere.events,
            now - elsewhere.since,
        )

    def update(self, status: DeliveryStatus) -> None:
        """Log a line if there is a reason to wait, and it is time; called once a second."""
        now = self._clock.monotonic()
        if status.reason is None or now < self._next_line:
            return
        self._next_line = now + _INTERVAL
        rate = (
            "" if status.rate is None else f", and at most {three_digits(status.rate)} per second"
        )
        seconds = max(1, round(now - status.since))  # The first second is over soon.
        wait = (seconds, status.reason, status.waiting, status.window, rate)
        if status.is_outage:
            self._logger.warning(
                "the API has accepted nothing for %d s: %s. When this time reaches"
                " max_retry_seconds, the run fails. Batches that wait: %d. Requests: now at most"
                " %d in flight%s",
                *wait,
            )
        else:
            self._logger.info(
                "the API has made the run wait for %d s: %s. The run continues by itself. Batches"
                " that wait: %d. Requests: now at most %d in flight%s",
                *wait,
            )
