"""The simulator finds what it is for: each rule of the code is broken, and a check notices."""

# ruff: noqa: SLF001 (rules are broken from inside)

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec
import pytest
from simulation import violation_in

from target_liveintent.delivery.batch import BatchDelivery, BatchResult
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.delivery.retry import Outage
from target_liveintent.failures import Failure
from target_liveintent.run import states
from target_liveintent.run.batches import Batches
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.outcome_writer import OutcomeWriter
from target_liveintent.run.run import Run
from target_liveintent.run.states import DeadLetterCheck, StateGate, StatePublisher
from target_liveintent.run.stopping import too_many_rejected
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.questions import StoreAnswer, StoreQuestion
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.unwritten import Unwritten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_liveintent.delivery.batch import Batch
    from target_liveintent.store.deduplication import Claim

MOST_HISTORIES = 500
"""As many as the suite plays; a break must be found in one of them."""
DUE, DROP_OLD = StateGate.due, BatchDelivery.drop_old
RETRY_LAST = BatchDelivery.retry_last
SEND_ALL = Run._send_all
OPEN_BATCH, DIVIDE, WRITE = StateGate.open_batch, Batches.divide, OutcomeWriter.write
CONFIRM, CHECK = Deduplicator.confirm, RunStore._check
ANSWERED, FINISH = Pace.answered, DeliveryMachine._finish
ASK_AGAIN_AT = DeliveryMachine._ask_again_at


def ignore_unfinished(gate: StateGate) -> str | None:
    with mock.patch.object(gate, "_unfinished", {}):
        return DUE(gate)


def judge_ages_once(delivery: BatchDelivery, unix_time: float) -> None:
    if not delivery.result.requests:
        DROP_OLD(delivery, unix_time)


def lose_other_parts(delivery: BatchDelivery, at: float) -> None:
    del delivery.parts[1:]
    RETRY_LAST(delivery, at)


def finish_twice(machine: DeliveryMachine, delivery: BatchDelivery) -> None:
    FINISH(machine, delivery)
    machine.finished.append(machine.finished[-1])


def finish_before_writing(run: Run, result: BatchResult) -> None:
    run.gate.finish_batch(result.batch.number)
    run._states.publish_due()
    for rejection in result.undelivered:
        run._reject(result.batch.stream, rejection, result.batch.read_at)


def release_at_the_end_of_input(run: Run) -> None:
    run._states._letter_check = DeadLetterCheck.PASSED
    SEND_ALL(run)


def write_lazily(writer: OutcomeWriter, **_: Any) -> None:
    WRITE(writer)


def write_nothing(writer: OutcomeWriter, **_: Any) -> None:
    store: Any = writer._outcomes
    store._store._renewals.last = store._store._clock.since_boot()  # Otherwise, nothing is sent.


def ignore_losses(store: RunStore, question: StoreQuestion, answer: StoreAnswer) -> None:
    CHECK(store, question, answer._replace(has_all=True))


def judge_only_at_states(counts: RunCounts, percent: int, **_: Any) -> Failure | None:
    return too_many_rejected(counts, percent, at_end=False)


def deliver_old(delivery: BatchDelivery, unix_time: float) -> None:
    events, result = delivery.parts[0].events, delivery.result
    DROP_OLD(delivery, unix_time)
    old = [event for event in events if unix_time >= event.expires_at]
    result.undelivered = result.undelivered[: len(result.undelivered) - len(old)]
    result.delivered += old
    result.sent_at += [unix_time] * len(old)


def retry_later(delivery: BatchDelivery, *, has_bad_event: bool = False) -> None:
    del has_bad_event
    delivery.retry_last(0.0)


def ignore_retry_after(pace: Pace, started_at: float, now: float, verdict: Any, _: Any) -> None:
    ANSWERED(pace, started_at, now, verdict)


def send_what_waits(batches: Batches, claims: Iterable[tuple[Batch, Claim]]) -> None:
    DIVIDE(
        batches,
        [
            (batch, claim._replace(mine=[*claim.mine, *claim.waiting], waiting=[]))
            if claim.mine
            else (batch, claim)
            for batch, claim in claims
        ],
    )


