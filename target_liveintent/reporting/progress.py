"""Shows how far a run is: one live line on a terminal, otherwise a log line at intervals."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import IO, Any

from target_liveintent.clock import Clock
from target_liveintent.delivery import DeliveryStatus
from target_liveintent.reporting.waits import three_digits
from target_liveintent.run import RunCounts

_REDRAW = 0.5
"""Seconds between two drawings of the live line. A busy run updates it more often, and a rate over
a few milliseconds would be random."""


class LiveLine:
    """A line at the bottom of a terminal that is drawn again and again."""

    def __init__(self, terminal: IO[str]) -> None:
        self._terminal = terminal
        self._line: Any = None
        self._redirected = contextlib.ExitStack()

    def draw(self, words: str) -> None:
        """Draw the line with these words."""
        if self._line is None:
            self._line = self._open()
        self._line.set_description_str(words)

    def _open(self) -> Any:
        from tqdm import tqdm  # noqa: PLC0415 (only terminals need it)
        from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415

        self._redirected.enter_context(logging_redirect_tqdm())  # Log lines go above it.
        # tqdm draws nothing on a terminal that reports a size of 0.
        width, _ = os.get_terminal_size(self._terminal.fileno())
        return tqdm(
            file=self._terminal,
            bar_format="{desc}",
            leave=False,
            ncols=80,
            nrows=24,
            dynamic_ncols=width > 0,  # Replaces both, at each drawing.
        )

    def close(self) -> None:
        """Remove the line."""
        if self._line is not None:
            self._line.close()
            self._redirected.close()
            self._line = None


class Progress:
    """Shows how far a run is while it is running; nothing at first, as short runs need no progress.

    Args:
        logger: Takes the log lines.
        interval: Seconds between two log lines.
        line: The live line, which replaces the log lines; None if there is no terminal.
        clock: Measures the interval.
    """

    def __init__(
        self, logger: logging.Logger, interval: float, line: LiveLine | None, clock: Clock
    ) -> None:
        self._logger = logger
        self._interval = interval if line is None else _REDRAW
        self._line = line
        self._clock = clock
        self._shown_at, self._delivered = clock.monotonic(), 0

    def update(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Show how far the run is, if it is time; called at least about once a second."""
        now = self._clock.monotonic()
        if now - self._shown_at < self._interval:
            return
        total = counts.total
        rate = (total.delivered - self._delivered) / (now - self._shown_at)
        words = (
            f"{total.read:,} read, {total.delivered:,} delivered ({rate:,.0f}/s),"
            f" {total.rejected.total():,} rejected, {status.batches} in flight"
            f" ({status.waiting} waiting), {counts.retries:,} retries{_pace(status)}"
        )
        self._shown_at, self._delivered = now, total.delivered
        if self._line is None:
            self._logger.info("so far: %s", words)
        else:
            self._line.draw(words)

    def close(self) -> None:
        """Remove the live line."""
        if self._line is not None:
            self._line.close()


def _pace(status: DeliveryStatus) -> str:
    return "" if status.rate is None else f", {three_digits(status.rate)} requests/s at most"
