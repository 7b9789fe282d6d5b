"""Dead letters: what a line holds, which ones a replay sends, and the file that they are in."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from fakes import settings
from jsonschema import Draft202012Validator
from unit_support import DAY, NOW, SETTINGS, TIME, sha256

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import Rejection
from target_liveintent.errors import ConfigurationError
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

    from target_liveintent.settings import Settings

STREAM = "liveintent_dead_letters"
OURS = {"customer_id": "a-1b2c", "api_host": "conversions.liveintent.com", "pixel_id": 4711}
ACCOUNT = {name: value for name, value in OURS.items() if name != "pixel_id"}


def rejection(reason: str = "no_identity", columns: Any = None, **more: Any) -> Rejection:
    return Rejection("orders", "7", reason, more.pop("field", None), columns or {}, **more)


def letter_of(rejected: Rejection, given: Settings = SETTINGS) -> dict[str, Any]:
    """Return the record of the dead letter of a rejection."""
    return dict(json.loads(dead_letter_line(rejected, given, "run-1"))["record"])


def why(letter: dict[str, Any], now: float = NOW, **changes: Any) -> str | None:
    """Return why a replay with other settings does not send a dead letter."""
    return why_not_replayed(letter, dataclasses.replace(SETTINGS, **changes), now)


# The file


def test_the_file_is_a_singer_stream(path: Path) -> None:
    """A run writes its SCHEMA, which names each member of the RECORDs after it, if it has any."""
    for count in (0, 1, 2):
        file = DeadLetterFile(str(path))
        for _ in range(count):
            file.write(dead_letter_line(rejection(), SETTINGS, "run-1"))
        assert file.is_due  # No STATE waits for other dead letters.
        file.sync()
        file.close()
        assert path.exists() == (count > 0)  # A clean run leaves no file.
    messages = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [one["type"] for one in messages] == ["SCHEMA", "RECORD", "SCHEMA", "RECORD", "RECORD"]
    assert {one["stream"] for one in messages} == {STREAM}
    schema = messages[0]
    assert schema["key_properties"] == ["event_id", "stream", "time"]
    names = set(schema["schema"]["properties"])
    assert names >= {field.name for field in FIELDS} - {"email"}
    assert "email" not in names
    assert set(schema["key_properties"]) <= set(messages[1]["record"]) <= names


def test_the_schema_lists_every_member() -> None:
    """The SCHEMA lists all that a dead letter can have, with the types that it can have."""
    columns = {"order_id": "ann@example.com", "event_time": TIME}
    record = letter_of(rejection(field="value", columns=columns, detail="KeyError", keys={"id": 7}))
    schema = json.loads(HEAD)["schema"]
    Draft202012Validator.check_schema(schema)
    closed = Draft202012Validator({**schema, "additionalProperties": False})
    assert {"run_id", "written_for", "window_end", "keys", "scrubbed", "detail"} <= set(record)
    closed.validate(record)
    others = ("keys", "scrubbed", "reason", "field", "detail", "written_for", "window_end")
    closed.validate(dict.fromkeys(others))


def test_its_own_file_is_refused(path: Path, tmp_path: Path) -> None:
    """A replay that reads the file it writes to would never end; a pipe or a moved file is fine."""
    path.touch()
    (tmp_path / "symlink").symlink_to(path)
    (tmp_path / "hard link").hardlink_to(path)
    for source in tmp_path.iterdir():
        with source.open("rb") as file, pytest.raises(ConfigurationError) as raised:
            refuse_own_file(file.fileno(), str(path))
        assert f"of this run, '{path}', so the file would grow" in str(raised.value)
        assert "--replay" in str(raised.value)
    readable, writable = os.pipe()
    refuse_own_file(readable, str(path))
    os.close(writable)
    os.close(readable)
    moved = path.rename(tmp_path / "moved")
    with moved.open("rb") as file:
        refuse_own_file(file.fileno(), str(path))
        path.touch()
        refuse_own_file(file.fileno(), str(path))


# What a line holds


def test_a_dead_letter_has_the_reason() -> None:
    """Beside the columns there are reason, field, source stream, time and event ID."""
    before = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    detail = "see ann@example.com"
    record = letter_of(
        rejection("invalid_source", {"source": "pos"}, field="source", detail=detail)
    )
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
        "written_for": OURS,
    }


def test_a_dead_letter_that_is_carried_over() -> None:
    """It stays as it was, but for the run, members that no dead letter has, and addresses."""
    record = {"event_id": "1", "reason": "unconfirmed", "keys": {"id": 2**70}, "field": None}
    edited = {**record, "run_id": "r1", "scrubbed": "text", "unknown": 1, "written_for": 7}
    edited["order_id"] = "ann@example.com"
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


@pytest.mark.parametrize("unconfirmed", [False, True])
def test_which_dead_letters_are_replayed(unconfirmed: bool) -> None:
    """The table of reasons says which; `replay_unconfirmed` adds two reasons, and no others.

    Events that were too old are judged by the window of the present settings alone. A dead letter
    that a user has written by hand is sent.
    """
    for code, reason in REASONS.items():
        sent = reason.replayed or code == "event_too_old"
        sent |= unconfirmed and code in {"unconfirmed", "api_error"}
        expected = None if sent else code
        assert why({"reason": code}, replay_unconfirmed=unconfirmed) == expected
    for letter in ({}, *({"reason": other} for other in (None, "", "unknown", 5, ["x"], {}))):
        assert why(letter, replay_unconfirmed=unconfirmed) is None


# Whose they are


@pytest.mark.parametrize(
    ("pixel_id", "named"),
    [
        (None, OURS),
        ("", OURS),
        (99, ACCOUNT),
        ("99", ACCOUNT),
        (4711, ACCOUNT),
        ("main", None),
        (0, None),
    ],
)
def test_what_a_dead_letter_is_written_for(pixel_id: Any, named: Any) -> None:
    """Account and pixel of the settings; the account alone where the record has its own pixel.

    A record whose pixel cannot be used, or that has none, as the settings, is written for nobody.
    """
    rejected = rejection(columns={"pixel_id": pixel_id})
    assert letter_of(rejected).get("written_for") == named
    without_pixel = letter_of(rejected, settings())
    assert without_pixel.get("written_for", {}).get("pixel_id") is None
    assert ("written_for" in without_pixel) == (named == ACCOUNT)


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
    letter = letter_of(rejection(), settings(api_url=api_url, pixel_id=1))
    assert letter["written_for"]["api_host"] == host


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
        ({"written_for": {**OURS, "customer_id": "b-9z9z"}, "event_time": 1}, True),
        ({"written_for": {**OURS, "api_host": "127.0.0.1"}}, True),
        ({"written_for": {**OURS, "pixel_id": 4712}}, True),
        ({"written_for": {**OURS, "pixel_id": [4711]}}, True),
        ({"written_for": ACCOUNT, "pixel_id": 99}, False),
        ({"written_for": {**OURS, "pixel_id": 4712}, "pixel_id": 99}, False),
        ({"written_for": {**ACCOUNT, "customer_id": "b-9z9z"}, "pixel_id": 99}, True),
    ],
)
def test_whose_dead_letters_are_replayed(letter: dict[str, Any], other: bool) -> None:
    """Those of another account or pixel are left, however old; `replay_other_accounts` sends all.

    Where the record has its own pixel, the one of the settings does not matter.
    """
    letter = {"reason": "no_identity", **letter}
    assert why(letter) == ("other_account" if other else None)
    expected = "expired" if "event_time" in letter else None
    assert why(letter, replay_other_accounts=True) == expected
    if letter.get("written_for") == OURS:  # A replay without a pixel sends it to none.
        assert why(letter, pixel_id=None) == "other_account"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (OURS, "a-1b2c at conversions.liveintent.com, pixel 4711"),
        (ACCOUNT, "a-1b2c at conversions.liveintent.com"),
        ({**OURS, "pixel_id": None}, "a-1b2c at conversions.liveintent.com"),
        ({**ACCOUNT, "api_host": "x\ny"}, r"'a-1b2c at x\ny'"),
        (
            {"customer_id": "ann@x.de", "api_host": "x" * 999},
            f"{sha256('ann@x.de')} at {'x' * 52}",
        ),
    ],
)
def test_the_name_of_an_account(named: dict[str, Any], words: str) -> None:
    """Account and pixel in a few words, which forge no line of the log, and hold no address."""
    assert addressee({"written_for": named}) == words


# Until when


@pytest.mark.parametrize(
    ("source", "days"), [(None, 7), ("app", 7), ("Offline", 30), ("", 7), ("till", 30)]
)
def test_when_the_window_of_a_dead_letter_closes(source: str | None, days: int) -> None:
    """It names the moment; after it, a replay drops it, whatever its reason.

    An unknown source may be one with the longest window.
    """
    columns = {"event_time": "2026-07-31T12:00:00Z", "source": source}
    letter = letter_of(rejection("unconfirmed", columns=columns))
    moment = dt.datetime(2026, 7, 31, 11, 59, tzinfo=dt.timezone.utc) + dt.timedelta(days=days)
    assert letter["window_end"] == moment.isoformat()
    end = moment.timestamp()
    assert (why(letter, end - 1), why(letter, end)) == ("unconfirmed", "expired")


@pytest.mark.parametrize(
    ("event_time", "detail"),
    [
        (TIME - 400 * DAY, "its window has closed"),
        ("9999-12-31T23:59:59Z", None),
        (None, None),
        ("soon", None),
    ],
)
def test_a_window_that_has_closed_says_so(event_time: Any, detail: str | None) -> None:
    """The detail says it where there is no other; a time that is unknown says nothing."""
    columns = {"event_time": event_time}
    letter = letter_of(rejection(columns=columns))
    assert letter.get("detail") == detail
    assert ("window_end" in letter) == (detail is not None)
    assert letter_of(rejection(columns=columns, detail="HTTP 400"))["detail"] == "HTTP 400"


def test_an_event_that_was_too_old_may_get_more_time() -> None:
    """With another `default_source`, its window may be open: then it is sent."""
    letter = {"reason": "event_too_old", "event_time": int(NOW) - 8 * DAY}
    assert why(letter) == "expired"
    assert why(letter, default_source="offline") is None
