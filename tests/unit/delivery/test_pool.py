"""The threads: they make the requests that the machine asks for, and give back the results."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from fakes import ACCEPTED, REFUSED, FakeClient, FakeClock, batch, event, machine_of, settings
from unit_support import NOW

from target_liveintent.clock import Clock
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.model import Batch
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.pool import DeliveryPool, delivery_of, most_batches
from target_liveintent.delivery.request import Request
from target_liveintent.delivery.suspicion import Suspicion
from target_liveintent.errors import AllRefusedError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_liveintent.delivery.model import BatchResult


class RealClock(Clock):
    """A clock that really waits; its Unix time fits the events of the tests."""

    def time(self) -> float:
        return NOW


class WatchedClock(RealClock):
    """A clock that says when something waits for a time.

    Attributes:
        waits: Is set then; whoever waits gives its lock back only after that.
    """

    def __init__(self) -> None:
        self.waits = threading.Event()

    def wait(self, wait: Callable[[float], object], seconds: float) -> None:
        self.waits.set()
        super().wait(wait, seconds)


CLOCK = RealClock()
WAIT = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=9.0)
PATIENCE = 5.0
"""Seconds after which a test fails that waits for a thread."""


def pool_of(
    answer: Callable[[list[str]], Answer] = lambda _: ACCEPTED, threads: int = 8, size: int = 16
) -> DeliveryPool:
    machine = machine_of(size=size, max_concurrent_requests=threads)
    return DeliveryPool(machine, FakeClient(answer), CLOCK, threads, size)


def pool_that_waits() -> tuple[DeliveryPool, threading.Event]:
    """A pool with a batch whose request has begun, and what lets its answer come."""
    release, called = threading.Event(), threading.Event()

    def answer(_: list[str]) -> Answer:
        called.set()
        release.wait(PATIENCE)
        return ACCEPTED

    pool = pool_of(answer)
    pool.submit(batch("1"))
    assert called.wait(PATIENCE)
    return pool, release


def take(pool: DeliveryPool) -> BatchResult:
    """Take back a batch that must come."""
    result = pool.take(PATIENCE)
    assert result is not None, "the delivery hangs"
    return result


def test_a_batch_there_and_back() -> None:
    """A batch is in flight until its result is taken."""
    pool = pool_of()
    given = batch("1", "2")
    pool.submit(given)
    assert pool.in_flight == 1
    result = take(pool)
    assert result.batch is given
    assert [one.event_id for one in result.delivered] == ["1", "2"]
    assert (pool.in_flight, pool.take(0.0)) == (0, None)
    pool.close()


def test_requests_side_by_side() -> None:
    """As many requests as the machine asks for are made at once, each by a thread of its own."""
    together = threading.Barrier(2)
    names: set[str] = set()

    def answer(_: list[str]) -> Answer:
        together.wait(PATIENCE)
        names.add(threading.current_thread().name)
        assert threading.current_thread() is not threading.main_thread()
        return ACCEPTED

    pool = pool_of(answer)
    for number in range(4):
        pool.submit(batch(str(number), number=number))
    assert sorted(take(pool).batch.number for _ in range(4)) == [0, 1, 2, 3]
    assert names == {"delivery"}
    pool.close()


def test_a_thread_without_work_keeps_no_events() -> None:
    """What was sent is free while its thread waits for the next request."""
    gone = threading.Event()

    class WatchedMachine(DeliveryMachine):
        def next(self, now: float, unix_time: float) -> Request | float:
            step = super().next(now, unix_time)
            if isinstance(step, Request):
                weakref.finalize(step.job, gone.set)
            return step

    machine = WatchedMachine(settings(), Pace(8), Suspicion(), 16)
    pool = DeliveryPool(machine, FakeClient(lambda _: ACCEPTED), CLOCK, 8, 16)
    pool.submit(batch("1"))
    take(pool)
    assert gone.wait(PATIENCE)
    pool.close()


def test_threads_are_used_again() -> None:
    """A thread that is free makes the next request."""
    threads = set()

    def answer(_: list[str]) -> Answer:
        threads.add(threading.current_thread())
        return ACCEPTED

    pool = pool_of(answer)
    for number in range(20):
        pool.submit(batch("1", number=number))
        take(pool)
    assert len(threads) <= 2
    pool.close()


def test_threads_end() -> None:
    """A process that makes one run after the other, as Spark's does, gathers no threads."""
    before = set(threading.enumerate())
    pool = pool_of()
    for number in range(3):
        pool.submit(batch("1", number=number))
    for _ in range(3):
        take(pool)
    pool.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before


