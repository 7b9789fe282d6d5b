"""Dead letters in objects that a replay takes over.

An object is never appended to, so it stays where it is while its dead letters are sent. At the end,
one PUT or DELETE leaves in it what has no other outcome: whenever the process is killed, the object
is whole. Where the dead letters go to another place, they are put there first.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.dead_letters import HEAD
from target_liveintent.storage.letter_objects import ENDING
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.put_back import PutBack
from target_liveintent.storage.replay_files import alone, digest, forget_ledger, replay_files

_TIME = len("20261126T120000Z")


class LetterObject:
    """An object of dead letters.

    Args:
        store: Its folder.
        key: Its name in the folder.
        back: Where its dead letters go; None if they stay in the object.
    """

    def __init__(self, store: ObjectStore, key: str, back: PutBack | None = None) -> None:
        self.name = f"{store.url}/{key}"
        self.notes: str | None = None  # Nothing but dead letters is put into the folder.
        self._store = store
        self._key = key
        self._back = back
        self._seen: str | None = None  # The digest of its content, once it was read.

    @property
    def part(self) -> str:
        """The ID of the part: of which object, and of which content, as others may replace it.

        It begins with the time of the object, and ends in what stands for its folder.
        """
        if self._seen is None:
            next(self.lines(), None)
        time = self._key.removesuffix(ENDING)[:_TIME]
        return f"{time}-{digest(f'{self._key} {self._seen}')}-{digest(self._store.url)}"

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
        seen = blake2b(content).hexdigest()
        if self._seen not in {None, seen}:
            msg = (
                f"the object '{self.name}' was changed during this replay, perhaps by another"
                " replay, so this replay leaves the object as it is. Run the replay again. Never"
                " run two replays at the same time"
            )
            raise StorageError(msg)
        self._seen = seen
        for line in io.BytesIO(content):
            yield line if line.endswith(b"\n") else line + b"\n"

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into `dead_letter_path`, and remove the others."""
        left = list(lines)
        if left and self._back is None:
            self._store.put(self._key, b"".join([HEAD, *left]))
            return
        if left and self._back is not None:
            self._back.put(self.part, left)
        self.remove()

    def remove(self) -> None:
        """Delete the object."""
        self._store.delete(self._key)
        if self._back is not None:
            self._back.forget(self.part)


class StoredLetters:
    """The dead letters in a folder of an object store.

    Args:
        store: The folder.
        back: Where dead letters go; None if they stay in the folder.
        folder: A folder of this machine for what a replay needs besides, because a store has no
            locks, and only dead letters are to be put there; None if nothing can be written here.
    """

    def __init__(self, store: ObjectStore, back: PutBack | None, folder: str | None) -> None:
        self._store = store
        self._back = back
        self._files: str | None = None
        if folder is not None:
            user = getattr(os, "getuid", int)()  # A folder of temporary files is for all users.
            name = f"{digest(store.url)}-{user}"
            self._files = replay_files(os.path.join(folder, name))  # noqa: PTH118

    @property
    def sources(self) -> list[LetterObject]:
        """The objects directly in the folder."""
        self._store.check()
        return self._divided()[1]

    @property
    def _objects(self) -> list[LetterObject]:
        keys = [name for name in self._store.names() if name.endswith(ENDING)]
        return [LetterObject(self._store, key, self._back) for key in keys]

    def _divided(self) -> tuple[list[LetterObject], list[LetterObject]]:
        """Return the objects that an interrupted replay has put elsewhere, and the others."""
        finished = () if self._back is None else self._back.parts
        if not finished:  # The usual case; otherwise each object has to be read for that.
            return [], self._objects
        objects = self._objects
        done = [one for one in objects if one.part in finished]
        return done, [one for one in objects if one not in done]

    @property
    def ledger(self) -> str:
        """The ledger of the replays of this folder where the settings turn the usual one off.

        Raises:
            ConfigurationError: If there is no place for it.
        """
        if self._files is None:
            msg = (
                "even if 'ledger' is false, a replay needs a temporary ledger, but there is no"
                " folder that the replay can write to: set TMPDIR to a writable folder, or set"
                " 'ledger' to true and ledger_url to a database"
            )
            raise ConfigurationError(msg)
        return f"{self._files}.sqlite"

    def alone(self) -> AbstractContextManager[None]:
        """Keep other replays on this machine away, as far as something can be written there."""
        return (
            nullcontext() if self._files is None else alone(f"{self._files}.lock", self._store.url)
        )

    def check(self) -> None:
        """Do nothing: a folder without dead letters is not there, and its bucket is looked for."""

    def take(self, run_id: str) -> list[LetterObject]:  # noqa: ARG002
        """Take over the objects that are there: runs that go on put others."""
        if self._back is None:
            return self._objects
        self._back.complete()
        done, others = self._divided()
        for one in done:
            one.remove()
        for part in self._back.parts:  # Their objects are gone: they are all of this folder.
            if part.endswith(digest(self._store.url)):
                self._back.forget(part)
        return others

    def forget_ledger(self) -> None:
        """Remove the ledger of a replay that has come to its end."""
        forget_ledger(self.ledger)
