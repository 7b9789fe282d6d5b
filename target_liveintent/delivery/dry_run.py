"""Takes the place of the threads in a dry run: shows events instead of sending them."""

from __future__ import annotations

import logging
import sys

from target_liveintent.clock import Clock
from target_liveintent.delivery.deadline import RunDeadline
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.delivery.pool import DeliveryPool

_SHOWN = 5
"""Events that a dry run shows."""


class DryRun(DeliveryPool):
    """Logs the first events, and reports every batch as delivered. It starts no thread."""

    def __init__(self, logger: logging.Logger, clock: Clock) -> None:
        super().__init__(self._show, RunDeadline(clock), size=sys.maxsize)
        self._logger = logger
        self._clock = clock
        self._shown = 0

    def submit(self, batch: Batch) -> None:
        """Show what there is still to show, and finish the batch."""
        self.in_flight += 1
        self._finished.put(self._show(batch))

    def take(self, seconds: float) -> BatchResult | None:  # noqa: ARG002 (nothing is waited for)
        """Take a finished batch back, or None if there is none."""
        return super().take(0.0)

    def _show(self, batch: Batch) -> BatchResult:
        for conversion in batch.conversions[: _SHOWN - self._shown]:
            self._shown += 1
            self._logger.info("would send: %s", conversion.body.decode())
        sent_at = [self._clock.time()] * len(batch.conversions)
        return BatchResult(batch, delivered=batch.conversions, sent_at=sent_at)
