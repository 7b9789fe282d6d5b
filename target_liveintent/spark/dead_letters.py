"""Dead letters of many tasks: one file a task, in a folder that all machines share.

A task writes into a folder of what is pending, under a name that no other attempt uses. Only when
all tasks are done, the driver moves their files to where they count, each in one step: so a task
that is killed, tried again, or run twice leaves no half file and no second one.
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Any

import fsspec

from target_liveintent.errors import StorageError
from target_liveintent.storage.dead_letters import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTE = b"Dead letters of tasks that are not committed yet. To be deleted when no job runs.\n"


class LetterFolder:
    """The folder that the option `dead_letter_path` names.

    Args:
        url: A path that fsspec knows.

    Raises:
        StorageError: If there is no way to it.
    """

    def __init__(self, url: str) -> None:
        """Find the way; nothing is read or written."""
        with _told():
            self._files, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._pending = f"{self._root}/_pending"
        self._note = f"{self._pending}/README"

    def prepare(self) -> None:
        """Make the folder, on the driver.

        Raises:
            StorageError: If that is not possible.
        """
        with _told():
            self._files.makedirs(self._pending, exist_ok=True)
            if not self._files.exists(self._note):
                self._files.pipe_file(self._note, _NOTE)

    def check(self) -> None:
        """See, in a task, whether it is the folder that the driver made.

        Raises:
            StorageError: If it is not.
        """
        with _told():
            if self._files.exists(self._note):
                return
        msg = (
            "option 'dead_letter_path' must name a folder that all machines share: this one does"
            " not have what the driver wrote there"
        )
        raise StorageError(msg)

    def open(self, name: str) -> IO[bytes]:
        """Open a pending file that only its owner can read, where there are owners."""
        with _told():
            file: IO[bytes] = self._files.open(f"{self._pending}/{name}", "wb")
            with contextlib.suppress(OSError, AttributeError):  # An object store has neither.
                os.fchmod(file.fileno(), 0o600)
        return file

    def publish(self, name: str, final: str) -> None:
        """Move a pending file to where it counts; one of the same name is replaced.

        Raises:
            StorageError: If that is not possible.
        """
        with _told():
            path = f"{self._root}/{final}"
            if self._files.exists(path):  # The same task of a micro-batch that was begun before.
                self._files.rm(path)
            self._files.mv(f"{self._pending}/{name}", path)

    def discard(self, prefix: str) -> None:
        """Delete the pending files whose names begin like this."""
        with _told():
            self._files.invalidate_cache(self._pending)
            for path in self._files.glob(f"{self._pending}/{prefix}*"):
                self._files.rm(path)


class TaskLetters:
    """The dead letters of one attempt at a task.

    Args:
        folder: The folder.
        name: The name of its file, which is made when the first letter is written.

    Attributes:
        written: The name, once there is a file.
    """

    def __init__(self, folder: LetterFolder, name: str) -> None:
        """Open nothing yet: a clean task leaves no file behind."""
        self._folder = folder
        self._name = name
        self._file: IO[bytes] | None = None
        self.written: str | None = None

    def write(self, line: bytes) -> None:
        """Add a letter.

        Raises:
            StorageError: If the file cannot be written.
        """
        if self._file is None:
            self._file = self._folder.open(self._name)
            self.written = self._name
            with _told():
                self._file.write(HEAD)
        with _told():
            self._file.write(line)

    def sync(self) -> None:
        """Wait for `close`: nothing rests on a letter before its task is done."""

    def close(self) -> None:
        """Make the file durable.

        Raises:
            StorageError: If that is not possible.
        """
        file, self._file = self._file, None
        if file is None:
            return
        with _told():
            file.flush()
            with contextlib.suppress(AttributeError, OSError):  # An object store needs no more.
                os.fsync(file.fileno())
            file.close()


@contextlib.contextmanager
def _told() -> Iterator[Any]:
    """Raise what goes wrong with storage as a `StorageError`, without its path or credentials."""
    try:
        yield
    except ImportError as error:
        msg = f"option 'dead_letter_path' needs a package that is missing: {error}"
        raise StorageError(msg) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        msg = f"option 'dead_letter_path' names a folder that cannot be used: {reason}"
        raise StorageError(msg) from None
