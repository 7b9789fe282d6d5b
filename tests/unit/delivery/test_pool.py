"""The threads: they carry batches there and back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fakes import ACCEPTED, FakeClient, FakeClock, batch, deliver_all, settings

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery.deadline import RunDeadline
from target_liveintent.delivery.pool import DeliveryPool, delivery_of
from target_liveintent.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_liveintent.delivery.answers import Answer
    from target_liveintent.delivery.model import Batch, BatchResult

PATIENCE = 5.0
"""Seconds after which a test fails that waits for a thread."""


def pool_of(deliver: Callable[[Batch], BatchResult] = deliver_all, size: int = 8) -> DeliveryPool:
    return DeliveryPool(deliver, RunDeadline(SYSTEM_CLOCK), size)


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
    assert (pool.in_flight, pool.take(0.0)) == (0, None)
    pool.close()


def test_batches_side_by_side() -> None:
    """As many batches as allowed are delivered at once, each by a thread of its own."""
    together = threading.Barrier(3)
    names: set[str] = set()

    def deliver(given: Batch) -> BatchResult:
        together.wait(PATIENCE)
        names.add(threading.current_thread().name)
        assert threading.current_thread() is not threading.main_thread()
        return deliver_all(given)

    pool = pool_of(deliver, size=3)
    for number in range(3):
        assert not pool.full
        pool.submit(batch("1", number=number))
    assert pool.full
    assert sorted(take(pool).batch.number for _ in range(3)) == [0, 1, 2]
    assert not pool.full
    assert names == {"delivery"}
    pool.close()


def test_threads_are_used_again() -> None:
    """A thread that is free takes the next batch; no other one is started."""
    threads = set()

    def deliver(given: Batch) -> BatchResult:
        threads.add(threading.current_thread())
        return deliver_all(given)

    pool = pool_of(deliver)
    for number in range(5):
        pool.submit(batch("1", number=number))
        take(pool)
    assert len(threads) == 1
    pool.close()


def test_threads_end() -> None:
    """A process that makes one run after the other, as Spark's does, gathers no threads."""
    before = set(threading.enumerate())
    pool = pool_of()
    for number in range(3):
        pool.submit(batch("1", number=number))
    pool.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before
    assert pool.in_flight == 3  # What was submitted before is delivered all the same.
    assert sorted(take(pool).batch.number for _ in range(3)) == [0, 1, 2]


def test_a_wait_is_woken() -> None:
    """A wake-up ends a wait for a result, and takes no batch back."""
    release = threading.Event()

    def deliver(given: Batch) -> BatchResult:
        release.wait(PATIENCE)
        return deliver_all(given)

    pool = pool_of(deliver)
    pool.submit(batch("1"))
    pool.wake()
    assert pool.take(60.0) is None
    assert pool.in_flight == 1
    release.set()
    take(pool)
    pool.close()


def test_a_failure_ends_all_sending() -> None:
    """A thread whose client fails gives its batch back as failed, and goes on to the next."""
    problem = ValueError("no client")

    def fail(_: list[str]) -> Answer:
        raise problem

    given = settings(max_concurrent_requests=1)
    pool = delivery_of(given, FakeClient(fail), FakeClock())
    done = []
    for number in range(3):
        pool.submit(batch("1", number=number))
        done.append(take(pool))
    assert len(done) == 3
    assert done[0].failure is problem
    assert all(isinstance(x.failure, DeliveryError) for x in done[1:])  # "The run was stopped."
    pool.close()


def test_a_delivery_that_raises() -> None:
    """An exception of the delivery itself comes back as the failure of its batch."""
    problem = ValueError("a bug")

    def fail(_: Batch) -> BatchResult:
        raise problem

    pool = pool_of(fail)
    given = batch("1")
    pool.submit(given)
    result = take(pool)
    assert (result.batch, result.failure) == (given, problem)
    pool.close()


def test_a_stop() -> None:
    """After a stop, batches come back as not sent."""
    client = FakeClient(lambda _: ACCEPTED)
    pool = delivery_of(settings(), client, FakeClock())
    pool.stop(0.0)
    pool.submit(batch("1"))
    assert isinstance(take(pool).failure, DeliveryError)
    assert client.posted == []
    pool.close()


def test_waiting_is_that_of_the_deadline() -> None:
    """The batches that wait to be tried again are the threads that wait for the deadline."""
    deadline = RunDeadline(SYSTEM_CLOCK)
    pool = DeliveryPool(deliver_all, deadline, 1)
    deadline.waiting = 3
    assert pool.waiting == 3
