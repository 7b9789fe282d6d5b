"""Hostile lines through a real process: a clear line or a rejection, soon, in bounded memory."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import TOKEN, WITH_ID, lines, numbered, order, schema, state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

MEGABYTE = 1_000_000
SOON = 10.0
"""Seconds within which a hostile line must have its end."""
SMALL = 150 * MEGABYTE
"""Memory of a process that has read nothing big."""


class Peak:
    """The greatest resident memory of a process, read from /proc while it lives."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._path = Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            try:
                found = re.search(r"VmHWM:\s+(\d+) kB", self._path.read_text())
            except OSError:
                return
            if found:
                self.bytes = max(self.bytes, int(found[1]) * 1024)

    def stop(self) -> int:
        self._done.set()
        self._thread.join(5)
        return self.bytes


def run(target: Launcher, *messages: Any, **settings: Any) -> tuple[Running, int]:
    """Run a target over an input, and return it with its greatest memory."""
    path = target.folder / "hostile.singer"
    with path.open("wb") as file:
        for message in messages:
            raw = message if isinstance(message, (str, bytes)) else json.dumps(message)
            file.write(raw if isinstance(raw, bytes) else raw.encode(errors="surrogatepass"))
            file.write(b"\n")
    with path.open("rb") as stdin:
        running = target.start(stdin=stdin, **settings)
        peak = Peak(running.process.pid)
        started = time.monotonic()
        running.wait(SOON)
    assert time.monotonic() - started < SOON
    return running, peak.stop()


def clear(running: Running) -> bool:
    """Whether a failed run says why in one line, without a traceback and without showing much."""
    text = running.log
    lines = [line for line in running.warnings if line]
    return (
        running.code == 1
        and len(lines) == 1
        and len(lines[0]) < 400
        and "Traceback" not in text
        and "this is a bug" not in text
        and "s3cr3t" not in text
        and TOKEN not in text
    )


def record(text: str) -> str:
    return f'{{"type":"RECORD","stream":"orders","record":{text}}}'


def now() -> int:
    return int(order(1)["record"]["event_time"])


def full(**columns: Any) -> str:
    """Return a RECORD that gives an event, with columns as JSON text."""
    more = "".join(f',"{name}":{text}' for name, text in columns.items())
    return record(f'{{"event_id":"x","event_time":{now()},"email":"a@example.com"{more}}}')


COLUMNS = (*WITH_ID, "order_id", "user_agent", "source_url", "note")
START = [schema(columns=COLUMNS), order(1), state(1)]


