"""The ledger over whole runs: what was delivered is sent by no later run, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, in_turn, refusing
from integration_support import (
    OFTEN,
    STORE,
    TOKEN,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import count

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox


# A second run


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


def test_another_pixel(to_server: Launcher, server: FaultyServer, store: Path | str) -> None:
    """The first run for a pixel or customer ID says how many events the store knows for another."""
    messages = [schema(), *orders(3), state(1)]
    settings = {"store": str(store), "pixel_id": 2001}
    assert to_server.run(*messages, **settings).warnings == []
    for changes in ({"pixel_id": 2002}, {"customer_id": "b-2c3d"}):
        run = to_server.run(*messages, **{**settings, **changes})
        (warning,) = run.warnings
        now = {"customer_id": "a-1b2c", "pixel_id": 2001, **changes}
        assert warning.startswith(
            f"this is the first run for customer ID {now['customer_id']} and pixel"
            f" {now['pixel_id']}, but the store knows 3 events that runs for customer ID a-1b2c and"
            f" pixel {2001 if 'pixel_id' in changes else 2002} have sent"
        )
        # Two loaders may share a store: of a pixel that is known, nothing is said.
        assert to_server.run(*messages, **{**settings, **changes}).warnings == []
    assert to_server.run(*messages, **settings).warnings == []
    assert to_server.ask("replay", **{**settings, "pixel_id": 2003}).warnings == []
    assert sum(len(one.events) for one in server.requests) == 9


def test_send_again(target: Launcher, sandbox: Sandbox, store: Path | str) -> None:
    """With the option, a run sends delivered events once more, each once, and remembers them."""
    messages = [schema(), *orders(3), order(1), state(1)]
    for options in ([], ["--send-again"], ["--send-again"], []):
        run = target.run(*messages, options=options, store=str(store))
        assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (9, 6)
    assert run.summary["total"].drops == {"already_sent": 4}


@pytest.mark.parametrize("path", [..., None, "own.sqlite"], ids=["absent", "null", "own"])
def test_where_the_file_is(target: Launcher, path: Any) -> None:
    """It is the only file that a run makes without a setting for it, and its owner's alone."""
    assert target.run(schema(), *orders(3), metrics_path=..., store=path).code == 0
    made = {one.name: one.stat().st_mode & 0o777 for one in target.folder.iterdir()}
    del made["config-0.json"], made["input-0.singer"]
    assert made == {path if isinstance(path, str) else STORE: 0o600}


def test_in_a_meltano_project(target: Launcher) -> None:
    """A relative path, and the default, begin at the project's root, wherever the run is."""
    (target.folder / "project").mkdir()
    env = {"MELTANO_PROJECT_ROOT": str(target.folder / "project")}
    for path in (..., "own.sqlite"):
        assert target.run(schema(), metrics_path=..., env=env, store=path).code == 0
    made = {one.name for one in (target.folder / "project").iterdir()}
    assert made == {STORE, "own.sqlite"}
    assert not list(target.folder.glob("*.sqlite"))


def test_what_only_looks_makes_no_store(target: Launcher, sandbox: Sandbox) -> None:
    """Neither a dry run nor `explain` does."""
    dry = target.run(schema(), *orders(3), state(1), dry_run=True)
    explained = target.explain(schema(), *orders(3), state(1))
    assert [run.code for run in (dry, explained)] == [0, 0]
    assert sandbox.stats.requests == 0
    assert target.store_files == {}


@pytest.mark.parametrize("before", [False, True])
def test_a_dry_run_only_reads(target: Launcher, store: Path | str, before: bool) -> None:
    """It knows what was delivered, and its own repeats; it writes nothing."""
    messages = [schema(), *orders(3), state(1)]
    if before:
        assert target.run(*messages, store=str(store)).code == 0
    files = target.store_files
    run = target.run(*messages, order(9), order(9), dry_run=True, store=str(store))
    assert (run.code, run.warnings) == (0, [])
    total = run.summary["total"]
    assert (total.delivered, total.drops["already_sent"]) == ((1, 4) if before else (4, 1))
    assert target.store_files == files


# What is not remembered


def test_a_refused_event_is_not_remembered(to_server: Launcher, server: FaultyServer) -> None:
    """The good of its batch are; with a corrected row the event goes out."""
    server.answer = refusing("order-2")
    messages = [schema(columns=WITH_ID), *numbered(5), state(1)]
    first = to_server.run(*messages)
    assert first.summary["total"].reasons == {"refused_by_api": 1}
    assert count(to_server.store, "event") == 4
    server.answer = lambda _: Reply()
    server.requests.clear()
    again = to_server.run(*messages)
    assert [p.ids for p in server.requests] == [["order-2"]]
    assert again.summary["total"].drops == {"already_sent": 4}
    assert again.summary["total"].adds_up


