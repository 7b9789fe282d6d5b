"""The outcomes of a task: what becomes of each record, in the table and in a store."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from fakes import FakeClock, event, rejection
from unit_support import NOW, SETTINGS, conversion, order
from write_support import ATTEMPT, facts

from target_liveintent.errors import StorageError
from target_liveintent.run import Outcomes
from target_liveintent.spark.outcomes import FactTable, TaskOutcomes
from target_liveintent.store import (
    TASK,
    Claim,
    DryStore,
    RunStore,
    empty_store,
    letters_in,
    open_store,
)


@pytest.fixture
def table(tmp_path: Path) -> FactTable:
    return FactTable(str(tmp_path / "outcomes"), create=True)


def outcomes_of(
    table: FactTable, store: Outcomes | None = None, clock: FakeClock | None = None
) -> TaskOutcomes:
    none = DryStore(empty_store(), SETTINGS, "run-1")
    return TaskOutcomes(SETTINGS, ATTEMPT, table, store or none, clock or FakeClock())


@pytest.fixture
def open_run(tmp_path: Path) -> Iterator[Callable[..., RunStore]]:
    """Return how to open the store for a run or a task; the jobs share it."""
    settings = msgspec.structs.replace(SETTINGS, store=str(tmp_path / "store.sqlite"))
    with contextlib.ExitStack() as stack:

        def make(name: str, kind: str = TASK) -> RunStore:
            store = open_store(settings, name, FakeClock(), kind=kind)
            stack.callback(store.database.close)
            return store

        yield make


def test_each_record_has_a_row(table: FactTable, tmp_path: Path) -> None:
    """A rejected one has its record as a dead letter has it; the others have no hash at all."""
    outcomes = outcomes_of(table)
    delivered = conversion(order(event_id="1"))
    rejected = conversion(order(event_id="2")).rejected(
        "refused_by_api", None, "no ann@example.com"
    )
    for position, one in enumerate((delivered, rejected)):
        outcomes.positions[one.event_id] = position
    assert outcomes.claim({0: [delivered]}) == {0: Claim([delivered], [], [])}
    outcomes.deliver([delivered], [NOW])
    outcomes.reject(rejected)
    outcomes.reject(rejection("3", "no_consent"))
    outcomes.release()
    first, second, third = facts(tmp_path / "outcomes")
    place = {"write": "run-1", "run_id": "run-1", "partition": 0}
    account = {"customer_id": SETTINGS.customer_id, "host": SETTINGS.account.host, "pixel": 4711}
    for row in (first, second):
        assert place.items() | account.items() <= row.items()
    assert (first["position"], first["event_id"], first["outcome"]) == (0, "1", "delivered")
    assert (first["sent_at"].timestamp(), first["record"], first["reason"]) == (NOW, None, None)
    assert first["event_time"] == second["event_time"] is not None
    assert (second["position"], second["outcome"]) == (1, "rejected")
    assert (second["reason"], second["sent_at"]) == ("refused_by_api", None)
    record = json.loads(second["record"])
    assert (record["event_id"], record["run_id"], record["stream"]) == ("2", "run-1", "orders")
    assert record["sha2"]
    assert "ann@" not in second["record"] + second["detail"]
    assert [third[name] for name in ("event_id", "outcome", "reason", "record", "position")] == [
        *("3", "dropped", "no_consent", None, None)
    ]


def test_when_rows_are_written(table: FactTable, tmp_path: Path) -> None:
    """After 1.5 s, or at the end; a run looks once a second, so none waits longer than 3 s."""
    clock = FakeClock()
    outcomes = outcomes_of(table, clock=clock)
    for passed, rows in ((0.0, 0), (1.0, 0), (0.5, 1), (0.1, 1)):
        clock.now += passed
        if not passed:
            outcomes.deliver([conversion(order(event_id="1"))], [NOW])
        outcomes.write()
        assert len(facts(tmp_path / "outcomes")) == rows
    outcomes.reject(rejection("3", "no_consent"))
    outcomes.release()
    assert len(facts(tmp_path / "outcomes")) == 2


def test_a_delivered_event_has_no_dead_letter_in_the_store(
    open_run: Callable[..., RunStore],
) -> None:
    """A run of the target has written it there. What the task rejects, the store does not get."""
    events = [conversion(order(event_id=name)) for name in "1234"]
    run = open_run("run", "usual")
    for one in events[:3]:
        run.reject(one.rejected("refused_by_api", None, None))
    run.write()
    outcomes = outcomes_of(FactTable(""), open_run("task"))
    outcomes.deliver(events[:2], [NOW] * 2)
    outcomes.reject(events[3].rejected("refused_by_api", None, None))
    outcomes.write()
    assert [key.event_id for key, _ in letters_in(run.database)] == ["3"]


def test_reservations_end_whatever_fails(
    table: FactTable, open_run: Callable[..., RunStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the rows cannot be written."""
    outcomes = outcomes_of(table, open_run("task"))
    outcomes.claim({0: [event("1")]})
    outcomes.reject(rejection("2", "no_consent"))

    def fail(*_: object) -> None:
        msg = "the disk is full"
        raise StorageError(msg)

    monkeypatch.setattr(table, "add", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        outcomes.release()
    assert open_run("other").claim({0: [event("1")]})[0].mine
