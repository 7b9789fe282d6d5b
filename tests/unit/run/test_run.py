"""The accounts of a run, whose clock, delivery and files are fakes."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from fakes import (
    LOGGER,
    FakeFile,
    FakeLedger,
    FakeObserver,
    FakeRun,
    deliver_all,
    event,
)
from unit_support import NOW

from target_liveintent.conversions.model import Rejection
from target_liveintent.delivery.model import Batch, BatchResult, Refusal
from target_liveintent.errors import (
    AllRefusedError,
    DeliveryError,
    OutageError,
    StorageError,
    TooManyRejectedError,
)
from target_liveintent.run.state_gate import Closed
from target_liveintent.storage.delivered import DeliveredFile

if TYPE_CHECKING:
    from pathlib import Path


def rejection(name: str = "1", reason: str = "missing_event_time") -> Rejection:
    return Rejection("orders", name, reason, "event_time", {})


def reject(fake: FakeRun, count: int) -> None:
    """Read records that cannot be sent."""
    for n in range(count):
        fake.run.counts.of("orders").read += 1
        fake.run.take("orders", rejection(str(n)))


def refuse(given: Batch, *names: str, accepted: bool = True) -> BatchResult:
    """Deliver a batch of which the API refuses some events."""
    good = [one for one in given.conversions if one.event_id not in names]
    refusals = [
        Refusal(one, "refused_by_api", "HTTP 400: bad")
        for one in given.conversions
        if one.event_id in names
    ]
    return BatchResult(given, good, [NOW] * len(good), good, refusals, accepted, requests=3)


# The outcome of each record


def test_each_record_has_one_outcome() -> None:
    """Conversions are delivered, rejections are dead letters or dropped, the rest is filtered."""
    fake = FakeRun(deliver=lambda given: refuse(given, "2"))
    for result in (event("1"), event("2"), rejection("3"), rejection("4", "no_consent"), None):
        fake.run.counts.of("orders").read += 1
        fake.run.take("orders", result)
    fake.run.hold_state("1")
    fake.run.finish()
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.filtered, counts.unsettled) == (1, 1, 0)
    assert counts.rejected == {"missing_event_time": 1, "refused_by_api": 1}
    assert counts.dropped == {"no_consent": 1}
    assert [json.loads(line)["record"]["event_id"] for line in fake.letters.written] == ["3", "2"]
    assert (fake.run.counts.requests, fake.states) == (3, ["1"])
    assert fake.delivery.closed


def test_a_dead_letter_that_is_carried_over() -> None:
    """A dead letter that a replay does not send is written again and counted."""
    fake = FakeRun()
    fake.run.counts.of("letters").read += 1
    fake.run.carry_over("letters", {"event_id": "7", "reason": "unconfirmed"})
    fake.run.finish()
    assert fake.run.counts.of("letters").not_replayed == {"unconfirmed": 1}
    (line,) = fake.letters.written
    assert json.loads(line)["record"] == {"event_id": "7", "reason": "unconfirmed"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            Rejection("orders", "7", "invalid_source", "source", {}, "'shop'"),
            "rejected as invalid_source, column source ('shop'), event ID 7, and on_invalid is",
        ),
        (
            Rejection("orders", "7", "no_identity", None, {}),
            "rejected as no_identity, event ID 7, and on_invalid is 'fail'. Neither an e-mail",
        ),
    ],
)
def test_a_rejection_that_ends_the_run(given: Rejection, words: str) -> None:
    """With `on_invalid: fail`, the message names reason, column, detail and event."""
    fake = FakeRun(on_invalid="fail")
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run.take("orders", given)
    assert words in str(raised.value)
    assert fake.letters.written == []
    assert fake.run.counts.of("orders").rejected.total() == 0


def test_what_is_dropped_does_not_end_a_run() -> None:
    """Also with `on_invalid: fail`, a record without consent is only dropped."""
    fake = FakeRun(on_invalid="fail")
    fake.run.take("orders", rejection("1", "no_consent"))
    assert fake.run.counts.of("orders").dropped == {"no_consent": 1}


def test_a_refusal_after_the_end() -> None:
    """Once a rejection has ended the run, what the API refuses has no outcome."""
    fake = FakeRun(deliver=lambda given: refuse(given, "1"), on_invalid="fail")
    fake.run.take("orders", event("1"))
    fake.run.hold_state("1")
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run.take("orders", rejection("2"))
    fake.run.abandon(raised.value)
    assert (fake.states, fake.letters.written) == ([], [])


def test_a_dry_run_writes_nothing() -> None:
    """A dry run counts dead letters and writes neither them nor a STATE."""
    fake = FakeRun(dry_run=True)
    reject(fake, 1)
    fake.run.carry_over("orders", {"reason": "unconfirmed"})
    fake.run.hold_state("1")
    fake.run.finish()
    assert (fake.letters.written, fake.states) == ([], [])
    assert fake.run.counts.of("orders").rejected.total() == 1


# Refusals that are not believed yet


def test_refusals_before_the_first_acceptance() -> None:
    """Until the API accepts something, refused events get no dead letter and hold STATE back."""
    fake = FakeRun(deliver=None)
    for name in ("1", "2"):
        fake.run.take("orders", event(name))
        fake.run.submit("orders")
        fake.run.hold_state(name)
    first, second = fake.delivery.submitted
    fake.delivery.finish(refuse(first, "1", accepted=False))
    fake.tick()
    assert (fake.letters.written, fake.states) == ([], [])
    fake.delivery.finish(deliver_all(second))
    fake.tick()
    assert len(fake.letters.written) == 1
    assert fake.states == ["2"]


def test_refusals_of_an_api_that_accepts_nothing() -> None:
    """If the API accepted nothing at all, the run fails without a dead letter."""
    fake = FakeRun(deliver=lambda given: refuse(given, "1", accepted=False))
    fake.run.take("orders", event("1"))
    fake.run.hold_state("1")
    with pytest.raises(AllRefusedError, match=r"the API took nothing of this run \(HTTP 400: bad"):
        fake.run.finish()
    assert (fake.letters.written, fake.states) == ([], [])


def test_a_caller_that_judges_refusals_itself() -> None:
    """A run that is part of a larger one believes refusals from the start."""
    fake = FakeRun(deliver=lambda given: refuse(given, "1", accepted=False))
    fake.run.accepted = True
    fake.run.take("orders", event("1"))
    fake.run.finish()
    assert len(fake.letters.written) == 1


# STATE


def test_letters_are_durable_before_state() -> None:
    """STATE goes out only after the letters before it were synced to the disk."""
    fake = FakeRun()
    reject(fake, 1)
    fake.run.hold_state("{}")
    fake.run.finish()
    assert fake.happened[:3] == ["dead_letter_path write", "dead_letter_path sync", "state"]


def test_a_letter_that_is_not_written_holds_state_back() -> None:
    """When a letter cannot be written, its record has no outcome, and no STATE passes it."""
    fake = FakeRun(failing="write")
    with pytest.raises(StorageError, match="dead_letter_path") as raised:
        fake.run.take("orders", rejection())
    assert fake.run.counts.of("orders").rejected.total() == 0
    fake.run.hold_state("1")
    fake.run.abandon(raised.value)
    assert fake.states == []


def test_no_state_after_a_failed_sync() -> None:
    """Once letters may not be on the disk, no STATE is written, though later syncs succeed."""
    fake = FakeRun(failing="sync")
    reject(fake, 1)
    fake.run.hold_state("1")
    with pytest.raises(StorageError, match="dead_letter_path") as raised:
        fake.run.finish()
    fake.run.hold_state("2")
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
    fake.run.hold_state("1")
    with pytest.raises(StorageError) as raised:
        fake.run.finish()
    fake.run.hold_state("2")
    fake.run.abandon(raised.value)
    assert states == ["1"]


def test_the_percentage_is_judged_before_a_state() -> None:
    """Too many dead letters are no matter until a STATE is due, and then none is written."""
    fake = FakeRun()
    reject(fake, 120)
    fake.tick()
    fake.run.hold_state("1")
    with pytest.raises(TooManyRejectedError, match="120 of 120") as raised:
        fake.tick()
    fake.run.hold_state("2")
    fake.run.abandon(raised.value)
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
    fake.run.hold_state("1")
    fake.run.finish()
    assert (fake.states, stopped, fake.run.limit_reached) == ([], [True], True)
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.dropped) == (2, {"over_limit": 1})


def test_no_state_before_a_stream_that_gives_events() -> None:
    """Whoever knows that no stream gives events closes the gate."""
    fake = FakeRun()
    fake.run.gate.close(Closed.NO_STREAM_GIVES_EVENTS)
    fake.run.hold_state("1")
    fake.tick()
    assert fake.states == []
    fake.run.gate.reopen(Closed.NO_STREAM_GIVES_EVENTS)
    fake.tick()
    assert fake.states == ["1"]


# What is due


def test_time_lets_a_batch_go() -> None:
    """A batch that does not fill is sent `flush_interval_seconds` after it was opened."""
    fake = FakeRun(flush_interval_seconds=10)
    fake.run.take("orders", event("1"))
    for _ in range(9):
        fake.tick()
    assert fake.delivery.submitted == []
    fake.tick()
    assert len(fake.delivery.submitted) == 1


def test_progress_is_shown_once_a_second() -> None:
    """However often messages come, progress is shown about once a second."""
    shown: list[tuple[int, int, int]] = []

    def show(counts: Any, in_flight: int, waiting: int) -> None:
        shown.append((counts.total.read, in_flight, waiting))

    fake = FakeRun(deliver=None, parts={"on_progress": show})
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    for read in range(1, 41):
        fake.run.counts.of("orders").read = read
        fake.clock.now += 0.125
        fake.run.tick()
    assert shown == [(read, 1, 0) for read in (1, 9, 17, 25, 33)]


# What was delivered


def delivering(*, ledger: bool = False, failing: str = "") -> tuple[FakeRun, FakeFile, FakeLedger]:
    """Return a run with a delivered file, and the files."""
    happened: list[str] = []
    file = FakeFile("delivered_path", happened, failing)
    known = FakeLedger(happened)
    parts = {"delivered_file": file, **({"ledger": known} if ledger else {})}
    return FakeRun(happened=happened, parts=parts), file, known


def test_rows_are_durable_before_state() -> None:
    """STATE goes out only after the rows of what it covers are on the disk."""
    fake, file, _ = delivering()
    fake.run.take("orders", event("1"))
    fake.run.hold_state("{}")
    fake.run.finish()
    assert fake.states == ["{}"]
    happened = fake.happened
    assert happened.index("delivered_path write") < happened.index("delivered_path sync")
    assert happened.index("delivered_path sync") < happened.index("state")
    assert len(file.written) == 1


def test_rows_are_durable_before_the_ledger() -> None:
    """What the ledger knows is not sent again, so its row may not be lost."""
    fake, _, ledger = delivering(ledger=True)
    fake.run.take("orders", event("1"))
    fake.happened.clear()
    fake.run.submit("orders")
    assert fake.happened == [
        "ledger end",  # (What was found in the ledger, before it is sent.)
        "delivered_path write",
        "delivered_path sync",
        "ledger end",
    ]
    assert ledger.confirmed == ["1"]


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_row_that_is_not_written_holds_state_back(failing: str) -> None:
    """A full disk fails the run: no STATE covers what the file lacks, and no ledger knows it."""
    fake, _, ledger = delivering(ledger=True, failing=failing)
    fake.run.take("orders", event("1"))
    fake.run.hold_state("{}")
    with pytest.raises(StorageError, match="delivered_path") as raised:
        fake.run.submit("orders")
    fake.run.abandon(raised.value)
    assert (fake.states, ledger.confirmed) == ([], [])


def test_a_full_disk_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row that could not be written, nothing stays in the delivered file."""
    path = tmp_path / "sent.csv"
    fake = FakeRun(parts={"delivered_file": DeliveredFile(str(path), LOGGER)})
    whole = path.read_text()
    fake.run.take("orders", event("1"))
    fake.run.hold_state("{}")

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


