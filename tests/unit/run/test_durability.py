"""What a run makes durable, and in which order: dead letters, rows, the ledger, STATE."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from fakes import (
    LOGGER,
    FakeFile,
    FakeLedger,
    FakeRun,
    deliver_all,
    delivering,
    event,
    refuse,
    reject,
    rejection,
)
from unit_support import NOW

from target_liveintent.delivery.model import BatchResult
from target_liveintent.errors import OutageError, StorageError, TooManyRejectedError
from target_liveintent.run.state_gate import Closed
from target_liveintent.storage.delivered import DeliveredFile
from target_liveintent.storage.delivered_rows import row_format

if TYPE_CHECKING:
    from collections.abc import Sized
    from pathlib import Path

    from target_liveintent.delivery.model import Batch

# STATE


def test_letters_are_durable_before_state() -> None:
    """STATE goes out only after the letters before it were synced to the disk."""
    fake = FakeRun()
    reject(fake, 1)
    fake.run.gate.hold("{}")
    fake.run.finish()
    assert fake.happened[:3] == ["dead_letter_path write", "dead_letter_path sync", "state"]


def test_a_letter_that_is_not_written_holds_state_back() -> None:
    """When a letter cannot be written, its record has no outcome, and no STATE passes it."""
    fake = FakeRun(failing="write")
    with pytest.raises(StorageError, match="dead_letter_path") as raised:
        fake.run.take("orders", rejection())
    assert fake.run.counts.of("orders").rejected.total() == 0
    fake.run.gate.hold("1")
    fake.run.abandon(raised.value)
    assert fake.states == []


def test_no_state_after_a_failed_sync() -> None:
    """Once letters may not be on the disk, no STATE is written, though later syncs succeed."""
    fake = FakeRun(failing="sync")
    reject(fake, 1)
    fake.run.gate.hold("1")
    with pytest.raises(StorageError, match="dead_letter_path") as raised:
        fake.run.finish()
    fake.run.gate.hold("2")
    with contextlib.suppress(StorageError):
        fake.run.abandon(raised.value)
    assert fake.states == []


def test_no_state_after_one_that_failed() -> None:
    """A STATE that could not be written is not followed by another."""
    states: list[str] = []

    def write(state: str) -> None:
        states.append(state)
        if len(states) == 1:
            msg = "STATE cannot be written"
            raise StorageError(msg)

    fake = FakeRun(parts={"write_state": write})
    fake.run.gate.hold("1")
    with pytest.raises(StorageError) as raised:
        fake.run.finish()
    fake.run.gate.hold("2")
    fake.run.abandon(raised.value)
    assert states == ["1"]


def test_the_percentage_is_judged_before_a_state() -> None:
    """From 1,000 records on, no STATE is written if there are too many dead letters."""
    fake = FakeRun()
    fake.run.counts.of("orders").read += 1
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    reject(fake, 998)
    fake.run.gate.hold("0")
    fake.tick()
    reject(fake, 1)
    fake.run.gate.hold("1")
    with pytest.raises(TooManyRejectedError, match="999 of 1000") as raised:
        fake.tick()
    fake.run.gate.hold("2")
    fake.run.abandon(raised.value)
    assert fake.states == ["0"]


def test_the_percentage_is_judged_although_nothing_is_delivered() -> None:
    """A STATE that waits for a first delivery is judged all the same, so bad rows end the run."""
    fake = FakeRun()
    reject(fake, 999)
    fake.run.gate.hold("0")
    fake.tick()
    reject(fake, 1)
    with pytest.raises(TooManyRejectedError, match="1000 of 1000"):
        fake.tick()
    assert fake.states == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_percentage_is_judged_at_the_end(dry_run: bool) -> None:
    """Without any STATE, and in a dry run, too many dead letters fail the run at its end."""
    fake = FakeRun(dry_run=dry_run)
    reject(fake, 120)
    with pytest.raises(TooManyRejectedError, match="120 of 120"):
        fake.run.finish()


def test_a_canary_writes_no_state() -> None:
    """What a canary sends is sent again with everything else, so its STATE is not true."""
    stopped: list[bool] = []
    fake = FakeRun(limit=2, parts={"stop_reading": lambda: stopped.append(True)})
    for name in "123":
        fake.run.take("orders", event(name))
    fake.run.gate.hold("1")
    fake.run.finish()
    assert (fake.states, stopped, fake.run.limit_reached) == ([], [True], True)
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.dropped) == (2, {"over_limit": 1})


def test_no_state_before_a_stream_that_gives_events() -> None:
    """Whoever knows that no stream gives events closes the gate."""
    fake = FakeRun()
    fake.run.gate.close(Closed.NO_STREAM_GIVES_EVENTS)
    fake.run.gate.hold("1")
    fake.tick()
    assert fake.states == []
    fake.run.gate.reopen(Closed.NO_STREAM_GIVES_EVENTS)
    fake.tick()
    assert fake.states == ["1"]


def test_a_state_waits_for_an_object_store() -> None:
    """While the store takes no object, no STATE is written, whatever else it waits for."""
    fake = FakeRun()
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    fake.dead_letters.is_due = False
    reject(fake, 1)
    fake.run.gate.hold("1")
    fake.tick()
    assert (fake.states, "dead_letter_path sync" in fake.happened) == ([], False)
    fake.dead_letters.is_due = True
    fake.tick()
    assert fake.states == ["1"]


@pytest.mark.parametrize("end", ["the end", "a signal", "a failure"])
def test_an_object_store_keeps_no_end_waiting(end: str) -> None:
    """At the end, after a signal and after a failure, what waits goes up at once."""
    fake = FakeRun()
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    fake.dead_letters.is_due = False
    reject(fake, 1)
    fake.run.gate.hold("1")
    if end == "the end":
        fake.run.finish()
    elif end == "a signal":
        fake.run.request_stop()
        fake.tick()
    else:
        fake.run.abandon(OutageError("no luck"))
    assert fake.states == ["1"]
    assert fake.happened.index("dead_letter_path sync") < fake.happened.index("state")


# What was delivered


def test_rows_are_durable_before_state() -> None:
    """STATE goes out only after the rows of what it covers are on the disk."""
    fake, file, _ = delivering()
    fake.run.take("orders", event("1"))
    fake.run.gate.hold("{}")
    fake.run.finish()
    assert fake.states == ["{}"]
    happened = fake.happened
    assert happened.index("delivered_path write") < happened.index("delivered_path sync")
    assert happened.index("delivered_path sync") < happened.index("state")
    assert len(file.written) == 1


def test_rows_are_synced_with_state_and_not_before() -> None:
    """Without a ledger, the rows of a batch wait for STATE, as a sync takes its time."""
    fake, _, _ = delivering()
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    assert fake.happened == ["delivered_path write"]


def test_rows_are_durable_before_the_ledger() -> None:
    """What the ledger knows is not sent again, so its row may not be lost."""
    fake, _, ledger = delivering(ledger=True)
    fake.run.take("orders", event("1"))
    fake.happened.clear()
    fake.run.submit("orders")
    happened = fake.happened[fake.happened.index("delivered_path write") :]
    assert happened == [
        "delivered_path write",
        "ledger end",
        "delivered_path sync",
        "ledger write",
    ]
    assert ledger.confirmed == ["1"]


def test_the_ledger_knows_of_a_part_before_the_rest_of_its_batch() -> None:
    """A run that is killed while the rest fails repeats only that; STATE waits for all of it."""
    ledger = FakeLedger([])
    fake = FakeRun(deliver=None, size=4, parts={"ledger": ledger})
    for number in range(4):
        fake.run.take("orders", event(str(number)))
    fake.run.submit("orders")
    fake.run.gate.hold("{}")
    (batch,) = fake.delivery.submitted
    given = batch.conversions
    sent = [NOW, NOW]
    fake.delivery.finish(BatchResult(batch, given[:2], sent, given[:2], is_last=False))
    fake.tick()
    assert (ledger.confirmed, fake.run.counts.total.delivered) == (["0", "1"], 2)
    assert (fake.states, fake.delivery.in_flight) == ([], 1)
    fake.delivery.finish(BatchResult(batch, given[2:], sent, given[2:], requests=3))
    fake.run.finish()
    assert (ledger.confirmed, fake.run.counts.total.delivered) == (["0", "1", "2", "3"], 4)
    assert (fake.states, fake.run.counts.requests) == (["{}"], 3)


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_row_that_is_not_written_holds_state_back(failing: str) -> None:
    """A full disk fails the run without a STATE; what was confirmed is not sent again, though."""
    fake, _, ledger = delivering(ledger=True, failing=failing)
    fake.run.take("orders", event("1"))
    fake.run.gate.hold("{}")
    with pytest.raises(StorageError, match="delivered_path") as raised:
        fake.run.submit("orders")
    fake.run.abandon(raised.value)
    assert (fake.states, ledger.confirmed) == ([], ["1"])


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_row_of_a_part_that_is_not_written_holds_state_back(failing: str) -> None:
    """The disk may have space again when the rest of the batch comes: the row is lost all the same.

    What was confirmed is not sent again.
    """
    happened: list[str] = []
    ledger, file = FakeLedger(happened), FakeFile("delivered_path", happened)
    parts = {"ledger": ledger, "delivered_file": file}
    fake = FakeRun(happened=happened, deliver=None, size=4, parts=parts)
    for number in range(4):
        fake.run.take("orders", event(str(number)))
    fake.run.submit("orders")
    file._failing = failing  # Once.
    fake.run.gate.hold("{}")
    (batch,) = fake.delivery.submitted
    given = batch.conversions
    sent = [NOW, NOW]
    fake.delivery.finish(BatchResult(batch, given[:2], sent, given[:2], is_last=False))
    with pytest.raises(StorageError, match="delivered_path") as raised:
        fake.run.check_due()
    fake.delivery.finish(BatchResult(batch, given[2:], sent, given[2:], requests=3))
    fake.run.abandon(raised.value)
    assert (fake.states, ledger.confirmed) == ([], ["0", "1", "2", "3"])


def test_a_full_disk_keeps_nothing_from_the_ledger() -> None:
    """After a dead letter that cannot be written, what comes back later is still noted."""
    ledger = FakeLedger([])
    fake = FakeRun(deliver=None, size=4, failing="write", parts={"ledger": ledger})
    for number in range(3):
        fake.run.take("orders", event(str(number)))
        fake.run.submit("orders")
    fake.tick()  # It claims what waits.
    for batch in fake.delivery.submitted[:2]:
        fake.delivery.finish(refuse(batch, batch.conversions[0].event_id))
    fake.dead_letters.fail_always = True
    with pytest.raises(StorageError) as raised:
        fake.run.check_due()
    fake.delivery.finish(deliver_all(fake.delivery.submitted[2]))
    with pytest.raises(StorageError):
        fake.run.abandon(raised.value)
    assert ledger.confirmed == ["2"]


def test_a_full_disk_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row that could not be written, nothing stays in the delivered file."""
    path = tmp_path / "sent.csv"
    rows = row_format(str(path), "run-1", LOGGER)
    fake = FakeRun(parts={"delivered_file": DeliveredFile(str(path), rows)})
    whole = path.read_text()
    fake.run.take("orders", event("1"))
    fake.run.gate.hold("{}")

    def fill(file: int, row: bytes) -> int:
        if len(row) > 20:
            return real(file, row[:20])
        raise OSError(28, "No space left on device")

    real = os.write
    monkeypatch.setattr("os.write", fill)
    with pytest.raises(StorageError, match=r"delivered_path.*No space left") as raised:
        fake.run.submit("orders")
    fake.run.abandon(raised.value)
    assert fake.states == []
    assert path.read_text() == whole


