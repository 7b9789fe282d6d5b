"""Keeps the outcomes that a run has noted since its last transaction, for the next transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import NamedTuple

from target_liveintent.conversions.coerce import Unusable, currency_code, exact, read_amount
from target_liveintent.conversions.event_model import DAY, LetterKey
from target_liveintent.settings import Account
from target_liveintent.store.dead_letters import DeadLetter, event_letter_keys
from target_liveintent.store.layout import DEAD_LETTER, DELIVERED, RESERVATION, SqlRow, Step
from target_liveintent.store.ledger import TIME_BYTES

KEPT_SECONDS = 30 * DAY
"""Seconds for which a key stays after its event has expired, in case the clock is wrong."""
PUT_EVENTS = (
    "INSERT INTO event (key, run) SELECT key, ? FROM ({keys}) AS given WHERE true"
    " ON CONFLICT (key) DO UPDATE SET run = excluded.run"
)
_EXPIRE_EVENTS = (
    "DELETE FROM event WHERE key IN (SELECT key FROM event WHERE key < ? ORDER BY key LIMIT ?)"
)
_SAVED_AT_ONCE = 500
"""How many keys are saved in one transaction when the disk is full. Each may be on another page of
4 KB, so 500 keys need half of the spare space."""


class WrittenLetters(NamedTuple):
    """What a run has learned from writing its dead letters."""

    repeated: Counter[str]  # By reason, how many replaced a dead letter that was there before.
    missing: dict[str, Decimal]  # By currency, the value of all other dead letters.

    def plus(self, other: WrittenLetters) -> WrittenLetters:
        """Return the sum of this and another result."""
        missing = dict(self.missing)
        for currency, value in other.missing.items():
            missing[currency] = missing.get(currency, Decimal(0)) + value
        return WrittenLetters(self.repeated + other.repeated, missing)


class Unwritten:
    """Outcomes that the next transaction writes."""

    def __init__(self) -> None:
        self.letters: dict[LetterKey, DeadLetter] = {}
        self.delivered: dict[SqlRow, SqlRow] = {}  # The rows of delivered events, by their keys.
        self.confirmed: list[bytes] = []  # The keys of events that the API has confirmed.
        self.ended: list[int] = []  # The batches whose reservations end.
        # Stream, ID and pixel of delivered events that had no letters when they were reserved.
        self.without_letters: list[tuple[str, str, int]] = []
        self._settled: dict[LetterKey, None] = {}  # The dead letters to delete.
        self._repeated = Counter[str]()  # How many replaced one of `letters`, by reason.

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return any((self.letters, self.delivered, self.confirmed, self.ended, self._settled))

    def add_letter(self, letter: DeadLetter) -> None:
        """Note a dead letter, which replaces the dead letter with the same key."""
        if letter.key in self.letters:
            self._repeated[letter.reason] += 1
        self._settled.pop(letter.key, None)  # Its row keeps the run that was the first to write it.
        self.letters[letter.key] = letter

    def remove_letters(self, keys: Iterable[LetterKey]) -> None:
        """Note that dead letters must be deleted, if there are any with these keys."""
        for key in keys:
            self._settled[key] = None
            self.letters.pop(key, None)

    def untouched(self, letters: Iterable[LetterKey]) -> list[LetterKey]:
        """Return the dead letters that these outcomes neither replace nor delete."""
        return [key for key in letters if key not in self.letters and key not in self._settled]

    def late_letters(self, account: Account) -> list[LetterKey]:
        """Return the keys of letters that delivered events may have got since their reservation.

        If the reservations of a run expire, another run may write dead letters of events that this
        run delivers. (Letters that this run wrote itself are newer than the delivery, and stay.)
        """
        keys = (event_letter_keys(account, *event) for event in self.without_letters)
        return [key for pair in keys for key in pair if key not in self.letters]

    def steps(self, run: int, transaction: int, now: float) -> list[Step]:
        """Return the steps that write everything, given the numbers of the run and transaction."""
        keys = sorted(self.confirmed)  # Keys on one page of the database are written together.
        too_old = max(0, int(now) - KEPT_SECONDS).to_bytes(TIME_BYTES, "big")
        return [
            Step(PUT_EVENTS, [run], keys=keys),
            # A run without confirmed events removes nothing, even if the clock is wrong. To remove
            # few keys at a time keeps the pause short.
            Step(_EXPIRE_EVENTS, [too_old, 2 * len(keys)]),
            self._end_reservations(run),
            DEAD_LETTER.remove([*self._settled]),
            DEAD_LETTER.put(
                [(*letter.row(run, now), run, transaction) for letter in self.letters.values()]
            ),
            DELIVERED.put([*self.delivered.values()]),
        ]

    def ledger_steps(self, run: int) -> list[Step]:
        """Return the steps that write only the ledger; each step needs little space."""
        keys = sorted(self.confirmed)
        parts = [keys[n : n + _SAVED_AT_ONCE] for n in range(0, len(keys), _SAVED_AT_ONCE)]
        puts = [Step(PUT_EVENTS, [run], keys=part) for part in parts]
        return [*puts, self._end_reservations(run)]

    def _end_reservations(self, run: int) -> Step:
        return RESERVATION.remove([(run, batch) for batch in self.ended])

    def written(self, known: Collection[LetterKey]) -> WrittenLetters:
        """Return what a run learns from writing the dead letters, if the store had `known`."""
        repeated = self._repeated + Counter(self.letters[key].reason for key in known)
        missing: dict[str, Decimal] = {}
        for key, letter in self.letters.items():
            worth = None if key in known else _worth(letter)
            if worth is not None:
                currency, value = worth
                missing[currency] = missing.get(currency, Decimal(0)) + value
        return WrittenLetters(repeated, missing)


def _worth(letter: DeadLetter) -> tuple[str, Decimal] | None:
    """Return the currency and the value of a dead letter's event, if it has both."""
    value = read_amount(letter.record.get("value"))
    currency = currency_code(letter.record.get("currency"))
    if isinstance(value, Unusable | None) or not isinstance(currency, str):
        return None
    return currency, exact(value)
