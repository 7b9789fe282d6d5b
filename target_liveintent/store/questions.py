"""What a run asks the store at the beginning of a transaction, and what the store answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from target_liveintent.conversions.event_model import LetterKey
from target_liveintent.store.database import Answers
from target_liveintent.store.deduplication import KEY_BYTES, TIME_BYTES, Claim
from target_liveintent.store.layout import DEAD_LETTER, SqlRow, Step
from target_liveintent.store.reservations import OtherRuns
from target_liveintent.store.waiting import Owner, WaitingEvent, find_waiting, waiting_events

FIND_EVENTS = (
    "SELECT event.key, run FROM ({keys}) AS given CROSS JOIN event WHERE event.key = given.key"
)
"""Finds keys, and the run of each. (The CROSS JOIN makes SQLite look up each key.)"""
_OWN_ROW = (
    "SELECT transactions, EXISTS (SELECT 1 FROM dead_letter), EXISTS (SELECT 1 FROM waiting)"
    " FROM run WHERE number = ?"
)
_RESERVED_BY_OTHERS = (
    "SELECT run.number, run.transactions, run.id, run.customer_id, run.api_host,"
    " coalesce(run.pixel_id, 0), reservation.keys, reservation.read_at,"
    " CAST(reservation.amounts AS TEXT) FROM run"
    " CROSS JOIN reservation WHERE run.ended_at IS NULL AND run.number <> ?"
    " AND reservation.run = run.number"
)


class _Reservation(NamedTuple):
    """A batch that another run has reserved."""

    run: int
    transactions: int
    run_id: str
    customer_id: str
    api_host: str
    run_pixel_id: int
    keys: bytes
    read_at: int
    amounts: str


class KnownLetter(NamedTuple):
    """A dead letter in the store."""

    reason: str
    first_read: int  # The Unix time at which its record was first read.


class StoreAnswer(NamedTuple):
    """What the store has answered to a `StoreQuestion`."""

    has_all: bool  # Whether the store has all earlier transactions of the run.
    has_letters: bool  # Whether the store has any dead letter.
    has_waiting: bool  # Whether an event waits for an outcome after its run failed.
    reserved: Mapping[bytes, str]  # The hashes that other runs have reserved, with these runs' IDs.
    arrived: set[bytes]  # The keys of the events of the question that were delivered.
    delivered: set[bytes]  # The same without those that the run must send once more.
    letters: set[LetterKey]  # Those of the question that an earlier transaction wrote.
    known: Mapping[LetterKey, KnownLetter]  # Those of the question that the store has.
    waiting: Mapping[bytes, int]  # Events of the question that wait, and when they were read.
    silent: Collection[int] = ()  # The numbers of other runs whose reservations have expired.
    # The events that the silent runs had reserved, each with its owner.
    abandoned: Sequence[tuple[Owner, WaitingEvent]] = ()

    def has_any(self, keys: Iterable[bytes]) -> bool:
        """Return whether one of these events was delivered, or another run has reserved it."""
        return any(key in self.delivered or key[TIME_BYTES:] in self.reserved for key in keys)


NO_ANSWER = StoreAnswer(
    has_all=True,
    has_letters=False,
    has_waiting=False,
    reserved={},
    arrived=set(),
    delivered=set(),
    letters=set(),
    known={},
    waiting={},
)
"""What a store without rows would answer."""


class StoreQuestion(NamedTuple):
    """What a run asks the store. Each question also asks which events other runs have reserved."""

    run: int  # The number of the run.
    transaction: int  # The number of the transaction: 1 for the first one of the run.
    asked_at: float  # By `Clock.since_boot`.
    send_again: bool  # Whether to ignore what other runs have delivered.
    events: Sequence[bytes]  # Which events with these keys were delivered?
    letters: Sequence[LetterKey]  # Which of these dead letters does the store have?
    known: Sequence[LetterKey]  # What is known of these dead letters?
    waiting: Sequence[bytes]  # Which events with these hashes wait?
    # The keys of all events that the run has reserved. Has another run sent or reserved one of
    # them? (None: the run does not ask this.)
    reserved: Sequence[bytes] | None

    def steps(self) -> list[Step]:
        """Return the steps that ask the store."""
        return [
            Step(_OWN_ROW, [self.run]),
            Step(_RESERVED_BY_OTHERS, [self.run]),
            self.events_step(),
            DEAD_LETTER.find(
                self.letters, ", ".join((*LetterKey._fields, "first_run", "first_transaction"))
            ),
            DEAD_LETTER.find(self.known, ", ".join((*LetterKey._fields, *KnownLetter._fields))),
            find_waiting(self.waiting),
        ]

    def events_step(self) -> Step:
        """Return the step that asks which events were delivered."""
        return Step(FIND_EVENTS, keys=[*self.events, *(self.reserved or ())])

    def read(self, answers: Answers, others: OtherRuns, now: float) -> StoreAnswer:
        """Read the answers to `steps`; `now` is `Clock.since_boot` after the store has answered.

        `answers` may also have answers to further steps, which come last.
        """
        own_row, reserved, events, letters, known, waiting, *_ = answers
        transactions, has_letters, has_waiting = own_row[0] if own_row else (None, True, True)
        this = (self.run, self.transaction)
        reservations = [_Reservation(*row) for row in reserved]
        silent = others.silent({other.run: other.transactions for other in reservations}, now)
        return StoreAnswer(
            # If the answer to a COMMIT is lost, the same transaction may be made twice.
            has_all=transactions in (self.transaction - 1, self.transaction),
            has_letters=bool(has_letters),
            has_waiting=bool(has_waiting),
            reserved={
                other.keys[start + TIME_BYTES : start + KEY_BYTES]: other.run_id
                for other in reservations
                if other.run not in silent
                for start in range(0, len(other.keys), KEY_BYTES)
            },
            arrived={key for key, _ in events},
            delivered=self.delivered_in(events),
            letters={LetterKey(*key) for *key, run, number in letters if (run, number) != this},
            known={LetterKey(*row[:5]): KnownLetter(*row[5:]) for row in known},
            waiting=dict(waiting),
            silent=silent,
            abandoned=[
                (Owner(other.customer_id, other.api_host, other.run_pixel_id), event)
                for other in reservations
                if other.run in silent
                for event in waiting_events(other.keys, other.read_at, other.amounts)
            ],
        )

    def delivered_in(self, rows: Iterable[SqlRow]) -> set[bytes]:
        """Read the answer to `events_step`; return the keys of delivered events."""
        return {key for key, run in rows if run == self.run or not self.send_again}


class ClaimDecision(NamedTuple):
    """What a run decides about the events of batches, by the answer of the store."""

    answer: StoreAnswer
    claims: dict[int, Claim]
    reservations: list[SqlRow]  # The rows to write into the table `reservation`.
    changes: list[Step]  # All steps of the decision, which also write these rows.
