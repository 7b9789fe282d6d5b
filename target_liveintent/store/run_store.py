"""The store as a run uses it: everything new is written in one transaction.

Before a STATE, that transaction is durable: it holds the outcome of everything read before.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.coerce import Unusable, currency_code, exact, read_amount
from target_liveintent.conversions.event_model import DAY, Conversion, LetterKey, Rejection
from target_liveintent.errors import StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.store import ledger
from target_liveintent.store.database import Answers, Database, Then, Waiting
from target_liveintent.store.dead_letters import DeadLetter, keys_of, letter_of
from target_liveintent.store.delivered import delivered_row
from target_liveintent.store.layout import DEAD_LETTER, DELIVERED, RESERVATION, Row, Step
from target_liveintent.store.ledger import HASH_BYTES, TIME_BYTES, Claim, Ledger
from target_liveintent.store.sqlite import IN_MEMORY, SqliteStore

LAPSE = 30
"""After so many seconds, the reservations of a run expire if it does not renew them."""
KEPT = 30 * DAY
"""Seconds for which a key stays after its event has expired, in case the clock is wrong."""
_RENEWED_AFTER = 5.0
"""After so many seconds without writing, a run renews its reservations, and checks whether it still
has them: a run that is suspended for long loses them."""
_ADD_RUN = (
    "INSERT INTO run (id, kind, customer_id, api_host, pixel_id, started_at, alive_until)"
    " VALUES (?, ?, ?, ?, ?, {now}, {now} + ?) ON CONFLICT (id) DO NOTHING"
)
_RENEW = "UPDATE run SET alive_until = {now} + ? WHERE number = ?"
FIND_EVENTS = (
    "SELECT event.key, run FROM ({keys}) AS given CROSS JOIN event WHERE event.key = given.key"
)
"""Finds keys, and the run of each. (SQLite looks for one key after the other in a CROSS JOIN.)"""
PUT_EVENTS = (
    "INSERT INTO event (key, run) SELECT key, ? FROM ({keys}) AS given WHERE true"
    " ON CONFLICT (key) DO UPDATE SET run = excluded.run"
)
_NEWEST = "SELECT key FROM event ORDER BY key DESC LIMIT ?"
_OF_OTHERS = (
    "SELECT reservation.hashes, run.id FROM reservation JOIN run ON run.number = reservation.run"
    # (A time further ahead was written before the clock was set back.)
    " WHERE run.number <> ? AND run.alive_until BETWEEN {now} AND {now} + ?"
)
_EXPIRE = (
    "DELETE FROM event WHERE key IN (SELECT key FROM event WHERE key < ? ORDER BY key LIMIT ?)"
)
_END_RUN = (
    "UPDATE run SET alive_until = {now}, ended_at = ?, ending = ?, figures = ? WHERE number = ?"
)
_FORMER = (
    "SELECT customer_id, pixel_id FROM run WHERE kind <> 'task' AND api_host = ? AND id <> ?"
    " AND NOT EXISTS (SELECT 1 FROM run AS own WHERE own.customer_id = ? AND own.api_host = ?"
    " AND coalesce(own.pixel_id, 0) = ? AND own.id <> ?) ORDER BY number DESC LIMIT 1"
)
"""The last run, if all runs before this one were for other customers or pixels."""
_TIDY_UP = (
    "SELECT count(*) FROM dead_letter WHERE written_at < {now} - ?",
    "DELETE FROM dead_letter WHERE written_at < {now} - ?",
    "DELETE FROM delivered WHERE sent_at < {now} - ?",
    # (Until then, a run that has only stood still can take its reservations up again.)
    "DELETE FROM reservation WHERE run IN (SELECT number FROM run WHERE alive_until < {now} - ?)",
    "DELETE FROM run WHERE started_at < {now} - ? AND coalesce(ended_at, alive_until) < {now}",
)
_RUNS = (
    "SELECT id, kind, alive_until, CAST(figures AS TEXT) FROM run WHERE kind <> 'task'"
    " AND customer_id = ? AND api_host = ? AND coalesce(pixel_id, 0) = ? AND started_at >= ?"
    " AND (ended_at IS NOT NULL OR alive_until < {now}) ORDER BY started_at, id"
)
_MOST_IMPORTED = 1_000
_SAVED_AT_ONCE = 500
"""How many keys are saved in one transaction when the disk is full. Each may be on another page of
4 KB, so they need half of the reserved space."""
_LOST = (
    "this run was suspended for so long that its reservations in the store expired, and another run"
    " has sent or reserved the same events. This run cannot continue: start the run again"
)
TASK = "task"
"""The kind of a task of a Spark write, of which nothing is kept."""


class RunStore:
    """The store, as one run uses it.

    Args:
        kind: `usual`, `replay`, `canary` (a run with the setting `limit`), or `TASK`.
        send_again: Whether events that other runs delivered are sent once more.
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
        self.database, self._clock = database, clock
        self._settings, self._account = settings, settings.account
        self._run_id, self._is_task = run_id, kind == TASK
        self._send_again = send_again
        self._renewed_at = clock.monotonic()
        self._has_letters = True  # Until the store has answered.
        self._ledger = Ledger(self._account)
        self.confirm = self._ledger.confirm
        self._clear()
        self.number = 0
        self.expired_letters = 0  # They were deleted because they were too old.
        # The customer ID and the pixel of the last run, if all before were for others.
        self.former: tuple[str, int | None] | None = None
        # Dead letters of this run that the store had before, by reason; what the others are worth.
        self.repeated_letters: Counter[str] = Counter()
        self.missing: dict[str, Decimal] = {}
        newest = self._begin(kind)
        if not send_again:
            self._ledger.remember(key for (key,) in newest)

    def _clear(self) -> None:
        self._letters: dict[LetterKey, DeadLetter] = {}
        self._settled: list[LetterKey] = []  # Of letters that must go.
        self._delivered: dict[Row, Row] = {}
        self._ledger.confirmed, self._ledger.ended = [], []

    def _begin(self, kind: str) -> list[Row]:
        """Add the row of the run, remove what is too old, and return the newest keys."""
        kept = [self._settings.history_days * DAY]
        run_id, account, pixel_id = self._run_id, self._account, self._settings.pixel_id
        steps = [
            Step(_ADD_RUN, [run_id, kind, *account, pixel_id, LAPSE]),
            Step("SELECT number FROM run WHERE id = ?", [run_id]),
            Step(_NEWEST, [ledger.RECENT]),
            Step(_FORMER, [account.host, run_id, *account, pixel_id or 0, run_id]),
        ]
        if not self._is_task:
            steps += [Step(sql, kept) for sql in _TIDY_UP]
        _, ((self.number,),), newest, former, *old = self.database.transact(steps)
        self.former = former[0] if former else None
        self.expired_letters = old[0][0][0] if old else 0
        return newest

    # Outcomes

    def reject(self, rejection: Rejection) -> None:
        """Note a record that is not sent: it replaces its dead letter by a new one, or by none."""
        if rejection.letter is not None:
            self._letters.pop(rejection.letter, None)
            self._settled.append(rejection.letter)
        if REASONS[rejection.reason].letter:
            letter = letter_of(rejection, self._settings, self._run_id, self._clock.time())
            self.repeated_letters[rejection.reason] += letter.key in self._letters
            self._letters[letter.key] = letter

    def _remove_letters(self, conversions: Sequence[Conversion]) -> None:
        if self._has_letters or self._letters:  # Otherwise, the keys need not be made.
            keys = [key for one in conversions for key in keys_of(one, self._account)]
            self._settled += keys
            for key in keys:
                self._letters.pop(key, None)

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""
        self._remove_letters(conversions)
        if self._settings.keep_delivered:
            for conversion, moment in zip(conversions, sent_at, strict=True):
                row = delivered_row(conversion, moment, self._account, self.number)
                self._delivered[row[: len(DELIVERED.key)]] = row

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Reserve the events of batches before they are sent; delete the letters of those sent."""
        claims = self._exchange(batches, writes=False)
        if self._must_renew:  # The answer came so late that the reservations may have expired.
            self._exchange()
        for claim in claims.values():
            self._remove_letters(claim.sent)
        return claims

    # Transactions

    def write(self, *, durable: bool = False) -> None:
        """Write what is new, and renew the reservations; if durable, it survives a power cut."""
        new = (self._letters, self._settled, self._delivered)
        if durable or self._must_renew or any((*new, self._ledger.confirmed, self._ledger.ended)):
            self._exchange(durable=durable)

    @property
    def _must_renew(self) -> bool:
        return self._clock.monotonic() - self._renewed_at >= _RENEWED_AFTER

    def _exchange(
        self,
        batches: Mapping[int, Sequence[Conversion]] | None = None,
        *,
        writes: bool = True,
        durable: bool = False,
        releases: bool = False,
    ) -> dict[int, Claim]:
        began, renews = self._clock.monotonic(), self._must_renew
        batches = batches or {}
        keys = {number: self._ledger.keys_of(batch) for number, batch in batches.items()}
        own = self._ledger.reserved if renews else []
        is_lost = False
        claims = dict[int, Claim]()

        def changes(answers: Answers) -> list[Step]:
            nonlocal is_lost, claims
            letter, taken, delivered, _ = answers
            self._has_letters = bool(letter or self._letters)
            others = {
                hashes[start : start + HASH_BYTES]: run_id
                for hashes, run_id in taken
                for start in range(0, len(hashes), HASH_BYTES)
            }
            known = {k for k, run in delivered if run == self.number or not self._send_again}
            is_lost = any(key in known or key[TIME_BYTES:] in others for key in own)
            claims = self._ledger.divide(batches, keys, others, known)
            reserved = {n: b"".join(one.keys) for n, one in claims.items() if one.keys}
            steps = self._news() if writes else []
            steps.append(Step(_RENEW, [LAPSE, self.number]))
            steps.append(RESERVATION.put([(self.number, *one) for one in reserved.items()]))
            if releases:
                steps.append(Step("DELETE FROM reservation WHERE run = ?", [self.number]))
            return steps

        questions = [
            Step("SELECT 1 FROM dead_letter LIMIT 1"),
            Step(_OF_OTHERS, [self.number, 2 * LAPSE]),
            Step(FIND_EVENTS, keys=[*itertools.chain(*keys.values(), own)]),
            DEAD_LETTER.find(list(self._letters) if writes else [], ", ".join(LetterKey._fields)),
        ]
        *_, letters = self._transact(questions, changes, durable=durable)
        self._ledger.reserve(claims)
        if writes:
            self._count_letters({LetterKey(*key) for key in letters})
            self._clear()
        if renews:
            self._renewed_at = began
        if is_lost:
            raise StorageError(_LOST)
        return claims

    def _transact(self, questions: list[Step], changes: Then, *, durable: bool) -> Answers:
        try:
            answers = self.database.transact(questions, changes, durable=durable)
        except StorageError:
            self._save_ledger()
            raise
        self.database.waiting.has_ended = False
        return answers

    def _count_letters(self, known: set[LetterKey]) -> None:
        """Count the dead letters that were in the store before, and what the others are worth."""
        self.repeated_letters.update(str(self._letters[key].record.get("reason")) for key in known)
        for record in (one.record for key, one in self._letters.items() if key not in known):
            value, currency = (
                read_amount(record.get("value")),
                currency_code(record.get("currency")),
            )
            if not isinstance(value, Unusable | None) and isinstance(currency, str):
                self.missing[currency] = self.missing.get(currency, Decimal(0)) + exact(value)

    def _save_ledger(self) -> None:
        """Save what the API has confirmed, even if the rest cannot be written (as on a full disk).

        Otherwise the next run would send these events again.
        """
        self.database.waiting.has_ended = True
        self.database.free_reserve()
        keys, ended = self._confirmed(), [(self.number, one) for one in self._ledger.ended]
        parts = [keys[n : n + _SAVED_AT_ONCE] for n in range(0, len(keys), _SAVED_AT_ONCE)]
        steps = [Step(PUT_EVENTS, [self.number], keys=part) for part in parts]
        with contextlib.suppress(StorageError):
            for step in [*steps, RESERVATION.remove(ended)]:
                self.database.transact([step])

    def _confirmed(self) -> list[bytes]:
        # In their order, those on one page of the database are written together.
        return sorted(self._ledger.confirmed)

    def _news(self) -> list[Step]:
        keys, now = self._confirmed(), self._clock.time()
        before = max(0, int(now) - KEPT).to_bytes(TIME_BYTES, "big")
        return [
            Step(PUT_EVENTS, [self.number], keys=keys),
            # However wrong the clock is, a run of which nothing is accepted removes nothing. A few
            # at a time keep the pause short.
            Step(_EXPIRE, [before, 2 * len(keys)]),
            RESERVATION.remove([(self.number, number) for number in self._ledger.ended]),
            DEAD_LETTER.remove(self._settled),
            DEAD_LETTER.put([letter.row(self.number, now) for letter in self._letters.values()]),
            DELIVERED.put([*self._delivered.values()]),
        ]

    def import_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Keep dead letters that were exported, each in the place of the one with the same key."""
        rest = list(letters)
        for start in range(0, len(rest), _MOST_IMPORTED):
            self._letters |= {one.key: one for one in rest[start : start + _MOST_IMPORTED]}
            self._exchange()

    def release(self) -> None:
        """Write what is new, and end all reservations of the run."""
        failed_before = self.database.waiting.has_ended
        try:
            self._exchange(durable=True, releases=True)
        except StorageError:
            if not failed_before:  # Otherwise, the failure has been reported.
                raise

    def finish(self, ending: str, figures: str) -> None:
        """Keep how the run ended, and its figures as JSON."""
        if self.database.waiting.has_ended:
            msg = "the store could not be used at the end of the run"
            raise StorageError(msg)
        self.database.transact([Step(_END_RUN, [self._clock.time(), ending, figures, self.number])])

    def close(self, *, forget: bool = False) -> None:
        """Close the database; delete the row of a task, or of a run to forget."""
        try:
            if (forget or self._is_task) and not self.database.waiting.has_ended:
                self.database.transact([Step("DELETE FROM run WHERE number = ?", [self.number])])
        finally:
            self.database.close()