def forget_parts(deduplicator: Deduplicator, number: int, confirmed: Any, *, is_last: bool) -> Any:
    return CONFIRM(deduplicator, number, confirmed if is_last else [], is_last=is_last)


def end_outages(machine: DeliveryMachine, start: float, now: float) -> float:
    machine._outage.end()
    return ASK_AGAIN_AT(machine, start, now)


def keep_all(result: BatchResult) -> BatchResult:
    return BatchResult(result.batch, is_last=False)


def mark_all(_: RunStore, claims: dict[int, Claim], *__: Any) -> dict[int, Claim]:
    return {
        number: claim._replace(
            mine=[msgspec.structs.replace(one, was_refused=True) for one in claim.mine]
        )
        for number, claim in claims.items()
    }


def open_at_the_end(gate: StateGate, beside: int | None = None) -> int:
    return OPEN_BATCH(gate, beside and None)


EARLY = "no STATE comes early"
PASSES = "until something is delivered, no STATE passes a rejected record"
NEVER, FALSE = property(lambda _: float("inf")), property(lambda _: False)
BREAKS: list[tuple[Any, str, Any, str]] = [
    (StateGate, "due", ignore_unfinished, EARLY),
    (Run, "_conclude", finish_before_writing, EARLY),
    (StateGate, "open_batch", open_at_the_end, EARLY),
    (BatchDelivery, "drop_old", judge_ages_once, "no event is sent when it is too old"),
    (Refusals, "accepted_after", lambda *_: True, "a refusal is proven by what is accepted after"),
    (Refusals, "settings_are_wrong", FALSE, "wrong settings end the run in time"),
    (
        BatchDelivery,
        "retry_last",
        lose_other_parts,
        "a batch is finished when each of its events has an outcome",
    ),
    (DeliveryMachine, "_finish", finish_twice, "a batch comes back once"),
    (StatePublisher, "_is_withheld", lambda _: False, PASSES),
    (Run, "_send_all", release_at_the_end_of_input, PASSES),
    (states, "too_many_rejected", judge_only_at_states, "a run that delivers nothing fails"),
    (
        BatchDelivery,
        "drop_old",
        deliver_old,
        "only what the API accepted is delivered",
    ),
    (BatchDelivery, "halve", retry_later, "what becomes of events is in the table"),
    (Pace, "answered", ignore_retry_after, "nothing is sent before the end of Retry-After"),
    (Outage, "ends_run_at", NEVER, "an outage ends the run in time"),
    (DeliveryMachine, "_ask_again_at", end_outages, "an outage ends the run in time"),
    (Batches, "divide", send_what_waits, "copies of an event are not sent at once"),
    (OutcomeWriter, "write", write_nothing, "before STATE, the store learns everything"),
    (OutcomeWriter, "write", write_lazily, "no STATE comes after the store has lost outcomes"),
    (RunStore, "_check", ignore_losses, "no STATE comes after the store has lost outcomes"),
    (Deduplicator, "confirm", forget_parts, "the store has what was confirmed"),
    (RunStore, "_remove_letters", lambda *_: None, "the store has the dead letters"),
    (RunStore, "_with_refusals", mark_all, "an event that was refused before has its dead letter"),
    (
        Unwritten,
        "confirmed_steps",
        lambda *_: [],
        "a full disk keeps nothing confirmed from the store",
    ),
    (RunStore, "release", lambda _, __: None, "reservations end with the run"),
    (BatchResult, "split_off", keep_all, "what is delivered does not wait for the rest of its ba"),
    (DeliveryPool, "_is_reserved", lambda _: True, "no request starts on an expired reservation"),
    (DeliveryMachine, "stop", lambda *_: None, "nothing is sent after the stop"),
]
"""Where a rule of the code is broken, what takes its place, and the check that notices."""


@pytest.mark.parametrize(
    ("owner", "name", "broken", "rule"),
    [pytest.param(*given, id=f"{given[1]}: {given[3]}") for given in BREAKS],
)
def test_a_break_is_found(owner: Any, name: str, broken: Any, rule: str) -> None:
    """A check notices a break within as many histories as the suite plays."""
    with mock.patch.object(owner, name, broken):
        violations = filter(None, map(violation_in, range(MOST_HISTORIES)))
        assert any(violation.startswith(rule) for violation in violations)
