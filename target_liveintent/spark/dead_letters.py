"""The dead letters of many tasks: one file a task, in a folder that all machines share.

A task writes into the subfolder of pending files, under a name that no other attempt uses. When all
tasks are done, the driver publishes their files: it moves each one in a single step. So a task that
is killed, tried again or run twice leaves neither half a file nor two of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO

import fsspec

from target_liveintent.errors import StorageError
from target_liveintent.storage import HEAD

_NOTE = b"Dead letters of tasks that are not committed yet. To be deleted when no job runs.\n"


class DeadLetterFolder:
    """The folder that the option `dead_letter_path` names.

    Args:
        url: A path or URL that fsspec understands. The constructor neither reads nor writes there.

    Raises:
        StorageError: If fsspec has no file system for it; from methods, if the storage fails.
    """

    def __init__(self, url: str) -> None:
        with _failures_without_path():
            self._files, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._pending = f"{self._root}/_pending"
        self._note = f"{self._pending}/README"

    def prepare(self) -> None:
        """Create the folder; the driver calls this."""
        with _failures_without_path():
            self._files.makedirs(self._pending, exist_ok=True)
            if not self._files.exists(self._note):
                self._files.pipe_file(self._note, _NOTE)

    def check(self) -> None:
        """Check that the driver has prepared this folder and not another; a task calls this."""
        with _failures_without_path():
            if self._files.exists(self._note):
                return
        msg = (
            "option 'dead_letter_path' must name a folder that all machines share: this one does"
            " not have what the driver wrote there"
        )
        raise StorageError(msg)

    def open(self, name: str) -> IO[bytes]:
        """Create a pending file; on a disk, only its owner can read it."""
        with _failures_without_path():
            file: IO[bytes] = self._files.open(f"{self._pending}/{name}", "wb")
            with contextlib.suppress(OSError, AttributeError):  # An object store has neither.
                os.fchmod(file.fileno(), 0o600)
        return file

    def publish(self, name: str, final: str) -> None:
        """Move a pending file into the folder, where it replaces a file of the final name."""
        with _failures_without_path():
            path = f"{self._root}/{final}"
            if self._files.exists(path):  # From an earlier attempt at the same micro-batch.
                self._files.rm(path)
            self._files.mv(f"{self._pending}/{name}", path)

    def discard(self, prefix: str) -> None:
        """Delete the pending files whose names begin with a prefix."""
        with _failures_without_path():
            self._files.invalidate_cache(self._pending)
            for path in self._files.glob(f"{self._pending}/{prefix}*"):
                self._files.rm(path)


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
            line = HEAD + line
        with _failures_without_path():
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
        with _failures_without_path():
            file.flush()
            with contextlib.suppress(AttributeError, OSError):  # An object store needs no more.
                os.fsync(file.fileno())
            file.close()


@contextlib.contextmanager
def _failures_without_path() -> Iterator[None]:
    """Turn a failure of the storage into a `StorageError` without its path and credentials."""
    try:
        yield
    except ImportError as error:
        msg = f"option 'dead_letter_path' needs a package that is missing: {error}"
        raise StorageError(msg) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        msg = f"option 'dead_letter_path' names a folder that cannot be used: {reason}"
        raise StorageError(msg) from None
