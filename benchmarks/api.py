"""A Conversions API on loopback that accepts every request after a fixed time, and tallies events.

Its first line of output is its URL. For each line of input it writes, as JSON, the tally of what
arrived since the previous line. It exits at the end of its input, and so never outlives the
benchmark.

    python -m benchmarks.api [--latency SECONDS] [--workers N] [--certificate FILE] [--count]
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import re
import ssl
import sys
from typing import Any

import msgspec

from benchmarks.tally import Tally

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
_REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


class Server:
    """The API server.

    Args:
        latency: Seconds before each answer.
        workers: How many requests it serves at the same time; 0 for any number.
        certificate: A file with a certificate and its key, to speak TLS; None for plain HTTP.
        counts: Whether events are only counted, and not read.

    Attributes:
        tally: What has arrived since the last line of input.
    """

    def __init__(
        self, latency: float, workers: int, certificate: str | None = None, *, counts: bool = False
    ) -> None:
        """Start with an empty tally."""
        self.tally = Tally()
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(certificate)
        self._latency = latency
        self._counts = counts
        self._free_at = [0.0] * workers  # When each worker has served what is queued; a heap.

    async def serve(self) -> None:
        """Answer requests until standard input ends."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls, backlog=1_024
        )
        scheme = "http" if self._tls is None else "https"
        print(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        end = asyncio.Event()
        loop.add_reader(sys.stdin, self._read_input, end)
        await end.wait()
        loop.remove_reader(sys.stdin)

    def take(self, body: bytes) -> None:
        """Add a request to the tally.

        Raises:
            msgspec.MsgspecError: If the body is not an array of events.
        """
        if self._counts:
            self.tally.count(body)
        else:
            self.tally.add(body)

    def answer_time(self, now: float) -> float:
        """Return when a request that arrives now has its answer."""
        if not self._free_at:
            return now + self._latency
        done = max(now, self._free_at[0]) + self._latency
        heapq.heapreplace(self._free_at, done)
        return done

    def _read_input(self, end: asyncio.Event) -> None:
        if not sys.stdin.readline():
            end.set()
            return
        print(msgspec.json.encode(self.tally).decode(), flush=True)
        self.tally = Tally()


class _Connection(asyncio.Protocol):
    """The connection of one client, which sends one request at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server.tally.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        try:
            self._server.take(body)
        except msgspec.MsgspecError:
            self._transport.write(_REFUSED)
        else:
            loop = asyncio.get_running_loop()
            answer_at = self._server.answer_time(loop.time())
            loop.call_at(answer_at, self._transport.write, _ACCEPTED)


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description="Accept everything, and tally it.")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--workers", type=int, default=0, help="requests at a time; 0: any number")
    parser.add_argument("--certificate", help="a file with a certificate and its key, for TLS")
    parser.add_argument("--count", action="store_true", help="count events, and do not read them")
    given = parser.parse_args()
    server = Server(given.latency, given.workers, given.certificate, counts=given.count)
    asyncio.run(server.serve())


if __name__ == "__main__":
    main()
