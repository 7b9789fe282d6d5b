"""How conversions become batches, and in which order they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from fakes import FakeLedger, FakeRun, deliver_all, event, read, send

from target_liveintent.errors import DeliveryError, StorageError
from target_liveintent.run.elsewhere import Elsewhere

if TYPE_CHECKING:
    from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus
    from target_liveintent.run.counts import RunCounts


def submitted(fake: FakeRun) -> list[list[str]]:
    """Return the IDs of the events of each batch that was handed over."""
    return [[one.event_id for one in batch.conversions] for batch in fake.delivery.submitted]


def with_ledger(*known: str, **changes: int) -> tuple[FakeRun, FakeLedger]:
    """Return a run with a ledger that knows some events as delivered."""
    happened: list[str] = []
    ledger = FakeLedger(happened, known)
    return FakeRun(happened=happened, parts={"ledger": ledger}, **changes), ledger


def test_a_full_batch_is_handed_over() -> None:
    """A batch goes as soon as it has `batch_size_rows` events, or when its stream is asked for."""
    fake = FakeRun(batch_size_rows=2)
    for stream, name in (("a", "1"), ("b", "2"), ("a", "3"), ("a", "4"), ("c", "5")):
        fake.run.take(stream, event(name))
    assert submitted(fake) == [["1", "3"]]
    assert [(batch.stream, batch.number) for batch in fake.delivery.submitted] == [("a", 0)]
    fake.run.submit("b")
    fake.run.submit("d")
    assert submitted(fake) == [["1", "3"], ["2"]]
    fake.run.finish()
    assert submitted(fake) == [["1", "3"], ["2"], ["4"], ["5"]]


def test_a_full_delivery_is_waited_for() -> None:
    """While as many batches are in flight as may be, the run waits, and does what is due."""
    shown: list[int] = []

    def show(counts: RunCounts, status: DeliveryStatus) -> None:
        shown.append(status.batches)
        if len(shown) == 3:
            fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))

    fake = FakeRun(deliver=None, size=1, parts={"on_progress": show})
    start = fake.clock.now
    send(fake, "1")
    send(fake, "2")
    assert submitted(fake) == [["1"], ["2"]]
    assert shown == [1, 1, 1, 0]
    assert fake.clock.now == start + 3


@pytest.mark.parametrize(
    ("known", "names", "sent", "already_sent"),
    [
        ("2", "123", ["13"], 1),
        # A batch of which nothing is left to send is finished.
        ("12", "12", [], 2),
        # The second of two equal events waits until the first is delivered, and is not sent then.
        ("", "1121", ["12"], 2),
    ],
)
def test_what_the_ledger_knows_is_not_sent(
    known: str, names: str, sent: list[str], already_sent: int
) -> None:
    """Events that were delivered before are dropped, the others are sent, and STATE goes out."""
    fake, ledger = with_ledger(*known)
    read(fake, *names)
    fake.run.gate.hold("1")
    fake.run.finish()
    assert submitted(fake) == [[*batch] for batch in sent]
    assert fake.run.counts.of("orders").dropped == {"already_sent": already_sent}
    assert (ledger.confirmed, fake.states) == ([*"".join(sent)], ["1"])


def test_the_first_of_equal_events_goes_first() -> None:
    """Equal events that fill a batch wait until the batch with the first of them was sent."""
    fake, _ = with_ledger(batch_size_rows=3)
    read(fake, *"12111")
    assert submitted(fake) == [["1", "2"]]
    fake.run.finish()
    assert fake.run.counts.of("orders").dropped == {"already_sent": 3}


def test_an_event_whose_first_was_not_delivered() -> None:
    """Equal events are sent one after the other until one of them is delivered."""
    tries: list[str] = []

    def deliver(given: Batch) -> BatchResult:
        result = deliver_all(given)
        tries.append("1")
        if len(tries) < 3:
            result.delivered, result.confirmed, result.sent_at = [], [], []
        return result

    fake, _ = with_ledger()
    fake.delivery.deliver = deliver
    for _ in range(4):
        read(fake, "1")
    fake.run.finish()
    assert submitted(fake) == [["1"], ["1"], ["1"]]
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.dropped) == (1, {"already_sent": 1})


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_two_maps_that_make_the_same_event(size: int) -> None:
    """Each record whose event another map has made just before counts, by the two streams."""
    fake, _ = with_ledger(batch_size_rows=size)
    for name in "1234":
        for stream in ("orders", "leads", "clicks"):
            fake.run.take(stream, event(name))
        fake.run.take("people", event(f"person {name}"))
    fake.run.finish()
    assert fake.run.counts.copies == {("orders", "leads"): 4, ("orders", "clicks"): 4}
    assert fake.run.counts.total.dropped == {"already_sent": 8}


def test_events_that_come_again() -> None:
    """No copy is what the same map makes twice, another one made earlier, or for another pixel.

    Without a ledger both events are sent, so nothing is said of one that is not.
    """
    fake, _ = with_ledger()
    for stream, name in (("orders", "1"), ("orders", "1"), ("orders", "2"), ("leads", "1")):
        fake.run.take(stream, event(name))
    fake.run.take("orders", msgspec.structs.replace(event("1"), pixel_id=2))
    without = FakeRun()
    for stream in ("orders", "leads"):
        without.run.take(stream, event("1"))
    assert (fake.run.counts.copies, without.run.counts.copies) == ({}, {})


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_limit_counts_what_is_sent(size: int) -> None:
    """What the ledger skips makes room for others below the limit."""
    fake, _ = with_ledger("1", "2", limit=2, batch_size_rows=size)
    read(fake, *"12345")
    fake.run.finish()
    assert [name for names in submitted(fake) for name in names] == ["3", "4"]
    assert fake.run.limit_reached
    assert fake.run.counts.of("orders").dropped == {"already_sent": 2, "over_limit": 1}


# Claims


def full_batches(fake: FakeRun, count: int, *, first: int = 0) -> None:
    """Read the events of so many batches of two."""
    for n in range(first * 2, (first + count) * 2):
        fake.run.take("orders", event(str(n)))


def test_full_batches_are_claimed_together() -> None:
    """One is, when nothing is in flight; then eight at once, or those that there are at a tick."""
    fake, ledger = with_ledger(batch_size_rows=2, size=99)
    fake.delivery.deliver = None
    full_batches(fake, 8)
    assert ledger.claimed == [[["0", "1"]]]
    assert submitted(fake) == [["0", "1"]]
    full_batches(fake, 1, first=8)
    assert [len(batches) for batches in ledger.claimed] == [1, 8]
    full_batches(fake, 2, first=9)
    assert len(ledger.claimed) == 2
    fake.delivery.deliver = deliver_all
    fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))
    fake.tick()
    assert [len(batches) for batches in ledger.claimed] == [1, 8, 2]


def test_a_slow_ledger_is_not_asked_all_the_time() -> None:
    """After an answer that took a while, as much time passes before single batches are claimed."""
    fake, ledger = with_ledger(batch_size_rows=2)

    def answer_slowly() -> None:
        fake.clock.now += 0.05

    ledger.on_claim = answer_slowly
    full_batches(fake, 2)
    assert (len(ledger.claimed), ledger.confirmed) == (1, [])
    fake.clock.now += 0.04
    full_batches(fake, 1, first=2)
    assert (len(ledger.claimed), ledger.confirmed) == (1, [])
    fake.clock.now += 0.011
    full_batches(fake, 1, first=3)
    assert [len(batches) for batches in ledger.claimed] == [1, 3]
    assert ledger.confirmed == ["0", "1"]


def test_what_another_run_has_claimed_is_waited_for() -> None:
    """It is asked about once a second, and no STATE passes it; then it is sent, if it must be."""
    fake, ledger = with_ledger(batch_size_rows=2)
    ledger.others = {"1": "run-2", "2": "run-2"}
    read(fake, *"12")
    fake.run.gate.hold("1")
    read(fake, *"34")
    fake.run.gate.hold("2")
    start = fake.clock.now
    fake.tick()
    fake.tick()
    assert submitted(fake) == [["3", "4"]]
    assert fake.states == []
    assert fake.run.counts.elsewhere == Elsewhere(2, "run-2", start)
    ledger.others = {"2": "run-2"}
    fake.tick()
    assert (submitted(fake), fake.states) == ([["3", "4"], ["1"]], [])
    ledger.others, ledger.confirmed = {}, [*ledger.confirmed, "2"]
    fake.tick()
    assert (submitted(fake), fake.states) == ([["3", "4"], ["1"]], ["2"])
    assert fake.run.counts.of("orders").dropped == {"already_sent": 1}
    assert fake.run.counts.elsewhere is None


def test_the_end_waits_for_another_run() -> None:
    """At its end, too, a run waits for the outcome of what another one has claimed."""
    fake, ledger = with_ledger()
    ledger.others = {"1": "run-2"}
    asked: list[float] = []

    def ask() -> None:
        asked.append(fake.clock.now)
        if len(asked) == 5:
            ledger.others = {}

    ledger.on_claim = ask
    read(fake, "1")
    fake.run.gate.hold("1")
    start = fake.clock.now
    fake.run.finish()
    assert (submitted(fake), fake.states) == ([["1"]], ["1"])
    assert [at - start for at in asked] == [0, 0, 1, 2, 3]


def test_a_stopped_run_does_not_wait_for_another_one() -> None:
    """After some seconds it ends, and STATE stands before what waits."""
    fake, ledger = with_ledger(batch_size_rows=1)
    ledger.others = {"2": "run-2"}
    read(fake, "1")
    fake.run.gate.hold("1")
    fake.run.take("orders", event("2"))
    fake.run.gate.hold("2")
    fake.run.request_stop()
    start = fake.clock.now
    with pytest.raises(
        DeliveryError, match=r"waiting for run run-2, which is sending the same events \(1\)"
    ) as raised:
        fake.run.finish()
    fake.run.abandon(raised.value)
    assert 5 < fake.clock.now - start < 8
    assert (submitted(fake), fake.states) == ([["1"]], ["1"])
    assert fake.happened[-1] == "ledger close"


def test_too_many_repeats_are_not_read_on() -> None:
    """While many batches wait for equal events, nothing more is read."""
    fake, _ = with_ledger(batch_size_rows=1)
    fake.delivery.deliver = None
    read(fake, "1")
    held = fake.delivery.submitted[0]
    progress: list[int] = []

    def deliver(*_: object) -> None:
        progress.append(fake.delivery.in_flight)
        if len(progress) == 100:
            fake.delivery.finish(deliver_all(held))

    fake.run._parts = fake.run._parts._replace(on_progress=deliver)  # noqa: SLF001
    for _ in range(200):
        read(fake, "1")
    assert fake.run.counts.of("orders").dropped["already_sent"] > 64


def test_a_ledger_that_fails_ends_the_run() -> None:
    """No STATE is written, and what it could not claim is not sent."""
    fake, ledger = with_ledger(batch_size_rows=2)

    def fail() -> None:
        msg = "the database named in ledger_url cannot be used"
        raise StorageError(msg)

    full_batches(fake, 1)
    ledger.on_claim = fail
    fake.run.take("orders", event("8"))
    fake.run.gate.hold("1")
    with pytest.raises(StorageError) as raised:
        fake.run.finish()
    with pytest.raises(StorageError):
        fake.run.abandon(raised.value)
    assert (submitted(fake), fake.states) == ([["0", "1"]], [])
    assert fake.happened[-1] == "ledger close"
