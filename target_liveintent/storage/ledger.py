"""The ledger: remembers across runs which events were delivered, so that none is sent twice.

Events come again after a crash between sending and STATE, or from a tap that repeats its last row
in each run. The ledger is an SQLite file with the key of each event. It keeps a key until the
event's age window closes; after that, the API refuses the event anyway.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion
from target_liveintent.errors import ConfigurationError, StorageError

_BUSY_SECONDS = 30.0
"""Seconds for which a run waits for another one that holds the file."""
_SQLITE_SECONDS = 0.5
"""Seconds of that for which SQLite waits at a time: Python obeys no signal during its wait."""
_RETRY_SECONDS = 0.05
"""Seconds between two tries, as SQLite does not wait for every lock."""


class Ledger:
    """The keys of delivered events.

    Args:
        path: The file; a new one can be read by its owner only.
        account: API URL and customer ID: events of another account have other keys.

    Attributes:
        locked: Whether the run waits at this moment for another process that holds the file.

    Raises:
        ConfigurationError: If the file cannot be used.
    """

    def __init__(
        self,
        path: str,
        account: Sequence[str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._clock, self._sleep = clock, sleep
        self.locked = False
        self._prefix = blake2b("\0".join((*account, "")).encode(), digest_size=16)
        self._underway: set[tuple[int, str, str]] = set()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=_SQLITE_SECONDS, isolation_level=None)
            # A commit survives SIGKILL without an fsync. A power cut may cost the last commits,
            # and the events of those are sent twice.
            self._execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            # Keys are spread over the whole file: with fewer checkpoints, SQLite writes each page
            # less often.
            self._db.execute("PRAGMA wal_autocheckpoint = 10000")
            self._execute(
                "CREATE TABLE IF NOT EXISTS delivered"
                " (key BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID"
            )
            self._execute("DELETE FROM delivered WHERE expires_at < ?", [int(clock.time())])
        except ValueError:
            msg = "ledger_path is no path of a file"
            raise ConfigurationError(msg) from None
        except (OSError, sqlite3.Error) as error:
            if hasattr(self, "_db"):
                self._db.close()
            raise ConfigurationError(str(self._failure(error))) from None

    def _execute(self, statement: str, values: Sequence[bytes | int] = ()) -> sqlite3.Cursor:
        """Execute a statement; while another process holds the file, wait and try again."""
        until = self._clock.monotonic() + _BUSY_SECONDS
        try:
            while True:
                try:
                    return self._db.execute(statement, values)
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or self._clock.monotonic() > until:
                        raise
                    self.locked = True
                self._sleep(_RETRY_SECONDS)
        finally:
            self.locked = False

    def begin(self, conversion: Conversion) -> bool:
        """Note that an event is being delivered; return False if it was noted already."""
        key = event_key(conversion)
        if key in self._underway:
            return False
        self._underway.add(key)
        return True

    def end(self, conversions: Iterable[Conversion], confirmed: Iterable[Conversion]) -> None:
        """Note that events have their outcome, and commit those that the API confirmed.

        Raises:
            StorageError: If the file cannot be written.
        """
        self._underway.difference_update(map(event_key, conversions))
        rows = sorted((self._key(conversion), conversion.expires_at) for conversion in confirmed)
        if not rows:
            return
        try:
            self._execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO delivered VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        """Return the events that were not delivered before; of equal ones, the first.

        Raises:
            StorageError: If the file cannot be read.
        """
        by_key = {self._key(conversion): conversion for conversion in reversed(conversions)}
        marks = ",".join("?" * len(by_key))
        query = f"SELECT key FROM delivered WHERE key IN ({marks})"  # noqa: S608 (marks only)
        try:
            for (key,) in self._execute(query, list(by_key)):
                del by_key[key]
        except sqlite3.Error as error:
            raise self._failure(error) from None
        return list(reversed(by_key.values()))

    def _key(self, conversion: Conversion) -> bytes:
        digest = self._prefix.copy()
        digest.update("\0".join(map(str, event_key(conversion))).encode(errors="replace"))
        return digest.digest()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _failure(self, error: Exception) -> StorageError:
        reason = getattr(error, "strerror", None) or str(error)
        return StorageError(f"ledger_path '{self._path}' cannot be used: {reason}")


def event_key(conversion: Conversion) -> tuple[int, str, str]:
    """Return what identifies an event among all events of an account."""
    return conversion.pixel_id, conversion.stream, conversion.event_id
