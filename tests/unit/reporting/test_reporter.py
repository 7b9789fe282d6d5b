"""The end of a run: what its log, its files, its page and the store have then, and nothing else."""

import contextlib
import logging
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from reporting_support import ACCOUNT, DOWN, MadeUpRun, reporter
from unit_support import DAY

from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import Rejection
from target_liveintent.delivery.batch import DeliveryStatus
from target_liveintent.reporting.history import Ending, History, read_history
from target_liveintent.run.counts import RunCounts
from target_liveintent.store.opening import open_for_reading, open_store

STATUS = DeliveryStatus(batches=4, waiting=1, window=5, rate=1.5)


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


class Runs:
    """Runs that share a store, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.given = {**ACCOUNT, "pixel_id": 4711, "store": str(folder / "store.sqlite")}
        self.clock = FakeClock()
        self.count = 0

    def run(self, delivered: int = 30, ending: Ending | None = None, **changes: Any) -> None:
        """Do a run that delivers orders of a minute ago."""
        self.count += 1
        run_id, settings = f"0190-{self.count:04x}", {**self.given, **changes}
        with contextlib.closing(
            open_store(settings_of(settings).storage, run_id, self.clock)
        ) as store:
            run = MadeUpRun()
            run.counts = RunCounts(clock=self.clock)
            run.deliver(delivered, at=self.clock.now, event_time=self.clock.now - 60)
            reports = reporter(self.clock, run_id=run_id, **settings)
            reports.end(run.counts, ending or Ending(), store)

    def days(self, count: int) -> None:
        """Let days go by, with a run each."""
        for _ in range(count):
            self.run()
            self.clock.now += DAY

    def history(self) -> History:
        settings = settings_of(self.given)
        with contextlib.closing(open_for_reading(settings.storage, self.clock)) as database:
            return read_history(database, settings.account, settings.events, self.clock.now)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def unusual(caplog: pytest.LogCaptureFixture) -> list[str]:
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    caplog.clear()
    return [one.getMessage() for one in warnings if "unusual" in one.getMessage()]


def test_the_last_lines_say_what_is_unusual(
    runs: Runs, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Once a day, in the last line, which names the run; the metrics say it while it lasts."""
    runs.days(15)
    runs.run(0, dry_run=True)  # Nothing is judged, or kept, of a dry run.
    assert "WARNING" not in caplog.text
    metrics = tmp_path / "run.prom"
    runs.run(0, metrics_path=str(metrics))
    assert caplog.messages[-1].startswith("orders: unusual: 0 conversions in the last 24 hours")
    assert caplog.messages[-1].endswith(" (run 0190-0011)")
    assert len(unusual(caplog)) == 1
    since = runs.clock.now
    gauge = 'target_liveintent_unusual{rule="conversions",stream="orders"} 1.0'
    assert gauge in metrics.read_text()
    runs.clock.now += 3_600
    runs.run(0, metrics_path=str(metrics))
    assert unusual(caplog) == []
    assert gauge in metrics.read_text()
    runs.clock.now += DAY
    runs.run(0, report_path=str(tmp_path / "run.html"))
    assert [one.since.timestamp() for one in runs.history().runs[-1].unusual] == [since]
    assert "Far fewer conversions than usual arrived." in (tmp_path / "run.html").read_text()
    before_last, last = caplog.messages[-2:]  # The line about the page names the run.
    assert ("unusual" in before_last, "(run" in before_last) == (True, False)
    assert last.endswith("run.html (run 0190-0013)")


def test_the_page_has_an_example_of_unusual_dead_letters(runs: Runs, tmp_path: Path) -> None:
    """It is the newest one of the store with this reason, which `trace` explains."""
    runs.days(15)
    path = tmp_path / "run.html"
    with contextlib.closing(
        open_store(settings_of(runs.given).storage, "0190-bad", runs.clock)
    ) as store:
        run = MadeUpRun()
        run.counts = RunCounts(clock=runs.clock)
        run.deliver(30, at=runs.clock.now, event_time=runs.clock.now - 60)
        run.reject(invalid_source=20)
        for number in range(20):
            record = {"order_id": f"shop-{number}"}
            rejection = Rejection("orders", f"bad-{number}", "invalid_source", "source", record)
            store.note_rejected(rejection, runs.clock.now + number)
        other = Rejection("orders", "newer", "missing_key", "event_id", {})
        store.note_rejected(other, runs.clock.now + 60)
        store.write()
        reports = reporter(runs.clock, run_id="0190-bad", report_path=str(path), **runs.given)
        reports.end(run.counts, Ending(), store)
    assert "<code>target-liveintent trace bad-19</code>" in path.read_text()


