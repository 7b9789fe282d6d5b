"""Writes files that only their owner can read: by appending lines, or by replacing the whole."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator

from target_liveintent.errors import StorageError

if sys.platform != "win32":
    import fcntl

_BINARY = getattr(os, "O_BINARY", 0)


class AppendedFile:
    """A file to which several runs may append lines, even at the same time.

    Each method raises `StorageError` if the file cannot be written.

    Args:
        setting: The setting that names the file, for messages.
        path: The file, which is created when it is opened.
        head: The lines before all others.
        repeat_head: Whether each run writes the head, and not only the one that creates the file.
    """

    def __init__(self, setting: str, path: str, head: bytes, *, repeat_head: bool) -> None:
        self._setting = setting
        self._path = path
        self._head = head
        self._repeat_head = repeat_head
        self._file: int | None = None
        self._unsynced = False

    def open(self) -> None:
        """Open the file and write its head, unless the file is open already."""
        with self._failures_named():
            if self._file is None:
                self._file = self._open()

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        self.open()
        assert self._file is not None  # noqa: S101 (for the type checker)
        with self._failures_named(), _locked(self._file):
            _write(self._file, lines)
        self._unsynced = True

    def sync(self) -> None:
        """Make the lines survive a power cut."""
        if self._unsynced and self._file is not None:
            with self._failures_named():
                os.fsync(self._file)
            self._unsynced = False

    def close(self) -> None:
        """Sync and close the file."""
        self.sync()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o600)
        if stat.S_ISREG(os.fstat(file).st_mode):  # Not /dev/null, which is for everybody.
            with contextlib.suppress(OSError):  # Only the owner of a file can set its mode.
                os.chmod(self._path, 0o600)  # noqa: PTH101
        with _locked(file):
            _cut_torn_line(file)
            if self._repeat_head or os.lseek(file, 0, os.SEEK_END) == 0:
                _write(file, self._head)
        _sync_folder(self._path)
        return file

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # A path with a NUL raises ValueError.
            reason = getattr(error, "strerror", error)
            msg = f"{self._setting} '{self._path}' cannot be written: {reason}"
            raise StorageError(msg) from None


def replace_file(path: str, text: str) -> None:
    """Replace the text of a file in one step: a reader finds the old text or the new one.

    The file has mode 0600 and is written as UTF-8.

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


def _write(file: int, lines: bytes) -> None:
    end = os.lseek(file, 0, os.SEEK_END)
    try:
        while lines:
            lines = lines[os.write(file, lines) :]
    except OSError:  # The disk is full: remove the part that fitted, so that no line is torn.
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
    """Keep other runs that share the file from writing at the same time."""
    if sys.platform == "win32":  # Windows has no flock, so runs must not share a file there.
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _cut_torn_line(file: int) -> None:
    """Remove a last line that a crash left unfinished: no STATE has covered it."""
    size = end = os.fstat(file).st_size
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
