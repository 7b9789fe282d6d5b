"""The ledger: remembers across runs which events were delivered, so that none is sent twice.

Events come again after a crash between sending and STATE, after a canary, or from a tap that
repeats its last row in each run; and some come twice in a run. The ledger keeps a key of each event
that was confirmed until the event has expired; after that, the API refuses it anyway.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.ledger_file import HASH_BYTES, TIME_BYTES, LedgerFile

_RECENT = 50_000
"""Events of which the hashes are kept in memory: they are known whatever else changes in a record.
Of older ones, the key must be found in the file, and it begins with a time."""


class LedgerAccount(NamedTuple):
    """Whose events a ledger is asked about.

    Attributes:
        customer_id: The setting.
        host: The name of the API's host, without a port.
        url: The URL that events are posted to; in ledgers of version 1, it stood for the account.
    """

    customer_id: str
    host: str
    url: str


class Ledger:
    """The delivered events of an account, in a file that is made when the first event is sent.

    Args:
        path: The file. One that is there is opened at once.
        account: Events of another account have other keys.
        warn: Takes one message if the file cannot be used. The ledger then goes on without it, so
            that it knows the events of this run only. None if such a file ends the run.
        clock: Tells the time.
        sleep: Waits between two tries to get a lock.

    Raises:
        ConfigurationError: If the file is not a ledger; or if it cannot be used, without `warn`.
    """

    def __init__(
        self,
        path: str,
        account: LedgerAccount,
        *,
        warn: Callable[[str], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self._warn = warn
        self._clock, self._sleep = clock, sleep
        self._account = blake2b("\0".join(account[:2]).encode(), digest_size=HASH_BYTES)
        names = f"{account.url}\0{account.customer_id}\0"
        self._version_1 = blake2b(names.encode(), digest_size=16)
        self._underway: set[tuple[int, str, str]] = set()
        # The hashes of recent events. The older ones are dropped at once when there are too many.
        self._recent: set[bytes] = set()
        self._less_recent: set[bytes] = set()
        self._file: LedgerFile | None = None
        self._has_failed = False
        try:
            if _exists(path):
                self._open()
        except (OSError, sqlite3.Error, ValueError) as error:
            self._fail(error, ConfigurationError)

    @property
    def locked(self) -> bool:
        """Whether the run waits at this moment for another process that holds the file."""
        return self._file is not None and self._file.locked

    @property
    def is_kept(self) -> bool:
        """Whether the next run will know what this one delivers."""
        return self._file is not None

    def _open(self) -> None:
        file = LedgerFile(self.path, self._clock, self._sleep)
        try:
            self._less_recent = set(file.newest(_RECENT))
        except BaseException:
            file.close()
            raise
        self._file = file

    def begin(self, conversion: Conversion) -> bool:
        """Note that an event is being delivered; return False if it was noted already."""
        key = event_key(conversion)
        if key in self._underway:
            return False
        self._underway.add(key)
        return True

    def end(self, conversions: Iterable[Conversion], confirmed: Sequence[Conversion]) -> None:
        """Note that events have their outcome, and commit those that the API confirmed.

        Raises:
            StorageError: If the file cannot be written, and that ends the run.
        """
        self._underway.difference_update(map(event_key, conversions))
        if not confirmed:
            return
        hashes = list(map(self._hash, confirmed))
        if len(self._recent) >= _RECENT:
            self._less_recent, self._recent = self._recent, set()
        self._recent.update(hashes)
        if self._file is not None:
            keys = sorted(map(_key, confirmed, hashes))
            pixel_ids = {conversion.pixel_id for conversion in confirmed}
            try:
                self._file.add(keys, self._account.digest(), pixel_ids)
            except sqlite3.Error as error:
                self._fail(error, StorageError)

    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        """Return the events that were not delivered before; of equal ones, the first.

        The first time, it makes the file, if there is none.

        Raises:
            ConfigurationError: If the file cannot be made, and that ends the run.
            StorageError: If it cannot be read, and that ends the run.
        """
        new: dict[bytes, Conversion] = {}
        for conversion in conversions:
            digest = self._hash(conversion)
            if digest not in self._recent and digest not in self._less_recent:
                new.setdefault(digest, conversion)
        if new:
            self._skip_known(new)
        return list(new.values())

    def _skip_known(self, new: dict[bytes, Conversion]) -> None:
        """Remove the events that the file knows."""
        kind: type[StorageError | ConfigurationError] = StorageError
        try:
            if self._file is None and not self._has_failed:
                kind = ConfigurationError
                self._open()
                kind = StorageError
            if self._file is None:
                return
            keys = {_key(conversion, digest): digest for digest, conversion in new.items()}
            for key in self._file.known(list(keys)):
                del new[keys[key]]
            if self._file.has_version_1:
                old = {self._version_1_key(one): digest for digest, one in new.items()}
                for key in self._file.known_to_version_1(list(old)):
                    del new[old[key]]
        except (OSError, sqlite3.Error) as error:
            self._fail(error, kind)

    def _hash(self, conversion: Conversion) -> bytes:
        """Return the hash of what identifies an event."""
        digest = self._account.copy()
        names = f"\0{conversion.pixel_id}\0{conversion.stream}\0{conversion.event_id}"
        digest.update(names.encode(errors="replace"))
        return digest.digest()

    def _version_1_key(self, conversion: Conversion) -> bytes:
        digest = self._version_1.copy()
        digest.update("\0".join(map(str, event_key(conversion))).encode(errors="replace"))
        return digest.digest()

    def _fail(self, error: Exception, kind: type[ConfigurationError | StorageError]) -> None:
        """Go on without the file and say so, or end the run."""
        reason = getattr(error, "strerror", None) or str(error)
        if "locked" in reason:
            reason = f"another process, such as another run, does not let go of it ({reason})"
        if isinstance(error, ValueError):
            msg = "ledger_path is no path of a file"
        else:
            msg = f"ledger_path '{self.path}' cannot be used: {reason}"
        if self._warn is None:
            raise kind(msg) from None
        self.close()
        self._has_failed = True
        self._warn(
            f"{msg}; the run goes on without a ledger, so what was delivered before may be sent"
            " again. Set ledger_path to a file that can be written, or ledger to false"
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def event_key(conversion: Conversion) -> tuple[int, str, str]:
    """Return what identifies an event among all events of an account."""
    return conversion.pixel_id, conversion.stream, conversion.event_id


def _key(conversion: Conversion, digest: bytes) -> bytes:
    return conversion.expires_at.to_bytes(TIME_BYTES, "big") + digest


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
