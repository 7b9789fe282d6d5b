"""No row stops the rows behind it: bad events wherever they are, and settings that are wrong."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from fakes import ACCEPTED, REFUSED, event, machine_of
from unit_support import NOW

from target_liveintent.delivery.machine import Request
from target_liveintent.delivery.model import Batch
from target_liveintent.errors import AllRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from target_liveintent.delivery.answers import Answer
    from target_liveintent.delivery.model import BatchResult

LATENCY = 0.1
"""Seconds until the API answers."""


class Sent(NamedTuple):
    """What became of a run.

    Attributes:
        requests: How many requests were made.
        delivered: The numbers of the events that were delivered, in order.
        refused: The numbers of the events that became dead letters.
        unproven: How many of them nothing was left to compare with.
        failure: What ended the run.
    """

    requests: int
    delivered: list[int]
    refused: set[int]
    unproven: int
    failure: Exception | None


def send(
    count: int,
    answer: Callable[[int, Collection[int]], Answer],
    at_once: int,
    *,
    batch_size: int = 100,
    pause: float = 0.0,
) -> Sent:
    """Deliver events by a machine, with requests side by side on a clock that is simulated.

    Args:
        count: How many events there are.
        answer: Answers a request, by its number and the numbers of its events.
        at_once: The setting `max_concurrent_requests`.
        batch_size: Events of a batch.
        pause: Seconds between two batches of the tap.
    """
    size = max(at_once, 16)
    machine = machine_of(size=size, max_concurrent_requests=at_once)
    numbers = iter(range(0, count, batch_size))
    spread = random.Random(1)  # noqa: S311
    flight: list[tuple[float, int, Request, Answer]] = []
    results: list[BatchResult] = []
    now, next_batch, requests, drained = 0.0, 0.0, 0, False
    for _ in itertools.count():
        results += machine.finished
        machine.finished.clear()
        failed = any(result.failure for result in results)
        if now >= next_batch and machine.unsent < size and not drained and not failed:
            if (first := next(numbers, None)) is None:
                drained = True
                machine.drain()
            else:
                last = min(first + batch_size, count)
                batch = [event(str(n), NOW + 1_000_000) for n in range(first, last)]
                machine.add(Batch(first // batch_size, "orders", 0.0, batch))
                next_batch = now + pause
            continue
        step = machine.next(now, NOW + now)
        if isinstance(step, Request):
            requests += 1
            ids = {int(conversion.event_id) for conversion in step.conversions}
            at = now + LATENCY * spread.uniform(0.9, 1.1)
            heapq.heappush(flight, (at, requests, step, answer(requests, ids)))
            continue
        if machine.finished:
            continue
        due = [at for at, *_ in flight[:1]] + [step]
        if not drained and not failed and machine.unsent < size:
            due.append(next_batch)
        if (then := min(due)) == float("inf"):
            break
        now = max(now, then)
        while flight and flight[0][0] <= now:
            _, _, request, came = heapq.heappop(flight)
            machine.answered(request, came, now)
    return Sent(
        requests,
        sorted(int(one.event_id) for result in results for one in result.delivered),
        {int(one.conversion.event_id) for result in results for one in result.undelivered},
        sum(result.unproven for result in results),
        next((result.failure for result in results if result.failure), None),
    )


ROWS: dict[str, tuple[int, Collection[int]]] = {
    "50 in one batch": (10_000, range(1_010, 1_060)),
    "300 in a row": (5_000, range(1_010, 1_310)),
    "the first 150": (5_000, range(150)),
    "the last 60": (5_000, range(4_940, 5_000)),
    "the last 100": (5_000, range(4_900, 5_000)),
    "every third": (1_000, range(0, 1_000, 3)),
    "one batch, 70 of 100": (100, range(70)),
    "one batch, 1 of 100": (100, [3]),
    "one batch, all but 7": (100, range(93)),
    "nothing but 9": (9, range(9)),
}
"""How many events there are, and which of them are bad."""


@pytest.mark.parametrize("at_once", [1, 8, 64])
@pytest.mark.parametrize("rows", ROWS)
def test_bad_rows(rows: str, at_once: int) -> None:
    """Every good event is delivered once, every bad one is a dead letter, and the run ends well."""
    count, found = ROWS[rows]
    bad = set(found)
    sent = send(count, lambda _, ids: REFUSED if bad & set(ids) else ACCEPTED, at_once)
    assert sent.failure is None
    assert sent.delivered == sorted(set(range(count)) - bad)
    assert sent.refused == bad


@pytest.mark.parametrize("at_once", [1, 8, 64])
def test_bad_rows_of_a_slow_tap(at_once: int) -> None:
    """A batch is kept back to compare bad events with, so that a slow tap is no obstacle."""
    bad = set(range(510, 810))
    answer = lambda _, ids: REFUSED if bad & set(ids) else ACCEPTED  # noqa: E731
    sent = send(3_000, answer, at_once, pause=5.0)
    assert (sent.failure, sent.refused, sent.unproven) == (None, bad, 0)


@pytest.mark.parametrize("at_once", [1, 8, 64])
@pytest.mark.parametrize("batch_size", [1, 10, 100])
@pytest.mark.parametrize(("good", "most"), [(0, 100), (40, 200), (400, 200)])
def test_wrong_settings(at_once: int, batch_size: int, good: int, most: int) -> None:
    """If the API refuses everything from some request on, the run ends soon: no dead letters."""
    sent = send(
        60_000 if batch_size > 10 else 5_000,
        lambda number, _: REFUSED if number > good else ACCEPTED,
        at_once,
        batch_size=batch_size,
    )
    assert isinstance(sent.failure, AllRefusedError)
    assert sent.requests - good <= most
    assert sent.refused == set()


@pytest.mark.parametrize("events", [10, 100])
def test_wrong_settings_of_a_small_run(events: int) -> None:
    """Ten refused events or more, of a run in which nothing was accepted, end it."""
    sent = send(events, lambda *_: REFUSED, 64)
    assert isinstance(sent.failure, AllRefusedError)
    assert sent.requests <= 100
