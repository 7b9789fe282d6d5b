"""Which STATE is written, and when."""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply, Request
from integration_support import DAY, WITH_ID, numbered, order, orders, schema, state, wait_until

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox


def with_states(count: int) -> list[dict[str, object]]:
    """Return that many orders, each followed by a STATE that says how many came before it."""
    return [part for n, m in enumerate(numbered(count)) for part in (m, state(n + 1))]


def test_never_ahead(target: Launcher, sandbox: Sandbox) -> None:
    """When a STATE appears, everything before it has arrived, in whatever order answers come."""
    for _ in range(6):
        sandbox.add_faults(
            {"kind": "latency", "seconds": 0.2, "probability": 0.5},
            {"kind": "status", "status": 500, "probability": 0.3},
        )
    seen: list[tuple[int, set[str]]] = []

    def look(line: str) -> None:
        seen.append((json.loads(line), {e["eventId"] for e in sandbox.events}))

    run = target.run(schema(columns=WITH_ID), *with_states(400), batch_size_rows=10, on_stdout=look)
    assert run.code == 0
    assert seen[-1][0] == 400
    for number, arrived in seen:
        assert {f"order-{n}" for n in range(number)} <= arrived


def test_state_waits_for_the_oldest_batch(to_server: Launcher, server: FaultyServer) -> None:
    """A batch that hangs holds back the STATE after it, though later batches are delivered."""
    gate = threading.Event()

    def answer(request: Request) -> Reply:
        if "order-4" in request.ids:
            server.hold(gate)
        return Reply()

    server.answer = answer
    run = to_server.start(batch_size_rows=2)
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
    """On a silent tap, what waits is sent after the interval, and its STATE is written soon."""
    run = target.start(flush_interval_seconds=1).started()
    began = time.monotonic()
    run.send(schema(), order(1), state({"n": 1}))
    wait_until(lambda: run.out, "STATE while standard input is open")
    assert run.states == [{"n": 1}]
    assert sandbox.stats.accepted == 1
    # A look once a second at what is due: interval and look, and something for a busy machine.
    assert 0.9 <= run.out[0].at - began < 4
    assert run.close_input().wait().code == 0
    assert run.states == [{"n": 1}]


def test_state_without_records(target: Launcher) -> None:
    """A STATE that waits for nothing is written soon, and the same one is not written twice."""
    run = target.start(flush_interval_seconds=600)
    run.send(schema(), state({"n": 1}))
    wait_until(lambda: run.states, "STATE while standard input is open", 10)
    run.send(state({"n": 1})).close_input().wait()
    assert (run.code, run.states) == (0, [{"n": 1}])


def test_state_in_the_flow(target: Launcher, sandbox: Sandbox) -> None:
    """STATE comes while records flow, not only at the end of a long input."""
    run = target.start(batch_size_rows=5, flush_interval_seconds=600)
    run.send(schema(columns=WITH_ID))
    count = itertools.count()

    def one_more() -> bool:
        n = next(count)
        run.send(order(n, event_id=f"order-{n}"), state(n + 1))
        return len(run.out) >= 2

    wait_until(one_more, "two STATEs while records flow")
    assert sandbox.stats.accepted >= run.states[-1] > 0
    assert run.close_input().wait().code == 0


STRANGE_STATES = [
    '{"a": 1.50, "b": 1e5, "c": 12345678901234567890.123456789012345678901}',
    '{ "bookmarks" : {"orders":{"at":"2026-08-01T00:00:00+00:00","n": -0.0}} }',
    '{"caf\\u00e9": "é", "big": 123456789012345678901234567890}',
]


@pytest.mark.parametrize("value", STRANGE_STATES)
def test_state_as_it_came(target: Launcher, value: str) -> None:
    """A STATE goes out byte for byte, floats and all."""
    run = target.run(schema(), order(1), f'{{"type": "STATE", "value": {value}}}')
    assert (run.code, run.stdout) == (0, value)


def test_letters_before_state(to_server: Launcher, server: FaultyServer) -> None:
    """The letter of a record is in the file when the STATE after it appears."""
    found = []
    file = to_server.folder / "liveintent-dead-letters.singer"
    run = to_server.run(
        schema(),
        order(1),
        order(2, event_time="yesterday"),
        state(1),
        on_stdout=lambda _: found.append(
            file.exists() and "invalid_event_time" in file.read_text()
        ),
    )
    assert (run.code, found) == (0, [True])


# on_rejection


def test_fail_on_a_rejection(target: Launcher, sandbox: Sandbox) -> None:
    """With on_rejection fail, what precedes the bad record is delivered, with its STATE."""
    messages = [part for n, m in enumerate(numbered(5)) for part in (m, state(n))]
    messages[6]["record"]["event_time"] = None
    run = target.run(schema(columns=WITH_ID), *messages, on_rejection="fail")
    assert (run.code, run.states) == (1, [2])
    assert {e["eventId"] for e in sandbox.events} == {"order-0", "order-1", "order-2"}
    assert not (target.folder / "liveintent-dead-letters.singer").exists()
    assert "missing_event_time" in run.last_line
    assert "order-3" in run.last_line


