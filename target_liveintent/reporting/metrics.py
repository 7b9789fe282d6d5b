"""Writes the counts of a run to a file that Prometheus reads (textfile collector, node exporter).

The counts are gauges of the present run, or of the last one. Another user must be able to read the
file, so its mode follows the umask. The file holds only numbers, names and the run ID.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence

from target_liveintent.clock import Clock
from target_liveintent.delivery.batch import DeliveryStatus
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.reporting.history import Unusual
from target_liveintent.reporting.rules import RULES
from target_liveintent.run.counts import RunCounts
from target_liveintent.store.ledger import Ledger
from target_liveintent.store.places import PLACES

METRICS = {
    "run_info": "Always 1. The label `run_id` is the ID of the run.",
    "records": "Records by stream and outcome.",
    "not_sent": "Records that became dead letters or were dropped, by stream and reason.",
    "requests": "Requests, including retries.",
    "retries": "Requests that were sent again because of a fault.",
    "throttled": "Requests that came too fast for the API (status 408, 425, 429 or 503).",
    "in_flight": "Batches that are being sent.",
    "window": "Current limit: how many requests can be in flight at the same time.",
    "rate": "Current limit: how many requests can start in a second; 0 if no limit is known.",
    "seconds": "How long the run has taken.",
    "started_at": "Unix time at which the run began.",
    "ended_at": "Unix time at which the run ended; 0 while it is running.",
    "success": "1 if the run succeeded, otherwise 0.",
    "dry_run": "1 if the run was a dry run, otherwise 0.",
    "ledger": "Events that were first read in the last 24 hours, by where they are now: the label"
    " `place` is arrived, waiting (waits), replayable (can be replayed), lost or left_out (left"
    " out). Written only at the end of a run.",
    "unusual": "1 if the rule in the label `rule` finds the last 24 hours unusual, otherwise 0."
    " Written only at the end of a run.",
}
"""The gauges, without the prefix `target_liveintent_`, each with its help text."""
_Sample = tuple[str, dict[str, str], float]
"""The name of a gauge, its labels, and its value."""
_COUNTS = ("requests", "retries", "throttled", "seconds", "dry_run")
"""The gauges that are attributes of `RunCounts`."""
_OUTCOMES = ("read", "delivered", "filtered", "unmapped", "not_replayed", "rejected", "dropped")


class MetricsFile:
    """The file of metrics, which is rewritten every `interval` seconds, and at the end of a run.

    If the file cannot be written, the run logs one warning and continues.
    """

    def __init__(
        self, path: str, interval: float, logger: logging.Logger, clock: Clock, *, run_id: str
    ) -> None:
        self._path = path
        self._interval = interval
        self._logger = logger
        self._clock = clock
        self._run_id = run_id
        self._started_at = clock.time()
        self._written_at = clock.monotonic()
        self._warned = False

    def update(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Write how far the run is, if the interval has passed; called about once a second."""
        now = self._clock.monotonic()
        if now - self._written_at >= self._interval:
            self._written_at = now
            self._write(counts, status, {"ended_at": 0, "success": 0}, _records(counts))

    def end(
        self,
        counts: RunCounts,
        *,
        success: bool,
        unusual: Sequence[Unusual] | None,
        ledger: Ledger | None,
    ) -> None:
        """Write how the run ended; also what is unusual and where events are now, if known."""
        figures = {"ended_at": self._clock.time(), "success": float(success)}
        places = PLACES if ledger else ()
        where = (("ledger", {"place": place}, getattr(ledger, place)) for place in places)
        samples = (*_records(counts), *_findings(counts, unusual), *where)
        self._write(counts, DeliveryStatus(), figures, samples)

    def _write(
        self,
        counts: RunCounts,
        status: DeliveryStatus,
        figures: dict[str, float],
        labelled: Iterable[_Sample],
    ) -> None:
        # Imported here because only runs with metrics need it.
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415

        registry, gauges = CollectorRegistry(), dict[str, Gauge]()
        figures |= {name: getattr(counts, name) for name in _COUNTS}
        figures |= {"in_flight": status.batches, "window": status.window, "rate": status.rate or 0}
        figures |= {"started_at": self._started_at}
        info: _Sample = ("run_info", {"run_id": self._run_id}, 1)
        plain: list[_Sample] = [(name, {}, number) for name, number in figures.items()]
        for name, labels, number in (*plain, info, *labelled):
            if name not in gauges:
                names = (f"target_liveintent_{name}", METRICS[name], [*labels])
                gauges[name] = Gauge(*names, registry=registry)
            (gauges[name].labels(**labels) if labels else gauges[name]).inc(number)
        try:
            write_to_textfile(self._path, registry)
        except OSError as error:
            if not self._warned:
                self._warned = True
                self._logger.warning(
                    "metrics_path '%s' cannot be written: %s", self._path, error.strerror
                )


def _records(counts: RunCounts) -> Iterator[_Sample]:
    for name, stream_counts in counts.streams.items():
        stream = without_secrets(name)
        for outcome in _OUTCOMES:
            count = getattr(stream_counts, outcome)
            number = count if isinstance(count, int) else count.total()
            yield "records", {"stream": stream, "outcome": outcome}, number
        for reason, count in stream_counts.not_sent.items():
            yield "not_sent", {"stream": stream, "reason": reason}, count


def _findings(counts: RunCounts, unusual: Sequence[Unusual] | None) -> Iterator[_Sample]:
    if unusual is None:  # Nothing was judged.
        return
    faults = {(item.rule, item.stream) for item in unusual}
    judged = {*map(without_secrets, counts.streams), *(stream for _, stream in faults)}
    for rule, stream in itertools.product(RULES, judged):
        number = 1 if (rule, stream) in faults else 0
        yield "unusual", {"rule": rule, "stream": stream}, number
