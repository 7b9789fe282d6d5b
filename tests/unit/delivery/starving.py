"""A process that delivers batches of one event, and to which the system gives few descriptors."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

from fakes import batch, settings
from unit_support import NOW

from target_liveintent.clock import Clock
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.pool import delivery_of

if TYPE_CHECKING:
    from target_liveintent.delivery.model import BatchResult

_LIMIT = 64


class _RealClock(Clock):
    """A clock that really waits; its Unix time fits the events of the tests."""

    def time(self) -> float:
        return NOW


def _starve(left: int) -> None:
    """Use up all file descriptors but so many."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for descriptor in held[len(held) - left :]:
            os.close(descriptor)


def _deliver(count: int, left: int, **changes: Any) -> list[BatchResult]:
    given, clock = settings(**changes), _RealClock()
    pool = delivery_of(given, Client(given, clock), clock)
    _starve(left)  # Only now, so that it comes unexpected.
    results: list[BatchResult] = []
    for number in range(count):
        while pool.full:
            results += filter(None, [pool.take(1.0)])
        pool.submit(batch(str(number), number=number))
    pool.drain()
    while pool.in_flight:
        results += filter(None, [pool.take(1.0)])
    return results


def main() -> None:
    """Print what became of the batches: the arguments are count, descriptors left, settings."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    count, left, changes = sys.argv[1:]
    results = _deliver(int(count), int(left), **json.loads(changes))
    said = {
        "confirmed": sorted(int(one.event_id) for result in results for one in result.confirmed),
        "undelivered": [one.reason for result in results for one in result.undelivered],
        "failures": sorted({str(result.failure) for result in results if result.failure}),
        "requests": sum(result.requests for result in results),
        "retries": sum(result.retries for result in results),
    }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
