"""How runs end: well, after a failure, and after a stop."""

import pytest
from fakes import FakeClock, FakeDelivery, FakeRun, deliver_all, event, read, refuse, send

from target_liveintent.delivery.batch import BatchResult
from target_liveintent.errors import DeliveryError, OutageError, TooManyRejectedError


@pytest.mark.parametrize("is_second", [False, True])
def test_a_failed_delivery_ends_the_run(is_second: bool) -> None:
    """The failure of a batch ends the run at once, and its batch holds STATE back.

    If a failed run is ending already, it is raised after all else has ended.
    """
    problem = OutageError("no luck")
    fake = FakeRun(deliver=lambda given: BatchResult(given, failure=problem, requests=2))
    read(fake, "1")
    fake.run.gate.hold("1")
    with pytest.raises(OutageError) as raised:
        fake.run.abandon(ValueError("a bug")) if is_second else fake.run.close_batch("orders")
    assert raised.value is problem
    if not is_second:
        fake.run.abandon(problem)
    assert (fake.states, fake.delivery.stopped) == ([], [0.0])
    assert (fake.run.counts.requests, fake.delivery.closed) == (2, True)


def test_what_is_in_flight_when_delivery_fails() -> None:
    """Requests that are on their way are waited for, but not for long; the STATE is true."""
    fake = FakeRun(deliver=None)
    for name in ("1", "2"):
        send(fake, name)
        fake.run.gate.hold(name)
    fake.tick()
    assert fake.submitted == [["1"], ["2"]]
    fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))
    start = fake.clock.now
    fake.run.abandon(OutageError("no luck"))
    assert fake.states == ["1"]
    assert fake.clock.now == start + 5.0


def test_a_failure_elsewhere_delivers_what_was_read() -> None:
    """If delivery is not at fault, what was read before the failure is sent, and its STATE too."""

    def come_back(*_: object) -> None:
        if fake.delivery.in_flight:
            fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))

    fake = FakeRun(deliver=None, parts={"on_progress": come_back})
    read(fake, "1")
    fake.run.gate.hold("1")
    fake.run.abandon(ValueError("a bug"))
    assert (len(fake.delivery.submitted), fake.states) == (1, ["1"])


@pytest.mark.parametrize("has_failed", [False, True])
def test_a_stopped_run_ends_in_any_case(has_failed: bool) -> None:
    """After the grace of a stop, requests that hang are left behind, and no STATE covers them.

    This holds for a run that has failed, too: what was read before is delivered if it can be.
    """

    def check_time(*_: object) -> None:
        assert fake.clock.now - start < 60.0

    fake = FakeRun(deliver=None, parts={"on_progress": check_time})
    read(fake, "1")
    fake.run.gate.hold("{}")
    start = fake.clock.now
    fake.run.request_stop()
    with pytest.raises(DeliveryError, match="still sending batches") as raised:
        fake.run.abandon(ValueError("a bug")) if has_failed else fake.run.finish()
    if not has_failed:
        fake.run.abandon(raised.value)
    assert 17.0 < fake.clock.now - start <= 18.0
    assert (fake.delivery.stopped[0], fake.states) == (5.0, [])


class LateDelivery(FakeDelivery):
    """Delivery of which a batch comes back only when it is closed, in part or as a whole."""

    fails = False

    def close(self) -> None:
        super().close()
        given = self.submitted[0]
        failed = BatchResult(given, failure=DeliveryError("the end"), requests=1)
        self.finish(failed if self.fails else deliver_all(given))


@pytest.mark.parametrize("has_failed", [False, True])
def test_what_is_known_of_batches_that_are_left_behind_is_counted(has_failed: bool) -> None:
    """Parts of a batch may be delivered although the answer to another one does not come.

    They are counted as well if the stop is a second failure.
    """
    clock = FakeClock()
    delivery = LateDelivery(clock)
    delivery.fails = not has_failed
    fake = FakeRun(parts={"clock": clock, "delivery": delivery})
    read(fake, "1")
    fake.run.request_stop()
    failure = ValueError("a bug")
    with pytest.raises(DeliveryError, match="still sending batches") as raised:
        fake.run.abandon(failure) if has_failed else fake.run.finish()
    if not has_failed:
        fake.run.abandon(raised.value)
    counts = fake.run.counts
    assert (counts.requests, counts.of("orders").delivered) == (1, int(has_failed))


def test_a_stopped_run_retries_for_a_while() -> None:
    """Delivery is stopped five seconds after the first request to stop, which ends its wait."""
    fake = FakeRun()
    start = fake.clock.now
    fake.run.request_stop()
    assert fake.delivery.woken == 1
    fake.tick()
    fake.run.request_stop()
    fake.tick()
    assert fake.clock.now == start + 2.0
    assert fake.delivery.stopped == [4.0, 3.0]


def test_a_batch_whose_hand_over_failed_is_not_lost() -> None:
    """A batch that waits for its turn while another one fails is sent when the run ends."""
    fake = FakeRun(deliver=None, size=1, on_rejection="fail")
    send(fake, "1")
    fake.delivery.finish(refuse(fake.delivery.submitted[0], "1"))
    fake.run.take("orders", event("2"))
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run._send_all()  # noqa: SLF001 (what a tick does when the batch is due)
    assert fake.submitted == [["1"]]
    fake.delivery.deliver = deliver_all
    fake.run.abandon(raised.value)
    assert fake.submitted == [["1"], ["2"]]
    assert fake.run.counts.of("orders").delivered == 1
