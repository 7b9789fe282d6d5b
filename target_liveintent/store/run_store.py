"""Reserves the events of a run, and writes its new outcomes to the store in one transaction.

Each transaction survives a crash of the database's server. The run counts its transactions, and the
store also keeps this number. If the number in the store is too small, the store has lost
transactions, and the run ends.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.coerce import positive_integer
from target_liveintent.conversions.event_model import Conversion, LetterKey, Rejection
from target_liveintent.errors import StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.store.database import Answers, Database
from target_liveintent.store.dead_letters import DeadLetter, keys_of, letter_of
from target_liveintent.store.deduplication import (
    TIME_BYTES,
    Claim,
    Deduplicator,
)
from target_liveintent.store.delivered import delivered_row
from target_liveintent.store.layout import DELIVERED, RESERVATION, UNCOUNTED, Step
from target_liveintent.store.questions import (
    NO_ANSWER,
    ClaimDecision,
    KnownLetter,
    StoreAnswer,
    StoreQuestion,
)
from target_liveintent.store.reservations import (
    LAPSE_SECONDS,
    MOST_LATE_ANSWERS,
    SURE_SECONDS,
    OtherRuns,
    Renewals,
)
from target_liveintent.store.run_places import RunPlaces
from target_liveintent.store.runs import TASK, RunOptions, RunStart, end_of_run, removal_of_run
from target_liveintent.store.unwritten import Unwritten
from target_liveintent.store.waiting import Owner, find_waiting, waiting_steps

_RENEW = (
    "UPDATE run SET alive_until = {now} + ?, transactions = ? WHERE number = ?"
    # The number changes only if it is the expected one. A slow server may commit a transaction
    # after the run has repeated it and made further ones: then the number must not decrease. If the
    # store has lost transactions, the number must stay too small, so that the run notices the loss
    # even if it repeats a transaction.
    " AND transactions BETWEEN ? AND ?"
)
_RELEASE = "DELETE FROM reservation WHERE run = ?"
_MOST_IMPORTED = 1_000
_SUSPENDED = (
    "the reservations of this run have expired because the run was suspended for long, or the store"
    " has lost the reservations. Another run has then sent or reserved the same events, so this run"
    " cannot continue: start the run again"
)
_TOO_SLOW = (
    f"{MOST_LATE_ANSWERS} answers of the store in a row took over {SURE_SECONDS:.0f} seconds each,"
    " so the run could send nothing. Look for a program that keeps the store locked, and check the"
    " disk, or the load of the database server and the network to it; or set store to a faster"
    " database. The next run sends the rest"
)
_LOST = (
    "the store has lost what this run wrote before. This happens when a backup is restored, or"
    " after a switch to a database server that had not received everything. Dead letters can be"
    " missing, also of records before a written STATE. Let the tap read these records again, such"
    " as with --full-refresh: events that the store knows as delivered are not sent again"
)


class RunStore:
    """Reserves the events of one run in the store, notes their outcomes, and writes the outcomes.

    Attributes:
        number: The key of the run's row in the table `run`.
        former: The last run before this one, if no earlier run was for the same account and pixel.
        expired_letters: How many dead letters older than `history_days` were deleted at the start.
        repeated_letters: How many dead letters of this run replaced an earlier one, by reason. The
            earlier one may be of this run, too.
    """

    def __init__(
        self, database: Database, options: RunOptions, start: RunStart, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.database, self.number = database, start.number
        self.former, self.expired_letters = start.former, start.expired_letters
        self.repeated_letters = Counter[str]()
        self._options, self._clock = options, clock
        self._deduplicator = Deduplicator(
            options.account, () if options.send_again else start.newest
        )
        self._unwritten = Unwritten()
        owner = Owner(*options.account, options.events.pixel_id or 0)
        again = start.newest if options.send_again else ()
        arrived = frozenset(key[TIME_BYTES:] for key in again)
        self._places = RunPlaces(owner, start.number, self._deduplicator, arrived)
        self._transactions = 0  # How many the run has made.
        # Whether the store may have dead letters; True until the store answers.
        self._has_letters = True
        self._has_failed = False  # Whether the last transaction has failed.
        self._others = OtherRuns()
        self._renewals = Renewals(clock)

    @property
    def reserved_until(self) -> float:
        """The time (`Clock.since_boot`) until which no other run takes this run's events."""
        return self._renewals.sure_until

    # Outcomes

    def note_rejected(self, rejection: Rejection, read_at: float) -> None:
        """Note a record that is not sent, and the Unix time at which it was read.

        A new dead letter replaces the earlier dead letter of the same event. The dead letter from
        which a replay made the event is deleted or replaced in any case.
        """
        if REASONS[rejection.reason].letter:
            self._add_letter(rejection, read_at)
        elif rejection.letter is None:
            hashed = self._hash_of(rejection) if self._places.has_waiting else b""
            self._places.note_left_out(rejection.reason, read_at, hashed)
        else:
            self._unwritten.drop_letter(rejection.letter, rejection.reason)

    def _add_letter(self, rejection: Rejection, read_at: float) -> None:
        options = self._options
        if rejection.letter is not None:
            self._unwritten.remove_letters([rejection.letter])
        now = self._clock.time()
        letter = letter_of(rejection, options.account, options.events, options.run_id, now)
        hashed = self._hash_of(rejection)
        first_read = self._places.note_letter(hashed, read_at)
        self._unwritten.add_letter(letter._replace(read_at=first_read, hash=hashed))

    def _hash_of(self, rejection: Rejection) -> bytes:
        """Return the hash of a record's event, as in the event's key, if the pixel is right."""
        own = positive_integer(rejection.columns.get("pixel_id"))
        pixel_id = self._options.events.pixel_id if own is None else own
        usable = pixel_id if isinstance(pixel_id, int) else 0
        return self._deduplicator.hash_of(rejection.stream, usable, rejection.event_id)

    def note_left_out(self, reason: str) -> None:
        """Note a record that is read now, and that the map does not send."""
        self._places.note_left_out(reason, self._clock.time())

    @property
    def _may_have_letters(self) -> bool:
        """Whether there may be dead letters. If not, the run does not compute keys of letters."""
        return self._has_letters or bool(self._unwritten.letters)

    def _remove_letters(self, conversions: Sequence[Conversion]) -> None:
        """Note that the dead letters of events must be deleted."""
        for conversion in conversions:
            self._unwritten.remove_letters(keys_of(conversion, self._options.account))

    def note_delivered(
        self, conversions: Sequence[Conversion], sent_at: Sequence[float], read_at: float
    ) -> None:
        """Note delivered events.

        Args:
            conversions: Events of one batch.
            sent_at: The Unix time at which each event was sent.
            read_at: The Unix time at which the run read the first event of the batch.
        """
        self._places.arrive(conversions, read_at)
        if self._may_have_letters:
            self._remove_letters(conversions)
        else:
            self._unwritten.without_letters += [
                (conversion.stream, conversion.event.event_id, conversion.event.pixel_id)
                for conversion in conversions
            ]
        if self._options.keep_delivered:
            account = self._options.account
            for conversion, moment in zip(conversions, sent_at, strict=True):
                row = delivered_row(conversion, moment, account, self.number)
                self._unwritten.delivered[row[: len(DELIVERED.key)]] = row

    def note_confirmed(
        self,
        number: int,
        confirmed: Sequence[Conversion],
        *,
        is_last: bool,
        has_outcomes: bool = True,
    ) -> None:
        """Note which events of a batch the API has confirmed.

        If the batch is finished (`is_last`), its reservation ends. If events of a finished batch
        have no outcome (`has_outcomes` is False), they wait for a later run.
        """
        reserved = self._deduplicator.reserved[number]
        self._unwritten.confirmed += self._deduplicator.confirm(number, confirmed, is_last=is_last)
        if is_last:
            self._unwritten.ended.append(number)
            self._places.end_batch(number, () if has_outcomes else reserved)

    # Transactions. Each asks the store, and renews the reservations of the run.

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Reserve the events of batches; return what the run does with the events of each batch.

        The dead letters of events that were sent before are deleted.
        """
        keys = {number: self._deduplicator.keys_of(batch) for number, batch in batches.items()}
        events = [*itertools.chain(*keys.values())]
        letters = dict[LetterKey, bytes]()  # The hashes of the events that may have these letters.
        if self._may_have_letters:
            conversions = itertools.chain(*batches.values())
            for conversion, key in zip(conversions, events, strict=True):
                own = keys_of(conversion, self._options.account)
                letters |= dict.fromkeys(own, key[TIME_BYTES:])
        question = self._question(
            events=events,
            # (What the run has noted about a letter is newer than what the store says.)
            known=self._unwritten.untouched(letters),
            waiting=[key[TIME_BYTES:] for key in events] if self._places.has_waiting else (),
        )
        decide = functools.partial(self._decide, batches, keys, letters)
        decision = self._ask_and_reserve(question, decide)
        self._note_claims(decision, letters)
        self._check(question, decision.answer)
        if self._renewals.is_due:  # The store answered slowly: renew before anything is sent.
            self._write_all()
        return self._with_refusals(decision.claims, decision.answer.known)

    def _note_claims(self, decision: ClaimDecision, letters: Mapping[LetterKey, bytes]) -> None:
        """Note which events are reserved now, and what the store knows about them."""
        answer = decision.answer
        self._deduplicator.reserve(decision.claims)
        self._has_letters = answer.has_letters or bool(self._unwritten.letters)
        self._places.has_waiting = answer.has_waiting or bool(answer.abandoned)
        dates = self._known_dates(answer, letters)
        self._places.reserve(decision.reservations, decision.claims.values(), dates)
        if self._may_have_letters:
            for claim in decision.claims.values():
                self._remove_letters(claim.sent)

    def _known_dates(
        self, answer: StoreAnswer, letters: Mapping[LetterKey, bytes]
    ) -> dict[bytes, float]:
        """Return the Unix time at which events were first read, by hash.

        Only events that wait, or that have a dead letter, are in the result.
        """
        dates: dict[bytes, float] = {event.hash: event.read_at for _, event in answer.abandoned}
        dates |= answer.waiting
        for key in letters.keys() & self._unwritten.letters.keys():
            read_at = self._unwritten.letters[key].read_at
            if read_at is not None:
                dates[letters[key]] = read_at
        dates |= {letters[key]: letter.first_read for key, letter in answer.known.items()}
        return dates | {key[TIME_BYTES:]: UNCOUNTED for key in answer.arrived}

    def _letter_key(self, conversion: Conversion) -> LetterKey:
        own, without_pixel, *_ = keys_of(conversion, self._options.account)
        return without_pixel if conversion.letter == without_pixel else own

    def _with_refusals(
        self, claims: dict[int, Claim], known: Mapping[LetterKey, KnownLetter]
    ) -> dict[int, Claim]:
        """Return the claims; `was_refused` marks the events that the API refused before."""
        refused = {key for key, letter in known.items() if letter.reason == "refused_by_api"}
        if not refused:
            return claims

        def marked(conversion: Conversion) -> Conversion:
            was_refused = self._letter_key(conversion) in refused
            return msgspec.structs.replace(conversion, was_refused=was_refused)

        return {
            number: claim._replace(mine=[*map(marked, claim.mine)])
            for number, claim in claims.items()
        }

    def write(self, *, before_state: bool = False) -> None:
        """Write what is new, and renew the reservations, if anything is new or a renewal is due.

        Before a STATE, always ask whether the store still has all that the run has written.
        """
        if before_state or self._renewals.is_due or self._unwritten or self._places:
            self._write_all()

    def import_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Write exported dead letters; each replaces a dead letter with the same key."""
        rest = list(letters)
        for start in range(0, len(rest), _MOST_IMPORTED):
            for letter in rest[start : start + _MOST_IMPORTED]:
                self._unwritten.add_letter(letter)
            self._write_all()

    def release(self, unreserved: Mapping[int, Sequence[Conversion]]) -> None:
        """Write what is new, and end all reservations of the run.

        Events that the run has read, and that have no outcome, wait from now on for another run.

        Args:
            unreserved: Those of these events that the run has not reserved yet, by the number of
                their batch.
        """
        failed_before = self._has_failed
        try:
            if unreserved and not failed_before:
                self.claim(unreserved)
            self._write_all([*self._places.last_steps(), Step(_RELEASE, [self.number])])
        except StorageError:
            if not failed_before:  # Otherwise, the failure has been reported.
                raise

    def finish(self, ending: str, figures: str) -> None:
        """Save how the run ended, and its figures as JSON.

        Raises:
            StorageError: If the store cannot be used, or if the last transaction has failed.
        """
        if self._has_failed:
            msg = "the store could not be used at the end of the run"
            raise StorageError(msg)
        self.database.transact([end_of_run(self.number, self._clock.time(), ending, figures)])

    def close(self, *, forget: bool = False) -> None:
        """Close the database. If the run is a task, or with `forget`, first delete its row."""
        forgets = forget or self._options.kind == TASK
        try:
            if forgets and not self._has_failed:
                self.database.transact([removal_of_run(self.number)])
        finally:
            self.database.close()

    # What transactions are made of

    def _question(
        self,
        events: Sequence[bytes] = (),
        letters: Sequence[LetterKey] = (),
        known: Sequence[LetterKey] = (),
        waiting: Sequence[bytes] = (),
    ) -> StoreQuestion:
        """Return a question; if a renewal is due, it also asks about all reserved events."""
        reserved = self._reserved_keys() if self._renewals.is_due else None
        return StoreQuestion(
            run=self.number,
            transaction=self._transactions + 1,
            asked_at=self._clock.since_boot(),
            send_again=self._options.send_again,
            events=events,
            letters=letters,
            known=known,
            waiting=waiting,
            reserved=reserved,
        )

    def _check(self, question: StoreQuestion, answer: StoreAnswer) -> None:
        """Count a transaction. If it asked about the reservations, note that it has renewed them.

        Raises:
            StorageError: If the store has lost transactions of this run; if another run has sent or
                reserved an event that this run had reserved; if the store answers so slowly that
                the run can send nothing.
        """
        self._transactions = question.transaction
        if not answer.has_all:
            raise StorageError(_LOST)
        if question.reserved is not None:
            if answer.has_any(question.reserved):
                self._renewals.lost()  # Until the run ends, threads ask whether they may send.
                raise StorageError(_SUSPENDED)
            self._renewals.renewed(question.asked_at)
            if self._renewals.is_too_slow:
                raise StorageError(_TOO_SLOW)

    def _decide(
        self,
        batches: Mapping[int, Sequence[Conversion]],
        keys: Mapping[int, Sequence[bytes]],
        letters: Mapping[LetterKey, bytes],
        answer: StoreAnswer,
    ) -> ClaimDecision:
        """Decide which events of batches are reserved; this changes nothing.

        If other runs may have deleted the reservations of this run, the decision writes these
        reservations again, unless another run has reserved or sent one of their events.
        """
        claims = self._deduplicator.divide(batches, keys, answer.reserved, answer.delivered)
        with_letters = {letters[key] for key in answer.known}
        with_letters |= {letters[key] for key in letters.keys() & self._unwritten.letters.keys()}
        now = self._clock.time()
        rows = [
            self._places.reservation(number, claim, with_letters, now)
            for number, claim in claims.items()
            if claim.keys
        ]
        if self._renewals.is_late and not answer.has_any(self._reserved_keys()):
            rows += self._places.reservations.values()
        releases = [Step(_RELEASE, [run]) for run in answer.silent]
        releases += waiting_steps(answer.abandoned)
        changes = [*releases, self._renewal(), RESERVATION.put(rows)]
        return ClaimDecision(answer, claims, rows, changes)

    def _write_all(self, more: Sequence[Step] = ()) -> None:
        """Write what is new; do the steps of `more` in the same transaction."""
        unwritten, is_late = self._unwritten, self._renewals.is_late
        if left_out := self._places.hashes_left_out:
            self._places.date_left_out(dict(self.database.ask(find_waiting(left_out))))
        question = self._question(letters=list(unwritten.letters))
        if is_late:
            question = question._replace(reserved=None)  # The next transaction asks.
        now, pixel_id = self._clock.time(), self._options.events.pixel_id or 0
        news = unwritten.steps(self.number, pixel_id, question.transaction, now)
        changes = [*news, *self._places.steps(), self._renewal(), *more]
        answer = self._ask_and_write(question, changes)
        self._unwritten = Unwritten()
        self._places.note_written()
        if answer.has_letters:  # Usually, the run knew this before, so `late_letters` is empty.
            self._unwritten.remove_letters(unwritten.late_letters(self._options.account))
        self._has_letters = answer.has_letters or bool(unwritten.letters)
        self._places.has_waiting = answer.has_waiting
        self.repeated_letters += unwritten.repeated(answer.letters)
        self._check(question, answer)
        if is_late and not more:
            question = self._question()
            decision = self._ask_and_reserve(question, functools.partial(self._decide, {}, {}, {}))
            self._check(question, decision.answer)
        if self._unwritten:  # Late letters must be deleted.
            self._write_all(more)

    def _reserved_keys(self) -> list[bytes]:
        return [key for keys in self._deduplicator.reserved.values() for key in keys.values()]

    def _renewal(self) -> Step:
        count = self._transactions + 1
        return Step(_RENEW, [LAPSE_SECONDS, count, self.number, count - 1, count])

    def _ask_and_reserve(
        self, question: StoreQuestion, decide: Callable[[StoreAnswer], ClaimDecision]
    ) -> ClaimDecision:
        """Ask the store, call `decide` with the answer, and make the changes of the decision."""
        with self._saving_what_is_confirmed():
            return self.database.ask_and_change(
                question.steps(), lambda answers: decide(self._read(question, answers))
            )

    def _ask_and_write(self, question: StoreQuestion, changes: Sequence[Step]) -> StoreAnswer:
        """Ask the store, and write changes that do not depend on its answer."""
        with self._saving_what_is_confirmed():
            return self._read(question, self.database.transact([*question.steps(), *changes]))

    def _read(self, question: StoreQuestion, answers: Answers) -> StoreAnswer:
        return question.read(answers, self._others, self._clock.since_boot())

    @contextlib.contextmanager
    def _saving_what_is_confirmed(self) -> Iterator[None]:
        """If a transaction fails, as on a full disk, save which events the API has confirmed.

        Otherwise the next run would send these events again.
        """
        try:
            yield
        except StorageError:
            self._has_failed = True
            self.database.free_spare_space()
            with contextlib.suppress(StorageError):
                for step in self._unwritten.confirmed_steps(self.number):
                    self.database.transact([step])
                self.database.transact([self._places.counts.step()])
            raise
        self._has_failed = self.database.attempts.has_ended = False


class DryStore(RunStore):
    """The store of a dry run, which reads what was delivered, and writes nothing."""

    def __init__(
        self, database: Database, options: RunOptions, start: RunStart, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__(database, options, start, clock)
        self._renewals.last = math.inf  # There are no reservations.
        self._places.has_waiting = False

    def _ask_and_reserve(
        self, question: StoreQuestion, decide: Callable[[StoreAnswer], ClaimDecision]
    ) -> ClaimDecision:
        delivered = question.delivered_in(self.database.ask(question.events_step()))
        return decide(NO_ANSWER._replace(delivered=delivered))

    def _ask_and_write(
        self,
        question: StoreQuestion,  # noqa: ARG002 (only a run that writes needs the answer)
        changes: Sequence[Step],  # noqa: ARG002 (they are not made)
    ) -> StoreAnswer:
        return NO_ANSWER

    def close(self, *, forget: bool = False) -> None:  # noqa: ARG002 (there is no row of the run)
        """Close the database."""
        self.database.close()
