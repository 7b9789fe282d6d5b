"""The file of the store in people's hands: locked, moved, replaced, read-only, or no store."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import (
    OFTEN,
    OPTIONS,
    STORE,
    WITH_ID,
    lines,
    numbered,
    order,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

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


def begin(target: Launcher, **how: Any) -> Running:
    """Start a run, and wait for its first STATE."""
    run = target.start(**{**QUICK, **how}).send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    return run


# A lock of another program


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file, as another program does."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def test_a_run_that_waits_for_a_lock_is_stopped(target: Launcher) -> None:
    """SIGTERM ends it within two seconds, without a further STATE, and it says what was wrong."""
    run = begin(target)
    with locked(target.store):
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: WAITS in run.log, "its warning")
        start = time.monotonic()
        run.signal(signal.SIGTERM).wait()
        assert time.monotonic() - start < 2
    assert (run.code, run.states) == (143, [1])
    assert "another program, such as another run, keeps the file locked" in run.log


# A file that goes


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


# What is no store


def test_what_is_no_store(target: Launcher, sandbox: Sandbox) -> None:
    """The database of another program ends the run before anything is read, and stays as it is."""
    with contextlib.closing(sqlite3.connect(target.store)) as database, database:
        database.execute("CREATE TABLE event (id)")
    before = target.store_files
    run = target.start().wait()  # Standard input is still open.
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    said = f"store '{STORE}' cannot be used: the file is a database of another program. Set store"
    assert run.last_line.startswith(said)
    assert "Traceback" not in run.log
    assert target.store_files == before


# What is read-only

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
    """No file is made and nothing is sent, also if there is a store."""
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
