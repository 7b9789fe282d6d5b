"""The threads: they make the requests that the machine asks for, and give back the results."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fakes import ACCEPTED, REFUSED, FakeClient, FakeClock, RealClock, batch, machine_of, settings

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.pool import (
    DeliveryPool,
    delivery_of,
    most_batches,
    most_connections,
)
from target_liveintent.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from target_liveintent.clock import Clock
    from target_liveintent.delivery.batch import BatchResult

    PoolOf = Callable[..., DeliveryPool]


CLOCK = RealClock()
WAIT = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=9.0)
PATIENCE = 5.0
"""Seconds after which a test fails that waits for a thread."""


@pytest.fixture
def pool_of() -> Iterator[Callable[..., DeliveryPool]]:
    """Return what makes a pool, which is closed after the test.

    Its argument is a client, or what answers the requests.
    """
    pools: list[DeliveryPool] = []

    def make(
        answer: FakeClient | Callable[[list[str]], Answer] = lambda _: ACCEPTED,
        clock: Clock = CLOCK,
        size: int = 16,
    ) -> DeliveryPool:
        client = FakeClient(answer) if callable(answer) else answer
        machine = machine_of(size=size, max_concurrent_requests=8)
        pools.append(DeliveryPool(machine, client, clock, 8))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def submit(pool: DeliveryPool, count: int) -> None:
    """Submit batches of one event."""
    for number in range(count):
        pool.submit(batch(str(number), number=number))


def take(pool: DeliveryPool) -> BatchResult:
    """Take back a batch that must come."""
    result = pool.take(PATIENCE)
    assert result is not None, "the delivery hangs"
    return result


def numbers(pool: DeliveryPool, count: int) -> list[int]:
    """Take back batches, and return their numbers in order."""
    return sorted(take(pool).batch.number for _ in range(count))


def test_requests_side_by_side(pool_of: PoolOf) -> None:
    """As many requests as the machine asks for are made at once, by threads that are used again."""
    together = threading.Barrier(2)
    threads = set()

    def answer(_: list[str]) -> Answer:
        together.wait(PATIENCE)
        threads.add(threading.current_thread())
        return ACCEPTED

    pool = pool_of(answer)
    for _ in range(20):
        submit(pool, 2)
        assert numbers(pool, 2) == [0, 1]
    assert {thread.name for thread in threads} == {"delivery"}
    assert len(threads) == 2
    assert pool.in_flight == 0
    assert [pool.take(seconds) for seconds in (0.0, 0.01)] == [None, None]


@pytest.mark.parametrize("allowed", [0, 1, 2, 3])
def test_too_few_threads(pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """With one for requests beside the one that keeps the time, all is delivered, one by one.

    With fewer, the run fails, and its last line names the cause: `take` must not wait for ever.
    """
    start, started = threading.Thread.start, []

    def start_few(thread: threading.Thread) -> None:
        if len(started) >= allowed:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    pool = pool_of()
    submit(pool, 8)
    results = [take(pool) for _ in range(8)]
    failures = {str(result.failure) for result in results if result.failure}
    assert [words.partition(" on this system, ")[0] for words in failures] == (
        ["the run cannot start a thread"] if allowed < 2 else []
    )
    assert (pool.in_flight, len(started)) == (0, allowed)


@pytest.mark.parametrize("waits", [False, True])
def test_threads_end(pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    """A process that makes one run after the other, as Spark's does, gathers no threads.

    The thread that keeps the time ends as well, however late the next request is due.
    """
    before = set(threading.enumerate())
    has_begun = threading.Event()

    def watched(_: Clock, wait: Callable[[float], object], seconds: float) -> None:
        has_begun.set()  # Whoever waits gives its lock back only after that.
        wait(seconds)

    monkeypatch.setattr(RealClock, "wait", watched)
    pool = pool_of(lambda _: WAIT if waits else ACCEPTED)
    submit(pool, 3)
    if waits:
        assert has_begun.wait(PATIENCE)
    else:
        numbers(pool, 3)
    pool.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before


def test_a_request_is_made_when_it_is_due(pool_of: PoolOf) -> None:
    """Somebody keeps the time: neither a batch that is submitted nor an answer starts it."""
    clock = FakeClock()
    sent_at: list[float] = []

    def answer(_: list[str]) -> Answer:
        sent_at.append(clock.now)
        return ACCEPTED if len(sent_at) == 3 else WAIT

    pool = pool_of(answer, clock)
    submit(pool, 1)
    assert take(pool).failure is None
    first, second, third = sent_at
    assert second - first >= 9.0
    assert third - second >= 9.0
    assert sum(clock.waits) == pytest.approx(third - first)  # And not a moment later.


def test_nothing_is_sent_while_the_main_thread_is_away(pool_of: PoolOf) -> None:
    """It cannot write down what is confirmed then; when it takes results again, all goes on."""
    clock, client = FakeClock(), FakeClient(lambda _: ACCEPTED)
    pool = pool_of(client, clock)
    submit(pool, 1)
    assert take(pool).failure is None
    clock.now += 3
    pool.drain()
    pool._machine.add(batch("late"))  # noqa: SLF001 (as one that was there before)
    pool.in_flight += 1
    pool.drain()
    assert (pool._busy, client.posted) == (0, [["0"]])  # noqa: SLF001 (a thread may take long)
    assert take(pool).batch.conversions[0].event_id == "late"


def test_nothing_is_sent_on_expired_reservations(pool_of: PoolOf) -> None:
    """When the run has renewed them, all goes on, also what was about to be sent.

    An outage does not begin with that, however long the process was suspended.
    """
    clock, was_suspended = FakeClock(), threading.Event()
    until = clock.now

    def post(_body: bytes, _event_ids: object, _within: float, may_send: Any) -> Answer:
        if was_suspended.is_set():
            return ACCEPTED
        clock.now += 4_000
        assert not may_send()
        was_suspended.set()
        return Answer(Verdict.STARVED, "suspended")

    pool = pool_of(SimpleNamespace(post=post), clock)
    pool.reserved_until = lambda: until
    submit(pool, 1)
    assert pool._busy == 0  # noqa: SLF001 (a thread may take long)
    until += 20
    assert pool.take(0.0) is None
    assert was_suspended.wait(PATIENCE)
    until = clock.now + 20
    result = take(pool)
    assert (len(result.delivered), result.requests, result.failure) == (1, 2, None)


@pytest.mark.parametrize(
    ("owner", "method"),
    [(FakeClient, "post"), (DeliveryMachine, "answered")],
    ids=["in the client", "in the machine"],
)
def test_a_bug_in_a_thread(
    pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    """An exception that nobody foresaw comes back as the failure of every batch."""

    def fail(*_: object) -> None:
        msg = "a bug"
        raise ValueError(msg)

    monkeypatch.setattr(owner, method, fail)
    pool = pool_of()
    submit(pool, 3)
    assert {str(take(pool).failure) for _ in range(3)} == {"a bug"}


def test_a_pool_is_full(pool_of: PoolOf) -> None:
    """A batch that waits for the proof that its event is bad is in flight, but takes no room."""
    release = threading.Event()

    def answer(_: list[str]) -> Answer:
        release.wait(PATIENCE)
        return REFUSED

    pool = pool_of(answer, size=3)
    submit(pool, 3)
    assert pool.full
    release.set()
    while pool.full:  # The answers are there in a moment.
        pass
    assert pool.in_flight == 3
    pool.drain()
    assert take(pool).unproven == 1


@pytest.mark.parametrize(
    ("rows", "concurrent", "batches"),
    [(100, 1, 16), (100, 64, 64), (7, 1, 228), (1, 64, 1_600)],
    ids=["one request at once", "many requests at once", "small batches", "batches of one event"],
)
def test_how_many_batches_there_may_be(rows: int, concurrent: int, batches: int) -> None:
    """Small batches are more, so that a row of bad events does not fill all of them."""
    assert most_batches(concurrent, rows) == batches


@pytest.mark.parametrize(
    ("free", "most"),
    [(1000, 64), (80, 64), (79, 63), (36, 20), (17, 1), (0, 1), (None, 64)],
    ids=[
        "many free",
        "just enough free",
        "one too few",
        "far too few",
        "enough for one",
        "none free",
        "unknown",
    ],
)
def test_connections_leave_descriptors_for_files(
    free: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen stay free beside those that are open now; one connection may be open in any case."""
    monkeypatch.setattr("target_liveintent.delivery.pool.free_descriptors", lambda: free)
    assert most_connections(64) == most


