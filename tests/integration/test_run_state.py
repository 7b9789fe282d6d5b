"""Which STATE is written, and when."""

from __future__ import annotations

import itertools
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


def test_state_in_the_flow(target: Launcher, sandbox: Sandbox) -> None:
    """STATE comes while records flow, not only at the end of a long input."""
    run = target.start(batch_size_rows=5, flush_interval_seconds=600, constants=OFTEN)
    run.send(schema(columns=WITH_ID))
    count = itertools.count()

    def one_more() -> bool:
        n = next(count)
        run.send(order(n, event_id=f"order-{n}"), state(n + 1))
        return len(run.out) >= 2

    wait_until(one_more, "two STATEs while records flow")
    assert sandbox.stats.accepted >= run.states[-1] > 0
    assert run.close_input().wait().code == 0


def test_state_as_it_came(target: Launcher) -> None:
    """A STATE goes out byte for byte, floats and all."""
    value = '{ "b" : {"c":12345678901234567890.1234567890,"caf\\u00e9":"é","n": -0.0, "m": 1e5} }'
    run = target.run(schema(), order(1), f'{{"type": "STATE", "value": {value}}}')
    assert (run.code, run.stdout) == (0, value)


# on_rejection


def test_fail_on_a_rejection(target: Launcher, sandbox: Sandbox) -> None:
    """With on_rejection fail, what precedes the bad record is delivered, with its STATE."""
    messages = [part for n, m in enumerate(numbered(5)) for part in (m, state(n))]
    messages[6]["record"]["event_time"] = None
    run = target.run(schema(columns=WITH_ID), *messages, on_rejection="fail")
    assert (run.code, run.states) == (1, [2])
    assert {e["eventId"] for e in sandbox.events} == {"order-0", "order-1", "order-2"}
    assert run.letters == []
    assert "missing_event_time" in run.last_line
    assert "order-3" in run.last_line


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


def test_too_many_letters_in_the_flow(target: Launcher) -> None:
    """The percentage is judged before each STATE, from 1,000 records on: an earlier one stays."""
    run = target.start(batch_size_rows=100, constants=OFTEN)
    run.send(schema(), *orders(100), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    run.send(*orders(1000, 1900, event_time="?"), state(2))
    run.wait()  # standard input is still open
    assert (run.code, run.states) == (1, [1])
    assert "max_dead_letter_percent" in run.last_line


# No stream is mapped

MAPS = {
    "public-orders": {
        "event_time": "event_time",
        "email": "email",
        "__else__": "__NULL__",
    }
}


def test_no_stream_mapped(target: Launcher, sandbox: Sandbox) -> None:
    """If records came and not one stream could be mapped, the run fails without STATE."""
    run = target.run(
        schema("public-order", columns=("id", "total")),
        order(1, "public-order"),
        state(1),
        stream_maps=MAPS,
    )
    assert (run.code, run.states, run.letters, sandbox.stats.requests) == (1, [], [], 0)
    assert "public-order" in run.last_line
    assert "public-orders" in run.last_line
    (hint,) = [w for w in run.warnings if "skipped" in w]
    assert "'public-orders'?" in hint
    assert run.summary["total"].unmapped == 1


def test_no_stream_mapped_while_running(target: Launcher) -> None:
    """While no stream could be mapped yet, no STATE is written either, on a slow tap too."""
    run = target.start(stream_maps=MAPS, constants=OFTEN)
    run.send(schema("public-order", columns=("id", "total")), order(1, "public-order"), state(1))
    wait_until(lambda: "skipped" in run.log, "the warning")
    threading.Event().wait(0.2)  # several looks at what is due
    early = run.states
    run.close_input().wait()
    assert (run.code, early, run.states) == (1, [], [])


def test_nothing_came(target: Launcher) -> None:
    """A run without records is done, whatever streams there are, and writes its STATE."""
    run = target.run(schema("public-order", columns=("id", "total")), state(1), stream_maps=MAPS)
    assert (run.code, run.states) == (0, [1])
