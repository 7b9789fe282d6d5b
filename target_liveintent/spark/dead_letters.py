"""The dead letters of many tasks: one file a task, in a folder that all machines share.

A task writes into the subfolder of pending files, under a name that no other attempt uses. When all
tasks are done, the driver publishes their files: it moves each one in a single step. So a task that
is killed, tried again or run twice leaves neither half a file nor two of them.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import IO

from target_liveintent.errors import StorageError
from target_liveintent.spark.options import Job
from target_liveintent.storage import HEAD, ObjectStore

_LOGGER = logging.getLogger("target_liveintent.spark")
_PENDING = "_pending"
_NOTE_NAME = f"{_PENDING}/README"
_NOTE = b"Dead letters of tasks that are not committed yet. To be deleted when no job runs.\n"


class DeadLetterFolder:
    """The folder that the option `dead_letter_path` names.

    Args:
        job: The write. The constructor neither reads nor writes in its folder.

    Raises:
        ConfigurationError: If fsspec has no file system for it.
        StorageError: From methods, if the storage fails.
    """

    def __init__(self, job: Job) -> None:
        what = "option 'dead_letter_path'"
        self._store = ObjectStore(what, job.dead_letter_folder, job.retry_seconds, _LOGGER.warning)

    def prepare(self) -> None:
        """Create the folder, but no bucket; the driver calls this.

        Raises:
            ConfigurationError: If that is not possible.
        """
        self._store.check()
        if not self._store.exists(_NOTE_NAME):
            self._store.put(_NOTE_NAME, _NOTE)

    def check(self) -> None:
        """Check that the driver has prepared this folder and not another; a task calls this."""
        if not self._store.exists(_NOTE_NAME):
            msg = (
                "option 'dead_letter_path' must name a folder that all machines share: this one"
                " does not have what the driver wrote there"
            )
            raise StorageError(msg)

    def open(self, name: str) -> IO[bytes]:
        """Create a pending file; on a disk, only its owner can read it."""
        return self._store.open(f"{_PENDING}/{name}")

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Return a context for what is done to an open file: it raises `StorageError`."""
        return self._store.failures_named()

    def publish(self, name: str, final: str) -> None:
        """Move a pending file into the folder, where it replaces a file of the final name."""
        self._store.move(f"{_PENDING}/{name}", final)

    def discard(self, prefix: str) -> None:
        """Delete the pending files whose names begin with a prefix."""
        for name in self._store.names(_PENDING):
            if name.startswith(prefix):
                self._store.delete(f"{_PENDING}/{name}")


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

    is_due = True

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
            line = HEAD + line
        with self._folder.writing():
            self._file.write(line)

    def sync(self) -> None:
        """Do nothing: until the task is done, nothing depends on its dead letters."""

    def cover(self) -> None:
        """Do nothing: Spark begins a task again whose dead letters are gone."""

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
