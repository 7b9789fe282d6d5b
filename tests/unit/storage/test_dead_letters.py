"""Dead letters: what a line holds, which ones a replay sends, and the file that they are in."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from unit_support import sha256

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS, Rejection
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.storage.dead_letters import (
    HEAD,
    DeadLetterFile,
    carry_over,
    dead_letter_line,
    is_replayed,
    refuse_own_file,
    to_replay,
)

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, *numbers: int) -> None:
    file = DeadLetterFile(str(path))
    for number in numbers:
        file.write(dead_letter_line(Rejection("orders", str(number), "no_identity", None, {})))
    file.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def ids(path: Path) -> list[str]:
    return [m["record"]["event_id"] for m in read(path) if m["type"] == "RECORD"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "letters.singer"


def test_a_clean_run_leaves_no_file(path: Path) -> None:
    """Without a dead letter there is no file."""
    file = DeadLetterFile(str(path))
    file.sync()
    file.close()
    assert not path.exists()


def test_each_run_begins_with_a_schema(path: Path) -> None:
    """A later run appends a SCHEMA before its dead letters: its columns may be other ones."""
    write(path, 1)
    write(path, 2, 3)
    types = [message["type"] for message in read(path)]
    assert types == ["SCHEMA", "RECORD", "SCHEMA", "RECORD", "RECORD"]
    assert ids(path) == ["1", "2", "3"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The message names the setting."""
    with pytest.raises(StorageError, match=r"dead_letter_path '.*missing.*' cannot be written"):
        write(tmp_path / "missing" / "letters.singer", 1)


def test_the_file_is_a_singer_stream(path: Path) -> None:
    """The SCHEMA comes first, and names each member of the RECORDs after it."""
    write(path, 1, 2)
    schema, *records = read(path)
    assert (schema["type"], schema["stream"]) == ("SCHEMA", DEAD_LETTERS)
    assert schema["key_properties"] == []
    names = set(schema["schema"]["properties"])
    assert names >= {field.name for field in FIELDS} - {"email"}
    assert "email" not in names
    for record in records:
        assert (record["type"], record["stream"]) == ("RECORD", DEAD_LETTERS)
        assert set(record["record"]) <= names
    assert ids(path) == ["1", "2"]


def test_the_schema_is_a_json_schema() -> None:
    """A tool that reads the file can rely on its SCHEMA."""
    Draft202012Validator.check_schema(json.loads(HEAD)["schema"])


def test_the_schema_lists_every_member() -> None:
    """The SCHEMA lists all that a dead letter can have, with the types that it can have."""
    columns = {"order_id": "ann@example.com"}
    rejected = Rejection("orders", "7", "mapping_failed", "value", columns, "KeyError", {"id": 7})
    schema = json.loads(HEAD)["schema"]
    closed = Draft202012Validator({**schema, "additionalProperties": False})
    closed.validate(json.loads(dead_letter_line(rejected))["record"])
    closed.validate(dict.fromkeys(("keys", "scrubbed", "reason", "field", "detail")))


def test_a_dead_letter_has_the_reason() -> None:
    """Beside the columns there are reason, field, source stream, time and event ID."""
    before = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    rejected = Rejection(
        "orders", "7", "invalid_source", "source", {"source": "pos"}, "see ann@example.com"
    )
    record = json.loads(dead_letter_line(rejected))["record"]
    time = dt.datetime.fromisoformat(record.pop("time"))
    assert before <= time <= dt.datetime.now(dt.timezone.utc)
    assert record == {
        "event_id": "7",
        "source": "pos",
        "reason": "invalid_source",
        "field": "source",
        "stream": "orders",
        "detail": f"see {sha256('ann@example.com')}",
    }


def test_a_dead_letter_that_is_carried_over() -> None:
    """It stays as it was, without members that no dead letter has, and without addresses."""
    record = {"event_id": "1", "reason": "unconfirmed", "keys": {"id": 2**70}, "field": None}
    edited = {**record, "order_id": "ann@example.com", "scrubbed": "text", "unknown": 1}
    kept = json.loads(carry_over(edited))["record"]
    assert "ann" not in kept.pop("order_id")
    assert kept == {**record, "scrubbed": ["order_id"]}


@pytest.mark.parametrize(
    ("scrubbed", "left"),
    [(["order_id"], {"event_id"}), (None, {"event_id", "order_id"}), (7, {"event_id", "order_id"})],
)
def test_what_a_replay_sends(scrubbed: Any, left: set[str]) -> None:
    """A column in which a hash replaced an address is left out."""
    record = {"event_id": "1", "order_id": "hash", "scrubbed": scrubbed}
    assert set(to_replay(record)) - {"scrubbed"} == left


@pytest.mark.parametrize("way", ["same", "symlink", "hard link"])
def test_its_own_file_is_refused(path: Path, tmp_path: Path, way: str) -> None:
    """A replay that reads the file it writes to would never end."""
    write(path, 1)
    other = tmp_path / "other"
    if way == "symlink":
        other.symlink_to(path)
    elif way == "hard link":
        other.hardlink_to(path)
    source = path if way == "same" else other
    with source.open("rb") as file, pytest.raises(ConfigurationError) as raised:
        refuse_own_file(file.fileno(), str(path))
    message = str(raised.value)
    assert str(path) in message
    assert "move" in message


def test_other_inputs_are_not_refused(path: Path, tmp_path: Path) -> None:
    """A moved file, a pipe, and a path without a file are fine."""
    write(path, 1)
    moved = path.rename(tmp_path / "moved")
    readable, writable = os.pipe()
    with moved.open("rb") as file:
        refuse_own_file(file.fileno(), str(path))
        path.touch()
        refuse_own_file(file.fileno(), str(path))
    refuse_own_file(readable, str(path))
    os.close(readable)
    os.close(writable)


@pytest.mark.parametrize("reason", REASONS)
def test_which_dead_letters_are_replayed(reason: str) -> None:
    """The table of reasons says which dead letters a replay sends."""
    assert is_replayed({"reason": reason}) == REASONS[reason].replayed


@pytest.mark.parametrize("reason", REASONS)
def test_which_dead_letters_are_replayed_on_request(reason: str) -> None:
    """The setting `replay_unconfirmed` adds unconfirmed events, and no others."""
    expected = REASONS[reason].replayed or reason in {"unconfirmed", "api_error"}
    assert is_replayed({"reason": reason}, unconfirmed=True) == expected


@pytest.mark.parametrize("reason", [None, "", "unknown", 5, ["x"], {}])
def test_dead_letters_of_other_reasons_are_replayed(reason: Any) -> None:
    """A replay sends a dead letter that a user has written by hand."""
    assert is_replayed({"reason": reason})
    assert is_replayed({})


def test_the_stream_has_a_name_of_its_own() -> None:
    """The name is unlikely to be that of a tap's stream."""
    assert DEAD_LETTERS == "liveintent_dead_letters"
    assert "liveintent" in DEAD_LETTERS