# Long lines


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("note", "x@4.0 "),
        ("user_agent", "words and more "),
    ],
    ids=["unused", "used"],
)
def test_a_line_of_50_megabytes(
    target: Launcher, server: FaultyServer, column: str, unit: str
) -> None:
    """A record with a column of 50 MB is an event as any other, in a few copies of the line."""
    count = 50 * MEGABYTE // len(unit)
    running, peak = run(target, *START, full(**{column: f'"{unit * count}"'}), state(2))
    assert running.code == 0, running.log[-2000:]
    assert running.states[-1] == 2
    assert server.accepted[-1] == "x"
    assert peak < SMALL + 6 * 50 * MEGABYTE


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("user_agent", "aaaaaaa40"),
        ("source_url", "/aaaaaaa@"),
        ("order_id", "%40"),
        ("email", "a@"),
    ],
)
def test_a_line_of_2_megabytes_that_looks_like_addresses(
    target: Launcher, server: FaultyServer, column: str, unit: str
) -> None:
    """Searching for addresses takes no time that anybody would notice."""
    text = unit * (2 * MEGABYTE // len(unit))
    line = {"event_id": "x", "event_time": now(), "email": "b@example.com", column: text}
    started = time.monotonic()
    running, peak = run(target, *START, record(json.dumps(line)), state(2))
    assert (running.code, running.states[-1]) == (0, 2), running.log[-2000:]
    assert time.monotonic() - started < 5
    assert peak < SMALL + 20 * 2 * MEGABYTE


@pytest.mark.parametrize(
    "line",
    [
        b"x" * 50 * MEGABYTE,
        b'{"type":"RECORD","stream":"orders","record":{"a":"' + b"s3cr3t " * 7 * MEGABYTE,
        b"[" * 50 * MEGABYTE,
        b'{"type":"STATE","value":' + b"9" * 50 * MEGABYTE + b"} s3cr3t",
        b" " * 50 * MEGABYTE + b"s3cr3t",
    ],
    ids=["text", "torn", "brackets", "digits", "blanks"],
)
def test_junk_of_50_megabytes(target: Launcher, server: FaultyServer, line: bytes) -> None:
    """What is no message is named by its number, in a few copies of the line."""
    running, peak = run(target, *START, line, state(2))
    assert clear(running), running.log[-2000:]
    assert "line 4" in running.last_line
    assert running.states == [1]
    assert peak < SMALL + 6 * 50 * MEGABYTE


def test_many_columns(target: Launcher, server: FaultyServer) -> None:
    """A record of 200,000 columns, of which few are used."""
    more = ",".join(f'"c{n}":{n}' for n in range(200_000))
    line = full().removesuffix("}}") + "," + more + "}}"
    running, peak = run(target, *START, line, state(2))
    assert (running.code, running.states[-1], server.accepted[-1]) == (0, 2, "x")
    assert peak < SMALL + 100 * MEGABYTE


def test_many_long_lines_one_after_the_other(target: Launcher, server: FaultyServer) -> None:
    """Memory is that of one line, not of all."""
    long = [full(note=f'"{"x" * 5 * MEGABYTE}"') for _ in range(15)]
    running, peak = run(target, *START, *long, state(2))
    assert (running.code, running.states[-1]) == (0, 2)
    assert peak < SMALL + 60 * MEGABYTE


# Strange values, which are a column's own trouble


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + "1" + closing * depth


STRANGE: dict[str, tuple[str, str]] = {
    "nan": ("value", "NaN"),
    "infinity": ("value", "-Infinity"),
    "1e400": ("value", "1e400"),
    "tiny": ("value", "1e-400"),
    "digits": ("value", "1." + "9" * 5_000),
    "huge": ("value", "9" * 4_000),
    "surrogate": ("order_id", '"\\ud800x"'),
    "surrogate-key": ("note", '{"\\udfff":1}'),
    "nul": ("user_agent", '"a\\u0000b"'),
    "duplicate": ("value", '1,"value":2'),
    "duplicate-key": ("event_id", '"y","event_id":"x"'),
    "deep-list": ("note", nested(900)),
    "deep-used": ("order_id", nested(900)),
    "deep-object": ("user_agent", nested(900, '{"a":', "}")),
    "tiny-id": ("order_id", "1e-99999999"),
    "tiny-agent": ("user_agent", "-1.5E-30000000"),
    "big-id": ("order_id", "1e99999999"),
    "zero-id": ("order_id", "0e-99999999"),
    "tiny-value": ("value", "1e-999999999"),
    "big-value": ("value", "1e999999999"),
    "regex": ("source_url", json.dumps("https://x/?" + "a=b&" * 30_000 + "%" * 30_000)),
}


def test_strange_values(target: Launcher, server: FaultyServer) -> None:
    """Each leaves its record an event, without the column if it cannot be used."""
    strange = [full(**{column: text}) for column, text in STRANGE.values()]
    running, peak = run(target, *START, *strange, state(2), batch_size_rows=1, ledger=False)
    assert (running.code, running.states[-1]) == (0, 2), running.log[-3000:]
    assert running.summary["total"].adds_up
    assert running.summary["total"].delivered == len(strange) + 1
    assert max(len(request.body) for request in server.requests) < MEGABYTE
    assert peak < SMALL


@pytest.mark.parametrize(
    "settings",
    [
        {"validate_records": True},
        {"on_rejection": "fail"},
        {
            "stream_maps": {
                "orders": {"event_id": "str(_.get('event_id'))", "value": "_.get('value')"}
            }
        },
    ],
    ids=["validate", "fail", "maps"],
)
def test_strange_values_in_any_mode(
    target: Launcher, server: FaultyServer, settings: dict[str, Any]
) -> None:
    """And so it is in every mode."""
    strange = [full(**{column: text}) for column, text in STRANGE.values()]
    running, _ = run(target, *START, *strange, state(2), batch_size_rows=1, **settings)
    assert (running.code, running.states[-1]) == (0, 2), running.log[-3000:]
    assert running.summary["total"].adds_up


def test_strange_values_that_are_refused(target: Launcher, server: FaultyServer) -> None:
    """Each fits into a dead letter of its size."""
    strange = [
        full(**{column: text, "event_time": '"?"'}).replace(f'"event_time":{now()},', "")
        for column, text in STRANGE.values()
    ]
    running, peak = run(target, *START, *strange, state(2), max_dead_letter_percent=100)
    assert (running.code, running.states[-1]) == (0, 2), running.log[-3000:]
    assert running.summary["total"].reasons == {"invalid_event_time": len(strange)}
    assert len(running.letters) == len(strange)
    assert peak < SMALL


# Lines that are no messages of a tap


def batch(url: str, form: str = "jsonl") -> str:
    encoding = {"format": form}
    return json.dumps(
        {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": [url]}
    )


BAD: dict[str, str | bytes] = {
    "deep-unclosed": record('{"a":' + "[" * 100_000),
    "unknown-type": '{"type":"s3cr3t?","stream":"orders"}',
    "lower-case-type": '{"type":"record","stream":"orders","record":{}}',
    "no-type": '{"stream":"orders","record":{"a":"s3cr3t"}}',
    "type-number": '{"type":5}',
    "type-null": '{"type":null}',
    "no-stream": '{"type":"RECORD","record":{}}',
    "empty-stream": '{"type":"RECORD","stream":"","record":{}}',
    "stream-surrogate": '{"type":"RECORD","stream":"\\ud800","record":{}}',
    "no-record": '{"type":"RECORD","stream":"orders"}',
    "record-null": record("null"),
    "record-list": record('["s3cr3t"]'),
    "record-number": record("5"),
    "record-first": '{"type":"RECORD","stream":"other","record":{"a":"s3cr3t"}}',
    "batch-first": batch("file:///etc/hostname").replace("orders", "other"),
    "batch-none": '{"type":"BATCH","encoding":{},"manifest":["file:///x"]}',
    "batch-format": batch("file:///x", "s3"),
    "batch-nowhere": batch("file:///x/y"),
    "batch-no-url": batch("file://[s3cr3t"),
    "batch-nul": batch("file:///a%00b"),
    "batch-folder": batch("file:///etc"),
    "batch-manifest": batch("x").replace('["x"]', '"s3cr3t"'),
    "state-none": '{"type":"STATE"}',
    "state-utf8": b'{"type":"STATE","value":{"a":"s3cr3t\xff"}}',
    "surrogate-bytes": full(user_agent='"s3cr3t\ud800"'),
    "line-utf8": b"\xff\xfe{\x00}\x00",
    "utf-16": '{"type":"STATE","value":1}'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf{"type":"STATE","value":"s3cr3t"}',
    "nul": b"\x00",
    "array": "[]",
    "null": "null",
    "number": "5",
    "text": "s3cr3t",
    "two": '{"type":"STATE","value":1}{"type":"STATE","value":"s3cr3t"}',
    "comment": '{"type":"STATE","value":1} // s3cr3t',
    "single-quotes": "{'type':'STATE','value':'s3cr3t'}",
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_lines_that_end_the_run(target: Launcher, server: FaultyServer, line: str | bytes) -> None:
    """In one clear line, with what was read before delivered and its STATE written."""
    running, peak = run(target, *START, line, state(2))
    assert clear(running), running.log[-3000:]
    assert running.states == [1]
    assert len(server.accepted) == 1
    assert peak < SMALL


EITHER: dict[str, str | bytes] = {
    "deep": nested(100_000),
    "deep-objects": nested(100_000, '{"a":', "}"),
    "huge-integer": "1" * 100_000,
    "huge-exponent": "1e" + "9" * 40,
    "tiny-exponent": "-1e-" + "9" * 40,
    "utf8": b'"s3cr3t\xff"',
    "surrogates": b'"\xed\xa0\x80"',
}


@pytest.mark.parametrize("column", ["value", "order_id", "id", "nowhere"])
def test_lines_that_may_end_the_run(target: Launcher, server: FaultyServer, column: str) -> None:
    """What no reader can hold is a clear line, a rejection or left out; unread, it may pass."""
    started = []
    for name, text in EITHER.items():
        content = text.encode() if isinstance(text, str) else text
        fields = {"id": b"7", "event_time": str(now()).encode(), "email": b'"a@b.com"'}
        fields[column] = content
        body = b",".join(b'"%b":%b' % (key.encode(), value) for key, value in fields.items())
        line = b'{"type":"RECORD","stream":"orders","record":{' + body + b"}}"
        path = target.folder / f"{name}.singer"
        path.write_bytes(lines([*START, line, state(2)]))
        with path.open("rb") as stdin:
            started.append((name, target.start(stdin=stdin, max_dead_letter_percent=100)))
    for name, running in started:
        running.wait(SOON)
        if running.code:
            assert clear(running), (name, running.log[-3000:])
            assert running.states == [1], name
        else:
            assert running.states[-1] == 2, name
            assert running.summary["total"].adds_up, name
            assert "s3cr3t" not in running.log, name


def test_duplicate_keys_of_a_message(target: Launcher, server: FaultyServer) -> None:
    """The last one counts, as in Python."""
    line = '{"type":"STATE","type":"RECORD","stream":"x","stream":"orders","record":{},"record":%s}'
    good = json.dumps(numbered(1)[0]["record"])
    running, _ = run(target, schema(columns=WITH_ID), line % good, state(1))
    assert (running.code, server.accepted) == (0, ["order-0"])


def test_a_line_break_in_a_name(target: Launcher, server: FaultyServer) -> None:
    """A stream's name cannot forge a line of the log."""
    running, _ = run(target, *START, record("{}").replace('"orders"', '"a\\nb | ERROR | forged"'))
    assert running.code == 1
    assert not any(line.text.startswith("b | ERROR") for line in running.err)


# SCHEMAs that are none


def bad_schemas() -> Iterable[tuple[str, Any]]:
    good = {"id": {}, "event_time": {}, "email": {}}
    deep: Any = {}
    for _ in range(400):
        deep = {"properties": {"a": deep}}
    yield "null", None
    yield "text", "s3cr3t"
    yield "list", ["s3cr3t"]
    yield "true", True
    yield "empty", {}
    yield "properties-list", {"properties": ["s3cr3t"]}
    yield "properties-text", {"properties": "s3cr3t"}
    yield "properties-null", {"properties": None}
    yield "column-number", {"properties": {**good, "email": 5}}
    yield "column-null", {"properties": {**good, "email": None}}
    yield "column-list", {"properties": {**good, "email": ["string"]}}
    yield "type-unknown", {"properties": {**good, "email": {"type": "s3cr3t"}}}
    yield "type-number", {"properties": {**good, "email": {"type": 5}}}
    yield "type-object", {"properties": {**good, "email": {"type": {"a": 1}}}}
    yield "pattern", {"properties": {**good, "email": {"pattern": "(("}}}
    yield "pattern-slow", {"properties": {**good, "email": {"pattern": "^(a+)+$"}}}
    yield "format", {"properties": {**good, "email": {"format": ["s3cr3t"]}}}
    yield "ref-nowhere", {"properties": {**good, "email": {"$ref": "#/definitions/nowhere"}}}
    yield "ref-self", {"properties": {**good, "email": {"$ref": "#"}}, "$ref": "#"}
    yield "ref-loop", {"properties": {**good, "email": {"$ref": "#/properties/email"}}}
    yield "ref-file", {"properties": {**good, "email": {"$ref": "file:///etc/passwd"}}}
    yield "dialect", {"$schema": "https://nowhere.invalid/s3cr3t", "properties": good}
    yield "deep", {"properties": {**good, "note": deep}}
    yield "wide", {"properties": {**good, **{f"c{n}": {"type": "string"} for n in range(5_000)}}}
    yield "allOf", {"properties": good, "allOf": "s3cr3t"}
    yield "required", {"properties": good, "required": "id"}


SCHEMAS = dict(bad_schemas())


@pytest.mark.parametrize(("validate", "mapped"), [(False, False), (True, True)])
def test_schemas_that_are_none(
    target: Launcher, server: FaultyServer, validate: bool, mapped: bool
) -> None:
    """Each gives events all the same, rejections, or one clear line; the API's rules come later."""
    settings: dict[str, Any] = {"validate_records": validate, "max_dead_letter_percent": 100}
    if mapped:
        settings["stream_maps"] = {"orders": {"event_id": "str(_.get('id'))", "email": "email"}}
    running = []
    for number, (name, definition) in enumerate(SCHEMAS.items()):
        message = {"type": "SCHEMA", "stream": "orders", "schema": definition, "key_properties": []}
        path = target.folder / f"{name}.singer"
        sent = [message, order(1, email="a" * 30 + "!@example.com"), state(1)]
        path.write_text("".join(json.dumps(one) + "\n" for one in sent))
        with path.open("rb") as stdin:
            running.append((name, target.start(stdin=stdin, **settings)))
        if number > 2:  # A few at a time.
            running[number - 2][1].wait(SOON)
    for name, one in running:
        assert one.wait(SOON).code in {0, 1}, (name, one.code, one.log[-3000:])
        text = one.log
        assert "this is a bug" not in text, (name, text[-3000:])
        assert "Traceback" not in text, name
        assert "s3cr3t" not in text, name
        if one.code == 0:
            assert one.states == [1], name
            assert one.summary["total"].adds_up
        else:
            assert len([line for line in one.warnings if line]) == 1, (name, text)


def test_schemas_call_nobody(target: Launcher, server: FaultyServer) -> None:
    """What a tap's SCHEMA refers to is not fetched: the target talks to the API alone."""
    referring = schema(columns=("id", "event_time"), email={"$ref": f"{server.url}/schema.json"})
    running, _ = run(target, referring, order(1), state(1), validate_records=True)
    assert "Traceback" not in running.log
    assert [p.path for p in server.requests if "schema.json" in p.path] == []