class DryStore(RunStore):
    """Stands in for the store in a dry run: knows what was delivered, and writes nothing."""

    def _begin(self, kind: str) -> list[Row]:  # noqa: ARG002 (there is no row of the run)
        self._renewed_at = math.inf  # There are no reservations either.
        return self.database.read(_NEWEST, [ledger.RECENT])

    def _transact(self, questions: list[Step], changes: Then, *, durable: bool) -> Answers:  # noqa: ARG002
        """Ask which events were delivered, and forget what a run would write."""
        _, _, events, _ = questions
        answers: Answers = [[], [], self.database.read(*events), []]
        changes(answers)
        return answers

    def close(self, *, forget: bool = False) -> None:  # noqa: ARG002 (there is no row of the run)
        """Close the database."""
        self.database.close()


def runs_in(database: Database, settings: Settings, since: float) -> list[Row]:
    """Return the runs of an account and pixel that began since a Unix time and are over, in order.

    Each is its ID, kind, last Unix time at which it was there, and figures as JSON (None: killed).
    """
    return database.read(_RUNS, [*settings.account, settings.pixel_id or 0, since])


# Opening a store. All functions raise a `ConfigurationError` if the setting `store` names no store,
# and a `StorageError` if a database cannot be reached.


def open_store(
    settings: Settings,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
    waiting: Waiting | None = None,
    **options: Any,
) -> RunStore:
    """Open the store for a run, with options of `RunStore`; or create it, unless the run is dry."""
    is_dry = settings.dry_run
    opened = open_for_reading(settings) if is_dry else open_database(settings, clock, waiting)
    try:
        return (DryStore if is_dry else RunStore)(opened, settings, run_id, clock, **options)
    except BaseException:
        opened.close()
        raise


def open_database(
    settings: Settings,
    clock: Clock = SYSTEM_CLOCK,
    waiting: Waiting | None = None,
    *,
    reads_only: bool = False,
) -> Database:
    """Open the database of the store; create it if there is none, and it is not only read."""
    waiting = waiting or Waiting(clock)
    if not settings.has_database_server:
        return SqliteStore(settings.store, clock, waiting, reads_only=reads_only)
    from target_liveintent.store.postgres import PostgresStore  # noqa: PLC0415 (its libraries)

    return PostgresStore(settings.store, settings.max_retry_seconds, waiting, reads_only=reads_only)


def open_for_reading(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> Database:
    """Open the store only for reading; return an empty one if no run has used it yet."""
    if settings.has_database_server or Path(settings.store).exists():
        database = open_database(settings, clock, reads_only=True)
        if not database.is_new:
            return database
        database.close()
    return empty_store(clock)


def empty_store(clock: Clock = SYSTEM_CLOCK) -> Database:
    """Return an empty store that only this process sees."""
    return SqliteStore(IN_MEMORY, clock, Waiting(clock))
