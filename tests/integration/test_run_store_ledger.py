"""The ledger over whole runs: what was delivered is sent by no later run, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faulty_server import Reply, in_turn
from integration_support import (
    STORE,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
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


def test_another_pixel(to_server: Launcher, server: FaultyServer) -> None:
    """The first run for a pixel or customer ID says how many events the store knows for another."""
    messages = [schema(), *orders(3), state(1)]
    settings = {"pixel_id": 2001}
    assert to_server.run(*messages, **settings).warnings == []
    for changes in ({"pixel_id": 2002}, {"customer_id": "b-2c3d"}):
        run = to_server.run(*messages, **{**settings, **changes})
        (warning,) = run.warnings
        now = {"customer_id": "a-1b2c", "pixel_id": 2001, **changes}
        assert warning.startswith(
            f"this is the first run for customer ID {now['customer_id']} and pixel"
            f" {now['pixel_id']}. The runs for customer ID a-1b2c and pixel"
            f" {2001 if 'pixel_id' in changes else 2002} in the store have sent 3 events, which are"
            " sent again"
        )
        # Two loaders may share a store: of a pixel that is known, nothing is said.
        assert to_server.run(*messages, **{**settings, **changes}).warnings == []
    assert to_server.run(*messages, **settings).warnings == []
    assert to_server.ask("replay", **{**settings, "pixel_id": 2003}).warnings == []
    assert sum(len(one.events) for one in server.requests) == 9


def test_where_the_file_is(target: Launcher) -> None:
    """It is the only file that a run makes without a setting for it, and its owner's alone."""
    assert target.run(schema(), *orders(3), metrics_path=...).code == 0
    made = {one.name: one.stat().st_mode & 0o777 for one in target.folder.iterdir()}
    del made["config-0.json"], made["input-0.singer"]
    assert made == {STORE: 0o600}


def test_a_dry_run_only_reads(target: Launcher, store: Path | str) -> None:
    """It knows what was delivered, and its own repeats; it writes nothing."""
    messages = [schema(), *orders(3), state(1)]
    assert target.run(*messages, store=str(store)).code == 0
    files = target.store_files
    run = target.run(*messages, order(9), order(9), dry_run=True, store=str(store))
    assert (run.code, run.warnings) == (0, [])
    total = run.summary["total"]
    assert (total.delivered, total.drops["already_sent"]) == (1, 4)
    assert target.store_files == files


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
