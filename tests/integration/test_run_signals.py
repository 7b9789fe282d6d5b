"""What a signal makes of a run, wherever it is, and other sudden ends."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from faulty_server import FaultyServer, Reply, Request
from integration_support import (
    WITH_ID,
    Launcher,
    Running,
    batch,
    lines,
    numbered,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from target_liveintent.sandbox import Sandbox

MAPS = {"orders": {}}


def read_all(run: Running, mark: str = "mark") -> None:
    """Wait until everything that was sent so far has been read."""
    run.send(schema(mark, ("id",)))
    wait_until(lambda: f"'{mark}'" in run.log, "the warning that no map names the marking stream")


def test_idle(target: Launcher, sandbox: Sandbox) -> None:
    """On an idle input, a signal delivers what waits, writes its STATE and ends, within seconds."""
    run = target.start(flush_interval_seconds=600, stream_maps=MAPS)
    run.send(schema(columns=WITH_ID), *numbered(3), state({"n": 3}))
    read_all(run)
    assert sandbox.stats.requests == 0
    run.signal(signal.SIGINT).wait(5)
    assert (run.code, run.states) == (130, [{"n": 3}])
    assert sandbox.stats.accepted == 3
    assert run.summary["total"].delivered == 3


def held(server: FaultyServer, gate: threading.Event, *ids: str) -> None:
    """Let requests with these events wait for a gate."""

    def answer(request: Request) -> Reply:
        if not ids or set(ids) & set(request.ids):
            server.hold(gate)
        return Reply()

    server.answer = answer


def test_in_a_request(to_server: Launcher, server: FaultyServer) -> None:
    """In the middle of a request, a signal waits for its answer, and STATE stands for it."""
    gate = threading.Event()
    held(server, gate)
    run = to_server.start(batch_size_rows=2, stream_maps=MAPS)
    run.send(schema(columns=WITH_ID), *numbered(2), state(2))
    wait_until(lambda: server.busy, "the request")
    read_all(run)
    run.signal(signal.SIGTERM)
    threading.Event().wait(0.2)  # the signal is on its way
    assert run.process.poll() is None
    gate.set()
    run.wait()
    assert (run.code, run.states, server.accepted) == (143, [2], ["order-0", "order-1"])
    assert len(server.requests) == 1


def test_in_back_pressure(to_server: Launcher, server: FaultyServer) -> None:
    """While reading waits for the only request, a signal stops reading; STATE is true."""
    gate = threading.Event()
    held(server, gate)
    run = to_server.start(batch_size_rows=50, max_concurrent_requests=1)  # It reads 33 batches.
    states = [part for n, m in enumerate(numbered(1_700)) for part in (m, state(n + 1))]
    run.send(schema(columns=WITH_ID), *states)
    wait_until(lambda: server.busy, "the request")
    run.signal(signal.SIGTERM)
    gate.set()
    run.wait()
    assert run.code == 143
    # The signal may come before the first STATE is read.
    assert max(run.states, default=0) <= len(server.accepted) <= 1_650
    assert set(server.accepted) == {f"order-{n}" for n in range(len(server.accepted))}


def test_signal_in_a_batch_file(to_server: Launcher, server: FaultyServer) -> None:
    """In the midst of a BATCH file, a signal stops reading, and no STATE passes the file."""
    gate = threading.Event()
    held(server, gate)
    path = to_server.folder / "rows.jsonl"
    path.write_bytes(lines(m["record"] for m in numbered(3000)))
    run = to_server.start(batch_size_rows=5, max_concurrent_requests=2, stream_maps=MAPS)
    run.send(schema(columns=WITH_ID), state(0), batch(path), state(1))
    wait_until(lambda: server.busy == 2, "requests of the file")
    run.signal(signal.SIGTERM)
    gate.set()
    run.wait()
    assert run.code == 143
    assert 1 not in run.states
    assert 0 < len(server.accepted) < 3000
    assert run.summary["total"].adds_up


def test_two_signals_for_one_stop(to_server: Launcher, server: FaultyServer) -> None:
    """SIGINT and SIGTERM at once, which Meltano sends for Ctrl-C, are one orderly stop."""
    gate = threading.Event()
    held(server, gate)
    run = to_server.start(batch_size_rows=2, stream_maps=MAPS)
    run.send(schema(columns=WITH_ID), *numbered(3), state(3))
    wait_until(lambda: server.busy, "the request")
    read_all(run)
    run.signal(signal.SIGINT).signal(signal.SIGTERM)
    threading.Event().wait(0.2)  # the signals are on their way
    gate.set()
    run.wait()
    assert run.code in {130, 143}
    assert run.states == [3]
    assert sorted(server.accepted) == ["order-0", "order-1", "order-2"]


def test_second_signal(to_server: Launcher, server: FaultyServer) -> None:
    """A second signal some time after the first ends a run that hangs, at once."""
    held(server, threading.Event())
    constants = {"target_liveintent.singer.signals:_REPEATED_SECONDS": 0.2}
    run = to_server.start(batch_size_rows=1, constants=constants)
    run.send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: server.busy, "the request")
    run.signal(signal.SIGTERM)
    threading.Event().wait(0.3)
    assert run.process.poll() is None
    run.signal(signal.SIGTERM).wait(5)
    assert (run.code, run.states) == (143, [])


def test_broken_stdout(target: Launcher, sandbox: Sandbox) -> None:
    """Where nobody reads STATE any more, the run ends non-zero with a readable last line."""
    run = target.start(read_stdout=False)
    run.send(schema(columns=WITH_ID), *numbered(2), state(2)).close_input().wait()
    assert run.code not in {0, None}
    assert sandbox.stats.accepted == 2
    assert "STATE" in run.last_line
    assert "Traceback" not in run.log
    assert "Exception ignored" not in run.log
