"""The connections of the faulty server: HTTP as far as its tests need it."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faulty_server import FaultyServer, Reply, Request

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One client's connection; its requests come one after the other."""

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
        self._transport.close()  # If the client ended it, Python 3.10 warns of an open transport.
        self._end()

    def drop(self) -> None:
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
