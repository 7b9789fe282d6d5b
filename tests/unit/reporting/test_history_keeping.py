"""The history at the end of a run: what the log, the metrics and the store have then."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fakes import FakeClock
from reporting_support import ACCOUNT, MadeUpRun, reporter
from unit_support import DAY

from target_liveintent.config import settings_of
from target_liveintent.reporting.history import (
    DONE,
    STOPPED,
    Ending,
    History,
    read_history,
)
from target_liveintent.run.counts import RunCounts
from target_liveintent.store import open_for_reading, open_store, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.store import Database, RunStore


class Runs:
    """Runs that share a store, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.given = {"pixel_id": 4711, "store": str(folder / "store.sqlite")}
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
        settings = {**self.given, **changes}
        with contextlib.closing(self.open(run_id, **changes)) as store:
            reports = reporter(self.clock, run_id=run_id, **settings)
            run = MadeUpRun()
            run.counts = RunCounts(clock=self.clock)
            run.deliver(delivered, at=self.clock.now, event_time=self.clock.now - 60)
            reports.end(run.counts, ending, store)

    def open(self, run_id: str, **changes: Any) -> RunStore:
        settings = settings_of({**ACCOUNT, **self.given, **changes})
        return open_store(settings, run_id, self.clock)

    def days(self, count: int) -> None:
        """Let days go by, with a run each."""
        for _ in range(count):
            self.run()
            self.clock.now += DAY

    def history(self) -> History:
        settings = settings_of({**ACCOUNT, **self.given})
        today = dt.datetime.fromtimestamp(self.clock.now, dt.timezone.utc).date()
        with self.reading() as database:
            return read_history(database, settings, today)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        database = open_for_reading(settings_of({**ACCOUNT, **self.given}), self.clock)
        with contextlib.closing(database):
            yield database


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_run_leaves_an_entry_without_a_report(runs: Runs, tmp_path: Path) -> None:
    """It has the figures of the run; no other file is made."""
    runs.run(3)
    settings = settings_of({**ACCOUNT, **runs.given})
    with runs.reading() as database:
        (stored,) = runs_in(database, settings, 0.0)
        assert stored.figures is not None
        left = msgspec.json.decode(stored.figures)
    assert left["run_id"] == stored.id == "0190-0001"
    assert left["streams"]["orders"]["within_an_hour"] == 3
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"store.sqlite"}


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
    last = runs.history().runs[-1]
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
    assert "Far fewer conversions than usual were sent." in (tmp_path / "run.html").read_text()
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


def test_a_store_that_cannot_be_used_any_more_is_a_warning(
    runs: Runs, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It says what is lost, and the end of the run is reported all the same."""
    with contextlib.closing(runs.open("run-1")) as store:
        (tmp_path / "store.sqlite").rename(tmp_path / "moved.sqlite")
        metrics = tmp_path / "run.prom"
        reports = reporter(runs.clock, metrics_path=str(metrics), **runs.given)
        reports.end(RunCounts(clock=runs.clock), Ending(DONE), store)
    assert "was deleted, moved or replaced during the run" in caplog.messages[0]
    assert caplog.messages[0].endswith(", so the history does not have the figures of this run")
    assert "target_liveintent_success 1.0" in metrics.read_text()
