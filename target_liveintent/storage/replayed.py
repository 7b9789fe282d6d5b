"""Which dead letters of a replay have found another outcome; all others are put back."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.errors import InputError
from target_liveintent.storage.dead_letters import message_in
from target_liveintent.storage.letter_parts import LetterPart, LetterSource
from target_liveintent.storage.replay_notes import NotesInFile, PassingNotes, ReplayNotes, Scratch

_START = b'{"type":"RECORD","stream":"liveintent_dead_letters",'
"""How a line begins that no editor has touched."""
_OPEN, _SETTLED, _REPLACED = 0, 1, 2


def letters_of(sources: Iterable[LetterSource]) -> Iterator[bytes]:
    """Yield the dead letters of sources, without what else is in them."""
    for source in sources:
        yield from filter(_is_letter, source.lines())


def _is_letter(line: bytes) -> bool:
    if line.startswith(_START) or line.isspace():
        return not line.isspace()
    message = message_in(line)
    # Whoever reads what is no message says so, and it is put back.
    return message is None or message.type == "RECORD"


def count_letters(sources: Iterable[LetterSource]) -> int:
    """Return how many dead letters there are.

    Raises:
        InputError: If a line is not a Singer message of the stream of dead letters. The message
            names the line, and holds nothing of it.
    """
    count = 0
    for source in sources:
        for number, line in enumerate(source.lines(), 1):
            if line.isspace():
                continue
            message = message_in(line)
            if message is not None and message.is_letter:
                count += 1
            elif message is None or (message.type, message.stream) != ("SCHEMA", DEAD_LETTERS):
                msg = (
                    f"line {number} of '{source.name}' is not a dead letter, but --replay reads"
                    " only files of dead letters: correct or remove the line. To send a tap's"
                    " output, pipe it into the target without --replay"
                )
                raise InputError(msg)
    return count


@dataclasses.dataclass
class _Part:
    """A part, the number of its first dead letter, and the notes on what became of them."""

    part: LetterPart
    first: int
    notes: ReplayNotes


class Replayed:
    """The dead letters of a replay by their numbers, counted from 0, and what became of them.

    `close` puts back what is left. Until then, all of them are where the replay has taken them
    over, so none is lost if the process is killed.

    Attributes:
        current: The number of the dead letter that was read last; None before the first one.
        settled_before: How many an interrupted replay has settled already; they are not read again.
    """

    def __init__(self) -> None:
        self._taken: Sequence[LetterPart] = ()
        self._parts: list[_Part] = []  # Those that were begun to be read, in the same order.
        self._put_back = 0  # How many are done.
        self._fates = bytearray()
        self._scratch = Scratch()
        self.settled_before = 0

    @property
    def is_put_back(self) -> bool:
        """Whether nothing of what was taken over is still to be put back."""
        return self._put_back == len(self._taken)

    @property
    def count(self) -> int:
        """How many were read."""
        return len(self._fates)

    @property
    def current(self) -> int | None:  # noqa: D102 (above)
        return len(self._fates) - 1 if self._fates else None

    def read(self, parts: Sequence[LetterPart]) -> Iterator[bytes]:
        """Return an iterator over the dead letters of parts that were taken over."""
        self._taken = parts
        return self._read(parts)

    def _read(self, parts: Sequence[LetterPart]) -> Iterator[bytes]:
        for part in parts:
            notes = self._begin(part).notes
            for number, line in enumerate(letters_of([part])):
                if number in notes.settled:
                    self.settled_before += 1
                    self._fates.append(_SETTLED)
                    continue
                self._fates.append(_OPEN)
                yield notes.as_noted(number, line)

    def _begin(self, part: LetterPart) -> _Part:
        notes = PassingNotes(self._scratch) if part.notes is None else NotesInFile(part.notes)
        self._parts.append(_Part(part, len(self._fates), notes))
        return self._parts[-1]

    def settle(self, letters: Iterable[int | None]) -> None:
        """Note that dead letters need not be kept: they were sent, or nobody may send them."""
        noted: dict[int, list[int]] = {}
        for letter in letters:
            if letter is not None:
                self._fates[letter] = _SETTLED
                noted.setdefault(self._place(letter), []).append(letter)
        for place, settled in noted.items():
            part = self._parts[place]
            part.notes.settle(letter - part.first for letter in settled)

    def replace(self, letter: int, line: bytes) -> None:
        """Put another line in the place of a dead letter."""
        part = self._parts[self._place(letter)]
        part.notes.replace(letter - part.first, line)
        self._fates[letter] = _REPLACED

    def _place(self, letter: int) -> int:
        """Return which part a letter is in."""
        return bisect.bisect_right(self._parts, letter, key=lambda part: part.first) - 1

    def close(self) -> None:
        """Put back, part by part, what has no other outcome; what fails can be tried again."""
        while not self.is_put_back:
            if self._put_back == len(self._parts):  # It was not read, but may have notes.
                self._begin(self._taken[self._put_back])
            part = self._parts[self._put_back]
            part.part.leave(self._left(part))
            self._put_back += 1

    def release(self) -> None:
        """Close the notes, when nothing more is put back."""
        for part in self._parts:
            part.notes.close()
        self._scratch.close()

    def _left(self, part: _Part) -> Iterator[bytes]:
        notes = part.notes
        for number, line in enumerate(letters_of([part.part])):
            at = part.first + number
            is_read = at < len(self._fates)
            if self._fates[at] == _OPEN if is_read else number not in notes.settled:
                yield notes.as_noted(number, line)
        yield from notes.new_letters()
