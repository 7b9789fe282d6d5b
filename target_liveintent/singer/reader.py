"""Reads Singer messages, one per line of a tap's output. No error shows the content of a message.

Each read waits for at most one second. So the run can do other work while a tap is silent: it sends
batches that have waited long enough, writes STATE, and handles signals.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import IO, Any, Literal, NamedTuple, NoReturn, TypedDict

import msgspec
from singer_sdk.exceptions import RecordsWithoutSchemaException
from singer_sdk.io_base import GenericSingerReader

from target_liveintent.errors import InputError
from target_liveintent.system import chunks

_CHUNK_BYTES = 262_144
"""Maximum bytes of one read. A read from a pipe returns at most 65,536 bytes."""
_WAIT_SECONDS = 1.0
_LINES_PER_TICK = 100
"""Lines between two calls of `goes_on` for a file in memory, which never blocks."""


class Message(msgspec.Struct):
    """A Singer message. Unknown fields are ignored; `msgspec.Raw` is JSON that is decoded later."""

    type: str
    stream: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    schema: msgspec.Raw = msgspec.Raw()
    key_properties: list[str] | None = None
    value: msgspec.Raw = msgspec.Raw()
    encoding: dict[str, Any] | None = None
    manifest: list[str] | None = None


_ProcessRecord = Callable[[dict[str, Any]], None]


class _Expected(NamedTuple):
    """The decoder for the RECORDs of a stream, and the function that processes each record."""

    decode: Callable[[bytes], Any]
    process: _ProcessRecord


_MARK = re.compile(rb'"(?:\xef\xbb\xbf|\\ufeff)', re.IGNORECASE)
"""A byte order mark at the start of a JSON string, as before the first column name of a CSV."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""A surrogate, which is half of a UTF-16 character, and which UTF-8 cannot encode."""
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)
_decode_message = msgspec.json.Decoder(Message).decode
# Decimal keeps the digits that the tap sent, as the SDK's reader does.
_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class MessageReader(GenericSingerReader[str]):
    """Reads messages: passes records to the functions of their stream, and others to callbacks.

    The reader calls the function `tick` before each read. A read waits for at most one second, so
    `tick` can do other work while the tap is silent.

    Attributes:
        stopped: Whether the reading ends; a caller sets this to True.
    """

    default_input = sys.stdin

    def __init__(self, tick: Callable[[], None]) -> None:
        super().__init__()
        self._tick = tick
        self._streams: dict[str, _Expected] = {}
        self._marked: set[str] = set()  # Streams with a byte order mark in the name of a column.
        self._expected = _NOTHING  # Most lines belong to the stream of the last RECORD.
        self.stopped = False

    def pass_records(
        self, stream: str, columns: Sequence[str] | None, *processes: _ProcessRecord
    ) -> None:
        """Pass each record of a stream to these functions from now on.

        The reader decodes only the given columns, or all columns if `columns` is None. Decoding is
        faster if the columns have the same order as in the records.
        """
        process = processes[0] if len(processes) == 1 else partial(_process_by_each, processes)
        decode = line_decoder(stream, columns)
        marked = stream in self._marked
        decode_line = (lambda line: decode(without_mark(line))) if marked else decode
        self._streams[stream] = _Expected(decode_line, process)

    def process_of(self, message: Message) -> _ProcessRecord:
        """Return the function that processes the records of the message's stream.

        Raises:
            RecordsWithoutSchemaException: If the tap has not sent the stream's SCHEMA yet.
        """
        return self._expected_of(message).process

    def _expected_of(self, message: Message) -> _Expected:
        stream = stream_of(message)
        if stream not in self._streams:
            msg = (
                f"the tap sent a record of stream '{stream}' before it sent the stream's SCHEMA:"
                " report this to the maintainers of the tap"
            )
            raise RecordsWithoutSchemaException(msg)
        return self._streams[stream]

    def process_lines(
        self, file_input: IO[str] | None, callbacks: dict[str, Callable[[Any], None]]
    ) -> Counter[str]:
        """Process all messages of an input, and return the number of messages by type.

        Args:
            file_input: The input; None means standard input.
            callbacks: For each type of message except RECORD, the function that takes a message.

        Raises:
            InputError: If a line is not a Singer message. The error has the number of the line, but
                never its content.
        """
        counts: Counter[str] = Counter()
        records = 0
        number = 0
        decode, process = self._expected
        try:
            for line in input_lines(file_input or sys.stdin, self.goes_on):
                number += 1
                try:
                    # To decode the line and its record at once takes 0.8 µs instead of 1.2 µs, and
                    # for 200 columns 6 µs instead of 10 µs.
                    record = decode(line).record
                except _UNREADABLE:
                    if line and not line.isspace():
                        counts[self._process_line(line, callbacks)] += 1
                        decode, process = self._expected
                else:
                    process(record)
                    records += 1
                if self.stopped:
                    break
        except InputError as error:
            msg = f"line {number} of the input: {error}"
            raise InputError(msg) from None
        counts["RECORD"] += records
        return counts

    def _process_line(self, line: bytes, callbacks: dict[str, Callable[[Any], None]]) -> str:
        message = decode_message(line)
        if message.type == "RECORD":
            self._expected = expected = self._expected_of(message)
            expected.process(_decode(expected.decode, line).record)
            return message.type
        callback = callbacks.get(message.type)
        if callback is None:
            kind = message.type[:40] if message.type.isidentifier() else "?"
            msg = f"the message has the unknown type '{kind}'"
            raise InputError(msg)
        if message.type == "SCHEMA":
            self._expected = _NOTHING  # The callback may change the decoder.
            if _MARK.search(line):
                self._marked.add(stream_of(message))
                message = decode_message(without_mark(line))
        callback(message)
        return message.type

    def drain(self, file_input: IO[str] | None, goes_on: Callable[[], bool]) -> None:
        """Read and ignore the rest of the input while `goes_on` returns True."""
        for _ in input_lines(file_input or sys.stdin, goes_on):
            pass

    def goes_on(self) -> bool:
        """Call `tick`, and return whether the reading continues."""
        self._tick()
        return not self.stopped

    def deserialize_json(self, line: str) -> dict[str, Any]:
        """Decode a JSON object. The SDK requires this method, but `decode_message` is used."""
        return decode_object(line.encode())


