"""A Conversions API that fails as it is told, and remembers every event of every request.

It shares no code with the target. What a request was answered with is decided by a rule: a function
of the request. `Faults` is the rule of the campaigns: the same seed fails the same requests in the
same way, in whatever order they arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
MARGIN = 60
"""Seconds by which the target promises to stay inside the windows."""
MOST_EVENTS = 100
SURE_WITHIN = 0.8
"""Seconds within which an answer has certainly met the client, whose timeout is 1 s."""
ON_ITS_WAY = 1.0
"""Seconds that may pass between the target's look at the clock and a request's arrival."""

_BEAT = 0.02
_BOUND = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rb"authorization: *bearer +(\S+)", re.IGNORECASE)


class Plan(NamedTuple):
    """What becomes of one request.

    Attributes:
        status: Of the answer; None resets the connection instead.
        body: Of the answer.
        headers: Of the answer.
        skipped: The IDs of the events that are not processed; None: of all of them.
        fault: A name for the counts; empty if nothing is wrong.
        delay: Seconds before the answer.
        held: Whether the answer waits for `FaultyServer.release`.
        raw: Bytes in place of an answer in HTTP; the connection ends after them.
    """

    status: int | None = 204
    body: bytes = b""
    headers: Mapping[str, str] = {}
    skipped: Collection[str] | None = ()
    fault: str = ""
    delay: float = 0.0
    held: bool = False
    raw: bytes | None = None


class _Event(msgspec.Struct, rename="camel"):
    event_id: str
    event_time: int
    source: str


class Request(msgspec.Struct, eq=False):
    """A request as it arrived, and what became of it.

    Attributes:
        token: Whose it is: each run of a campaign has a token of its own.
        path: Of its URL.
        ids: The events' IDs.
        size: Of its body, in bytes.
        at: When it arrived, by `time.monotonic()`; at the earliest.
        arrived: The same by `time.time()`.
        plan: What was decided.
        answered_at: When its answer was handed to the network; None if it was lost.
        sure: Whether the answer came so early that the client cannot have given up on it.
    """

    token: str
    path: str
    ids: list[str]
    size: int
    at: float
    arrived: float
    plan: Plan = Plan()
    answered_at: float | None = None
    sure: bool = False

    @property
    def processed(self) -> list[str]:
        """The events that the API took."""
        skipped = self.plan.skipped
        if skipped is None:
            return []
        return [event for event in self.ids if event not in skipped] if skipped else self.ids


Rule = "Callable[[Request], Plan]"


def accept(_: Request) -> Plan:
    """Take everything."""
    return Plan()


class FaultyServer:
    """The server, in a thread of its own.

    Args:
        rule: Decides about each request, in the order in which they arrive.

    Attributes:
        requests: All requests.
        arrivals: Requests by token.
        delivered: The events that were processed, and whose answer said so.
        named: Events by the status-200 answers that were sent for them: `named`, `unclear`.
        repeats: Events that were processed again: ID, request before, request now.
        problems: Requests that must not have been sent.
        busy: Requests that wait for their answer.
    """

    def __init__(self, rule: Callable[[Request], Plan] = accept) -> None:
        self.rule = rule
        self.requests: list[Request] = []
        self.arrivals: Counter[str] = Counter()
        self.delivered: set[str] = set()
        self.named: dict[str, set[str]] = {"named": set(), "unclear": set()}
        self.repeats: list[tuple[str, Request, Request]] = []
        self.problems: list[str] = []
        self.busy = 0
        self.beat = (time.monotonic(), time.time())
        self._processed: dict[str, Request] = {}
        self._connections: set[_Connection] = set()
        self._held: list[Callable[[], None]] = []
        self._started = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def faults(self) -> Counter[str]:
        """How often each fault was dealt out."""
        return Counter(request.plan.fault for request in list(self.requests) if request.plan.fault)

    @property
    def sent(self) -> int:
        """Events that arrived, each time counted."""
        return sum(len(request.ids) for request in list(self.requests))

    @property
    def unexcused(self) -> list[str]:
        """Events that were processed again although the answer of the first time was sent."""
        return [
            event
            for event, before, _ in list(self.repeats)
            if before.answered_at is not None and before.sure
        ]

    def release(self) -> None:
        """Let the answers go that are held."""
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        held, self._held = self._held, []
        for go_on in held:
            go_on()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        self._started.set()
        # A beat: so late at the most can a request have been seen.
        while not self._stop.is_set():
            self.beat = (time.monotonic(), time.time())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _BEAT)
        server.close()
        for connection in list(self._connections):
            connection.drop()
        await asyncio.sleep(0)
        await server.wait_closed()

    # What connections tell

    def join(self, connection: _Connection) -> None:
        """Know of a connection."""
        self._connections.add(connection)

    def leave(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def hold(self, go_on: Callable[[], None]) -> None:
        """Keep an answer until `release`."""
        self._held.append(go_on)

    def take(self, head: bytes, body: bytes) -> Request:
        """Note a request, decide about it, and process what it is decided to."""
        at, arrived = self.beat
        token = _TOKEN.search(head)
        try:
            events = msgspec.json.decode(body, type=list[_Event])
        except msgspec.MsgspecError as error:
            events = []
            self.problems.append(f"not what the API takes: {error}")
        request = Request(
            token[1].decode() if token else "",
            head.split(b" ", 2)[1].decode(),
            [event.event_id for event in events],
            len(body),
            at,
            arrived,
        )
        self._inspect(request, events)
        request.plan = self.rule(request)
        self.requests.append(request)
        self.arrivals[request.token] += 1
        for event in request.processed:
            if (before := self._processed.get(event)) is not None:
                self.repeats.append((event, before, request))
            self._processed[event] = request
        return request

    def _inspect(self, request: Request, events: list[_Event]) -> None:
        if not 1 <= len(events) <= MOST_EVENTS:
            self.problems.append(f"a request with {len(events)} events")
        if len(set(request.ids)) < len(events):
            self.problems.append("an event twice in one request")
        for event in events:
            late = request.arrived - (event.event_time + WINDOWS[event.source] - MARGIN)
            if late > ON_ITS_WAY:
                self.problems.append(f"{event.event_id} was sent {late:.1f} s after it expired")

    def answered(self, request: Request) -> None:
        """Note that the answer of a request goes out."""
        request.answered_at = time.monotonic()
        request.sure = request.answered_at - request.at < SURE_WITHIN
        if request.plan.status == 200 and not request.plan.skipped:
            self.named["unclear"].update(request.ids)
        elif request.plan.status == 200:
            self.named["named"].update(request.plan.skipped or ())
            self.delivered.update(request.processed)
        elif request.plan.status == 204:
            self.delivered.update(request.processed)


class _Connection(asyncio.Protocol):
    """One client's connection; requests come one after the other."""

    def __init__(self, server: FaultyServer) -> None:
        self._server = server
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._request: Request | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.join(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._server.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    def drop(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        bound = _BOUND.search(head)
        length = int(bound[1]) if bound else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._server.busy += 1
        request = self._request = self._server.take(head, rest[:length])
        if request.plan.held:
            self._server.hold(lambda: self._finish(request))
        elif request.plan.delay:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(request.plan.delay, self._finish, request)
        else:
            self._finish(request)

    def _end(self) -> None:
        if self._request is not None:
            self._request = None
            self._server.busy -= 1

    def _finish(self, request: Request) -> None:
        if self._request is not request or self._transport.is_closing():
            return
        plan = request.plan
        if plan.raw is not None:
            self._transport.write(plan.raw)
            self._transport.close()
        elif plan.status is None:
            linger = struct.pack("ii", 1, 0)  # The client sees a reset, not an orderly end.
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self._transport.abort()
        else:
            self._server.answered(request)
            self._transport.write(_answer(plan.status, plan.body, plan.headers))
        self._end()


def _answer(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if status != 204:
        given += f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} Told\r\n{given}\r\n".encode() + body


# The faults of the campaigns

UNCLEAR = (b"", b"[]", b'{"processed": 3}', b'["nobody"]', b"[1, 2]", b"ok", b"\xff\xfe", b"null")
"""Bodies of a 200 that do not say what was processed."""
JUNK = (b"", b"<html>no</html>", b"\x00\xff\xfe", b'{"errors":', b"x" * 70_000)
"""Bodies of other answers: they mean nothing."""


def _status(status: int) -> Callable[[random.Random, Request], Plan]:
    def plan(rng: random.Random, _: Request) -> Plan:
        return Plan(status, rng.choice(JUNK), skipped=None)

    return plan


def _wait_seconds(rng: random.Random, _: Request) -> Plan:
    status = rng.choice((429, 429, 503))
    return Plan(status, headers={"Retry-After": rng.choice("01")}, skipped=None)


def _wait_date(rng: random.Random, _: Request) -> Plan:
    date = email.utils.formatdate(time.time() + rng.choice((-5, 0, 1)), usegmt=True)
    return Plan(429, headers={"Retry-After": date}, skipped=None)


def _reset(_: random.Random, __: Request) -> Plan:
    return Plan(None, skipped=None)


def _lost(_: random.Random, __: Request) -> Plan:
    return Plan(None)


def _slow(rng: random.Random, _: Request) -> Plan:
    return Plan(delay=1.4, skipped=rng.choice(((), None)))


def _garbage(rng: random.Random, _: Request) -> Plan:
    raw = rng.choice((b"\x16\x03\x01 no HTTP\r\n\r\n", b"HTTP/1.1 twohundred\r\n\r\n", b"\r\n"))
    return Plan(raw=raw, skipped=rng.choice(((), None)))


def _truncated(_: random.Random, __: Request) -> Plan:
    return Plan(raw=b"HTTP/1.1 503 Told\r\nContent-Length: 500\r\n\r\nhalf", skipped=None)


def _false_gzip(rng: random.Random, _: Request) -> Plan:
    return Plan(502, b"this is no gzip", {"Content-Encoding": "gzip"}, skipped=None)


def _partial(rng: random.Random, request: Request) -> Plan:
    if len(request.ids) < 2:
        return _unclear(rng, request)
    named = rng.sample(request.ids, rng.randrange(1, len(request.ids)))
    return Plan(200, json.dumps(named).encode(), skipped=frozenset(named))


def _unclear(rng: random.Random, _: Request) -> Plan:
    return Plan(200, rng.choice(UNCLEAR))


KINDS: dict[str, tuple[int, Callable[[random.Random, Request], Plan]]] = {
    "500": (2, _status(500)),
    "502": (2, _status(502)),
    "503": (2, _status(503)),
    "504": (2, _status(504)),
    "408": (1, _status(408)),
    "425": (1, _status(425)),
    "wait seconds": (2, _wait_seconds),
    "wait until": (2, _wait_date),
    "reset": (3, _reset),
    "lost": (3, _lost),
    "slow": (2, _slow),
    "garbage": (2, _garbage),
    "truncated": (1, _truncated),
    "false gzip": (1, _false_gzip),
    "partial": (1, _partial),
    "unclear": (1, _unclear),
}
"""The faults, each with its weight."""


class Faults:
    """Fails requests at a rate: the same ones, in the same way, for the same seed.

    Args:
        seed: Of all decisions.
        rate: Share of requests that fail.
        in_a_row: Failures of one batch after which a request of it succeeds.
        poison: Events for which the API refuses the whole request.
    """

    def __init__(
        self, seed: int, rate: float, *, in_a_row: int = 3, poison: Collection[str] = ()
    ) -> None:
        self._seed = seed
        self._rate = rate
        self._in_a_row = in_a_row
        self._poison = frozenset(poison)
        self._tried: Counter[str] = Counter()
        self._batches: dict[str, str] = {}
        self._names = list(KINDS)
        self._weights = [weight for weight, _ in KINDS.values()]

    def __call__(self, request: Request) -> Plan:
        """Decide about a request."""
        batch = self._batch(request)
        attempt = self._tried[batch]
        rng = random.Random(f"{self._seed} {request.ids[0]} {len(request.ids)} {attempt}")  # noqa: S311
        if attempt < self._in_a_row and rng.random() < self._rate:
            self._tried[batch] += 1
            (name,) = rng.choices(self._names, self._weights)
            plan = KINDS[name][1](rng, request)
            if plan.skipped is None or not self._poison.intersection(request.ids):
                return plan._replace(fault=name)
            return _reset(rng, request)._replace(fault="reset")  # Poison is never processed.
        del self._tried[batch]
        if self._poison.intersection(request.ids):
            return Plan(400, b'{"errors": [{"message": "one of them is bad"}]}', skipped=None)
        # Answers overtake each other.
        return Plan(delay=rng.choice((0.0, 0.0, 0.01, 0.03)))

    def _batch(self, request: Request) -> str:
        """What a request is a part of: it shrinks in halving, and when events grow too old."""
        for event in request.ids:
            if event in self._batches:
                return self._batches[event]
        self._batches.update(dict.fromkeys(request.ids, request.ids[0]))
        return request.ids[0]
