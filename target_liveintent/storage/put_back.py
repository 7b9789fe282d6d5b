"""Where a replay puts dead letters back: each part of them once, whatever is killed in between.

What is left of a part is written to a file beside `dead_letter_path` first, the *rest*. From the
moment it has its name, it stands for the part. Then its lines are appended to the dead letters, the
part is removed where it was, and at last the rest. Any replay that comes across a rest appends it
before it takes the dead letters over; it keeps its name, so that the replay of the part, when it is
repeated, knows that nothing of the part is left to be done. No path is in these files: they belong
to the dead letters beside which they are, wherever their folder is mounted.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Collection, Iterable
from typing import Protocol

from target_liveintent.storage.dead_letters import HEAD, DeadLetterFile
from target_liveintent.storage.files import BINARY, check_ordinary, sync_folder
from target_liveintent.storage.letter_objects import ENDING
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.replay_files import (
    failures_named,
    leftover,
    part_of,
    remove,
    replay_files,
    write_new,
)


class PutBack(Protocol):
    """Takes what is left of the parts of a replay. Methods raise `StorageError` if it fails."""

    def complete(self) -> None:
        """Put back what interrupted replays have begun to put back."""

    @property
    def parts(self) -> Collection[str]:
        """The IDs of parts that were put back, or begun to be, and not forgotten yet."""

    def put(self, part: str, lines: Iterable[bytes], like: str | None = None) -> None:
        """Put dead letters back durably; a repetition adds nothing.

        Args:
            part: The ID of the part that they are left of.
            lines: The dead letters, at least one, each with its line end.
            like: The file whose owner and mode a new file gets.
        """

    def forget(self, part: str) -> None:
        """Note that a part is not there any more, so that it cannot be put back again."""


class PutBackToFile:
    """The file of `dead_letter_path`; see `PutBack`.

    Args:
        path: The file. It need not be there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._prefix = replay_files(path)

    @property
    def parts(self) -> Collection[str]:
        """The IDs of parts that were put back, or begun to be, and not forgotten yet."""
        paths = [*self.rests, *leftover(self._prefix, "back")]
        return {part_of(self._prefix, path) for path in paths}

    @property
    def rests(self) -> list[str]:
        """The files whose dead letters are still to be appended; some may have been already."""
        return leftover(self._prefix, "rest")

    def complete(self) -> None:
        """Put back what interrupted replays have begun to put back."""
        with failures_named(f"dead_letter_path '{self._path}' cannot be written"):
            for rest in self.rests:
                self._append(rest)

    def put(self, part: str, lines: Iterable[bytes], like: str | None = None) -> None:
        """Put dead letters back durably; a repetition adds nothing."""
        rest = f"{self._prefix}-{part}.rest"
        with failures_named(f"dead_letter_path '{self._path}' cannot be written"):
            self._make(like)
            write_new(rest, itertools.chain([HEAD], lines))
            self._append(rest)

    def forget(self, part: str) -> None:
        """Note that a part is not there any more, so that it cannot be put back again."""
        for kind in ("back", "rest.new"):
            remove(f"{self._prefix}-{part}.{kind}")

    def _make(self, like: str | None) -> None:
        """Fail before there is a rest, as one that cannot be appended would be in the way.

        A new file gets the owner and the mode of the one that was taken over: whoever could write
        into that one can write into it, too.
        """
        is_new = not os.path.exists(self._path)  # noqa: PTH110
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
        try:
            check_ordinary(os.fstat(file))
            if is_new and like is not None and sys.platform != "win32":
                rights = os.stat(like)  # noqa: PTH116
                with contextlib.suppress(PermissionError):  # Only root can give a file away.
                    os.fchown(file, rights.st_uid, rights.st_gid)
                os.fchmod(file, stat.S_IMODE(rights.st_mode))
        finally:
            os.close(file)

    def _append(self, rest: str) -> None:
        file = DeadLetterFile(self._path)
        try:
            # While the file is locked, no replay takes it over, so none of its lines is missing.
            with file.in_place() as target, contextlib.suppress(FileNotFoundError):
                with open(rest, "rb+") as lines:  # noqa: PTH123 (another replay may be faster)
                    lines.readline()  # The SCHEMA.
                    file.add_missing(target, lines)
                    os.fsync(target)
                    lines.truncate(0)  # Only its name is still needed.
                os.replace(rest, f"{rest.removesuffix('rest')}back")  # noqa: PTH105
                sync_folder(rest)
            file.cover()
        finally:
            file.close()


class PutBackToStore:
    """The folder of an object store that `dead_letter_path` names; see `PutBack`.

    An object is named by the part, so a repetition replaces it.
    """

    parts: Collection[str] = ()

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def complete(self) -> None:
        """Do nothing: an object is put in one step."""

    def put(self, part: str, lines: Iterable[bytes], like: str | None = None) -> None:  # noqa: ARG002
        """Put dead letters back durably; a repetition adds nothing."""
        self._store.put(f"{part}{ENDING}", b"".join([HEAD, *lines]))

    def forget(self, part: str) -> None:
        """Do nothing: the name of the object says which part it is."""
