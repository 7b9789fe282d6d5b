"""A simulation of clients that send batches to an API, each at the speed that its `Pace` allows.

Time is simulated: a run of minutes takes milliseconds. The client is as simple as a client can be:
it sends the oldest batch first, puts a batch that was not taken back into its place by age, and
lets one that met a fault wait a little while others go first.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from target_liveintent.delivery.api import Verdict
from target_liveintent.delivery.pace import Pace

SPREAD = 0.2
"""The spread of the seconds to an answer: the standard deviation of their logarithm."""


class Reply(NamedTuple):
    """An answer of a simulated API, and the seconds from the request to it."""

    seconds: float
    signal: Verdict
    retry_after: float = 0.0


Api = Callable[[float], Reply]
"""Takes the time at which a request starts, in seconds, and returns the answer."""


class OpenRoad:
    """An API without a limit."""

    def __init__(self, seed: random.Random, seconds: float = 0.1) -> None:
        self._seed = seed
        self._seconds = seconds

    def __call__(self, now: float) -> Reply:  # noqa: ARG002 (as an `Api`)
        """Take the request."""
        return Reply(self._seconds * self._seed.lognormvariate(0, SPREAD), Verdict.ACCEPTED)


class Bucket:
    """An API with a token bucket, as nginx's `limit_req` with `nodelay` has one.

    Args:
        seed: For the seconds to an answer, 50 ms and their spread.
        rates: The requests a second from a time on, in the order of time.
        burst: How many requests the bucket holds.
        retry_after: Sent with each refusal.
    """

    def __init__(
        self,
        seed: random.Random,
        rates: Iterable[tuple[float, float]],
        burst: int = 1,
        retry_after: float = 0.0,
    ) -> None:
        self._take = OpenRoad(seed, 0.05)
        self._rates = list(rates)
        self._burst = burst
        self._level = float(burst)
        self._filled_at = 0.0
        self._retry_after = retry_after

    def __call__(self, now: float) -> Reply:
        """Take the request if there is a token for it."""
        rate = next(rate for since, rate in reversed(self._rates) if since <= now)
        self._level = min(self._burst, self._level + (now - self._filled_at) * rate)
        self._filled_at = now
        reply = self._take(now)
        if self._level < 1:
            return Reply(reply.seconds, Verdict.LIMITED, self._retry_after)
        self._level -= 1
        return reply


class FixedWindows:
    """An API that accepts a fixed number of requests in each window of time.

    Args:
        seed: For the seconds to an answer, and for `phase`, the age of the first window.
        most: How many requests it takes in a window.
        seconds: The length of a window.
        tells: Whether a refusal comes with a `Retry-After`.
    """

    def __init__(
        self, seed: random.Random, most: int, seconds: float, *, tells: bool = False
    ) -> None:
        self._take = OpenRoad(seed, 0.05)
        self._most = most
        self._seconds = seconds
        self.phase = seed.uniform(0, seconds)
        self._tells = tells
        self._taken: dict[int, int] = {}

    def __call__(self, now: float) -> Reply:
        """Take the request if it is among the first of its window."""
        number, age = divmod(now + self.phase, self._seconds)
        taken = self._taken[int(number)] = self._taken.get(int(number), 0) + 1
        reply = self._take(now)
        if taken <= self._most:
            return reply
        # Retry-After has whole seconds; a server rounds them up.
        wait = float(int(self._seconds - age) + 1) if self._tells else 0.0
        return Reply(reply.seconds, Verdict.LIMITED, wait)


class Beside:
    """An API whose limit another client uses as well, at regular times.

    Args:
        seed: For the times of the other client, which are up to 25 ms early or late.
        api: The API.
        rate: The requests a second of the other client.
    """

    def __init__(self, seed: random.Random, api: Api, rate: float) -> None:
        self._seed = seed
        self._api = api
        self._rate = rate
        self._requests = 0
        self._next = 0.0

    def __call__(self, now: float) -> Reply:
        """Let the other client make the requests that are due, and take the request."""
        while self._next <= now:
            self._api(self._next)
            self._requests += 1
            late = self._seed.uniform(-0.025, 0.025)
            self._next = max(self._next, self._requests / self._rate + late)
        return self._api(now)


class BusyMachine:
    """An API without a limit; from a time on, the client's own machine delays most answers.

    Args:
        seed: For the seconds to an answer.
        since: That time, in seconds.
    """

    def __init__(self, seed: random.Random, since: float) -> None:
        self._take = OpenRoad(seed)
        self._seed = seed
        self._since = since

    def __call__(self, now: float) -> Reply:
        """Take the request."""
        reply = self._take(now)
        late = self._seed.uniform(0.1, 0.3) if now >= self._since else 0.0
        return reply._replace(seconds=reply.seconds + late)


class Queue:
    """An API that works on a few requests at a time, while the others wait there."""

    def __init__(self, workers: int = 4, seconds: float = 0.05) -> None:
        self._free_at = [0.0] * workers
        self._seconds = seconds

    def __call__(self, now: float) -> Reply:
        """Take the request: it is done when those before it are."""
        done = max(now, heapq.heappop(self._free_at)) + self._seconds
        heapq.heappush(self._free_at, done)
        return Reply(done - now, Verdict.ACCEPTED)


Kind = tuple[Verdict, float]
"""What a fault means, and its `Retry-After`."""


class RandomFaults:
    """An API in which a share of the requests fails, with each kind of fault as often.

    Unless others are given, they are 500, 503, 429 with `Retry-After: 0`, and a reset. Requests
    that fail are counted by the API behind it all the same.
    """

    KINDS: tuple[Kind, ...] = (
        (Verdict.FAULT, 0.0),
        (Verdict.LIMITED, 0.0),
        (Verdict.LIMITED, 0.0),
        (Verdict.FAULT, 0.0),
    )

    def __init__(
        self, seed: random.Random, share: float, api: Api, kinds: Sequence[Kind] = KINDS
    ) -> None:
        self._seed = seed
        self._share = share
        self._api = api
        self._kinds = kinds

    def __call__(self, now: float) -> Reply:
        """Fail, or let the API answer."""
        reply = self._api(now)
        if self._seed.random() >= self._share:
            return reply
        return Reply(0.05 * self._seed.lognormvariate(0, SPREAD), *self._seed.choice(self._kinds))


class Outage:
    """An API that gives the same answer to everything for a time."""

    def __init__(self, api: Api, since: float, until: float, reply: Reply) -> None:
        self._api = api
        self._since = since
        self._until = until
        self._reply = reply

    def __call__(self, now: float) -> Reply:
        """Give the same answer, also to requests in flight, or let the API answer."""
        reply = self._api(now)
        if self._until <= now or now + reply.seconds < self._since:
            return reply
        return self._reply._replace(seconds=max(now, self._since) - now + self._reply.seconds)


class Exchange(NamedTuple):
    """A request and its answer."""

    started_at: float
    answered_at: float
    signal: Verdict


@dataclasses.dataclass
class Client:
    """A client with batches to send, which are numbered by age, and their outcomes.

    Attributes:
        pace: Says when the next request may start.
        batches: How many there are.
        begins_at: The time of its start, in seconds.
        exchanges: Its requests, in the order of the answers.
    """

    pace: Pace
    batches: int
    begins_at: float = 0.0
    exchanges: list[Exchange] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the queues: what waits for the pace, and what waits after a fault."""
        self._waiting = list(range(self.batches))
        self._postponed: list[tuple[float, int]] = []
        self._faults: dict[int, int] = {}
        self.alarm: float | None = None

    def next_batch(self, now: float) -> int | None:
        """Take the oldest batch that may be sent."""
        while self._postponed and self._postponed[0][0] <= now:
            heapq.heappush(self._waiting, heapq.heappop(self._postponed)[1])
        return heapq.heappop(self._waiting) if self._waiting else None

    def back(self, batch: int, now: float, signal: Verdict) -> None:
        """Put a batch back that was not taken."""
        if signal is Verdict.LIMITED:
            heapq.heappush(self._waiting, batch)
        else:
            faults = self._faults[batch] = self._faults.get(batch, 0) + 1
            heapq.heappush(self._postponed, (now + min(0.25 * 2.0**faults, 5.0), batch))

    def wakes_at(self) -> float | None:
        """Return the time at which a batch that met a fault may be sent again."""
        return self._postponed[0][0] if self._postponed else None

    def taken(self, since: float = 0.0, until: float = math.inf) -> list[Exchange]:
        """Return the requests that were taken, by the time of their answers."""
        return [
            one
            for one in self.exchanges
            if one.signal is Verdict.ACCEPTED and since <= one.answered_at < until
        ]

    @property
    def refused(self) -> float:
        """The share of requests that were refused."""
        refused = sum(one.signal is Verdict.LIMITED for one in self.exchanges)
        return refused / max(1, len(self.exchanges))

    @property
    def seconds(self) -> float:
        """The seconds until all was taken; infinite if it never was."""
        taken = self.taken()
        done = len(taken) == self.batches
        return taken[-1].answered_at - self.begins_at if done else math.inf

    def longest_silence(self, until: float) -> float:
        """Return the most seconds in which nothing was taken."""
        times = [self.begins_at, *(one.answered_at for one in self.taken()), until]
        return max(after - before for before, after in itertools.pairwise(times))


