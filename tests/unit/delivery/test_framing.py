"""Where an answer ends: no framing lets events be sent twice, over real connections."""

import json
import socket
import threading
from collections import Counter
from typing import NamedTuple

import pytest
from fakes import LOGGER, batch, deliver, settings
from loopback import loopback, serving

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.client import client_of
from target_liveintent.delivery.transport import Route, find_route

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
LONG = "X: " + "x" * 1_000_000


class Framing(NamedTuple):
    """How a server frames an answer.

    Attributes:
        answer: What it sends at once, in pieces.
        late: What it sends after the client has read the answer.
        before_next: What it sends when the next request has come, before its answer.
        is_reused: Whether the client uses the connection again.
    """

    answer: tuple[bytes, ...]
    late: bytes = b""
    before_next: bytes = b""
    is_reused: bool = False


def head(*headers: str, status: str = "204 No Content", version: str = "1.1") -> bytes:
    """Return the status line and the headers of an answer."""
    return "\r\n".join([f"HTTP/{version} {status}", *headers, "", ""]).encode()


def each_byte(answer: bytes) -> tuple[bytes, ...]:
    """Return an answer in pieces of a byte."""
    return tuple(answer[place : place + 1] for place in range(len(answer)))


CHUNKED = head("Transfer-Encoding: chunked")
OF_TWO_BYTES = head("Content-Length: 2")
ACCEPTING = {
    "204": Framing((NO_CONTENT,), is_reused=True),
    "204, byte by byte": Framing(each_byte(NO_CONTENT), is_reused=True),
    "204, bare line ends": Framing((b"HTTP/1.1 204 No Content\nX: y\n\n",), is_reused=True),
    "204 without a reason": Framing((b"HTTP/1.1 204\r\n\r\n",), is_reused=True),
    "204 of length 0": Framing((head("Content-Length: 0"),), is_reused=True),
    "204, keep-alive": Framing((head("Connection: keep-alive"),), is_reused=True),
    "204, close": Framing((head("Connection: Close"),)),
    "204 of HTTP/1.0": Framing((head(version="1.0"),)),
    "204 of HTTP/1.0, keep-alive": Framing(
        (head("Connection: Keep-Alive", version="1.0"),), is_reused=True
    ),
    "204 of chunks that never come": Framing((CHUNKED,)),
    "204 of no chunks": Framing((CHUNKED, b"0\r\n\r\n")),
    "204 of no chunks, late": Framing((CHUNKED,), late=b"0\r\n\r\n"),
    "204 of a chunk": Framing((CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",)),
    "204 of a length, with its body": Framing((OF_TWO_BYTES + b"{}",)),
    "204 of a length, short": Framing((OF_TWO_BYTES + b"{",)),
    "204 of a length, late": Framing((OF_TWO_BYTES,), late=b"{}"),
    "204 of a length that is no number": Framing((head("Content-Length: two"),)),
    "204 with bytes behind it": Framing((NO_CONTENT + b"{}",)),
    "204 with bytes after it": Framing((NO_CONTENT,), late=b"{}"),
    "204 with bytes before the next one": Framing((NO_CONTENT,), before_next=b"{}"),
    "204 with an empty line before the next one": Framing((NO_CONTENT,), before_next=b"\r\n"),
    "204 with a page before the next one": Framing((NO_CONTENT,), before_next=b"<p>\r\n\r\n</p>"),
    "204 with another answer behind it": Framing((NO_CONTENT * 2,)),
    "100 first": Framing((b"HTTP/1.1 100 Continue\r\n\r\n" + NO_CONTENT,), is_reused=True),
    "102 first": Framing((b"HTTP/1.1 102 Processing\r\n\r\n", NO_CONTENT), is_reused=True),
    "103 first": Framing((EARLY + NO_CONTENT,), is_reused=True),
    "103 first, byte by byte": Framing(each_byte(EARLY + NO_CONTENT), is_reused=True),
    "103 of a megabyte first": Framing((head(LONG, status="103 E"), NO_CONTENT), is_reused=True),
    "103 of 200 headers first": Framing(
        (head(*["Link: <a>"] * 200, status="103 E") + NO_CONTENT,), is_reused=True
    ),
    "103 with a body first": Framing(
        (head("Content-Length: 2", status="103 E"), b"{}", NO_CONTENT)
    ),
    "199 first, a thousand times": Framing(
        (head(status="199 X") * 1_000 + NO_CONTENT,), is_reused=True
    ),
    "103 first, then a 204 of chunks": Framing((EARLY + CHUNKED,)),
}


class Served(NamedTuple):
    """What a server has received.

    Attributes:
        ids: How often each event came.
        connections: How many requests came over each connection.
        answered: The test sets it when the client has the answer; the server then sends the rest.
        sent: The server sets it when it has sent the rest.
    """

    ids: Counter[str]
    connections: list[int]
    answered: threading.Semaphore
    sent: threading.Semaphore


def run_batches(framing: Framing, count: int) -> Served:
    """Deliver batches, one after the other, to a server that frames each answer so."""
    served = Served(Counter(), [], threading.Semaphore(0), threading.Semaphore(0))

    def answer(connection: socket.socket, _: threading.Event) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        served.connections.append(0)
        while request := request_body(connection):
            if served.connections[-1]:
                connection.sendall(framing.before_next)
            served.connections[-1] += 1
            served.ids.update(sent["eventId"] for sent in json.loads(request))
            for piece in framing.answer:
                connection.sendall(piece)
            if framing.late:
                served.answered.acquire(timeout=5)
                connection.sendall(framing.late)
            served.sent.release()

    with serving(answer) as port:
        client = client_of(settings(api_url=f"http://127.0.0.1:{port}"), LOGGER)
        for number in range(count):
            result = deliver(batch(f"{number}a", f"{number}b", number=number), client)
            served.answered.release()
            assert served.sent.acquire(timeout=5)
            assert [event.event_id for event in result.confirmed] == [f"{number}a", f"{number}b"]
            assert (result.requests, result.retries, result.throttled) == (1, 0, 0)
    return served


def request_body(connection: socket.socket) -> bytes:
    """Return the body of the next request; nothing if the connection ends."""
    got = b""
    while not got.endswith(b"]"):
        part = connection.recv(65_536)
        if not part:
            return b""
        got += part
    return got.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", ACCEPTING)
def test_events_are_sent_once_whatever_frames_a_204(name: str) -> None:
    """One request delivers each batch; the connection is used again if nothing can follow."""
    framing = ACCEPTING[name]
    served = run_batches(framing, 3)
    assert set(served.ids.values()) == {1}
    assert len(served.ids) == 6
    reused = [2, 1] if framing.before_next else [1, 1, 1]
    assert served.connections == ([3] if framing.is_reused else reused)


CHUNKS = head("Transfer-Encoding: chunked", status="200 OK")
BODIES = {
    "of a length": (head("Content-Length: 5", status="200 OK") + b'["1"]', b'["1"]', True),
    "of length 0": (head("Content-Length: 0", status="400 Bad"), b"", True),
    "of two chunks": (CHUNKS + b'3;x=y\r\n["1\r\n2\r\n"]\r\n0\r\n\r\n', b'["1"]', True),
    "of chunks with trailers": (CHUNKS + b"1 \r\n7\r\n0\r\nX: y\r\nY: z\r\n\r\n", b"7", True),
    "of chunks and a wrong length": (
        head("Content-Length: 99", "Transfer-Encoding: Chunked", status="200 OK")
        + b"1\r\n7\r\n0\r\n\r\n",
        b"7",
        True,
    ),
    "of chunks on a folded line": (
        head("Transfer-Encoding:\r\n chunked", status="200 OK") + b"1\r\n7\r\n0\r\n\r\n",
        b"7",
        True,
    ),
    "of chunks with bytes behind them": (CHUNKS + b"1\r\n7\r\n0\r\n\r\n8", b"7", False),
    "of a length with bytes behind it": (
        head("Content-Length: 1", status="500 Error") + b"78",
        b"7",
        False,
    ),
    "of the most bytes": (
        head("Content-Length: 65536", status="400 Bad") + b"x" * 65_536,
        b"x" * 65_536,
        True,
    ),
    "of more bytes": (
        head("Content-Length: 65537", status="400 Bad") + b"x" * 65_537,
        b"x" * 65_536,
        False,
    ),
    "of more bytes in chunks": (
        head("Transfer-Encoding: chunked", status="400 Bad") + b"fffff\r\n" + b"x" * 70_000,
        b"x" * 65_536,
        False,
    ),
    "of a 304 with the length of a page": (
        head("Content-Length: 700", status="304 Not Modified"),
        b"",
        False,
    ),
    "of a 304": (head(status="304 Not Modified"), b"", True),
    "of a 101": (head(status="101 Switching Protocols") + NO_CONTENT, b"", False),
}
"""Answers, their bodies, and whether the connection is used again."""


def route_to(url: str) -> Route:
    route = find_route(settings(api_url=url).url)
    assert isinstance(route, Route)
    return route


@pytest.mark.parametrize("name", BODIES)
def test_an_answer_is_read_to_its_end(name: str) -> None:
    """The body is the one that was framed, and the next answer begins where it ends."""
    answer, body, is_reused = BODIES[name]
    with loopback(answer, NO_CONTENT) as server:
        route = route_to(server.url)
        replies = [route.post("a-token", b"[{}]", 5.0) for _ in range(2)]
    assert not any(isinstance(reply, Answer) for reply in replies), replies
    assert [reply.content for reply in replies] == [body, b""]
    assert [reply.status for reply in replies] == [int(answer[9:12]), 204]
    assert server.connections == ([2] if is_reused else [1, 1])


BROKEN = {
    "cut by length": head("Content-Length: 9", status="200 OK") + b'["1"]',
    "cut between chunks": CHUNKS + b'3\r\n["1\r\n',
    "chunk of negative size": CHUNKS + b"-5\r\n12345\r\n0\r\n\r\n",
    "chunk of a size that Python reads": CHUNKS + b"0x1\r\n7\r\n0\r\n\r\n",
    "cut within the status line": b"HTTP/",
    "cut within the headers": b"HTTP/1.1 204 No Content\r\nX:",
    "headers of two megabytes": head(LONG * 2),
}
NOT_HTTP = {
    "another version of HTTP": head(version="2.0"),
    "status of two digits": head(status="20 OK"),
    "status of four digits": head(status="2040 OK"),
    "empty line first": b"\r\n" + NO_CONTENT,
    "alert of TLS": b"\x15\x03\x03\x00\x02\x02\x16",
    "greeting of SSH": b"SSH-2.0-s3cr3t\r\n",
    "two letters": b"HI",
}
NOT_HTTP_SAID = "the server did not answer in HTTP"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *(pytest.param(BROKEN[name], "the connection failed", id=name) for name in BROKEN),
        *(
            pytest.param(
                NOT_HTTP[name],
                f"{NOT_HTTP_SAID}. Check the scheme, the host and the port in api_url",
                id=name,
            )
            for name in NOT_HTTP
        ),
    ],
)
def test_what_is_no_whole_answer_is_a_fault(answer: bytes, words: str) -> None:
    """Nobody knows which events a 200 would have named; the events are sent again."""

    def serve(connection: socket.socket, _: threading.Event) -> None:
        request_body(connection)
        connection.sendall(answer)

    with serving(serve) as port:
        reply = route_to(f"http://127.0.0.1:{port}").post("a-token", b"[{}]", 5.0)
    assert reply == Answer(Verdict.FAULT, words)


