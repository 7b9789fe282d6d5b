"""The store over whole runs: what they know of each other, and its file in people's hands."""

import contextlib
import csv
import ctypes
import datetime as dt
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import (
    DAY,
    OFTEN,
    OPTIONS,
    STORE,
    WITH_ID,
    Launcher,
    Running,
    lines,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import ask, count

from target_liveintent.sandbox import Sandbox

QUICK: dict[str, Any] = {
    "batch_size_rows": 1,
    "constants": OFTEN
    | {
        "target_liveintent.store.database:_LOCK_MILLISECONDS": 20,
        "target_liveintent.store.database:_SILENT_SECONDS": 0.05,
    },
}
"""A run that looks often whether a lock has ended, and says soon that it waits for it."""
WAITS = "another program locks the file of the store; the run waits for up to 30 seconds"
PUT_BACK = (
    f"the file of the store '{STORE}' was deleted, moved or replaced during the run. Put it back,"
    " and start the run again"
)


# What was delivered


def test_a_second_run(target: Launcher, sandbox: Sandbox, store: Path | str) -> None:
    """What was delivered is not sent again, and the last line says what to do about it."""
    messages = [schema(), *orders(250), order(1), state(1)]
    first = target.run(*messages, store=str(store))
    assert (first.code, first.states, first.warnings) == (0, [1], [])
    assert first.summary["total"].drops == {"already_sent": 1}
    requests = sandbox.stats.requests
    again = target.run(*messages, state(2), store=str(store))
    assert (again.code, again.states, again.warnings) == (0, [2], [])
    for counts in again.summary.values():
        assert (counts.read, counts.delivered, counts.drops) == (251, 0, {"already_sent": 251})
        assert counts.adds_up
    assert (again.requests, sandbox.stats.requests) == (0, requests)
    assert again.last_line.startswith("already_sent 251: ")
    assert again.last_line.endswith("use the option `--send-again`.")
    assert target.run(*messages, order(300), store=str(store)).summary["total"].delivered == 1
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (251, 0)
    assert count(store, "event") == 251


def test_another_pixel(to_server: Launcher, server: FaultyServer) -> None:
    """The first run for a pixel or customer ID says how many events the store knows for another."""
    messages = [schema(), *orders(3), state(1)]
    settings = {"pixel_id": 2001}
    assert to_server.run(*messages, **settings).warnings == []
    for changes in ({"pixel_id": 2002}, {"customer_id": "b-2c3d"}):
        run = to_server.run(*messages, **{**settings, **changes})
        (warning,) = run.warnings
        now = {"customer_id": "a-1b2c", "pixel_id": 2001, **changes}
        assert warning.startswith(
            f"this is the first run for customer ID {now['customer_id']} and pixel"
            f" {now['pixel_id']}. The runs for customer ID a-1b2c and pixel"
            f" {2001 if 'pixel_id' in changes else 2002} in the store have sent 3 events, which are"
            " sent again"
        )
        # Two loaders may share a store: of a pixel that is known, nothing is said.
        assert to_server.run(*messages, **{**settings, **changes}).warnings == []
    assert to_server.run(*messages, **settings).warnings == []
    assert to_server.ask("replay", **{**settings, "pixel_id": 2003}).warnings == []
    assert sum(len(one.events) for one in server.requests) == 9


def test_what_was_confirmed(to_server: Launcher, server: FaultyServer) -> None:
    """What a 204 or a 200 that names the others confirmed is kept, and nothing else."""

    def answer(request: Request) -> Reply:
        if "order-150" in request.ids:
            return Reply(200, json.dumps(["order-150", "order-151"]).encode())
        if any(int(name.partition("-")[2]) >= 200 for name in request.ids):
            return Reply(200, b"[]")  # Some, it does not say which.
        return Reply(400) if "order-7" in request.ids else Reply()

    server.answer = answer
    messages = [order(n, event_id=f"order-{n}", order_id=f"#{n}") for n in range(300)]
    run = to_server.run(
        schema(columns=(*WITH_ID, "order_id")), *messages, state(1), keep_delivered=True
    )
    assert (run.code, run.states) == (0, [1])
    shown = to_server.ask("delivered")
    assert (shown.code, shown.log) == (0, "")
    found = list(csv.DictReader(shown.stdout.splitlines()))
    expected = {f"#{n}" for n in range(200)} - {"#7", "#150", "#151"}
    assert Counter(row["order_id"] for row in found) == Counter(expected)
    assert len(found) == run.summary["total"].delivered
    assert {(row["source"], row["value"], row["currency"]) for row in found} == {
        ("web", "12.5", "USD")
    }
    sent = {e["purchaseData"]["orderId"]: e for request in server.requests for e in request.events}
    for row in found:
        event = sent[row["order_id"]]
        assert row["md5"] == event["userData"]["md5"]
        moment = dt.datetime.fromisoformat(row["event_time"].replace("Z", "+00:00"))
        assert moment.timestamp() == event["eventTime"]


def test_old_letters_go(target: Launcher) -> None:
    """A run deletes dead letters that are older than history_days, and says how many.

    They are in the only file that a run makes without a setting for it.
    """
    bad = schema(columns=WITH_ID), *numbered(2, event_time="soon")
    assert len(target.run(*bad, metrics_path=...).letters) == 2
    made = {path.name for path in target.folder.iterdir()}
    assert made == {STORE, "config-0.json", "input-0.singer"}
    ask(target.store, "UPDATE dead_letter SET written_at = written_at - ?", 31 * DAY)
    kept = target.run(schema(), history_days=32)
    assert (len(kept.letters), kept.warnings) == (2, [])
    run = target.run(schema(), history_days=30)
    assert run.letters == []
    assert run.warnings == ["2 dead letters older than history_days (30) went out of the store"]


# A file that is locked, gone, or read-only


def begin(target: Launcher, **how: Any) -> Running:
    """Start a run, and wait for its first STATE."""
    run = target.start(**{**QUICK, **how}).send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    return run


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file, as another program does."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def test_a_lock_during_a_run(target: Launcher, sandbox: Sandbox) -> None:
    """The run says what it waits for, writes no STATE meanwhile, and goes on afterwards.

    SIGTERM ends it within two seconds, without a further STATE, and it says what was wrong.
    """
    run = begin(target)
    with locked(target.store):
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: WAITS in run.log, "its warning")
        assert (run.states, sandbox.stats.accepted) == ([1], 1)
    wait_until(lambda: run.states == [1, 2], "the STATE after it")
    assert (run.warnings, sandbox.stats.accepted) == ([WAITS], 2)
    with locked(target.store):
        run.send(*numbered(3)[2:], state(3))
        wait_until(lambda: run.log.count(WAITS) == 2, "its warning")
        start = time.monotonic()
        run.signal(signal.SIGTERM).wait()
        assert time.monotonic() - start < 2
    assert (run.code, run.states) == (143, [1, 2])
    assert "another program, such as another run, keeps the file locked" in run.log


