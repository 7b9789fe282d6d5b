"""Notes on what became of the dead letters of a part; a repetition after a kill goes on with them.

A line has the number of a dead letter in its part, and the new dead letter if there is one: without
it, the letter need not be kept. What is written survives SIGKILL. A power cut may cost the last
notes, and those letters are then sent as if the replay had not come so far.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator

from target_liveintent.errors import StorageError
from target_liveintent.storage.files import append, end_last_line, lines_between


class ReplayNotes:
    """The notes on one part.

    Args:
        path: Their file; None if they need not outlive the process. Then there is a file only if
            letters are replaced: a replay can have very many parts, such as objects of a bucket.

    Attributes:
        settled: The letters that an interrupted replay has settled.
        replaced: Those that it has replaced, with where the new ones begin.

    Raises:
        StorageError: If the file cannot be used; also from methods.
    """

    def __init__(self, path: str | None) -> None:
        self.settled: set[int] = set()
        self.replaced: dict[int, int] = {}
        self._file: int | None = None
        self._start = 0
        if path is not None:
            with _failures_named():
                self._file = _opened(path)
                self._start = self._read(self._file)

    def _read(self, file: int) -> int:
        """Read what an interrupted replay has noted, and return where it ends.

        A power cut can leave anything behind the last note; it is cut off.
        """
        place = 0
        for line in self._lines(0):
            number, has_letter, _ = line.partition(b" ")
            if not number.strip().isdigit():
                os.ftruncate(file, place)
                break
            if has_letter:
                self.replaced[int(number)] = place + len(number) + 1
            else:
                self.settled.add(int(number))
            place += len(line)
        return place

    def settle(self, letters: Iterable[int]) -> None:
        """Note that letters need not be kept."""
        if self._file is None:
            return
        with _failures_named():
            append(self._file, b"".join(b"%d\n" % letter for letter in letters))

    def replace(self, letter: int, line: bytes) -> None:
        """Note the dead letter that takes the place of one."""
        with _failures_named():
            if self._file is None:
                self._file = _scratch()
            append(self._file, b"%d %b" % (letter, line))

    def replacement(self, letter: int) -> bytes:
        """Return the new dead letter of an interrupted replay."""
        with _failures_named():
            return next(self._lines(self.replaced[letter]))

    def new_letters(self) -> Iterator[bytes]:
        """Yield the dead letters of this replay that take the place of others."""
        with _failures_named():
            for line in self._lines(self._start):
                _, has_letter, letter = line.partition(b" ")
                if has_letter:
                    yield letter

    def _lines(self, start: int) -> Iterator[bytes]:
        if self._file is None:
            return iter(())
        return lines_between(self._file, [(start, os.fstat(self._file).st_size)])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)


def _scratch() -> int:
    with tempfile.TemporaryFile() as scratch:
        return os.dup(scratch.fileno())


def _opened(path: str) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    end_last_line(file, lambda _: False)
    return file


@contextlib.contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"the notes of the replay cannot be written: {error.strerror}"
        raise StorageError(msg) from None
