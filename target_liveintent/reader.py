"""Singer messages from a tap's output, one a line, without ever showing what is in them.

Reading waits for at most a second at a time, so that what is due (batches that waited long enough,
STATE, signals) is seen to while a tap is silent.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import sys
import threading
from collections import Counter
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, TypedDict

import msgspec
from singer_sdk.io_base import GenericSingerReader

from target_liveintent.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CHUNK = 65_536
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


_decode_message = msgspec.json.Decoder(Message).decode
# Decimal keeps the digits that the tap sent, as the SDK's reader does.
_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


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
        self.stopped = False
        self.line_number = 0

    def process_lines(
        self, file_input: IO[str] | None, callbacks: dict[str, Callable[[Any], None]]
    ) -> Counter[str]:
        """Read all messages.

        Raises:
            InputError: If a line is no Singer message; names its number, never its content.
        """
        seen: Counter[str] = Counter()
        try:
            for line in lines(file_input or sys.stdin, self._goes_on):
                self.line_number += 1
                if not line or line.isspace():
                    continue
                message = decode_message(line)
                handle = callbacks.get(message.type)
                if handle is None:
                    kind = message.type if message.type.isidentifier() else "?"
                    msg = f"a message of the unknown type '{kind[:40]}'"
                    raise InputError(msg)  # noqa: TRY301 (the line's number is added below)
                handle(message)
                seen[message.type] += 1
                if self.stopped:
                    break
        except InputError as error:
            msg = f"line {self.line_number} of the input: {error}"
            raise InputError(msg) from None
        return seen

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
            chunk = os.read(descriptor, _CHUNK)
            first, *rest = chunk.split(b"\n")
            parts.append(first)
            if rest:
                yield b"".join(parts)
                parts = [rest.pop()]
                yield from rest
            if not chunk:
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


def record_decoder(
    columns: frozenset[str] | None,
) -> Callable[[bytes | msgspec.Raw], dict[str, Any]]:
    """A decoder of records that skips what no map names.

    Args:
        columns: The columns to decode; None for all. What the record lacks, the result lacks.

    Returns:
        A function like `decode_object`. Of 200 columns with 10 named it costs a third.
    """
    if columns is None:
        return decode_object
    members = dict.fromkeys(sorted(columns), Any)
    kind = TypedDict("Record", members, total=False)  # type: ignore[misc] # (made at run time)
    decode = msgspec.json.Decoder(kind, float_hook=Decimal).decode
    return functools.partial(_decode, decode)


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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
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
