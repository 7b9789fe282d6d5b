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
    read,
    refuse,
    reject,
    rejection,
    send,
)
from unit_support import NOW

from target_liveintent.delivery.model import BatchResult
from target_liveintent.errors import OutageError, StorageError, TooManyRejectedError
from target_liveintent.storage.delivered import DeliveredFile
from target_liveintent.storage.delivered_rows import row_format

if TYPE_CHECKING:
    from collections.abc import Sized
    from pathlib import Path

    from target_liveintent.delivery.model import Batch

# The order


@pytest.mark.parametrize("with_ledger", [False, True])
def test_everything_is_durable_before_state(with_ledger: bool) -> None:
    """STATE goes out after what it covers is on the disk; then objects that it covers may go.

    What the ledger knows is not sent again, so its row is durable before it is in the ledger.
    """
    fake, file, ledger = delivering(ledger=with_ledger)
    read(fake, "1")
    reject(fake, 1)
    fake.run.gate.hold("{}")
    fake.run.finish()
    written = ["delivered_path write", "delivered_path sync", *["ledger write"] * with_ledger]
    for order in (
        [*written, "state", "delivered_path cover"],
        ["dead_letter_path write", "dead_letter_path sync", "state", "dead_letter_path cover"],
    ):
        happened = iter(fake.happened)
        assert [what for what in order if what not in happened] == []  # Each after the last one.
    assert (fake.states, ledger.confirmed, len(file.written)) == (["{}"], ["1"] * with_ledger, 1)


def test_rows_are_synced_with_state_and_not_before() -> None:
    """Without a ledger, the rows of a batch wait for STATE, as a sync takes its time."""
    fake, _, _ = delivering()
    send(fake, "1")
    assert fake.happened == ["delivered_path write"]


def in_two_parts(*, failing: str = "") -> tuple[FakeRun, FakeLedger]:
    """Return a run with a batch of four events, two of which come back; their row may fail."""
    happened: list[str] = []
    ledger, file = FakeLedger(happened), FakeFile("delivered_path", happened)
    parts = {"ledger": ledger, "delivered_file": file}
    fake = FakeRun(happened=happened, deliver=None, size=4, parts=parts)
    send(fake, *"0123")
    file.failing = failing  # Once.
    fake.run.gate.hold("{}")
    finish_part(fake, 0)
    return fake, ledger


def finish_part(fake: FakeRun, first: int) -> None:
    """Let two events of the batch come back, the last ones if the first one is 2."""
    (batch,) = fake.delivery.submitted
    given = batch.conversions[first : first + 2]
    last = first == 2
    sent = [NOW, NOW]
    fake.delivery.finish(BatchResult(batch, given, sent, given, requests=3 * last, is_last=last))


def test_the_ledger_knows_of_a_part_before_the_rest_of_its_batch() -> None:
    """A run that is killed while the rest fails repeats only that; STATE waits for all of it."""
    fake, ledger = in_two_parts()
    fake.tick()
    assert (ledger.confirmed, fake.run.counts.total.delivered) == (["0", "1"], 2)
    assert (fake.states, fake.delivery.in_flight) == ([], 1)
    finish_part(fake, 2)
    fake.run.finish()
    assert (ledger.confirmed, fake.run.counts.total.delivered) == (["0", "1", "2", "3"], 4)
    assert (fake.states, fake.run.counts.requests) == (["{}"], 3)


@pytest.mark.parametrize("what", ["the store", "the end", "a signal", "a failure"])
def test_a_state_waits_for_an_object_store(what: str) -> None:
    """While the store takes no object, no STATE is written, whatever else it waits for.

    At the end, after a signal and after a failure, what waits goes up at once.
    """
    fake = FakeRun()
    send(fake, "1")
    fake.dead_letters.is_due = False
    reject(fake, 1)
    fake.run.gate.hold("1")
    fake.tick()
    assert (fake.states, "dead_letter_path sync" in fake.happened) == ([], False)
    if what == "the store":
        fake.dead_letters.is_due = True
        fake.tick()
    elif what == "the end":
        fake.run.finish()
    elif what == "a signal":
        fake.run.request_stop()
        fake.tick()
    else:
        fake.run.abandon(OutageError("no luck"))
    assert fake.states == ["1"]
    assert fake.happened.index("dead_letter_path sync") < fake.happened.index("state")


