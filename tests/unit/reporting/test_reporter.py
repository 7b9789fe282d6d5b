"""The reporter of a run: what the settings ask for is written, and nothing else."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from reporting_support import ACCOUNT, reporter

from target_liveintent.config import settings_of
from target_liveintent.delivery.model import DeliveryStatus
from target_liveintent.mapping import MELTANO_TEST_STREAM
from target_liveintent.reporting.history import DONE, FAILED, Ending
from target_liveintent.run.counts import RunCounts
from target_liveintent.store import RunStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATUS = DeliveryStatus(batches=4, waiting=1)


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_progress_and_metrics_follow_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are written once an interval has passed."""
    path, clock = tmp_path / "run.prom", FakeClock()
    reports = reporter(clock, metrics_path=str(path), flush_interval_seconds=60)
    reports.progress(RunCounts(), STATUS)
    assert (caplog.messages, path.exists()) == ([], False)
    clock.now += 60
    reports.progress(RunCounts(), STATUS)
    assert "4 in flight (1 waiting)" in caplog.text
    assert "target_liveintent_in_flight 4.0\n" in path.read_text()


def test_a_terminal_shows_a_live_line() -> None:
    """The line is drawn while the run goes on, and is cleared at its end."""
    screen, terminal = pty.openpty()
    clock = FakeClock()
    with open(terminal, "w") as stream:  # noqa: PTH123 (a descriptor)
        reports = reporter(clock, stream)
        clock.now += 1
        reports.progress(RunCounts(), STATUS)
        reports.end(RunCounts(), Ending(DONE), None)
    shown = b""
    with contextlib.suppress(OSError):  # The other end is closed.
        while more := os.read(screen, 1_000):
            shown += more
    os.close(screen)
    assert b"4 in flight (1 waiting)" in shown
    assert shown.endswith(b"\r")
    assert shown.split(b"\r")[-2].isspace()


@pytest.mark.parametrize(("kind", "success"), [(DONE, 1), (FAILED, 0)])
def test_metrics_at_the_end(tmp_path: Path, kind: str, success: int) -> None:
    """Only a run that is done succeeded."""
    path = tmp_path / "run.prom"
    reporter(metrics_path=str(path)).end(RunCounts(), Ending(kind), None)
    assert f"target_liveintent_success {success}.0\n" in path.read_text()


def test_the_summary_is_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Without a store and paths in the settings, the summary in the log is all there is."""
    counts = RunCounts()
    counts.of("orders").read = 7
    reports = reporter(dry_run=True, store=str(tmp_path / "store.sqlite"))
    reports.progress(counts, DeliveryStatus())
    reports.end(counts, Ending(DONE), None)
    lines = [line.partition(",")[0] for line in caplog.messages]
    assert lines == ["orders: read 7", "total: read 7"]
    assert [line.endswith(" s (run run-1)") for line in caplog.messages] == [False, True]
    assert list(tmp_path.iterdir()) == []


def test_what_to_do_comes_after_the_summary(caplog: pytest.LogCaptureFixture) -> None:
    """The advice names the store, and is the last line, which names the run."""
    counts = RunCounts()
    counts.of("orders").read = counts.of("orders").dropped["already_sent"] = 1
    reporter().end(counts, Ending(DONE), None)
    *_, total, advice = caplog.messages
    assert total.startswith("total: read 1")
    assert advice.startswith("already_sent 1: The store shows that")
    assert advice.endswith("use the option `--send-again`. (run run-1)")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    given = settings_of({**ACCOUNT, "store": str(tmp_path / "store.sqlite")})
    with contextlib.closing(open_store(given, "run-1", FakeClock())) as opened:
        yield opened


def test_a_report_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, store: RunStore
) -> None:
    """A warning names the reason, and the run goes on."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "run.html"
    reports = reporter(report_path=str(path))
    folder.rmdir()
    reports.end(RunCounts(), Ending(DONE), store)
    said = f"report_path '{path}' cannot be written: No such file or directory (run run-1)"
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [said]


def test_the_last_line_names_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, store: RunStore
) -> None:
    """It is the line about the report; and where a run has failed, the line about the failure."""
    path = str(tmp_path / "run.html")
    reporter(report_path=path).end(RunCounts(), Ending(DONE), store)
    assert caplog.messages[-1] == f"the report is in {path} (run run-1)"
    assert caplog.text.count("run-1") == 1
    caplog.clear()
    reporter(report_path=path).end(RunCounts(), Ending(FAILED, "no luck"), store)
    reporter().end(RunCounts(), Ending(FAILED, "no luck"), None)
    assert caplog.messages
    assert "run-1" not in caplog.text


def test_rows_that_come_again_are_known(store: RunStore) -> None:
    """The store says which dead letters it had before, so that they are not counted twice."""
    counts = RunCounts()
    counts.of("orders").read = counts.of("orders").rejected["no_identity"] = 19
    store.repeated_letters["no_identity"] = 18
    reporter().end(counts, Ending(DONE), store)
    ((figures,),) = store.database.read("SELECT CAST(figures AS TEXT) FROM run")
    assert json.loads(figures)["streams"]["orders"]["repeated"] == {"no_identity": 18}


@pytest.mark.parametrize("stream", ["orders", MELTANO_TEST_STREAM])
def test_the_page_of_the_last_real_run_stays(tmp_path: Path, store: RunStore, stream: str) -> None:
    """A dry run, or Meltano's test of the settings, does not replace it."""
    path = tmp_path / "run.html"
    path.write_text("the last real run")
    counts = RunCounts(dry_run=stream == "orders")
    counts.of(stream)
    reports = reporter(report_path=str(path), dry_run=counts.dry_run)
    reports.end(counts, Ending(DONE), None if counts.dry_run else store)
    assert path.read_text() == "the last real run"
