"""Runs that leave a history in the store, which they share."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from faulty_server import Reply
from integration_support import OFTEN, SETTINGS, order, orders, schema, state, wait_until
from ledger_claims import ask
from reporting_support import figures
from reporting_support import run as made_up_run

from target_liveintent.config import settings_of
from target_liveintent.reporting.history import USUAL, History, read_history, stored_text
from target_liveintent.store import open_for_reading

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher


def now() -> dt.datetime:
    return dt.datetime.now(tz=dt.timezone.utc)


def history(launcher: Launcher) -> History:
    settings = settings_of({**SETTINGS, "api_url": launcher.api_url, "store": str(launcher.store)})
    return read_history(open_for_reading(settings), settings, now().date())


def put(launcher: Launcher, days_ago: int, delivered: int) -> None:
    """Put a run of an earlier day into the store."""
    with launcher.earlier_run(days_ago) as store:
        streams = {"orders": figures(delivered, within_an_hour=delivered)}
        earlier = made_up_run(now() - dt.timedelta(days=days_ago), streams=streams)
        store.finish("done", stored_text(earlier))


def test_what_is_unusual_is_said_in_the_last_lines(to_server: Launcher) -> None:
    """After 15 days of history, a run without conversions warns, and the next one does not."""
    for days_ago in range(15, 0, -1):
        put(to_server, days_ago, 200)
    first = to_server.run(schema(), order(1, email=None), state(1))
    assert first.code == 0
    new_reason = "orders: unusual: 1 record was not sent because of a reason that has never"
    said = [one for one in first.warnings if "unusual" in one]
    assert (len(said), sum(one.startswith(new_reason) for one in said)) == (2, 1)
    assert "unusual" in first.last_line
    gauge = 'target_liveintent_unusual{rule="conversions",stream="orders"} 1.0'
    assert gauge in (to_server.folder / "run-0.prom").read_text()
    second = to_server.run(schema(), order(1, email=None), state(1))
    assert not [one for one in second.warnings if "unusual" in one]
    assert gauge in (to_server.folder / "run-1.prom").read_text()


def test_failed_stopped_and_killed_runs(to_server: Launcher, server: FaultyServer) -> None:
    """They are in the history, with what the last line of the log says.

    A run that was killed counts as failed half a minute later.
    """
    own = {"batch_size_rows": 2, "constants": OFTEN}
    stopped, killed = (
        to_server.start(**own).send(schema(), *orders(start, start + 2), state(1))
        for start in (0, 10)
    )
    for run in (stopped, killed):
        wait_until(lambda run=run: run.states, "a STATE")
    stopped.signal(15).wait()
    killed.kill()
    server.answer = lambda _: Reply(401)
    failed = to_server.run(schema(), *orders(2, 4))
    assert (stopped.code, failed.code) == (143, 1)
    (day,) = history(to_server).days
    first, second = day.runs
    assert (first.run_id, first.ending, first.kind) == (stopped.run_id, "stopped", USUAL)
    assert first.message == "stopped by SIGTERM"
    assert (second.run_id, second.ending) == (failed.run_id, "failed")
    assert second.message
    assert second.message in failed.last_line
    assert day.usual["orders"].delivered == 2
    assert ask(to_server.store, "SELECT ending FROM run ORDER BY ending") == [
        (None,),
        ("failed",),
        ("stopped",),
    ]
    query = "UPDATE run SET alive_until = alive_until - 30 WHERE id = ?"
    ask(to_server.store, query, killed.run_id)
    (day,) = history(to_server).days
    (dead,) = (one for one in day.runs if one.run_id == killed.run_id)
    assert (dead.ending, dead.message) == (
        "failed",
        "the run was killed, or the machine was switched off",
    )
