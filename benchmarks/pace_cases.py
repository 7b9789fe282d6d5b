"""The cases in which a pace is simulated, with the aims for each.

Each case runs with several seeds, so each figure has a median and a 90th percentile. Unless an aim
is for the median, it is met when the 90th percentile is within it. `python -m
benchmarks.pace_cases` prints all as a table.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.pace_simulation import (
    Beside,
    Bucket,
    BusyMachine,
    Client,
    FixedWindows,
    OpenRoad,
    Outage,
    Queue,
    RandomFaults,
    Reply,
    simulate,
)
from target_liveintent.delivery.api import Verdict
from target_liveintent.delivery.pace import Pace

SEEDS = range(20)
MANY_SEEDS = range(60)
"""Where chance decides much."""
CEILING = 64
"""The most requests in flight: the default of `max_concurrent_requests`."""


class Figure(NamedTuple):
    """What a case shows.

    Attributes:
        case: The name of the case.
        what: What is measured, with its unit.
        values: The figure of each seed.
        aim: What no figure should exceed.
        is_median: Whether the aim is for the median, and not for the 90th percentile.
    """

    case: str
    what: str
    values: Sequence[float]
    aim: float | None = None
    is_median: bool = False

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def high(self) -> float:
        """The 90th percentile: 18 of 20 seeds are not above it."""
        return sorted(self.values)[math.ceil(0.9 * len(self.values)) - 1]

    @property
    def met(self) -> bool:
        """Whether the aim is met."""
        found = self.median if self.is_median else self.high
        return self.aim is None or found <= self.aim


class Limit(NamedTuple):
    """A token bucket, and the aims for a run against it.

    Attributes:
        name: The name of the case.
        rates: The requests a second from a time on, in the order of time.
        batches: How many there are.
        time: The aim for the time of the run, by the least time that the rates allow.
        refused: The aim for the share of requests that are refused, in percent.
        burst: How many requests the bucket holds.
        retry_after: Sent with each refusal.
        silence: The aim for the longest time without a taken request, in seconds.
    """

    name: str
    rates: tuple[tuple[float, float], ...]
    batches: int
    time: float | None
    refused: float | None
    burst: int = 1
    retry_after: float = 0.0
    silence: float = 300.0

    @property
    def ideal(self) -> float:
        """The least seconds that the rates allow, without the first burst."""
        left = float(self.batches)
        ends = [since for since, _ in self.rates[1:]] + [math.inf]
        for (since, rate), end in zip(self.rates, ends, strict=True):
            if left <= (end - since) * rate:
                return since + left / rate
            left -= (end - since) * rate
        raise AssertionError


LIMITS = (
    Limit("1 a second", ((0, 1),), 200, 1.6, 32),
    Limit("5 a second", ((0, 5),), 200, 1.35, 25),
    Limit("40 a second", ((0, 40),), 200, 1.35, 25),
    Limit("20 a second, in bursts of 20", ((0, 20),), 200, 1.5, 22, burst=20),
    Limit("1 a second, Retry-After: 1", ((0, 1),), 30, 1.6, 40, retry_after=1),
    Limit("7 a second, Retry-After: 1", ((0, 7),), 200, 1.35, 10, retry_after=1),
    Limit("7 a second in bursts of 7, Retry-After: 1", ((0, 7),), 200, 1.35, 20, 7, 1),
    Limit("0.5 a second", ((0, 0.5),), 40, 1.6, 50, silence=20),
    Limit("0.5 a second, Retry-After: 5", ((0, 0.5),), 40, 2.0, 50, retry_after=5, silence=20),
    Limit("0.5 a second, Retry-After: 30", ((0, 0.5),), 40, 4.0, 20, retry_after=30),
    Limit("1 a second, Retry-After: 30", ((0, 1),), 200, 4.5, 10, retry_after=30),
    Limit("40, after 2 s 4, after 12 s 40 a second", ((0, 40), (2, 4), (12, 40)), 200, 1.75, None),
    Limit("40, after 5 s 4, after 25 s 40 a second", ((0, 40), (5, 4), (25, 40)), 480, 1.7, None),
    Limit("1 a minute", ((0, 1 / 60),), 20, None, None),
)
BY_CHANCE = ((0.1, 21), (0.2, 22), (0.3, 23), (0.5, 36))
"""Shares of requests that are refused at random, without `Retry-After`, and the aims for 200
batches, in seconds. These aims, and those beside another client, are for medians."""
BESIDE = ((2, 6.0, 55), (5, 4.0, 55), (10, 0.8, 75))
"""The requests a second of another client at a limit of 10 without bursts, the aim for the requests
a second that are taken of the run, and that for the share of its requests that are refused."""
REFUSING = ((0.02, 180), (0.1, 1_200))
"""Shares of requests that are refused at random, and the aims for 1,000 batches, in seconds.