def test_a_server_of_another_protocol_is_noticed_at_once() -> None:
    """It may greet, and keep the connection open: the greeting shows that it is no HTTP server."""

    def greet(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(b"SSH-2.0-server\r\n")
        ended.wait(30)

    with serving(greet) as port:
        reply = route_to(f"http://127.0.0.1:{port}").post("a-token", b"[{}]", 30.0)
    assert isinstance(reply, Answer)
    assert reply.detail.startswith(NOT_HTTP_SAID)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("400 Bad Request", Verdict.REFUSED),
        ("401 Unauthorized", Verdict.DENIED),
        ("429 Too Many Requests", Verdict.LIMITED),
        ("500 Internal Server Error", Verdict.FAULT),
    ],
    ids=["400", "401", "429", "500"],
)
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "late"])
def test_a_status_counts_without_its_body(status: str, verdict: Verdict, *, is_cut: bool) -> None:
    """Only a 200 depends on its body: any other status decides, whatever becomes of the body."""

    def serve(connection: socket.socket, ended: threading.Event) -> None:
        request_body(connection)
        connection.sendall(head("Content-Length: 99", "Retry-After: 7", status=status) + b"half")
        if not is_cut:
            ended.wait(5)

    with serving(serve) as port:
        client = client_of(settings(api_url=f"http://127.0.0.1:{port}"), LOGGER)
        answer = client.post(b"[{}]", ["1"], 5.0 if is_cut else 0.2)
    assert (answer.verdict, answer.status) == (verdict, int(status[:3]))
    assert answer.retry_after == (7 if verdict in {Verdict.LIMITED, Verdict.FAULT} else 0)
    assert answer.detail == f"HTTP {status[:3]}" + ": half" * (verdict is Verdict.REFUSED)


def test_an_answer_whose_body_never_comes_ends_its_connection() -> None:
    """A body that comes later would be taken for the next answer."""
    requests_of_connections: list[int] = []

    def serve(connection: socket.socket, _: threading.Event) -> None:
        requests_of_connections.append(0)
        while request_body(connection):
            requests_of_connections[-1] += 1
            connection.sendall(head("Content-Length: 99", status="400 Bad Request"))

    with serving(serve) as port:
        route = route_to(f"http://127.0.0.1:{port}")
        replies = [route.post("a-token", b"[{}]", 0.2) for _ in range(2)]
    assert [getattr(reply, "status", reply) for reply in replies] == [400, 400]
    assert requests_of_connections == [1, 1]
