"""Dead letters: what a line holds, which ones a replay sends, and the file that they are in."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fakes import settings
from jsonschema import Draft202012Validator
from unit_support import NOW, SETTINGS, TIME, sha256

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS, Rejection
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.storage.dead_letters import (
    HEAD,
    DeadLetterFile,
    addressee,
    carry_over,
    dead_letter_line,
    refuse_own_file,
    to_replay,
    why_not_replayed,
)

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, *numbers: int) -> None:
    file = DeadLetterFile(str(path))
    for number in numbers:
        file.write(
            dead_letter_line(
                Rejection("orders", str(number), "no_identity", None, {}), SETTINGS, "run-1"
            )
        )
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
    assert schema["key_properties"] == ["event_id", "stream", "time"]
    names = set(schema["schema"]["properties"])
    assert names >= {field.name for field in FIELDS} - {"email"}
    assert "email" not in names
    for record in records:
        assert (record["type"], record["stream"]) == ("RECORD", DEAD_LETTERS)
        assert set(schema["key_properties"]) <= set(record["record"]) <= names
    assert ids(path) == ["1", "2"]


def test_the_schema_is_a_json_schema() -> None:
    """A tool that reads the file can rely on its SCHEMA."""
    Draft202012Validator.check_schema(json.loads(HEAD)["schema"])


def test_the_schema_lists_every_member() -> None:
    """The SCHEMA lists all that a dead letter can have, with the types that it can have."""
    columns = {"order_id": "ann@example.com", "event_time": TIME}
    rejected = Rejection("orders", "7", "mapping_failed", "value", columns, "KeyError", {"id": 7})
    schema = json.loads(HEAD)["schema"]
    closed = Draft202012Validator({**schema, "additionalProperties": False})
    record = json.loads(dead_letter_line(rejected, SETTINGS, "run-1"))["record"]
    assert {"run_id", "written_for", "window_end", "keys", "scrubbed", "detail"} <= set(record)
    closed.validate(record)
    others = ("keys", "scrubbed", "reason", "field", "detail", "written_for", "window_end")
    closed.validate(dict.fromkeys(others))


def test_a_dead_letter_has_the_reason() -> None:
    """Beside the columns there are reason, field, source stream, time and event ID."""
    before = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    rejected = Rejection(
        "orders", "7", "invalid_source", "source", {"source": "pos"}, "see ann@example.com"
    )
    record = json.loads(dead_letter_line(rejected, SETTINGS, "run-1"))["record"]
    time = dt.datetime.fromisoformat(record.pop("time"))
    assert before <= time <= dt.datetime.now(dt.timezone.utc)
    assert record == {
        "event_id": "7",
        "source": "pos",
        "reason": "invalid_source",
        "field": "source",
        "run_id": "run-1",
        "stream": "orders",
        "detail": f"see {sha256('ann@example.com')}",
        "written_for": {
            "customer_id": "a-1b2c",
            "api_host": "conversions.liveintent.com",
            "pixel_id": 4711,
        },
    }


def test_a_dead_letter_that_is_carried_over() -> None:
    """It stays as it was, but for the run, members that no dead letter has, and addresses."""
    record = {
        "event_id": "1",
        "run_id": "r1",
        "reason": "unconfirmed",
        "keys": {"id": 2**70},
        "field": None,
    }
    edited = {**record, "order_id": "ann@example.com", "scrubbed": "text", "unknown": 1}
    edited["written_for"] = 7
    kept = json.loads(carry_over(edited, "r2"))["record"]
    assert "ann" not in kept.pop("order_id")
    assert kept == {**record, "run_id": "r2", "scrubbed": ["order_id"]}


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
    assert "--replay" in message


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
@pytest.mark.parametrize("unconfirmed", [False, True])
def test_which_dead_letters_are_replayed(reason: str, unconfirmed: bool) -> None:
    """The table of reasons says which; `replay_unconfirmed` adds two reasons, and no others.

    Events that were too old are judged by the window of the present settings alone.
    """
    given = settings(replay_unconfirmed=unconfirmed)
    sent = REASONS[reason].replayed or reason == "event_too_old"
    sent |= unconfirmed and reason in {"unconfirmed", "api_error"}
    expected = None if sent else reason
    assert why_not_replayed({"reason": reason}, given, NOW) == expected


@pytest.mark.parametrize("reason", [None, "", "unknown", 5, ["x"], {}])
def test_dead_letters_of_other_reasons_are_replayed(reason: Any) -> None:
    """A replay sends a dead letter that a user has written by hand."""
    assert why_not_replayed({"reason": reason}, SETTINGS, NOW) is None
    assert why_not_replayed({}, SETTINGS, NOW) is None


# Whose they are

OURS = {"customer_id": "a-1b2c", "api_host": "conversions.liveintent.com", "pixel_id": 4711}
ACCOUNT = {name: value for name, value in OURS.items() if name != "pixel_id"}


def written_for(**columns: Any) -> Any:
    rejected = Rejection("orders", "7", "no_identity", None, columns)
    return json.loads(dead_letter_line(rejected, SETTINGS, "run-1"))["record"].get("written_for")


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({}, OURS),
        ({"pixel_id": None}, OURS),
        ({"pixel_id": ""}, OURS),
        ({"pixel_id": 99}, ACCOUNT),
        ({"pixel_id": "99"}, ACCOUNT),
        ({"pixel_id": 4711}, ACCOUNT),
        ({"pixel_id": "main"}, None),
        ({"pixel_id": 0}, None),
    ],
)
def test_what_a_dead_letter_is_written_for(columns: dict[str, Any], named: Any) -> None:
    """Account and pixel of the settings; the account alone where the record has its own pixel.

    A record whose pixel cannot be used is written for nobody.
    """
    assert written_for(**columns) == named


def test_a_dead_letter_without_a_pixel_is_written_for_nobody() -> None:
    """Without a pixel in the record and in the settings, no account is named either."""
    rejected = Rejection("orders", "7", "invalid_pixel_id", "pixel_id", {})
    line = dead_letter_line(rejected, settings(), "run-1")
    assert "written_for" not in json.loads(line)["record"]


@pytest.mark.parametrize(
    ("api_url", "host"),
    [
        ("https://Conversions.Example.com:8443/v2", "conversions.example.com"),
        ("http://127.0.0.1:8086", "127.0.0.1"),
        ("http://[::1]:8086/", "::1"),
        ("https://{customer_id}.example.com/", "a-1b2c.example.com"),
    ],
)
def test_the_host_of_an_account(api_url: str, host: str) -> None:
    """The name of the API's host, in lower case, without the port and the path."""
    rejected = Rejection("orders", "7", "no_identity", None, {})
    line = dead_letter_line(rejected, settings(api_url=api_url, pixel_id=1), "run-1")
    assert json.loads(line)["record"]["written_for"]["api_host"] == host


