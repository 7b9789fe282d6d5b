"""The store in an SQLite file."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from target_liveintent.clock import Clock
from target_liveintent.errors import StorageError
from target_liveintent.store.database import LOCK_SECONDS, Answers, Database, Then, Waiting
from target_liveintent.store.layout import Row, Step, creation
from target_liveintent.store.ledger import KEY_BYTES
from target_liveintent.system import open_private, reserve

IN_MEMORY = ":memory:"
"""In place of a path, this names an empty store that only this process sees."""
_VALUES_AT_ONCE = 900
"""How many values one statement may have. Older releases of SQLite accept 999."""
_KEYS = (
    "WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + ? FROM place LIMIT ?)"
    " SELECT substr(?, n, ?) AS key FROM place"
)
"""The keys of events, which come as one value: a value for each would take twice the time."""
_LOCKED = "another program locks the file of the store"
_PAUSE = 0.05
"""Seconds between two tries, as SQLite does not wait for every lock."""
_RESERVE = 4_000_000
"""Bytes of the disk to reserve for what the API confirms while the disk is full."""
_PRAGMAS = (
    # A commit survives SIGKILL without an fsync; before STATE, `_transact` makes it survive a
    # power cut.
    "journal_mode = WAL",
    "fullfsync = ON",  # On macOS, fsync leaves it in the memory of the drive.
    # Fewer checkpoints write each page less often. More would slow down the recovery.
    "wal_autocheckpoint = 10000",
    "secure_delete = ON",
    "cache_size = -1500",  # 1.5 MB. With less, keys in random order take longer.
)


class SqliteStore(Database):
    """An SQLite file, which must exist if it is only read, or `IN_MEMORY`."""

    _errors = (OSError, sqlite3.Error)
    _find_tables = "SELECT name FROM sqlite_master"
    _lock = ("BEGIN IMMEDIATE",)
    _creation = creation(in_sqlite=True)
    _foreign = "the file is a database of another program. Set store to another file"

    def __init__(
        self, path: str, clock: Clock, waiting: Waiting, *, reads_only: bool = False
    ) -> None:
        super().__init__(f"store '{path}'", waiting)
        self._path = os.path.realpath(path)
        self._reserve: IO[bytes] | None = None
        self._identity: os.stat_result | None = None
        address = IN_MEMORY
        if path != IN_MEMORY:
            self._identity = self._find(os.O_RDONLY if reads_only else os.O_RDWR)
            address = f"{Path(self._path).as_uri()}?mode=rw"
        self._db = sqlite3.connect(
            address,
            uri=True,
            timeout=self._lock_milliseconds / 1_000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=24,  # All that are used often. Those with many values are large.
        )
        self._db.create_function("now", 0, clock.time)
        if reads_only:
            self._db.execute("PRAGMA query_only = ON")
        self._open(reads_only=reads_only)

    def _find(self, flags: int) -> os.stat_result:
        """Open the file, or create it if there is none; return which file it is."""
        try:
            # Before SQLite opens it: a close drops the locks of the process.
            os.close(open_private(self._path, flags))
            return os.stat(self._path)  # noqa: PTH116
        except OSError as error:
            raise self._failure(error) from None

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        super()._prepare()
        if self._identity is not None:
            # Without free space, or if the file system cannot reserve it, there is no reserve.
            with contextlib.suppress(OSError):
                folder = Path(self._path).parent
                self._reserve = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115
                reserve(self._reserve, _RESERVE)

    def _transact(self, steps: Sequence[Step], then: Then | None, *, durable: bool) -> Answers:
        self._check_identity()
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        answers = [self._do(step) for step in steps]
        for step in then(answers) if then else ():
            self._do(step)
        self._db.execute("COMMIT")
        return answers

    def _do(self, step: Step) -> list[Row]:
        if step.rows is None:
            values = [*step.values]
            if step.keys is not None:
                values += (KEY_BYTES, len(step.keys), b"".join(step.keys), KEY_BYTES)
            return self._db.execute(step.sql.format(now="now()", keys=_KEYS), values).fetchall()
        mark = f"({', '.join('?' * len(step.types))})"
        found: list[Row] = []
        at_once = _VALUES_AT_ONCE // len(step.types)
        for start in range(0, len(step.rows), at_once):
            rows = step.rows[start : start + at_once]
            sql = step.sql.format(rows=f"VALUES {', '.join([mark] * len(rows))}")
            found += self._db.execute(sql, [*itertools.chain.from_iterable(rows)])
        return found

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _check_identity(self) -> None:
        """Fail if the path names another file by now: SQLite would write on into the old one."""
        with contextlib.suppress(FileNotFoundError):
            first = self._identity
            if first is None or os.path.samestat(first, os.stat(self._path)):  # noqa: PTH116
                return
        msg = (
            f"the file of the {self._name} was deleted, moved or replaced during the run. Put it"
            " back, and start the run again"
        )
        raise StorageError(msg)

    def free_reserve(self) -> None:
        """Give the reserved space back; each transaction leaves its space to the next one."""
        if self._reserve is not None:
            self._reserve.close()
            self._db.execute("PRAGMA wal_autocheckpoint = 1")

    def close(self) -> None:
        """Close the file."""
        if self._reserve is not None:
            self._reserve.close()
        self._db.close()

    def _wait_after(self, error: Exception) -> tuple[str, float, float] | None:
        return (_LOCKED, LOCK_SECONDS, _PAUSE) if "locked" in str(error) else None

    def _words(self, error: Exception) -> str:
        text = getattr(error, "strerror", None) or str(error)
        if "locked" in text:
            return "another program, such as another run, keeps the file locked"
        if "not a database" in text or "malformed" in text:
            return f"{text}. Restore the file, or move it away: then the next run creates a new one"
        if "full" in text:
            return "the disk is full"
        if "I/O error" in text:
            return f"the disk is full, or has a fault ({text})"
        if "readonly" in text or "unable to open" in text:
            return "the file or its folder is read-only, or the disk is full"
        return text
