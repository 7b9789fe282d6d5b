"""Shows how far a run is, and what it waits for, in one live line or in log lines."""

from __future__ import annotations

import contextlib
import logging
from typing import IO, Any

from target_liveintent.clock import Clock
from target_liveintent.delivery.batch import DeliveryStatus
from target_liveintent.run.counts import ReservedByOther, RunCounts

_REDRAW_SECONDS = 0.5
"""The live line is not drawn more often than once in this number of seconds, because a rate over a
few milliseconds would be random."""
_WAIT_INTERVAL_SECONDS = 60.0
"""Seconds between two log lines about a wait."""
_LASTING_SECONDS = 5.0
"""If a run has waited for another run for this number of seconds, the log says so. Most waits end
sooner."""


class Progress:
    """Shows how far a run is while it is running.

    `interval` is the number of seconds between two log lines, and before the first one. On a
    terminal, a live line replaces the log lines.
    """

    def __init__(
        self, logger: logging.Logger, interval: float, terminal: IO[str] | None, clock: Clock
    ) -> None:
        self._logger = logger
        self._interval = interval if terminal is None else _REDRAW_SECONDS
        self._terminal = terminal
        self._line: Any = None
        self._opened = contextlib.ExitStack()
        self._clock = clock
        self._shown_at = self._next_wait = clock.monotonic()
        self._delivered = 0

    def update(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Show the progress or a long wait, if it is time to; called at least once a second."""
        now = self._clock.monotonic()
        if now >= self._next_wait:
            self._show_wait(status, counts.elsewhere, now)
        if now - self._shown_at < self._interval:
            return
        total = counts.total
        rate = (total.delivered - self._delivered) / (now - self._shown_at)
        pace = "" if status.rate is None else f", {status.rate:,.2f} requests/s at most"
        words = (
            f"{total.read:,} read, {total.delivered:,} delivered ({rate:,.0f}/s),"
            f" {total.rejected.total():,} rejected, {status.batches} batches in flight"
            f" ({status.waiting} waiting), {counts.retries:,} retries{pace}"
        )
        self._shown_at, self._delivered = now, total.delivered
        if self._terminal is None:
            self._logger.info("so far: %s", words)
        else:
            self._draw(words, self._terminal)

    def _draw(self, words: str, terminal: IO[str]) -> None:
        if self._line is None:
            from tqdm import tqdm  # noqa: PLC0415 (only terminals need it)
            from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415

            self._opened.enter_context(logging_redirect_tqdm())  # Log lines go above it.
            bar = tqdm(file=terminal, bar_format="{desc}", leave=False, dynamic_ncols=True)
            self._line = self._opened.enter_context(bar)
        self._line.set_description_str(words)

    def _show_wait(
        self, status: DeliveryStatus, elsewhere: ReservedByOther | None, now: float
    ) -> None:
        """If the run waits, log why; this is not called again for a minute then."""
        level = logging.INFO
        if status.fault is not None and status.waiting:
            level = logging.WARNING
            seconds = max(1, round(now - status.since))  # (Never "for 0 s".)
            words = (
                f"the API has accepted nothing for {seconds} s: {status.fault}. When this time"
                " reaches max_retry_seconds, the run fails"
            )
        elif elsewhere is not None and now >= elsewhere.since + _LASTING_SECONDS:
            words = (
                f"run {elsewhere.run_id} is sending the same events ({elsewhere.events}) and has"
                " reserved them in the store; this run has been waiting for"
                f" {now - elsewhere.since:.0f} s. If that run has crashed, its reservation expires"
                " within 30 seconds, and this run then sends the events"
            )
        else:
            return
        self._next_wait = now + _WAIT_INTERVAL_SECONDS
        self._logger.log(level, "%s", words)

    def close(self) -> None:
        """Remove the live line."""
        self._opened.close()
