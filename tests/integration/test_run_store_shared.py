"""Runs that share a store at the same time, in a file and in a database: each event goes once."""

import contextlib
import signal
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faulty_server import FaultyServer, Reply
from integration_forks import TimeAhead
from integration_support import (
    OFTEN,
    WITH_ID,
    Launcher,
    Running,
    lines,
    numbered,
    order,
    schema,
    state,
    wait_until,
)
from store_tables import ask, count

from target_liveintent.sandbox import Sandbox

AT_ONCE = OFTEN | {
    "target_liveintent.run.progress:_LASTING_SECONDS": 0.05,
    "target_liveintent.run.stopping:STOP_RETRY_SECONDS": 0.1,
}
"""Constants of a run that says at once that it waits for another run, and then stops at once."""
SHORT_LEASE = OFTEN | {
    "target_liveintent.store.reservations:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.reservations:SURE_SECONDS": 0.4,
    "target_liveintent.store.reservations:_RENEWED_AFTER_SECONDS": 0.1,
}
"""Constants of a run whose reservations expire soon if it does not renew them."""


def start_all(launcher: Launcher, source: bytes, runs: int, **settings: Any) -> list[Running]:
    """Start runs over the same input at the same time."""
    path = launcher.folder / "input.singer"
    path.write_bytes(source)
    started = []
    for _ in range(runs):
        with path.open("rb") as stdin:
            started.append(launcher.start(stdin=stdin, **settings))
    return started


@pytest.mark.promise("Runs that overlap send each event once")
def test_runs_over_the_same_events(target: Launcher, sandbox: Sandbox, store: Path | str) -> None:
    """Each event goes once, each run ends well, with its STATE, and the store has all of them."""
    bad = [order(n, event_id=f"bad-{n}", event_time=None) for n in range(20)]
    source = lines([schema(columns=WITH_ID), *numbered(3_000), *bad, state(1)])
    runs = start_all(target, source, 3, store=str(store))
    for run in runs:
        run.wait(60)
        assert (run.code, run.states) == (0, [1]), run.log
        assert run.summary["total"].adds_up
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (3_000, 0)
    assert sum(run.summary["total"].delivered for run in runs) == 3_000
    found = [count(store, table) for table in ("event", "dead_letter", "reservation", "run")]
    assert found == [3_000, 20, 0, 3]
    assert ask(store, "SELECT DISTINCT ending FROM run") == [("done",)]
    assert bool(target.store_files) == (not isinstance(store, str))


@pytest.mark.promise("Runs that overlap send each event once")
@pytest.mark.parametrize("ahead", [0, 3_600, -3_600], ids=["now", "an hour later", "earlier"])
def test_a_run_waits_for_another_one(
    to_server: Launcher, server: FaultyServer, store: Path | str, ahead: int
) -> None:
    """It says for which, writes no STATE meanwhile, and sends nothing that the other one sends.

    So it does if its wall clock differs from that of the other run.
    """
    server.answer = lambda _: Reply(held=True)
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.start(batch_size_rows=3, store=str(store)).send(*messages)
    wait_until(lambda: server.all_held, "the request")
    clock = {"target_liveintent.clock:time": TimeAhead(ahead)}
    second = to_server.start(constants=AT_ONCE | clock, store=str(store))
    second.send(*messages).close_input()
    said = (
        f"run {first.run_id} is sending the same events (3) and has reserved them in the store;"
        " this run has been waiting for 0 s"
    )
    wait_until(lambda: said in second.log, "its line")
    assert second.states == []
    server.release()
    second.wait()
    first.close_input().wait()
    assert (first.code, second.code, second.states) == (0, 0, [1])
    assert second.summary["total"].drops == {"already_sent": 3}
    assert server.accepted == ["order-0", "order-1", "order-2"]


def is_stopped(run: Running) -> bool:
    """Return whether each thread is stopped; on a busy machine, some run on after a SIGSTOP."""
    threads = Path(f"/proc/{run.process.pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(") ")[2].startswith("T") for thread in threads)


def suspended(run: Running, store: Path | str) -> bool:
    """Suspend a run, unless it is in a transaction, which would lock the store for all others."""
    run.signal(signal.SIGSTOP)
    wait_until(lambda: is_stopped(run), "a stop of all its threads")
    try:
        if isinstance(store, str):
            ask(store, "SELECT version FROM store FOR UPDATE NOWAIT")
        else:
            with contextlib.closing(sqlite3.connect(store, timeout=0)) as file:
                file.execute("BEGIN IMMEDIATE")
    except (sqlite3.OperationalError, psycopg.OperationalError):
        run.signal(signal.SIGCONT)
        return False
    return True


@pytest.mark.promise("After a SIGKILL, a crash or a failure of the store")
@pytest.mark.parametrize(
    "constants",
    [
        pytest.param(SHORT_LEASE, id="short"),
        pytest.param({}, id="as users have it", marks=pytest.mark.slow),
    ],
)
def test_a_suspended_run_starts_no_request(
    to_server: Launcher, server: FaultyServer, store: Path | str, constants: dict[str, float]
) -> None:
    """Another run takes its events meanwhile. When the first one goes on, it sends nothing more.

    When the first run is suspended, both requests with which a run starts wait for their answers.
    Otherwise, a thread could be suspended between its last check and the first byte of a request.
    """
    server.answer = lambda _: Reply(held=True)
    source = lines([schema(columns=WITH_ID), *numbered(1_600), state(1)])
    how = {"batch_size_rows": 20, "max_concurrent_requests": 8, "store": str(store)}
    (first,) = start_all(to_server, source, 1, auth_token="first", constants=constants, **how)
    wait_until(lambda: server.all_held and server.busy == 2, "requests")
    wait_until(lambda: suspended(first, store), "a moment without a transaction")
    server.answer = lambda _: Reply()
    server.release()
    (second,) = start_all(to_server, source, 1, auth_token="second", constants=constants, **how)
    second.wait(60)
    assert (second.code, second.states) == (0, [1]), second.log
    first.signal(signal.SIGCONT)
    first.wait()
    assert "because the run was suspended for long" in first.log
    assert (first.code, first.states, server.arrivals["first"]) == (1, [], 2)
    assert server.delivered == {f"order-{n}" for n in range(1_600)}
