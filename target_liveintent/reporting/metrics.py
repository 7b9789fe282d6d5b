"""The run's counts for Prometheus, as a file that its node exporter's textfile collector reads.

They are gauges: of the run that goes on, or of the last one. The file's mode follows the umask, as
another user reads it; it holds names of streams and numbers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from target_liveintent.privacy.logs import without_secrets

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from target_liveintent.run.counts import RunCounts, StreamCounts


class Metric(NamedTuple):
    """A figure of the whole run.

    Attributes:
        name: Its name, after `target_liveintent_`.
        meaning: For the file.
    """

    name: str
    meaning: str


METRICS = (
    Metric("records", "Records by stream and fate."),
    Metric("not_sent", "Records that were not sent, by stream and reason."),
    Metric("requests", "Requests, retries included."),
    Metric("retries", "Requests that were retries."),
    Metric("in_flight", "Batches on their way."),
    Metric("seconds", "How long the run has taken."),
    Metric("started_at", "Unix time at which the run began."),
    Metric("ended_at", "Unix time at which the run ended; 0 while it goes on."),
    Metric("success", "1 if the run ended well, else 0."),
    Metric("dry_run", "1 if nothing was really sent, else 0."),
)
_LABELS = {"records": ["stream", "fate"], "not_sent": ["stream", "reason"]}


class MetricsFile:
    """Writes the file.

    Args:
        path: The setting.
        interval: Seconds between two times.
        logger: Told, once, if it cannot be written: that is no reason to end a run.
    """

    def __init__(self, path: str, interval: float, logger: logging.Logger) -> None:
        """Write nothing yet."""
        self._path = path
        self._interval = interval
        self._logger = logger
        self._started_at = time.time()
        self._written_at = time.monotonic()
        self._warned = False

    def show(self, report: RunCounts, in_flight: int) -> None:
        """Write how far the run is, if it is time; called about once a second."""
        now = time.monotonic()
        if now - self._written_at >= self._interval:
            self._written_at = now
            self._write(report, {"in_flight": in_flight, "ended_at": 0, "success": 0})

    def end(self, report: RunCounts, *, success: bool) -> None:
        """Write how the run has ended."""
        self._write(report, {"in_flight": 0, "ended_at": time.time(), "success": float(success)})

    def _write(self, report: RunCounts, figures: dict[str, float]) -> None:
        # Only for those who ask for it.
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415

        registry = CollectorRegistry()
        gauges = {
            name: Gauge(
                f"target_liveintent_{name}", meaning, _LABELS.get(name, ()), registry=registry
            )
            for name, meaning in METRICS
        }
        figures |= {
            "requests": report.requests,
            "retries": report.retries,
            "seconds": report.seconds,
            "started_at": self._started_at,
            "dry_run": float(report.dry_run),
        }
        for name, figure in figures.items():
            gauges[name].set(figure)
        for stream, counts in report.streams.items():
            shown = without_secrets(stream)
            for fate, count in _fates(counts):
                gauges["records"].labels(shown, fate).inc(count)
            for reason, count in (counts.rejected + counts.dropped).items():
                gauges["not_sent"].labels(shown, reason).inc(count)
        try:
            write_to_textfile(self._path, registry)
        except OSError as error:
            if not self._warned:
                self._warned = True
                self._logger.warning(
                    "metrics_path '%s' cannot be written: %s", self._path, error.strerror
                )


def _fates(counts: StreamCounts) -> Iterator[tuple[str, int]]:
    for fate in ("read", "delivered", "filtered", "unmapped"):
        yield fate, getattr(counts, fate)
    for fate in ("not_replayed", "rejected", "dropped"):
        yield fate, getattr(counts, fate).total()
