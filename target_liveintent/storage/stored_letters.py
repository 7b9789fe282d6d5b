"""Dead letters in objects that a replay takes over, or that it puts into an object store.

An object is never appended to, so it stays where it is while its dead letters are sent. At the end,
one PUT or DELETE leaves in it what has no other outcome: whenever the process is killed, the object
is whole. Where the dead letters go to another place, they are put there first, under a name that
depends on where they were: a repetition replaces them.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import blake2b

from target_liveintent.errors import StorageError
from target_liveintent.settings import is_url
from target_liveintent.storage.dead_letters import HEAD, DeadLetterFile
from target_liveintent.storage.journals import Journal, LetterFile, TakenOver
from target_liveintent.storage.letter_objects import ENDING
from target_liveintent.storage.object_store import ObjectStore

PutBack = Callable[[str, list[bytes]], None]
"""Puts dead letters durably into another place; called again with the same name, it replaces them
or leaves out those that are there."""


class LetterObject:
    """An object of dead letters.

    Args:
        store: Its folder.
        key: Its name in the folder.
        put_back: Where its dead letters go; None if they stay in the folder.
    """

    def __init__(self, store: ObjectStore, key: str, put_back: PutBack | None = None) -> None:
        self.name = f"{store.url}/{key}"
        self.notes: str | None = None  # Nothing but dead letters is put into the folder.
        self._store = store
        self._key = key
        self._put_back = put_back
        self._seen: str | None = None  # The digest of its content, once it was read.

    def lines(self) -> Iterator[bytes]:
        """Yield its lines; none if it is gone, as somebody else has replayed or removed it.

        Raises:
            StorageError: If it is not what it was the first time: a store has no locks, and what
                became of the old lines says nothing of the new ones.
        """
        try:
            content = self._store.read(self._key)
        except FileNotFoundError:
            return
        digest = blake2b(content).hexdigest()
        if self._seen not in {None, digest}:
            msg = (
                f"'{self.name}' has changed while its dead letters were sent, by another replay"
                " perhaps, so it stays as it is; run the replay again, one at a time"
            )
            raise StorageError(msg)
        self._seen = digest
        for line in io.BytesIO(content):
            yield line if line.endswith(b"\n") else line + b"\n"

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into `dead_letter_path`, and remove the others."""
        left = list(lines)
        if left and self._put_back is None:
            self._store.put(self._key, b"".join([HEAD, *left]))
            return
        if left and self._put_back is not None:
            self._put_back(_derived(self._key.removesuffix(ENDING), self.name), left)
        self._store.delete(self._key)


class MovedJournal:
    """A file that a replay has taken over, and whose dead letters go to an object store."""

    def __init__(self, journal: Journal, put_back: PutBack) -> None:
        self.name = journal.name
        self.notes = journal.notes
        self._journal = journal
        self._put_back = put_back

    def lines(self) -> Iterator[bytes]:
        """Yield its whole lines."""
        return self._journal.lines()

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into `dead_letter_path`, and remove the journal."""
        if left := list(lines):
            written = time.gmtime(os.stat(self.name).st_mtime)  # noqa: PTH116
            self._put_back(_derived(time.strftime("%Y%m%dT%H%M%SZ", written), self.name), left)
        self._journal.leave(())


class StoredLetters:
    """The dead letters in a folder of an object store.

    Args:
        store: The folder.
        store_at: Returns the store of a URL of `dead_letter_path`.
    """

    def __init__(self, store: ObjectStore, store_at: Callable[[str], ObjectStore]) -> None:
        self._store = store
        self._store_at = store_at
        # A store has no locks, and objects that are not dead letters are not to be put there.
        self._here = TakenOver(_digest(store.url), known_as=store.url)

    @property
    def sources(self) -> list[LetterObject]:
        """The objects directly in the folder."""
        self._store.check()
        return [LetterObject(self._store, key) for key in self._keys]

    @property
    def _keys(self) -> list[str]:
        return [name for name in self._store.names() if name.endswith(ENDING)]

    @property
    def ledger(self) -> str:
        """The ledger of the replays of this folder where the settings turn the usual one off."""
        return self._here.ledger

    def alone(self) -> AbstractContextManager[None]:
        """Keep other replays on this machine away, which run in the same folder."""
        return self._here.alone()

    def take(self, run_id: str, dead_letter_path: str) -> list[LetterObject]:  # noqa: ARG002
        """Take over the objects that are there: runs that go on put others."""
        stays = dead_letter_path.rstrip("/") == self._store.url
        to = None if stays else put_back_to(dead_letter_path, self._store_at)
        return [LetterObject(self._store, key, to) for key in self._keys]

    def forget_ledger(self) -> None:
        """Remove the ledger of a replay that has come to its end."""
        self._here.forget_ledger()


class LettersToStore:
    """The dead letters of a file, where `dead_letter_path` is in an object store.

    Args:
        path: The file.
        store_at: Returns the store of a URL of `dead_letter_path`.
    """

    def __init__(self, path: str, store_at: Callable[[str], ObjectStore]) -> None:
        self._letters = TakenOver(path)
        self._store_at = store_at
        self.ledger = self._letters.ledger
        self.alone = self._letters.alone
        self.forget_ledger = self._letters.forget_ledger

    @property
    def sources(self) -> list[LetterFile]:
        """The file, and what interrupted replays have left."""
        return self._letters.sources

    def take(self, run_id: str, dead_letter_path: str) -> list[MovedJournal]:
        """Take over the file, and what interrupted replays have left."""
        to = put_back_to(dead_letter_path, self._store_at)
        return [MovedJournal(one, to) for one in self._letters.take(run_id, dead_letter_path)]


def put_back_to(dead_letter_path: str, store_at: Callable[[str], ObjectStore]) -> PutBack:
    """Return what puts dead letters into a file, or an object of them into a store."""
    if is_url(dead_letter_path):
        store = store_at(dead_letter_path)
        return lambda name, lines: store.put(name, b"".join([HEAD, *lines]))
    return lambda _, lines: _append_missing(dead_letter_path, lines)


def _append_missing(path: str, lines: list[bytes]) -> None:
    file = DeadLetterFile(path)
    try:
        with file.in_place() as target:
            file.add_missing(target, lines)
            os.fsync(target)
        file.cover()
    finally:
        file.close()


def _derived(beginning: str, place: str) -> str:
    """Return the name of an object for dead letters that were in another place."""
    return f"{beginning}-{_digest(place)}{ENDING}"


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="surrogateescape"), digest_size=6).hexdigest()
