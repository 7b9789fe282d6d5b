"""What a run asks the store at the beginning of a transaction, and what the store answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from target_liveintent.conversions.event_model import LetterKey
from target_liveintent.store.database import Answers
from target_liveintent.store.layout import DEAD_LETTER, SqlRow, Step
from target_liveintent.store.ledger import HASH_BYTES, TIME_BYTES, Claim, OtherRuns

FIND_EVENTS = (
    "SELECT event.key, run FROM ({keys}) AS given CROSS JOIN event WHERE event.key = given.key"
)
"""Finds keys, and the run of each. (By the CROSS JOIN, SQLite looks up one key after the other.)"""
_OWN_ROW = (
    "SELECT transactions, EXISTS (SELECT 1 FROM dead_letter), EXISTS (SELECT 1 FROM dead_letter"
    " WHERE customer_id = run.customer_id AND api_host = run.api_host"
    " AND reason = 'refused_by_api') FROM run WHERE number = ?"
)
_RESERVED_BY_OTHERS = (
    "SELECT run.number, run.transactions, run.id, reservation.hashes FROM run"
    " CROSS JOIN reservation WHERE run.ended_at IS NULL AND run.number <> ?"
    " AND reservation.run = run.number"
)


class StoreAnswer(NamedTuple):
    """What the store has answered to a `StoreQuestion`."""

    has_all: bool  # Whether the store has all earlier transactions of the run.
    has_letters: bool  # Whether the store has any dead letter.
    has_refused: bool  # Whether it has any dead letter of the account with a refused event.
    reserved: Mapping[bytes, str]  # The hashes that other runs have reserved, with these runs' IDs.
    delivered: set[bytes]  # The keys of the events of the question that were delivered.
    letters: set[LetterKey]  # The dead letters of the question that an earlier transaction wrote.
    refused: set[LetterKey]  # The keys in `StoreQuestion.refused` of events that the API refused.
    silent: Collection[int] = ()  # The numbers of other runs whose reservations have expired.

    def has_any(self, keys: Iterable[bytes]) -> bool:
        """Return whether one of these events was delivered, or another run has reserved it."""
        return any(key in self.delivered or key[TIME_BYTES:] in self.reserved for key in keys)


NO_ANSWER = StoreAnswer(
    has_all=True,
    has_letters=False,
    has_refused=False,
    reserved={},
    delivered=set(),
    letters=set(),
    refused=set(),
)
"""What a store without rows would answer."""


class StoreQuestion(NamedTuple):
    """What a run asks the store; it also asks which events other runs have reserved."""

    run: int  # The number of the run.
    transaction: int  # The number of the transaction: 1 for the first one of the run.
    asked_at: float  # By `Clock.since_boot`.
    send_again: bool  # Whether to ignore what other runs have delivered.
    events: Sequence[bytes]  # Which events with these keys were delivered?
    letters: Sequence[LetterKey]  # Which of these dead letters does the store have?
    refused: Sequence[LetterKey]  # Which of these are of events that the API refused?
    # The keys of all reserved events. Are they still reserved? None: the run does not ask.
    reserved: Sequence[bytes] | None

    def steps(self) -> list[Step]:
        """Return the steps that ask the store."""
        refused = DEAD_LETTER.find(self.refused, ", ".join(LetterKey._fields))
        return [
            Step(_OWN_ROW, [self.run]),
            Step(_RESERVED_BY_OTHERS, [self.run]),
            self.events_step(),
            DEAD_LETTER.find(
                self.letters, ", ".join((*LetterKey._fields, "first_run", "first_transaction"))
            ),
            refused._replace(sql=f"{refused.sql} AND reason = 'refused_by_api'"),
        ]

    def events_step(self) -> Step:
        """Return the step that asks which events were delivered."""
        return Step(FIND_EVENTS, keys=[*self.events, *(self.reserved or ())])

    def read(self, answers: Answers, others: OtherRuns, now: float) -> StoreAnswer:
        """Read the answers to `steps`, which the store has given before `now`.

        `answers` may also have answers to further steps, which come last.
        """
        own_row, reservations, events, letters, refused, *_ = answers
        transactions, has_letters, has_refused = own_row[0] if own_row else (None, True, True)
        this = (self.run, self.transaction)
        silent = others.silent({run: count for run, count, *_ in reservations}, now)
        return StoreAnswer(
            # If the answer to a COMMIT is lost, the same transaction may be made twice.
            has_all=transactions in (self.transaction - 1, self.transaction),
            has_letters=bool(has_letters),
            has_refused=bool(has_refused),
            reserved={
                hashes[start : start + HASH_BYTES]: run_id
                for run, _, run_id, hashes in reservations
                if run not in silent
                for start in range(0, len(hashes), HASH_BYTES)
            },
            delivered=self.delivered_in(events),
            letters={LetterKey(*key) for *key, run, number in letters if (run, number) != this},
            refused={LetterKey(*key) for key in refused},
            silent=silent,
        )

    def delivered_in(self, rows: Iterable[SqlRow]) -> set[bytes]:
        """Read the answer to `events_step`; return the keys of delivered events."""
        return {key for key, run in rows if run == self.run or not self.send_again}


class ClaimDecision(NamedTuple):
    """What a run decides about the events of batches, by the answer of the store."""

    answer: StoreAnswer
    claims: dict[int, Claim]
    changes: list[Step]  # The steps that write the reservations.