def test_a_request_is_made_when_it_is_due() -> None:
    """Somebody keeps the time: neither a batch that is submitted nor an answer starts it."""
    clock = FakeClock()
    sent_at: list[float] = []

    def answer(_: list[str]) -> Answer:
        sent_at.append(clock.now)
        return ACCEPTED if len(sent_at) == 3 else WAIT

    pool = DeliveryPool(machine_of(), FakeClient(answer), clock, 8, 16)
    pool.submit(batch("1"))
    assert take(pool).failure is None
    first, second, third = sent_at
    assert second - first >= 9.0
    assert third - second >= 9.0
    assert sum(clock.waits) == pytest.approx(third - first)  # And not a moment later.
    pool.close()


def test_closing_ends_a_wait_for_what_is_due() -> None:
    """The thread that keeps the time ends as well, however late the next request is due."""
    before = set(threading.enumerate())
    clock = WatchedClock()
    pool = DeliveryPool(machine_of(), FakeClient(lambda _: WAIT), clock, 8, 16)
    pool.submit(batch("1"))
    assert clock.waits.wait(PATIENCE)
    pool.close()
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in started)


def test_a_system_that_gives_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run continues with the threads that there are."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limited(thread: threading.Thread) -> None:
        if len(started) > 1:  # One that keeps the time, one that makes requests.
            msg = "can't start new thread"
            raise RuntimeError(msg)
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    pool = pool_of()
    for number in range(5):
        pool.submit(batch(str(number), number=number))
    assert sorted(take(pool).batch.number for _ in range(5)) == [0, 1, 2, 3, 4]
    pool.close()


def test_ages_are_judged_when_a_thread_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threads are few, no request waits for one while its events grow too old."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limited(thread: threading.Thread) -> None:
        if len(started) > 1:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    clock = FakeClock()
    release = threading.Event()

    def answer(_: list[str]) -> Answer:
        release.wait(PATIENCE)
        return ACCEPTED

    client = FakeClient(answer)
    pool = DeliveryPool(machine_of(), client, clock, 8, 16)
    pool.submit(batch("first"))
    for number, name in enumerate(("second", "third"), start=1):
        pool.submit(Batch(number, "orders", 0.0, [event(name, NOW + 5)]))
    clock.now += 10
    release.set()
    results = [take(pool) for _ in range(3)]
    assert client.posted == [["first"]]
    assert {one.reason for result in results for one in result.undelivered} == {"event_too_old"}
    pool.close()


def test_a_wait_is_woken() -> None:
    """A wake-up ends a wait for a result, and takes no batch back."""
    release = threading.Event()

    def answer(_: list[str]) -> Answer:
        release.wait(PATIENCE)
        return ACCEPTED

    pool = pool_of(answer)
    pool.submit(batch("1"))
    pool.wake()
    assert pool.take(60.0) is None
    assert pool.in_flight == 1
    release.set()
    take(pool)
    pool.close()


def test_a_client_that_raises() -> None:
    """An unforeseen exception of the client comes back as the failure of every batch."""
    problem = ValueError("no client")

    def fail(_: list[str]) -> Answer:
        raise problem

    pool = pool_of(fail)
    for number in range(3):
        pool.submit(batch("1", number=number))
    assert [take(pool).failure for _ in range(3)] == [problem] * 3
    pool.close()


