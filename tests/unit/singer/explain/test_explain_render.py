"""What `--explain` prints about the fields of a stream."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.config import settings_of
from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.explain import as_lines
from target_liveintent.reasons import REASONS
from target_liveintent.singer.explain import explain
from target_liveintent.singer.printing import json_text
from target_liveintent.singer.stream_maps import StreamMaps
from target_liveintent.storage.dead_letters import HEAD

if TYPE_CHECKING:
    from collections.abc import Sequence


def paragraph(*columns: str, keys: Sequence[str] = (), **stream_map: str) -> list[str]:
    """Explain a stream of these columns; return the lines that are printed."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token"})
    schema = {"properties": {column: {} for column in columns}}
    message = json.dumps(
        {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": keys}
    )
    maps = StreamMaps({"orders": {**stream_map, "__else__": None}} if stream_map else {}, {})
    return [*as_lines(explain(io.StringIO(message), settings, maps, {}))]


def printed(*columns: str) -> dict[str, str]:
    """Explain a stream of these columns without a map; return what is printed for each field."""
    found = {}
    for line in paragraph(*columns):
        field, _, source = line.strip().partition(" ")
        found[field] = source.strip()
    return found


def test_what_is_never_sent() -> None:
    """An address and a consent are marked, because they stay here."""
    found = printed("event_time", "email", "consent", "value")
    assert found["email"] == "the column of the same name  (normalized and hashed, never sent)"
    assert found["consent"] == "the column of the same name  (never sent)"
    assert found["value"] == "the column of the same name"


def test_the_decision_id_of_a_page() -> None:
    """The page is named as a source of decision IDs only where the stream has it."""
    found = printed("event_time", "email", "source_url")
    assert found["decision_id"] == "li_did of source_url"
    found = printed("event_time", "decision_id", "source_url")
    assert found["decision_id"] == "the column of the same name, else li_did of source_url"
    found = printed("event_time", "email")
    assert "decision_id" in found["Empty:"].split(", ")


def test_what_a_stream_lacks() -> None:
    """Only a stream that cannot produce any event is said to lack something."""
    given = ("email", "pixel_id", "source")
    lacks = "  This stream cannot produce any event: it lacks event_time."
    assert lacks in paragraph(*given)
    assert not [line for line in paragraph("event_time", *given) if "cannot produce" in line]


@pytest.mark.parametrize(
    ("keys", "derived"),
    [((), "the whole mapped record"), (("id", "line"), "the key properties id, line")],
)
def test_what_an_event_id_is_derived_from(keys: Sequence[str], derived: str) -> None:
    """Without a column for it, an event ID comes from the key properties, or else from all."""
    found = paragraph("id", "line", "event_time", "email", keys=keys)
    assert f"  event_id         derived from the stream's name and {derived}" in found


def test_streams_are_apart() -> None:
    """An empty line stands before each stream."""
    assert paragraph("event_time", "email")[:2] == ["", "Stream orders"]


@pytest.mark.parametrize(
    ("unused", "said"),
    [
        (1, "x00"),
        (12, ", ".join(f"x{n:02}" for n in range(12))),
        (13, ", ".join(f"x{n:02}" for n in range(12)) + " and 1 more"),
        (15, ", ".join(f"x{n:02}" for n in range(12)) + " and 3 more"),
    ],
)
def test_columns_that_no_expression_reads(unused: int, said: str) -> None:
    """The first 12 are named, and the others counted."""
    columns = ["event_time", "email", *(f"x{n:02}" for n in range(unused))]
    assert f"  Not used: {said}." in paragraph(*columns, event_time="event_time", email="email")


@pytest.mark.parametrize("expression", ["email", "str(record)"])
def test_without_unused_columns(expression: str) -> None:
    """Nothing is said where all columns are read, or an expression reads the whole record."""
    found = paragraph("event_time", "email", event_time="event_time", email=expression)
    assert not [line for line in found if "Not used" in line]


def test_rejected_records() -> None:
    """Each reason is there once, with the first record that has it and what the reason means."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token"})
    properties = {name: {} for name in ("event_time", "email", "pixel_id", "source")}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": {"properties": properties}},
        {"type": "RECORD", "stream": "orders", "record": {"event_id": "7"}},
        {"type": "RECORD", "stream": "orders", "record": {"event_id": "8"}},
    ]
    source = io.StringIO("\n".join(map(json.dumps, messages)))
    found = [*as_lines(explain(source, settings, StreamMaps({}, {}), {}))]
    place = found.index("  Of 2 records, 0 would be sent, 0 filtered, 2 rejected.")
    assert found[place + 1].startswith("  missing_event_time (2), first event: ")
    assert found[place + 2] == f"    {REASONS['missing_event_time'].meaning}"


def test_columns_that_identify_nobody() -> None:
    """The warning at the end of a run is there, and the advice knows what is mapped."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1})
    properties = {name: {} for name in ("event_time", "email", "source")}
    record = {"event_time": int(time.time()) - 60, "email": "Ann Smith", "source": "web"}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": {"properties": properties}},
        *[{"type": "RECORD", "stream": "orders", "record": record}] * 50,
    ]
    source = io.StringIO("\n".join(map(json.dumps, messages)))
    (stream,) = explain(source, settings, StreamMaps({}, {}), {}).streams
    assert stream.records is not None
    (reason,) = stream.records.reasons
    (said,) = stream.warnings
    assert said.startswith(
        "in 50 of 50 events, the column email did not identify a person (0 empty, 50 unusable). "
    )
    assert reason.meaning.endswith(
        "In stream orders, almost no event has a usable value in email: check what is mapped to"
        " email."
    )


