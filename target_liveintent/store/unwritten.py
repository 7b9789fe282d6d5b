"""Keeps the outcomes that a run has noted since its last transaction, for the next transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator

from target_liveintent.conversions.event_model import DAY, LetterKey
from target_liveintent.settings import Account
from target_liveintent.store.dead_letters import DeadLetter, event_letter_keys, put_letters
from target_liveintent.store.deduplication import TIME_BYTES
from target_liveintent.store.layout import (
    DEAD_LETTER,
    DELIVERED,
    RESERVATION,
    SqlRow,
    Step,
)
from target_liveintent.store.places import LEFT_OUT, LEFT_OUT_REASONS, LOST, moved

KEPT_SECONDS = 30 * DAY
"""For this number of seconds after an event has expired, its key stays: the clock may be wrong."""
PUT_EVENTS = (
    "INSERT INTO event (key, run) SELECT key, ? FROM ({keys}) AS given WHERE true"
    " ON CONFLICT (key) DO UPDATE SET run = excluded.run"
)
_EXPIRE_EVENTS = (
    "DELETE FROM event WHERE key IN (SELECT key FROM event WHERE key < ? ORDER BY key LIMIT ?)"
)
_SAVED_AT_ONCE = 500
"""How many keys are saved in one transaction when the disk is full. Each may be on another page of
4 KB, so 500 keys need half of the spare space (see sqlite.py)."""


def _read_at(letter: DeadLetter, now: float) -> int:
    return int(now if letter.read_at is None else letter.read_at)


class Unwritten:
    """Outcomes that the next transaction writes."""

    def __init__(self) -> None:
        self.letters: dict[LetterKey, DeadLetter] = {}
        self.delivered: dict[SqlRow, SqlRow] = {}  # The rows of delivered events, by their keys.
        self.confirmed: list[bytes] = []  # The keys of events that the API has confirmed.
        self.ended: list[int] = []  # The numbers of the batches whose reservations end.
        # Stream, ID and pixel of delivered events that had no dead letters when they were reserved.
        self.without_letters: list[tuple[str, str, int]] = []
        self._deleted: dict[LetterKey, None] = {}  # The dead letters to delete.
        # Those of them whose events count in another place (places.py) from now on: the place, and
        # the reason. None: the reason of the dead letter stays.
        self._moved: dict[LetterKey, tuple[str, str | None]] = {}
        # How many dead letters replaced one of `letters`, by reason.
        self._repeated = Counter[str]()

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return any((self.letters, self.delivered, self.confirmed, self.ended, self._deleted))

    def add_letter(self, letter: DeadLetter) -> None:
        """Note a dead letter; it replaces the dead letter with the same key, if there is one."""
        if letter.key in self.letters:
            self._repeated[letter.reason] += 1
        # A row that is not deleted keeps the columns about the first run that wrote it.
        self._deleted.pop(letter.key, None)
        self._moved.pop(letter.key, None)
        self.letters[letter.key] = letter

    def remove_letters(self, keys: Iterable[LetterKey]) -> None:
        """Note that dead letters must be deleted, if there are any with these keys."""
        for key in keys:
            self._deleted[key] = None
            self.letters.pop(key, None)

    def drop_letter(self, key: LetterKey, reason: str) -> None:
        """Note that a replay drops a dead letter for a reason.

        By this reason, the event counts as left out or as lost from now on, or does not count.
        """
        self.remove_letters([key])
        if reason in LEFT_OUT_REASONS:
            self._moved[key] = LEFT_OUT, reason
        elif reason == "expired":  # The event is lost for the reason of its dead letter.
            self._moved[key] = LOST, None

    def untouched(self, letters: Iterable[LetterKey]) -> list[LetterKey]:
        """Return the dead letters that these outcomes neither replace nor delete."""
        return [key for key in letters if key not in self.letters and key not in self._deleted]

    def late_letters(self, account: Account) -> list[LetterKey]:
        """Return the keys of dead letters that another run may have written for delivered events.

        This can happen if the reservations of this run expire before the events are delivered.
        (Letters that this run wrote itself are newer than the delivery, and stay.)
        """
        keys = (event_letter_keys(account, *event) for event in self.without_letters)
        return [key for pair in keys for key in pair if key not in self.letters]

    def steps(self, run: int, run_pixel_id: int, transaction: int, now: float) -> list[Step]:
        """Return the steps that write everything.

        Args:
            run: The number of the run.
            run_pixel_id: The setting `pixel_id` of the run, or 0.
            transaction: The number of the transaction in the run.
            now: The present Unix time.
        """
        keys = sorted(self.confirmed)  # So keys on the same page are written together.
        too_old = max(0, int(now) - KEPT_SECONDS).to_bytes(TIME_BYTES, "big")
        return [
            Step(PUT_EVENTS, [run], keys=keys),
            # At most two old keys are removed for each new key, so the transaction stays short. A
            # run that confirms nothing removes nothing, even if the clock is wrong.
            Step(_EXPIRE_EVENTS, [too_old, 2 * len(keys)]),
            self._end_reservations(run),
            *self._moves(),
            DEAD_LETTER.remove([*self._deleted]),
            put_letters(
                [
                    (
                        *(*letter.row(run, now), run_pixel_id, _read_at(letter, now)),
                        *(run, transaction, letter.hash, letter.event_key),
                    )
                    for letter in self.letters.values()
                ]
            ),
            DELIVERED.put([*self.delivered.values()]),
        ]

    def _moves(self) -> Iterator[Step]:
        by_place = defaultdict[tuple[str, str | None], list[LetterKey]](list)
        for key, new_place in self._moved.items():
            by_place[new_place].append(key)
        for (place, reason), keys in by_place.items():
            yield from moved(keys, place, reason)

    def confirmed_steps(self, run: int) -> list[Step]:
        """Return the steps that save only which events were confirmed; each needs little space.

        The last step ends the reservations of finished batches.
        """
        keys = sorted(self.confirmed)
        parts = [keys[n : n + _SAVED_AT_ONCE] for n in range(0, len(keys), _SAVED_AT_ONCE)]
        puts = [Step(PUT_EVENTS, [run], keys=part) for part in parts]
        return [*puts, self._end_reservations(run)]

    def _end_reservations(self, run: int) -> Step:
        return RESERVATION.remove([(run, batch) for batch in self.ended])

    def repeated(self, known: Collection[LetterKey]) -> Counter[str]:
        """Return how many dead letters replaced an earlier one, by reason.

        `known` has the keys of those that the store already had.
        """
        return self._repeated + Counter(self.letters[key].reason for key in known)
