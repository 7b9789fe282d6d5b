"""Takes the place of the threads in a dry run: shows events instead of sending them."""

from __future__ import annotations

import logging
from collections import deque

from target_liveintent.clock import Clock
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus

_SHOWN = 5
"""Events that a dry run shows."""


class DryRun:
    """Logs the first events, and reports every batch as delivered. It starts no thread."""

    full = False
    status = DeliveryStatus()

    def __init__(self, logger: logging.Logger, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._shown = 0
        self._finished: deque[BatchResult] = deque()

    @property
    def in_flight(self) -> int:
        """How many batches were submitted and not taken back yet."""
        return len(self._finished)

    def submit(self, batch: Batch) -> None:
        """Log events, unless enough have been shown, and finish the batch."""
        for conversion in batch.conversions[: _SHOWN - self._shown]:
            self._shown += 1
            self._logger.info("would send: %s", conversion.body.decode())
        sent_at = [self._clock.time()] * len(batch.conversions)
        self._finished.append(BatchResult(batch, batch.conversions, sent_at, batch.conversions))

    def take(self, seconds: float) -> BatchResult | None:  # noqa: ARG002 (nothing is waited for)
        """Take a finished batch back, or None if there is none."""
        return self._finished.popleft() if self._finished else None

    def drain(self) -> None:
        """Do nothing: every batch is finished at once."""

    def wake(self) -> None:
        """Do nothing: there is no wait to end."""

    def stop(self, seconds: float) -> None:
        """Do nothing: nothing is sent."""

    def close(self) -> None:
        """Do nothing: there are no threads."""
