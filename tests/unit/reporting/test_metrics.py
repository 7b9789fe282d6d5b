"""The file of metrics, read as Prometheus reads it."""

import datetime as dt
import logging
from pathlib import Path

import pytest
from fakes import FakeClock
from prometheus_client.parser import text_string_to_metric_families

from target_liveintent.delivery.batch import DeliveryStatus
from target_liveintent.reporting.history import Finding, Unusual
from target_liveintent.reporting.metrics import METRICS, MetricsFile
from target_liveintent.reporting.rules import RULES
from target_liveintent.run.counts import RunCounts
from target_liveintent.store.ledger import Ledger

NAMES, NOW = ("orders", "gone"), dt.datetime.now(tz=dt.timezone.utc)
LEDGER = Ledger(arrived=5, lost=2)
FAULTS = [Unusual("conversions", name, Finding(), NOW) for name in NAMES]


def report(clock: FakeClock) -> RunCounts:
    report = RunCounts(clock=clock)
    counts = report.of("orders")
    counts.read, counts.delivered, counts.filtered, counts.unmapped = 10, 5, 2, 1
    counts.rejected["no_identity"] = 2
    counts.dropped["suppressed"] = 1
    counts.not_replayed["unconfirmed"] = 4
    report.of('of "a"\\\n').read = 3
    report.requests, report.retries, report.throttled = 7, 3, 2
    return report


def read(path: Path) -> dict[str, float]:
    """The figures by name and labels, without the prefix."""
    return {
        " ".join([one.name.removeprefix("target_liveintent_"), *one.labels.values()]): one.value
        for family in text_string_to_metric_families(path.read_text())
        for one in family.samples
    }


def metrics(path: Path, clock: FakeClock) -> MetricsFile:
    return MetricsFile(str(path), 60, logging.getLogger("test"), clock, run_id="run-1")


def test_the_end_of_a_run(tmp_path: Path) -> None:
    """Every count is there, and how the run ended; nothing else is left in the folder."""
    path, clock = tmp_path / "run.prom", FakeClock()
    clock.now = 1_000.5
    file, counts = metrics(path, clock), report(clock)
    clock.now = 1_060.5
    file.end(counts, success=True, unusual=FAULTS, ledger=LEDGER)
    found = read(path)
    assert {name.partition(" ")[0] for name in found} == set(METRICS)
    other = {name: number for name, number in found.items() if 'of "a"' in name}
    assert sum(name.startswith("unusual ") for name in other) == len(RULES)
    assert {name: n for name, n in other.items() if n} == {'records read of "a"\\\n': 3}
    assert {name: number for name, number in found.items() if name not in other} == {
        "run_info run-1": 1,
        "records read orders": 10,
        "records delivered orders": 5,
        "records filtered orders": 2,
        "records unmapped orders": 1,
        "records rejected orders": 2,
        "records dropped orders": 1,
        "records not_replayed orders": 4,
        "not_sent no_identity orders": 2,
        "not_sent suppressed orders": 1,
        **{f"unusual {rule} {one}": rule == "conversions" for rule in RULES for one in NAMES},
        "requests": 7,
        "retries": 3,
        "throttled": 2,
        "in_flight": 0,
        "window": DeliveryStatus().window,
        "rate": 0,
        "seconds": 60,
        "started_at": 1_000.5,
        "ended_at": 1_060.5,
        "success": 1,
        "dry_run": 0,
        "ledger arrived": 5,
        "ledger waiting": 0,
        "ledger replayable": 0,
        "ledger lost": 2,
        "ledger left_out": 0,
    }
    assert [file.name for file in path.parent.iterdir()] == ["run.prom"]
    file.end(counts, success=True, unusual=None, ledger=None)  # Nothing was judged.
    assert not [name for name in read(path) if name.startswith(("unusual", "ledger"))]


def test_a_file_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on after one warning."""
    file = metrics(tmp_path / "gone" / "run.prom", FakeClock())
    for _ in range(2):
        file.end(report(FakeClock()), success=True, unusual=[], ledger=None)
    (line,) = caplog.messages
    assert "metrics_path" in line
    assert "No such file" in line
