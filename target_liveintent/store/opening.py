"""Opens what the setting `store` names: an SQLite file or a PostgreSQL database.

All functions raise a `ConfigurationError` if the setting names something that is no store, and a
`StorageError` if a database cannot be reached.
"""

from __future__ import annotations

from pathlib import Path

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.settings import Settings
from target_liveintent.store.database import Database, Waiting
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.sqlite import IN_MEMORY, SqliteStore


def open_store(  # noqa: PLR0913 (an argument for each option)
    settings: Settings,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    kind: str = "usual",
    waiting: Waiting | None = None,
    send_again: bool = False,
) -> RunStore:
    """Open the store for a run that sends events; create it if there is none. See `RunStore`."""
    database = open_for_writing(settings, clock, waiting)
    try:
        return RunStore(database, settings, run_id, clock, kind=kind, send_again=send_again)
    except BaseException:
        database.close()
        raise


def open_for_writing(
    settings: Settings, clock: Clock = SYSTEM_CLOCK, waiting: Waiting | None = None
) -> Database:
    """Open the database of the store; create it if there is none."""
    return _open(settings, clock, waiting or Waiting(clock), reads_only=False)


def open_for_reading(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> Database:
    """Open the store only for reading; return an empty one if no run has used it yet."""
    if settings.has_database_server or Path(settings.store).exists():
        database = _open(settings, clock, Waiting(clock), reads_only=True)
        if not database.is_new:
            return database
        database.close()
    return empty_store(clock)


def empty_store(clock: Clock = SYSTEM_CLOCK) -> Database:
    """Return an empty store that only this process sees."""
    return SqliteStore(IN_MEMORY, clock, Waiting(clock))


def _open(settings: Settings, clock: Clock, waiting: Waiting, *, reads_only: bool) -> Database:
    if not settings.has_database_server:
        return SqliteStore(settings.store, clock, waiting, reads_only=reads_only)
    from target_liveintent.store.postgres import PostgresStore  # noqa: PLC0415 (its libraries)

    return PostgresStore(settings.store, settings.max_retry_seconds, waiting, reads_only=reads_only)
