"""Runs that share a store at the same time, in a file and in a database: each event goes once."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply
from integration_support import OFTEN, WITH_ID, lines, numbered, order, schema, state, wait_until
from ledger_claims import ask, count

from target_liveintent.store.run_store import LAPSE

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer, Request
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox


AT_ONCE = OFTEN | {
    "target_liveintent.reporting.progress:_LASTING": 0.05,
    "target_liveintent.run.run:_STOP_RETRIES": 0.1,
}
"""Constants of a run that says at once that it waits for another run, and then stops at once."""


def start_all(launcher: Launcher, source: bytes, runs: int, **settings: Any) -> list[Running]:
    """Start runs over the same input at the same time."""
    path = launcher.folder / "input.singer"
    path.write_bytes(source)
    started = []
    for _ in range(runs):
        with path.open("rb") as stdin:
            started.append(launcher.start(stdin=stdin, **settings))
    return started


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


def events_known(store: Path | str) -> int:
    """Return how many events the store has."""
    try:
        return count(store, "event")
    except Exception:  # noqa: BLE001 (a run is just creating the tables)
        return 0


def test_one_of_three_is_killed(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """Its reservations hold for half a minute; then the others send what it was sending."""
    server.answer = lambda _: Reply(delay=0.02, held=len(server.accepted) >= 400)
    source = lines([schema(columns=WITH_ID), *numbered(2_000), state(1)])
    how = {"batch_size_rows": 20, "max_concurrent_requests": 4, "store": str(store)}
    first, *others = start_all(to_server, source, 3, constants=OFTEN, **how)
    wait_until(lambda: server.all_held, "the requests that get no answer")
    # So the store is told of all that was answered.
    wait_until(lambda: events_known(store) == len(server.delivered), "the first events")
    first.kill()
    of_first = [first.run_id]
    ((alive_until,),) = ask(store, "SELECT alive_until FROM run WHERE id = ?", *of_first)
    assert 0 < alive_until - time.time() <= LAPSE
    server.answer = lambda _: Reply(delay=0.02)
    server.release()
    wait_until(lambda: not server.busy, "the answers to the others")
    assert [run.process.poll() for run in others] == [None, None]
    ask(store, "UPDATE run SET alive_until = alive_until - ? WHERE id = ?", LAPSE, *of_first)
    for run in others:
        run.wait(60)
        assert (run.code, run.states) == (0, [1])
        assert run.summary["total"].adds_up
    assert server.delivered == {f"order-{n}" for n in range(2_000)}
    assert len(server.accepted) - 2_000 <= 4 * 20  # Four batches of the first run in flight.


@pytest.mark.parametrize("how", ["fails", "stopped"])
def test_reservations_are_given_back_at_once(
    to_server: Launcher, server: FaultyServer, how: str
) -> None:
    """A run that fails or is stopped leaves none, so the next one need not wait."""
    server.answer = lambda request: (
        Reply(401 if how == "fails" else 503, headers={"Retry-After": "100"})
        if "order-4" in request.ids
        else Reply()
    )
    messages = [schema(columns=WITH_ID), *numbered(10), state(1)]
    settings = {"batch_size_rows": 2, "max_concurrent_requests": 1}
    constants = {"target_liveintent.run.run:_STOP_RETRIES": 0.1}
    run = to_server.start(constants=constants, **settings).send(*messages)
    if how == "stopped":
        wait_until(lambda: any("order-4" in one.ids for one in server.requests), "the request")
        run.signal(signal.SIGTERM)
    run.close_input().wait()
    assert run.code == (1 if how == "fails" else 143)
    assert count(to_server.store, "reservation") == 0
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, **settings)
    assert (again.code, again.states) == (0, [1])
    assert sorted(server.accepted) == sorted(f"order-{n}" for n in range(10))


def test_a_run_waits_for_another_one(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """It says for which, writes no STATE meanwhile, and sends nothing that the other one sends."""
    gate = threading.Event()

    def answer(_: Request) -> Reply:
        server.hold(gate)
        return Reply()

    server.answer = answer
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.start(batch_size_rows=3, store=str(store)).send(*messages)
    try:
        wait_until(lambda: server.requests, "the request")
        second = to_server.start(constants=AT_ONCE, store=str(store))
        second.send(*messages).close_input()
        said = (
            f"run {first.run_id} is sending the same events (3) and has reserved them in the store;"
            " this run has been waiting for 0 s"
        )
        wait_until(lambda: said in second.log, "its line")
        assert second.states == []
    finally:
        gate.set()
    second.wait()
    first.close_input().wait()
    assert (first.code, second.code, second.states) == (0, 0, [1])
    assert second.summary["total"].drops == {"already_sent": 3}
    assert server.accepted == ["order-0", "order-1", "order-2"]