def test_an_observer_follows_deliveries() -> None:
    """An observer gets the events of each batch, when they were sent, and the latencies."""

    def deliver(given: Batch) -> BatchResult:
        result = deliver_all(given)
        result.latencies = [0.5, 0.25]
        return result

    observer = FakeObserver()
    fake = FakeRun(deliver=deliver, parts={"observer": observer})
    fake.run.take("orders", event("1"))
    fake.run.take("orders", event("2"))
    fake.run.finish()
    assert observer.results == [("orders", 2, [NOW, NOW], [0.5, 0.25])]


# How it ends


def test_a_failed_delivery_ends_the_run() -> None:
    """The failure of a batch ends the run at once; its batch holds STATE back."""
    problem = OutageError("no luck")
    fake = FakeRun(deliver=lambda given: BatchResult(given, failure=problem, requests=2))
    fake.run.take("orders", event("1"))
    fake.run.hold_state("1")
    with pytest.raises(OutageError) as raised:
        fake.run.submit("orders")
    assert raised.value is problem
    fake.run.abandon(problem)
    assert fake.states == []
    assert fake.delivery.stopped == [0.0]
    assert (fake.run.counts.requests, fake.delivery.closed) == (2, True)


def test_what_is_in_flight_when_delivery_fails() -> None:
    """Requests that are on their way are waited for, but not for long; the STATE is true."""
    fake = FakeRun(deliver=None)
    for name in ("1", "2"):
        fake.run.take("orders", event(name))
        fake.run.submit("orders")
        fake.run.hold_state(name)
    fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))
    start = fake.clock.now
    fake.run.abandon(OutageError("no luck"))
    assert fake.states == ["1"]
    assert fake.clock.now == start + 5.0