def test_dead_letters() -> None:
    """What a replay leaves or drops is told, with advice that does not speak of maps."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1})
    good = {"event_time": int(time.time()) - 60, "md5": "0" * 31 + "1", "source": "web"}
    other = {"customer_id": "b-9z9z", "api_host": "conversions.liveintent.com"}
    letters = [
        {**good, "reason": "refused_by_api"},
        {**good, "reason": "refused_by_api", "written_for": other},
        {**good, "reason": "unconfirmed"},
        {**good, "reason": "refused_by_api", "event_time": 1},
        {"reason": "missing_event_time"},
    ]
    messages: list[dict[str, Any]] = [json.loads(HEAD)]
    for number, letter in enumerate(letters):
        record = {"event_id": str(number), **letter}
        messages.append({"type": "RECORD", "stream": DEAD_LETTERS, "record": record})
    source = io.StringIO("\n".join(map(json.dumps, messages)))
    found = "\n".join(as_lines(explain(source, settings, StreamMaps({}, {}), {})))
    said = "Of 5 records, 1 would be sent, 0 filtered, 1 rejected, 1 dropped, 2 left in the file."
    assert said in found
    for reason in ("other_account", "unconfirmed", "expired", "missing_event_time"):
        assert f"  {reason} (1), first event: " in found
    assert not re.search(r"\bmap", found, re.IGNORECASE)


@pytest.mark.parametrize("on_rejection", ["dead_letter", "fail"])
def test_dead_letters_that_stay_fail_no_replay(on_rejection: str) -> None:
    """A replay leaves them in the file, ends well, and so does its explanation."""
    settings = settings_of(
        {"customer_id": "a-1b2c", "auth_token": "made-up-token", "on_rejection": on_rejection}
    )
    letter = {"event_id": "1", "reason": "mapping_failed", "keys": {"id": 1}}
    letters = [{"type": "RECORD", "stream": DEAD_LETTERS, "record": letter}] * 12
    source = io.StringIO("\n".join([HEAD.decode(), *map(json.dumps, letters)]))
    assert explain(source, settings, StreamMaps({}, {}), {}).failures == []


def test_what_fills_a_field() -> None:
    """The expression of a map is shown in one line, and a misspelled column of it is named."""
    expression = "(get('created')\n  or created)"
    found = paragraph("created", "email", event_time=expression, email="emial")
    assert "  event_time       (get('created') or created)" in found
    assert "  email            emial  (normalized and hashed, never sent)" in found
    wrong = "  'email' reads 'emial', which is not in the tap's SCHEMA; did you mean 'email'?"
    assert wrong in found


# The JSON

DOCS = Path(__file__).parents[4] / "docs" / "reference" / "cli.md"


def names_of(value: Any) -> Iterator[str]:
    """The names of all fields in a piece of JSON, but not those of columns and fields."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name not in {"fields", "left_out", "keys", "examples", "currencies"}:
                yield from names_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_of(inner)


