"""Opens the store: in a file, in a PostgreSQL database, or for a dry run, which changes nothing.

All functions raise a `ConfigurationError` if the setting `store` names no store, and a
`StorageError` if a database cannot be reached.
"""

from __future__ import annotations

from pathlib import Path

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.settings import StoreSettings
from target_liveintent.store.database import Attempts, Database
from target_liveintent.store.run_store import DryStore, RunStore
from target_liveintent.store.runs import RunOptions, RunStart, begin_run, newest_events
from target_liveintent.store.sqlite import IN_MEMORY, SqliteStore

_USUAL_KIND = "usual"


def open_store(  # noqa: PLR0913 (an argument for each option)
    settings: StoreSettings,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
    attempts: Attempts | None = None,
    *,
    kind: str = _USUAL_KIND,
    send_again: bool = False,
) -> RunStore:
    """Open the store for a run; create it if there is none, unless the run is a dry run.

    `RunOptions` (runs.py) describes `kind` and `send_again`.
    """
    if settings.dry_run:
        database = open_for_reading(settings)
    else:
        database = open_database(settings, clock, attempts)
    try:
        if settings.dry_run:
            return dry_store_in(database, settings, run_id, clock, send_again=send_again)
        return run_store_in(database, settings, run_id, clock, kind=kind, send_again=send_again)
    except BaseException:
        database.close()
        raise


def run_store_in(  # noqa: PLR0913 (an argument for each option)
    database: Database,
    settings: StoreSettings,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    kind: str = _USUAL_KIND,
    send_again: bool = False,
) -> RunStore:
    """Begin a run in an open database: add its row to the table `run`.

    Unless the run is a task of Spark, this also deletes old rows; see `begin_run`.
    """
    options = _options(settings, run_id, kind, send_again=send_again)
    start = begin_run(database, options, history_days=settings.history_days)
    return RunStore(database, options, start, clock)


def dry_store_in(
    database: Database,
    settings: StoreSettings,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    send_again: bool = False,
) -> DryStore:
    """Begin a dry run in an open database: it only reads which events were delivered."""
    options = _options(settings, run_id, _USUAL_KIND, send_again=send_again)
    start = RunStart(0, [key for (key,) in database.ask(newest_events())])
    return DryStore(database, options, start, clock)


def _options(settings: StoreSettings, run_id: str, kind: str, *, send_again: bool) -> RunOptions:
    account, events, keeps_delivered = settings.account, settings.events, settings.keep_delivered
    return RunOptions(run_id, kind, account, events, keeps_delivered, send_again)


def open_database(
    settings: StoreSettings,
    clock: Clock = SYSTEM_CLOCK,
    attempts: Attempts | None = None,
    *,
    reads_only: bool = False,
) -> Database:
    """Open the database of the store; create it if there is none, unless it is only read."""
    attempts = attempts or Attempts(clock)
    if not settings.is_on_server:
        return SqliteStore(settings.place, clock, attempts, reads_only=reads_only)
    from target_liveintent.store.postgres import PostgresStore  # noqa: PLC0415 (its libraries)

    return PostgresStore(
        settings.place, settings.max_retry_seconds, attempts, reads_only=reads_only
    )


def open_for_reading(settings: StoreSettings, clock: Clock = SYSTEM_CLOCK) -> Database:
    """Open the store only for reading; return an empty store if no run has used it yet."""
    existing = open_existing(settings, clock)
    return empty_store(clock) if existing is None else existing


def open_existing(settings: StoreSettings, clock: Clock = SYSTEM_CLOCK) -> Database | None:
    """Open the store only for reading; return None if no run has used it yet."""
    if settings.is_on_server or Path(settings.place).exists():
        database = open_database(settings, clock, reads_only=True)
        if not database.is_new:
            return database
        database.close()
    return None


def empty_store(clock: Clock = SYSTEM_CLOCK) -> Database:
    """Return an empty store that only this process sees."""
    return SqliteStore(IN_MEMORY, clock, Attempts(clock))