def _process_by_each(processes: Sequence[_ProcessRecord], record: dict[str, Any]) -> None:
    for process in processes:
        process(record)


def without_mark(text: bytes) -> bytes:
    """Return JSON without the byte order marks at the start of its strings."""
    return _MARK.sub(b'"', text)


def _nothing(_: Any) -> NoReturn:
    raise msgspec.DecodeError


_NOTHING = _Expected(_nothing, _nothing)


def stream_of(message: Message) -> str:
    """Return the name of a message's stream.

    Raises:
        InputError: If the name is missing, or contains characters that cannot be printed.
    """
    if not message.stream:
        msg = f"the {message.type} message has no stream"
        raise InputError(msg)
    if not message.stream.isprintable():  # The name could forge log lines.
        msg = (
            f"the stream's name in the {message.type} message contains characters that cannot be"
            " printed"
        )
        raise InputError(msg)
    return message.stream


def state_of(message: Message) -> str:
    """Return the value of a STATE as the JSON text that the tap wrote, so that no number changes.

    (For a value that is not strict JSON, see `decode_message`.)

    Raises:
        InputError: If the STATE has no value, or is not UTF-8.
    """
    if not message.value:
        msg = "the STATE message has no value"
        raise InputError(msg)
    return _utf8(message.value)


def input_lines(file_input: IO[str], goes_on: Callable[[], bool]) -> Iterator[bytes]:
    """Return an iterator over the lines of an input, which ends when `goes_on` returns False.

    `goes_on` is called before each read; for a file in memory, after each 100 lines.
    """
    try:
        descriptor = file_input.fileno()
    except (OSError, AttributeError):
        return _lines_in_memory(file_input, goes_on)
    return _lines_of_chunks(chunks(descriptor, _CHUNK_BYTES, _WAIT_SECONDS), goes_on)


def _lines_in_memory(file_input: IO[str], goes_on: Callable[[], bool]) -> Iterator[bytes]:
    for number, text in enumerate(file_input, 1):
        yield text.encode(errors="surrogatepass").strip(b"\r\n")
        if number % _LINES_PER_TICK == 0 and not goes_on():
            return


