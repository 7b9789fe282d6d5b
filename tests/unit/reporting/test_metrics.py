"""The file of metrics, read as Prometheus reads it."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from prometheus_client.parser import text_string_to_metric_families

from target_liveintent.delivery.model import DeliveryStatus
from target_liveintent.reporting.history.model import Unusual
from target_liveintent.reporting.metrics import METRICS, MetricsFile
from target_liveintent.run.counts import RunCounts

if TYPE_CHECKING:
    from pathlib import Path

FAULT = Unusual("conversions", "orders", "", dt.datetime.now(tz=dt.timezone.utc), "words")
JUDGEMENT = {("conversions", "orders"): [FAULT], ("late", "orders"): []}


def report() -> RunCounts:
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered, counts.filtered = 10, 5, 2
    counts.rejected["no_identity"] = 2
    counts.dropped["suppressed"] = 1
    report.of('of "a"\\\n').read = 3
    report.requests, report.retries, report.throttled = 7, 3, 2
    return report


def read(path: Path) -> dict[tuple[str, ...], float]:
    """The figures by name and labels, without the prefix."""
    return {
        (
            sample.name.removeprefix("target_liveintent_"),
            *(
                sample.labels[name]
                for name in ("rule", "stream", "fate", "reason", "run_id")
                if name in sample.labels
            ),
        ): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.prom"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def metrics(path: Path, clock: FakeClock) -> MetricsFile:
    return MetricsFile(str(path), 60, logging.getLogger("test"), clock, run_id="run-1")


@pytest.mark.parametrize("success", [True, False])
def test_the_end_of_a_run(path: Path, clock: FakeClock, success: bool) -> None:
    """Every count is there, and how the run ended."""
    clock.now = 1_000.5
    file = metrics(path, clock)
    clock.now = 1_060.5
    file.end(report(), success=success, judgement=JUDGEMENT)
    found = read(path)
    assert {name[0] for name in found} == set(METRICS)
    assert found["unusual", "conversions", "orders"] == 1
    assert found["unusual", "late", "orders"] == 0
    assert found["records", "orders", "read"] == 10
    assert found["records", "orders", "delivered"] == 5
    assert found["records", "orders", "filtered"] == 2
    assert found["records", "orders", "rejected"] == 2
    assert found["records", "orders", "dropped"] == 1
    assert found["records", 'of "a"\\\n', "read"] == 3
    assert found["not_sent", "orders", "no_identity"] == 2
    assert found["not_sent", "orders", "suppressed"] == 1
    assert (found["requests",], found["retries",], found["throttled",]) == (7, 3, 2)
    assert found["success",] == success
    assert found["dry_run",] == 0
    assert found["run_info", "run-1"] == 1
    assert (found["started_at",], found["ended_at",]) == (1_000.5, 1_060.5)


def test_while_a_run_goes_on(path: Path, clock: FakeClock) -> None:
    """The file is written at each interval, and says that the run is not over."""
    clock.now = 100.0
    file, counts = metrics(path, clock), report()
    for clock.now in (100, 159):
        file.update(counts, DeliveryStatus(batches=2, window=5, rate=1.5))
        assert not path.exists()
    clock.now = 160
    file.update(counts, DeliveryStatus(batches=2, window=5, rate=1.5))
    found = read(path)
    assert (found["in_flight",], found["ended_at",], found["success",]) == (2, 0, 0)
    assert (found["window",], found["rate",]) == (5, 1.5)
    path.unlink()
    clock.now = 219
    file.update(counts, DeliveryStatus(batches=2, window=5, rate=1.5))
    assert not path.exists()
    clock.now = 220
    file.update(counts, DeliveryStatus(batches=2, window=5, rate=1.5))
    assert path.exists()


def test_a_file_that_cannot_be_written(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on after one warning."""
    file = metrics(tmp_path / "gone" / "run.prom", clock)
    file.end(report(), success=True)
    file.end(report(), success=True)
    (line,) = caplog.messages
    assert "metrics_path" in line
    assert "No such file" in line


def test_nothing_else_is_left_in_the_folder(path: Path, clock: FakeClock) -> None:
    metrics(path, clock).end(report(), success=True)
    assert [found.name for found in path.parent.iterdir()] == ["run.prom"]
