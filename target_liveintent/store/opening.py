"""From the setting `store` to what it names: a file of SQLite's, or a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.settings import Settings
from target_liveintent.store.database import Database, Waiting
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.sqlite import SqliteStore


def open_store(  # noqa: PLR0913 (an argument for each option)
    settings: Settings,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    kind: str = "usual",
    waiting: Waiting | None = None,
    send_again: bool = False,
) -> RunStore:
    """Open the store for a run that sends events; create it if there is none.

    Args:
        settings: The settings.
        run_id: The ID of the run.
        clock: Tells the time.
        kind: The kind of the run; see `RunStore`.
        waiting: How it waits; by default, silently.
        send_again: Whether events that other runs delivered are sent once more.

    Raises:
        ConfigurationError: If the setting names something that is no store.
        StorageError: If a database cannot be reached.
    """
    database = open_for_writing(settings, clock, waiting)
    try:
        return RunStore(database, settings, run_id, clock, kind=kind, send_again=send_again)
    except BaseException:
        database.close()
        raise


def open_for_writing(
    settings: Settings, clock: Clock = SYSTEM_CLOCK, waiting: Waiting | None = None
) -> Database:
    """Open the database of the store; create it if there is none. Raises as `open_store`."""
    return _open(settings, clock, waiting or Waiting(clock), reads_only=False)


def open_for_reading(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> Database | None:
    """Open the store to read it, without a change; None if no run has used it yet.

    Raises:
        ConfigurationError: If the setting names something that is no store.
        StorageError: If a database cannot be reached.
    """
    if not settings.has_database_server and not Path(settings.store).exists():
        return None
    database = _open(settings, clock, Waiting(clock), reads_only=True)
    if database.is_new:
        database.close()
        return None
    return database


def _open(settings: Settings, clock: Clock, waiting: Waiting, *, reads_only: bool) -> Database:
    if not settings.has_database_server:
        return SqliteStore(settings.store, clock, waiting, reads_only=reads_only)
    from target_liveintent.store.postgres import PostgresStore  # noqa: PLC0415 (its libraries)

    return PostgresStore(settings.store, settings.max_retry_seconds, waiting, reads_only=reads_only)
