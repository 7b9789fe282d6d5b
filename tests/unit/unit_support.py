"""Builds the records, events and dead letters of several unit tests."""

import contextlib
import datetime as dt
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from target_liveintent.config import settings_of
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.conversions.fast_path import SlowPathError, compile_fast_path
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.remarks import (
    COLUMN_EMPTY,
    COLUMN_UNUSABLE,
    HASH_CONFLICT,
    SLOW_PATH,
    Remarks,
)
from target_liveintent.run.replay_converter import to_replay
from target_liveintent.settings import EventDefaults
from target_liveintent.singer.reader import decode_object
from target_liveintent.store.dead_letters import letter_of

NOW = 1_785_600_000.0
"""2026-08-01T16:00:00Z: the clock of these tests."""
TIME = 1_785_500_000
"""An event time well inside of every window."""
DAY = 86_400
DEFAULTS = EventDefaults(pixel_id=4711, source="web", zone=dt.timezone.utc, normalization="gmail")
BARE = DEFAULTS._replace(pixel_id=None, source=None)
ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "a-token-of-unit-tests"}
SETTINGS = settings_of({**ACCOUNT, "pixel_id": 4711, "default_source": "web"})
"""The settings from which these defaults come."""

ADDRESS = "John.Doe+office@gmail.com"
MD5 = "29a1df4646cb3417c19994a59a3e022a"
SHA2 = "06a240d11cc201676da976f7b49341181fd180da37cbe40a77432c0a366c80c3"

CONVERT = RecordConverter.convert
LI_DID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"
HUGE = 10**5000
"""An integer whose text Python refuses to write."""
CLICK_URL = f"https://shop.example/p?a=1&li_did={LI_DID}"

FULL: dict[str, Any] = {
    "event_id": "1007",
    "event_time": TIME,
    "pixel_id": 12345,
    "source": "app",
    "decision_id": LI_DID,
    "email": ADDRESS,
    "ip": "::ffff:203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "idfa": LI_DID,
    "aaid": LI_DID,
    "tracking_enabled": True,
    "currency": "usd",
    "value": Decimal("87.10"),
    "order_id": 1007.0,
    "source_url": "https://shop.example/p?a=1",
    "app_bundle": "com.example.shop",
}
"""A mapped record with every column of an event."""


def name_of(value: Any) -> str:
    """Return the name of a value in a row of a test, such as the columns that it changes."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "huge"  # Python refuses to write it.
    if isinstance(value, dict):
        value = " and ".join(f"{name} {name_of(of)}" for name, of in value.items()) or "nothing"
    return "absent" if value is ... else str(value)[:60]


def each_of(names: str, rows: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Run a test with each of some rows, whose keys say what they are."""
    return pytest.mark.parametrize(names, list(rows.values()), ids=list(rows))


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def order(**changes: Any) -> dict[str, Any]:
    """Return a mapped record that gives an event; `...` removes a column."""
    record = {"event_id": "1007", "event_time": TIME, "email": ADDRESS, **changes}
    return {name: value for name, value in record.items() if value is not ...}


def build(
    record: Mapping[str, Any],
    *,
    raw: Mapping[str, Any] | None = None,
    keys: Iterable[str] = (),
    stream: str = "orders",
    properties: Iterable[str] | None = None,
    defaults: EventDefaults = DEFAULTS,
    now: float = NOW,
    suppressions: Suppressions | None = None,
    violation: str | None = None,
    undeclared: Iterable[str] = (),
) -> Conversion | Rejection:
    """Build the event of one record with a builder of its own.

    If the fast path builds it as well, it must build the same.
    """
    columns = list(record) if properties is None else properties
    builder = EventBuilder(
        stream, columns, tuple(keys), defaults, suppressions, undeclared=undeclared
    )
    raw = record if raw is None else raw
    if violation is None:
        return both_ways(builder, record, raw, now)[0]
    return builder.build(record, raw, now, violation)


def both_ways(
    builder: EventBuilder, mapped: Mapping[str, Any], raw: Mapping[str, Any], now: float
) -> tuple[Conversion | Rejection, bool]:
    """Build an event in the slow path, and check that the fast path gives the same, if any.

    Returns:
        The result, and whether the fast path gives it.
    """
    result = builder.build(mapped, raw, now)
    inputs = {name: f"record['mapped'].get({name!r})" for name in builder.columns}
    build_usual = compile_fast_path(builder, inputs, {})
    if build_usual is None:
        return result, False
    try:
        usual = build_usual({**raw, "mapped": mapped}, now)
    except SlowPathError:
        return result, False
    assert isinstance(usual, Conversion)
    assert facts_of(usual) == facts_of(result)
    return result, True


