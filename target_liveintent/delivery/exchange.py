"""Sends a request over an open socket, and reads the HTTP/1.1 answer to its end.

The request goes over the socket in one piece: at each system call, a busy main thread may take the
interpreter. The rules for the end of an answer are from RFC 9110 and RFC 9112:

- Each 1xx except 101 is skipped, however many come. (A 101 is an answer with an unknown status,
  because no request asks for another protocol.)
- A 101, 204 or 304 ends with its headers.
- Any other answer ends with its last chunk, after its `Content-Length`, or with the connection.

A 200 counts only if its whole body comes in time. Any other status counts even without its body.

A connection is not used again if anything may follow the answer: a body that a 204 announces, bytes
that came after an answer, or the rest of a long body.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

_MOST_BODY_BYTES = 65_536  # The rest of a longer body is not read. This API's bodies are shorter.
_MOST_HEAD_BYTES = 1_048_576  # The most bytes that a status line with its headers may have.
_READ_BYTES = 65_536  # More than a TLS record has, so no part of one stays in the TLS socket.
_BODILESS = {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

_FIRST_BYTES = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) +([1-9]\d\d)(?=[ \r\n])")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")  # A header may continue on the next line.
_CHUNK_BYTES = re.compile(rb"\s*([0-9a-fA-F]{1,16})\s*(?:;.*)?\s*")


class BrokenAnswerError(OSError):
    """The connection ended within an answer, or a part of the answer cannot be read."""


class NotHttpError(OSError):
    """The first bytes that a server sent are not an HTTP/1 status line."""


class Reply(NamedTuple):
    """An HTTP answer, as the server sent it.

    Attributes:
        headers: The headers, by their names in lower case; the first value of a repeated header.
        content: The body, or the first 65,536 bytes of a longer body.
        can_follow: Whether another request may follow on the same connection.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    can_follow: bool


class _Head(NamedTuple):
    """A status line with its headers."""

    status: int
    is_http_1_0: bool
    headers: Mapping[str, str]

    @property
    def is_kept(self) -> bool:
        """Whether the server keeps the connection open, as far as it says."""
        connection = self.headers.get("connection", "").lower()
        return "keep-alive" in connection if self.is_http_1_0 else "close" not in connection


def exchange(sock: socket.socket, request: bytes, *, is_reused: bool) -> Reply:
    """Send a request, and return its answer.

    `is_reused` says that an answer came over this connection before. Bytes between an answer (or a
    1xx) and the next status line belong to the earlier answer, and are skipped.

    Raises:
        OSError: If the connection fails, or the answer cannot be read.
    """
    hung_up: OSError | None = None
    try:
        sock.sendall(request)
    except (BrokenPipeError, ConnectionResetError) as fault:
        hung_up = fault  # The API may have answered before it read all, as with a 413.
    reply = _AnswerReader(sock).read(is_reused=is_reused)
    if hung_up is not None and reply.status < HTTPStatus.BAD_REQUEST:
        raise hung_up  # The API has not read all events.
    return reply


class _AnswerReader:
    """Reads an answer from a socket; `_buffer` has the received bytes that are not used yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._has_skipped = False  # Whether bytes came before a status line.

    def read(self, *, is_reused: bool) -> Reply:
        """Skip each 1xx except 101, and return the answer that follows."""
        head = self._head(has_answered=is_reused)
        while head.status < HTTPStatus.OK and head.status != HTTPStatus.SWITCHING_PROTOCOLS:
            head = self._head(has_answered=True)
        try:
            content, is_whole = self._body(head)
        except OSError:
            if head.status == HTTPStatus.OK:
                raise  # Its body says which events were processed.
            content, is_whole = bytes(self._buffer), False
        can_follow = head.is_kept and is_whole and not (self._has_skipped or self._buffer)
        return Reply(head.status, head.headers, content, can_follow)

    def _head(self, *, has_answered: bool) -> _Head:
        """Return the next status line with its headers.

        Bytes before the status line are skipped if the server `has_answered` before; otherwise,
        they are an error.
        """
        if not has_answered:
            self._wait_for_http()
        while True:
            lines = self._take_until(_HEAD_END, _MOST_HEAD_BYTES)
            status_line = _STATUS_LINE.search(lines)
            if status_line is None or status_line.start() > 0:
                if not has_answered:
                    raise NotHttpError
                self._has_skipped = True
            if status_line is not None:
                headers = _headers(lines[status_line.end() :])
                return _Head(int(status_line[2]), status_line[1] == b"0", headers)

    def _wait_for_http(self) -> None:
        """Wait for the first bytes of an answer, and check them.

        A server of another protocol may send a greeting, and then wait without closing the
        connection.
        """
        while self._buffer[: len(_FIRST_BYTES)] == _FIRST_BYTES[: len(self._buffer)]:
            if len(self._buffer) >= len(_FIRST_BYTES):
                return
            if not self._receive():
                raise BrokenAnswerError
        raise NotHttpError

    def _body(self, head: _Head) -> tuple[bytes, bool]:
        """Return the body, and whether certainly no further bytes of the body follow."""
        coding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length")
        if head.status in _BODILESS:
            return b"", coding is None and length in {None, "0"}
        if coding is not None and coding.lower().endswith("chunked"):
            return self._chunks()
        if coding is None and length is not None and length.isdecimal():
            size = int(length[:20])
            return self._take(min(size, _MOST_BODY_BYTES)), size <= _MOST_BODY_BYTES
        while len(self._buffer) < _MOST_BODY_BYTES and self._receive():
            pass
        return self._take(min(len(self._buffer), _MOST_BODY_BYTES)), False

    def _chunks(self) -> tuple[bytes, bool]:
        content = b""
        while True:
            size = _CHUNK_BYTES.fullmatch(self._take_line())
            if size is None:
                raise BrokenAnswerError
            left = _MOST_BODY_BYTES - len(content)
            if (wanted := int(size[1], 16)) > left:
                return content + self._take(left), False
            if wanted == 0:
                break
            content += self._take(wanted)
            self._take_line()
        while self._take_line().strip():  # Trailers.
            pass
        return content, True

    # Bytes

    def _take_line(self) -> bytes:
        return self._take_until(_LINE_END, _MOST_BODY_BYTES)

    def _take_until(self, end: re.Pattern[bytes], most: int) -> bytes:
        """Return the bytes up to the first match of `end`, together with the match.

        If more than about `most` bytes come without a match, or the connection ends before it,
        raise a `BrokenAnswerError`.
        """
        start = 0
        while (found := end.search(self._buffer, start)) is None:
            start = max(0, len(self._buffer) - 3)
            if start > most or not self._receive():
                raise BrokenAnswerError
        return self._take(found.end())

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._receive():
                raise BrokenAnswerError
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _receive(self) -> bool:
        """Wait for more bytes; return False if the connection has ended."""
        received = self._sock.recv(_READ_BYTES)
        self._buffer += received
        return bool(received)


def _headers(lines: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in _FOLD.sub(b" ", lines).decode("latin-1").split("\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers
