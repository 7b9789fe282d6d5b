"""What a run tells the store and asks of it: all that is new goes into one transaction.

A run asks the store about the events of full batches, and tells it once a second what it has
learned. Before a STATE, one durable transaction holds the outcome of everything that was read
before that STATE.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import DAY, Conversion, LetterKey, Rejection
from target_liveintent.errors import StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.store import ledger
from target_liveintent.store.database import Answers, Database, Row, Step
from target_liveintent.store.delivered import delivered_row
from target_liveintent.store.layout import DEAD_LETTER, DELIVERED, EVENT, RESERVATION
from target_liveintent.store.ledger import (
    HASH_BYTES,
    TIME_BYTES,
    Claim,
    Ledger,
    LedgerAccount,
    account_of,
)
from target_liveintent.store.letters import DeadLetter, keys_of, letter_of

LAPSE = 30
"""Seconds after which the reservations of a run lapse that does not renew them: it has died."""
KEPT = 30 * DAY
"""Seconds for which a key stays after its event has expired, in case the clock is wrong."""
_RENEWED_AFTER = 5.0
"""Seconds after which a run that has nothing to write renews its reservations, and looks whether
they held: a run that is suspended for long loses them."""
_ADD_RUN = (
    "INSERT INTO run (id, kind, customer_id, api_host, pixel_id, started_at, alive_until)"
    " VALUES (?, ?, ?, ?, ?, {now}, {now} + ?) ON CONFLICT (id) DO NOTHING"
)
_NUMBER = "SELECT number FROM run WHERE id = ?"
_RENEW = "UPDATE run SET alive_until = {now} + ? WHERE number = ?"
_NEWEST = "SELECT key FROM event ORDER BY key DESC LIMIT ?"
_OF_OTHERS = (
    "SELECT reservation.hashes, run.id FROM reservation JOIN run ON run.number = reservation.run"
    # (A time further ahead was written before the clock was set back.)
    " WHERE run.number <> ? AND run.alive_until BETWEEN {now} AND {now} + ?"
)
_DELIVERED = "SELECT key, run FROM event WHERE key IN ({rows})"
_EXPIRE = (
    "DELETE FROM event WHERE key IN (SELECT key FROM event WHERE key < ? ORDER BY key LIMIT ?)"
)
_HAS_LETTERS = "SELECT 1 FROM dead_letter LIMIT 1"
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
_COUNT_OLD = "SELECT count(*) FROM dead_letter WHERE written_at < {now} - ?"
_DELETE_OLD = (
    "DELETE FROM dead_letter WHERE written_at < {now} - ?",
    "DELETE FROM delivered WHERE sent_at < {now} - ?",
    "DELETE FROM run WHERE started_at < {now} - ? AND coalesce(ended_at, alive_until) < {now}",
)
_RUNS = (
    "SELECT id, kind, alive_until, CAST(figures AS TEXT) FROM run WHERE kind <> 'task'"
    " AND customer_id = ? AND api_host = ? AND coalesce(pixel_id, 0) = ? AND started_at >= ?"
    " AND (ended_at IS NOT NULL OR alive_until < {now}) ORDER BY started_at, id"
)
TASK = "task"
"""The kind of a task of a Spark write, of which nothing is kept."""


class RunStore:
    """The store, as one run uses it.

    Args:
        database: The database.
        settings: The settings of the run.
        run_id: The ID of the run.
        clock: Tells the time.
        kind: `usual`, `replay`, `canary` (a run with the setting `limit`), or `TASK`.
        send_again: Whether events that other runs delivered are sent once more.

    Attributes:
        number: The number of the run in the store.
        expired_letters: How many dead letters were deleted because they were too old.
        repeated_letters: Dead letters of this run that the store had before, by reason.

    Raises:
        StorageError: From all methods that read or write, if the database cannot be used.
    """

    def __init__(  # noqa: PLR0913 (an argument for each option)
        self,
        database: Database,
        settings: Settings,
        run_id: str,
        clock: Clock = SYSTEM_CLOCK,
        *,
        kind: str = "usual",
        send_again: bool = False,
    ) -> None:
        self.database = database
        self._settings = settings
        self._account = account_of(settings)
        self._run_id = run_id
        self._is_task = kind == TASK
        self._clock = clock
        self._send_again = send_again
        self._letters: dict[LetterKey, DeadLetter] = {}
        self._dropped: list[LetterKey] = []
        self._settled: list[Conversion] = []
        self._delivered: dict[Row, Row] = {}
        self._renewed_at = clock.monotonic()
        self._has_failed = False
        self.repeated_letters: Counter[str] = Counter()
        self.number, newest, self.expired_letters = self._begin(kind)
        self._ledger = Ledger(self._account, () if send_again else newest)

    def _begin(self, kind: str) -> tuple[int, list[bytes], int]:
        """Add the row of the run, and remove what is too old.

        Returns:
            The number of the run, the keys of the newest events, and how many dead letters were
            too old.
        """
        kept = [self._settings.history_days * DAY]
        values = [self._run_id, kind, *self._account, self._settings.pixel_id, LAPSE]
        steps = [
            Step(_ADD_RUN, values),
            Step(_NUMBER, [self._run_id]),
            Step(_NEWEST, [ledger.RECENT]),
            Step(_COUNT_OLD, kept),
            Step(_FORGET_DEAD),
        ]
        if not self._is_task:
            steps += [Step(delete, kept) for delete in _DELETE_OLD]
        _, ((number,),), newest, ((old,),), *_ = self.database.transact(steps)
        return number, [key for (key,) in newest], 0 if self._is_task else old

    # Outcomes

    def reject(self, rejection: Rejection) -> None:
        """Keep a record as a dead letter, or nothing of it, in the place of its earlier letter."""
        if rejection.letter is not None:
            self._letters.pop(rejection.letter, None)
            self._dropped.append(rejection.letter)
        if REASONS[rejection.reason].letter:
            letter = letter_of(rejection, self._settings, self._run_id, self._clock.time())
            is_other = rejection.letter not in {None, letter.key}  # It takes the place of another.
            self.repeated_letters[rejection.reason] += is_other or letter.key in self._letters
            self._letters[letter.key] = letter

    def _settle(self, conversions: Sequence[Conversion]) -> None:
        """Delete the dead letters of events that LiveIntent has."""
        if self._letters:
            for conversion in conversions:
                for key in keys_of(conversion, self._account):
                    self._letters.pop(key, None)
        self._settled += conversions

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Delete the dead letters of events that LiveIntent has now, and keep a row of each."""
        self._settle(conversions)
        if self._settings.keep_delivered:
            for conversion, moment in zip(conversions, sent_at, strict=True):
                row = delivered_row(conversion, moment, self._account, self.number)
                self._delivered[row[: len(DELIVERED.key)]] = row

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed; see `Ledger.confirm`."""
        self._ledger.confirm(number, confirmed, is_last=is_last)

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Reserve the events of batches before they are sent; delete the letters of those sent.

        Args:
            batches: The events by the number of their batch; no number comes twice in a run, unless
                nothing of the batch was reserved.
        """
        events = self._ledger.keyed(batches)
        claims: dict[int, Claim] = {}
        reserved: dict[int, list[bytes]] = {}

        def reserve(others: Mapping[bytes, str], delivered: set[bytes]) -> list[Step]:
            nonlocal claims, reserved
            claims, reserved = self._ledger.divide(events, others, delivered)
            hashes = {n: b"".join([key[TIME_BYTES:] for key in reserved[n]]) for n in reserved}
            return [RESERVATION.put([(self.number, n, hashes[n]) for n in reserved])]

        self._exchange([key for _, key, _ in events], reserve)
        self._ledger.reserve(reserved)
        if self._must_renew:  # The answer came so late that the reservations may have expired.
            self._exchange()
        for claim in claims.values():
            self._settle(claim.sent)
        return claims

    # Transactions

    def write(self, *, durable: bool = False) -> None:
        """Write what is new, and renew the reservations of the run if it is time.

        Args:
            durable: Whether all that was written so far survives a power cut.
        """
        outcomes = (self._letters, self._dropped, self._settled, self._delivered)
        pending = (*outcomes, self._ledger.confirmed, self._ledger.ended)
        if durable or any(pending) or self._must_renew:
            self._exchange(durable=durable)

    @property
    def _must_renew(self) -> bool:
        return self._clock.monotonic() - self._renewed_at >= _RENEWED_AFTER

    def _exchange(
        self,
        keys: Sequence[bytes] = (),
        then: Callable[[Mapping[bytes, str], set[bytes]], list[Step]] = lambda *_: [],
        *,
        durable: bool = False,
    ) -> None:
        """Ask about events, write what is new, and do more steps, in one transaction.

        Args:
            keys: The events.
            then: Returns the other steps. It is given the hashes that other runs have reserved, and
                the keys of events that were delivered.
            durable: Whether all that was written so far survives a power cut.
        """
        began, renews = self._clock.monotonic(), self._must_renew
        own = self._ledger.reserved if renews else []
        is_lost = False
        repeated: Counter[str] = Counter()

        def steps(answers: Answers) -> list[Step]:
            nonlocal is_lost, repeated
            has_letters, reserved, delivered, letters = answers
            others = _reserved_by(reserved)
            known = {k for k, run in delivered if run == self.number or not self._send_again}
            repeated = Counter(
                str(self._letters[LetterKey(*key)].record["reason"]) for key in letters
            )
            is_lost = any(key in known or key[TIME_BYTES:] in others for key in own)
            return [*self._news(has_letters=bool(has_letters)), *then(others, known)]

        questions = [
            Step(_HAS_LETTERS),
            Step(_OF_OTHERS, [self.number, 2 * LAPSE]),
            Step(_DELIVERED, (), [(key,) for key in (*keys, *own)], ["BYTES"]),
            DEAD_LETTER.find(list(self._letters)),
        ]
        self._has_failed = True
        try:
            self.database.transact(questions, steps, durable=durable)
        except StorageError:
            self._save_ledger()
            raise
        self._has_failed = False
        self.repeated_letters += repeated
        self._letters, self._dropped, self._settled, self._delivered = {}, [], [], {}
        self._ledger.confirmed, self._ledger.ended = [], []
        if renews:
            self._renewed_at = began
        if is_lost:
            msg = (
                "this run was suspended for so long that its reservations in the store expired,"
                " and another run has sent or reserved the same events. This run cannot"
                " continue: start the run again"
            )
            raise StorageError(msg)

    def _save_ledger(self) -> None:
        """Note what the API has confirmed, whatever else cannot be written: a full disk, a value.

        Otherwise the next run would send these events again.
        """
        self.database.wait_no_more()
        self.database.free_reserve()
        with contextlib.suppress(StorageError):
            self.database.transact(self._confirmed())
            self._ledger.confirmed, self._ledger.ended = [], []

    def _confirmed(self) -> list[Step]:
        """Return the steps that note what the API has confirmed, and end reservations."""
        rows = [(key, self.number) for key in dict.fromkeys(self._ledger.confirmed)]
        before = max(0, int(self._clock.time()) - KEPT).to_bytes(TIME_BYTES, "big")
        return [
            EVENT.put(rows, keeps_old=not self._send_again),
            # However wrong the clock is, a run of which nothing is accepted removes nothing. A few
            # at a time keep the pause short.
            Step(_EXPIRE, [before, 2 * len(rows)]),
            RESERVATION.remove([(self.number, number) for number in self._ledger.ended]),
        ]

    def _news(self, *, has_letters: bool) -> list[Step]:
        """Return the steps that write what is new, and renew the reservations."""
        steps = [Step(_RENEW, [LAPSE, self.number]), *self._confirmed()]
        if has_letters:  # Otherwise, their keys need not be made.
            settled = [key for one in self._settled for key in keys_of(one, self._account)]
            steps.append(DEAD_LETTER.remove([*settled, *self._dropped]))
        if self._letters:
            now = self._clock.time()
            rows = [letter.row(self.number, now) for letter in self._letters.values()]
            steps.append(DEAD_LETTER.put(rows))
        if self._delivered:
            steps.append(DELIVERED.put(list(self._delivered.values())))
        return steps

    def import_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Keep dead letters that were exported, each in the place of the one with the same key."""
        self._letters |= {one.key: one for one in letters}
        self._exchange()

    def release(self) -> None:
        """Write what is new, and end all reservations of the run."""
        failed_before = self._has_failed
        if failed_before:
            self.database.wait_no_more()
        try:
            self._exchange(then=lambda *_: [Step(_RELEASE_ALL, [self.number])], durable=True)
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

    def close(self, *, forget: bool = False) -> None:
        """Close the database. Nothing is kept of a task, or of a run to forget."""
        try:
            if (forget or self._is_task) and not self._has_failed:
                self.database.transact([Step(_END_TASK, [self.number])])
        finally:
            self.database.close()


def _reserved_by(others: Iterable[Row]) -> dict[bytes, str]:
    """Return the hashes that other runs have reserved, each with the ID of a run."""
    return {
        hashes[start : start + HASH_BYTES]: run_id
        for hashes, run_id in others
        for start in range(0, len(hashes), HASH_BYTES)
    }


class DryStore:
    """Stands in for the store in a dry run: knows what was delivered, and writes nothing.

    Args:
        database: The store; None if there is none yet.
        account: Whose events are sent.
        send_again: Whether the run would send delivered events once more.
    """

    def __init__(
        self, database: Database | None, account: LedgerAccount, *, send_again: bool = False
    ) -> None:
        self._database = database
        self._sends_again = send_again
        self._ledger = Ledger(account, self._find(_NEWEST, [ledger.RECENT]))

    def _find(self, *query: Any) -> set[bytes]:
        """Return the keys that a query finds; none if events are sent again."""
        if self._database is None or self._sends_again:
            return set()
        return {row[0] for row in self._database.read(*query)}

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Say what a run would send."""
        events = self._ledger.keyed(batches)
        known = self._find(_DELIVERED, (), [(key,) for _, key, _ in events], ["BYTES"])
        claims, reserved = self._ledger.divide(events, {}, known)
        self._ledger.reserve(reserved)
        return claims

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Remember what would be sent, as far as a run does."""
        self._ledger.confirm(number, confirmed, is_last=is_last)
        self._ledger.confirmed.clear()

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Do nothing: nothing is written."""

    def reject(self, rejection: Rejection) -> None:
        """Do nothing: nothing is written."""

    def write(self, *, durable: bool = False) -> None:
        """Do nothing: nothing is written."""

    def release(self) -> None:
        """Close the store."""
        if self._database is not None:
            self._database.close()


_FORMER = (
    "SELECT customer_id, pixel_id FROM run WHERE kind <> 'task' AND api_host = ? AND number < ?"
    " AND NOT EXISTS (SELECT 1 FROM run AS own WHERE own.customer_id = ? AND own.api_host = ?"
    " AND coalesce(own.pixel_id, 0) = ? AND own.number <> ?) ORDER BY number DESC LIMIT 1"
)
_EVENTS = (
    "SELECT count(*) FROM event WHERE run IN (SELECT number FROM run"
    " WHERE customer_id = ? AND api_host = ? AND coalesce(pixel_id, 0) = ?)"
)


class StoredRun(NamedTuple):
    """A run that is over.

    Attributes:
        id: Its ID.
        kind: What kind of run it was meant to be.
        last_seen: Unix time, in seconds, until which it was certainly there.
        figures: Its figures as JSON; None if it was killed.
    """

    id: str
    kind: str
    last_seen: float
    figures: str | None


def runs_in(
    database: Database, account: LedgerAccount, pixel_id: int | None, since: float
) -> Iterator[StoredRun]:
    """Yield the runs of an account and pixel that began since a Unix time, the oldest first."""
    for row in database.read(_RUNS, [*account, pixel_id or 0, since]):
        yield StoredRun(*row)


class FormerPixel(NamedTuple):
    """The customer ID and the pixel of the runs before, and how many of their events are known."""

    customer_id: str
    pixel_id: int | None
    events: int


def former_pixel(
    database: Database, account: LedgerAccount, pixel_id: int | None, run: int
) -> FormerPixel | None:
    """Return what the last run sent to, if only runs for other customers or pixels came before.

    Args:
        database: The store.
        account: The account of this run.
        pixel_id: The pixel of this run.
        run: The number of this run.
    """
    found = list(database.read(_FORMER, [account.host, run, *account, pixel_id or 0, run]))
    if not found:
        return None
    ((customer_id, former_id),) = found
    ((events,),) = database.read(_EVENTS, [customer_id, account.host, former_id or 0])
    return FormerPixel(customer_id, former_id, events) if events else None
