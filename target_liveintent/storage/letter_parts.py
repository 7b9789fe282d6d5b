"""The dead letters that a path names: what is read of them, and what a replay takes over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class LetterSource(Protocol):
    """Dead letters that can be read: a file or an object.

    Attributes:
        name: Names it in messages; it holds no secret.
    """

    name: str

    def lines(self) -> Iterator[bytes]:
        """Yield its whole lines, each with its line end, SCHEMA lines among them.

        Raises:
            StorageError: If it cannot be read.
        """


class LetterPart(LetterSource, Protocol):
    """Dead letters that a replay has taken over, so that no other replay sends them.

    Attributes:
        notes: The path of a file for notes on what became of them, which a repetition reads after
            a kill; None if there is no place for it.
    """

    notes: str | None

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into `dead_letter_path`, durably and each once, and remove the part.

        It can be repeated after a kill at any moment.

        Args:
            lines: The dead letters that still have no other outcome, without SCHEMA lines, each
                with its line end. They may be read from `lines()` while this goes on.

        Raises:
            StorageError: If that is not possible; the part is then still there.
        """


class Letters(Protocol):
    """All dead letters that a path names, with what interrupted replays of it have left."""

    @property
    def sources(self) -> Sequence[LetterSource]:
        """What a replay would take over; raises a `StorageError` if that cannot be read."""

    @property
    def ledger(self) -> str:
        """The ledger of replays where the settings turn the usual one off."""

    def check(self) -> None:
        """Check a path that was given to be replayed: that something is there, as far as it can be.

        Raises:
            ConfigurationError: If nothing is there, or no dead letters can be.
        """

    def alone(self) -> AbstractContextManager[None]:
        """Keep other replays away; raises a `StorageError` if one goes on."""

    def take(self, run_id: str) -> Sequence[LetterPart]:
        """Take over all parts; raises a `StorageError` if that is not possible.

        Args:
            run_id: The ID of the replay.
        """

    def forget_ledger(self) -> None:
        """Remove the ledger of a replay that has come to its end."""