class _Request(NamedTuple):
    """A request in flight."""

    batch: int
    started_at: float
    reply: Reply


class _Agenda:
    """What happens when, in the order of time: answers, and the alarms that clients set."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Client, _Request | None]] = []
        self._number = itertools.count()

    def add(self, at: float, client: Client, request: _Request | None = None) -> None:
        """Note an answer, or an alarm if there is no request; a client has one alarm."""
        if request is None:
            client.alarm = at
        heapq.heappush(self._events, (at, next(self._number), client, request))

    def __iter__(self) -> Iterator[tuple[float, Client, _Request | None]]:
        """Return events until there are none."""
        while self._events:
            now, _, client, request = heapq.heappop(self._events)
            if request is not None or now == client.alarm:
                yield now, client, request


def simulate(api: Api, clients: Iterable[Client], until: float = 3600.0) -> None:
    """Let clients send their batches until all are taken or the time is over.

    Args:
        api: Answers.
        clients: Are changed.
        until: The end, in seconds.
    """
    agenda = _Agenda()
    for client in clients:
        agenda.add(client.begins_at, client)
    for now, client, request in agenda:
        if now > until:
            return
        if request is not None:
            started_at, reply = request.started_at, request.reply
            client.pace.answered(started_at, now, reply.signal, reply.retry_after)
            client.exchanges.append(Exchange(started_at, now, reply.signal))
            if reply.signal is not Verdict.ACCEPTED:
                client.back(request.batch, now, reply.signal)
        _start(client, now, api, agenda)


def _start(client: Client, now: float, api: Api, agenda: _Agenda) -> None:
    """Start what may start, and set the alarm for the next."""
    while (batch := client.next_batch(now)) is not None:
        at = client.pace.next_start()
        if at is None or at > now:
            client.back(batch, now, Verdict.LIMITED)
            break
        client.pace.started(now)
        reply = api(now)
        agenda.add(now + reply.seconds, client, _Request(batch, now, reply))
    else:
        at = client.wakes_at()
    if at is not None:
        agenda.add(at, client)