def test_a_machine_that_raises() -> None:
    """A bug in the machine ends the run, instead of leaving it to wait for ever."""

    class Broken:
        finished: tuple[()] = ()

        def add(self, _: Any) -> None:
            """Take it."""

        def next(self, *_: float) -> float:
            msg = "a bug"
            raise ValueError(msg)

    pool = DeliveryPool(Broken(), FakeClient(lambda _: ACCEPTED), CLOCK, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a bug"):
        pool.submit(batch("1"))


def test_a_stop() -> None:
    """After a stop, batches come back as not sent."""
    client = FakeClient(lambda _: ACCEPTED)
    pool = delivery_of(settings(), client, CLOCK)
    pool.stop(0.0)
    pool.submit(batch("1"))
    assert isinstance(take(pool).failure, DeliveryError)
    assert client.posted == []
    pool.close()


def test_a_pool_is_full() -> None:
    """The pool takes as many batches as it may hold."""
    release = threading.Event()

    def answer(_: list[str]) -> Answer:
        release.wait(PATIENCE)
        return ACCEPTED

    pool = pool_of(answer, size=3)
    for number in range(3):
        assert not pool.full
        pool.submit(batch("1", number=number))
    assert pool.full
    release.set()
    for _ in range(3):
        take(pool)
    assert not pool.full
    pool.close()


def test_a_refused_batch_leaves_room() -> None:
    """A batch that waits for the proof that its event is bad is in flight, but takes no room."""
    answered = threading.Semaphore(0)

    def answer(_: list[str]) -> Answer:
        answered.release()
        return REFUSED

    pool = pool_of(answer, size=1)
    pool.submit(batch("1"))
    assert answered.acquire(timeout=PATIENCE)
    while pool.full:  # The answer is there in a moment.
        pass
    assert pool.in_flight == 1
    pool.drain()
    assert take(pool).unproven == 1
    pool.close()


def test_the_end_of_the_input_is_passed_on() -> None:
    """The machine decides about refused events once it knows that nothing more comes."""
    pool = pool_of(lambda _: REFUSED)
    pool.submit(batch(*map(str, range(20))))
    pool.drain()
    assert isinstance(take(pool).failure, AllRefusedError)
    pool.close()


def test_one_request_at_a_time() -> None:
    """The size of a pool does not depend on how many requests may be in flight."""
    given = settings(max_concurrent_requests=1)
    pool = delivery_of(given, FakeClient(lambda _: ACCEPTED), CLOCK)
    for number in range(16):
        assert not pool.full
        pool.submit(batch(str(number), number=number))
    assert [take(pool).batch.number for _ in range(16)] == list(range(16))
    pool.close()


@pytest.mark.parametrize(
    ("rows", "concurrent", "batches"), [(100, 1, 16), (100, 64, 64), (7, 1, 228), (1, 64, 1_600)]
)
def test_how_many_batches_there_may_be(rows: int, concurrent: int, batches: int) -> None:
    """Small batches are more, so that a row of bad events does not fill all of them."""
    given = settings(batch_size_rows=rows, max_concurrent_requests=concurrent)
    assert most_batches(given) == batches


def test_what_is_known_at_the_end() -> None:
    """A closed pool gives back the batches whose answers are not there; those are left out."""
    pool, release = pool_that_waits()
    pool.close()
    release.set()
    result = take(pool)
    assert (result.requests, result.delivered) == (1, [])
    assert isinstance(result.failure, DeliveryError)


def test_a_wake_up_hides_no_result() -> None:
    """A signal that comes while a run fails does not leave behind what is known of its batches."""
    pool, release = pool_that_waits()
    pool.wake()
    pool.close()
    release.set()
    result = pool.take(0.0)
    assert result is not None
    assert result.requests == 1
