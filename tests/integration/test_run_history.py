"""Runs that leave a history in the store, which they share."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from faulty_server import Reply
from integration_support import OFTEN, SETTINGS, orders, schema, state, wait_until
from ledger_claims import ask

from target_liveintent.config import settings_of
from target_liveintent.reporting.history import USUAL, History, read_history
from target_liveintent.store import open_for_reading

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher


def history(launcher: Launcher) -> History:
    settings = settings_of({**SETTINGS, "api_url": launcher.api_url, "store": str(launcher.store)})
    return read_history(
        open_for_reading(settings), settings, dt.datetime.now(tz=dt.timezone.utc).date()
    )


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
