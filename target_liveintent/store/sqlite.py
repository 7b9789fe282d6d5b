"""The store in a file of SQLite's."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.parse import quote

from target_liveintent.clock import Clock
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.store.database import Answers, Database, Row, Step, Then, Waiting
from target_liveintent.store.layout import APPLICATION_ID, SQLITE, VERSION, creation

_VALUES_AT_ONCE = 900
"""Values of one statement: older releases of SQLite take 999."""
_AUXILIARY_BYTES = 64 * 1024
"""Free bytes that SQLite needs beside the file."""
_LOCK_SECONDS = 30.0
"""Seconds for which a run waits for another program that locks the file."""
_LOCKED = "another program locks the file of the store"
_PAUSE = 0.05
"""Seconds between two tries, as SQLite does not wait for every lock."""
_RESERVED_BYTES = 4 * 1024 * 1024
"""Bytes of the disk that are reserved for what the API confirms while the disk is full."""


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

    _errors = (OSError, sqlite3.Error)

    def __init__(
        self, path: str, clock: Clock, waiting: Waiting, *, reads_only: bool = False
    ) -> None:
        super().__init__(waiting)
        self._name = path
        self._path = os.path.realpath(path)
        self._folder = os.path.dirname(self._path)  # noqa: PTH120
        self._is_open = self._is_durable = False
        self._reserve: IO[bytes] | None = None
        self._identity, self._db = self._retried(lambda: self._connect(reads_only=reads_only))
        self._db.create_function("now", 0, clock.time)
        try:
            self._retried(lambda: self._open(reads_only=reads_only))
            self._is_open = True
        except BaseException:
            self._db.close()
            raise

    # Opening

    def _connect(self, *, reads_only: bool) -> tuple[os.stat_result, sqlite3.Connection]:
        """Create the file if there is none; return which file it is, and the connection."""
        flags = os.O_RDONLY if reads_only else os.O_RDWR | os.O_CREAT
        # (Without O_NONBLOCK, a FIFO would block.)
        file = os.open(self._path, flags | os.O_NONBLOCK, 0o600)
        identity = os.fstat(file)
        os.close(file)  # Before SQLite opens it: a close drops the locks of the process.
        if not stat.S_ISREG(identity.st_mode):
            why = "it is no ordinary file"
            raise self._refusal(why)
        mode = "rw"  # With "ro", a reader would leave SQLite's auxiliary files behind.
        if reads_only and (self._is_full() or not os.access(self._folder, os.W_OK)):
            log = Path(f"{self._path}-wal")
            has_log = log.exists() and log.stat().st_size > 0
            # Without the log, SQLite cannot create its auxiliary files, nor can others.
            mode = "ro" if has_log else "ro&immutable=1"
        return identity, sqlite3.connect(
            f"file:{quote(self._path)}?mode={mode}",
            uri=True,
            timeout=self._lock_milliseconds / 1_000,
            isolation_level=None,
            check_same_thread=False,
        )

    def _open(self, *, reads_only: bool) -> None:
        is_new = self._check()
        if reads_only:
            self._db.execute("PRAGMA query_only = ON")
            self.is_new = is_new
            return
        # A commit survives SIGKILL without an fsync; before STATE, `_transact` makes it survive a
        # power cut.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        # Fewer checkpoints write each page less often. More would slow down the recovery.
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        self._db.execute("PRAGMA secure_delete = ON")
        # 16 MB: a page on which a key is looked up is still there when the key is inserted.
        self._db.execute("PRAGMA cache_size = -16000")
        if is_new:
            self._create()
        with contextlib.suppress(OSError):  # Without free space, or on a file system that cannot.
            self._reserve = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            os.posix_fallocate(self._reserve.fileno(), 0, _RESERVED_BYTES)

    def _check(self) -> bool:
        """Refuse a file that is no store; return whether it has no tables yet."""
        # The mark comes last: another run may create the store between these statements.
        ((tables,),) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchall()
        ((version,),) = self._db.execute("PRAGMA user_version").fetchall()
        ((application,),) = self._db.execute("PRAGMA application_id").fetchall()
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
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:  # Commits, or rolls back.
            if self._check():  # Unless another run was faster.
                for statement in creation(SQLITE):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    # Reading and writing

    def _transact(self, steps: Sequence[Step], then: Then | None, *, durable: bool) -> Answers:
        self._check_identity()
        self._db.execute(f"PRAGMA busy_timeout = {self._lock_milliseconds}")
        if durable != self._is_durable:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_durable = durable
        self._db.execute("BEGIN IMMEDIATE")
        try:
            answers = [self._do(step) for step in steps]
            for step in then(answers) if then else ():
                self._do(step)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return answers

    def _do(self, step: Step) -> list[Row]:
        if step.rows is None:
            return self._db.execute(step.sql.format(now="now()"), step.values).fetchall()
        found: list[Row] = []
        mark = f"({', '.join('?' * len(step.types))})"
        # One statement for many rows takes half the time of one for each.
        at_once = (_VALUES_AT_ONCE - len(step.values)) // len(step.types)
        for start in range(0, len(step.rows), at_once):
            rows = step.rows[start : start + at_once]
            sql = step.sql.format(rows=f"VALUES {', '.join([mark] * len(rows))}", now="now()")
            values = [*step.values, *(value for row in rows for value in row)]
            found += self._db.execute(sql, values)
        return found

    def _check_identity(self) -> None:
        """Fail if the path names another file by now: SQLite would write on into the old one."""
        try:
            is_same = os.path.samestat(self._identity, os.stat(self._path))  # noqa: PTH116
        except FileNotFoundError:
            is_same = False
        if not is_same:
            msg = (
                f"the file of the store, '{self._name}', was deleted, moved or replaced during the"
                " run. Put it back, and start the run again"
            )
            raise StorageError(msg)

    def free_reserve(self) -> None:
        """Give the reserved part of the disk back."""
        if self._reserve is not None:
            self._reserve.close()

    def close(self) -> None:
        """Close the file."""
        self.free_reserve()
        self._db.close()

    # Failures

    def _wait_after(
        self,
        error: Exception,
        tries: int,  # noqa: ARG002 (the pause stays the same)
    ) -> tuple[str, float, float] | None:
        return (_LOCKED, _LOCK_SECONDS, _PAUSE) if "locked" in str(error) else None

    def _failure(self, error: Exception) -> ConfigurationError | StorageError:
        """Return what is wrong, in the words of a user; at the start of a run, a setting is."""
        text = getattr(error, "strerror", None) or str(error)
        if "locked" in text:
            text = "another program, such as another run, keeps the file locked"
        elif "not a database" in text or "malformed" in text:
            text += ". Restore the file, or move it away: then the next run creates a new one"
        elif "readonly" in text:
            text = "the file or its folder is read-only"
        elif "full" in text or self._is_full():
            text = "the disk is full"
        if self._is_open:
            return StorageError(f"store '{self._name}' cannot be used: {text}")
        return self._refusal(text)

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"store '{self._name}' cannot be used: {why}")

    def _is_full(self) -> bool:
        """Return whether SQLite cannot create its auxiliary files, of which one has 32 KB."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:  # There is no such folder.
            return False
        return disk.f_bavail * disk.f_frsize < _AUXILIARY_BYTES