def test_a_failed_run_remembers_what_was_confirmed(
    to_server: Launcher, server: FaultyServer
) -> None:
    """Whatever ended the run, the next one goes on where it stopped."""
    server.answer = lambda request: Reply(401) if "order-4" in request.ids else Reply()
    messages = [schema(columns=WITH_ID), *numbered(8), state(1)]
    how = {"batch_size_rows": 2, "max_concurrent_requests": 1}
    first = to_server.run(*messages, **how)
    assert (first.code, first.states) == (1, [])
    done = list(server.accepted)
    assert count(to_server.store, "event") == len(done) >= 4
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, **how)
    assert (again.code, again.states) == (0, [1])
    assert sorted(server.accepted) == [f"order-{n}" for n in range(8)]
    assert again.summary["total"].drops == {"already_sent": len(done)}


# What is the same event


def test_what_tells_events_apart(to_server: Launcher, server: FaultyServer) -> None:
    """Account, host, pixel ID and source stream do; all else, such as a rotated token, does not."""
    of_refunds = {"orders": {}, "refunds": {"__alias__": "orders", "event_id": "event_id"}}
    localhost = server.url.replace("127.0.0.1", "localhost")
    cases: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
        ("orders", {}, {}, False),
        ("orders", {"auth_token": TOKEN + "-of-today", "batch_size_rows": 7}, {}, True),
        ("orders", {"api_url": server.url + "/v2"}, {"value": -5, "email": "x@example.com"}, True),
        ("orders", {"pixel_id": 999}, {}, False),
        ("orders", {"customer_id": "b-9z9z"}, {}, False),
        ("orders", {"api_url": localhost}, {}, False),
        ("refunds", {"stream_maps": of_refunds}, {}, False),
    ]
    for stream, settings, columns, same in cases:
        row = order(1, stream, event_id="order-1", **columns)
        run = to_server.run(schema(stream, WITH_ID), row, **settings)
        expected = {"already_sent": 1} if same else {}
        assert (run.code, run.summary["total"].drops) == (0, expected), (stream, settings)
    assert len(server.accepted) == 5


# One event twice in a run


def test_twice_in_one_run(target: Launcher, sandbox: Sandbox) -> None:
    """Within one batch and over several, each event is sent once, and the totals add up."""
    rows = [order(n) for n in (1, 2, 1, 3, 2, 1, 4, 4, 4, 5)]
    run = target.run(schema(), *rows, state(1), batch_size_rows=2)
    assert (run.code, run.states) == (0, [1])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (5, 0)
    total = run.summary["total"]
    assert (total.read, total.delivered, total.drops) == (10, 5, {"already_sent": 5})
    assert total.adds_up


@pytest.mark.parametrize("batch_size_rows", [1, 100])
def test_thrice_when_the_first_two_are_refused(
    to_server: Launcher, server: FaultyServer, batch_size_rows: int
) -> None:
    """The third is delivered, as only what was delivered is skipped; no dead letter is left."""
    server.answer = lambda request: Reply(
        400 if any(event["purchaseData"].get("value") == 1 for event in request.events) else 204
    )
    rows = [order(7, event_id="order-7", value=value) for value in (1, 1, 2)]
    run = to_server.run(
        schema(columns=WITH_ID),
        *numbered(2),
        *rows,
        state(1),
        batch_size_rows=batch_size_rows,
    )
    assert (run.code, run.states) == (0, [1])
    assert sorted(server.accepted) == ["order-0", "order-1", "order-7"]
    total = run.summary["total"]
    assert (total.delivered, total.reasons, total.drops) == (3, {"refused_by_api": 2}, {})
    assert total.adds_up
    assert run.letters == []


def test_a_repeated_row_of_a_silent_tap(target: Launcher, sandbox: Sandbox) -> None:
    """A repeated row does not wait for ever for its batch to fill."""
    run = target.start(flush_interval_seconds=1, constants=OFTEN)
    run.send(schema(), order(1), order(1), order(2), state(1))
    wait_until(lambda: run.states == [1], "STATE")
    run.close_input().wait()
    assert run.code == 0
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (2, 0)


# Replay


def test_a_replay_knows_what_was_delivered(to_server: Launcher, server: FaultyServer) -> None:
    """Letters count under their source stream: what was delivered since is skipped."""
    server.answer = in_turn(Reply(200, b'["order-1", "order-2"]'))
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.run(*messages)
    assert first.summary["total"].reasons == {"not_processed": 2}
    (to_server.folder / "exported").write_text(to_server.exported())
    # The order came again, with its next edit, before anybody replayed.
    assert to_server.run(schema(columns=WITH_ID), numbered(2)[1]).code == 0
    replay = to_server.ask("replay", "exported")
    assert (replay.code, replay.letters) == (0, [])
    assert server.accepted == ["order-1", "order-2"]
    assert replay.summary["total"].drops == {"already_sent": 1}
    # And what a replay delivered, the tap's own rows know.
    again = to_server.run(*messages)
    assert server.accepted == ["order-1", "order-2", "order-0"]
    assert again.summary["total"].drops == {"already_sent": 2}