def test_the_file_is_moved_during_a_run(target: Launcher) -> None:
    """The run ends before the next STATE, and says what to do; the file may be put back."""
    run = begin(target)
    away = target.folder / "away"
    target.store.rename(away)
    run.send(*numbered(2)[1:], state(2)).close_input().wait()
    assert (run.code, run.states, run.last_line) == (1, [1], PUT_BACK)
    assert run.log.count(PUT_BACK) == 1
    away.rename(target.store)
    again = target.run(schema(columns=WITH_ID), *numbered(2), state(2))
    assert (again.code, again.states) == (0, [2])
    assert again.summary["total"].drops["already_sent"] >= 1


_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def obey_permissions() -> None:
    """Take from root the right to write everywhere; others do not have it."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0) == 0


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Make a folder that cannot be written."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o500)
    yield folder
    folder.chmod(0o700)


def run_in(folder: Path, target: Launcher, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run over an event and a bad record, in a folder."""
    config = target.config(metrics_path=...)
    command = [*OPTIONS, "-m", "target_liveintent", "--config", str(config), *arguments]
    messages = lines([schema(), order(1), state(1), order(2, event_time="never"), state(2)])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=target.env,
        input=messages.decode(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=obey_permissions,
    )


def test_a_read_only_folder(to_server: Launcher, server: FaultyServer, read_only: Path) -> None:
    """No file is made and nothing is sent, also if there is a store, or only that is read-only."""
    done = run_in(read_only, to_server)
    assert (done.returncode, done.stdout, server.requests) == (2, "", [])
    last = done.stderr.splitlines()[-1]
    assert f"store '{STORE}' cannot be used: Permission denied" in last
    assert not list(read_only.iterdir())
    assert len(to_server.run(schema(), order(2, event_time="never")).letters) == 1
    read_only.chmod(0o700)
    to_server.store.rename(read_only / STORE)
    read_only.chmod(0o500)
    done = run_in(read_only, to_server)
    assert (done.returncode, done.stdout, server.requests) == (2, "", [])
    assert "the file or its folder is read-only" in done.stderr.splitlines()[-1]
    assert [path.name for path in read_only.iterdir()] == [STORE]
    read_only.chmod(0o700)
    (read_only / STORE).chmod(0o400)
    done = run_in(read_only, to_server)
    assert (done.returncode, done.stdout, server.requests) == (2, "", [])
    assert [path.name for path in read_only.iterdir()] == [STORE]
