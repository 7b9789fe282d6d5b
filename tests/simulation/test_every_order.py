"""Every order of the transactions of two runs keeps what is promised; see every_order.py."""

# ruff: noqa: SLF001 (rules are broken from inside)

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from every_order import SCENARIOS, states_of
from simulation_facts import ViolationError

from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.run_store import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_liveintent.store.layout import Step
    from target_liveintent.store.questions import StoreAnswer, StoreQuestion

DIVIDE = Deduplicator.divide


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_order(name: str) -> None:
    """Nothing is lost or repeated, whatever goes wrong between any two transactions."""
    assert states_of(SCENARIOS[name]) > 1_000


def claim_in_spite_of_others(
    deduplicator: Deduplicator, batches: Any, keys: Any, _: Any, delivered: set[bytes]
) -> Any:
    return DIVIDE(deduplicator, batches, keys, {}, delivered)


def write_nothing(_: RunStore, *, before_state: bool) -> None:
    """Leave everything to the transaction at the end, which comes after STATE."""


def write_lazily(store: RunStore, question: StoreQuestion, changes: Sequence[Step]) -> StoreAnswer:
    """Write in a transaction that is not durable."""
    answers: list[Any] = []

    def decide(given: list[Any]) -> Any:
        answers[:] = given
        return mock.Mock(changes=changes)

    store.database.ask_and_change(question.steps(), decide)
    return store._read(question, answers)


@pytest.mark.parametrize(
    ("scenario", "owner", "name", "broken", "rule"),
    [
        pytest.param(
            "a run and a replay",
            RunStore,
            "_remove_letters",
            lambda *_: None,
            "a dead letter is gone with the delivery of its event",
            id="the letter stays",
        ),
        pytest.param(
            "two runs",
            Deduplicator,
            "divide",
            claim_in_spite_of_others,
            "what the store knows is not sent again",
            id="reservations of other runs do not count",
        ),
        pytest.param(
            "two runs",
            RunStore,
            "write",
            write_nothing,
            "no STATE is ahead of the store",
            id="STATE too early",
        ),
        pytest.param(
            "two runs",
            RunStore,
            "_ask_and_write",
            write_lazily,
            "no STATE is ahead of the store",
            id="outcomes are not durable",
        ),
    ],
)
def test_a_broken_store_is_found(
    scenario: str, owner: Any, name: str, broken: Any, rule: str
) -> None:
    """A store that breaks a rule is found."""
    with mock.patch.object(owner, name, broken), pytest.raises(ViolationError, match=rule):
        states_of(SCENARIOS[scenario])
