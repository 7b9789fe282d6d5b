"""What was delivered, remembered across runs, so that nothing is sent twice.

A crash after sending and before STATE, or a tap that sends its boundary row again each time,
brings events that LiveIntent has already. The ledger is an SQLite file of their keys, each kept
until its window closes: after that the API refuses the event anyway.
"""

from __future__ import annotations

import os
import sqlite3
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from target_liveintent.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from target_liveintent.conversions.model import Conversion

_BUSY_SECONDS = 30.0
_LOOK_AGAIN = 0.05


class Ledger:
    """The keys of delivered events.

    Args:
        path: The file; made, for its owner only, if it is not there.
        account: What else tells events apart: API URL and customer ID.

    Raises:
        ConfigurationError: If the file cannot be used.
    """

    def __init__(self, path: str, account: Sequence[str]) -> None:
        """Open the file, and forget what no tap can send again."""
        self._path = path
        self._prefix = blake2b("\0".join((*account, "")).encode(), digest_size=16)
        self._underway: set[tuple[int, str, str]] = set()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            # A commit survives SIGKILL without an fsync; a power cut may cost the last ones, and
            # with them no more than a duplicate.
            self._write_ahead()
            self._db.execute("PRAGMA synchronous = NORMAL")
            # Keys land all over the file; fewer checkpoints write each of its pages less often.
            self._db.execute("PRAGMA wal_autocheckpoint = 10000")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS delivered"
                " (key BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID"
            )
            self._db.execute("DELETE FROM delivered WHERE expires_at < ?", (int(time.time()),))
        except ValueError:
            msg = "ledger_path is no path of a file"
            raise ConfigurationError(msg) from None
        except (OSError, sqlite3.Error) as error:
            if hasattr(self, "_db"):
                self._db.close()
            raise ConfigurationError(str(self._failure(error))) from None

    def _write_ahead(self) -> None:
        """Switch the journal; SQLite does not wait where two runs make the file at once."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:  # noqa: PERF203 (rarely twice)
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(_LOOK_AGAIN)
            else:
                return

    def begin(self, conversion: Conversion) -> bool:
        """Note that an event is on its way; False if it is already, so that its fate is open."""
        name = event_key(conversion)
        if name in self._underway:
            return False
        self._underway.add(name)
        return True

    def end(self, conversions: Iterable[Conversion], confirmed: Iterable[Conversion]) -> None:
        """Note that events have their fate, and commit which of them were delivered.

        Raises:
            StorageError: If the file cannot be written.
        """
        self._underway.difference_update(map(event_key, conversions))
        rows = sorted((self._key(conversion), conversion.expires_at) for conversion in confirmed)
        if not rows:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO delivered VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        """Those that were not delivered before, each event once.

        Raises:
            StorageError: If the file cannot be read.
        """
        by_key = {self._key(conversion): conversion for conversion in reversed(conversions)}
        marks = ",".join("?" * len(by_key))
        query = f"SELECT key FROM delivered WHERE key IN ({marks})"  # noqa: S608 (marks only)
        try:
            for (key,) in self._db.execute(query, list(by_key)):
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
    """What tells an event from all others of an account."""
    return conversion.pixel_id, conversion.stream, conversion.event_id
