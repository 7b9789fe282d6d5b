"""The dead letters of many tasks: one file a task, in a folder that all machines share.

A task writes into the subfolder of pending files, under a name that no other attempt uses. When all
tasks are done, the driver publishes their files: it moves each one in a single step. So a task that
is killed, tried again or run twice leaves neither half a file nor two of them. A micro-batch that
begins again replaces what its earlier attempt has published, write by write.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from typing import IO

import msgspec

from target_liveintent.spark.attempts import Attempt, Write
from target_liveintent.spark.object_store import ObjectStore
from target_liveintent.spark.options import Job
from target_liveintent.spark.shared_folder import check_shared
from target_liveintent.store import SCHEMA_MESSAGE

_LOGGER = logging.getLogger("target_liveintent.spark")
_PENDING = "_pending"
_ENDING = ".singer"
_BEGUN, _FAILED = ".begun", ".failed"
_HEAD = msgspec.json.encode(SCHEMA_MESSAGE) + b"\n"
_NOTE_NAME = f"{_PENDING}/README"
_NOTE = b"Dead letters of tasks that are not committed yet. To be deleted when no job runs.\n"


class DeadLetterFolder:
    """The folder that the option `dead_letter_path` names.

    Args:
        job: The write. The constructor neither reads nor writes in its folder.

    Attributes:
        store: The folder.

    Raises:
        ConfigurationError: If fsspec has no file system for it.
        StorageError: From methods, if the storage fails.
    """

    def __init__(self, job: Job) -> None:
        what = "option 'dead_letter_path'"
        self.store = ObjectStore(what, job.dead_letter_folder, job.retry_seconds, _LOGGER.warning)

    def prepare(self) -> None:
        """Create the folder, but no bucket; the driver calls this.

        Raises:
            ConfigurationError: If that is not possible.
        """
        self.store.check()
        if not self.store.exists(_NOTE_NAME):
            self.store.put(_NOTE_NAME, _NOTE)

    def check(self) -> None:
        """Check that the driver has prepared this folder and not another; a task calls this."""
        check_shared(self.store, _NOTE_NAME)

    def begin(self, attempt: Attempt) -> None:
        """Note where the write stands among those of its micro-batch; a task calls this."""
        if attempt.write.batch is not None and attempt.partition == 0:
            self.store.put(f"{_PENDING}/{attempt.write.marker}{_BEGUN}", b"")

    def note_failure(self, attempt: Attempt, delivered: int) -> None:
        """Note how many events an attempt had delivered that has failed; a task calls this."""
        self.store.put(f"{_PENDING}/{attempt.name}{_FAILED}", str(delivered).encode())

    def delivered_by_failed(self, write: Write) -> int:
        """Return how many events the failed attempts at a write have delivered."""
        notes = [n for n in self.store.names(_PENDING) if write.id in n and n.endswith(_FAILED)]
        return sum(int(self.store.read(f"{_PENDING}/{name}")) for name in notes)

    def open(self, name: str) -> IO[bytes]:
        """Create a pending file; on a disk, only its owner can read it."""
        return self.store.open(f"{_PENDING}/{name}")

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Return a context for what is done to an open file: it raises `StorageError`."""
        return self.store.failures_named()

    def publish(self, write: Write, attempts: Iterable[Attempt]) -> None:
        """Publish the pending files of a write; those that it replaces are deleted after that.

        Args:
            write: The write.
            attempts: The attempts that have such a file, at most one for each task.
        """
        published = self._published_prefix(write)
        for attempt in attempts:
            final = f"{published}{attempt.partition:05}{_ENDING}"
            self.store.move(f"{_PENDING}/{attempt.name}", final)
        if write.batch is None:
            return
        place = published.removesuffix(f"{write.batch.run}-{write.id}-")
        for name in self.store.names(prefix=place):
            if not name.startswith(f"{place}{write.batch.run}-"):
                self.store.delete(name)

    def _published_prefix(self, write: Write) -> str:
        """Return how the names of the published files of a write begin."""
        if write.batch is None:
            return write.prefix
        siblings = self.store.names(_PENDING, write.siblings)
        place = sum(one.endswith(_BEGUN) and one < f"{write.marker}{_BEGUN}" for one in siblings)
        return f"{write.kin}{place}-{write.batch.run}-{write.id}-"

    def discard(self, write: Write) -> None:
        """Delete the pending files of a write, and those of attempts that it has superseded."""
        for name in self.store.names(_PENDING):
            if write.id in name or write.is_outdated(name):
                self.store.delete(f"{_PENDING}/{name}")


class TaskDeadLetters:
    """The dead letters of one attempt at a task.

    Args:
        folder: The folder.
        name: The name of the pending file. The first write creates it, so a clean task leaves no
            file.

    Attributes:
        written: Whether there is a file.

    Raises:
        StorageError: From methods, if the storage fails.
    """

    def __init__(self, folder: DeadLetterFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file: IO[bytes] | None = None
        self.written = False

    def write(self, line: bytes) -> None:
        """Write a dead letter."""
        if self._file is None:
            self._file = self._folder.open(self._name)
            self.written = True
            line = _HEAD + line
        with self._folder.writing():
            self._file.write(line)

    def close(self) -> None:
        """Make the file survive a power cut, and close it."""
        file, self._file = self._file, None
        if file is None:
            return
        with self._folder.writing():
            file.flush()
            with contextlib.suppress(AttributeError, OSError):  # An object store needs no more.
                os.fsync(file.fileno())
            file.close()