@pytest.mark.parametrize("fails", [False, True])
def test_all_files_are_closed_at_the_end(fails: bool) -> None:
    """However a run ends, its files are closed, and its threads released."""
    fake, _, _ = delivering(ledger=True)
    if fails:
        fake.run.abandon(OutageError("no luck"))
    else:
        fake.run.finish()
    closed = [what for what in fake.happened if what.endswith(" close")]
    assert closed == ["dead_letter_path close", "delivered_path close", "ledger close"]
    assert fake.delivery.closed


def test_a_file_that_cannot_be_closed() -> None:
    """The other files of a run are closed all the same, and the ledger lets go of its events."""
    fake, _, _ = delivering(ledger=True, failing="close")
    with pytest.raises(StorageError, match="delivered_path"):
        fake.run.finish()
    assert fake.happened[-1] == "ledger close"


def test_deliveries_can_be_followed() -> None:
    """Who follows a run gets the events of each batch, when they were sent, and the latencies."""
    results: list[tuple[str, int, list[float], list[float]]] = []

    def follow(stream: str, events: Sized, sent_at: list[float], latencies: list[float]) -> None:
        results.append((stream, len(events), sent_at, latencies))

    def deliver(given: Batch) -> BatchResult:
        result = deliver_all(given)
        result.latencies = [0.5, 0.25]
        return result

    fake = FakeRun(deliver=deliver, parts={"on_delivered": follow})
    fake.run.take("orders", event("1"))
    fake.run.take("orders", event("2"))
    fake.run.finish()
    assert results == [("orders", 2, [NOW, NOW], [0.5, 0.25])]


def test_files_are_closed_after_a_second_failure() -> None:
    """A run whose end fails as well closes its files all the same."""
    fake, _, _ = delivering(ledger=True, failing="write")
    fake.run.take("orders", event("1"))
    with pytest.raises(StorageError):
        fake.run.abandon(TooManyRejectedError("a first failure"))
    assert "ledger close" in fake.happened
