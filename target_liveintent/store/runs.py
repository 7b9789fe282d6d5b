"""The rows of runs: written when a run begins and ends, and read for the history."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from target_liveintent.conversions.event_model import DAY
from target_liveintent.settings import Account, EventDefaults
from target_liveintent.store import deduplication
from target_liveintent.store.database import Database
from target_liveintent.store.deletion import delete_expired, expired_rows
from target_liveintent.store.layout import SqlRow, Step
from target_liveintent.store.places import tidy_up
from target_liveintent.store.reservations import LAPSE_SECONDS
from target_liveintent.store.unwritten import KEPT_SECONDS

TASK = "task"
"""The kind of a run that is a task of a Spark write. When the task ends, its row is deleted."""
_ADD_RUN = (
    "INSERT INTO run (number, id, kind, customer_id, api_host, pixel_id, started_at, alive_until)"
    " VALUES (?, ?, ?, ?, ?, ?, {now}, {now} + ?) ON CONFLICT DO NOTHING"
)
_NEWEST_EVENTS = "SELECT key FROM event ORDER BY key DESC LIMIT ?"
_LAST_OF_OTHERS = (
    "SELECT customer_id, pixel_id FROM run WHERE number = (SELECT number FROM run"
    " WHERE api_host = ? AND kind <> 'task' AND id <> ? ORDER BY started_at DESC, id DESC LIMIT 1)"
    " AND NOT EXISTS (SELECT 1 FROM run WHERE customer_id = ? AND api_host = ?"
    " AND coalesce(pixel_id, 0) = ? AND id <> ?)"
)
"""The last other run at the same API host, if no other run is for the same account and pixel."""
_OLD = "started_at < {now} - ? AND alive_until < {now} - ?"
_TIDY_UP = (
    # (The reservations stay as long as the row of the run, as it may only be suspended.)
    f"DELETE FROM reservation WHERE run IN (SELECT number FROM run WHERE {_OLD})",  # noqa: S608
    f"DELETE FROM run WHERE {_OLD}",  # noqa: S608
)
_END_RUN = (
    "UPDATE run SET alive_until = {now}, ended_at = ?, ending = ?, figures = ? WHERE number = ?"
)
_ENDED_RUNS = (
    "SELECT id, kind, alive_until, CAST(figures AS TEXT) FROM run WHERE kind <> 'task'"
    " AND customer_id = ? AND api_host = ? AND coalesce(pixel_id, 0) = ? AND started_at >= ?"
    " AND (ended_at IS NOT NULL OR alive_until < {now}) ORDER BY started_at, id"
)


class OtherRun(NamedTuple):
    """The customer and the pixel for which a run sent events."""

    customer_id: str
    pixel_id: int | None


class RunOptions(NamedTuple):
    """What the store must know about a run."""

    run_id: str
    kind: str  # `usual`, `replay`, `canary` (a run with the setting `limit`), or `TASK`.
    account: Account
    events: EventDefaults
    keep_delivered: bool
    send_again: bool  # Whether events that other runs delivered are sent once more.


class RunStart(NamedTuple):
    """What the store tells a run that begins."""

    number: int  # The key of its row; 0 if it has none.
    newest: Sequence[bytes]  # The keys of the newest events that were delivered before.
    former: OtherRun | None = None  # The last run, if none was for this account and pixel.
    expired_letters: int = 0  # How many dead letters older than `history_days` were deleted.


def begin_run(database: Database, options: RunOptions, *, history_days: int) -> RunStart:
    """Add the row of a run.

    Unless the run is a `TASK`, also delete the runs, dead letters and delivered events that are
    older than `history_days`, and the counts of events that no report reads any more.
    """
    run_id, kind, account = options.run_id, options.kind, options.account
    number = number_of(run_id)
    pixel_id = options.events.pixel_id
    steps = [
        Step(_ADD_RUN, [number, run_id, kind, *account, pixel_id, LAPSE_SECONDS]),
        newest_events(),
        Step(_LAST_OF_OTHERS, [account.host, run_id, *account, pixel_id or 0, run_id]),
    ]
    seconds = history_days * DAY
    if kind != TASK:
        steps += [Step(sql, [seconds, seconds]) for sql in _TIDY_UP]
        steps += tidy_up(KEPT_SECONDS)
        steps += expired_rows(seconds)
    _, newest, others, *tidied = database.transact(steps)
    return RunStart(
        number,
        [key for (key,) in newest],
        OtherRun(*others[0]) if others else None,
        delete_expired(database, seconds) if any(tidied) else 0,
    )


def number_of(run_id: str) -> int:
    """Return the number that stands for a run in the rows of all tables.

    It is a hash of the run's ID. Numbers that count the runs are not safe: a database that has lost
    the row of a run would give the same number to the next run, while the first one still writes.
    (The hash has 47 bits, which SQLite keeps in six bytes of each row.)
    """
    return int.from_bytes(blake2b(run_id.encode(), digest_size=6).digest(), "big") >> 1


def newest_events() -> Step:
    """Return the step that asks for the keys of the newest events that were delivered."""
    return Step(_NEWEST_EVENTS, [deduplication.RECENT])


def end_of_run(number: int, now: float, ending: str, figures: str) -> Step:
    """Return the step that saves how and when (Unix time) a run ended, and its figures as JSON."""
    return Step(_END_RUN, [now, ending, figures, number])


def removal_of_run(number: int) -> Step:
    """Return the step that deletes the row of a run."""
    return Step("DELETE FROM run WHERE number = ?", [number])


def runs_in(
    database: Database, account: Account, pixel_id: int | None, since: float
) -> list[SqlRow]:
    """Return the ended runs of an account and pixel that began since a Unix time, in order.

    Each row has the ID, the kind, the Unix time of the end, and the figures as JSON. For a killed
    run, this time is up to 30 seconds after the end, and the figures are None.
    """
    return database.read(_ENDED_RUNS, [*account, pixel_id or 0, since])
