"""Writes files that only their owner can read: by appending lines, or by replacing the whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator

from target_liveintent.errors import StorageError

if sys.platform != "win32":
    import fcntl

BINARY = getattr(os, "O_BINARY", 0)
"""The flag with which Windows leaves line ends alone; other systems have none."""
_BLOCK = 65_536


class AppendedFile:
    """A file to which several runs may append lines, even at the same time.

    People may move, replace or delete the file while a run goes on. So before each write and at
    each sync, the run looks whether the path still names its file. If not, it goes on in a new one,
    which begins with the lines that no STATE covers yet, as nobody may look for them in the old
    one. Only where a replay has taken the old file over, they are in safe hands there.

    Each method raises `StorageError` if the file cannot be written.

    Args:
        setting: The setting that names the file, for messages.
        path: The file, which is created when it is opened, for its owner only. One that is there
            keeps its mode.
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
        self._uncovered: list[tuple[int, int]] = []  # Where their bytes begin and end.

    def open(self) -> None:
        """Open the file and write its head, unless the file is open already."""
        with self._failures_named():
            if self._file is None:
                self._file = self._open()

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        with self.in_place() as file:
            self._append(file, lines)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[int]:
        """Give the descriptor of the file that the path names, and keep other runs from writing."""
        with self._failures_named():
            while True:
                self.open()
                assert self._file is not None  # noqa: S101 (for the type checker)
                with locked(self._file):
                    if self._is_in_place(self._file):
                        yield self._file
                        return
                self._go_on_in_new_file()

    def sync(self) -> None:
        """Make the lines survive a power cut, in the file that the path names."""
        with self._failures_named():
            while self._file is not None and (self._unsynced or self._uncovered):
                if self._unsynced:
                    os.fsync(self._file)
                    self._unsynced = False
                with locked(self._file):
                    if self._is_in_place(self._file):
                        return
                self._go_on_in_new_file()

    def cover(self) -> None:
        """Note that a STATE was written that covers all lines so far: whatever becomes of them."""
        self._uncovered.clear()

    def close(self) -> None:
        """Sync and close the file."""
        self.sync()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o600)
        try:
            check_ordinary(os.fstat(file))
            with locked(file):
                end_last_line(file, self._is_whole)
                if self._repeat_head or os.lseek(file, 0, os.SEEK_END) == 0:
                    append(file, self._head)
            sync_folder(self._path)
        except BaseException:
            os.close(file)
            raise
        return file

    def _is_in_place(self, file: int) -> bool:
        """Return whether the path still names the file; raise `OSError` if lines were cut off."""
        try:
            named = os.stat(self._path)  # noqa: PTH116
        except FileNotFoundError:
            return False
        ours = os.fstat(file)
        if not os.path.samestat(named, ours):
            return False
        if self._uncovered and ours.st_size < self._uncovered[-1][1]:
            raise OSError(errno.EIO, "the file was emptied or shortened during the run")
        return True

    def _go_on_in_new_file(self) -> None:
        """Leave the file that the path does not name any more, and save what no STATE covers."""
        assert self._file is not None  # noqa: S101 (for the type checker)
        old, uncovered = self._file, self._uncovered
        self._file, self._uncovered, self._unsynced = None, [], False
        try:
            if self._is_taken_over(old):
                os.fsync(old)
            elif uncovered:
                self._file = self._open()
                with locked(self._file):
                    self._copy(self._file, lines_between(old, uncovered))
        finally:
            os.close(old)

    def _copy(self, file: int, lines: Iterator[bytes]) -> None:
        """Append lines of the file that was left."""
        for line in lines:
            self._append(file, line)

    def _append(self, file: int, lines: bytes) -> None:
        end_last_line(file, self._is_whole)  # Another process may have been killed in a write.
        start = append(file, lines)
        self._unsynced = True
        if self._uncovered and self._uncovered[-1][1] == start:
            start, _ = self._uncovered.pop()
        self._uncovered.append((start, os.lseek(file, 0, os.SEEK_END)))

    def _is_whole(self, _line: bytes) -> bool:
        """Return whether a last line without a line end is whole all the same."""
        return False

    def _is_taken_over(self, _file: int) -> bool:
        """Return whether a replay has taken the file over, which the path does not name now."""
        return False

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

    A new file has mode 0600; one that is there, or to which a link at the path leads, keeps its
    mode. The text is written as UTF-8.

    Raises:
        OSError: If it cannot be written.
    """
    path = os.path.realpath(path)
    file, scratch = tempfile.mkstemp(prefix=".liveintent-", dir=os.path.dirname(path))  # noqa: PTH120 (Mode 0600.)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(scratch, stat.S_IMODE(os.stat(path).st_mode))  # noqa: PTH101, PTH116
        os.replace(scratch, path)  # noqa: PTH105
    except BaseException:
        os.unlink(scratch)  # noqa: PTH108
        raise


def can_be_written(path: str) -> bool:
    """Return whether the system lets us append to a file, or create it; a link is followed."""
    path = os.path.realpath(path)
    if os.path.exists(path):  # noqa: PTH110
        return os.path.isfile(path) and os.access(path, os.R_OK | os.W_OK)  # noqa: PTH113
    return os.access(os.path.dirname(path), os.W_OK | os.X_OK)  # noqa: PTH120


def check_ordinary(status: os.stat_result) -> None:
    """Raise an `OSError` for a folder, a device, a pipe or a socket."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not an ordinary file")


def append(file: int, lines: bytes) -> int:
    """Append lines, and return where they begin; a full disk leaves no part of them."""
    start = os.lseek(file, 0, os.SEEK_END)
    try:
        while lines:
            lines = lines[os.write(file, lines) :]
    except OSError:
        os.ftruncate(file, start)
        raise
    return start


def sync_folder(path: str) -> None:
    """Make the name of a file survive a power cut, where the system can open a folder."""
    with contextlib.suppress(OSError):
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)  # noqa: PTH100,PTH120
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def locked(file: int) -> Iterator[None]:
    """Keep other runs that share the file from writing at the same time."""
    if sys.platform == "win32":  # Windows has no flock, so runs must not share a file there.
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def end_last_line(file: int, is_whole: Callable[[bytes], bool]) -> None:
    """End a last line that has no line end if it is whole, as an editor may have left it.

    Otherwise remove it: a crash left it unfinished, and no STATE has covered it.
    """
    size = end = os.fstat(file).st_size
    if size and _read(file, size - 1, size) == b"\n":
        return
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = _read(file, start, end).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        if is_whole(_read(file, end, size)):
            append(file, b"\n")
        else:
            os.ftruncate(file, end)


def ends_in(file: int, line: bytes) -> bool:
    """Return whether a line is the last one of a file."""
    end = os.fstat(file).st_size
    return _read(file, max(0, end - len(line)), end) == line


def _read(file: int, start: int, end: int) -> bytes:
    os.lseek(file, start, os.SEEK_SET)
    return os.read(file, end - start)


def lines_between(file: int, places: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Read whole lines from the places in a file where they begin and end."""
    with os.fdopen(os.dup(file), "rb") as stream:
        for start, end in places:
            stream.seek(start)
            while stream.tell() < end:
                yield stream.readline()
