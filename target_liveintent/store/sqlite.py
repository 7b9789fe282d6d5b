"""The store in an SQLite file."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import IO, Any

from target_liveintent.clock import Clock
from target_liveintent.errors import StorageError
from target_liveintent.store.database import (
    LOCK_SECONDS,
    Answers,
    Attempts,
    Database,
    DecisionT,
    Wait,
)
from target_liveintent.store.deduplication import KEY_BYTES
from target_liveintent.store.layout import SqlRow, Step, creation
from target_liveintent.system import allocate, open_private

IN_MEMORY = ":memory:"
"""In place of a path, this names an empty store that only this process sees."""
_VALUES_AT_ONCE = 900
"""How many values one statement may have. Older releases of SQLite accept 999."""
_KEYS = (
    "WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + ? FROM place LIMIT ?)"
    " SELECT substr(?, n, ?) AS key FROM place"
)
"""Reads the keys of events from one value that contains all of them. A separate value for each key
would take twice as long."""
_DIGITS = Context(prec=100)
_LOCKED = "another program locks the file of the store"
_PAUSE = 0.05
"""Seconds between two attempts. SQLite itself does not wait for every kind of lock."""
_SPARE_BYTES = 4_000_000
"""How many bytes of disk space a run sets aside. If the disk becomes full, the run uses them to
save which events the API has confirmed."""
_PRAGMAS = (
    # A commit survives SIGKILL without an fsync; `_transact` makes it survive a power cut.
    "journal_mode = WAL",
    "fullfsync = ON",  # On macOS, a plain fsync leaves data in the memory of the drive.
    # With fewer checkpoints, each page is written less often. A larger number would slow down
    # the recovery.
    "wal_autocheckpoint = 10000",
    "secure_delete = ON",
    "cache_size = -1500",  # 1.5 MB. With less, keys in random order take longer.
)
_REPAIR = "Restore the file, or move it away: then the next run creates a new one"
_DAMAGED = f"{{}}. {_REPAIR}"
_MEANINGS = (
    # (SQLite's own message would show the text of the record.)
    ("decode", f"the file is damaged: a text in it is not UTF-8. {_REPAIR}"),
    ("locked", "another program, such as another run, keeps the file locked"),
    ("not a database", _DAMAGED),
    ("malformed", _DAMAGED),
    ("no such table", _DAMAGED),
    ("unsupported file format", _DAMAGED),
    ("full", "the disk is full"),
    ("I/O error", "the disk is full, or has a fault ({})"),
    ("readonly", "the file or its folder is read-only, or the disk is full"),
    ("unable to open", "the file or its folder is read-only, or the disk is full"),
)
"""What an error means, by words in its text; `{}` stands for the text. Before Python 3.11, errors
have no codes."""


class ExactSum:
    """An exact sum, for SQL. SQLite has no exact numbers, so the numbers and the sum are texts.

    Without numbers, the sum is null.
    """

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, number: Any) -> None:
        """Add a number, which is a text; None adds nothing."""
        if number is not None:
            self._sum = _DIGITS.add(self._sum or Decimal(0), Decimal(number))

    def finalize(self) -> Any:
        """Return the sum."""
        return None if self._sum is None else str(self._sum)


class SqliteStore(Database):
    """An SQLite file, or `IN_MEMORY`. A file that is only read must exist."""

    _errors = (OSError, sqlite3.Error, UnicodeDecodeError)
    _find_tables = "SELECT name FROM sqlite_master"
    _lock = ("BEGIN IMMEDIATE",)
    _creation = creation(in_sqlite=True)
    _foreign = "the file is a database of another program. Set store to another file"

    def __init__(
        self, path: str, clock: Clock, attempts: Attempts, *, reads_only: bool = False
    ) -> None:
        super().__init__(f"store '{path}'", attempts)
        self._path = os.path.realpath(path)
        self._spare: IO[bytes] | None = None
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
            cached_statements=24,  # For the frequent statements. Large statements are rare.
        )
        self._db.create_function("now", 0, clock.time)
        self._db.create_aggregate("exact_sum", 1, ExactSum)
        if reads_only:
            self._db.execute("PRAGMA query_only = ON")
        self._open(reads_only=reads_only)

    def _find(self, flags: int) -> os.stat_result:
        """Open the file, or create it if there is none; return which file it is."""
        try:
            file = Path(self._path)
            self.was_empty_file = file.is_file() and file.stat().st_size == 0
            # This must come before SQLite opens the file: closing a file drops all locks that this
            # process has on it.
            os.close(open_private(self._path, flags))
            return os.stat(self._path)  # noqa: PTH116
        except OSError as error:
            raise self._failure(error) from None

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        super()._prepare()
        if self._identity is not None:
            # The disk may be full already, or the file system may be unable to allocate space.
            with contextlib.suppress(OSError):
                folder = Path(self._path).parent
                self._spare = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115
                allocate(self._spare, _SPARE_BYTES)

    def _transact(self, steps: Sequence[Step]) -> Answers:
        with self._transaction("FULL"):
            return [self._do(step) for step in steps]

    def _ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], DecisionT]
    ) -> DecisionT:
        with self._transaction("NORMAL"):
            decision = decide([self._do(step) for step in questions])
            for step in decision.changes:
                self._do(step)
        return decision

    @contextlib.contextmanager
    def _transaction(self, synchronous: str) -> Iterator[None]:
        """Begin a transaction, and commit it if its steps succeed."""
        self._check_identity()
        self._db.execute(f"PRAGMA synchronous = {synchronous}")
        self._db.execute("BEGIN IMMEDIATE")
        yield
        self._db.execute("COMMIT")

    def _do(self, step: Step) -> list[SqlRow]:
        if step.rows is None:
            values = [*step.values]
            if step.keys is not None:
                values += (KEY_BYTES, len(step.keys), b"".join(step.keys), KEY_BYTES)
            sql = step.sql.format(now="now()", keys=_KEYS, sum="exact_sum")
            return self._db.execute(sql, values).fetchall()
        mark = f"({', '.join('?' * len(step.types))})"
        answer: list[SqlRow] = []
        at_once = _VALUES_AT_ONCE // len(step.types)
        for start in range(0, len(step.rows), at_once):
            rows = step.rows[start : start + at_once]
            values_of_rows = f"VALUES {', '.join([mark] * len(rows))}"
            sql = step.sql.format(rows=values_of_rows, sum="exact_sum")
            answer += self._db.execute(sql, [*itertools.chain.from_iterable(rows)])
        return answer

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _check_identity(self) -> None:
        """Raise an error if the path names another file now, or none: SQLite uses the old one."""
        with contextlib.suppress(FileNotFoundError):
            first = self._identity
            if first is None or os.path.samestat(first, os.stat(self._path)):  # noqa: PTH116
                return
        msg = (
            f"the file of the {self._name} was deleted, moved or replaced during the run. Put it"
            " back, and start the run again"
        )
        raise StorageError(msg)

    def free_spare_space(self) -> None:
        """Release the spare space on the disk.

        From now on, each transaction ends with a checkpoint, so that the next one can use the
        space of the log again.
        """
        if self._spare is not None:
            self._spare.close()
            self._db.execute("PRAGMA wal_autocheckpoint = 1")

    def close(self) -> None:
        """Close the file."""
        if self._spare is not None:
            self._spare.close()
        self._db.close()

    def _wait_after(self, error: Exception) -> Wait | None:
        return Wait(_LOCKED, LOCK_SECONDS, _PAUSE) if "locked" in str(error) else None

    def _words(self, error: Exception) -> str:
        text = getattr(error, "strerror", None) or str(error)
        meanings = [meaning for words, meaning in _MEANINGS if words in text]
        return meanings[0].format(text) if meanings else text
