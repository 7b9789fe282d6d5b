"""How far a run has come: one live line on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import contextlib
import os
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    from target_liveintent.run.counts import RunCounts


_USUAL_SIZE = (80, 24)
_REDRAW = 0.5
"""Seconds between two live lines: a busy run looks up more often, and no rate would hold."""


class Progress:
    """Tells of a run while it goes on.

    Args:
        logger: Takes the log lines.
        stream: Standard error; if it is a terminal, it takes the live line.
        interval: Seconds between log lines.
    """

    def __init__(self, logger: logging.Logger, stream: IO[str], interval: float) -> None:
        """Draw nothing yet: short runs need no progress."""
        self._logger = logger
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._interval = _REDRAW if self._on_terminal else interval
        self._started = time.monotonic()
        self._told_at, self._told = self._started, 0
        self._line: Any = None
        self._redirected = contextlib.ExitStack()

    def show(self, report: RunCounts, in_flight: int, waiting: int) -> None:
        """Tell how far the run is, if it is time; called at least about once a second.

        Args:
            report: The counts.
            in_flight: Batches on their way.
            waiting: How many of them wait to be tried again.
        """
        now = time.monotonic()
        if now - self._told_at < self._interval:
            return
        total = report.total
        rate = (total.delivered - self._told) / (now - self._told_at)
        words = (
            f"{total.read:,} read, {total.delivered:,} delivered ({rate:,.0f}/s),"
            f" {total.rejected.total():,} rejected, {in_flight} in flight"
            f" ({waiting} waiting), {report.retries:,} retries"
        )
        self._told_at, self._told = now, total.delivered
        if self._on_terminal:
            self._draw(words)
        else:
            self._logger.info("so far: %s", words)

    def _draw(self, words: str) -> None:
        if self._line is None:
            from tqdm import tqdm  # noqa: PLC0415 (only terminals need it)
            from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415

            self._redirected.enter_context(logging_redirect_tqdm())  # Log lines go above it.
            # Of a terminal that does not tell its size, tqdm would use nothing.
            width, height = os.get_terminal_size(self._stream.fileno())
            self._line = tqdm(
                file=self._stream,
                bar_format="{desc}",
                leave=False,
                ncols=None if width else _USUAL_SIZE[0],
                nrows=None if height else _USUAL_SIZE[1],
                dynamic_ncols=width > 0,
            )
        self._line.set_description_str(words)

    def close(self) -> None:
        """Take the live line away."""
        if self._line is not None:
            self._line.close()
            self._redirected.close()
            self._line = None
