"""The file of delivered events: its rows, heading and mode, and how spreadsheets read it."""

from __future__ import annotations

import csv
import json
import logging
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from unit_support import ADDRESS, MD5, SHA2, conversion, order

from target_liveintent.conversions.wire import read_back
from target_liveintent.errors import ConfigurationError
from target_liveintent.storage.delivered import DeliveredFile
from target_liveintent.storage.delivered_rows import (
    CSV_COLUMNS,
    SINGER_COLUMNS,
    DeliveredEvent,
    row_format,
)

if TYPE_CHECKING:
    from pathlib import Path

LOGGER = logging.getLogger("test")
UUID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"
SENT = 1_785_603_600.25
HEAD = "event_time,order_id,source,device_id,email_hash,value,currency\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "delivered.csv"


def opened(path: Path) -> DeliveredFile:
    return DeliveredFile(str(path), row_format(str(path), "run-1", LOGGER))


def delivered(*records: dict[str, Any]) -> list[DeliveredEvent]:
    made = [conversion(order(**record)) for record in records]
    events = read_back(made)
    return [
        DeliveredEvent(event, one.stream, SENT) for event, one in zip(events, made, strict=True)
    ]


def append(path: Path, *records: dict[str, Any]) -> None:
    file = opened(path)
    file.write_events(delivered(*records))
    file.close()


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_columns_are_those_of_a_reconciliation() -> None:
    names = ["event_time", "order_id", "source", "device_id", "email_hash", "value", "currency"]
    assert list(CSV_COLUMNS) == names


def test_a_row(path: Path) -> None:
    """An event with every field fills every column."""
    append(path, {"order_id": "A-7", "idfa": UUID, "value": "87.280", "currency": "usd"})
    expected = ["2026-07-31T12:13:20Z", "A-7", "web", UUID, MD5, "87.280", "USD"]
    assert path.read_text() == HEAD + ",".join(expected) + "\n"


@pytest.mark.parametrize(
    ("record", "column", "expected"),
    [
        ({"aaid": UUID}, 3, UUID),
        ({"email": None, "sha2": SHA2}, 4, SHA2),
        ({"source": "offline"}, 2, "offline"),
        ({"value": -3}, 5, "-3"),
        ({"order_id": 'two "words", and\na line'}, 1, 'two "words", and\na line'),
        ({"order_id": "größe"}, 1, "größe"),
    ],
)
def test_a_column(path: Path, record: dict[str, Any], column: int, expected: str) -> None:
    append(path, record)
    assert rows(path)[1][column] == expected


def test_what_an_event_lacks_is_empty(path: Path) -> None:
    append(path, {"email": None, "decision_id": UUID})
    assert rows(path)[1] == ["2026-07-31T12:13:20Z", "", "web", "", "", "", ""]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "'", "=\t", "+1 ", "'="])
def test_formulas(path: Path, first: str, caplog: pytest.LogCaptureFixture) -> None:
    """A text that a spreadsheet would compute gets an apostrophe, and one warning says so."""
    name = f"{first}cmd|' /C calc'!A1"
    append(path, {"order_id": name}, {"order_id": name}, {"order_id": "A=1"})
    assert [row[1] for row in rows(path)[1:]] == [f"'{name}", f"'{name}", "A=1"]
    (line,) = caplog.messages
    assert "apostrophe" in line
    assert "calc" not in line