@pytest.mark.skipif(not DOCS.exists(), reason="not a checkout")
def test_every_field_is_documented(tmp_path: Path) -> None:
    """The page of the command line names each field of the JSON."""
    account = {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
    settings = settings_of({**account, "default_source": "web"})
    schema = {"properties": {name: {} for name in ("event_time", "email")}}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema},
        {"type": "RECORD", "stream": "orders", "record": {"event_time": 1}},
    ]
    source = io.StringIO("\n".join(map(json.dumps, messages)))
    expected = str(tmp_path / "expected.json")
    maps = StreamMaps({"orders": {"email": "email", "event_time": "event_time"}, "sales": {}}, {})
    found = json.loads(json_text(explain(source, settings, maps, {}, expected)))
    assert found["streams"][0]["records"]["reasons"]
    assert found["absent_streams"]
    text = DOCS.read_text(encoding="utf-8").split("## The JSON of an explanation")[1]
    documented = set(re.findall(r"`([a-z_]+)`", text.split("## ")[0]))
    assert set(names_of(found)) - documented == set()


def test_deleted_rows() -> None:
    """They are said to be dropped where the tap marks them, unless the map reads the mark."""
    said = "  deleted rows     dropped, if _sdc_deleted_at has a value"
    given = {"event_time": "event_time", "email": "email"}
    found = paragraph("event_time", "email", "_sdc_deleted_at", **given)
    assert said in found
    assert not [line for line in found if "Not used" in line]
    for columns, added in (
        (("event_time", "email"), {}),
        (("event_time", "email", "_sdc_deleted_at"), {"__filter__": "not _sdc_deleted_at"}),
    ):
        assert said not in paragraph(*columns, **given, **added)


def test_dropped_records() -> None:
    """They are not counted as rejected; what is empty in them says nothing about the map.

    Of a deleted row, nothing is shown, not even its keys.
    """
    settings = settings_of(
        {"customer_id": "a-1b2c", "auth_token": "made-up", "pixel_id": 1, "default_source": "web"}
    )
    names = ("id", "event_time", "email", "_sdc_deleted_at")
    row = {"id": 1, "event_time": int(time.time()) - 60, "email": "ann@example.com"}
    messages: list[dict[str, Any]] = [
        {
            "type": "SCHEMA",
            "stream": "orders",
            "schema": {"properties": {name: {} for name in names}},
            "key_properties": ["id"],
        },
        {"type": "RECORD", "stream": "orders", "record": row},
        {"type": "RECORD", "stream": "orders", "record": {"id": 2, "_sdc_deleted_at": "2026"}},
    ]
    source = io.StringIO("\n".join(map(json.dumps, messages)))
    maps = {"orders": {"event_time": "event_time", "email": "email", "ip": "email.nothing"}}
    found = [*as_lines(explain(source, settings, StreamMaps(maps, {}), {}))]
    place = found.index("  Of 2 records, 0 would be sent, 0 filtered, 1 rejected, 1 dropped.")
    (dropped,) = [line for line in found[place:] if line.startswith("  deleted (1), ")]
    assert dropped.endswith(", column _sdc_deleted_at")
    assert not [line for line in found if "is empty in all" in line]
