"""Lines of a tap's output: every kind of message, every kind of junk, and none of it shown."""

from __future__ import annotations

import io
import json
import os
import threading
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import pytest

from target_liveintent.errors import InputError
from target_liveintent.singer.reader import (
    Message,
    MessageReader,
    Record,
    decode_message,
    decode_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "ann.s3cr3t@example.com"


class Recorder:
    """A reader, and what it handed over."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.ticks = 0
        self.reader = MessageReader(self._tick)

    def _tick(self) -> None:
        self.ticks += 1

    def read(self, source: str | bytes | IO[str]) -> list[Any]:
        """Read text, bytes (through a pipe) or a file."""
        if isinstance(source, str):
            source = io.StringIO(source)
        elif isinstance(source, bytes):
            source = _pipe(source)
        kinds = ("SCHEMA", "RECORD", "STATE", "BATCH", "ACTIVATE_VERSION")
        callbacks: dict[str, Callable[[Any], None]] = dict.fromkeys(kinds, self.messages.append)
        try:
            self.reader.process_lines(source, callbacks)
        finally:
            source.close()
        return self.messages


def _pipe(content: bytes) -> IO[str]:
    readable, writable = os.pipe()

    def write() -> None:
        with os.fdopen(writable, "wb") as file:
            file.write(content)

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(readable, encoding="utf-8")


STREAM = [
    b'{"type":"SCHEMA","stream":"s","schema":{"properties":{}},"key_properties":["id"]}',
    b'{"type":"RECORD","stream":"s","record":{"id":1},"time_extracted":"x","version":5}',
    b'{"type":"STATE","value":{"a":1.10}}',
    b'{"type":"ACTIVATE_VERSION","stream":"s","version":5}',
    b'{"type":"BATCH","stream":"s","encoding":{"format":"jsonl"},"manifest":["file:///x"]}',
]


@pytest.mark.parametrize("through", ["pipe", "memory"])
@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\n\n  \n"])
def test_every_message_type(through: str, end: bytes) -> None:
    """Each message gets to its callback, from a pipe or from memory, however the last line ends."""
    content = b"\n".join(STREAM) + end
    found = Recorder().read(content if through == "pipe" else content.decode())
    assert [message.type for message in found] == [
        "SCHEMA",
        "RECORD",
        "STATE",
        "ACTIVATE_VERSION",
        "BATCH",
    ]
    assert found[0].key_properties == ["id"]
    assert found[1].record == {"id": 1}
    assert bytes(found[2].value) == b'{"a":1.10}'
    assert found[4].manifest == ["file:///x"]


def test_empty_input() -> None:
    """An empty input has no messages."""
    assert Recorder().read("") == []
    assert Recorder().read(b"") == []


def test_lines_that_come_in_pieces() -> None:
    """A line longer than any buffer, and a character cut in two, are put together."""
    big = ("ü" * 200_000).encode()
    line = b'{"type":"RECORD","stream":"s","record":{"a":"' + big + b'"}}'
    found = Recorder().read(b"\n".join([line, STREAM[2], line]) + b"\n")
    assert [message.type for message in found] == ["RECORD", "STATE", "RECORD"]
    assert found[0].record["a"] == big.decode()


def test_many_small_lines() -> None:
    """None is lost where chunks meet."""
    content = b"".join(
        b'{"type":"RECORD","stream":"s","record":{"i":%d}}\n' % number for number in range(20_000)
    )
    found = Recorder().read(content)
    assert [message.record["i"] for message in found] == list(range(20_000))


def test_digits_are_kept() -> None:
    """Numbers with a fraction are Decimals with the digits that came."""
    record = decode_object(b'{"a":87.10,"b":1e2,"c":5,"d":12345678901234567890.123,"e":-0.0}')
    assert record == {
        "a": Decimal("87.10"),
        "b": Decimal(100),
        "c": 5,
        "d": Decimal("12345678901234567890.123"),
        "e": 0,
    }
    assert str(record["a"]) == "87.10"


@pytest.mark.parametrize(
    ("content", "record"),
    [
        (b'{"a":NaN}', {"a": None}),
        (b'{"a":Infinity,"b":-Infinity}', {"a": None, "b": None}),
        (b'{"a":"\\ud800"}', {"a": None}),
        (b'{"a":["x","\\udfff"],"b":{"c":"\\ud83d"}}', {"a": ["x", None], "b": {"c": None}}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":NaN,"b":87.10}', {"a": None, "b": Decimal("87.10")}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (
            b'{"a":NaN,"b":123456789012345678901234567890}',
            {"a": None, "b": 123456789012345678901234567890},
        ),
        (b'{"a":"\\u0000"}', {"a": "\x00"}),
        (b'{"":1}', {"": 1}),
    ],
)
def test_what_python_s_json_writes(content: bytes, record: dict[str, Any]) -> None:
    """Taps write NaN, infinities and lone surrogates: they are nothing, and the rest is kept."""
    line = b'{"type":"RECORD","stream":"s","record":' + content + b"}"
    found = Recorder()
    found.read(line.decode() + "\n")
    assert found.messages[0].record == record
    assert Recorder().read(line + b"\n")[0].type == "RECORD"


def test_a_state_is_passed_on_byte_by_byte() -> None:
    """No number in a STATE changes on its way."""
    value = b'{"bookmarks":{"s":{"v":1.10,"n":12345678901234567890.10,"e":1e400,"t":"\\u00fc"}}}'
    (message,) = Recorder().read(b'{"type":"STATE","value":' + value + b"}\n")
    assert bytes(message.value) == value


DEEP = b"[" * 200_000
JUNK = [
    SECRET.encode(),
    b'{"type":"RECORD","stream":"s","record":{"a":"' + SECRET.encode() + b'"',
    b'{"type":"RECORD","stream":"s","record":{"a":"' + SECRET.encode() + b'\x01"}}',
    b'{"type":"RECORD","stream":"s","record":{"a":"' + SECRET.encode() + b'\xff"}}',
    b'{"type":"' + SECRET.encode() + b'"}',
    b'{"type":"RECORD","stream":"s","record":["' + SECRET.encode() + b'"]}',
    b'{"type":"RECORD","stream":"s","record":"' + SECRET.encode() + b'"}',
    b'{"type":"RECORD","stream":["' + SECRET.encode() + b'"],"record":{}}',
    b'{"type":["' + SECRET.encode() + b'"]}',
    b'{"type":null,"record":{"a":"' + SECRET.encode() + b'"}}',
    b'{"record":{"a":"' + SECRET.encode() + b'"}}',
    b'["' + SECRET.encode() + b'"]',
    b'"' + SECRET.encode() + b'"',
    b"null",
    b"5",
    b"\x00",
    b"\xff\xfe{\x00",
    b'{"type":"RECORD","stream":"s","record":{"a":1}} ' + SECRET.encode(),
    b'{"type":"RECORD","stream":"s","record":{"' + SECRET.encode() + b'":01}}',
    b'{"type":"RECORD","stream":"s","record":{"a":' + b"1" * 10_000 + b"}}",
    b'{"type":"RECORD","stream":"s","record":{"b":NaN,"a":' + b"1" * 10_000 + b"}}",
    b'{"type":"RECORD","stream":"s","record":{"a":1e99999999999999999999}}',
    b'{"type":"RECORD","stream":"s","record":{"b":NaN,"a":1e99999999999999999999}}',
    b'{"type":"RECORD","stream":"s","record":{"a":' + DEEP,
    b'{"type":"RECORD","stream":"s","record":{"a":' + DEEP + b"]" * 200_000 + b"}}",
    b'{"type":"RECORD","stream":"s","record":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    b'{"type":"SCHEMA","stream":"s","schema":{},"key_properties":["a",5]}',
    b'{"type":"SCHEMA","stream":"s","schema":{},"key_properties":"' + SECRET.encode() + b'"}',
    b'{"type":"BATCH","stream":"s","encoding":"' + SECRET.encode() + b'","manifest":[]}',
    b'{"type":"BATCH","stream":"s","encoding":{},"manifest":["x",{"a":"'
    + SECRET.encode()
    + b'"}]}',
]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:60]))
@pytest.mark.parametrize("through", ["pipe", "memory"])
def test_junk_names_its_line_and_shows_nothing(junk: bytes, through: str) -> None:
    """A malformed line raises an error of one line, with the line's number and none of its text."""
    content = STREAM[0] + b"\n\n" + STREAM[1] + b"\n" + junk + b"\n" + STREAM[2] + b"\n"
    found = Recorder()
    with pytest.raises(InputError) as raised:
        found.read(content if through == "pipe" else content.decode(errors="surrogateescape"))
    message = str(raised.value)
    assert "line 4" in message
    assert "\n" not in message
    assert "s3cr3t" not in message
    assert "1111" not in message
    assert len(message) < 300
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert "STATE" not in [seen.type for seen in found.messages]


def test_an_unknown_type_is_named() -> None:
    """Where it is a word, the user sees it."""
    with pytest.raises(InputError, match=r"line 1 .*SURPRISE"):
        Recorder().read('{"type":"SURPRISE"}\n')


def test_errors_of_handlers_name_the_line() -> None:
    """What is found wrong later, in the record itself, is of that line too."""

    def handle(message: Message) -> None:
        msg = "no good"
        raise InputError(msg)

    reader = MessageReader(lambda: None)
    with pytest.raises(InputError, match=r"line 2 .*no good"):
        reader.process_lines(io.StringIO("\n" + STREAM[2].decode()), {"STATE": handle})


@pytest.mark.parametrize("content", [b"5", b"[]", b"null", b'"x"', b"", b"{", b"\xff"])
def test_decode_object_takes_objects_only(content: bytes) -> None:
    """Anything else is an InputError, and no other exception."""
    with pytest.raises(InputError):
        decode_object(content)


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
    assert found.ticks >= 5


def test_a_line_is_handed_over_before_the_next_comes() -> None:
    """A message is not held back until the tap says more."""
    readable, writable = os.pipe()
    got = threading.Event()

    def say() -> None:
        with os.fdopen(writable, "wb", buffering=0) as file:
            file.write(STREAM[2] + b"\n" + STREAM[2][:10])
            assert got.wait(5)
            file.write(STREAM[2][10:])

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    taken: list[Message] = []

    def take(message: Message) -> None:
        taken.append(message)
        got.set()

    with os.fdopen(readable) as source:
        MessageReader(lambda: None).process_lines(source, {"STATE": take})
    thread.join(5)
    assert len(taken) == 2


def test_messages_decode_alone() -> None:
    """A line of its own, with fields in any order."""
    message = decode_message(b'{"value":{},"x":[1,{"y":NaN}],"type":"STATE"}')
    assert (message.type, bytes(message.value)) == ("STATE", b"{}")


def test_the_sdk_s_own_way_to_decode() -> None:
    """The method that the SDK asks of a reader decodes as the reader itself does."""
    decoded = MessageReader(lambda: None).deserialize_json('{"a":87.10,"b":"ü"}')
    assert decoded == {"a": Decimal("87.10"), "b": "ü"}


# Records


def record(stream: str, **columns: Any) -> str:
    message = {"type": "RECORD", "stream": stream, "record": columns}
    return json.dumps(message) + "\n"


def test_only_the_columns_that_are_needed() -> None:
    """Other columns are skipped, in each way in which a record can be read."""
    found = Recorder()
    found.reader.select_columns("s", frozenset({"a", "x"}))
    found.reader.select_columns("t", None)
    content = "".join(
        [
            *(record("s", a=number, b=2) for number in range(3)),
            *(record("t", a=3, b=4), record("u", a=5, b=6), record("s", a=7, b=8)),
            *(record("s", a=float("nan"), b=9), record("s", b=10)),
        ]
    )
    assert [(message.stream, message.record) for message in found.read(content)] == [
        *(("s", {"a": number}) for number in range(3)),
        *(("t", {"a": 3, "b": 4}), ("u", {"a": 5, "b": 6}), ("s", {"a": 7})),
        *(("s", {"a": None}), ("s", {})),
    ]


def test_a_schema_changes_the_columns() -> None:
    """The columns that are selected at a SCHEMA hold from the next record on."""
    reader = MessageReader(lambda: None)
    columns = iter([frozenset({"a"}), frozenset({"b"})])
    records: list[Record] = []
    content = STREAM[0].decode() + "\n" + record("s", a=1, b=2) * 2
    counts = reader.process_lines(
        io.StringIO(content * 2),
        {
            "SCHEMA": lambda _: reader.select_columns("s", next(columns)),
            "RECORD": records.append,
        },
    )
    assert [found.record for found in records] == [{"a": 1}, {"a": 1}, {"b": 2}, {"b": 2}]
    assert counts == {"SCHEMA": 2, "RECORD": 4}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"type":"RECORD","record":{}}', "the RECORD message has no stream"),
        ('{"type":"RECORD","stream":"","record":{}}', "the RECORD message has no stream"),
        ('{"type":"RECORD","stream":"a\\nb","record":{}}', "characters that cannot be printed"),
        ('{"type":"RECORD","stream":"s"}', "the RECORD message has no record"),
        ('{"type":"RECORD","stream":"s","record":null}', "not a valid Singer message"),
    ],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_malformed_records(line: str, said: str, is_known: bool) -> None:
    """A malformed RECORD is rejected with its line, whether its stream is known or not."""
    found = Recorder()
    if is_known:
        found.reader.select_columns("s", frozenset({"a"}))
    with pytest.raises(InputError, match=f"line 2 of the input: .*{said}"):
        found.read(record("s", a=1) + line + "\n")
    assert len(found.messages) == 1
