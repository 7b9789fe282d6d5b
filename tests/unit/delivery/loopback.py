"""Servers on this machine that give fixed or slow answers over real connections."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from typing import NamedTuple

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer_with(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer with a body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def received(connection: socket.socket, end: bytes = b"[{}]") -> bool:
    """Read until the end of a request has come; return False if the connection ends."""
    got = b""
    while not got.endswith(end):
        part = connection.recv(65_536)
        if not part:
            return False
        got += part
    return True


def accept(connection: socket.socket, _: threading.Event) -> None:
    """Accept one request, and close the connection."""
    received(connection)
    connection.sendall(NO_CONTENT)


@contextlib.contextmanager
def serving(
    answer: Callable[[socket.socket, threading.Event], None],
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> Iterator[int]:
    """Serve connections at a port, each by a call of `answer` in a thread of its own.

    Args:
        answer: Takes a connection, and an event that is set when the server ends.
        tls: Returns the TLS of the next connection; None for plain connections.
    """
    ended = threading.Event()
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            connection.settimeout(10)
            if tls is not None:
                connection = stack.enter_context(tls().wrap_socket(connection, server_side=True))
            opened.append(connection)
            answer(connection, ended)

    def accept_all(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # It is shut down at the end.
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept_all, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            for one in (listener, *opened):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in [accepting, *threads]:
                thread.join(5)


class Server(NamedTuple):
    """What a server with fixed answers has received.

    Attributes:
        url: Where it listens.
        requests: The first line, the headers and the body of each request.
        connections: How many requests came over each connection.
    """

    url: str
    requests: list[tuple[str, Message, bytes]]
    connections: list[int]


@contextlib.contextmanager
def loopback(*answers: bytes) -> Iterator[Server]:
    """Give requests one answer after the other, and the last one for good.

    Args:
        answers: Whole answers; an empty one closes the connection.
    """
    left = list(answers)
    requests: list[tuple[str, Message, bytes]] = []
    connections: list[int] = []

    def answer(connection: socket.socket, _: threading.Event) -> None:
        connections.append(0)
        with connection.makefile("rb") as lines:
            while first := lines.readline():
                headers = http.client.parse_headers(lines)
                requests.append(
                    (first.decode(), headers, lines.read(int(headers["Content-Length"])))
                )
                connections[-1] += 1
                if not (given := left.pop(0) if len(left) > 1 else left[0]):
                    return
                connection.sendall(given)

    with serving(answer) as port:
        yield Server(f"http://127.0.0.1:{port}", requests, connections)


def dripping(
    head: bytes, drop: bytes, drops: int = 100
) -> Callable[[socket.socket, threading.Event], None]:
    """Return an answer whose head comes at once, and whose rest drop by drop, over five seconds."""

    def answer(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(head)
        for _ in range(drops):
            if ended.wait(0.05):
                return
            connection.sendall(drop)

    return answer
