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

from target_liveintent.store.layout import APPLICATION_ID, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    f"the file of the store, '{STORE}', was deleted, moved or replaced during the run. Put it back,"
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


def test_a_lock_during_a_run(target: Launcher, sandbox: Sandbox) -> None:
    """The run says what it waits for, writes no STATE meanwhile, and goes on afterwards."""
    run = begin(target)
    with locked(target.store):
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: WAITS in run.log, "its warning")
        assert (run.states, sandbox.stats.accepted) == ([1], 1)
    run.close_input().wait()
    assert (run.code, run.states, run.warnings) == (0, [1, 2], [WAITS])
    assert sandbox.stats.accepted == 2


def test_a_lock_before_a_run(target: Launcher, sandbox: Sandbox) -> None:
    """The run waits before it reads any input."""
    assert target.run(schema()).code == 0
    with locked(target.store):
        run = target.start(**QUICK).send(schema(), order(1), state(1)).close_input()
        wait_until(lambda: WAITS in run.log, "its warning")
        assert sandbox.stats.requests == 0
    assert run.wait().code == 0
    assert (run.states, sandbox.stats.accepted) == ([1], 1)


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


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_lock_that_stays(target: Launcher, sandbox: Sandbox, moment: str) -> None:
    """It ends the run after half a minute."""
    constants = QUICK["constants"] | {"target_liveintent.store.sqlite:_LOCK_SECONDS": 0.2}
    if moment == "before":
        assert target.run(schema()).code == 0
        with locked(target.store):
            run = target.start(constants=constants).wait()
    else:
        run = begin(target, constants=constants)
        with locked(target.store):
            run.send(*numbered(2)[1:], state(2)).wait()
    assert run.code == 1
    assert run.last_line == (
        f"store '{STORE}' cannot be used: another program, such as another run, keeps the file"
        " locked"
    )
    assert len(run.states) == sandbox.stats.accepted == int(moment == "during")


# A file that goes


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_the_file_goes_during_a_run(target: Launcher, sandbox: Sandbox, how: str) -> None:
    """The run ends before the next STATE, and says what to do; the file may be put back."""
    run = begin(target)
    away = target.folder / "away"
    target.store.rename(away)
    if how == "deleted":
        away.unlink()
    elif how == "replaced":
        target.store.touch()
    run.send(*numbered(2)[1:], state(2)).close_input().wait()
    assert (run.code, run.states, run.last_line) == (1, [1], PUT_BACK)
    assert run.log.count(PUT_BACK) == 1
    if how == "moved":
        away.rename(target.store)
        again = target.run(schema(columns=WITH_ID), *numbered(2), state(2))
        assert (again.code, again.states) == (0, [2])
        assert again.summary["total"].drops["already_sent"] >= 1


# What is no store


def make_other(path: Path) -> None:
    """Make the database of another program."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE event (id)")


def make_newer(path: Path) -> None:
    """Make a store of a newer version."""
    make_other(path)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {VERSION + 1}")


def make_fifo(path: Path) -> None:
    """Make a named pipe."""
    os.mkfifo(path, 0o640)


NO_FILE = "setting 'store' must name an ordinary file"
NO_STORE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_text("id,email\n" * 999), "file is not a database. "),
    "another program's": (make_other, "the file is a database of another program. Set store to"),
    "newer": (make_newer, "a newer version of target-liveintent wrote the file. Upgrade"),
    "a FIFO": (make_fifo, NO_FILE),
    "a folder": (lambda path: path.mkdir(), NO_FILE),
}


@pytest.mark.parametrize("what", NO_STORE)
def test_what_is_no_store(target: Launcher, sandbox: Sandbox, what: str) -> None:
    """It ends the run before anything is read, and stays as it is."""
    make, said = NO_STORE[what]
    make(target.store)
    before = target.store.stat().st_mode, target.store.is_file() and target.store.read_bytes()
    run = target.start().wait()  # Standard input is still open.
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len(run.warnings) == 1
    begin = said if said == NO_FILE else f"store '{STORE}' cannot be used: {said}"
    assert run.last_line.startswith(begin)
    assert "Traceback" not in run.log
    after = target.store.stat().st_mode, target.store.is_file() and target.store.read_bytes()
    assert after == before
    assert [path.name for path in target.folder.glob(f"{STORE}*")] == [STORE]


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
    """No file is made and nothing is sent; a store that is there can be read."""
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
    shown = run_in(read_only, to_server, "dead-letters")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("Dead letters in the store: 1, ")
    assert [path.name for path in read_only.iterdir()] == [STORE]


def test_a_read_only_file(to_server: Launcher, server: FaultyServer) -> None:
    """Nothing is sent, and the file stays as it is."""
    assert to_server.run(schema()).code == 0
    to_server.store.chmod(0o400)
    before = to_server.store_files
    done = run_in(to_server.folder, to_server)
    assert (done.returncode, done.stdout, server.requests) == (2, "", [])
    assert f"store '{STORE}' cannot be used: Permission denied" in done.stderr.splitlines()[-1]
    assert to_server.store_files == before
    assert to_server.store.stat().st_mode & 0o777 == 0o400
