"""Runs that share a store at the same time, in a file and in a database: each event goes once."""

from pathlib import Path
from typing import Any

from faulty_server import FaultyServer, Reply
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
from ledger_claims import ask, count

from target_liveintent.sandbox import Sandbox

AT_ONCE = OFTEN | {
    "target_liveintent.reporting.progress:_LASTING_SECONDS": 0.05,
    "target_liveintent.run.stopping:STOP_RETRY_SECONDS": 0.1,
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


def test_a_run_waits_for_another_one(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """It says for which, writes no STATE meanwhile, and sends nothing that the other one sends."""
    server.answer = lambda _: Reply(held=True)
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.start(batch_size_rows=3, store=str(store)).send(*messages)
    wait_until(lambda: server.all_held, "the request")
    second = to_server.start(constants=AT_ONCE, store=str(store))
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