@pytest.mark.parametrize(
    ("letter", "other"),
    [
        ({"written_for": OURS}, False),
        ({}, False),
        ({"written_for": None}, False),
        ({"written_for": "a-1b2c"}, False),
        ({"written_for": {}}, False),
        ({"written_for": dict.fromkeys(OURS)}, False),
        ({"written_for": {**OURS, "customer_id": "b-9z9z"}}, True),
        ({"written_for": {**OURS, "api_host": "127.0.0.1"}}, True),
        ({"written_for": {**OURS, "pixel_id": 4712}}, True),
        ({"written_for": {**OURS, "pixel_id": [4711]}}, True),
        ({"written_for": ACCOUNT, "pixel_id": 99}, False),
        ({"written_for": {**OURS, "pixel_id": 4712}, "pixel_id": 99}, False),
        ({"written_for": {**ACCOUNT, "customer_id": "b-9z9z"}, "pixel_id": 99}, True),
    ],
)
@pytest.mark.parametrize("all_accounts", [False, True])
def test_whose_dead_letters_are_replayed(
    letter: dict[str, Any], other: bool, all_accounts: bool
) -> None:
    """Those of another account or pixel are left; `replay_other_accounts` sends all.

    Where the record has its own pixel, the one of the settings does not matter.
    """
    given = dataclasses.replace(SETTINGS, replay_other_accounts=all_accounts)
    expected = "other_account" if other and not all_accounts else None
    assert why_not_replayed({"reason": "no_identity", **letter}, given, NOW) == expected