def test_a_store_that_cannot_be_used_any_more_is_a_warning(
    runs: Runs, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It says what is lost, and the end of the run is reported all the same."""
    with contextlib.closing(
        open_store(settings_of(runs.given).storage, "run-1", runs.clock)
    ) as store:
        (tmp_path / "store.sqlite").rename(tmp_path / "moved.sqlite")
        metrics = tmp_path / "run.prom"
        reports = reporter(runs.clock, metrics_path=str(metrics), **runs.given)
        reports.end(RunCounts(clock=runs.clock), Ending(), store)
    (warning,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "was deleted, moved or replaced during the run" in warning
    assert warning.endswith(", so the history does not have the figures of this run")
    assert "target_liveintent_success 1.0" in metrics.read_text()
    reports.end(RunCounts(), Ending(), object())  # An unforeseen error is shown by its name.
    assert caplog.messages[-2].startswith("AttributeError, so the history does not have")


# Without a history


def test_progress_and_metrics_follow_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are written once an interval has passed; only a run that is done succeeded."""
    path, clock = tmp_path / "run.prom", FakeClock()
    reports = reporter(clock, metrics_path=str(path), flush_interval_seconds=60)
    reports.progress(RunCounts(), STATUS)
    assert (caplog.messages, path.exists()) == ([], False)
    clock.now += 60
    reports.progress(RunCounts(), STATUS)
    assert "4 batches in flight (1 waiting)" in caplog.text
    shown = path.read_text()
    for gauge in ("in_flight 4.0", "window 5.0", "rate 1.5", "success 0.0", "ended_at 0.0"):
        assert f"target_liveintent_{gauge}\n" in shown
    reports.progress(RunCounts(), STATUS._replace(batches=5))
    assert path.read_text() == shown
    for ending, success in ((Ending(), 1), (DOWN, 0)):
        reports.end(RunCounts(), ending, None)
        assert f"target_liveintent_success {success}.0\n" in path.read_text()


@pytest.mark.posix
def test_a_terminal_shows_a_live_line() -> None:
    """The line is drawn while the run goes on, and is cleared at its end."""
    import fcntl
    import pty
    import termios

    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    clock = FakeClock()
    with open(terminal, "w") as stream:  # noqa: PTH123 (a descriptor)
        reports = reporter(clock, stream)
        clock.now += 1
        reports.progress(RunCounts(), STATUS)
        reports.end(RunCounts(), Ending(), None)
    shown = b""
    with contextlib.suppress(OSError):  # The other end is closed.
        while more := os.read(screen, 1_000):
            shown += more
    os.close(screen)
    assert b"4 batches in flight (1 waiting)" in shown
    assert b"requests/s at most" not in shown  # The line is cut where the terminal ends.
    assert shown.endswith(b"\r")
    assert shown.split(b"\r")[-2].isspace()


def test_the_summary_and_what_to_do(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Without a store and paths, the log is all there is; its last line names the run."""
    page = tmp_path / "run.html"
    page.write_text("the last real run")
    counts = RunCounts()
    counts.of("orders").read = counts.of("orders").dropped["already_sent"] = 1
    counts.unproven = 2
    reporter(report_path=str(page)).end(counts, Ending(), None)
    warning, *lines, last = caplog.messages
    assert warning.startswith("the API refused 2 events when there were no later events")
    assert [line.partition(",")[0] for line in lines] == ["orders: read 1", "total: read 1"]
    assert last.startswith("already_sent 1: The store shows that")
    assert last.endswith("use the option `--send-again`. (run run-1)")
    assert caplog.text.count("run-1") == 1
    assert page.read_text() == "the last real run"


def test_a_report_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, runs: Runs
) -> None:
    """A warning names the reason; after a failure, the caller logs the last line."""
    folder = tmp_path / "folder"
    folder.mkdir()
    settings = {**runs.given, "report_path": str(folder / "run.html")}
    reports = reporter(**settings)
    folder.rmdir()
    said = f"report_path '{folder / 'run.html'}' cannot be written: No such file or directory"
    for number, (ending, name) in enumerate(((Ending(), " (run run-1)"), (DOWN, ""))):
        with contextlib.closing(
            open_store(settings_of(runs.given).storage, f"run-{number}", FakeClock())
        ) as store:
            reports.end(RunCounts(), ending, store)
        assert caplog.messages[-1] == said + name


def test_a_setting_without_effect_is_said_once(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first run with these settings, and not at each run of an hourly schedule."""

    def said(**changes: Any) -> int:
        caplog.clear()
        runs.run(**changes)
        runs.clock.now += 3_600
        return sum("setting 'timezone' has no effect" in message for message in caplog.messages)

    berlin, paris = {"timezone": "Europe/Berlin"}, {"timezone": "Europe/Paris"}
    assert [said(**berlin), said(**berlin), said(**paris), said(**paris)] == [1, 0, 1, 0]
    assert said(**berlin, default_source="web") == 1
    assert said(**berlin, dry_run=True) == 1  # Nothing is known of earlier runs.
