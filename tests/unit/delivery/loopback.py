"""A server on this machine that gives fixed answers over real connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer_with(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer with a body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Loopback:
    """Gives requests one answer after the other, and the last one for good.

    Args:
        answers: Whole answers; an empty one closes the connection.

    Attributes:
        url: Where it listens.
        requests: The head and the body of each request.
        connections: How many requests came over each connection.
    """

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.connections: list[int] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # It is closed at the end.
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(0)
                with connection, contextlib.suppress(OSError):  # The client may hang up.
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            while (head := self._head(lines)) and "content-length" in head.lower():
                length = next(
                    int(line.partition(":")[2])
                    for line in head.splitlines()
                    if line.lower().startswith("content-length")
                )
                self.requests.append((head, lines.read(length)))
                self.connections[-1] += 1
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                if not answer:
                    return
                connection.sendall(answer)

    @staticmethod
    def _head(lines: Iterator[bytes]) -> str:
        head = b""
        for line in lines:
            if line == b"\r\n":
                return head.decode()
            head += line
        return ""


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

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # It is shut down at the end.
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,), daemon=True)
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
