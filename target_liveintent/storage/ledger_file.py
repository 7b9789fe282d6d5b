"""The SQLite file of a ledger: its layout, and the statements that read and write it.

Table `accepted` has a key of 16 bytes for each event: the time at which the event expires, and a
part of a hash of what identifies it. Events of one run happened at about the same time, so their
keys are on few pages of the file, however many keys it has; and those that expire first come
first. Table `last_accepted` says when a pixel of an account last took an event. Table `claims` has
a row for each batch that a run is sending: with all keys of the batch in one value, it costs hardly
anything where no other run looks at it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from target_liveintent.clock import Clock
from target_liveintent.conversions import Conversion
from target_liveintent.errors import ConfigurationError
from target_liveintent.storage.ledger_store import (
    FORGOTTEN,
    KEPT,
    KEY_BYTES,
    LAPSE,
    TIME_BYTES,
    Exchange,
    Found,
)

_APPLICATION = 0x4C494C47
"""Marks a ledger among SQLite files: the letters "LILG"."""
_VERSION = 3
"""The version of the layout. Version 1 had no mark; its only table was `delivered`. Version 2 had
no claims."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS accepted (key BLOB PRIMARY KEY) WITHOUT ROWID",
    (
        "CREATE TABLE IF NOT EXISTS last_accepted (account BLOB, pixel_id INTEGER,"
        " unix_time INTEGER NOT NULL, PRIMARY KEY (account, pixel_id)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE IF NOT EXISTS claims (number INTEGER PRIMARY KEY, run_id TEXT NOT NULL,"
        " until INTEGER NOT NULL, keys BLOB NOT NULL)"
    ),
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_VERSION_1 = [("key",), ("expires_at",)]
"""The columns of the table of version 1."""
_ASKED_AT_ONCE = 900
"""Keys that one statement asks about: older releases of SQLite take 999 values."""
_BUSY_SECONDS = 30.0
"""Seconds for which a run waits for another one that holds the file."""
_SQLITE_SECONDS = 0.5
"""Seconds of that for which SQLite waits at a time: Python obeys no signal during its wait."""
_RETRY_SECONDS = 0.05
"""Seconds between two tries, as SQLite does not wait for every lock."""


