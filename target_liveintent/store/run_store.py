"""What a run tells the store and asks of it: all that is new goes into one transaction.

A run asks the store about the events of full batches, and tells it once a second what it has
learned. Before a STATE, one durable transaction holds the outcome of everything that was read
before that STATE.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import DAY, Conversion, LetterKey, Rejection, read_back
from target_liveintent.errors import StorageError
from target_liveintent.settings import Settings
from target_liveintent.store import ledger
from target_liveintent.store.database import AnyStep, Database, Row, Step
from target_liveintent.store.delivered import add_delivered, delivered_row
from target_liveintent.store.ledger import Claim, Ledger, account_of, event_key
from target_liveintent.store.letters import (
    DeadLetter,
    delete_letters,
    keys_of,
    letter_of,
    replace_letters,
)

_RENEWED_AFTER = 5.0
"""Seconds after which a run that has nothing to write renews its reservations, and looks whether
they held: a run that is suspended for long loses them."""
_ADD_RUN = (
    "INSERT INTO run (id, kind, customer_id, api_host, pixel_id, started_at, alive_until)"
    " VALUES (?, ?, ?, ?, ?, {now}, {now} + ?) ON CONFLICT (id) DO NOTHING"
)
_NUMBER = "SELECT number FROM run WHERE id = ?"
_RENEW = "UPDATE run SET alive_until = {now} + ? WHERE number = ?"
_RELEASE_ALL = "DELETE FROM reservation WHERE run = ?"
_END_RUN = (
    "UPDATE run SET alive_until = {now}, ended_at = ?, ending = ?, figures = ? WHERE number = ?"
)
_FORGET_DEAD = (
    "DELETE FROM reservation WHERE run IN"
    " (SELECT number FROM run WHERE alive_until < {now} - 86400)"
)
"""Until then, a run that has only stood still can take its reservations up again."""
_END_TASK = "DELETE FROM run WHERE number = ?"
_OLD_LETTERS = "dead_letter WHERE written_at < {now} - ?"
_OLD = (
    _OLD_LETTERS,
    "delivered WHERE sent_at < {now} - ?",
    "run WHERE started_at < {now} - ? AND (ended_at IS NOT NULL OR alive_until < {now})",
)
"""Rows that go after so many seconds."""


TASK = "task"
"""The kind of a task of a Spark write, of which nothing is kept."""


class RunNames(NamedTuple):
    """The run that uses a store.

    Attributes:
        id: Its ID.
        pixel_id: The setting.
        kind: `usual`, `replay`, `canary` (a run with the setting `limit`), or `TASK`.
    """

    id: str
    pixel_id: int | None = None
    kind: str = "usual"


class RunStore:
    """The store, as one run uses it.

    Args:
        database: The database.
        settings: The settings of the run.
        names: The run.
        clock: Tells the time.
        send_again: Whether events that other runs delivered are sent once more.

    Attributes:
        number: The number of the run in the store.
        expired_letters: How many dead letters were deleted because they were too old.

    Raises:
        StorageError: From all methods that read or write, if the database cannot be used.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        names: RunNames,
        clock: Clock = SYSTEM_CLOCK,
        *,
        send_again: bool = False,
    ) -> None:
        self.database = database
        self._settings = settings
        self._account = account = account_of(settings)
        self._names = names
        self._clock = clock
        self._ledger = Ledger(account, send_again=send_again)
        self._letters: dict[LetterKey, DeadLetter] = {}
        self._dropped: list[LetterKey] = []
        self._settled: list[Conversion] = []
        self._delivered: dict[tuple[int, str, str], Row] = {}
        self._renewed_at = clock.monotonic()
        self._has_failed = False
        self.expired_letters = 0
        self.number = self._begin(settings.history_days)

    def _begin(self, history_days: int) -> int:
        """Add the row of the run, remove what is too old, and learn the newest events."""
        names, kept = self._names, [history_days * DAY]
        values = [names.id, names.kind, *self._account, names.pixel_id, ledger.LAPSE]
        steps: list[AnyStep] = [Step(_ADD_RUN, values), Step(_NUMBER, [names.id]), Ledger.newest()]
        if names.kind != TASK:
            steps.append(Step(f"SELECT count(*) FROM {_OLD_LETTERS}", kept))  # noqa: S608
            steps += [Step(f"DELETE FROM {old}", kept) for old in _OLD]  # noqa: S608
        steps.append(Step(_FORGET_DEAD))
        _, ((number,),), newest, *counted = self.database.transact(steps)
        if names.kind != TASK:
            self.expired_letters = counted[0][0][0]
        self._ledger.remember(newest)
        return int(number)

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        return self.database.waits_for

    # Outcomes

    def reject(self, rejection: Rejection) -> None:
        """Keep a record as a dead letter, in the place of an earlier one of the same event."""
        now = self._clock.time()
        letter = letter_of(rejection, self._settings, self._names.id, now)
        if rejection.letter is not None and rejection.letter != letter.key:
            self._delete_letter(rejection.letter)
        self._letters[letter.key] = letter

    def drop(self, rejection: Rejection, reason: str) -> None:  # noqa: ARG002 (others keep it)
        """Delete the dead letter of a record that nobody may send."""
        if rejection.letter is not None:
            self._delete_letter(rejection.letter)

    def _delete_letter(self, key: LetterKey) -> None:
        self._letters.pop(key, None)
        self._dropped.append(key)

    def settle(self, conversions: Sequence[Conversion]) -> None:
        """Delete the dead letters of events that LiveIntent has."""
        if self._letters:
            for conversion in conversions:
                for key in keys_of(conversion, self._account):
                    self._letters.pop(key, None)
        self._settled += conversions

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Delete the dead letters of events that LiveIntent has now, and keep a row of each."""
        self.settle(conversions)
        if self._settings.keep_delivered:
            events = zip(read_back(conversions), conversions, sent_at, strict=True)
            for event, conversion, moment in events:
                row = delivered_row(event, conversion.stream, moment, self._account, self.number)
                self._delivered[event_key(conversion)] = row

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed; see `Ledger.confirm`."""
        self._ledger.confirm(number, confirmed, is_last=is_last)

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Reserve the events of batches before they are sent.

        Args:
            batches: The events by the number of their batch; no number comes twice in a run, unless
                nothing of the batch was reserved.
        """
        claims, wanted = self._ledger.look_up(batches)
        if not wanted:
            return claims
        keys = [key for asked in wanted.values() for key in asked]
        found = claims

        def reserve(answers: list[list[Row]]) -> Sequence[AnyStep]:
            nonlocal found
            found = self._ledger.answer(claims, wanted, *answers[-2:])
            return self._ledger.reserve(wanted, self.number)

        try:
            self._exchange(self._ledger.ask(keys, self.number), reserve)
        except BaseException:
            self._ledger.forget(wanted)
            raise
        return found

    # Transactions

    def write(self, *, durable: bool = False) -> None:
        """Write what is new, and renew the reservations of the run if it is time.

        Args:
            durable: Whether all that was written so far survives a power cut.
        """
        if durable or self._has_news or self._must_renew:
            self._exchange([], durable=durable)

    @property
    def _has_news(self) -> bool:
        pending = (self._letters, self._dropped, self._settled, self._delivered)
        return any(pending) or self._ledger.has_news

    @property
    def _must_renew(self) -> bool:
        return self._clock.monotonic() - self._renewed_at >= _RENEWED_AFTER

    def _exchange(
        self,
        more: Sequence[AnyStep],
        then: Callable[[list[list[Row]]], Sequence[AnyStep]] | None = None,
        *,
        durable: bool = False,
    ) -> None:
        """Do what is new, and more steps, in one transaction."""
        renews = self._must_renew
        steps = self._ledger.ask(self._ledger.own_keys(), self.number) if renews else []
        steps += [Step(_RENEW, [ledger.LAPSE, self.number]), *self._steps(), *more]
        self._has_failed = True
        try:
            answers = self.database.transact(steps, then, durable=durable)
        except StorageError:
            self._save_ledger()
            raise
        self._has_failed = False
        self._letters, self._dropped, self._settled, self._delivered = {}, [], [], {}
        self._ledger.told()
        if renews:
            self._renewed_at = self._clock.monotonic()
            if self._ledger.has_lost(*answers[:2]):
                msg = (
                    "this run was suspended for so long that its reservations in the store expired,"
                    " and another run has sent or reserved the same events. This run cannot"
                    " continue: start the run again"
                )
                raise StorageError(msg)
        elif self._must_renew:  # The store has answered so late that they may have expired.
            self._exchange([], durable=durable)

    def _save_ledger(self) -> None:
        """Note what the API has confirmed, whatever else cannot be written: a full disk, a value.

        Otherwise the next run would send these events again.
        """
        self.database.wait_no_more()
        self.database.free_reserve()
        with contextlib.suppress(StorageError):
            self.database.transact(self._ledger.news(self.number, self._clock.time()))
            self._ledger.told()

    def _steps(self) -> list[AnyStep]:
        """Return the steps that write what is new."""
        steps = self._ledger.news(self.number, self._clock.time())
        if self._settled or self._dropped:
            settled, dropped = self._settled, self._dropped
            steps += [
                delete_letters(
                    lambda: [key for one in settled for key in keys_of(one, self._account)]
                ),
                delete_letters(lambda: dropped),
            ]
        if self._letters:
            now = self._clock.time()
            steps += replace_letters(self._letters.values(), self.number, now)
        if self._delivered:
            steps += add_delivered(self._delivered.values())
        return steps

    def import_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Keep dead letters that were exported, each in the place of the one with the same key."""
        unique = {one.key: one for one in letters}
        now = self._clock.time()
        self._exchange(replace_letters(unique.values(), self.number, now))

    def release(self) -> None:
        """Write what is new, and end all reservations of the run."""
        failed_before = self._has_failed
        if failed_before:
            self.database.wait_no_more()
        try:
            self._exchange([Step(_RELEASE_ALL, [self.number])], durable=True)
        except StorageError:
            if not failed_before:  # Otherwise it has been said.
                raise

    def finish(self, ending: str, figures: str) -> None:
        """Keep how the run ended, and its figures as JSON."""
        if self._has_failed:  # Nobody waits for it once more.
            msg = "the store could not be used at the end of the run"
            raise StorageError(msg)
        values = [self._clock.time(), ending, figures, self.number]
        self.database.transact([Step(_END_RUN, values)])

    def close(self) -> None:
        """Close the database. Nothing is kept of a task."""
        try:
            if self._names.kind == TASK and not self._has_failed:
                self.database.transact([Step(_END_TASK, [self.number])])
        finally:
            self.database.close()
