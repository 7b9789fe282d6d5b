"""What a run asks the store before it sends events, and in which order batches are sent."""

import pytest
from fakes import FakeRun, deliver_all, event, read

from target_liveintent.delivery.batch import BatchResult, DeliveryStatus
from target_liveintent.errors import DeliveryError
from target_liveintent.run.counts import ReservedByOther, RunCounts


def test_a_full_batch_is_handed_over() -> None:
    """A batch goes as soon as it has `batch_size_rows` events, or when its stream is asked for."""
    fake = FakeRun(batch_size_rows=2)
    for stream, name in (("a", "1"), ("b", "2"), ("a", "3"), ("a", "4"), ("c", "5")):
        fake.run.take(stream, event(name))
    assert fake.submitted == [["1", "3"]]
    assert [(batch.stream, batch.number) for batch in fake.delivery.submitted] == [("a", 0)]
    fake.run.close_batch("b")
    fake.run.close_batch("d")
    assert fake.submitted == [["1", "3"], ["2"]]
    fake.run.finish()
    assert fake.submitted == [["1", "3"], ["2"], ["4"], ["5"]]


SEVENTEEN = "abcdefghijklmnopq"


def test_a_full_delivery_is_waited_for() -> None:
    """While as many batches are in flight as may be, the run does what is due once a second."""
    shown: list[int] = []

    def show(counts: RunCounts, status: DeliveryStatus) -> None:
        shown.append(status.batches)
        if len(shown) == 3:
            fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))
            fake.delivery.deliver = deliver_all

    fake = FakeRun(deliver=None, size=1, batch_size_rows=1, parts={"on_progress": show})
    start = fake.clock.now
    read(fake, *SEVENTEEN)  # So many batches are reserved although nothing has come back.
    assert fake.submitted == [[name] for name in SEVENTEEN]
    assert shown == [1, 1, 1]
    assert fake.clock.now == pytest.approx(start + 2.15)  # A failure may make room as well.


def test_a_slow_stream_is_sent_while_delivery_is_full() -> None:
    """Waits for room do not keep a batch from being sent when it is old enough."""
    fake = FakeRun(deliver=None, size=2, batch_size_rows=2, flush_interval_seconds=5)
    sent_at: dict[str, float] = {}

    def take(seconds: float) -> BatchResult | None:
        fake.clock.now += min(seconds, 0.4)
        if not seconds or not fake.delivery.submitted:
            return None
        batch = fake.delivery.submitted.pop(0)
        sent_at.setdefault(batch.stream, fake.clock.now)
        fake.delivery.in_flight -= 1
        return deliver_all(batch)

    fake.delivery.take = take  # type: ignore[method-assign]
    start = fake.clock.now
    read(fake, "slow", stream="slow")
    fake.run.gate.hold("STATE")
    for number in range(400):
        read(fake, str(number))
        fake.run.tick()
    assert start + 5 <= sent_at["slow"] < start + 8
    assert fake.states == ["STATE"]


@pytest.mark.parametrize(
    ("known", "names", "sent", "already_sent"),
    [
        pytest.param("2", "123", ["13"], "2", id="one of three is known"),
        # A batch of which nothing is left to send is finished.
        pytest.param("12", "12", [], "12", id="a whole batch is known"),
        # The second of two equal events waits until the first is delivered, and is not sent then.
        pytest.param("", "1121", ["12"], "11", id="equal events in one run"),
    ],
)
def test_what_was_delivered_before_is_not_sent(
    known: str, names: str, sent: list[str], already_sent: str
) -> None:
    """Such events are dropped, the others are sent, and STATE goes out."""
    fake = FakeRun(*known)
    read(fake, *names)
    fake.run.gate.hold("1")
    fake.run.finish()
    assert fake.submitted == [[*batch] for batch in sent]
    assert fake.run.counts.of("orders").dropped == {"already_sent": len(already_sent)}
    assert fake.outcomes.kept["confirm"] == [*"".join(sent)]
    assert fake.states == ["1"]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_limit_counts_what_is_sent(size: int) -> None:
    """What was delivered before makes room for others below the limit; no STATE is written."""
    stopped: list[bool] = []
    parts = {"stop_reading": lambda: stopped.append(True)}
    fake = FakeRun("1", "2", limit=2, batch_size_rows=size, parts=parts)
    read(fake, *"12345")
    fake.run.gate.hold("1")
    fake.run.finish()
    assert (fake.states, stopped) == ([], [True])
    assert fake.submitted == ([["3"], ["4"]] if size == 1 else [["3", "4"]])
    assert fake.run.limit_reached
    assert fake.run.counts.of("orders").dropped == {"already_sent": 2, "over_limit": 1}


def full_batches(fake: FakeRun, count: int, *, first: int = 0) -> None:
    """Read the events of so many batches of two."""
    read(fake, *(str(n) for n in range(first * 2, (first + count) * 2)))


def test_full_batches_are_reserved_together() -> None:
    """One is, when nothing is in flight; then 8 at once, or those that there are at a tick."""
    fake = FakeRun(deliver=None, batch_size_rows=2, size=99)
    claimed = fake.outcomes.claimed
    full_batches(fake, 8)
    assert claimed == [[["0", "1"]]]
    assert fake.submitted == [["0", "1"]]
    full_batches(fake, 1, first=8)
    assert [len(batches) for batches in claimed] == [1, 8]
    full_batches(fake, 2, first=9)
    assert len(claimed) == 2
    fake.delivery.deliver = deliver_all
    fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))
    fake.tick()
    assert [len(batches) for batches in claimed] == [1, 8, 2]


