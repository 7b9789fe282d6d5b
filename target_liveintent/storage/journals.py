"""Takes a dead-letter file over for a replay.

The file is renamed to a journal in its folder, so runs that go on meanwhile write a new file. The
journal stays until what is left of it was put back; `put_back` says how each letter is kept once,
whenever the process is killed. The next replay goes on with what is there.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from target_liveintent.errors import ConfigurationError
from target_liveintent.storage.dead_letters import is_marked, is_whole, mark
from target_liveintent.storage.files import BINARY, check_ordinary, locked, sync_folder
from target_liveintent.storage.put_back import PutBack, PutBackToFile
from target_liveintent.storage.replay_files import (
    alone,
    failures_named,
    forget_ledger,
    is_anything_left,
    is_named,
    leftover,
    part_of,
    remove,
    replay_files,
)


class LetterFile:
    """A file of dead letters that can be read.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.name = self._path = path

    def lines(self) -> Iterator[bytes]:
        """Yield its whole lines."""
        with failures_named(f"'{self._path}' cannot be read"), open(self._path, "rb") as file:  # noqa: PTH123
            for line in file:
                if line.endswith(b"\n"):
                    yield line
                elif is_whole(line):
                    yield line + b"\n"


class Journal(LetterFile):
    """A file that a replay has taken over.

    Args:
        prefix: What the paths of the replay's files begin with.
        part: The ID of the part, which is that of the run that has taken the file over.
        back: Where dead letters are put back.
    """

    def __init__(self, prefix: str, part: str, back: PutBack) -> None:
        super().__init__(f"{prefix}-{part}.journal")
        self.notes: str | None = f"{prefix}-{part}.notes"
        self._part = part
        self._back = back

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into `dead_letter_path`, each once, and remove the journal."""
        with failures_named(
            f"the remaining dead letters in '{self._path}' cannot be moved to dead_letter_path"
        ):
            lines = iter(lines)
            if (first := next(lines, None)) is not None:
                self._back.put(self._part, itertools.chain([first], lines), like=self._path)
            self.remove()

    def remove(self) -> None:
        """Remove the journal. The notes come last: they say whose part it was that was put back."""
        remove(self._path)
        self._back.forget(self._part)
        assert self.notes is not None  # noqa: S101 (for the type checker)
        remove(self.notes)


class TakenOver:
    """The files of replays of one path: what an interrupted one has left, and a lock.

    Args:
        path: The file of dead letters. It need not be there.
        back: Where dead letters are put back; None for the file itself.
    """

    def __init__(self, path: str, back: PutBack | None = None) -> None:
        self._path = path
        self._file = os.path.realpath(path)  # Runs write to what a link leads to.
        self._prefix = replay_files(path)
        self._own = PutBackToFile(path)
        self._back = back or self._own

    @property
    def ledger(self) -> str:
        """The ledger of the replays of this path where the settings turn the usual one off."""
        return f"{self._prefix}.sqlite"

    def alone(self) -> AbstractContextManager[None]:
        """Keep other replays of the path away; raises a `StorageError` if one goes on."""
        return alone(f"{self._prefix}.lock", self._path)

    def check(self) -> None:
        """Check that there is a file, or what an interrupted replay of it has left.

        Raises:
            ConfigurationError: If there is neither, or a folder.
        """
        try:
            is_file = stat.S_ISREG(os.stat(self._file).st_mode)  # noqa: PTH116
        except FileNotFoundError:
            if is_anything_left(self._prefix):
                return
            msg = (
                f"the file '{self._path}' does not exist, and no dead letters are left from an"
                " interrupted replay of this path: correct the path given to --replay"
            )
            raise ConfigurationError(msg) from None
        except OSError as error:
            msg = f"the path given to --replay, '{self._path}', cannot be read: {error.strerror}"
            raise ConfigurationError(msg) from None
        if not is_file:
            msg = (
                f"'{self._path}' is not a file: give --replay a file of dead letters, or the URL"
                " of a folder of dead letters"
            )
            raise ConfigurationError(msg)

    @property
    def sources(self) -> list[LetterFile]:
        """What a replay of the path would take over; the file itself is the last one.

        Raises:
            StorageError: If what is there is not a file.
        """
        with failures_named(f"'{self._path}' cannot be read"):
            found = [LetterFile(path) for path in self.interrupted]
            with contextlib.suppress(FileNotFoundError):
                check_ordinary(os.stat(self._file))  # noqa: PTH116
                found.append(LetterFile(self._path))
            return found

    @property
    def interrupted(self) -> list[str]:
        """The files with the dead letters of replays that have not come to their end."""
        done = self._back.parts
        journals = leftover(self._prefix, "journal")
        left = [path for path in journals if part_of(self._prefix, path) not in done]
        return [*left, *self._own.rests]

    def forget_ledger(self) -> None:
        """Remove the ledger of a replay that has come to its end."""
        forget_ledger(self.ledger)

    def take(self, run_id: str) -> list[Journal]:
        """Take over the file, and what interrupted replays have left.

        Args:
            run_id: The ID of the replay.

        Raises:
            StorageError: If that is not possible.
        """
        with failures_named(
            f"the replay cannot rename '{self._path}', or cannot write its working files in"
            " the same folder"
        ):
            self._back.complete()
            self._remove_finished()
            self._rename(f"{self._prefix}-{run_id}.journal")
            return [self._journal(path) for path in leftover(self._prefix, "journal")]

    def _remove_finished(self) -> None:
        """Remove what is left of parts that were put back, and notes whose journal is gone."""
        finished = self._back.parts
        journals = set(leftover(self._prefix, "journal"))
        for path in journals:
            if part_of(self._prefix, path) in finished:
                self._journal(path).remove()
            else:
                _mark_again(path)
        for path in leftover(self._prefix, "notes"):
            if f"{path.removesuffix('notes')}journal" not in journals:
                self._journal(path).remove()

    def _rename(self, journal: str) -> None:
        """Rename the file to a journal, if there is one."""
        while True:
            self._own.complete()  # Otherwise some of those letters would be in two parts.
            try:
                file = os.open(self._file, os.O_RDWR | os.O_APPEND | BINARY)
            except FileNotFoundError:
                return
            try:
                with locked(file):
                    if not is_named(self._file, file) or self._own.rests:
                        continue
                    os.rename(self._file, journal)  # noqa: PTH104
                    sync_folder(journal)
                    mark(file)
                    return
            finally:
                os.close(file)

    def _journal(self, path: str) -> Journal:
        return Journal(self._prefix, part_of(self._prefix, path), self._back)


def _mark_again(journal: str) -> None:
    """Mark a journal, as the replay that has taken it over may have been killed before that."""
    file = os.open(journal, os.O_RDWR | os.O_APPEND | BINARY)
    try:
        with locked(file):
            if not is_marked(file):
                mark(file)
    finally:
        os.close(file)