def convert_both_ways(
    converter: RecordConverter, record: dict[str, Any], violation: str | None = None
) -> Conversion | Rejection | None:
    """Stand in for `RecordConverter.convert`: check that the fast path gives what the other does.

    What is noticed must be the same as well. The way that `trace` shows must lead there, too.
    """
    moment, now = converter._now(), converter._now  # noqa: SLF001
    converter._now = lambda: moment  # noqa: SLF001
    wanted = converter.convert_on_slow_path(record, violation)
    made = CONVERT(converter, record, violation)
    walked = converter.walk(record, violation)
    converter._now = now  # noqa: SLF001
    assert facts_of(made) == facts_of(wanted)
    if not any(origin.has_chance for origin in converter._plan.origins.values()):  # noqa: SLF001
        assert facts_of(walked.result) == facts_of(wanted)
    return made


def remarks_of(result: Conversion | Rejection) -> Remarks:
    """Return what is noticed about a record, in whichever way it was converted, in order."""
    return tuple(sorted(one for one in result.remarks if one.kind != SLOW_PATH))


def left_out_of(result: Conversion | Rejection) -> dict[str, int]:
    """Return the columns that an event lacks: `value` is unusable, and `value empty` has none."""
    words = {COLUMN_UNUSABLE: "{}", COLUMN_EMPTY: "{} empty", HASH_CONFLICT: "conflict"}
    return Counter(
        words[one.kind].format(one.column) for one in result.remarks if one.kind in words
    )


def facts_of(result: Conversion | Rejection | None) -> Any:
    """Return all that a conversion consists of, the digits and types of its values included."""
    if result is None:
        return None
    result = msgspec.structs.replace(result, remarks=remarks_of(result))
    if isinstance(result, Rejection):
        return result
    kept = [(name, repr(value)) for name, value in result.columns.items() if value is not None]
    told = result.stream, result.body, repr(result.event), result.expires_at, result.other_hashes
    return *told, sorted(kept), result.remarks


def conversion(record: Mapping[str, Any], **options: Any) -> Conversion:
    """Build an event of a record that must give one."""
    result = build(record, **options)
    assert isinstance(result, Conversion), result
    return result


def rejection(record: Mapping[str, Any], **options: Any) -> Rejection:
    """Build the rejection of a record that must give one."""
    result = build(record, **options)
    assert isinstance(result, Rejection), result
    return result


def body(record: Mapping[str, Any], **options: Any) -> Any:
    """Return the decoded JSON of the event of a record that must give one."""
    return msgspec.json.decode(conversion(record, **options).body)


def counted(record: Mapping[str, Any], **options: Any) -> tuple[Any, dict[str, int]]:
    """Return a record's decoded event, or why it is rejected, and the counts of what it lacks."""
    result = build(record, **options)
    if isinstance(result, Rejection):
        return result.reason, left_out_of(result)
    return msgspec.json.decode(result.body), left_out_of(result)


def suppressing(folder: Path, *people: str) -> Suppressions:
    """Return a suppression list of people."""
    path = folder / "people.txt"
    path.write_text("".join(f"{one}\n" for one in people))
    return Suppressions(str(path))


def letter(result: Conversion | Rejection) -> dict[str, Any]:
    """Return the record of a result's dead letter; the API refuses a conversion."""
    if isinstance(result, Conversion):
        result = result.rejected("refused_by_api", None, None)
    *_, record = letter_of(result, SETTINGS.account, SETTINGS.events, "run-1", NOW).row(1, NOW)
    return decode_object(record.encode())


def replayed(
    result: Conversion | Rejection,
    *,
    consent: Any = ...,
    suppressions: Suppressions | None = None,
    **defaults: Any,
) -> Conversion | Rejection:
    """Build the event of a result's dead letter, with other settings or another consent."""
    record = to_replay(letter(result))
    if consent is not ...:
        record["consent"] = consent
    columns = [field.name for field in FIELDS if field.name != "email"]
    builder = EventBuilder(
        DEAD_LETTERS, (), [], DEFAULTS._replace(**defaults), suppressions, undeclared=columns
    )
    return builder.build(record, record, NOW)


def sent_again(result: Conversion | Rejection, **options: Any) -> bytes:
    """Return the body of the event that a replay of a result's dead letter must send."""
    again = replayed(result, **options)
    assert isinstance(again, Conversion), again
    return again.body


@contextlib.contextmanager
def databases_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the databases that are opened meanwhile: of a target that does not run, nobody does."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    yield
    for database in opened:
        database.close()
