"""Delivers events by a machine, with requests side by side, on a clock that is simulated."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fakes import event, machine_of
from unit_support import NOW

from target_liveintent.delivery.api import Answer
from target_liveintent.delivery.machine import Request
from target_liveintent.delivery.model import Batch, BatchResult

LATENCY = 0.1
"""Seconds until the API answers."""


class Asked(NamedTuple):
    """A request: its place among those of the run, its events, and when it arrives."""

    number: int
    events: set[int]
    now: float


class Sent(NamedTuple):
    """What became of a run."""

    requests: int
    delivered: list[int]  # The numbers of the events, in order.
    refused: set[int]  # Those of the events that became dead letters.
    unproven: int  # How many of them nothing was left to compare with.
    failure: Exception | None  # What ended the run.
    reasons: set[str]  # Why events became dead letters.
    seconds: float


def one_at_a_time(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return each value of each axis once, beside the first values of the other axes."""
    usual = tuple(axis[0] for axis in axes)
    others = [
        (*usual[:n], value, *usual[n + 1 :]) for n, axis in enumerate(axes) for value in axis[1:]
    ]
    return [usual, *others]


def send(
    count: int,
    answer: Callable[[Asked], Answer],
    at_once: int,
    *,
    batch_size: int = 100,
    pause: float = 0.0,
    **changes: Any,
) -> Sent:
    """Deliver events by a machine, with requests side by side on a clock that is simulated.

    Args:
        count: How many events there are.
        answer: Answers a request.
        at_once: The setting `max_concurrent_requests`.
        batch_size: Events of a batch.
        pause: Seconds between two batches of the tap.
        changes: Settings.
    """
    size = max(at_once, 16)
    machine = machine_of(size=size, max_concurrent_requests=at_once, **changes)
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
            heapq.heappush(flight, (at, requests, step, answer(Asked(requests, ids, now))))
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
        {int(one.event_id) for result in results for one in result.undelivered},
        sum(result.unproven for result in results),
        next((result.failure for result in results if result.failure), None),
        {one.reason for result in results for one in result.undelivered},
        now,
    )
