"""What a run writes, and when: the outcome of everything that a STATE covers, before it."""

from __future__ import annotations

import contextlib
import copy

import pytest
from fakes import FakeRun, deliver_all, read, refuse, reject, rejection, send
from unit_support import NOW

from target_liveintent.delivery.batch import BatchResult
from target_liveintent.errors import StorageError, TooManyRejectedError

# The order


@pytest.mark.promise(
    "A STATE is written only when the store has the outcome of every record before it"
)
def test_everything_is_written_before_state() -> None:
    """One write, right before STATE, has the outcome of each record before the STATE."""
    at_state: list[tuple[str, dict[str, list[str]]]] = []

    def write_state(_: str) -> None:
        at_state.append((fake.happened[-1], copy.deepcopy(fake.outcomes.kept)))

    fake = FakeRun(
        "sent", deliver=lambda given: refuse(given, "bad"), parts={"write_state": write_state}
    )
    read(fake, "good", "bad", "sent")
    reject(fake, 1)
    fake.run.take("orders", rejection("7", "no_consent"))
    fake.run.gate.hold("{}")
    fake.run.finish()
    kept = {
        "reject": ["0", "bad"],
        "drop as no_consent": ["7"],
        "deliver": ["good"],
        "confirm": ["good"],
    }
    assert at_state == [("write before STATE", kept)]
    assert fake.happened[-1] == "release"


def test_what_is_new_is_written_without_a_state() -> None:
    """It is written soon; only before a STATE, the run writes in any case."""
    fake = FakeRun()
    send(fake, "1")
    reject(fake, 1)
    assert "write" not in fake.happened
    fake.tick()
    assert fake.outcomes.kept["confirm"] == ["1"]
    assert fake.outcomes.kept["reject"] == ["0"]
    assert fake.happened.count("write") == 1
    assert "write before STATE" not in fake.happened


def test_many_outcomes_do_not_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a number of them on, they are written, also before a second has passed.

    A dead letter counts as four.
    """
    monkeypatch.setattr("target_liveintent.run.outcome_writer._MOST_UNWRITTEN", 12)
    fake = FakeRun()
    kept = fake.outcomes.kept["reject"]
    for count, expected in ((2, 0), (1, 3), (2, 3), (2, 6)):
        reject(fake, count)
        assert len(kept) == expected
    for events, writes in (("0123456", 2), ("7", 3)):  # A letter waits already.
        send(fake, *events)
        assert fake.happened.count("write") == writes


def finish_part(fake: FakeRun, first: int) -> None:
    """Let two events of a batch of four come back, the last ones if the first one is 2."""
    (batch,) = fake.delivery.submitted
    given = batch.conversions[first : first + 2]
    last = first == 2
    sent = [NOW, NOW]
    fake.delivery.finish(BatchResult(batch, given, sent, given, requests=3 * last, is_last=last))


def test_the_store_knows_of_a_part_before_the_rest_of_its_batch() -> None:
    """A run that is killed while the rest fails repeats only that; STATE waits for all of it."""
    fake = FakeRun(deliver=None)
    send(fake, *"0123")
    fake.run.gate.hold("{}")
    finish_part(fake, 0)
    fake.tick()
    kept = fake.outcomes.kept
    assert (kept["confirm"], kept["deliver"]) == (["0", "1"], ["0", "1"])
    assert (fake.states, fake.delivery.in_flight) == ([], 1)
    assert fake.run.counts.total.delivered == 2
    finish_part(fake, 2)
    fake.run.finish()
    assert (kept["confirm"], kept["deliver"]) == ([*"0123"], [*"0123"])
    assert (fake.states, fake.run.counts.requests) == (["{}"], 3)
    assert fake.run.counts.total.delivered == 4


# What cannot be written


@pytest.mark.promise(
    "A STATE is written only when the store has the outcome of every record before it"
)
@pytest.mark.parametrize("failing", ["claim", "write", "write before STATE"])
def test_no_state_after_a_failed_write(failing: str) -> None:
    """Whatever the store cannot write, no STATE follows, although it works again at the end."""
    fake = FakeRun(failing=failing)
    reject(fake, 1)
    with pytest.raises(StorageError, match="the disk is full") as raised:  # noqa: PT012
        send(fake, "1")
        fake.run.gate.hold("1")
        fake.tick()
    fake.run.gate.hold("2")
    fake.run.abandon(raised.value)
    assert fake.states == []
    assert fake.happened[-1] == "release"
    assert fake.outcomes.kept["reject"] == ["0"]


def test_no_state_after_a_bug() -> None:
    """If STATE cannot be written, nobody knows what is, although delivery continues to the end."""
    states: list[str] = []

    def write_state(state: str) -> None:
        states.append(state)
        raise AttributeError

    fake = FakeRun(parts={"write_state": write_state})
    fake.run.gate.hold("1")
    with pytest.raises(AttributeError) as raised:
        fake.run.finish()
    read(fake, "1")
    fake.run.gate.hold("2")
    fake.run.abandon(raised.value)
    assert (fake.submitted, states) == ([["1"]], ["1"])


def test_what_comes_back_after_a_failed_write_is_told_at_the_end() -> None:
    """What the API has confirmed meanwhile must not be sent again; nothing more is sent.

    The store is tried once more, when the reservations end, and not before.
    """
    fake = FakeRun(deliver=None, size=4)
    for name in "012":
        send(fake, name)
    fake.tick()  # It reserves what waits.
    first, second, third = fake.delivery.submitted
    fake.delivery.finish(refuse(first, "0"))
    read(fake, "3")
    fake.outcomes.failing = "write"
    with pytest.raises(StorageError) as raised:
        fake.tick()
    failed_at = len(fake.happened)
    fake.delivery.finish(deliver_all(third))
    fake.run.abandon(raised.value)
    assert fake.happened[failed_at:] == ["deliver", "confirm", "release"]
    assert fake.outcomes.kept["confirm"] == ["2"]
    assert fake.outcomes.kept["reject"] == ["0"]
    assert fake.submitted == [["0"], ["1"], ["2"]]
    assert (fake.delivery.stopped, fake.delivery.closed) == ([0.0], True)
    assert second.number in fake.run.gate._unfinished  # noqa: SLF001 (it has no outcome)


@pytest.mark.parametrize("failing", ["", "claim", "release"])
def test_reservations_end_with_the_run(failing: str) -> None:
    """However a run ends, its reservations end, and its threads are released.

    Its end may fail as well, and the store may fail once more.
    """
    fake = FakeRun(failing=failing)
    read(fake, "1")
    with pytest.raises(StorageError) if failing else contextlib.nullcontext():
        fake.run.abandon(TooManyRejectedError("a first failure"))
    assert ("release" in fake.happened) == (failing != "release")
    assert fake.outcomes.failing == ""
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


def test_a_dry_run_writes_no_state() -> None:
    """What a dry run reads has no outcome, so its STATE is not true."""
    fake = FakeRun(dry_run=True)
    read(fake, "1")
    fake.run.gate.hold("1")
    fake.run.finish()
    assert (fake.states, fake.run.counts.of("orders").delivered) == ([], 1)