@pytest.mark.parametrize(
    ("given", "rate"),
    [({}, 2), ({"dry_run": True}, None), ({"max_requests_per_minute": None}, None)],
    ids=["limited", "dry run", "no limit"],
)
def test_a_limit_of_a_run(given: dict[str, Any], rate: float | None) -> None:
    """`max_requests_per_minute` counts, except in a dry run, which makes no requests."""
    chosen = settings(**{"max_requests_per_minute": 120, **given})
    delivery = delivery_of(chosen.delivery, FakeClient(lambda _: ACCEPTED), CLOCK)
    assert delivery.status.rate == rate


def test_what_is_known_at_the_end(pool_of: PoolOf) -> None:
    """A closed pool gives back the batches whose answers are not there; those are left out.

    A signal ends a wait for a result; one that comes while a run fails hides no result.
    """
    called, release = threading.Event(), threading.Event()

    def answer(_: list[str]) -> Answer:
        called.set()
        release.wait(PATIENCE)
        return ACCEPTED

    pool = pool_of(answer)
    submit(pool, 1)
    assert called.wait(PATIENCE)
    pool.wake()
    assert pool.take(60.0) is None
    assert pool.in_flight == 1
    # A request that hangs does not keep the process from ending.
    assert all(one.daemon for one in threading.enumerate() if one.name == "delivery")
    pool.wake()
    pool.close()
    release.set()
    result = pool.take(0.0)
    assert result is not None
    assert (result.requests, result.delivered) == (1, [])
    assert isinstance(result.failure, DeliveryError)
