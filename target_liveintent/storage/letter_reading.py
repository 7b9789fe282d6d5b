"""Reads dead letters where they are, in files or in objects, and changes nothing there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from target_liveintent.errors import StorageError
from target_liveintent.storage.journals import TakenOver
from target_liveintent.storage.letter_parts import LetterSource

_LONGEST_LINE = 16 * 1024 * 1024
"""Bytes; a longer line is no dead letter, and reading it as a whole could fill the memory."""
_SUFFIX = ".singer"


class LetterLine(NamedTuple):
    """A line of a file of dead letters.

    Attributes:
        file: The path of the file, or the URL of the object.
        number: The number of the line in it, from 1.
        text: The line; only its beginning if it is too long for a dead letter.
        is_whole: Whether the line has its end. A last line without one may still be being written.
    """

    file: str
    number: int
    text: bytes
    is_whole: bool


def letter_files(path: str) -> list[str]:
    """Return the files with the dead letters at a path, in the order of their names.

    Args:
        path: A file, or a folder as Spark writes it: its dead letters are the files `*.singer`
            directly in it. Nothing has to be there. What an interrupted replay of a file has taken
            over counts as well.

    Raises:
        StorageError: If it cannot be looked at, or is neither.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
        if stat.S_ISREG(mode):
            return [*TakenOver(path).interrupted, path]
        if stat.S_ISDIR(mode):
            with os.scandir(path) as entries:
                return sorted(one.path for one in entries if _is_of_letters(one))
    except FileNotFoundError:
        return TakenOver(path).interrupted
    except (OSError, ValueError) as error:  # A path with a NUL raises ValueError.
        raise _unreadable(path, error) from None
    msg = f"the dead letters in '{path}' cannot be read: the path is neither a file nor a folder"
    raise StorageError(msg)


def letter_lines(files: Iterable[str]) -> Iterator[LetterLine]:
    """Yield the lines of files one by one. A file that has gone in the meantime has none.

    Raises:
        StorageError: If a file cannot be read.
    """
    for path in files:
        yield from _lines(path)


def object_lines(objects: Iterable[LetterSource]) -> Iterator[LetterLine]:
    """Yield the lines of objects one by one: those are whole, as an object appears in one step.

    Raises:
        StorageError: If an object cannot be read.
    """
    for one in objects:
        for number, text in enumerate(one.lines(), 1):
            yield LetterLine(one.name, number, text, is_whole=True)


def _is_of_letters(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(_SUFFIX) and not entry.name.startswith(".") and entry.is_file()


def _lines(path: str) -> Iterator[LetterLine]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (as the user wrote it)
            number = 0
            while text := file.readline(_LONGEST_LINE):
                number += 1
                is_whole = text.endswith(b"\n") or _skip_rest(file, len(text))
                yield LetterLine(path, number, text, is_whole)
    except FileNotFoundError:  # A replay has taken it.
        return
    except OSError as error:
        raise _unreadable(path, error) from None


def _skip_rest(file: BinaryIO, length: int) -> bool:
    """Read a line, of which so many bytes have been read, to its end; False if it has none."""
    rest = b""
    while length == _LONGEST_LINE and not rest.endswith(b"\n"):
        rest = file.readline(_LONGEST_LINE)
        length = len(rest)
    return rest.endswith(b"\n")


def _unreadable(path: str, error: OSError | ValueError) -> StorageError:
    msg = f"the dead letters in '{path}' cannot be read: {getattr(error, 'strerror', error)}"
    return StorageError(msg)