class LedgerFile:
    """An open ledger. Besides what is said below, methods raise `OSError` and `sqlite3.Error`.

    Args:
        path: The file; a new one can be read by its owner only.
        run_id: Whose claims are made and given back.
        clock: Tells what has expired or lapsed, and for how long a lock is waited for.
        sleep: Waits between two tries to get the lock.

    Attributes:
        locked: Whether the run waits at this moment for another process that holds the file.
        has_version_1: Whether the file also has events that were written in the old layout.

    Raises:
        ConfigurationError: If the file is not a ledger, or one of a newer version.
    """

    def __init__(
        self, path: str, run_id: str, clock: Clock, sleep: Callable[[float], None]
    ) -> None:
        self._path = path
        self._run_id = run_id
        self._claims: dict[int, int] = {}  # The numbers of the rows of claims, by batch.
        self._clock, self._sleep = clock, sleep
        self.locked = False
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, timeout=_SQLITE_SECONDS, isolation_level=None)
        try:
            self._execute("BEGIN")  # One view of a file that another run may be making now.
            with self._db:
                is_new = self._check()
            # A commit survives SIGKILL without an fsync. A power cut may cost the last commits,
            # and the events of those are sent twice.
            self._execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            # Where the events of a run are not in the order of their time, fewer checkpoints write
            # each page less often. More would make the recovery after SIGKILL slow.
            self._db.execute("PRAGMA wal_autocheckpoint = 4000")
            if is_new:
                self._create()
            self.has_version_1 = self._keep_version_1()
        except sqlite3.OperationalError:  # It may become usable again.
            self._db.close()
            raise
        except sqlite3.DatabaseError as error:
            self._db.close()
            msg = f"{error}. Set ledger_path to another file, or move this file away"
            raise self._refusal(msg) from None
        except BaseException:
            self._db.close()
            raise

    def _check(self) -> bool:
        """Refuse a file that is no ledger; return whether it lacks tables of this version."""
        (application,) = self._execute("PRAGMA application_id").fetchone()
        (version,) = self._execute("PRAGMA user_version").fetchone()
        if application == _APPLICATION:
            if version > _VERSION:
                msg = (
                    "a newer version of target-liveintent wrote the file. Upgrade"
                    " target-liveintent, or set ledger_path to another file"
                )
                raise self._refusal(msg)
            return bool(version < _VERSION)
        tables = self._execute("SELECT name FROM sqlite_master").fetchall()
        columns = self._execute("SELECT name FROM pragma_table_info('delivered')").fetchall()
        if application or version or (tables and columns != _VERSION_1):
            msg = (
                "the file is a database of another program. Set ledger_path to another file, or"
                " move this file away"
            )
            raise self._refusal(msg)
        return True

    def _create(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        with self._db:  # Commits, or rolls back.
            if self._check():  # Unless another run was faster.
                for statement in _TABLES:
                    self._db.execute(statement)

    def _keep_version_1(self) -> bool:
        """Return whether events of version 1 are still needed; remove them if not."""
        if not self._execute("SELECT 1 FROM pragma_table_info('delivered')").fetchone():
            return False
        young = "SELECT 1 FROM delivered WHERE expires_at >= ? LIMIT 1"
        if self._execute(young, [int(self._clock.time()) - KEPT]).fetchone():
            return True
        self._execute("DROP TABLE IF EXISTS delivered")
        return False

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"ledger_path '{self._path}' cannot be used: {why}")

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
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

    def newest(self, count: int) -> Iterable[bytes]:
        """Return the hashes of so many events, those that expire last."""
        query = f"SELECT substr(key, {TIME_BYTES + 1}) FROM accepted ORDER BY key DESC LIMIT ?"  # noqa: S608
        return (key for (key,) in self._execute(query, [count]))

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys that are in the file."""
        return self._find("SELECT key FROM accepted WHERE key IN", keys)

    def known_to_version_1(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys of version 1 that are in the file; it must have its table."""
        return self._find("SELECT key FROM delivered WHERE key IN", keys)

    def _find(self, query: str, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            some = keys[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(some))
            found.update(key for (key,) in self._execute(f"{query} ({marks})", some))
        return found

    def exchange(self, asked: Exchange, account: bytes) -> Found:
        """Add the keys of events that the API has just accepted, and make and end claims.

        Args:
            asked: What is done. Keys that are in the file already stay as they are.
            account: The hash of the account.
        """
        self._execute("BEGIN IMMEDIATE")
        with self._db:  # Commits, or rolls back.
            if asked.confirmed:
                self._add(asked, account)
            if asked.ended is None:
                self._db.execute("DELETE FROM claims WHERE run_id = ?", (self._run_id,))
            elif asked.ended:
                ended = ((self._claims[batch],) for batch in asked.ended)
                self._db.executemany("DELETE FROM claims WHERE number = ?", ended)
            renewed = None
            if asked.renews:
                renew = "UPDATE claims SET until = ? WHERE run_id = ?"
                renewed = self._db.execute(renew, (self._lapses_at(), self._run_id)).rowcount
            known, taken, made = self._claim(asked.wanted) if asked.wanted else (set(), {}, {})
        for batch in asked.ended or ():
            del self._claims[batch]
        self._claims |= made
        return Found(known, taken, renewed)

    def _add(self, asked: Exchange, account: bytes) -> None:
        now = self._clock.time()
        last_accepted = [(account, pixel_id, int(now)) for pixel_id in asked.pixel_ids]
        self._db.executemany(
            "INSERT OR IGNORE INTO accepted VALUES (?)", zip(asked.confirmed, strict=True)
        )
        self._db.executemany("REPLACE INTO last_accepted VALUES (?, ?, ?)", last_accepted)
        # However wrong the clock is, a run of which nothing is accepted removes nothing.
        self._db.execute(
            "DELETE FROM accepted WHERE key IN"
            " (SELECT key FROM accepted WHERE key < ? ORDER BY key LIMIT ?)",
            asked.expired(now),
        )
        # Those of runs that died, if nobody has asked for their events since.
        self._db.execute("DELETE FROM claims WHERE abs(until - ?) > ?", (int(now), FORGOTTEN))

    def _claim(
        self, wanted: Mapping[int, Mapping[bytes, Conversion]]
    ) -> tuple[set[bytes], dict[bytes, str], dict[int, int]]:
        """Claim what is free; return the known keys, those that are taken, and the new rows."""
        keys = [key for batch in wanted.values() for key in batch]
        known = self.known(keys)
        taken = self._taken(keys)
        made = {}
        for batch, events in wanted.items():
            free = [key for key in events if key not in known and key not in taken]
            if free:
                row = (self._run_id, self._lapses_at(), b"".join(free))
                claim = "INSERT INTO claims (run_id, until, keys) VALUES (?, ?, ?)"
                made[batch] = self._db.execute(claim, row).lastrowid or 0
        return known, taken, made

    def _taken(self, keys: Iterable[bytes]) -> dict[bytes, str]:
        """Return those of the keys that another run has claimed; end the claims of dead runs."""
        query = "SELECT number, run_id, until, keys FROM claims WHERE run_id != ?"
        taken: dict[bytes, str] = {}
        rows = self._db.execute(query, (self._run_id,)).fetchall()
        by_hash = {key[TIME_BYTES:]: key for key in keys} if rows else {}
        for number, run_id, until, claimed in rows:
            starts = range(TIME_BYTES, len(claimed), KEY_BYTES)
            hashes = {claimed[start : start + KEY_BYTES - TIME_BYTES] for start in starts}
            if not (both := hashes & by_hash.keys()):
                continue
            # (A time far ahead was written before the clock was set back.)
            if 0 <= until - int(self._clock.time()) <= 2 * LAPSE:
                taken.update((by_hash[one], run_id) for one in both)
            else:
                self._db.execute("DELETE FROM claims WHERE number = ?", (number,))
        return taken

    def _lapses_at(self) -> int:
        return int(self._clock.time()) + LAPSE

    def close(self) -> None:
        """Close the file."""
        self._db.close()
