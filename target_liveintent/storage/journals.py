"""Takes a dead-letter file over for a replay, and puts back what the replay leaves.

The file is renamed to a journal in its folder, so runs that go on meanwhile write a new file. At
the end, what is left is written to a commit, which replaces the journal from the moment it has its
name; then its lines are appended to the dead-letter file. So whenever the process is killed,
either the journal or the commit is whole, and the next replay goes on with it.

The names of these files hold a hash of the name of the file that was taken over, so a replay finds
what an interrupted one has left. They do not match `*dead-letters*`: files so named hold Singer
messages only.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from target_liveintent.errors import StorageError
from target_liveintent.storage.dead_letters import HEAD, LAST_LINE, DeadLetterFile, is_whole
from target_liveintent.storage.files import (
    append,
    check_ordinary,
    end_last_line,
    locked,
    sync_folder,
)

if sys.platform != "win32":
    import fcntl

_PREFIX = ".liveintent-replay-"
_BINARY = getattr(os, "O_BINARY", 0)
_decode_line = msgspec.json.Decoder(dict[str, Any]).decode


class LetterFile:
    """A file of dead letters that can be read.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.name = self._path = path

    def lines(self) -> Iterator[bytes]:
        """Yield its whole lines."""
        with _failures_named(f"'{self._path}' cannot be read"), open(self._path, "rb") as file:  # noqa: PTH123
            for line in file:
                if line.endswith(b"\n"):
                    yield line
                elif is_whole(line):
                    yield line + b"\n"


class Journal(LetterFile):
    """A file that a replay has taken over.

    Args:
        path: The journal.
        dead_letter_path: Where dead letters are put back.
    """

    def __init__(self, path: str, dead_letter_path: str) -> None:
        super().__init__(path)
        self.notes: str | None = _notes(path)
        self._dead_letter_path = dead_letter_path

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into the dead-letter file, each once, and remove the journal."""
        msg = f"what is left of '{self._path}' cannot be put back"
        with _failures_named(msg):
            lines = iter(lines)
            if (first := next(lines, None)) is None:
                _remove(self._path)
                _remove(_notes(self._path))
                return
            _check_writable(self._dead_letter_path, like=self._path)
            commit = f"{self._path.removesuffix('.journal')}.commit"
            path = os.path.realpath(self._dead_letter_path)
            # Like the journal, the commit is a Singer stream of dead letters, which can be read.
            head = _decode_line(HEAD) | {"dead_letter_path": path}
            _write_new(commit, [msgspec.json.encode(head) + b"\n", first], lines)
            complete_commit(commit)


class TakenOver:
    """The files of replays of one path: what an interrupted one has left, and a lock.

    Args:
        path: The file of dead letters. It need not be there.
        known_as: What messages call it, if that is not its path.
    """

    def __init__(self, path: str, known_as: str = "") -> None:
        self.path = known_as or path
        self._file = os.path.realpath(path)  # Runs write to what a link leads to.
        self._folder, name = os.path.split(self._file)
        digest = blake2b(name.encode(errors="surrogateescape"), digest_size=6).hexdigest()
        self._prefix = os.path.join(self._folder, f"{_PREFIX}{digest}")  # noqa: PTH118

    @property
    def ledger(self) -> str:
        """The ledger of the replays of this path where the settings turn the usual one off."""
        return f"{self._prefix}.sqlite"

    @property
    def sources(self) -> list[LetterFile]:
        """What a replay of the path would take over; the file itself is the last one.

        Raises:
            StorageError: If what is there is not a file.
        """
        with _failures_named(f"'{self.path}' cannot be read"):
            found = [LetterFile(path) for path in self.interrupted]
            with contextlib.suppress(FileNotFoundError):
                check_ordinary(os.stat(self._file))  # noqa: PTH116
                found.append(LetterFile(self.path))
            return found

    @property
    def interrupted(self) -> list[str]:
        """The files with the dead letters of replays that have not come to their end."""
        return [*self._journals, *self._leftover("commit")]

    @property
    def _journals(self) -> list[str]:
        committed = {path.removesuffix(".commit") for path in self._leftover("commit")}
        paths = self._leftover("journal")
        return [path for path in paths if path.removesuffix(".journal") not in committed]

    def _leftover(self, kind: str) -> list[str]:
        return sorted(glob.glob(f"{glob.escape(self._prefix)}-*.{kind}"))  # noqa: PTH207

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other replays of the path away; raises a `StorageError` if one goes on."""
        name = f"{self._prefix}.lock"
        msg = f"'{self.path}' cannot be taken over"
        with _failures_named(msg):
            while True:
                lock = os.open(name, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
                if not _lock_at_once(lock):
                    os.close(lock)
                    msg = (
                        f"another replay of '{self.path}' goes on: let it come to its end, then"
                        " repeat the command"
                    )
                    raise StorageError(msg)
                if _names(name, lock):  # Not removed by another replay at its end.
                    break
                os.close(lock)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            os.close(lock)

    def take(self, run_id: str, dead_letter_path: str) -> list[Journal]:
        """Take over the file, and what interrupted replays have left.

        Args:
            run_id: The ID of the replay.
            dead_letter_path: Where dead letters are put back.

        Raises:
            StorageError: If that is not possible.
        """
        msg = f"'{self.path}' cannot be taken over"
        with _failures_named(msg):
            self._complete_others(dead_letter_path)
            journals = set(self._journals)
            for path in (*self._leftover("commit.new"), *self._leftover("notes")):
                if f"{path.removesuffix('.notes')}.journal" not in journals:
                    _remove(path)
            _rename(self._file, f"{self._prefix}-{run_id}.journal")
        return [Journal(path, dead_letter_path) for path in self._journals]

    def _complete_others(self, dead_letter_path: str) -> None:
        """Complete what replays that were killed have begun to put back, in the folders of both."""
        folders = {self._folder, os.path.dirname(os.path.realpath(dead_letter_path))}  # noqa: PTH120
        for folder in sorted(folders):
            for path in sorted(glob.glob(f"{glob.escape(folder)}/{_PREFIX}*.commit")):  # noqa: PTH207
                complete_commit(path)

    def forget_ledger(self) -> None:
        """Remove the ledger of a replay that has come to its end."""
        for path in glob.glob(f"{glob.escape(self.ledger)}*"):  # noqa: PTH207
            _remove(path)


def _rename(path: str, journal: str) -> None:
    """Rename a file, if there is one, so that a run which has it open knows that it is cared for.

    The last line is written before: should the process be killed between the two, the file has
    one more SCHEMA message, and nothing else has changed.
    """
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_APPEND | _BINARY)
        except FileNotFoundError:
            return
        try:
            with locked(file):
                if not _names(path, file):
                    continue
                end_last_line(file, is_whole)
                append(file, LAST_LINE)
                os.fsync(file)
                os.rename(path, journal)  # noqa: PTH104
                sync_folder(journal)
                return
        finally:
            os.close(file)