def test_one_warning_a_run(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning comes with the first batch that needs it, and not again."""
    file = opened(path)
    for name in ("1", "=1", "=2"):
        file.write_events(delivered({"order_id": name}))
    file.close()
    assert len(caplog.messages) == 1


def test_usual_order_ids_are_as_they_are(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["#1001", "1001", "A-1", "gid://shopify/Order/1"]
    append(path, *({"order_id": name} for name in names))
    assert [row[1] for row in rows(path)[1:]] == names
    assert caplog.messages == []


def test_runs_append(path: Path) -> None:
    """A file has one heading, also after several runs."""
    append(path, {"order_id": "1"})
    append(path)
    append(path, {"order_id": "2"})
    assert [row[1] for row in rows(path)] == ["order_id", "1", "2"]


def test_only_the_owner_may_read_it(path: Path) -> None:
    """The mode of a new file does not depend on the umask; one that is there keeps its mode."""
    before = os.umask(0)
    try:
        append(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        append(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_a_torn_row_is_cut(path: Path) -> None:
    """No STATE covers a row that a power cut left unfinished."""
    append(path, {"order_id": "1"})
    with path.open("a") as file:
        file.write("2026-07-31T12:1")
    append(path, {"order_id": "2"})
    assert [row[1] for row in rows(path)] == ["order_id", "1", "2"]


def test_runs_at_the_same_time(path: Path) -> None:
    """Runs that share a file do not write into each other's rows."""
    code = (
        "import sys, logging\n"
        "from target_liveintent.conversions.wire import read_back\n"
        "from target_liveintent.storage.delivered import DeliveredFile\n"
        "from target_liveintent.storage.delivered_rows import DeliveredEvent, row_format\n"
        "from unit_support import conversion, order\n"
        f"rows = row_format({str(path)!r}, 'run-1', logging.getLogger('x'))\n"
        f"file = DeliveredFile({str(path)!r}, rows)\n"
        "(event,) = read_back([conversion(order(order_id=sys.argv[1] * 2000))])\n"
        "events = [DeliveredEvent(event, 'orders', 0)] * 50\n"
        "for _ in range(20): file.write_events(events)\n"
    )
    paths = os.pathsep.join(["tests/unit", "."])
    children = [
        subprocess.Popen([sys.executable, "-c", code, name], env=os.environ | {"PYTHONPATH": paths})
        for name in "ab"
    ]
    assert [child.wait(30) for child in children] == [0, 0]
    found = rows(path)
    assert len(found) == 2_001
    assert {row[1] for row in found[1:]} == {"a" * 2000, "b" * 2000}


def test_no_address(path: Path) -> None:
    append(path, {"order_id": "7", "source_url": f"https://shop.example/?mail={ADDRESS}"})
    assert "doe" not in path.read_text().lower()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """The error comes before anything is sent, and names the setting."""
    with pytest.raises(ConfigurationError, match=r"delivered_path.*directory"):
        opened(tmp_path)


# As a Singer stream


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "delivered.singer"


def messages(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=str) for line in path.read_text().splitlines()]


def test_a_singer_row(stream: Path) -> None:
    """An event with every field fills every column; the amount keeps its digits."""
    aaid, decision_id = UUID.replace("6", "7"), UUID.replace("6", "8")
    given = {"order_id": "=A-7", "idfa": UUID, "aaid": aaid, "decision_id": decision_id}
    given |= {"sha2": SHA2}
    append(stream, {**given, "value": "87.280", "currency": "usd"})
    _, row = messages(stream)
    assert row["type"] == "RECORD"
    assert row["record"] == {
        "event_id": "1007",
        "stream": "orders",
        "pixel_id": 4711,
        "event_time": "2026-07-31T12:13:20Z",
        "sent_at": "2026-08-01T17:00:00.250Z",
        "outcome": "delivered",
        "run_id": "run-1",
        "source": "web",
        "order_id": "=A-7",
        "value": "87.280",
        "currency": "USD",
        "md5": MD5,
        "sha2": SHA2,
        "decision_id": decision_id,
        "idfa": UUID,
        "aaid": aaid,
    }
    assert list(row["record"]) == list(SINGER_COLUMNS)


def test_a_singer_row_fits_the_schema(stream: Path) -> None:
    """The SCHEMA comes first, and allows what any event lacks."""
    append(stream, {"value": 12.5}, {"email": None, "decision_id": UUID})
    head, *rows = [json.loads(line) for line in stream.read_text().splitlines()]
    assert head["type"] == "SCHEMA"
    assert head["key_properties"] == ["event_id", "stream", "pixel_id"]
    validator = jsonschema.Draft202012Validator(
        head["schema"] | {"required": head["key_properties"], "additionalProperties": False}
    )
    for row in rows:
        assert row["stream"] == head["stream"]
        validator.validate(row["record"])
    assert len(rows) == 2


def test_runs_append_to_a_singer_stream(stream: Path) -> None:
    """Each run writes its SCHEMA: a later version may have other columns."""
    append(stream, {"order_id": "1"})
    append(stream, {"order_id": "2"})
    assert [message["type"] for message in messages(stream)] == ["SCHEMA", "RECORD"] * 2


def test_no_address_in_a_singer_stream(stream: Path) -> None:
    append(stream, {"order_id": "7", "source_url": f"https://shop.example/?mail={ADDRESS}"})
    assert "doe" not in stream.read_text().lower()


@pytest.mark.parametrize(
    ("path", "is_singer"),
    [("delivered.singer", True), ("s3://bucket/delivered.singer/", True), ("sent", False)],
)
def test_the_ending_says_the_format(path: str, is_singer: bool) -> None:
    rows = row_format(path, "run-1", LOGGER)
    assert rows.head.startswith(b'{"type":"SCHEMA"') == is_singer


def test_new_rows_are_synced_before_the_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are, once; where there are none, the disk is left alone."""
    file = opened(path)
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    file.write_events(delivered({"order_id": "A-7"}))
    file.sync_batch()
    file.sync_batch()
    assert len(synced) == 1
    file.write_events(delivered({"order_id": "A-8"}))
    file.sync_batch()
    assert len(synced) == 2
