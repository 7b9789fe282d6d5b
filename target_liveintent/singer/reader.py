"""Singer messages from a tap's output, one a line, without ever showing what is in them.

Reading waits for at most a second at a time, so that what is due (batches that waited long enough,
STATE, signals) is seen to while a tap is silent.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import select
import signal
import sys
import threading
from collections import Counter
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

import msgspec
from singer_sdk.io_base import GenericSingerReader

from target_liveintent.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CHUNK = 262_144
_WAIT = 1.0
_TEXT_LINES = 100
"""Lines of an input that cannot be waited for, such as a file in memory, between two looks."""


class Message(msgspec.Struct):
    """A Singer message. What other fields it has is skipped; RECORDs are decoded later, once."""

    type: str
    stream: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    schema: msgspec.Raw = msgspec.Raw()
    key_properties: list[str] | None = None
    value: msgspec.Raw = msgspec.Raw()
    encoding: dict[str, Any] | None = None
    manifest: list[str] | None = None


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)
_decode_message = msgspec.json.Decoder(Message).decode
# Decimal keeps the digits that the tap sent, as the SDK's reader does.
_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Record(msgspec.Struct, gc=False):
    """A RECORD message, with as much of its record as is needed."""

    type: str
    stream: str
    record: dict[str, Any]


class _Taken(NamedTuple):
    """How the RECORDs of a stream are decoded, and what is done with them."""

    decode_line: Callable[[bytes], Record]
    decode_record: Callable[[msgspec.Raw], dict[str, Any]]
    handle: Callable[[dict[str, Any]], None]


def _fail(_: Any) -> Any:
    raise msgspec.DecodeError


_NONE = _Taken(_fail, _fail, _fail)


class MessageReader(GenericSingerReader[str]):
    """Reads messages and hands each to its callback.

    Args:
        look: Called at least once a second.

    Attributes:
        stopped: Set it to True to read no further.
        line_number: Of the line that was read last.
    """

    default_input = sys.stdin

    def __init__(self, look: Callable[[], None]) -> None:
        """Remember what to call."""
        super().__init__()
        self._look = look
        self._taken: dict[str, _Taken] = {}
        self.stopped = False
        self.line_number = 0

    def take(
        self,
        stream: str,
        columns: frozenset[str] | None,
        handle: Callable[[dict[str, Any]], None],
    ) -> None:
        """Hand the records of a stream, from now on, to a callback of their own.

        Args:
            stream: The stream.
            columns: The columns to decode; None for all. What the record lacks, the result lacks.
            handle: Called with each record.
        """
        self._taken[stream] = _Taken(
            line_decoder(stream, columns), functools.partial(_decode, _decoder(columns)), handle
        )

    def process_lines(
        self, file_input: IO[str] | None, callbacks: dict[str, Callable[[Any], None]]
    ) -> Counter[str]:
        """Read all messages.

        Args:
            file_input: Where they come from; standard input if None.
            callbacks: By type, for all but the RECORDs of streams that are taken.

        Raises:
            InputError: If a line is no Singer message; names its number, never its content.
        """
        seen: Counter[str] = Counter()
        records = 0
        likely = _NONE
        try:
            for line in lines(file_input or sys.stdin, self._goes_on):
                self.line_number += 1
                try:
                    # Nearly every line is a RECORD of the same stream as the last. Such a line is
                    # decoded in one pass: 0.8 µs, and not 1.2; with 200 columns 6, and not 10.
                    record = likely.decode_line(line).record
                except _UNREADABLE:
                    if line and not line.isspace():
                        message = decode_message(line)
                        likely = self._handle(message, callbacks) or likely
                        seen[message.type] += 1
                else:
                    likely.handle(record)
                    records += 1
                if self.stopped:
                    break
        except InputError as error:
            msg = f"line {self.line_number} of the input: {error}"
            raise InputError(msg) from None
        seen["RECORD"] += records
        return seen

    def _handle(
        self, message: Message, callbacks: dict[str, Callable[[Any], None]]
    ) -> _Taken | None:
        """Hand over any message; returns how to decode the next line, if that has changed."""
        taken = self._taken.get(message.stream or "")
        if message.type == "RECORD" and taken is not None and message.record:
            taken.handle(taken.decode_record(message.record))
            return taken
        handle = callbacks.get(message.type)
        if handle is None:
            kind = message.type if message.type.isidentifier() else "?"
            msg = f"a message of the unknown type '{kind[:40]}'"
            raise InputError(msg)
        handle(message)
        return _NONE if message.type == "SCHEMA" else None

    @staticmethod
    def drain(file_input: IO[str] | None, goes_on: Callable[[], bool]) -> None:
        """Read what is left of the input, for as long as `goes_on`, and do nothing with it."""
        for _ in lines(file_input or sys.stdin, goes_on):
            pass

    def _goes_on(self) -> bool:
        self._look()
        return not self.stopped

    def deserialize_json(self, line: str) -> dict[str, Any]:
        """Decode any JSON object (the SDK's interface; messages take `decode_message`)."""
        return decode_object(line.encode())


def lines(file_input: IO[str], goes_on: Callable[[], bool]) -> Iterator[bytes]:
    """The lines of an input, for as long as `goes_on`, asked once a second, answers True."""
    try:
        descriptor = file_input.fileno()
        select.select([descriptor], [], [], 0)
    except (OSError, ValueError, AttributeError):
        # In memory, or (on Windows) nothing that can be waited for.
        yield from _plain_lines(file_input, goes_on)
    else:
        yield from _waited_lines(descriptor, goes_on)


def _plain_lines(file_input: Iterable[str], goes_on: Callable[[], bool]) -> Iterator[bytes]:
    for number, line in enumerate(file_input, 1):
        yield line.encode(errors="surrogatepass").strip(b"\r\n")
        if number % _TEXT_LINES == 0 and not goes_on():
            return


def _waited_lines(descriptor: int, goes_on: Callable[[], bool]) -> Iterator[bytes]:
    parts: list[bytes] = []  # of a line that is not complete yet
    with _signals_end_waits() as wake:
        while goes_on():
            if descriptor not in select.select([descriptor, *wake], [], [], _WAIT)[0]:
                continue
            # BytesIO looks for line ends with memchr. Splitting looks at each byte, which cost 5 µs
            # for a line of 10 KB.
            whole = io.BytesIO(os.read(descriptor, _CHUNK)).readlines()
            rest = whole.pop() if whole and not whole[-1].endswith(b"\n") else b""
            if whole and parts:
                whole[0] = b"".join((*parts, whole[0]))
                parts = []
            yield from whole
            if rest:
                parts.append(rest)
            elif not whole:  # The end of the input.
                yield b"".join(parts)
                return


@contextlib.contextmanager
def _signals_end_waits() -> Iterator[list[int]]:
    """A descriptor that becomes readable when a signal comes: select would go on waiting."""
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    before = signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    try:
        yield [readable]
    finally:
        signal.set_wakeup_fd(before)
        os.close(readable)
        os.close(writable)


def decode_message(line: bytes) -> Message:
    """Decode a line.

    Raises:
        InputError: If it is no message.
    """
    message: Message = _decode(_decode_message, line)
    return message


def _decoder(columns: frozenset[str] | None) -> Callable[[Any], dict[str, Any]]:
    return msgspec.json.Decoder(_kind(columns), float_hook=Decimal).decode


def line_decoder(stream: str, columns: frozenset[str] | None) -> Callable[[bytes], Record]:
    """A decoder of the lines with RECORDs of one stream that fails on all others.

    Args:
        stream: The stream.
        columns: The columns to decode: of 200 with 10 named, it costs a third to skip the others.
    """
    fields = [("type", Literal["RECORD"]), ("stream", Literal[stream]), ("record", _kind(columns))]
    line: type[Record] = msgspec.defstruct("Line", fields, bases=(Record,), gc=False)  # type: ignore[assignment]
    return msgspec.json.Decoder(line, float_hook=Decimal).decode


def _kind(columns: frozenset[str] | None) -> Any:
    if columns is None:
        return dict[str, Any]
    members = dict.fromkeys(sorted(columns), Any)
    # (The type checker wants to see the columns.)
    return TypedDict("Columns", members, total=False)  # type: ignore[operator]


def decode_object(text: bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        InputError: If it is none.
    """
    decoded: dict[str, Any] = _decode(_decode_object, text)
    return decoded


def _decode(decode: Callable[[Any], Any], text: bytes | msgspec.Raw) -> Any:
    try:
        return decode(text)
    except _UNREADABLE:
        strict = strict_json(bytes(text))
    try:
        return decode(strict)
    except msgspec.ValidationError as error:
        msg = f"not what a tap sends: {error}"  # It names types and places, never a value.
    except (msgspec.DecodeError, RecursionError, ArithmeticError):
        msg = "nested too deeply, or a number that is too long"
    raise InputError(msg)


def strict_json(line: bytes) -> bytes:
    """Strict JSON of what Python's own json writes: NaN, Infinity, lone surrogates become null.

    Raises:
        InputError: If it is no JSON in that sense either.
    """
    try:
        loose = json.loads(line.decode(), parse_float=Decimal, parse_constant=lambda _: None)
        return _encode(_without_surrogates(loose))
    except UnicodeDecodeError:
        msg = "not valid UTF-8"
    except RecursionError:
        msg = "nested too deeply"
    except json.JSONDecodeError as error:
        msg = f"not valid JSON: {error.msg} (character {error.pos})"
    except (ValueError, ArithmeticError):
        msg = "a number that is too long"
    raise InputError(msg)


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
        return value
    if isinstance(value, dict):
        return {_without_surrogates(k) or "": _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    return value
