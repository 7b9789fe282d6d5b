"""Keeps a ledger in a file: when it is made, and what happens if it cannot be used."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.ledger import LedgerAccount
from target_liveintent.storage.ledger_file import LedgerFile
from target_liveintent.storage.ledger_store import Exchange, Found


class LedgerInFile:
    """A ledger's store that is a file of SQLite's, made when the first event is sent.

    Args:
        path: The file.
        account: Whose events are kept.
        url: The URL that events are posted to; in ledgers of version 1, it stood for the account.
        run_id: The ID of the run, for its claims.
        warn: Takes one message if the file cannot be used. The run then goes on without it, so
            that it knows its own events only. None if such a file ends the run.
        clock: Tells the time.
        sleep: Waits between two tries to get a lock.

    Attributes:
        exists: Whether there is a file already.

    Raises:
        ConfigurationError: If no file can be made, without `warn`.
    """

    def __init__(  # noqa: PLR0913 (all of them are needed, by name)
        self,
        path: str,
        account: LedgerAccount,
        url: str,
        *,
        run_id: str,
        warn: Callable[[str], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._account = account.digest
        self._run_id = run_id
        self._version_1 = blake2b(f"{url}\0{account.customer_id}\0".encode(), digest_size=16)
        self._warn = warn
        self._clock, self._sleep = clock, sleep
        self._file: LedgerFile | None = None
        self._has_failed = False
        self.exists = False
        try:
            self.exists = _exists(path)
        except (OSError, ValueError) as error:
            self._fail(error, ConfigurationError)

    @property
    def is_kept(self) -> bool:
        """Whether the next run will know what this one delivers."""
        return self._file is not None

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        is_locked = self._file is not None and self._file.locked
        return "another process still locks the file of ledger_path" if is_locked else ""

    def open(self, count: int) -> Iterable[bytes]:
        """Open it, or make it; return the hashes of so many events, those that expire last."""
        newest: list[bytes] = []
        if self._has_failed:
            return newest
        try:
            file = LedgerFile(self._path, self._run_id, self._clock, self._sleep)
            try:
                newest += file.newest(count)
            except BaseException:
                file.close()
                raise
            self._file = file
        except (OSError, sqlite3.Error, ValueError) as error:
            self._fail(error, ConfigurationError)
        return newest

    def known(self, asked: Mapping[bytes, Conversion]) -> Collection[bytes]:
        """Return those of the keys that were accepted before."""
        if self._file is None:
            return ()
        try:
            found = self._file.known(list(asked))
            if self._file.has_version_1:
                found |= self._known_to_version_1(self._file, {0: asked})
        except sqlite3.Error as error:
            self._fail(error, StorageError)
            return ()
        return found

    def exchange(self, asked: Exchange) -> Found:
        """Take what is new, and answer; raises a `StorageError` if that is not possible."""
        if self._file is None:
            return Found()
        try:
            old: set[bytes] = set()
            if asked.wanted and self._file.has_version_1:
                old = self._known_to_version_1(self._file, asked.wanted)
                wanted = {
                    number: {key: c for key, c in events.items() if key not in old}
                    for number, events in asked.wanted.items()
                }
                asked = asked._replace(wanted=wanted)
            found = self._file.exchange(asked, self._account)
        except sqlite3.Error as error:
            self._fail(error, StorageError)
            return Found()
        return found._replace(known=old.union(found.known)) if old else found

    def _known_to_version_1(
        self, file: LedgerFile, wanted: Mapping[int, Mapping[bytes, Conversion]]
    ) -> set[bytes]:
        """Return those of the keys whose events are in the table of version 1."""
        keys = {self._version_1_key(c): key for keys in wanted.values() for key, c in keys.items()}
        return {keys[key] for key in file.known_to_version_1(list(keys))}

    def _version_1_key(self, conversion: Conversion) -> bytes:
        digest = self._version_1.copy()
        names = f"{conversion.pixel_id}\0{conversion.stream}\0{conversion.event_id}"
        digest.update(names.encode(errors="replace"))
        return digest.digest()

    def _fail(self, error: Exception, kind: type[ConfigurationError | StorageError]) -> None:
        """Go on without the file and say so, or end the run."""
        reason = getattr(error, "strerror", None) or str(error)
        if "locked" in reason:
            reason = f"another process, such as another run, keeps the file locked ({reason})"
        if isinstance(error, ValueError):
            msg = "ledger_path is not a valid path"
        else:
            msg = f"ledger_path '{self._path}' cannot be used: {reason}"
        if self._warn is None:
            raise kind(msg) from None
        self.close()
        self._has_failed = True
        self._warn(
            f"{msg}. The run continues without a ledger, so it may send events again that an"
            " earlier run delivered. Set ledger_path to a file that the run can write, or set"
            " ledger to false"
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _exists(path: str) -> bool:
    """Return whether there is a file; raise `OSError` if none can be made."""
    try:
        os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        os.stat(folder)  # noqa: PTH116
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        return False
    return True