Of these seconds, the run waits for 40 and 220 because of `Retry-After`."""
OUTAGES = {
    "503": Reply(0.05, Verdict.LIMITED),
    "500": Reply(0.05, Verdict.FAULT),
    "no connection": Reply(0.001, Verdict.FAULT),
    "no answer in 3 s": Reply(3.0, Verdict.LIMITED),
    "no answer in 30 s": Reply(30.0, Verdict.LIMITED),
    "503, Retry-After: 10": Reply(0.05, Verdict.LIMITED, 10.0),
}


def limited(limit: Limit, seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate a run against a token bucket."""
    clients = []
    for seed in map(random.Random, seeds):
        client = _client(seed, limit.batches)
        simulate(Bucket(seed, limit.rates, limit.burst, limit.retry_after), [client])
        clients.append(client)
    times = [client.seconds / limit.ideal for client in clients]
    refused = [100 * client.refused for client in clients]
    silences = [client.longest_silence(client.seconds) for client in clients]
    yield Figure(limit.name, "time / ideal", times, limit.time)
    yield Figure(limit.name, "refused, %", refused, limit.refused)
    yield Figure(limit.name, "longest silence, s", silences, limit.silence)


def queueing() -> Iterator[Figure]:
    """Simulate a run against an API that serves four requests at a time, in 50 ms each."""
    times, late = [], []
    for seed in map(random.Random, range(5)):
        client = _client(seed, 1000)
        simulate(Queue(4, 0.05), [client])
        times.append(client.seconds / (1000 * 0.05 / 4))
        latencies = sorted(one.answered_at - one.started_at for one in client.exchanges)
        late.append(1000 * latencies[int(0.95 * len(latencies))])
    yield Figure("4 at a time, 50 ms each", "time / ideal", times, 1 / 0.9)
    yield Figure("4 at a time, 50 ms each", "95 % of answers within, ms", late, 4 * 50)


