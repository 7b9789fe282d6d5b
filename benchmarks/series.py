"""The series for the plots: throughput by latency and by concurrency, cost by number of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.aims import LATENCY
from benchmarks.bench import Bench, Candidate, Stream
from benchmarks.results import Machine, Point, Series

if TYPE_CHECKING:
    from collections.abc import Iterator

LATENCIES = (0, 10, 30, 100, 300)
"""Milliseconds."""
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
COUNTS = (10_000, 100_000, 1_000_000, 10_000_000)

_RUNS = 3
_LONG = 1_000_000
"""Number of events from which a single run is precise enough."""
_EVENTS = 50_000
_NAIVE_EVENTS = 5_000
_EVENTS_PER_REQUEST = 10_000
"""Events per request in flight if there are few of those; they take about ten seconds."""


def measure(bench: Bench, machine: Machine, share: float = 1.0) -> Iterator[Series]:
    """Measure all series.

    Args:
        bench: Makes the runs.
        machine: The machine and the day.
        share: The share of all counts to measure; less than 1 gives rough figures sooner.

    Yields:
        All series so far, each time that one is complete.

    Raises:
        FailedRunError: If a run fails or does not send the expected events.
    """
    runs = _RUNS if share >= 1 else 1

    def orders(count: int, *, piped: bool = False) -> Stream:
        return Stream(max(int(count * share), 1), piped=piped)

    latency = [
        Point(
            milliseconds,
            bench.compare(
                milliseconds / 1_000,
                runs,
                target=Candidate("target", orders(_EVENTS)),
                naive=Candidate("naive", orders(_NAIVE_EVENTS)),
            ),
        )
        for milliseconds in LATENCIES
    ]
    yield Series(machine, latency)
    concurrency = [
        Point(
            requests,
            bench.compare(
                LATENCY,
                runs,
                target=Candidate(
                    "target",
                    orders(min(_EVENTS, _EVENTS_PER_REQUEST * requests)),
                    {"max_concurrent_requests": requests},
                ),
            ),
        )
        for requests in CONCURRENCIES
    ]
    yield Series(machine, latency, concurrency)
    growth = [
        Point(
            stream.size,
            bench.compare(
                0,
                1 if stream.size >= _LONG else runs,
                floor=Candidate("floor", stream),
                target=Candidate("target", stream),
            ),
        )
        for stream in (orders(count, piped=True) for count in COUNTS)
    ]
    yield Series(machine, latency, concurrency, growth)
