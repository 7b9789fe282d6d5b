"""The simulator finds what it is for: each rule of the code is broken, and a check notices."""

# ruff: noqa: SLF001 (rules are broken from inside)

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import pytest
from simulation import violation_in

from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.model import BatchResult, Job
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.run import run
from target_liveintent.run.batches import Batches, StateGate
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.doubts import too_many_rejected
from target_liveintent.run.run import Run
from target_liveintent.store.ledger import Ledger
from target_liveintent.store.run_store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from target_liveintent.delivery.model import Batch
    from target_liveintent.store.ledger import Claim

MOST_HISTORIES = 500
"""As many as the suite plays; a break must be found in one of them."""
DUE, DROP_OLD, ACCEPT = StateGate.due, Job.drop_old, Job.accept
SEND_ALL = Run._send_all
OPEN_BATCH, DIVIDE, WRITE = StateGate.open_batch, Batches.divide, Run._write
CONFIRM = Ledger.confirm
ANSWERED, FINISH = Pace.answered, DeliveryMachine._finish


def ignore_unfinished(gate: StateGate) -> str | None:
    with mock.patch.object(gate, "_unfinished", {}):
        return DUE(gate)


def judge_ages_once(job: Job, unix_time: float) -> None:
    if not job.result.requests:
        DROP_OLD(job, unix_time)


def lose_the_part(job: Job) -> None:
    job.parts.pop(0)


def finish_twice(machine: DeliveryMachine, job: Job) -> None:
    FINISH(machine, job)
    machine.finished.append(machine.finished[-1])


def finish_before_writing(run: Run, result: BatchResult) -> None:
    run.gate.finish_batch(result.batch.number)
    run._advance_state()
    for rejection in result.undelivered:
        run._reject(result.batch.stream, rejection)


def release_at_the_end_of_input(run: Run) -> None:
    run._is_judged = True
    SEND_ALL(run)


def judge_only_at_states(counts: RunCounts, percent: int, **_: Any) -> str | None:
    return too_many_rejected(counts, percent, at_end=False)


def accept_all(job: Job, answer: Any, sent_at: float) -> None:
    job.result.delivered += [
        one for one in job.parts[0].events if one.event_id in answer.not_processed
    ]
    ACCEPT(job, answer, sent_at)


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


def forget_parts(ledger: Ledger, number: int, confirmed: Any, *, is_last: bool) -> None:
    CONFIRM(ledger, number, confirmed if is_last else [], is_last=is_last)


def open_at_the_end(gate: StateGate, beside: int | None = None) -> int:
    return OPEN_BATCH(gate, beside and None)


class Break(NamedTuple):
    """A rule of the code that is broken."""

    owner: Any  # The class, or module, in which something is replaced.
    name: str
    broken: Any  # What takes its place.
    rule: str  # The check that notices.


BREAKS = {
    "the state gate ignores unfinished batches": Break(
        StateGate, "due", ignore_unfinished, "no STATE comes early"
    ),
    "ages are judged once, before the wait": Break(
        Job, "drop_old", judge_ages_once, "no event is sent when it is too old"
    ),
    "a refusal is final at once": Break(
        Refusals,
        "accepted_after",
        lambda *_: True,
        "a refusal is proven by what is accepted after it",
    ),
    "a retry loses a part": Break(
        Job,
        "postpone",
        lose_the_part,
        "a batch is finished when each of its events has an outcome",
    ),
    "a batch is settled twice": Break(
        DeliveryMachine, "_finish", finish_twice, "a batch comes back once"
    ),
    "a rejected record holds no STATE back": Break(
        Run,
        "_withholds_state",
        property(lambda _: False),
        "until something is delivered, no STATE passes a rejected record",
    ),
    "STATE passes rejected records as soon as the input ends": Break(
        Run,
        "_send_all",
        release_at_the_end_of_input,
        "until something is delivered, no STATE passes a rejected record",
    ),
    "a run that delivers nothing ends well": Break(
        run, "too_many_rejected", judge_only_at_states, "a run that delivers nothing fails"
    ),
    "a batch is finished before its dead letters are written": Break(
        Run, "_conclude", finish_before_writing, "no STATE comes early"
    ),
    "a 200 that names events is taken for delivery": Break(
        Job, "accept", accept_all, "only what the API accepted is delivered"
    ),
    "a Retry-After is ignored": Break(
        Pace, "answered", ignore_retry_after, "nothing is sent before the end of Retry-After"
    ),
    "an outage never ends a run": Break(
        DeliveryMachine,
        "_outage_ends_at",
        property(lambda _: float("inf")),
        "an outage ends the run in time",
    ),
    "the settings are never found wrong": Break(
        Refusals, "proves_wrong", property(lambda _: False), "wrong settings end the run in time"
    ),
    "copies of an event are sent at once": Break(
        Batches, "divide", send_what_waits, "copies of an event are not sent at once"
    ),
    "STATE passes copies that wait": Break(
        StateGate, "open_batch", open_at_the_end, "no STATE comes early"
    ),
    "STATE does not wait for the store": Break(
        Run, "_write", lambda *_, **__: None, "before STATE, the store learns everything"
    ),
    "what STATE covers is not durable": Break(
        Run, "_write", lambda run, **_: WRITE(run), "what STATE covers survives a power cut"
    ),
    "the store forgets what is confirmed of a part of a batch": Break(
        Ledger, "confirm", forget_parts, "the store has what was confirmed"
    ),
    "a delivered event keeps its dead letter": Break(
        RunStore, "_settle", lambda *_: None, "the store has the dead letters"
    ),
    "a run leaves without a word to the store": Break(
        RunStore, "release", lambda _: None, "what a run has done survives a power cut"
    ),
    "what is delivered comes back with the rest of its batch": Break(
        BatchResult,
        "split_off",
        lambda result: BatchResult(result.batch, is_last=False),
        "what is delivered does not wait for the rest of its batch",
    ),
    "a run that is stopped goes on": Break(
        DeliveryMachine, "stop", lambda *_: None, "nothing is sent after the stop"
    ),
}


def history_that_finds(broken: Break) -> tuple[int, str] | None:
    """Return the seed of the first history in which a check notices a break, and what it says."""
    with mock.patch.object(broken.owner, broken.name, broken.broken):
        found = ((seed, violation_in(seed)) for seed in range(MOST_HISTORIES))
        return next(((seed, rule) for seed, rule in found if rule), None)


@pytest.mark.parametrize("words", BREAKS)
def test_a_break_is_found(words: str, record_property: Callable[[str, object], None]) -> None:
    """A check notices a break within as many histories as the suite plays."""
    found = history_that_finds(BREAKS[words])

    assert found is not None
    seed, rule = found
    record_property("seed", seed)
    assert rule.startswith(BREAKS[words].rule)