def _write_new(path: str, head: Iterable[bytes], lines: Iterable[bytes]) -> None:
    """Write a file in one step."""
    scratch = f"{path}.new"
    file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.writelines(head)
        stream.writelines(lines)
        stream.flush()
        os.fsync(file)
    os.replace(scratch, path)  # noqa: PTH105
    sync_folder(path)


def _check_writable(dead_letter_path: str, *, like: str) -> None:
    """Fail before there is a commit, as one that cannot be completed would be in the way.

    A file that is made gets the owner and the mode of the one that was taken over: whoever could
    write into that one can write into it, too.
    """
    with _failures_named(f"dead_letter_path '{dead_letter_path}' cannot be written"):
        is_new = not os.path.exists(dead_letter_path)  # noqa: PTH110
        file = os.open(dead_letter_path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        try:
            check_ordinary(os.fstat(file))
            if is_new and sys.platform != "win32":
                rights = os.stat(like)  # noqa: PTH116
                with contextlib.suppress(PermissionError):  # Only root can give a file away.
                    os.fchown(file, rights.st_uid, rights.st_gid)
                os.fchmod(file, stat.S_IMODE(rights.st_mode))
        finally:
            os.close(file)


def complete_commit(commit: str) -> None:
    """Append the lines of a commit to the dead-letter file; remove the journal, then the commit."""
    try:
        lines = open(commit, "rb")  # noqa: PTH123, SIM115
    except FileNotFoundError:
        return
    with lines:
        head = _decode_line(lines.readline())
        journal = f"{commit.removesuffix('.commit')}.journal"
        file = DeadLetterFile(head["dead_letter_path"])
        try:
            # While the file is locked, no replay takes it over, so none of its lines is missing.
            with file.in_place() as target:
                if os.path.exists(commit):  # noqa: PTH110
                    file.add_missing(target, lines)
                    os.fsync(target)
                    _remove(journal)
                    _remove(_notes(journal))
                    _remove(commit)
            file.cover()
        finally:
            file.close()


def _notes(journal: str) -> str:
    return f"{journal.removesuffix('.journal')}.notes"


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
        sync_folder(path)


def _names(path: str, file: int) -> bool:
    """Return whether a path names a file that is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _lock_at_once(file: int) -> bool:
    if sys.platform == "win32":  # It has no flock.
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _failures_named(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        msg = f"{what}: {getattr(error, 'strerror', None) or error}"
        raise StorageError(msg) from None
