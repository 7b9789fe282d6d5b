"""The history at the end of a run: what the log, the metrics and the folder have then."""

from __future__ import annotations

import datetime as dt
import json
import logging
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeClock
from report_support import MadeUpRun, reporter
from unit_support import DAY

from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.history.recorder import HistoryRecorder
from target_liveintent.reporting.run_report.model import DONE, STOPPED, Ending
from target_liveintent.run.counts import RunCounts
from target_liveintent.storage.folders import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.reporting.history.model import History


class Runs:
    """Runs that share a folder, one after the other."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "deep" / "history"
        self.clock = FakeClock()
        self.count = 0

    def run(
        self,
        delivered: int = 30,
        ending: Ending = Ending(DONE),  # noqa: B008 (frozen)
        **changes: Any,
    ) -> None:
        """Do a run that delivers orders of a minute ago."""
        self.count += 1
        run_id = f"0190-{self.count:04x}"
        settings = {"pixel_id": 4711, "history_path": str(self.path), **changes}
        reports = reporter(self.clock, run_id=run_id, **settings)
        assert reports.tally is not None
        run = MadeUpRun()
        run.counts, run.tally = RunCounts(clock=self.clock), reports.tally
        run.deliver(delivered, at=self.clock.now, event_time=self.clock.now - 60)
        reports.end(run.counts, ending)

    def days(self, count: int) -> None:
        """Let days go by, with a run each."""
        for _ in range(count):
            self.run()
            self.clock.now += DAY

    def history(self) -> History:
        folder = HistoryFolder(LocalFolder("history_path", str(self.path)), 400, pytest.fail)
        today = dt.datetime.fromtimestamp(self.clock.now, dt.timezone.utc).date()
        return folder.read(("a-1b2c at conversions.liveintent.com", 4711), today)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_run_leaves_an_entry_without_a_report(runs: Runs) -> None:
    """The folder is made; only its owner can read it and what is in it."""
    runs.run(3)
    (file,) = runs.path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(runs.path.stat().st_mode) == 0o700
    left = json.loads(file.read_text())
    assert left["run"]["streams"]["orders"]["within_an_hour"] == 3
    assert left["facts"]["total"]["delivered"] == 3


def unusual(caplog: pytest.LogCaptureFixture) -> list[str]:
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    caplog.clear()
    return [one.getMessage() for one in warnings if "unusual" in one.getMessage()]


def test_the_last_lines_say_what_is_unusual(
    runs: Runs, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Once a day, in the last line, which names the run; the metrics say it while it lasts."""
    caplog.set_level(logging.INFO)
    runs.days(15)
    assert unusual(caplog) == []
    metrics = tmp_path / "run.prom"
    runs.run(0, metrics_path=str(metrics))
    assert caplog.messages[-1].startswith("orders: unusual: 0 conversions in the last 24 hours")
    assert caplog.messages[-1].endswith(" (run 0190-0010)")
    assert len(unusual(caplog)) == 1
    since = runs.clock.now
    gauge = 'target_liveintent_unusual{rule="conversions",stream="orders"} 1.0'
    assert gauge in metrics.read_text()
    runs.clock.now += 3_600
    runs.run(0, metrics_path=str(metrics))
    assert unusual(caplog) == []
    assert caplog.messages == []
    assert gauge in metrics.read_text()
    runs.clock.now += DAY
    runs.run(0)
    assert len(unusual(caplog)) == 1
    last = runs.history().last
    assert last is not None
    assert [one.since.timestamp() for one in last.unusual] == [since]


def test_the_report_has_the_last_line(
    runs: Runs, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Then the run's ID is in it, and not in the one that says what is unusual.

    The page begins with the history.
    """
    caplog.set_level(logging.INFO)
    runs.days(15)
    runs.run(0, report_path=str(tmp_path / "run.html"))
    assert "<h2>Today against usual" in (tmp_path / "run.html").read_text()
    before_last, last = caplog.messages[-2:]
    assert ("unusual" in before_last, "(run" in before_last) == (True, False)
    assert last.endswith("run.html (run 0190-0010)")


@pytest.mark.parametrize(
    ("ending", "changes", "days"),
    [
        (Ending(DONE), {"customer_id": "b-1b2c"}, 15),
        (Ending(DONE), {"pixel_id": 5}, 15),
        (Ending(STOPPED, "stopped by SIGTERM"), {}, 16),
    ],
)
def test_which_runs_are_not_compared(
    runs: Runs,
    caplog: pytest.LogCaptureFixture,
    ending: Ending,
    changes: dict[str, Any],
    days: int,
) -> None:
    """Those of other accounts and pixels, and one whose end somebody waits for."""
    runs.days(15)
    runs.run(0, ending, **changes)
    assert unusual(caplog) == []
    assert len(runs.history().days) == days


def test_a_folder_that_cannot_be_written_is_a_warning(
    runs: Runs, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It names the setting and what is lost, and the run goes on to its end."""
    (tmp_path / "file").write_text("")
    runs.path = tmp_path / "file" / "history"
    runs.run()
    not_compared, not_kept = (one for one in caplog.messages if "history" in one)
    cannot = f"history_path '{runs.path}' cannot be"
    assert not_compared.startswith(f"{cannot} listed: Not a directory, so this run is not compared")
    assert not_kept == f"{cannot} written: Not a directory, so this run is not in the history"


def test_a_mistake_of_ours_does_not_end_the_run(
    runs: Runs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are delivered by then: the entry is written, without what is unusual."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(HistoryRecorder, "_judge", fail)
    runs.run()
    assert "history_path cannot be used (ZeroDivisionError), so this run is not compared" in (
        caplog.text
    )
    assert len([*runs.path.iterdir()]) == 1


def test_a_store_without_its_package_is_a_warning(
    runs: Runs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    runs.run(history_path="s3://bucket/history")
    assert any(
        one.startswith("history_path") and one.endswith("so this run is not in the history")
        for one in caplog.messages
    )
