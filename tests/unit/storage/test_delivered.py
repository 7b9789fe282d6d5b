"""The file of delivered events: its rows, its heading, and how spreadsheets read it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import LOGGER
from unit_support import MD5, SHA2, conversion, order

from target_liveintent.conversions.wire import read_back
from target_liveintent.errors import ConfigurationError
from target_liveintent.storage.delivered import DeliveredFile
from target_liveintent.storage.delivered_rows import (
    CSV_COLUMNS,
    SINGER_COLUMNS,
    DeliveredEvent,
    row_format,
)

UUID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"
SENT = 1_785_603_600.25
HEAD = "event_time,order_id,source,device_id,email_hash,value,currency\n"
TIME = "2026-07-31T12:13:20Z"


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
    for record in records:  # Each in a batch of its own.
        file.write_events(delivered(record))
    file.close()


def rows(path: Path) -> list[list[str]]:
    """Return the rows below the heading."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (
            {"order_id": "A-7", "idfa": UUID, "aaid": SHA2, "value": "87.280", "currency": "usd"},
            [TIME, "A-7", "web", UUID, MD5, "87.280", "USD"],
        ),
        ({"aaid": UUID, "source": "offline"}, [TIME, "", "offline", UUID, MD5, "", ""]),
        ({"email": None, "sha2": SHA2, "value": -3}, [TIME, "", "web", "", SHA2, "-3", ""]),
        ({"email": None, "decision_id": UUID}, [TIME, "", "web", "", "", "", ""]),
        ({"order_id": 'a "word", ü\nb'}, [TIME, 'a "word", ü\nb', "web", "", MD5, "", ""]),
    ],
)
def test_a_row(path: Path, record: dict[str, Any], row: list[str]) -> None:
    """The columns are those of a reconciliation; what an event lacks is empty."""
    append(path, record)
    assert path.read_text().startswith(HEAD)
    assert list(CSV_COLUMNS) == HEAD.strip().split(",")
    assert rows(path) == [row]


def test_formulas(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A text that a spreadsheet would compute gets an apostrophe; one warning a run says so."""
    usual = ["#1001", "1001", "A=1", "gid://shopify/Order/1"]
    append(path, *({"order_id": name} for name in usual))
    assert caplog.messages == []
    firsts = ("=", "+", "-", "@", "'", "=\t", "+1 ", "'=")
    names = [f"{first}cmd|' /C calc'!A1" for first in firsts]
    append(path, *({"order_id": name} for name in [*names, "A-1"]))
    assert [row[1] for row in rows(path)] == [*usual, *(f"'{name}" for name in names), "A-1"]
    (line,) = caplog.messages
    assert "apostrophe" in line
    assert "calc" not in line


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """The error comes before anything is sent, and names the setting."""
    with pytest.raises(ConfigurationError, match=r"delivered_path.*directory"):
        opened(tmp_path)


def test_new_rows_are_synced_before_the_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are, once; where there are none, the disk is left alone."""
    file = opened(path)
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    for count in (1, 2):
        file.write_events(delivered({"order_id": "A-7"}))
        file.sync_batch()
        file.sync_batch()
        assert len(synced) == count


# As a Singer stream


def test_a_singer_row(tmp_path: Path) -> None:
    """An event with every field fills every column; the amount keeps its digits."""
    aaid, decision_id = UUID.replace("6", "7"), UUID.replace("6", "8")
    given = {"order_id": "=A-7", "idfa": UUID, "aaid": aaid, "decision_id": decision_id}
    stream = tmp_path / "delivered.singer"
    append(stream, {**given, "sha2": SHA2, "value": "87.280", "currency": "usd"})
    _, row = (json.loads(line, parse_float=str) for line in stream.read_text().splitlines())
    assert row["type"] == "RECORD"
    assert row["record"] == {
        "event_id": "1007",
        "stream": "orders",
        "pixel_id": 4711,
        "event_time": TIME,
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


def test_singer_rows_fit_the_schema(tmp_path: Path) -> None:
    """Each run writes its SCHEMA before its rows; it allows what any event lacks."""
    stream = tmp_path / "delivered.singer"
    for record in ({"value": 12.5}, {"email": None, "decision_id": UUID}):
        append(stream, record)
    messages = [json.loads(line) for line in stream.read_text().splitlines()]
    assert [message["type"] for message in messages] == ["SCHEMA", "RECORD"] * 2
    head = messages[0]
    assert head["key_properties"] == ["event_id", "stream", "pixel_id"]
    validator = jsonschema.Draft202012Validator(
        head["schema"] | {"required": head["key_properties"], "additionalProperties": False}
    )
    for row in messages[1::2]:
        assert row["stream"] == head["stream"]
        validator.validate(row["record"])


def test_the_ending_says_the_format() -> None:
    for path, is_singer in (("a.singer", True), ("s3://b/a.singer/", True), ("sent", False)):
        assert row_format(path, "run-1", LOGGER).head.startswith(b'{"type":"SCHEMA"') == is_singer
