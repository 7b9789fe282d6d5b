"""Runs that leave a history, in a folder that they share and in S3."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING

import msgspec
import pytest
from faulty_server import Reply
from integration_support import CUSTOMER, OFTEN, order, orders, schema, state, wait_until

from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.history.model import (
    FORMAT,
    USUAL,
    History,
    RunEntry,
    RunFigures,
    StreamFigures,
)
from target_liveintent.storage.folders import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher
    from object_store import Door, Store

ACCOUNT = (f"{CUSTOMER} at 127.0.0.1", 12345)
HISTORY = {"history_path": "history"}


def folder(path: Path) -> HistoryFolder:
    return HistoryFolder(LocalFolder("history_path", str(path / "history")), 400, pytest.fail)


def today() -> dt.date:
    return dt.datetime.now(tz=dt.timezone.utc).date()


def history(path: Path) -> History:
    return folder(path).read(ACCOUNT, today())


def put(path: Path, days_ago: int, runs: int, delivered: int) -> None:
    """Put the entries of runs of an earlier day into the folder."""
    day = today() - dt.timedelta(days=days_ago)
    for number in range(runs):
        ended = dt.datetime(day.year, day.month, day.day, number % 24, tzinfo=dt.timezone.utc)
        figures = StreamFigures(delivered, delivered, delivered, delivered)
        name = f"{days_ago:08x}-{number:04x}"
        run = RunFigures(name, ended, USUAL, "done", None, "0", "abc", {"orders": figures})
        folder(path).add(RunEntry(FORMAT, *ACCOUNT, day, {}, run, msgspec.Raw(b"{}")))


def test_runs_that_share_a_folder_do_not_disturb_each_other(to_server: Launcher) -> None:
    """All end at the same time, and each would fold yesterday: no run is lost or counts twice."""
    put(to_server.folder, 1, 24, 10)
    put(to_server.folder, 2, 24, 5)
    own = {**HISTORY, "ledger": False, "batch_size_rows": 3, "constants": OFTEN}
    running = [to_server.start(**own).send(schema(), *orders(3), state(1)) for _ in range(4)]
    for run in running:
        wait_until(lambda run=run: run.states, "a STATE")
    for run in running:
        run.close_input()
    for run in running:
        run.wait(60)
        assert run.code == 0, run.log
        assert not [one for one in run.warnings if "history" in one]
    again = to_server.run(schema(), *orders(3), state(1), **HISTORY, ledger=False)
    assert again.code == 0
    before_last, yesterday, now = history(to_server.folder).days
    assert (before_last.usual["orders"].delivered, len(before_last.runs)) == (120, 24)
    assert (yesterday.usual["orders"].delivered, len(yesterday.runs)) == (240, 24)
    assert {one.run_id for one in now.runs} == {one.run_id for one in (*running, again)}
    assert now.usual["orders"].delivered == 15
    names = sorted(one.name for one in (to_server.folder / "history").iterdir())
    assert [name.split(".")[1] for name in names] == ["day", "day", *["run"] * 5]


def test_what_is_unusual_is_said_in_the_last_lines(to_server: Launcher) -> None:
    """After 15 days of history, a run without conversions warns, and the next one does not."""
    for days_ago in range(15, 0, -1):
        put(to_server.folder, days_ago, 1, 200)
    first = to_server.run(schema(), order(1, email=None), state(1), **HISTORY)
    assert first.code == 0
    new_reason = "orders: unusual: 1 record was not sent because of a reason that has never"
    said = [one for one in first.warnings if "unusual" in one]
    assert (len(said), sum(one.startswith(new_reason) for one in said)) == (2, 1)
    assert "unusual" in first.last_line
    gauge = 'target_liveintent_unusual{rule="conversions",stream="orders"} 1.0'
    assert gauge in (to_server.folder / "run-0.prom").read_text()
    second = to_server.run(schema(), order(1, email=None), state(1), **HISTORY)
    assert not [one for one in second.warnings if "unusual" in one]
    assert gauge in (to_server.folder / "run-1.prom").read_text()


def test_a_tap_that_sends_nothing_any_more(to_server: Launcher) -> None:
    """Not even a SCHEMA: the run ends well, and says so."""
    for days_ago in range(15, 0, -1):
        put(to_server.folder, days_ago, 1, 200)
    run = to_server.run(**HISTORY)
    assert run.code == 0
    assert run.last_line.startswith("orders: unusual: 0 conversions in the last 24 hours, but")


def test_failed_and_stopped_runs(to_server: Launcher, server: FaultyServer) -> None:
    """They are in the history, with what the last line of the log says."""
    stopped = to_server.start(**HISTORY, batch_size_rows=2, constants=OFTEN)
    stopped.send(schema(), *orders(2), state(1))
    wait_until(lambda: stopped.states, "a STATE")
    stopped.signal(15)
    stopped.wait()
    server.answer = lambda _: Reply(401)
    failed = to_server.run(schema(), *orders(2, 4), **HISTORY)
    assert (stopped.code, failed.code) == (143, 1)
    (day,) = history(to_server.folder).days
    first, second = day.runs
    assert (first.run_id, first.ending, first.kind) == (stopped.run_id, "stopped", USUAL)
    assert first.message == "stopped by SIGTERM"
    assert (second.run_id, second.ending) == (failed.run_id, "failed")
    assert second.message
    assert second.message in failed.last_line
    assert day.usual["orders"].delivered == 2


def test_a_bucket_that_does_not_exist(to_server: Launcher, store: Store) -> None:
    """It is a warning, and the bucket is not created."""
    missing = f"missing-{uuid.uuid4().hex}"
    run = to_server.run(
        schema(), order(1), state(1), history_path=f"s3://{missing}/x", env=store.environment
    )
    assert (run.code, run.states) == (0, [1])
    assert f"the bucket '{missing}' of history_path does not exist" in run.log
    assert missing not in store.buckets()


def test_a_store_that_is_down(to_server: Launcher, door: Door, bucket: str) -> None:
    """It is a warning after a few seconds, and the run ends well."""
    door.before = lambda _: 503
    run = to_server.run(
        *(schema(), order(1), state(1)),
        history_path=f"s3://{bucket}/x",
        env=door.environment,
        constants={"target_liveintent.storage.places:_HISTORY_SECONDS": 0.2},
    )
    assert (run.code, run.states) == (0, [1]), run.log
    assert "so this run is not in the history" in run.log