def test_a_slow_store_is_not_asked_all_the_time() -> None:
    """After an answer that took a while, as much time passes, or 16 batches are full."""
    fake = FakeRun(batch_size_rows=2)
    outcomes = fake.outcomes

    def answer_slowly() -> None:
        fake.clock.now += 0.05

    outcomes.on_claim = answer_slowly
    full_batches(fake, 2)
    assert (len(outcomes.claimed), outcomes.kept["confirm"]) == (1, [])
    fake.clock.now += 0.04
    full_batches(fake, 1, first=2)
    assert (len(outcomes.claimed), outcomes.kept["confirm"]) == (1, [])
    fake.clock.now += 0.011
    full_batches(fake, 1, first=3)
    assert [len(batches) for batches in outcomes.claimed] == [1, 3]
    assert outcomes.kept["confirm"] == ["0", "1"]
    full_batches(fake, 15, first=4)
    assert len(outcomes.claimed) == 2
    full_batches(fake, 1, first=19)
    assert [len(batches) for batches in outcomes.claimed] == [1, 3, 16]


def test_a_slow_store_learns_soon_what_is_confirmed() -> None:
    """It does within four of its answers, although full batches wait all the time.

    A confirmation that comes as a write begins waits for this write, for a claim, which takes two
    answers, and until the next write has arrived.
    """
    answer_seconds = 0.6
    fake = FakeRun(deliver=None, batch_size_rows=1, size=99)
    clock, write = fake.clock, fake.outcomes.write
    confirmed_at: dict[str, float] = {}
    waits: list[float] = []

    def confirm_all() -> None:
        for batch in fake.delivery.submitted:
            fake.delivery.finish(deliver_all(batch))
            confirmed_at.update((one.event_id, clock.now) for one in batch.conversions)
        fake.delivery.submitted.clear()

    def claim() -> None:
        confirm_all()
        clock.now += 2 * answer_seconds

    def write_slowly(*, before_state: bool = False) -> None:
        arrives_at = clock.now + answer_seconds / 2
        write(before_state=before_state)
        confirmed = fake.outcomes.kept["confirm"]
        waits.extend(arrives_at - confirmed_at[name] for name in confirmed)
        confirmed.clear()
        confirm_all()
        clock.now += answer_seconds

    fake.outcomes.on_claim = claim
    fake.outcomes.write = write_slowly  # type: ignore[method-assign]
    for number in range(400):
        read(fake, str(number))
        clock.now += 0.001
    assert len(waits) > 300
    assert 3 * answer_seconds < max(waits) < 4 * answer_seconds


def test_what_another_run_has_reserved_is_waited_for() -> None:
    """It is asked about once a second, and no STATE passes it; then it is sent, if it must be."""
    fake = FakeRun(batch_size_rows=2)
    fake.outcomes.others = {"1": "run-2", "2": "run-2"}
    read(fake, *"12")
    fake.run.gate.hold("1")
    read(fake, *"34")
    fake.run.gate.hold("2")
    start = fake.clock.now
    fake.tick()
    fake.tick()
    assert fake.submitted == [["3", "4"]]
    assert fake.states == []
    assert fake.run.counts.elsewhere == ReservedByOther(2, "run-2", start)
    fake.outcomes.others = {"2": "run-2"}
    fake.tick()
    assert (fake.submitted, fake.states) == ([["3", "4"], ["1"]], [])
    fake.outcomes.others, fake.outcomes.known = {}, ["2"]
    fake.tick()
    assert (fake.submitted, fake.states) == ([["3", "4"], ["1"]], ["2"])
    assert fake.run.counts.of("orders").dropped == {"already_sent": 1}
    assert fake.run.counts.elsewhere is None


def test_the_end_waits_for_another_run() -> None:
    """At its end, too, a run waits for the outcome of what another one has reserved."""
    fake = FakeRun()
    fake.outcomes.others = {"1": "run-2"}
    asked: list[float] = []

    def ask() -> None:
        asked.append(fake.clock.now)
        if len(asked) == 5:
            fake.outcomes.others = {}

    fake.outcomes.on_claim = ask
    read(fake, "1")
    fake.run.gate.hold("1")
    start = fake.clock.now
    fake.run.finish()
    assert (fake.submitted, fake.states) == ([["1"]], ["1"])
    assert [at - start for at in asked] == [0, 1, 2, 3, 4]


def test_a_stopped_run_does_not_wait_for_another_one() -> None:
    """After some seconds it ends, and STATE stands before what waits."""
    fake = FakeRun(batch_size_rows=1)
    fake.outcomes.others = {"2": "run-2"}
    for name in "12":
        read(fake, name)
        fake.run.gate.hold(name)
    fake.run.request_stop()
    start = fake.clock.now
    with pytest.raises(
        DeliveryError, match=r"waiting for run run-2, which is sending the same events \(1\)"
    ) as raised:
        fake.run.finish()
    fake.run.abandon(raised.value)
    assert 5 < fake.clock.now - start < 8
    assert (fake.submitted, fake.states) == ([["1"]], ["1"])
    assert fake.happened[-1] == "release"


def test_too_many_repeats_are_not_read_on() -> None:
    """With more than 64 batches that wait for equal events, nothing more is read."""
    progress: list[int] = []

    def deliver(*_: object) -> None:
        progress.append(fake.run.counts.of("orders").read)
        if len(progress) == 100:
            fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))

    fake = FakeRun(deliver=None, batch_size_rows=1, parts={"on_progress": deliver})
    for _ in range(200):
        read(fake, "1")
    assert progress[:100] == [1 + 9 * 8] * 100  # So many are reserved at once.
