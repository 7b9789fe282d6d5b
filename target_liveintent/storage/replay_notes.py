"""Notes on what became of the dead letters of a part.

For a part with a file for them, a repetition after a kill goes on with the notes. A line has the
number of a dead letter in its part, and the new dead letter if there is one: without it, the letter
need not be kept. What is written survives SIGKILL. A power cut may cost the last notes, and those
letters are then sent as if the replay had not come so far.

The notes on parts without such a file need not outlive the process. There can be very many of them,
such as the objects of a bucket, so they share one scratch file, which is made for the first new
dead letter.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import IO, Protocol

from target_liveintent.errors import StorageError
from target_liveintent.storage.dead_letters import message_in
from target_liveintent.storage.files import BINARY, append, end_last_line, lines_between

_MOST_IN_MEMORY = 8_000_000
"""The most bytes of new dead letters for which there is no scratch file."""
_LONGEST_NUMBER = 18
"""Digits."""


class ReplayNotes(Protocol):
    """The notes on one part. Methods raise `StorageError` if a file cannot be used.

    Attributes:
        settled: The letters that an interrupted replay has settled.
    """

    @property
    def settled(self) -> Collection[int]: ...  # noqa: D102 (above)

    def settle(self, letters: Iterable[int]) -> None:
        """Note that letters need not be kept."""

    def replace(self, letter: int, line: bytes) -> None:
        """Note the dead letter that takes the place of one."""

    def as_noted(self, letter: int, line: bytes) -> bytes:
        """Return a letter, or the one with which an interrupted replay has replaced it."""

    def new_letters(self) -> Iterator[bytes]:
        """Yield the dead letters of this replay that take the place of others."""

    def close(self) -> None:
        """Close the file."""


class NotesInFile:
    """Notes in a file of their own, which a repetition reads.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.settled: set[int] = set()
        self._replaced: dict[int, int] = {}  # With where the new ones begin.
        with _failures_named():
            self._file = _opened(path)
            self._start = self._read()

    def _read(self) -> int:
        """Read what an interrupted replay has noted, and return where it ends.

        A power cut can leave anything behind the last note; it is cut off.
        """
        place = 0
        for line in self._lines(0):
            number, has_letter, letter = line.partition(b" ")
            if not _is_number(number.strip()) or (has_letter and not _is_letter(letter)):
                os.ftruncate(self._file, place)
                break
            if has_letter:
                self._replaced[int(number)] = place + len(number) + 1
            else:
                self.settled.add(int(number))
            place += len(line)
        return place

    def settle(self, letters: Iterable[int]) -> None:
        """Note that letters need not be kept."""
        with _failures_named():
            append(self._file, b"".join(b"%d\n" % letter for letter in letters))

    def replace(self, letter: int, line: bytes) -> None:
        """Note the dead letter that takes the place of one."""
        with _failures_named():
            append(self._file, b"%d %b" % (letter, line))

    def as_noted(self, letter: int, line: bytes) -> bytes:
        """Return a letter, or the one with which an interrupted replay has replaced it."""
        if (place := self._replaced.get(letter)) is None:
            return line
        with _failures_named():
            return next(self._lines(place))

    def new_letters(self) -> Iterator[bytes]:
        """Yield the dead letters of this replay that take the place of others."""
        with _failures_named():
            for line in self._lines(self._start):
                _, has_letter, letter = line.partition(b" ")
                if has_letter:
                    yield letter

    def _lines(self, start: int) -> Iterator[bytes]:
        return lines_between(self._file, [(start, os.fstat(self._file).st_size)])

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Scratch:
    """Where `PassingNotes` keep new dead letters: in memory, or in one file if there are many."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def add(self, line: bytes) -> int:
        """Keep a line, and return where."""
        with _failures_named():
            if self._file is None:
                self._file = tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY)  # noqa: SIM115
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            return place

    def line_at(self, place: int) -> bytes:
        """Return the line that is kept there."""
        assert self._file is not None  # noqa: S101 (for the type checker)
        with _failures_named():
            self._file.seek(place)
            return self._file.readline()

    def close(self) -> None:
        """Forget all lines."""
        if self._file is not None:
            self._file.close()


class PassingNotes:
    """Notes that need not outlive the process.

    Args:
        scratch: Keeps the new dead letters of all parts.
    """

    settled: Collection[int] = ()

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._places = array("q")

    def settle(self, letters: Iterable[int]) -> None:
        """Do nothing: the process knows."""

    def replace(self, _letter: int, line: bytes) -> None:
        """Note the dead letter that takes the place of one."""
        self._places.append(self._scratch.add(line))

    def as_noted(self, _letter: int, line: bytes) -> bytes:
        """Return the letter: nothing was noted before."""
        return line

    def new_letters(self) -> Iterator[bytes]:
        """Yield the dead letters of this replay that take the place of others."""
        return map(self._scratch.line_at, self._places)

    def close(self) -> None:
        """Do nothing: the scratch file is that of all parts."""


def _is_letter(line: bytes) -> bool:
    message = message_in(line)
    return message is not None and message.is_letter


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _LONGEST_NUMBER


def _opened(path: str) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o600)
    end_last_line(file, lambda _: False)
    return file


@contextlib.contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"the replay cannot record the outcomes of the dead letters: {error.strerror}"
        raise StorageError(msg) from None
