"""What a replay takes over: parts that each hold some dead letters, such as a file or an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol


class LetterSource(Protocol):
    """Dead letters that can be read.

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
    """Dead letters that a replay has taken over, so that no other replay sends them."""

    def leave(self, lines: Iterable[bytes]) -> None:
        """Put lines into `dead_letter_path`, durably and each once, and remove the part.

        It can be repeated after a kill at any moment.

        Args:
            lines: The dead letters that still have no other outcome, without SCHEMA lines, each
                with its line end. They may be read from `lines()` while this goes on.

        Raises:
            StorageError: If that is not possible; the part is then still there.
        """
