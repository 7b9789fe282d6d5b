"""The store over whole runs: what they know of each other, and what happens to it meanwhile."""

import contextlib
import csv
import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
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
from postgres_server import Postgres
from store_tables import ask, count

from target_liveintent.sandbox import Sandbox

QUICK: dict[str, Any] = {
    "batch_size_rows": 1,
    "constants": OFTEN
    | {
        "target_liveintent.store.database:_LOCK_MILLISECONDS": 20,
        "target_liveintent.store.database:_SILENT_SECONDS": 0.05,
        "target_liveintent.store.postgres:_PAUSE": 0.05,
    },
}
"""A run that looks often whether the store is there again, and says soon that it waits for it."""


# What was delivered


def test_an_empty_file(target: Launcher, sandbox: Sandbox, tmp_path: Path) -> None:
    """A program may have created it, but if it is what is left of a store, events go out again."""
    warning = "exists but is empty, so the run begins a new store"
    path = tmp_path / "empty.sqlite"
    for is_there in (False, True):
        if is_there:
            path.write_bytes(b"")
        run = target.run(schema(), *orders(1), state(1), store=str(path))
        assert (run.code, run.states, warning in run.log) == (0, [1], is_there)
        again = target.run(store=str(path))
        assert (again.code, warning in again.log) == (0, False)
    assert sandbox.stats.accepted == 2


@pytest.mark.promise("A confirmed event is not sent again")
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


@pytest.mark.promise("A confirmed event is not sent again")
def test_a_second_run_after_the_window(to_server: Launcher, server: FaultyServer) -> None:
    """An event that was delivered stays delivered when it is read again as an old one.

    Events that nobody delivered become dead letters, and do not count for the setting `limit`.
    """
    messages = [schema(), *orders(3, event_time=int(time.time()) - 8 * DAY), state(1)]
    later = {"target_liveintent.conversions.event_model:MARGIN": -2 * DAY}
    assert to_server.run(*messages, constants=later).summary["total"].delivered == 3
    older = [order(n, event_time=int(time.time()) - 8 * DAY) for n in range(10, 20)]
    for limit in ({}, {"limit": 1}):
        again = to_server.run(messages[0], *older, *messages[1:], order(30), **limit)
        assert again.code == 0
        counts = again.summary["total"]
        assert counts.drops == {"already_sent": 3 if not limit else 4}
        assert counts.reasons == {"event_too_old": 10}
    assert len(server.requests) == 2


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
            f" {now['pixel_id']}. Earlier runs with this store sent 3 events for customer ID a-1b2c"
            f" and pixel {2001 if 'pixel_id' in changes else 2002}. This run sends these events"
        )
        # Two loaders may share a store: of a pixel that is known, nothing is said.
        assert to_server.run(*messages, **{**settings, **changes}).warnings == []
    assert to_server.run(*messages, **settings).warnings == []
    assert to_server.ask("replay", **{**settings, "pixel_id": 2003}).warnings == []
    assert sum(len(one.events) for one in server.requests) == 9


def test_what_was_confirmed(to_server: Launcher, server: FaultyServer) -> None:
    """What a 204 or a 200 that names the others confirmed is kept, and nothing else.

    Another run sends all again that no 204 has confirmed.
    """

    def answer(request: Request) -> Reply:
        if "order-150" in request.ids:
            return Reply(200, json.dumps(["order-150", "order-151"]).encode())
        if any(int(name.partition("-")[2]) >= 200 for name in request.ids):
            return Reply(200, b"[]")  # Some, it does not say which.
        return Reply(400) if "order-7" in request.ids else Reply()

    server.answer = answer
    orders = [order(n, event_id=f"order-{n}", order_id=f"#{n}") for n in range(300)]
    messages = [schema(columns=(*WITH_ID, "order_id")), *orders, state(1)]
    run = to_server.run(*messages, keep_delivered=True)
    assert (run.code, run.states) == (0, [1])
    shown = to_server.ask("delivered")
    assert shown.code == 0
    assert "set keep_delivered: true" in shown.log
    found = [row["order_id"] for row in csv.DictReader(shown.stdout.splitlines())]
    assert sorted(found) == sorted({f"#{n}" for n in range(200)} - {"#7", "#150", "#151"})
    assert len(found) == run.summary["total"].delivered
    server.answer = lambda _: Reply()
    again = to_server.run(*messages).summary["total"]
    assert (again.drops, again.delivered) == ({"already_sent": 99}, 201)


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
    assert run.warnings == [
        "2 dead letters older than history_days (30) were deleted from the store"
    ]