def _lines_of_chunks(came: Iterator[bytes | None], goes_on: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the lines of chunks.

    A chunk is None after a second without input, and empty at the end of the input.
    """
    parts: list[bytes] = []  # The beginning of an incomplete line.
    while goes_on():
        chunk = next(came)
        if chunk is None:
            continue
        whole, rest = _split(chunk)
        if whole and parts:
            whole[0] = b"".join((*parts, whole[0]))
            parts = []
        yield from whole
        if rest:
            parts.append(rest)
        elif not whole:  # The end of the input.
            yield b"".join(parts)
            return


def _split(chunk: bytes) -> tuple[list[bytes], bytes]:
    """Return the complete lines of a chunk, and the beginning of the next line."""
    # BytesIO finds line ends with memchr. `bytes.split` looks at each byte, which takes 5 µs for a
    # line of 10 KB.
    whole = io.BytesIO(chunk).readlines()
    if whole and not whole[-1].endswith(b"\n"):
        return whole[:-1], whole[-1]
    return whole, b""


def decode_message(line: bytes) -> Message:
    """Decode a line to a message; raise an `InputError` if the line is not a Singer message.

    If only Python's `json` module can decode the line, this module writes the value of a STATE
    again. So a NaN or half a character in a STATE stays as it is, and the tap gets it back.
    """
    with contextlib.suppress(*_UNREADABLE):
        return _decode_message(line)
    message: Message = _decode(_decode_message, line)
    if message.value:  # Here, `_strict_json` may have changed it.
        message.value = msgspec.Raw(json.dumps(json.loads(line)["value"]).encode())
    return message


def line_decoder(stream: str, columns: Sequence[str] | None) -> Callable[[bytes], Any]:
    """Return a decoder that accepts only lines with a RECORD of one stream.

    The decoder decodes only `columns`, or all columns if `columns` is None. To decode 10 of 200
    columns takes a third of the time. If the name of a column is not ASCII, the decoder decodes all
    columns, because msgspec does not find such a key of a `TypedDict`.
    """
    members = dict.fromkeys(columns or (), Any)
    known: Any = TypedDict("Columns", members, total=False)  # type: ignore[misc] # (not literal)
    takes_all = columns is None or not all(map(str.isascii, members))
    record = dict[str, Any] if takes_all else known
    fields = [("type", Literal["RECORD"]), ("stream", Literal[stream]), ("record", record)]
    line = msgspec.defstruct("Line", fields, gc=False)
    return msgspec.json.Decoder(line, float_hook=Decimal).decode


def decode_object(text: bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode a JSON object; raise an `InputError` if the text is not a JSON object."""
    decoded: dict[str, Any] = _decode(_decode_object, text)
    return decoded


def _decode(decode: Callable[[Any], Any], text: bytes | msgspec.Raw) -> Any:
    try:
        return decode(text)
    except _UNREADABLE:
        loose = _utf8(text)
    try:
        return decode(_strict_json(loose))
    except msgspec.ValidationError as error:
        # The error has types and places, never a value.
        msg = f"the line is not a valid Singer message: {error}"
    except json.JSONDecodeError as error:
        msg = f"the line is not valid JSON: {error.msg} (character {error.pos})"
    except (*_UNREADABLE, ValueError):
        msg = "the line is nested too deeply, or contains a number that is too long"
    raise InputError(msg)


def _utf8(text: bytes | msgspec.Raw) -> str:
    try:
        return bytes(text).decode()
    except UnicodeDecodeError:
        msg = "the line is not valid UTF-8"
        raise InputError(msg) from None


def _strict_json(line: str) -> bytes:
    """Convert what Python's `json` module accepts as JSON to strict JSON, for records.

    NaN and each string with a surrogate become null. An infinity becomes a string, which no column
    accepts as a number.
    """
    loose = json.loads(line, parse_float=Decimal, parse_constant=_constant)
    return _encode(_without_surrogates(loose))


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, dict):
        return {_without_surrogates(k) or "": _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    return None if isinstance(value, str) and _SURROGATE.search(value) else value
