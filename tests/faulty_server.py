"""A Conversions API that answers as a test wants, and remembers each request.

The server shares no code with the target, listens on a free port, and keeps connections alive. The
function `FaultyServer.answer` returns the reply to each request. A test may replace the function
at any time.
"""

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec
from typing_extensions import Self

DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
MARGIN = 60
"""Seconds by which the target promises to stay inside the windows."""
MOST_EVENTS = 100
SURE_WITHIN = 0.8
"""Seconds within which an answer certainly reaches a client whose timeout is 1 s."""
ON_ITS_WAY = 1.0
"""Seconds that may pass between the target's check of an event's age and the request's arrival."""

_BEAT = 0.02
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Reply(NamedTuple):
    """The reply to one request, and what the API does with its events.

    Attributes:
        status: The status of the answer; None resets the connection, 0 closes it in order.
        body: The body of the answer.
        headers: The headers of the answer, in addition to Content-Length.
        skipped: The IDs of the events that are not processed; None means all events.
        fault: A name under which the counts list this reply; empty if nothing is wrong.
        delay: Seconds before the answer.
        held: Whether the answer waits for `FaultyServer.release`.
        raw: Bytes that take the place of an HTTP answer; the connection ends after them.
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
    """A request as it arrived, and its reply.

    Attributes:
        head: The request line and the headers.
        body: The body.
        ids: The IDs of the events.
        seen: When the server read the request, by `time.monotonic()`.
        at: The earliest time at which the request can have arrived, by `time.monotonic()`.
        arrived: The same time by `time.time()`.
        reply: The reply of the server.
        answered_at: When the answer was passed to the network; None if the answer was lost.
        sure: Whether the answer was so early that the client cannot have timed out before it.
    """

    head: bytes
    body: bytes
    ids: list[str]
    seen: float = 0.0
    at: float = 0.0
    arrived: float = 0.0
    reply: Reply = Reply(None, skipped=None)
    answered_at: float | None = None
    sure: bool = False

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers, by their names as the client wrote them."""
        pairs = (line.partition(": ") for line in self.head.decode("latin-1").split("\r\n")[1:])
        return {name: value for name, _, value in pairs}

    @property
    def token(self) -> str:
        """The bearer token. Each run of a campaign has its own token."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    @property
    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = json.loads(self.body)
        return events

    @property
    def processed(self) -> list[str]:
        """The IDs of the events that the API processed."""
        skipped = self.reply.skipped
        if skipped is None:
            return []
        return [event for event in self.ids if event not in skipped] if skipped else self.ids


def accept(_: Request) -> Reply:
    return Reply()


def refusing(*bad: str, status: int = 400, body: bytes = b"") -> Callable[[Request], Reply]:
    """Return a function that refuses each request that contains one of these event IDs."""

    def answer(request: Request) -> Reply:
        return Reply(status, body) if set(bad) & set(request.ids) else Reply()

    return answer


def in_turn(*replies: Reply, then: Reply | None = None) -> Callable[[Request], Reply]:
    """Return a function that gives each of these replies once, and then always `then` or a 204."""
    left = list(replies)
    lock = threading.Lock()

    def answer(_: Request) -> Reply:
        with lock:
            return left.pop(0) if left else (then or Reply())

    return answer


class Connection(asyncio.Protocol):
    """The connection of a client, which sends its requests one after the other."""

    def __init__(self, server: "FaultyServer") -> None:
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
        self._transport.close()  # If the client ended it, Python 3.10 warns of an open transport.
        self._end()

    def drop(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        bound = _LENGTH.search(head)
        length = int(bound[1]) if bound else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        request = self._request = self._server.take(head, rest[:length])
        self._server.decide(request)
        if request.reply.held:
            self._server.keep(lambda: self._finish(request))
        elif request.reply.delay:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(request.reply.delay, self._finish, request)
        else:
            self._finish(request)

    def _end(self) -> None:
        if self._request is not None:
            self._request = None
            self._server.busy -= 1

    def _finish(self, request: Request) -> None:
        if self._request is not request or self._transport.is_closing():
            return
        reply = request.reply
        if reply.raw is not None:
            self._transport.write(reply.raw)
            self._transport.close()
        elif reply.status == 0:
            self._transport.close()
        elif reply.status is None:
            linger = struct.pack("ii", 1, 0)  # The client sees a reset, not an orderly end.
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self._transport.abort()
        else:
            self._server.answered(request)
            self._transport.write(_head(reply) + reply.body)
        self._end()


def _head(reply: Reply) -> bytes:
    given = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    if reply.status != 204:
        given += f"Content-Length: {len(reply.body)}\r\n"
    return f"HTTP/1.1 {reply.status} Decided\r\n{given}\r\n".encode()


class FaultyServer:
    """The server, which runs in its own thread and calls `answer` for each request.

    Attributes:
        requests: All requests that have arrived.
        arrivals: The number of requests by token.
        accepted: The IDs of the events in requests that got a 204. An ID may occur several times.
        delivered: The IDs of the events that were processed, and that the answer confirmed.
        named: The IDs of events in answers with status 200: those that the body names (`named`),
            and all events of answers that name no event (`unclear`).
        repeats: Events that were processed again: their IDs, the request before, the request now.
        problems: A text for each wrong request or event.
        busy: The number of requests without an answer.
        busiest: The highest value of `busy` so far.
    """

    def __init__(self, answer: Callable[[Request], Reply] = accept) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.arrivals: Counter[str] = Counter()
        self.accepted: list[str] = []
        self.delivered: set[str] = set()
        self.named: dict[str, set[str]] = {"named": set(), "unclear": set()}
        self.repeats: list[tuple[str, Request, Request]] = []
        self.problems: list[str] = []
        self.busy = self.busiest = 0
        self.beat = (time.monotonic(), time.time())
        self._processed: dict[str, Request] = {}
        self._open: set[Connection] = set()
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
        return Counter(
            request.reply.fault for request in list(self.requests) if request.reply.fault
        )

    @property
    def unexcused(self) -> list[str]:
        """The IDs of events that were processed again although the first answer arrived."""
        return [
            event
            for event, before, _ in list(self.repeats)
            if before.answered_at is not None and before.sure
        ]

    @property
    def all_held(self) -> bool:
        """Whether some answers are held, and no request waits for another answer."""
        return 0 < self.busy == len(self._held)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        held, self._held = self._held, []
        for go_on in held:
            go_on()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(
            lambda: Connection(self), "127.0.0.1", 0, backlog=128
        )
        self.port: int = server.sockets[0].getsockname()[1]
        self._started.set()
        # A request is seen at most this long after it has arrived.
        while not self._stop.is_set():
            self.beat = (time.monotonic(), time.time())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _BEAT)
        server.close()
        for connection in list(self._open):
            connection.drop()
        await asyncio.sleep(0)
        await server.wait_closed()

    # What connections report

    def join(self, connection: Connection) -> None:
        self._open.add(connection)

    def leave(self, connection: Connection) -> None:
        self._open.discard(connection)

    def keep(self, go_on: Callable[[], None]) -> None:
        self._held.append(go_on)

    def take(self, head: bytes, body: bytes) -> Request:
        seen = time.monotonic()
        try:
            events = msgspec.json.decode(body, type=list[_Event])
        except msgspec.MsgspecError as error:
            events = []
            self.problems.append(f"not what the API takes: {error}")
        request = Request(head, body, [event.event_id for event in events], seen, *self.beat)
        self._inspect(request, events)
        self.requests.append(request)
        self.arrivals[request.token] += 1
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        return request

    def decide(self, request: Request) -> None:
        request.reply = reply = self.answer(request)
        if reply.status == 204:
            self.accepted += request.ids
        for event in request.processed:
            if (before := self._processed.get(event)) is not None:
                self.repeats.append((event, before, request))
            self._processed[event] = request

    def _inspect(self, request: Request, events: list[_Event]) -> None:
        if not 1 <= len(events) <= MOST_EVENTS:
            self.problems.append(f"a request with {len(events)} events")
        if len(set(request.ids)) < len(events):
            self.problems.append("an event twice in one request")
        for event in events:
            late = request.arrived - (event.event_time + WINDOWS.get(event.source, 0) - MARGIN)
            if late > ON_ITS_WAY:
                self.problems.append(f"{event.event_id} was sent {late:.1f} s after it expired")

    def answered(self, request: Request) -> None:
        request.answered_at = time.monotonic()
        request.sure = request.answered_at - request.at < SURE_WITHIN
        if request.reply.status == 200 and not request.reply.skipped:
            self.named["unclear"].update(request.ids)
        elif request.reply.status == 200:
            self.named["named"].update(request.reply.skipped or ())
            self.delivered.update(request.processed)
        elif request.reply.status == 204:
            self.delivered.update(request.processed)
