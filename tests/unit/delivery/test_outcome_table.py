"""The table of outcomes: it has a row for each situation, and each row happens in the machine."""

# ruff: noqa: SLF001 (situations are set up from inside)

from __future__ import annotations

import math
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

import pytest
from fakes import ACCEPTED, REFUSED, event, machine_of
from part_states import part_state
from unit_support import NOW

from target_liveintent.delivery.answer_actions import AnswerActions
from target_liveintent.delivery.api import MEANINGS, REPEATED, Answer, Verdict
from target_liveintent.delivery.batch import Batch, Request
from target_liveintent.delivery.outcome_table import (
    OUTCOME_TABLE,
    Action,
    Faults,
    PartKind,
    Row,
    action_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_liveintent.delivery.machine import DeliveryMachine

BUDGET = 300
"""The setting `max_retry_seconds`."""
EVENTS = {
    PartKind.EVENT: "1",
    PartKind.EVENTS: "1234",
    PartKind.LEFT_EVENT: "123",
    PartKind.LEFT_EVENTS: "12345678",
}
"""The events of a batch; a left half is that of a batch which the API has refused."""
COUNTED = {Faults.SOME: 1.0, Faults.TEN: 10.0, Faults.LAST_EVENTS: 1.0}
"""The faults of the part that count; none in other situations."""
SECONDS = {Faults.LATE: BUDGET / 4, Faults.LAST_EVENTS: BUDGET, Faults.OUTAGE: BUDGET}
"""How long the API has accepted nothing when the answer comes."""
REASONS = {
    Action.DELIVER_PROCESSED: "not_processed",
    Action.REJECT_UNCONFIRMED: "unconfirmed",
    Action.REJECT_FAULTY: "api_error",
    Action.REJECT_LAST_EVENTS: "api_error",
}
"""Why each action rejects events."""


def situations_that_can_be() -> Iterator[tuple[Verdict, PartKind, Faults]]:
    """Return each verdict with each kind of part, and with what its faults can be."""
    for verdict, kind, faults in product(Verdict, PartKind, Faults):
        counts = verdict in REPEATED - {Verdict.STARVED}
        is_end = faults in {Faults.LAST_EVENTS, Faults.OUTAGE} and verdict in REPEATED
        has_one = kind in {PartKind.EVENT, PartKind.LEFT_EVENT}
        if faults is Faults.LAST_EVENTS and not has_one:
            continue  # Only single events are left then.
        if verdict is Verdict.PARTLY and has_one:
            continue  # Such an answer names some of the events, and not all.
        if counts or is_end or faults is Faults.FEW:
            yield verdict, kind, faults


def test_each_situation_has_one_row() -> None:
    """No situation is without an action, and none has two."""
    rows = Counter(situation for row in OUTCOME_TABLE for situation in row.situations())
    assert rows == Counter(situations_that_can_be())


def test_each_action_has_a_row_and_a_method() -> None:
    assert {row.action for row in OUTCOME_TABLE} == set(Action) == AnswerActions._METHODS.keys()


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_its_words(verdict: Verdict) -> None:
    """The statuses that the words name are those of the verdict."""
    meaning = MEANINGS[verdict]
    named = {int(word) for word in meaning.answer.replace(",", "").split() if word.isdecimal()}
    is_listed = verdict not in {Verdict.PARTLY, Verdict.ROTATED, Verdict.FAULT}
    assert not is_listed or named == set(meaning.statuses)


def answer_of(verdict: Verdict, request: Request) -> Answer:
    """Return the answer with a verdict to a request."""
    first = request.conversions[0].event_id
    named = frozenset({first}) if verdict is Verdict.PARTLY else frozenset()
    status = min(MEANINGS[verdict].statuses, default=None)
    return Answer(verdict, "an answer", status, not_processed=named)


def machine_with(kind: PartKind, faults: Faults) -> tuple[DeliveryMachine, Request]:
    """Return a machine in a situation, and its request, which a fault may have as its answer."""
    machine = machine_of(accepted=True, max_concurrent_requests=1, max_retry_seconds=BUDGET)
    machine.add(Batch(1, "orders", 0.0, NOW, [event(name) for name in EVENTS[kind]]))
    if kind in {PartKind.LEFT_EVENT, PartKind.LEFT_EVENTS}:
        machine.answered(next_request(machine), REFUSED, NOW)
    if faults in SECONDS:
        machine.drain()
    request = next_request(machine)
    assert request.delivery.kind is kind
    part = request.delivery.parts[0]
    part.faults = COUNTED.get(faults, 0.0)
    part.failed_at = request.number  # So the next fault does not count.
    if faults is Faults.LAST_EVENTS:
        request.delivery.failed_at = 0
        machine._refusals.accept(request.number)
        del request.delivery.parts[1:]
    return machine, request


def next_request(machine: DeliveryMachine) -> Request:
    step = machine.next(NOW, NOW)
    assert isinstance(step, Request), step
    return step


def happenings() -> list[object]:
    """Return each row with each of its situations, in the same order in each process."""
    return [
        pytest.param(row, *situation, id="-".join(one.name for one in (row.action, *situation)))
        for row in OUTCOME_TABLE
        for situation in sorted(row.situations(), key=str)
    ]


@pytest.mark.parametrize(("row", "verdict", "kind", "faults"), happenings())
def test_each_row_happens_in_the_machine(
    row: Row, verdict: Verdict, kind: PartKind, faults: Faults
) -> None:
    """After the answer, the events of the part are where the row says."""
    assert action_for(verdict, kind, faults) is row.action
    machine, request = machine_with(kind, faults)
    now = NOW + SECONDS.get(faults, 1.0)
    machine.answered(request, answer_of(verdict, request), now)
    assert part_state(request, machine.finished) is row.action.state
    results = [*machine.finished, request.delivery.result]
    reasons = {one.reason for result in results for one in result.undelivered}
    assert reasons == ({REASONS[row.action]} if row.action in REASONS else set())
    confirmed = {one.event_id for result in results for one in result.confirmed}
    assert bool(confirmed) is (verdict is Verdict.ACCEPTED)
    retry_at = max((part.retry_at for part in request.delivery.parts), default=0.0)
    assert retry_at == (now + COUNTED.get(faults, 0.0) if row.action is Action.RETRY_LAST else 0.0)


@pytest.mark.parametrize(
    ("action", "kind", "posted"),
    [
        (Action.DELIVER_AND_HALVE_RIGHT, PartKind.LEFT_EVENTS, "56"),
        (Action.DELIVER_AND_HALVE_RIGHT, PartKind.LEFT_EVENT, "2"),
    ],
    ids=["right-half-of-four", "right-half-of-two"],
)
def test_the_right_half_is_not_sent_as_a_whole(action: Action, kind: PartKind, posted: str) -> None:
    """If the API accepts the left half, the right half is halved at once."""
    assert action_for(Verdict.ACCEPTED, kind, Faults.FEW) is action
    machine, request = machine_with(kind, Faults.FEW)
    machine.answered(request, ACCEPTED, NOW)
    sent = machine.next(NOW + 1, NOW)
    assert isinstance(sent, Request)
    assert "".join(one.event_id for one in sent.conversions) == posted


def test_a_retry_after_beyond_the_budget_is_an_outage() -> None:
    """The run ends at once, although the API has failed for no time at all."""
    machine, request = machine_with(PartKind.EVENTS, Faults.FEW)
    asks = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=BUDGET + 1.0)
    machine.answered(request, asks, NOW)
    assert machine.next(NOW, NOW) == math.inf
    assert request.delivery.result.failure is not None