def unlimited(seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate a run of 150,000 events without any limit, with an answer after 100 ms."""
    times = []
    for seed in map(random.Random, seeds):
        client = _client(seed, 1500)
        simulate(OpenRoad(seed, 0.1), [client])
        times.append(client.seconds)
    yield Figure("no limit, 100 ms", "150,000 events, s", times, 150_000 / 15_000)


def shared(burst: int, seeds: range = MANY_SEEDS) -> Iterator[Figure]:
    """Simulate three runs that share a token bucket of 30 a second for two minutes."""
    least, most, refused, silences = [], [], [], []
    for seed in map(random.Random, seeds):
        clients = [_client(seed, 10_000, seed.uniform(0, 5)) for _ in range(3)]
        simulate(Bucket(seed, [(0, 30)], burst), clients, until=150)
        shares = [len(client.taken(30, 150)) / (120 * 30 / 3) for client in clients]
        least.append(1 / max(0.001, min(shares)))
        most.append(max(shares))
        refused.append(100 * statistics.mean(client.refused for client in clients))
        silences.append(max(client.longest_silence(150) for client in clients))
    case = f"three runs, 30 a second in bursts of {burst}"
    few, many = (1 / 0.7, 1.25) if burst > 1 else (None, None)
    yield Figure(case, "fair share / least share", least, few, is_median=True)
    yield Figure(case, "most share / fair share", most, many, is_median=True)
    yield Figure(case, "refused, %", refused)
    yield Figure(case, "longest silence of any, s", silences, None if burst > 1 else 120)


def _divided_clients(seed: random.Random, batches: list[int]) -> list[Client]:
    """Return a client for each task, which has so many batches."""
    tasks = len(batches)
    paces = [Pace(CEILING // tasks, tasks=tasks, jitter=seed.random) for _ in batches]
    return [
        Client(pace, count, seed.uniform(0, 0.2))
        for pace, count in zip(paces, batches, strict=True)
    ]


def divided(burst: int, seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate eight tasks of Spark that send 30,000 rows through a token bucket of 10 a second.

    Each has a pace of its own, which knows how many there are. A task whose requests are all
    refused for `max_retry_seconds` fails, and Spark sends its rows again; the aim for that is 60
    seconds.
    """
    rows, tasks, rate = 30_000, 8, 10
    batches = [-(-rows // tasks // 100)] * tasks
    times, refused, silences = [], [], []
    for seed in map(random.Random, seeds):
        clients = _divided_clients(seed, batches)
        simulate(Bucket(seed, [(0, rate)], burst), clients)
        ends = [client.begins_at + client.seconds for client in clients]
        times.append(max(ends) / (sum(batches) / rate))
        requests = [one.signal for client in clients for one in client.exchanges]
        refused.append(100 * requests.count(Verdict.LIMITED) / len(requests))
        silences.append(
            max(one.longest_silence(end) for one, end in zip(clients, ends, strict=True))
        )
    case = f"{tasks} tasks, {rate} a second in bursts of {burst}"
    longest, most_refused = (6, 45) if burst == 1 else (2.5, 40)
    yield Figure(case, "time / ideal", times, longest)
    yield Figure(case, "refused, %", refused, most_refused)
    yield Figure(case, "longest silence of any, s", silences, 60)


def halved(seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate two tasks of Spark that have half of the requests each, beside one run with all."""
    ratios = []
    for seed in map(random.Random, seeds):
        one = _client(seed, 1500)
        simulate(OpenRoad(seed, 0.1), [one])
        two = [Client(Pace(CEILING // 2, jitter=seed.random), 750) for _ in range(2)]
        simulate(OpenRoad(seed, 0.1), two)
        ratios.append(max(client.seconds for client in two) / one.seconds)
    yield Figure("two tasks with 32 in flight each", "time / that of one with 64", ratios, 1.0)


def faulty(share: float, aim: float, seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate a run of 200 batches under random faults."""
    times = []
    for seed in map(random.Random, seeds):
        client = _client(seed, 200)
        simulate(RandomFaults(seed, share, OpenRoad(seed)), [client])
        times.append(client.seconds)
    yield Figure(f"{share:.0%} random faults", "200 batches, s", times, aim)


def refusing(
    share: float, retry_after: float, aim: float, seeds: range = SEEDS
) -> Iterator[Figure]:
    """Simulate a run of 1,000 batches of which a share is refused at random, with `Retry-After`."""
    times = []
    for seed in map(random.Random, seeds):
        client = _client(seed, 1000)
        kinds = [(Verdict.LIMITED, retry_after)]
        simulate(RandomFaults(seed, share, OpenRoad(seed), kinds), [client])
        times.append(client.seconds)
    case = f"{share:.0%} random refusals, Retry-After: {retry_after:.0f}"
    yield Figure(case, "1,000 batches, s", times, aim)


def by_chance(share: float, aim: float, seeds: range = MANY_SEEDS) -> Iterator[Figure]:
    """Simulate a run of 200 batches of which a share is refused at random."""
    times = []
    for seed in map(random.Random, seeds):
        client = _client(seed, 200)
        kinds = [(Verdict.LIMITED, 0.0)]
        simulate(RandomFaults(seed, share, OpenRoad(seed), kinds), [client])
        times.append(client.seconds)
    yield Figure(f"{share:.0%} refused at random", "200 batches, s", times, aim, is_median=True)


def half_of_ten(burst: int, seeds: range = MANY_SEEDS) -> Iterator[Figure]:
    """Simulate a limit of 10 a second, with half of the requests refused at random besides."""
    times = []
    for seed in map(random.Random, seeds):
        client = _client(seed, 200)
        api = Bucket(seed, [(0, 10)], burst)
        simulate(RandomFaults(seed, 0.5, api, [(Verdict.LIMITED, 0.0)]), [client])
        times.append(client.seconds)
    case = f"10 a second in bursts of {burst}, half refused at random"
    yield Figure(case, "200 batches, s", times, 100, is_median=True)


def beside(
    rate: float, taken: float, refused: float, seeds: range = MANY_SEEDS
) -> Iterator[Figure]:
    """Simulate a limit of 10 a second without bursts, which another client uses as well."""
    gaps, shares = [], []
    for seed in map(random.Random, seeds):
        client = _client(seed, 200)
        simulate(Beside(seed, Bucket(seed, [(0, 10)]), rate), [client], until=600)
        gaps.append(client.exchanges[-1].answered_at / len(client.taken()))
        shares.append(100 * client.refused)
    case = f"10 a second, beside a client with {rate:.0f} a second"
    yield Figure(case, "seconds for each request taken", gaps, 1 / taken, is_median=True)
    yield Figure(case, "refused, %", shares, refused, is_median=True)


def busy(seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate a run of 150,000 events whose own machine becomes slow after a second."""
    times = []
    for seed in map(random.Random, seeds):
        client = _client(seed, 1500)
        simulate(BusyMachine(seed, 1.0), [client])
        times.append(client.seconds)
    yield Figure("no limit, a busy machine", "150,000 events, s", times, 150_000 / 12_000)


def outage(kind: str, length: float, seeds: range = range(3)) -> Iterator[Figure]:
    """Simulate an outage that begins with 64 requests in flight; no limit before and after it."""
    late, failed, recovery = [], [], []
    reply = OUTAGES[kind]
    for seed in map(random.Random, seeds):
        client = _client(seed, 2600)
        begin = seed.uniform(2, 3)
        end = begin + length
        simulate(Outage(OpenRoad(seed), begin, end, reply), [client], until=end + 60)
        first = min(one.started_at for one in client.exchanges if one.started_at >= end)
        late.append(first - end)
        failed.append(sum(one.signal is not Verdict.ACCEPTED for one in client.exchanges))
        recovery.append(client.taken(end)[500].answered_at - first)
    # If the outage is over before its first answer, the run cannot notice its end.
    hanging = length < reply.seconds
    case = f"outage of {length:.0f} s, {kind}"
    yield Figure(case, "requests", failed, 100)
    yield Figure(case, "first request late by, s", late, None if hanging else 15)
    yield Figure(case, "50,000 events after it, s", recovery, 10)


def windows(most: int, seconds: float, *, tells: bool, seeds: range = SEEDS) -> Iterator[Figure]:
    """Simulate a run of five windows against an API that counts requests in fixed windows."""
    times, refused = [], []
    for seed in map(random.Random, seeds):
        api = FixedWindows(seed, most, seconds, tells=tells)
        client = _client(seed, 5 * most)
        simulate(api, [client])
        times.append(client.seconds / (4 * seconds - api.phase))
        refused.append(100 * client.refused)
    case = f"{most} in each {seconds:.0f} s" + (", Retry-After" if tells else "")
    yield Figure(case, "time / ideal", times, 1.5)
    yield Figure(case, "refused, %", refused)


def figures() -> Iterator[Figure]:
    """Simulate all cases."""
    for limit in LIMITS:
        yield from limited(limit)
    yield from queueing()
    yield from unlimited()
    for burst in (10, 1):
        yield from shared(burst)
    for burst in (10, 1):
        yield from divided(burst)
    yield from halved()
    for share, aim in ((0.1, 60), (0.25, 60), (0.4, 600)):
        yield from faulty(share, aim)
    yield from _figures_by_chance()
    for share, aim in REFUSING:
        yield from refusing(share, 2, aim)
    for kind in OUTAGES:
        for length in (5, 60, 300):
            yield from outage(kind, length)
    for most, seconds in ((60, 60), (100, 10), (50, 10)):
        for tells in (False, True):
            yield from windows(most, seconds, tells=tells)


def _figures_by_chance() -> Iterator[Figure]:
    """Simulate the cases in which refusals do not depend on the rate of the run."""
    for share, aim in BY_CHANCE:
        yield from by_chance(share, aim)
    for burst in (10, 1):
        yield from half_of_ten(burst)
    for rate, taken, refused in BESIDE:
        yield from beside(rate, taken, refused)
    yield from busy()


def table() -> str:
    """Return the figures as a table in Markdown."""
    lines = [
        "| case | figure | aim | median | 90th percentile |  |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in figures():
        aim = "" if one.aim is None else f"≤ {one.aim:.3g}"
        verdict = "" if one.aim is None else "met" if one.met else "missed"
        lines.append(
            f"| {one.case} | {one.what} | {aim} | {one.median:.2f} | {one.high:.2f} | {verdict} |"
        )
    return "\n".join(lines)


def _client(seed: random.Random, batches: int, begins_at: float = 0.0) -> Client:
    return Client(Pace(CEILING, jitter=seed.random), batches, begins_at)


if __name__ == "__main__":
    print(table())
