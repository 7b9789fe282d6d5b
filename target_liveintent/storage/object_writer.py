"""Writes lines into a folder of an object store: gathers them, and puts an object now and then."""

from __future__ import annotations

import time

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.storage.object_store import ObjectStore

_MOST_BYTES = 8_000_000
"""The most that waits in memory; what is more becomes an object at once."""


class ObjectWriter:
    """Gathers lines in memory; `sync` puts them into an object of their own.

    The name of an object begins with the time of its first line, so a listing is in their order.
    Each method raises `StorageError` if the store fails; what was gathered then stays, and keeps
    its name, so that no line is in two objects.

    Args:
        store: The folder, which has been checked.
        head: The lines before all others, in each object.
        ending: The ending of the names, such as `.singer`.
        run_id: The ID of the run.
        clock: Tells the time.
    """

    def __init__(
        self, store: ObjectStore, head: bytes, ending: str, run_id: str, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._store = store
        self._head = head
        self._ending = ending
        self._run_id = run_id
        self._clock = clock
        self._lines: list[bytes] = []
        self._size = 0
        self._number = 0
        self._name = ""

    def write(self, lines: bytes) -> None:
        """Take whole lines."""
        if not self._lines:
            self._number += 1
            now = time.gmtime(self._clock.time())
            stamp = time.strftime("%Y%m%dT%H%M%SZ", now)
            self._name = f"{stamp}-{self._run_id}-{self._number:05}{self._ending}"
        self._lines.append(lines)
        self._size += len(lines)
        if self._size >= _MOST_BYTES:
            self._put()

    def sync(self) -> None:
        """Put what was gathered into the store."""
        if self._lines:
            self._put()

    def cover(self) -> None:
        """Do nothing: objects are not moved away while they are written."""

    def close(self) -> None:
        """Put the rest into the store."""
        self.sync()

    def _put(self) -> None:
        self._store.put(self._name, b"".join([self._head, *self._lines]))
        self._lines.clear()
        self._size = 0