def test_a_replay_without_a_pixel_sends_to_none() -> None:
    """A dead letter that names a pixel is not of a loader that has none."""
    letter = {"reason": "no_identity", "written_for": OURS}
    bare = dataclasses.replace(SETTINGS, pixel_id=None)
    assert why_not_replayed(letter, bare, NOW) == "other_account"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (OURS, "a-1b2c at conversions.liveintent.com, pixel 4711"),
        (ACCOUNT, "a-1b2c at conversions.liveintent.com"),
        ({**OURS, "pixel_id": None}, "a-1b2c at conversions.liveintent.com"),
        ({**ACCOUNT, "api_host": "x\ny"}, r"'a-1b2c at x\ny'"),
    ],
)
def test_the_name_of_an_account(named: dict[str, Any], words: str) -> None:
    """Account and pixel in a few words, which forge no line of the log."""
    assert addressee({"written_for": named}) == words


def test_the_name_of_an_account_that_was_edited() -> None:
    """No address and no long text gets into the log by a dead letter that a user has edited."""
    shown = addressee({"written_for": {"customer_id": "ann@example.com", "api_host": "x" * 999}})
    assert "ann" not in shown
    assert len(shown) < 200


# Until when


@pytest.mark.parametrize(
    ("columns", "days"),
    [
        ({}, 7),
        ({"source": "app"}, 7),
        ({"source": "Offline"}, 30),
        ({"source": ""}, 7),
        ({"source": "till"}, 30),
    ],
)
def test_when_the_window_of_a_dead_letter_closes(columns: dict[str, Any], days: int) -> None:
    """It names the moment; after it, a replay drops it, whatever its reason.

    An unknown source may be one with the longest window.
    """
    columns = {"event_time": "2026-07-31T12:00:00Z", **columns}
    rejected = Rejection("orders", "7", "unconfirmed", None, columns)
    letter = json.loads(dead_letter_line(rejected, SETTINGS, "run-1"))["record"]
    moment = dt.datetime(2026, 7, 31, 11, 59, tzinfo=dt.timezone.utc) + dt.timedelta(days=days)
    assert letter["window_end"] == moment.isoformat()
    end = moment.timestamp()
    assert why_not_replayed(letter, SETTINGS, end - 1) == "unconfirmed"
    assert why_not_replayed(letter, SETTINGS, end) == "expired"


@pytest.mark.parametrize(
    ("event_time", "detail"),
    [
        (TIME - 400 * 86_400, "its window has closed"),
        ("9999-12-31T23:59:59Z", None),
        (None, None),
        ("soon", None),
    ],
)
def test_a_window_that_has_closed_says_so(event_time: Any, detail: str | None) -> None:
    """The detail says it where there is no other; a time that is unknown says nothing."""
    rejected = Rejection("orders", "7", "event_too_old", None, {"event_time": event_time})
    letter = json.loads(dead_letter_line(rejected, SETTINGS, "run-1"))["record"]
    assert letter.get("detail") == detail
    assert ("window_end" in letter) == (detail is not None)
    said = msgspec.structs.replace(rejected, detail="HTTP 400")
    assert json.loads(dead_letter_line(said, SETTINGS, "run-1"))["record"]["detail"] == "HTTP 400"


def test_an_event_that_was_too_old_may_get_more_time() -> None:
    """With another `default_source`, its window may be open: then it is sent."""
    letter = {"reason": "event_too_old", "event_time": int(NOW) - 8 * 86_400}
    assert why_not_replayed(letter, SETTINGS, NOW) == "expired"
    offline = dataclasses.replace(SETTINGS, default_source="offline")
    assert why_not_replayed(letter, offline, NOW) is None


def test_letters_of_another_account_do_not_expire() -> None:
    """Whether they can still be sent is for their own account to say."""
    named = {**OURS, "customer_id": "b-9z9z"}
    letter = {"reason": "no_identity", "event_time": 1, "written_for": named}
    assert why_not_replayed(letter, SETTINGS, NOW) == "other_account"


def test_the_stream_has_a_name_of_its_own() -> None:
    """The name is unlikely to be that of a tap's stream."""
    assert DEAD_LETTERS == "liveintent_dead_letters"
    assert "liveintent" in DEAD_LETTERS