def test_a_failure_elsewhere_delivers_what_was_read() -> None:
    """If delivery is not at fault, what was read before the failure is sent, and its STATE too."""
    fake = FakeRun()
    fake.run.take("orders", event("1"))
    fake.run.hold_state("1")
    fake.run.abandon(ValueError("a bug"))
    assert (len(fake.delivery.submitted), fake.states) == (1, ["1"])


def test_a_second_failure_while_a_run_ends() -> None:
    """A delivery that fails while a failed run ends is raised after all else is settled."""
    problem = OutageError("no luck")
    fake = FakeRun(deliver=lambda given: BatchResult(given, failure=problem))
    fake.run.take("orders", event("1"))
    fake.run.hold_state("1")
    with pytest.raises(OutageError) as raised:
        fake.run.abandon(ValueError("a bug"))
    assert raised.value is problem
    assert fake.states == []


def test_a_stopped_run_ends_in_any_case() -> None:
    """After the grace of a stop, requests that hang are left behind, and no STATE covers them."""
    fake = FakeRun(deliver=None)
    fake.run.take("orders", event("1"))
    fake.run.hold_state("{}")
    start = fake.clock.now
    fake.run.request_stop()
    with pytest.raises(DeliveryError, match="still on their way") as raised:
        fake.run.finish()
    assert 20.0 < fake.clock.now - start <= 22.0
    fake.run.abandon(raised.value)
    assert 20.0 < fake.clock.now - start <= 22.0
    assert fake.states == []


def test_a_stopped_run_retries_for_a_while() -> None:
    """Delivery is stopped five seconds after the first request to stop, and not later."""
    fake = FakeRun()
    start = fake.clock.now
    fake.run.request_stop()
    fake.tick()
    fake.run.request_stop()
    fake.tick()
    assert fake.clock.now == start + 2.0
    assert fake.delivery.stopped == [4.0, 3.0]


def test_a_batch_whose_hand_over_failed_is_not_lost() -> None:
    """A batch that waits for its turn while another one fails is sent when the run ends."""
    fake = FakeRun(deliver=None, size=1, failing="write")
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    fake.delivery.finish(refuse(fake.delivery.submitted[0], "1"))
    fake.run.take("orders", event("2"))
    with pytest.raises(StorageError) as raised:
        fake.run.submit("orders")
    assert len(fake.delivery.submitted) == 1
    fake.delivery.deliver = deliver_all
    fake.run.abandon(raised.value)
    assert [one.conversions[0].event_id for one in fake.delivery.submitted] == ["1", "2"]
    assert fake.run.counts.of("orders").delivered == 1
