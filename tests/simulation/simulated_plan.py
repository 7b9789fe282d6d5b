"""The plan of a history: all random decisions that are made before the history is played.

A plan depends only on its seed. It says what the tap sends, how the API behaves, and when processes
are stopped or killed. Most histories have only a few kinds of faults, so that some histories have
only one kind.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any, NamedTuple

import msgspec

from target_liveintent.settings import Settings

FAULTS = (
    "answers",  # 500, 502, 503, 504, 408, 429, resets, lost and slow answers, at random
    "limit",  # a token bucket
    "outages",  # times in which nothing is taken
    "bad events",
    "poison",  # events on which the API always fails, with a 500, 503 or 429
    "large events",  # 413
    "unclear",  # a 200 that says that a part was processed, but not which
    "old events",  # they get too old while they wait
    "wrong settings",
    "denied",  # 401, or an answer that the API is not known to give
    "full disk",  # of the store, or a store that is gone
    "stop",  # SIGTERM
    "kill",  # SIGKILL
)

BETRAYALS = (
    "server crashes",  # the database server crashes, or one takes over that lacks transactions
    "broken commits",  # the connection breaks at a COMMIT, which was done or not
    "slow store",  # a transaction takes long to get there, and its answer to come back
    "suspension",  # a process is suspended, or its machine sleeps, while another run goes on
    "wall clock",  # it jumps ahead or back while another run goes on
    "lost answers",  # for some time, a proxy frames the answers so badly that no client reads them
)
"""Faults of the database, the clocks and the network in half of the histories, besides `FAULTS`.
(Badly framed answers are only lost here. Another test checks that no later request gets one.)"""

SLOWEST = 2
"""The lowest limit of requests per minute in a plan."""


class Limit(NamedTuple):
    """A token bucket in front of the API."""

    rate: float  # Requests per second.
    burst: int  # The maximum number of requests at once.
    status: int  # The status of answers to all further requests: 429 or 503.
    retry_after: float  # The `Retry-After` of these answers, in seconds.


class Outage(NamedTuple):
    """A period in which the API accepts nothing, in seconds of the simulated clock."""

    start: float
    end: float
    kind: str  # A key of `simulated_api.FAILURES`.
    retry_after: float  # The `Retry-After` of each answer, in seconds.


class Happening(NamedTuple):
    """An incident of a process while it runs."""

    step: int  # The step of the process at which the incident happens.
    kind: str  # "the process is suspended", "the machine sleeps" or "the wall clock jumps".
    seconds: float  # The duration, or the distance of the jump.


class Ending(NamedTuple):
    """How a run is ended from outside; None means that the signal never comes."""

    stop_at: int | None = None  # The step at which SIGTERM comes.
    kill_at: int | None = None  # The step at which SIGKILL comes.
    happenings: tuple[Happening, ...] = ()  # The other incidents of the run.


class Betrayals(NamedTuple):
    """The faults of the database, the clocks and the network."""

    crash_share: float = 0.0  # The share of transactions before which the server crashes.
    fails_over: bool = False  # Whether a server takes over that lacks even durable transactions.
    broken_share: float = 0.0  # The share at whose COMMIT the connection breaks.
    seconds_there: float = 0.0  # Seconds until a transaction is at the server,
    seconds_back: float = 0.0  # and those of its answer, besides `Plan.store_seconds`.
    happenings: tuple[Happening, ...] = ()  # What happens to the first run.
    beside: Ending | None = None  # How another run ends that reads the same at the same time,
    beside_after: float = 0.0  # and after how many seconds it starts.
    lost_answers: Outage | None = None  # When all answers are lost.


@dataclasses.dataclass
class Plan:
    """All random decisions of a history that are made before it is played."""

    seed: int
    faults: frozenset[str]  # Those of `FAULTS` that it has.
    settings: Settings  # Of its runs.
    records: int  # How many records the tap sends.
    gap: float  # Seconds between two messages, at most.
    latency: float  # Seconds that an answer takes, on average.
    send_again: bool  # Whether the runs send what earlier ones delivered once more.
    streams: int
    unmapped: range  # The records that a wrong map rejects: none, or all up to one of them.
    bad_share: float
    bad_stretch: range
    poison_share: float
    poison_status: int  # What the API answers to such an event.
    fault_share: float  # The share of requests that get a fault by chance,
    unclear_share: float  # or an unclear 200.
    names_bad: bool  # Whether a 200 names the bad events, in place of a 400 for the whole batch.
    largest: float  # Bytes of the largest request that the API takes.
    limit: Limit | None
    outages: list[Outage]
    wrong_from: float | None  # When the settings become wrong, in simulated seconds.
    denied_from: float | None  # When the API denies access, in simulated seconds,
    denied_status: int  # and what it answers then.
    full_after: int | None  # Dead letters after which the disk is full; None for never.
    store_goes: bool  # Whether nothing at all can be written then, as if the store were gone.
    store_seconds: float  # Seconds that a transaction of the store takes.
    endings: list[Ending]  # How each run ends from outside. Nothing ends the one after them.
    descriptors: int  # The most connections that the system allows; the last run has no limit.
    betrayals: Betrayals


def plan_of(seed: int) -> Plan:
    """Return the plan of the history with this seed."""
    rng = random.Random(f"plan {seed}")  # noqa: S311 (a seed, not secrecy)
    some = rng.choice((0, 1, 1, 2, 2, 3, 5, len(FAULTS)))
    faults = frozenset(rng.sample(FAULTS, some))
    records = int(math.exp(rng.uniform(0, math.log(100))))
    batch_size = rng.choice((1, 2, 5, 10, 100))
    if "wrong settings" in faults or rng.random() < 0.03:  # To judge them needs 92 requests.
        records = rng.choice((records, 130, 400))
        batch_size = rng.choice((2, 5, 10, 100))
    ceiling = rng.choice((1, 2, 8, 64))
    gap = rng.choice((0.0, 0.001, 0.1, 3.0, 60.0))
    if gap > 10.0:  # A tap that rarely has a record.
        records = min(records, 15)
    settings = _settings(rng, batch_size, ceiling)
    answers = random.Random(f"partial answer {seed}")  # noqa: S311 (a seed, not secrecy)
    partial_answer = answers.choice((None, "failed", "processed", "unknown"))
    settings = msgspec.structs.replace(settings, partial_answer=partial_answer)
    store = random.Random(f"store {seed}")  # noqa: S311 (a seed, not secrecy)
    if settings.max_requests_per_minute == SLOWEST:
        records = min(records, 130)
    return Plan(
        seed=seed,
        faults=faults,
        settings=settings,
        records=records,
        gap=gap,
        latency=rng.choice((0.01, 0.1, 1.0)),
        send_again=rng.random() < 0.1,
        streams=rng.choice((1, 1, 2)),
        unmapped=_unmapped(seed, records),
        bad_share=rng.choice((0.02, 0.1, 0.4)) if "bad events" in faults else 0.0,
        bad_stretch=_stretch(rng, records) if "bad events" in faults else range(0),
        poison_share=rng.choice((0.005, 0.03)) if "poison" in faults else 0.0,
        poison_status=random.Random(f"poison {seed}").choice((500, 500, 503, 429)),  # noqa: S311
        fault_share=rng.choice((0.05, 0.2, 0.4)) if "answers" in faults else 0.0,
        unclear_share=0.03 if "unclear" in faults else 0.0,
        names_bad=rng.random() < 0.3,
        largest=rng.choice((360, 800, 4_000)) if "large events" in faults else math.inf,
        limit=_limit(rng) if "limit" in faults else None,
        outages=_outages(rng, records * gap / 2) if "outages" in faults else [],
        wrong_from=_some_time(rng, records * gap / 2) if "wrong settings" in faults else None,
        denied_from=_some_time(rng, records * gap / 2) if "denied" in faults else None,
        denied_status=rng.choice((401, 403, 302)),
        full_after=rng.randrange(4) if "full disk" in faults else None,
        store_goes=store.random() < 0.3,
        store_seconds=store.choice((0.0, 0.0, 0.0, 0.01, 0.2)),
        endings=_endings(rng, faults, records, batch_size),
        descriptors=256 if rng.random() < 0.9 else rng.choice((0, 1, 1, 3)),
        betrayals=_betrayals(seed, records, batch_size),
    )


def _settings(rng: random.Random, batch_size: int, ceiling: int) -> Settings:
    return Settings(
        customer_id="a-1b2c",
        auth_token="a-token-of-the-simulator",
        pixel_id=1,
        batch_size_rows=batch_size,
        max_concurrent_requests=ceiling,
        max_requests_per_minute=rng.choice((None, None, None, 60, SLOWEST)),
        flush_interval_seconds=rng.choice((1, 10, 60)),
        request_timeout_seconds=rng.choice((2, 30)),
        max_retry_seconds=rng.choice((0, 20, 20, 60, 300)),
        max_dead_letter_percent=rng.choice((50, 100)),
        on_rejection="fail" if rng.random() < 0.03 else "dead_letter",
        limit=rng.choice((1, 7, 20)) if rng.random() < 0.03 else None,
    )


def _unmapped(seed: int, records: int) -> range:
    rng = random.Random(f"map {seed}")  # noqa: S311 (a seed, not secrecy)
    if rng.random() < 0.9:
        return range(0)
    return range(rng.choice((1, 10, records, rng.randint(1, records))))


def _stretch(rng: random.Random, records: int) -> range:
    start = rng.choice((0, rng.randrange(records), max(0, records - 60)))
    return range(start, start + rng.choice((0, 0, 10, 60)))


def _limit(rng: random.Random) -> Limit:
    rate = rng.choice((0.5, 1.0, 5.0, 40.0))
    status = rng.choice((429, 503))
    return Limit(
        rate, rng.choice((1, 1, 10)), status, rng.choice((0.0, 0.0, 0.0, 1.0, 30.0, 900.0))
    )


def _outages(rng: random.Random, seconds: float) -> list[Outage]:
    outages = []
    end = 0.0
    for _ in range(rng.choice((1, 1, 3))):
        start = end + rng.uniform(0, rng.choice((0.5, seconds + 1)))
        end = start + rng.choice((2.0, 15.0, 50.0, 290.0, 2_000.0))
        kind = rng.choice(("500", "503", "429", "reset", "silence"))
        outages.append(Outage(start, end, kind, rng.choice((0.0, 0.0, 5.0, 30.0, 900.0))))
    return outages


def _some_time(rng: random.Random, seconds: float) -> float:
    return rng.choice((0.0, rng.uniform(0, seconds + 1)))


def _betrayals(seed: int, records: int, batch_size: int) -> Betrayals:
    rng = random.Random(f"betrayals {seed}")  # noqa: S311 (a seed, not secrecy)
    drawn = rng.sample(BETRAYALS, rng.choice((0, 0, 0, 1, 1, 2, 3)))
    steps = most_steps(records, batch_size)
    beside = Ending(kill_at=some_step(rng, steps) if rng.random() < 0.3 else None)
    jumps = [
        Happening(some_step(rng, steps), "the wall clock jumps", seconds)
        for seconds in rng.sample((3_600.0, -3_600.0, 35.0, -35.0), 2)
    ]
    kinds = ("the process is suspended", "the process is suspended", "the machine sleeps")
    lengths = (2.0, 25.0, 40.0, 40.0, 900.0)
    suspensions = [
        Happening(some_step(rng, steps), rng.choice(kinds), rng.choice(lengths))
        for _ in range(rng.choice((1, 3, 6)))
    ]
    start = rng.uniform(0, 20)
    given: dict[str, dict[str, Any]] = {
        "server crashes": {
            "crash_share": rng.choice((0.02, 0.1, 0.3)),
            "fails_over": rng.random() < 0.5,
        },
        "broken commits": {"broken_share": rng.choice((0.02, 0.1, 0.3))},
        "slow store": {
            "seconds_there": rng.choice((0.0, 0.3, 3.0, 8.0)),
            "seconds_back": rng.choice((0.0, 0.3, 3.0, 8.0)),
        },
        "suspension": {"happenings": suspensions, "beside": beside},
        "wall clock": {"happenings": jumps, "beside": beside},
        "lost answers": {
            "lost_answers": Outage(start, start + rng.choice((5.0, 60.0, 900.0)), "lost", 0.0)
        },
    }
    betrayals = Betrayals(beside_after=rng.choice((0.0, 0.5, 5.0)))
    is_beside = rng.random() < 0.2
    for name in drawn:
        happenings = (*betrayals.happenings, *given[name].pop("happenings", ()))
        betrayals = betrayals._replace(**given[name], happenings=happenings)
    return betrayals._replace(beside=beside) if drawn and is_beside else betrayals


def most_steps(records: int, batch_size: int) -> int:
    """Return the approximate number of steps of a run."""
    return 4 * records + 12 * (records // batch_size) + 10


def some_step(rng: random.Random, steps: int) -> int:
    """Return a random step, which is an early step in half of all cases."""
    is_early = rng.random() < 0.5
    return int(math.exp(rng.uniform(0, math.log(steps))) if is_early else rng.uniform(1, steps))


def _endings(
    rng: random.Random, faults: frozenset[str], records: int, batch_size: int
) -> list[Ending]:
    steps = most_steps(records, batch_size)
    endings = []
    for _ in range(rng.choice((1, 2, 3))):
        stop_at = some_step(rng, steps) if "stop" in faults and rng.random() < 0.7 else None
        kill_at = some_step(rng, steps) if "kill" in faults and rng.random() < 0.8 else None
        if stop_at is not None or kill_at is not None:
            endings.append(Ending(stop_at, kill_at))
    return endings
