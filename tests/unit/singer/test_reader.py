"""Lines of a tap's output: every kind of message, every kind of junk, and none of it shown."""

import io
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import IO, Any, NamedTuple

import pytest
from singer_sdk.exceptions import RecordsWithoutSchemaException

from target_liveintent.errors import InputError
from target_liveintent.singer import reader
from target_liveintent.singer.reader import (
    Message,
    MessageReader,
    decode_message,
    input_lines,
    state_of,
)


class Record(NamedTuple):
    """A record that was handed over."""

    stream: str
    record: dict[str, Any]
    type: str = "RECORD"


class Recorder:
    """A reader, and what it handed over."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.ticks = 0
        self.reader = MessageReader(self._tick)
        self.select("s")

    def _tick(self) -> None:
        self.ticks += 1

    def select(self, stream: str, *columns: str) -> None:
        """Select columns of a stream, as a SCHEMA does; all without a name."""
        self.reader.pass_records(
            stream, columns or None, lambda record: self.messages.append(Record(stream, record))
        )

    def read(self, source: str | bytes | IO[str]) -> list[Any]:
        """Read text, bytes (through a pipe) or a file."""
        if isinstance(source, str):
            source = io.StringIO(source)
        elif isinstance(source, bytes):
            source = _pipe(source)
        kinds = ("SCHEMA", "STATE", "BATCH", "ACTIVATE_VERSION")
        callbacks: dict[str, Callable[[Any], None]] = dict.fromkeys(kinds, self.messages.append)
        try:
            counts = self.reader.process_lines(source, callbacks)
        finally:
            source.close()
        assert counts == Counter(message.type for message in self.messages)
        return self.messages


def _pipe(content: bytes) -> IO[str]:
    readable, writable = os.pipe()

    def write() -> None:
        with os.fdopen(writable, "wb") as file:
            file.write(content)

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(readable, encoding="utf-8")


def record_line(columns: bytes) -> bytes:
    return b'{"type":"RECORD","stream":"s","record":' + columns + b"}"


STREAM = [
    b'{"type":"SCHEMA","stream":"s","schema":{"properties":{}},"key_properties":["id"]}',
    b'{"type":"RECORD","stream":"s","record":{"id":1},"time_extracted":"x","version":5}',
    b'{"type":"STATE","value":{"a":1.10}}',
    b'{"type":"ACTIVATE_VERSION","stream":"s","version":5}',
    b'{"type":"BATCH","stream":"s","encoding":{"format":"jsonl"},"manifest":["file:///x"]}',
]


@pytest.mark.parametrize(
    ("through", "end"),
    [
        *(
            pytest.param("pipe", end, id=f"pipe, {last_line}")
            for last_line, end in (
                ("newline at the end", b"\n"),
                ("no newline at the end", b""),
                ("Windows newline at the end", b"\r\n"),
                ("blank lines at the end", b"\n\n  \n"),
            )
        ),
        pytest.param("memory", b"\r\n", id="memory"),
    ],
)
def test_each_message_gets_to_its_callback_however_a_line_ends(through: str, end: bytes) -> None:
    content = b"\n".join(STREAM) + end
    found = Recorder().read(content if through == "pipe" else content.decode())
    types = ["SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION", "BATCH"]
    assert [message.type for message in found] == types
    assert found[0].key_properties == ["id"]
    assert found[1].record == {"id": 1}
    assert bytes(found[2].value) == b'{"a":1.10}'
    assert found[4].manifest == ["file:///x"]
    assert Recorder().read("") == Recorder().read(b"") == []


def test_lines_that_come_in_pieces() -> None:
    """No line is lost where chunks meet, also if it is longer than any, or cut in a character."""
    small = [{"i": number} for number in range(20_000)]
    records = [{"a": "ü" * 200_000}, *small, {"a": "ü" * 200_000}]
    lines_ = [json.dumps(one, ensure_ascii=False).encode() for one in records]
    found = Recorder().read(b"".join(record_line(line) + b"\n" for line in lines_))
    assert [message.record for message in found] == records


@pytest.mark.parametrize(
    ("content", "record"),
    [
        # Numbers with a fraction are Decimals with the digits that came.
        (b'{"a":87.10,"b":1e2,"c":5}', {"a": Decimal("87.10"), "b": Decimal("1E+2"), "c": 5}),
        (b'{"a":12345678901234567890.123}', {"a": Decimal("12345678901234567890.123")}),
        (b'{"a":-0.0}', {"a": Decimal("-0.0")}),
        # Taps write NaN and lone surrogates: they are nothing, and the rest is kept.
        (b'{"a":["x","\\udfff"],"b":{"c":"\\ud83d"}}', {"a": ["x", None], "b": {"c": None}}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":NaN,"b":87.10}', {"a": None, "b": Decimal("87.10")}),
        # An infinity is something, but no number.
        (b'{"a":Infinity,"b":[-Infinity]}', {"a": "Infinity", "b": ["-Infinity"]}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":NaN,"b":%d}' % 10**29, {"a": None, "b": 10**29}),
        (b'{"a":"\\u0000"}', {"a": "\x00"}),
        (b'{"":1}', {"": 1}),
    ],
    ids=ascii,
)
def test_each_value_of_a_record_is_what_json_says(content: bytes, record: dict[str, Any]) -> None:
    (message,) = Recorder().read(record_line(content) + b"\n")
    assert repr(message.record) == repr(record)


def test_a_state_is_passed_on_byte_by_byte() -> None:
    """No number in a STATE changes on its way."""
    value = b'{"bookmarks":{"s":{"v":1.10,"n":12345678901234567890.10,"e":1e400,"t":"\\u00fc"}}}'
    (message,) = Recorder().read(b'{"type":"STATE","value":' + value + b"}\n")
    assert bytes(message.value) == value
    (message,) = Recorder().read(b'{"value":{},"x":[1,{"y":NaN}],"type":"STATE"}\n')
    assert bytes(message.value) == b"{}"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("NaN", id="NaN"),
        pytest.param('{"a":[Infinity,-Infinity]}', id="infinities"),
        pytest.param('{"s":{"\\ud800":1,"\\udfff":"x\\ud83d"}}', id="half characters"),
        pytest.param(f'{{"a":NaN,"n":{10**29},"t":"\\ud83d\\ude00\u00fc"}}', id="with others"),
    ],
)
def test_a_state_that_only_python_reads_keeps_its_meaning(value: str) -> None:
    """Taps in Python write it, and read it back: nothing in it becomes null or a text."""
    (message,) = Recorder().read(f'{{"value":{value},"type":"STATE"}}\n'.encode())
    written = state_of(message)
    assert repr(json.loads(written)) == repr(json.loads(value))
    assert written.isascii()  # So that standard output can have half a character.


S = b"ann.s3cr3t@example.com"
DEEP = b"[" * 200_000
BATCH = b'{"type":"BATCH","stream":"s","encoding":'
KEYS = b'{"type":"SCHEMA","stream":"s","schema":{},"key_properties":'
JUNK = [
    # No object, or more than one.
    *(S, b'"' + S + b'"', b'["' + S + b'"]', b"null", b"5", b"\x00", b"\xff\xfe{\x00"),
    *(STREAM[2].decode().encode("utf-16"), b"\xef\xbb\xbf" + STREAM[2], STREAM[2] * 2),
    *(STREAM[2] + b" // " + S, b"{'type':'STATE','value':'" + S + b"'}"),
    *(record_line(b'{"a":1}') + b" " + S, record_line(b'{"a":"' + S + b'"').removesuffix(b"}")),
    # A type that Singer does not have.
    *(b'{"type":"' + S + b'"}', b'{"type":["' + S + b'"]}', b'{"type":5}'),
    b'{"type":"record","stream":"s","record":{}}',
    *(b'{"type":null,"record":{"a":"' + S + b'"}}', b'{"record":{"a":"' + S + b'"}}'),
    # Members of the wrong type.
    *(record_line(b'["' + S + b'"]'), record_line(b'"' + S + b'"'), record_line(b"5")),
    b'{"type":"RECORD","stream":["' + S + b'"],"record":{}}',
    b'{"type":"RECORD","stream":"\\ud800","record":{}}',
    *(KEYS + b'["a",5]}', KEYS + b'"' + S + b'"}', BATCH + b'"' + S + b'","manifest":[]}'),
    *(BATCH + b'{},"manifest":["x",{"a":"' + S + b'"}]}', BATCH + b'{},"manifest":"' + S + b'"}'),
    # Values that nobody can read.
    *(record_line(b'{"a":"' + S + b'\x01"}'), record_line(b'{"a":"' + S + b'\xff"}')),
    record_line(b'{"' + S + b'":01}'),
    *(
        record_line(start + number + b"}")
        for start in (b'{"a":', b'{"b":NaN,"a":')
        for number in (b"1" * 10_000, b"1e99999999999999999999")
    ),
    *(record_line(b'{"a":' + DEEP), record_line(b'{"a":' + DEEP + b"]" * 200_000 + b"}")),
    record_line(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
]
"""Lines that are no message of a tap: each ends the run. One of each kind is in `tests/fuzz`."""


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:60]))
def test_junk_names_its_line_and_shows_nothing(junk: bytes) -> None:
    """A malformed line raises an error of one line, with the line's number and none of its text."""
    content = STREAM[0] + b"\n\n" + STREAM[1] + b"\n" + junk + b"\n" + STREAM[2] + b"\n"
    for source in (content, content.decode(errors="surrogateescape")):
        found = Recorder()
        with pytest.raises(InputError) as raised:
            found.read(source)
        message = str(raised.value)
        assert "line 4" in message
        assert not [hidden for hidden in ("\n", "s3cr3t", "1111") if hidden in message]
        assert len(message) < 300
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert "STATE" not in [seen.type for seen in found.messages]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "has no value"),
        (b',"value":{"a":"s3cr3t\xff"}', "not valid UTF-8"),
    ],
    ids=ascii,
)
def test_a_state_needs_a_value_that_can_be_written(value: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        state_of(decode_message(b'{"type":"STATE"' + value + b"}"))
    assert "s3cr3t" not in str(raised.value)


def test_a_reader_that_is_stopped_reads_no_further() -> None:
    """After a signal nothing more is handed over."""
    found = Recorder()
    taken: list[Message] = []

    def take(message: Message) -> None:
        taken.append(message)
        found.reader.stopped = True

    source = _pipe((STREAM[2] + b"\n") * 5)
    with source:
        found.reader.process_lines(source, {"STATE": take})
    assert len(taken) == 1


def test_a_busy_tap_does_not_stop_the_clock() -> None:
    """The tick is called during a long input in memory too."""
    found = Recorder()
    found.read((STREAM[2].decode() + "\n") * 1_000)
    assert (found.ticks >= 5, len(found.messages)) == (True, 1_000)


def test_a_line_is_handed_over_before_the_next_comes() -> None:
    """A message is not held back until the tap says more."""
    readable, writable = os.pipe()
    os.write(writable, STREAM[2] + b"\n" + STREAM[2][:10])
    taken: list[Message] = []

    def take(message: Message) -> None:
        taken.append(message)
        if len(taken) == 1:  # Only now does the tap say more.
            os.write(writable, STREAM[2][10:])
            os.close(writable)

    ticks = iter(range(20))  # After as many seconds, a wait in vain fails.
    with os.fdopen(readable) as source:
        MessageReader(lambda: next(ticks)).process_lines(source, {"STATE": take})
    assert len(taken) == 2


# Waiting


def test_a_silent_tap_does_not_stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no line comes, `goes_on` is called again and again, until it returns False."""
    assert reader._WAIT_SECONDS == 1.0  # noqa: SLF001 (what is promised)
    monkeypatch.setattr(reader, "_WAIT_SECONDS", 0.01)
    readable, writable = os.pipe()
    calls = iter([True, True, False])
    with os.fdopen(readable) as source, os.fdopen(writable, "wb"):
        assert list(input_lines(source, lambda: next(calls))) == []
    assert list(calls) == []


# Records


def record(stream: str, **columns: Any) -> str:
    message = {"type": "RECORD", "stream": stream, "record": columns}
    return json.dumps(message) + "\n"


def test_only_the_columns_that_are_needed() -> None:
    """Other columns are skipped, in each way in which a record can be read."""
    found = Recorder()
    found.select("s", "x", "a")
    found.select("t")
    content = "".join(
        [
            *(record("s", a=number, b=2) for number in range(3)),
            *(record("t", a=3, b=4), record("s", a=7, b=8)),
            *(record("s", a=float("nan"), b=9), record("s", b=10)),
        ]
    )
    assert [(message.stream, message.record) for message in found.read(content)] == [
        *(("s", {"a": number}) for number in range(3)),
        *(("t", {"a": 3, "b": 4}), ("s", {"a": 7})),
        *(("s", {"a": None}), ("s", {})),
    ]


@pytest.mark.parametrize("name", ["a b", "a.b", 'a"b', "a\\b", "Währung", "Betrag €", "金额"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_column_may_have_any_name(name: str, escaped: bool) -> None:
    """Taps pass on the names of columns as the source has them, escaped or not."""
    found = Recorder()
    found.select("s", name)
    message = {"type": "RECORD", "stream": "s", "record": {name: 1}}
    content = json.dumps(message, ensure_ascii=escaped) + "\n"
    assert [one.record for one in found.read(content)] == [{name: 1}]


def test_a_stream_whose_schema_changes() -> None:
    """A SCHEMA says how the records after it are decoded, and who takes them."""
    found, columns = MessageReader(lambda: None), iter(["a", "b"])
    taken: list[dict[str, Any]] = []

    def take_schema(_: Message) -> None:
        found.pass_records("s", [next(columns)], taken.append)

    both = '{"type":"SCHEMA","stream":"s"}\n{"type":"RECORD","stream":"s","record":{"a":1,"b":2}}\n'
    found.process_lines(io.StringIO(2 * both), {"SCHEMA": take_schema})
    assert taken == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("mark", "columns"),
    [
        *(
            pytest.param(mark, ("id",), id=f"{written}, some columns")
            for written, mark in (
                ("a character", "\ufeff"),
                ("escaped", "\\ufeff"),
                ("escaped in capitals", "\\uFEFF"),
            )
        ),
        pytest.param("\ufeff", None, id="a character, all columns"),
    ],
)
def test_a_byte_order_mark_is_taken_off_names_and_stays_in_a_state(
    mark: str, columns: tuple[str, ...] | None
) -> None:
    """It is taken off the name of a column, as a CSV may have it, and stays in a STATE."""
    found = MessageReader(lambda: None)
    schemas: list[Message] = []
    records: list[dict[str, Any]] = []
    states: list[str] = []

    def take_schema(message: Message) -> None:
        schemas.append(message)
        found.pass_records("s", columns, records.append)

    content = (
        f'{{"type":"SCHEMA","stream":"s","schema":{{"properties":{{"{mark}id":{{}}}}}},'
        f'"key_properties":["{mark}id"]}}\n'
        f'{{"type":"RECORD","stream":"s","record":{{"{mark}id":"7"}}}}\n'
        f'{{"type":"STATE","value":{{"{mark}id":1}}}}\n'
        f'{{"type":"RECORD","stream":"s","record":{{"{mark}id":"8"}}}}\n'
    )
    callbacks: dict[str, Any] = {
        "SCHEMA": take_schema,
        "STATE": lambda message: states.append(state_of(message)),
    }
    found.process_lines(io.StringIO(content), callbacks)
    assert bytes(schemas[0].schema) == b'{"properties":{"id":{}}}'
    assert schemas[0].key_properties == ["id"]
    assert records == [{"id": "7"}, {"id": "8"}]
    assert states == [f'{{"{mark}id":1}}']


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"type":"RECORD","record":{}}', "the RECORD message has no stream"),
        ('{"type":"RECORD","stream":"a\\nb","record":{}}', "characters that cannot be printed"),
        ('{"type":"RECORD","stream":"s"}', "not a valid Singer message"),
        ('{"type":"' + 41 * "X" + '"}', f"the message has the unknown type '{40 * 'X'}'"),
    ],
    ids=ascii,
)
def test_the_line_of_a_malformed_message_is_named(line: str, said: str) -> None:
    found = Recorder()
    with pytest.raises(InputError, match=f"line 2 of the input: .*{said}"):
        found.read(record("s", a=1) + line + "\n")
    assert len(found.messages) == 1


def test_a_record_before_its_schema() -> None:
    """It is an error of the tap, whether it comes in a line or in a file of a BATCH."""
    found = Recorder()
    with pytest.raises(RecordsWithoutSchemaException, match="a record of stream 'returns' before"):
        found.read(record("returns", a=1))
    with pytest.raises(RecordsWithoutSchemaException, match="a record of stream 'returns' before"):
        found.reader.process_of(Message("BATCH", "returns"))
    assert found.messages == []


def test_a_state_does_not_slow_the_next_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taps write a STATE after each record; only the first record is decoded in two steps."""
    found = Recorder()
    found.select("s", "a")
    decoded: list[bytes] = []

    def note(line: bytes) -> Message:
        decoded.append(line)
        return decode_message(line)

    monkeypatch.setattr(reader, "decode_message", note)
    found.read((record("s", a=1) + '{"type":"STATE","value":{}}\n') * 5)
    assert sum(b"RECORD" in line for line in decoded) == 1
    assert len(found.messages) == 10