# What cannot be written


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


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_row_that_is_not_written_holds_state_back(failing: str) -> None:
    """A full disk fails the run without a STATE; what was confirmed is not sent again, though."""
    fake, _, ledger = delivering(ledger=True, failing=failing)
    read(fake, "1")
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
    fake, ledger = in_two_parts(failing=failing)
    with pytest.raises(StorageError, match="delivered_path") as raised:
        fake.run.check_due()
    finish_part(fake, 2)
    fake.run.abandon(raised.value)
    assert (fake.states, ledger.confirmed) == ([], ["0", "1", "2", "3"])


def test_a_full_disk_keeps_nothing_from_the_ledger() -> None:
    """After a dead letter that cannot be written, what comes back later is still noted."""
    ledger = FakeLedger([])
    fake = FakeRun(deliver=None, size=4, failing="write", parts={"ledger": ledger})
    for name in "012":
        send(fake, name)
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
    read(fake, "1")
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


@pytest.mark.parametrize("failing", ["", "write", "close"])
def test_all_files_are_closed_at_the_end(failing: str) -> None:
    """However a run ends, its files are closed, and its threads released.

    Its end may fail as well, and one of the files may not close.
    """
    fake, _, _ = delivering(ledger=True, failing=failing)
    read(fake, "1")
    with pytest.raises(StorageError) if failing else contextlib.nullcontext():
        fake.run.abandon(TooManyRejectedError("a first failure"))
    closed = [what for what in fake.happened if what.endswith(" close")]
    files = ["dead_letter_path", "delivered_path", "ledger"]
    assert closed == [f"{name} close" for name in files if (name, failing) != (files[1], "close")]
    assert fake.delivery.closed


# When no STATE is written


@pytest.mark.parametrize("delivered", [True, False])
def test_the_percentage_is_judged_before_a_state(delivered: bool) -> None:
    """From 1,000 records on, no STATE is written if there are too many dead letters.

    A STATE that waits for a first delivery is judged all the same, so bad rows end the run.
    """
    fake = FakeRun()
    if delivered:
        send(fake, "1")
    reject(fake, 999 - delivered)
    fake.run.gate.hold("0")
    fake.tick()
    reject(fake, 1)
    fake.run.gate.hold("1")
    with pytest.raises(TooManyRejectedError, match=f"{1_000 - delivered} of 1000") as raised:
        fake.tick()
    fake.run.gate.hold("2")
    fake.run.abandon(raised.value)
    assert fake.states == ["0"] * delivered


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_percentage_is_judged_at_the_end(dry_run: bool) -> None:
    """Too many dead letters fail the run at its end, without STATE; a dry run as well."""
    fake = FakeRun(dry_run=dry_run)
    reject(fake, 120)
    fake.run.gate.hold("1")
    with pytest.raises(TooManyRejectedError, match="120 of 120"):
        fake.run.finish()
    assert fake.states == []


def test_a_canary_writes_no_state() -> None:
    """What a canary sends is sent again with everything else, so its STATE is not true."""
    stopped: list[bool] = []
    fake = FakeRun(limit=2, parts={"stop_reading": lambda: stopped.append(True)})
    read(fake, *"123")
    fake.run.gate.hold("1")
    fake.run.finish()
    assert (fake.states, stopped, fake.run.limit_reached) == ([], [True], True)
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.dropped) == (2, {"over_limit": 1})


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
    send(fake, "1", "2")
    assert results == [("orders", 2, [NOW, NOW], [0.5, 0.25])]
