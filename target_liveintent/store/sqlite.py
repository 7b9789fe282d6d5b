"""The store in a file of SQLite's."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote

from target_liveintent.clock import Clock
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.store.database import (
    AnyStep,
    Database,
    Find,
    NoSpaceError,
    Row,
    Step,
    Waiting,
)
from target_liveintent.store.layout import APPLICATION_ID, VERSION, statements

_VALUES_AT_ONCE = 900
"""Values of one statement: older releases of SQLite take 999."""
_AUXILIARY_BYTES = 64 * 1024
"""Free bytes that SQLite needs beside the file."""
_LOCK_SECONDS = 30.0
"""Seconds for which a run waits for another program that locks the file."""
_SLICE = 0.5
"""Seconds of that for which SQLite waits at a time: Python obeys no signal during its wait."""
_LAST_MILLISECONDS = 100
"""The same after a wait in vain."""
_PAUSE = 0.05
"""Seconds between two tries, as SQLite does not wait for every lock."""
_RESERVED_BYTES = 4 * 1024 * 1024
"""Bytes of the disk that are reserved for what the API confirms while the disk is full."""
_T = TypeVar("_T")
_FULL = "the disk is full"
_LOCKED = "another program locks the file of the store"


class SqliteStore(Database):
    """A file of SQLite's.

    Args:
        path: The file. A new one can be read by its owner only.
        clock: The clock of this machine, which all runs that use the file share.
        waiting: How it waits for other programs that lock the file.
        reads_only: Whether nothing may change. The file must exist then.

    Raises:
        ConfigurationError: If the file is no store, or cannot be used.
    """

    def __init__(
        self, path: str, clock: Clock, waiting: Waiting, *, reads_only: bool = False
    ) -> None:
        super().__init__(waiting)
        self._name = path
        self._clock = clock
        self._is_durable = False
        self._reserve: IO[bytes] | None = None
        try:
            self._path = os.path.realpath(path)
            self._folder = os.path.dirname(self._path)  # noqa: PTH120
            self._prepare_file(reads_only=reads_only)
            self._db = self._connect(reads_only=reads_only)
        except (OSError, ValueError) as error:
            raise self._refusal(getattr(error, "strerror", None) or "it is no valid path") from None
        except sqlite3.Error as error:
            raise self._refusal(self._reason(error)) from None
        try:
            self._open(reads_only=reads_only)
        except sqlite3.Error as error:
            self._db.close()
            raise self._refusal(self._reason(error)) from None
        except BaseException:
            self._db.close()
            raise

    # Opening

    def _prepare_file(self, *, reads_only: bool) -> None:
        """Create the file if there is none, and remember which one it is."""
        flags = os.O_RDONLY if reads_only else os.O_RDWR | os.O_CREAT
        # (Without O_NONBLOCK, a FIFO would block.)
        file = os.open(self._path, flags | os.O_NONBLOCK, 0o600)
        try:
            self._identity = os.fstat(file)
            if not stat.S_ISREG(self._identity.st_mode):
                why = "it is no ordinary file"
                raise self._refusal(why)
        finally:
            os.close(file)  # Before SQLite opens it: a close drops the locks of the process.

    def _connect(self, *, reads_only: bool) -> sqlite3.Connection:
        mode = "rw"  # With "ro", a reader would leave SQLite's auxiliary files behind.
        if reads_only and (self._is_full() or not os.access(self._folder, os.W_OK)):
            log = Path(f"{self._path}-wal")
            has_log = log.exists() and log.stat().st_size > 0
            # Without the log, SQLite cannot create its auxiliary files, nor can others.
            mode = "ro" if has_log else "ro&immutable=1"
        db = sqlite3.connect(
            f"file:{quote(self._path)}?mode={mode}",
            uri=True,
            timeout=_SLICE,
            isolation_level=None,
            check_same_thread=False,
        )
        db.create_function("now", 0, self._clock.time)
        return db

    def _open(self, *, reads_only: bool) -> None:
        if reads_only:
            self._execute("PRAGMA query_only = ON")
            self.is_new = self._check()
            return
        is_new = self._check()
        # A commit survives SIGKILL without an fsync; before STATE, `transact` makes it survive a
        # power cut.
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        # Fewer checkpoints write each page less often. More would slow down the recovery.
        self._execute("PRAGMA wal_autocheckpoint = 4000")
        self._execute("PRAGMA secure_delete = ON")
        if is_new:
            self._create()
        with contextlib.suppress(OSError):  # Without free space, or on a file system that cannot.
            self._reserve = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            os.posix_fallocate(self._reserve.fileno(), 0, _RESERVED_BYTES)

    def _check(self) -> bool:
        """Refuse a file that is no store; return whether it has no tables yet."""
        # The mark comes last: another run may create the store between these statements.
        ((tables,),) = self._execute("SELECT count(*) FROM sqlite_master").fetchall()
        ((version,),) = self._execute("PRAGMA user_version").fetchall()
        ((application,),) = self._execute("PRAGMA application_id").fetchall()
        if application == APPLICATION_ID:
            if version > VERSION:
                why = (
                    "a newer version of target-liveintent wrote the file. Upgrade"
                    " target-liveintent, or set store to another file"
                )
                raise self._refusal(why)
            return False
        if application or version or tables:
            why = "the file is a database of another program. Set store to another file"
            raise self._refusal(why)
        return True

    def _create(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        with self._db:  # Commits, or rolls back.
            if self._check():  # Unless another run was faster.
                for statement in statements("sqlite"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    # Reading and writing

    def transact(
        self,
        steps: Sequence[AnyStep],
        then: Callable[[list[list[Row]]], Sequence[AnyStep]] | None = None,
        *,
        durable: bool = False,
    ) -> list[list[Row]]:
        """Do all steps, or none, and return the answer of each."""
        try:
            self._check_identity()
            if durable != self._is_durable:
                self._execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._is_durable = durable
            self._execute("BEGIN IMMEDIATE")
            try:
                answers = [self._do(step) for step in steps]
                for step in then(answers) if then else ():
                    self._do(step)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from None
        return answers

    def wait_no_more(self) -> None:
        """Wait for nothing any more, and for a lock only a moment."""
        super().wait_no_more()
        self._execute(f"PRAGMA busy_timeout = {_LAST_MILLISECONDS}")

    def free_reserve(self) -> bool:
        """Give the reserved part of the disk back; return whether there was one."""
        reserve, self._reserve = self._reserve, None
        if reserve is None:
            return False
        reserve.close()
        return True

    def _do(self, step: AnyStep) -> list[Row]:
        if isinstance(step, Find):
            return self._find(step)
        if isinstance(step, Step):
            return self._db.execute(step.sql.format(now="now()"), step.values).fetchall()
        if not step.table or self._has_rows(step.table):
            columns = len(step.types)
            mark = f"({', '.join('?' * columns)})" if columns > 1 else "?"
            rows = step.rows()
            # One statement for many rows takes half the time of one for each.
            for some in _in_parts(rows, _VALUES_AT_ONCE // columns):
                marks = ", ".join([mark] * len(some))
                sql = step.sql.format(values=f"VALUES {marks}", given=_given(marks, columns))
                self._db.execute(sql, [value for row in some for value in row])
        return []

    def _find(self, query: Find) -> list[Row]:
        found: list[Row] = []
        for keys in _in_parts(query.keys, _VALUES_AT_ONCE):
            sql = query.sql.format(given=", ".join("?" * len(keys)), now="now()")
            found += self._execute(sql, (*query.values, *keys))
        return found

    def find(self, query: Find) -> list[Row]:
        """Return the rows of a query for many values."""
        try:
            return self._find(query)
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _has_rows(self, table: str) -> bool:
        return self._db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608

    def read(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Return the rows of a query."""
        try:
            yield from self._execute(sql.format(now="now()"), values).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement. While another program locks the file, wait and try again."""
        try:
            while True:
                try:
                    return self._db.execute(sql, values)
                except sqlite3.OperationalError as error:  # noqa: PERF203 (each try may fail)
                    is_locked = "locked" in str(error)
                    if not is_locked or not self._waiting.again(_LOCKED, _LOCK_SECONDS, _PAUSE):
                        raise
        finally:
            self._waiting.over()

    def _check_identity(self) -> None:
        """Fail if the path names another file by now: SQLite would write on into the old one."""
        try:
            now = os.stat(self._path)  # noqa: PTH116
            is_same = os.path.samestat(self._identity, now)
        except FileNotFoundError:
            is_same = False
        if not is_same:
            msg = (
                f"the file of the store, '{self._name}', was deleted, moved or replaced during the"
                " run. Put it back, and start the run again"
            )
            raise StorageError(msg)

    def _failure(self, error: Exception) -> StorageError:
        reason = self._reason(error)
        kind = NoSpaceError if reason == _FULL else StorageError
        return kind(f"store '{self._name}' cannot be used: {reason}")

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"store '{self._name}' cannot be used: {why}")

    def _reason(self, error: Exception) -> str:
        """Return what is wrong, in the words of a user."""
        text = getattr(error, "strerror", None) or str(error)
        if "locked" in text:
            return "another program, such as another run, keeps the file locked"
        if "not a database" in text or "malformed" in text:
            return f"{text}. Restore the file, or move it away: then the next run creates a new one"
        if "readonly" in text:
            return "the file or its folder is read-only"
        return _FULL if "full" in text or self._is_full() else text

    def _is_full(self) -> bool:
        """Return whether SQLite cannot create its auxiliary files, of which one has 32 KB."""
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize < _AUXILIARY_BYTES

    def close(self) -> None:
        """Close the file."""
        self.free_reserve()
        self._db.close()


def _in_parts(rows: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _given(marks: str, columns: int) -> str:
    return marks if columns == 1 else f"VALUES {marks}"