# A store that is locked, away for a while, or read-only


def begin(target: Launcher, store: Path | str) -> Running:
    """Start a run, and wait for its first STATE."""
    run = target.start(store=str(store), **QUICK)
    run.send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    return run


@contextlib.contextmanager
def locked(store: Path | str) -> Iterator[None]:
    """Lock the store, as another program does."""
    if isinstance(store, str):
        with psycopg.connect(store) as database:
            database.execute("SELECT version FROM store FOR UPDATE")
            yield
        return
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def test_a_lock_during_a_run(target: Launcher, sandbox: Sandbox, store: Path | str) -> None:
    """The run says what it waits for, writes no STATE meanwhile, and goes on afterwards.

    SIGTERM ends it within two seconds, without a further STATE.
    """
    place = "tables" if isinstance(store, str) else "file"
    waits = f"another program locks the {place} of the store; the run waits for up to 30 seconds"
    run = begin(target, store)
    with locked(store):
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: waits in run.log, "its warning")
        assert (run.states, sandbox.stats.accepted) == ([1], 1)
    wait_until(lambda: run.states == [1, 2], "the STATE after it")
    assert (run.warnings, sandbox.stats.accepted) == ([waits], 2)
    with locked(store):
        run.send(*numbered(3)[2:], state(3))
        wait_until(lambda: run.log.count(waits) == 2, "its warning")
        start = time.monotonic()
        run.signal(signal.SIGTERM).wait()
        assert time.monotonic() - start < 2
    assert (run.code, run.states) == (143, [1, 2])


@pytest.mark.postgres
def test_a_restart_during_a_run(
    target: Launcher, sandbox: Sandbox, postgres: Postgres, store_url: str
) -> None:
    """The run says what it waits for, goes on afterwards, and sends nothing twice."""
    gone = "the database of the store cannot be reached; the run waits for up to 20 seconds"
    run = begin(target, store_url)
    with postgres.stopped():
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: gone in run.log, "its warning")
        assert (run.states, sandbox.stats.accepted) == ([1], 1)
    run.close_input().wait()
    assert (run.code, run.states, run.warnings) == (0, [1, 2], [gone])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (2, 0)


_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def obey_permissions() -> None:
    """Take from root the right to write everywhere; others do not have it."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0) == 0


def run_in(folder: Path, target: Launcher) -> subprocess.CompletedProcess[str]:
    """Run over an event and a bad record, in a folder."""
    config = target.config(metrics_path=...)
    messages = lines([schema(), order(1), state(1), order(2, event_time="never"), state(2)])
    return subprocess.run(
        [sys.executable, *OPTIONS, "-m", "target_liveintent", "--config", str(config)],
        cwd=folder,
        env=target.env,
        input=messages.decode(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=obey_permissions,
    )


def test_a_read_only_place(to_server: Launcher, server: FaultyServer, tmp_path: Path) -> None:
    """No file is made and nothing is sent, whether the folder is read-only, or only the store."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    assert len(to_server.run(schema(), order(2, event_time="never")).letters) == 1
    for mode, has_store, said in (
        (0o500, False, f"store '{STORE}' cannot be used: Permission denied"),
        (0o500, True, "the file or its folder is read-only"),
        (0o700, True, f"store '{STORE}' cannot be used: Permission denied"),
    ):
        folder.chmod(0o700)
        if has_store:
            shutil.copy(to_server.store, folder)
            (folder / STORE).chmod(0o600 if mode == 0o500 else 0o400)
        folder.chmod(mode)
        done = run_in(folder, to_server)
        folder.chmod(0o700)
        assert (done.returncode, done.stdout, server.requests) == (2, "", [])
        assert said in done.stderr.splitlines()[-1]
        assert [path.name for path in folder.iterdir()] == [STORE] * has_store
