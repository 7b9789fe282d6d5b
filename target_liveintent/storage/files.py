"""Files that a run writes for its owner: lines appended for good, or the whole replaced at once."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import TYPE_CHECKING

from target_liveintent.errors import StorageError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINARY = getattr(os, "O_BINARY", 0)


class AppendedFile:
    """A file of lines that runs may share, that only its owner can read.

    Args:
        setting: The setting that names it, for messages.
        path: The file; made when it is opened.
        head: What stands before the lines.
        repeat_head: Whether the head comes again with each run, and not only in a new file.
    """

    def __init__(self, setting: str, path: str, head: bytes, *, repeat_head: bool) -> None:
        """Open nothing yet."""
        self._setting = setting
        self._path = path
        self._head = head
        self._repeat_head = repeat_head
        self._file: int | None = None
        self._unsynced = False

    def open(self) -> None:
        """Open the file, if it is not open, and write its head.

        Raises:
            StorageError: If that is not possible.
        """
        with self._named_failure():
            if self._file is None:
                self._file = self._open()

    def write(self, lines: bytes) -> None:
        """Append whole lines.

        Raises:
            StorageError: If the file cannot be written.
        """
        self.open()
        assert self._file is not None  # noqa: S101 (for the type checker)
        with self._named_failure():
            _append(self._file, lines)
        self._unsynced = True

    def sync(self) -> None:
        """Make what was written survive a power cut.

        Raises:
            StorageError: If that is not possible.
        """
        if self._unsynced and self._file is not None:
            with self._named_failure():
                os.fsync(self._file)
            self._unsynced = False

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o600)
        with contextlib.suppress(OSError):  # Of somebody else's file the mode is theirs to set.
            os.chmod(self._path, 0o600)  # noqa: PTH101
        with _locked(file):
            _cut_torn_line(file)
            if self._repeat_head or os.lseek(file, 0, os.SEEK_END) == 0:
                _write(file, self._head)
        _sync_folder(self._path)
        return file

    @contextlib.contextmanager
    def _named_failure(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # (ValueError: a path with a NUL.)
            reason = getattr(error, "strerror", error)
            msg = f"{self._setting} '{self._path}' cannot be written: {reason}"
            raise StorageError(msg) from None


def replace(path: str, text: str) -> None:
    """Write a file for its owner only; whoever reads it finds the old or the new one, whole.

    Raises:
        OSError: If it cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    file, scratch = tempfile.mkstemp(prefix=".liveintent-", dir=folder)  # Mode 0600.
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(scratch, path)  # noqa: PTH105
    except BaseException:
        os.unlink(scratch)  # noqa: PTH108
        raise


def _append(file: int, lines: bytes) -> None:
    with _locked(file):
        _write(file, lines)


def _write(file: int, lines: bytes) -> None:
    end = os.lseek(file, 0, os.SEEK_END)
    try:
        while lines:
            lines = lines[os.write(file, lines) :]
    except OSError:  # A full disk: leave no half line for the next one to go on with.
        os.ftruncate(file, end)
        raise


def _sync_folder(path: str) -> None:
    with contextlib.suppress(OSError):  # Not every system can open a folder.
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)  # noqa: PTH100,PTH120
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _locked(file: int) -> Iterator[None]:
    """Keep other runs that share the file from writing in between."""
    if sys.platform == "win32":  # Nothing of the kind: runs must not share a file there.
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _cut_torn_line(file: int) -> None:
    """Drop a last line that a crash left unfinished: no STATE ever covered it."""
    size = end = os.lseek(file, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65_536)
        os.lseek(file, start, os.SEEK_SET)
        newline = os.read(file, end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