@pytest.mark.parametrize("place", ["file", "environment"])
def test_the_old_name_of_the_setting(target: Launcher, place: str) -> None:
    """It does the same, and a warning names the new one."""
    settings = {"on_invalid": "fail"} if place == "file" else {}
    env = {} if settings else {"TARGET_LIVEINTENT_ON_INVALID": "fail"}
    config = target.config(**settings)
    run = target.command("--config", str(config), "--config=ENV", env=env)
    run.send(schema(columns=WITH_ID), *numbered(1, event_time=None)).close_input().wait()
    warning = "setting 'on_invalid' has been renamed: use 'on_rejection' instead"
    assert (run.code, run.warnings[:-1]) == (1, [warning])
    assert "missing_event_time" in run.last_line


def test_two_names_and_two_values(target: Launcher, sandbox: Sandbox) -> None:
    """What is meant cannot be known, so it is an error of the configuration."""
    run = target.run(schema(), order(1), on_invalid="fail", on_rejection="dead_letter")
    assert (run.code, sandbox.stats.requests) == (2, 0)
    assert "remove 'on_invalid'" in run.last_line


def test_fail_on_a_failed_map(target: Launcher, sandbox: Sandbox) -> None:
    """With on_rejection fail, an expression that raises ends the run as any rejection does."""
    maps = {"orders": {"event_time": "event_time", "email": "email", "value": "float(value)"}}
    run = target.run(
        schema(),
        order(1),
        state(1),
        order(2, value="jane@example.com"),
        state(2),
        on_rejection="fail",
        stream_maps=maps,
    )
    assert (run.code, run.states, sandbox.stats.accepted) == (1, [1], 1)
    assert "mapping_failed" in run.last_line
    assert "jane" not in run.log


# max_dead_letter_percent


def some_bad(good: int, bad: int, **columns: object) -> list[dict[str, object]]:
    return [*orders(good), *orders(good, good + bad, **columns)]


def test_too_many_letters(target: Launcher) -> None:
    """Above max_dead_letter_percent the run fails without STATE, and says why."""
    run = target.run(schema(), *some_bad(49, 51, event_time="?"), state(1))
    assert (run.code, run.states) == (1, [])
    assert "max_dead_letter_percent" in run.last_line
    assert "invalid_event_time" in run.last_line
    assert len(run.letters) == 51
    assert run.summary["total"].adds_up


@pytest.mark.parametrize(
    ("good", "bad", "columns"),
    [
        (50, 50, {"event_time": "?"}),
        (1, 98, {"event_time": "?"}),
        (0, 9, {"event_time": "?"}),
        (0, 120, {"email": None}),
        (0, 120, {"event_time": int(time.time()) - 40 * DAY}),
    ],
    ids=["just-as-many", "fewer-than-100", "fewer-than-10", "no_identity", "event_too_old"],
)
def test_not_too_many_letters(
    target: Launcher, good: int, bad: int, columns: dict[str, object]
) -> None:
    """Up to the percentage, below 100 records, and for what any honest run has, nothing fails."""
    run = target.run(schema(), *some_bad(good, bad, **columns), state(1))
    assert (run.code, run.states) == (0, [1])
    assert len(run.letters) == bad


def test_too_many_letters_in_the_flow(target: Launcher) -> None:
    """The percentage is judged before each STATE, from 1,000 records on: an earlier one stays."""
    run = target.start(flush_interval_seconds=1)
    run.send(schema(), *orders(100), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    run.send(*orders(1000, 1900, event_time="?"), state(2))
    run.wait()  # standard input is still open
    assert (run.code, run.states) == (1, [1])
    assert "max_dead_letter_percent" in run.last_line


def test_percentage_of_none(target: Launcher) -> None:
    """With max_dead_letter_percent 0, one letter in 100 records is too many."""
    run = target.run(
        schema(), *some_bad(99, 1, event_time="?"), state(1), max_dead_letter_percent=0
    )
    assert (run.code, run.states) == (1, [])


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
    run = target.start(stream_maps=MAPS, flush_interval_seconds=1)
    run.send(schema("public-order", columns=("id", "total")), order(1, "public-order"), state(1))
    wait_until(lambda: "skipped" in run.log, "the warning")
    pause = threading.Event()
    pause.wait(1.3)  # a look at what is due
    early = run.states
    run.close_input().wait()
    assert (run.code, early, run.states) == (1, [], [])


def test_nothing_came(target: Launcher) -> None:
    """A run without records is done, whatever streams there are, and writes its STATE."""
    run = target.run(schema("public-order", columns=("id", "total")), state(1), stream_maps=MAPS)
    assert (run.code, run.states) == (0, [1])


def test_empty_input(target: Launcher) -> None:
    """An empty input is a run without records."""
    run = target.run()
    assert (run.code, run.stdout) == (0, "")
