"""The outcomes of a task: what it must send, and what becomes of each record in files and store."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, event, rejection
from unit_support import NOW, SETTINGS, conversion, order
from write_support import files, job

pq = pytest.importorskip("pyarrow.parquet", reason="an extra")

from target_liveintent.errors import StorageError  # noqa: E402
from target_liveintent.spark.attempts import Attempt, Write  # noqa: E402
from target_liveintent.spark.audit import AuditFolder, TaskAudit  # noqa: E402
from target_liveintent.spark.dead_letters import DeadLetterFolder, TaskDeadLetters  # noqa: E402
from target_liveintent.spark.outcomes import TaskOutcomes  # noqa: E402
from target_liveintent.store import (  # noqa: E402
    TASK,
    Claim,
    RunStore,
    letters_in,
    open_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Open = Callable[..., RunStore]
ATTEMPT = Attempt(Write("a1b2", "7e57"), 0, 1)


class Task:
    """An attempt at a task, with its files and perhaps with a store.

    Args:
        folder: Where all of them are.
        store: The store.
        sent: The IDs of events that earlier attempts have delivered, by pixel.
    """

    def __init__(
        self, folder: Path, store: RunStore | None = None, sent: dict[int, set[str]] | None = None
    ) -> None:
        self.places = str(folder / "letters"), str(folder / "audit")
        made = job(*self.places)
        letters, audit = DeadLetterFolder(made), AuditFolder(made)
        letters.prepare()
        audit.prepare()
        self.letters = TaskDeadLetters(letters, ATTEMPT.name)
        self.audit = TaskAudit(audit, ATTEMPT, 1, FakeClock())
        arguments = self.letters, self.audit, sent or {}, store
        self.outcomes = TaskOutcomes(SETTINGS, "a1b2", *arguments)

    def rows(self) -> list[tuple[str, str, str | None]]:
        """Return the event IDs, outcomes and reasons of the audit, which is over."""
        self.audit.close()
        table = pq.read_table(self.places[1]).to_pylist()
        return [(row["event_id"], row["outcome"], row["reason"]) for row in table]


@pytest.fixture
def open_run(tmp_path: Path) -> Iterator[Open]:
    """Return how to open the store for a run or a task; the jobs share it."""
    settings = dataclasses.replace(SETTINGS, store=str(tmp_path / "store.sqlite"))
    with contextlib.ExitStack() as stack:

        def make(name: str, kind: str = TASK) -> RunStore:
            store = open_store(settings, name, FakeClock(), kind=kind)
            stack.callback(store.database.close)
            return store

        yield make


def test_what_an_earlier_attempt_has_delivered_is_not_sent_again(tmp_path: Path) -> None:
    """Events of two pixels that have the same ID are told apart. No store is needed."""
    task = Task(tmp_path, sent={1: {"old"}, 2: {"new"}})
    old, new = event("old"), event("new")
    claims = task.outcomes.claim({0: [old, new], 1: [old]})
    assert claims == {0: Claim([new], [], [old]), 1: Claim([], [], [old])}
    task.outcomes.confirm(0, [new], is_last=True)
    task.outcomes.write(durable=True)
    task.outcomes.release()
    assert task.rows() == []  # The audit has it already.


def test_the_store_is_asked_about_the_others(tmp_path: Path, open_run: Open) -> None:
    """What another job has delivered is noted, as the audit has no row of it."""
    known, elsewhere, new, old = (event(name) for name in ("known", "elsewhere", "new", "old"))
    other = open_run("other")
    other.claim({0: [known], 1: [elsewhere]})
    other.confirm(0, [known], is_last=True)
    other.write()
    task = Task(tmp_path, open_run("task"), sent={1: {"old"}})
    claims = task.outcomes.claim({0: [old, known, elsewhere, new], 1: [old]})
    assert claims == {0: Claim([new], [elsewhere], [known, old], "other"), 1: Claim([], [], [old])}
    task.outcomes.confirm(0, [new], is_last=True)
    task.outcomes.write()
    other.confirm(1, [], is_last=True)
    other.write()
    assert task.outcomes.claim({2: [elsewhere]}) == {2: Claim([elsewhere], [], [])}
    assert open_run("third").claim({0: [new]}) == {0: Claim([], [], [new])}
    assert task.rows() == [("known", "dropped", "already_sent")]


def test_the_end_of_a_task(tmp_path: Path, open_run: Open) -> None:
    """What it has confirmed is known, the rest is free, and of the task itself nothing is kept."""
    task = Task(tmp_path, open_run("task"))
    events = [event("1"), event("2")]
    task.outcomes.claim({0: events})
    task.outcomes.confirm(0, events[:1], is_last=False)
    task.outcomes.release()
    other = open_run("other", "usual")
    assert other.claim({0: events}) == {0: Claim(events[1:], [], events[:1])}
    rows = other.database.read("SELECT id FROM run")
    assert list(rows) == [("other",)]


def test_each_record_has_a_row(tmp_path: Path) -> None:
    """One that cannot be sent has a dead letter as the target writes it, without addresses."""
    task = Task(tmp_path)
    task.outcomes.deliver([event("1")], [NOW])
    task.outcomes.reject(rejection("2", "no_identity"))
    task.outcomes.reject(rejection("3", "no_consent"))
    task.outcomes.release()
    assert task.rows() == [
        ("1", "delivered", None),
        ("2", "rejected", "no_identity"),
        ("3", "dropped", "no_consent"),
    ]
    head, line = files(task.places[0])[f"_pending/{ATTEMPT.name}"].splitlines()
    assert json.loads(head)["type"] == "SCHEMA"
    message = json.loads(line)
    assert (message["type"], message["stream"]) == ("RECORD", "liveintent_dead_letters")
    record = message["record"]
    assert (record["event_id"], record["reason"], record["run_id"]) == ("2", "no_identity", "a1b2")
    assert record["written_for"]["pixel_id"] == SETTINGS.pixel_id


def test_a_delivered_event_has_no_dead_letter_in_the_store(tmp_path: Path, open_run: Open) -> None:
    """A run of the target has written it there; so it is with one that is known to be sent."""
    events = [conversion(order(event_id=name)) for name in "123"]
    run = open_run("run", "usual")
    for one in events:
        run.reject(one.rejected("refused_by_api", None, None))
    run.confirm(0, run.claim({0: events[1:2]})[0].mine, is_last=True)
    run.write()
    task = Task(tmp_path, open_run("task"))
    task.outcomes.deliver(events[:1], [NOW])
    assert task.outcomes.claim({0: events[1:2]})[0].sent == events[1:2]
    task.outcomes.write()
    assert [key.event_id for key, _ in letters_in(run.database)] == ["3"]


def test_a_store_is_closed_whatever_fails(
    tmp_path: Path, open_run: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reservations end also if the dead letters cannot be written."""
    task = Task(tmp_path, open_run("task"))
    task.outcomes.claim({0: [event("1")]})

    def fail() -> None:
        msg = "the disk is full"
        raise StorageError(msg)

    monkeypatch.setattr(task.letters, "close", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        task.outcomes.release()
    assert open_run("other").claim({0: [event("1")]})[0].mine
