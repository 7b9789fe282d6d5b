"""Which STATE is written, and when."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from faulty_server import Reply, Request
from integration_support import OFTEN, WITH_ID, numbered, order, orders, schema, state, wait_until

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox


def with_states(count: int) -> list[dict[str, object]]:
    """Return that many orders, each followed by a STATE that says how many came before it."""
    return [part for n, m in enumerate(numbered(count)) for part in (m, state(n + 1))]


def test_state_waits_for_the_oldest_batch(to_server: Launcher, server: FaultyServer) -> None:
    """A batch that hangs holds back the STATE after it, though later batches are delivered."""
    gate = threading.Event()

    def answer(request: Request) -> Reply:
        if "order-4" in request.ids:
            server.hold(gate)
        return Reply()

    server.answer = answer
    run = to_server.start(batch_size_rows=2, constants=OFTEN)
    run.send(schema(columns=WITH_ID), *with_states(12))
    wait_until(lambda: len(server.accepted) == 10, "the other batches")
    wait_until(lambda: run.states and run.states[-1] == 4, "the STATE before the one that hangs")
    # A record more, and its delivery, after which a STATE that is due would have been written.
    run.send(*(order(f"x{n}", event_id=f"x{n}") for n in range(2)))
    wait_until(lambda: "x1" in server.accepted, "the batch after it")
    assert run.states[-1] == 4
    gate.set()
    wait_until(lambda: run.states[-1] == 12, "the STATE of all")
    run.close_input().wait()
    assert (run.code, run.states[-1]) == (0, 12)
    assert run.states == sorted(run.states)


def test_silent_tap(target: Launcher, sandbox: Sandbox) -> None:
    """On a silent tap, what waits is sent after the interval, and its STATE is written soon.

    A STATE that waits for nothing is written soon as well, and the same one is not written twice.
    """
    run = target.start(flush_interval_seconds=1, constants=OFTEN).started()
    run.send(schema(), state({"n": 0}))
    wait_until(lambda: run.out, "STATE while standard input is open")
    began = time.monotonic()
    run.send(order(1), state({"n": 1}))
    wait_until(lambda: len(run.out) == 2, "STATE while standard input is open")
    assert sandbox.stats.accepted == 1
    assert run.out[1].at - began >= 0.9
    assert run.send(state({"n": 1})).close_input().wait().code == 0
    assert run.states == [{"n": 0}, {"n": 1}]


def test_state_as_it_came(target: Launcher) -> None:
    """A STATE goes out byte for byte, floats and all."""
    value = '{ "b" : {"c":12345678901234567890.1234567890,"caf\\u00e9":"é","n": -0.0, "m": 1e5} }'
    run = target.run(schema(), order(1), f'{{"type": "STATE", "value": {value}}}')
    assert (run.code, run.stdout) == (0, value)


# on_rejection


# max_dead_letter_percent


def test_too_many_letters(target: Launcher) -> None:
    """Above max_dead_letter_percent the run fails without STATE, and says why."""
    bad = orders(49, 100, event_time="?")
    run = target.run(schema(), *orders(49), *bad, state(1))
    assert (run.code, run.states) == (1, [])
    assert "max_dead_letter_percent" in run.last_line
    assert "invalid_event_time" in run.last_line
    assert len(run.letters) == 51
    assert run.summary["total"].adds_up
    run = target.run(schema(), *orders(50), *bad[1:], state(1))
    assert (run.code, run.states) == (0, [1])


def test_no_stream_mapped(target: Launcher) -> None:
    """While no stream could be mapped yet, no STATE is written, on a slow tap either.

    If records came, the run fails. Without any, it is done.
    """
    maps = {"public-orders": {"event_time": "event_time", "email": "email"}}
    opening = schema("public-order", columns=("id", "total"))
    run = target.start(stream_maps=maps, constants=OFTEN)
    run.send(opening, order(1, "public-order"), state(1))
    wait_until(lambda: "skipped" in run.log, "the warning")
    threading.Event().wait(0.2)  # several looks at what is due
    early = run.states
    run.close_input().wait()
    assert (run.code, early, run.states) == (1, [], [])
    assert "public-order" in run.last_line
    run = target.run(opening, state(1), stream_maps=maps)
    assert (run.code, run.states) == (0, [1])
