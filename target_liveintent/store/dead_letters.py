"""Dead letters: the records that could not be sent, for a person to look at and for a replay.

A dead letter keeps the event ID, so that a replay sends the same event. The columns of the event
contain no value that came from the settings, so that a replay uses the corrected settings. The
field `written_for` names the account and the pixel, so that a replay without `--other-accounts`
does not send the dead letter to another account or pixel.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.builder import window_end
from target_liveintent.conversions.coerce import (
    Unusable,
    currency_code,
    exact,
    positive_integer,
    read_amount,
    unix_time,
)
from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, LetterKey, Rejection
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.redaction import redact_columns
from target_liveintent.settings import Account, EventDefaults
from target_liveintent.store.database import Database, damaged
from target_liveintent.store.deduplication import TIME_BYTES
from target_liveintent.store.layout import DEAD_LETTER, UNCOUNTED, SqlRow, Step

_TEXT = {"type": ["string", "null"]}
PROPERTIES: dict[str, Any] = {
    **{field.name: {} for field in FIELDS if field.name != "email"},
    **dict.fromkeys(
        ("event_id", "reason", "field", "detail", "stream", "time", "window_end", "run_id"), _TEXT
    ),
    "all_hashes": {"type": ["array", "null"]},
    "written_for": {"type": ["object", "null"]},
    "keys": {"type": ["object", "null"]},
    "scrubbed": {"type": ["object", "null"]},
}
"""The columns of the stream of dead letters, which docs/reference/store-tables.md describes."""
SCHEMA_MESSAGE = {
    "type": "SCHEMA",
    "stream": DEAD_LETTERS,
    "key_properties": ["event_id", "stream", "time"],  # For databases; a replay ignores it.
    "schema": {"type": "object", "properties": PROPERTIES},
}
_LONGEST_ID = 200
"""How many characters of a text a key contains. A hash replaces the rest of a longer text."""
_HASH = re.compile(r"[0-9a-f]{8}(?:[0-9a-f]{24,}|(?=-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-))")
"""Matches 32 or more hexadecimal digits, which may contain the hash of an address. Of a UUIDv5, it
matches the first 8 digits."""
HASH_DIGITS = 8
"""The number of digits of each hash in the column `hashes`."""
_MD5_DIGITS = 32
_USUAL_LENGTHS = {HASH_DIGITS, _MD5_DIGITS, 64}
"""How many digits the first part of a UUID, an MD5 and a SHA-256 have."""
_MOST_HASHES = 40
"""The most hashes in the column `hashes`: an entry of an index must be short."""
ANY_HASH = "*"
"""The value of the column `hashes` if a dead letter has more hashes than `_MOST_HASHES`."""
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_columns = msgspec.json.Decoder(dict[str, Any]).decode


class DeadLetter(NamedTuple):
    """A dead letter as the store keeps it."""

    key: LetterKey
    record: Mapping[str, Any]  # The columns of the stream of dead letters.
    window_end: int | None  # The Unix time at which its event becomes too old, if it is known.
    # The Unix time at which its record was first read. None: the time of writing the letter counts.
    read_at: float | None = None
    hash: bytes = b""  # As in the key of its event; empty if it is not known.

    @property
    def worth(self) -> tuple[str, Decimal] | None:
        """The currency and the value of the event, if it has both."""
        value = read_amount(self.record.get("value"))
        currency = currency_code(self.record.get("currency"))
        if isinstance(value, Unusable | None) or not isinstance(currency, str):
            return None
        return currency, exact(value)

    @property
    def reason(self) -> str:
        """The code of the reason, which a user may have edited."""
        return str(self.record.get("reason"))

    def row(self, run: int, now: float) -> SqlRow:
        """Return the row that the run with the number `run` writes at the Unix time `now`.

        The last columns, about the first run that wrote a dead letter with this key, are missing.
        """
        reason, field, detail = map(self._text, ("reason", "field", "detail"))
        record = _encode(self.record).decode()
        hashes = hashes_in(record)
        found_by = " ".join(hashes) if len(hashes) <= _MOST_HASHES else ANY_HASH
        why, times = (reason or "", field, detail), (int(now), self.window_end)
        currency, value = self.worth or (None, None)
        worth = (None if value is None else str(value), currency)
        return (*self.key, *why, *times, run, *worth, found_by, record)

    @property
    def event_key(self) -> bytes | None:
        """The key of its event, as in the table `event`; None if it is not known."""
        if self.window_end is None or not self.hash:
            return None
        return max(0, self.window_end).to_bytes(TIME_BYTES, "big") + self.hash

    def _text(self, name: str) -> str | None:
        value = self.record.get(name)
        return None if value is None else storable(str(value))


def letter_of(
    rejection: Rejection, account: Account, events: EventDefaults, run_id: str, now: float
) -> DeadLetter:
    """Return the dead letter of a rejection, without addresses; `now` is the Unix time."""
    columns, detail = rejection.columns, rejection.detail
    record = {
        "event_id": rejection.event_id,
        **redact_columns(columns),
        "reason": rejection.reason,
        "field": rejection.field and scrub(rejection.field),
        "stream": scrub(rejection.stream),
        "time": utc(now),
        "run_id": run_id,
    }
    end = window_end(columns, events)
    if end is not None:
        record["window_end"] = utc(end)
        if detail is None and end <= now:
            detail = "its window has closed"
    if detail is not None:
        record["detail"] = scrub(detail)
    pixel_id = positive_integer(columns.get("pixel_id"))
    written_for = {"customer_id": account.customer_id, "api_host": account.host}
    if pixel_id is None and events.pixel_id is not None:
        record["written_for"] = {**written_for, "pixel_id": events.pixel_id}
    elif isinstance(pixel_id, int):
        record["written_for"] = written_for
    if rejection.keys is not None:
        record["keys"] = rejection.keys
    return DeadLetter(_key_of(record, account), record, end)


def imported(record: Mapping[str, Any], account: Account, events: EventDefaults) -> DeadLetter:
    """Return a dead letter that was exported and maybe edited; remove addresses from it again.

    If the store has no dead letter with the same key, the time at which this one was written counts
    as the time at which its record was read.
    """
    known = {name: value for name, value in record.items() if name in PROPERTIES}
    for name in ("scrubbed", "written_for"):
        if not isinstance(known.get(name, {}), dict):
            del known[name]
    known |= redact_columns(known)
    written_at = unix_time(known.get("time"), dt.timezone.utc)
    read_at = written_at if isinstance(written_at, int) else None
    return DeadLetter(_key_of(known, account), known, window_end(known, events), read_at)


def utc_moment(unix_time: float) -> dt.datetime:
    """Return a Unix time of the store as a date with time, in UTC.

    Raises:
        StorageError: If the number is no valid time, because the store is damaged.
    """
    try:
        return dt.datetime.fromtimestamp(unix_time, dt.timezone.utc)
    except (OverflowError, ValueError, OSError, TypeError):
        failure = damaged("a time")
        raise failure from None


def utc(unix_time: float, precision: str = "seconds") -> str:
    """Return a Unix time of the store as text, in UTC."""
    return utc_moment(unix_time).isoformat(timespec=precision).replace("+00:00", "Z")


def _key_of(record: Mapping[str, Any], account: Account) -> LetterKey:
    """Return the key of a dead letter, from its columns."""
    written_for = record.get("written_for", {})
    own = positive_integer(record.get("pixel_id"))
    pixel_id = positive_integer(written_for.get("pixel_id")) if own is None else own
    # (A dead letter with `keys` has no mapped columns. The map might have chosen another pixel.)
    is_mapped = record.get("keys") is None
    return LetterKey(
        storable(str(written_for.get("customer_id", account.customer_id))),
        storable(str(written_for.get("api_host", account.host))),
        stored_id(str(record.get("stream", ""))),
        stored_id(str(record.get("event_id"))),
        pixel_id if is_mapped and isinstance(pixel_id, int) else 0,
    )


def keys_of(conversion: Conversion, account: Account) -> tuple[LetterKey, ...]:
    """Return the keys of the dead letters that an event may have.

    In a replay, this includes the dead letter from which the event was made, because this dead
    letter may belong to another account.
    """
    event = conversion.event
    own = event_letter_keys(account, conversion.stream, event.event_id, event.pixel_id)
    return own if conversion.letter is None else (*own, conversion.letter)


def event_letter_keys(
    account: Account, stream: str, event_id: str, pixel_id: int
) -> tuple[LetterKey, ...]:
    """Return the keys that dead letters of an event may have: with its pixel, and with pixel 0."""
    stored = stored_stream(stream), stored_id(event_id)
    return tuple(LetterKey(*account, *stored, pixel) for pixel in (pixel_id, 0))


@functools.lru_cache
def stored_stream(name: str) -> str:
    """Return the name of a stream as the store keeps it: without addresses."""
    return stored_id(scrub(name))


def stored_id(text: str) -> str:
    """Return a text as a part of a key; a long text is shortened, because indexes reject it."""
    text = storable(text)
    start, rest = text[:_LONGEST_ID], text[_LONGEST_ID:]
    return f"{start}…{hashlib.sha256(rest.encode()).hexdigest()[:32]}" if rest else start


def storable(text: str) -> str:
    """Return a text in which the characters that a database rejects are replaced by � or ?."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "�")


def hashes_in(text: str) -> list[str]:
    """Return the first digits of each part of a text that may be a hash or is a UUIDv5."""
    beginnings: dict[str, None] = {}
    for digits in _HASH.findall(text.lower()):
        # If there are more digits, such as those of `%3D` before a SHA-256, a hash may begin at any
        # of them.
        last = 0 if len(digits) in _USUAL_LENGTHS else len(digits) - _MD5_DIGITS
        for start in range(last + 1):
            beginnings[digits[start : start + HASH_DIGITS]] = None
    return [*beginnings]


# In the database

_EVENT = {"event_hash": "bytea", "event_key": "bytea"}
_FIRST_READ = (
    "CASE WHEN EXISTS (SELECT 1 FROM event WHERE event.key = given.event_key)"  # noqa: S608
    f" THEN {UNCOUNTED} ELSE coalesce((SELECT waiting.read_at FROM waiting"
    " WHERE waiting.hash = given.event_hash), given.first_read) END"
)
_KEY = ", ".join(LetterKey._fields)
_READ = (
    f"SELECT {_KEY}, CAST(record AS TEXT) FROM dead_letter"  # noqa: S608
    f" WHERE ({_KEY}) > (?, ?, ?, ?, ?) AND run <> ? ORDER BY {_KEY}"
)


def put_letters(rows: Sequence[SqlRow]) -> Step:
    """Return the step that writes dead letters; rows end with the hash and key of the event.

    The letter of an event that waits keeps the day of the event.
    """
    return DEAD_LETTER.put_computed(rows, _EVENT, {"first_read": _FIRST_READ})


def letters_in(database: Database, run: int = 0) -> Iterator[tuple[LetterKey, str]]:
    """Yield the dead letters: the key of each, and its columns as JSON.

    Each dead letter comes once, even if runs write meanwhile. Dead letters that the run with the
    number `run` has written are left out.
    """
    for *key, record in database.pages(_READ, ("", "", "", "", -1), run):
        yield LetterKey(*key), record


def letter_columns(record: str) -> dict[str, Any]:
    """Return the columns of a dead letter from its JSON.

    Raises:
        StorageError: If the text is not a JSON object, because the store is damaged.
    """
    try:
        return _decode_columns(record)
    except msgspec.DecodeError:
        failure = damaged("a dead letter")
        raise failure from None


def letter_messages(records: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a Singer stream; `records` has the columns of each dead letter as JSON."""
    yield _encode(SCHEMA_MESSAGE).decode()
    for record in records:
        yield f'{{"type":"RECORD","stream":"{DEAD_LETTERS}","record":{record}}}'


# Groups of letters


class LetterGroup(NamedTuple):
    """How many dead letters one account, pixel (0 if unusable), reason and stream have."""

    customer_id: str
    api_host: str
    reason: str
    pixel_id: int
    stream: str
    letters: int
    first: int  # The Unix time at which the first one was written.
    last: int  # The Unix time at which the last one was written.


_GROUP = "customer_id, api_host, reason, pixel_id, stream"
_GROUPS = (
    f"SELECT {_GROUP}, count(*), min(written_at), max(written_at)"  # noqa: S608
    f" FROM dead_letter GROUP BY {_GROUP}"
)
_NEWEST = (
    "SELECT CAST(record AS TEXT) FROM dead_letter"  # noqa: S608
    f" WHERE ({_GROUP}) = (?, ?, ?, ?, ?) ORDER BY written_at DESC LIMIT ?"
)

_EXAMPLE = (
    "SELECT event_id FROM dead_letter WHERE customer_id = ? AND api_host = ? AND run_pixel_id = ?"
    " AND first_read >= ? AND reason = ? ORDER BY first_read DESC LIMIT 1"
)


def newest_id(
    database: Database, account: Account, pixel_id: int | None, since: float, reason: str
) -> str | None:
    """Return the event ID of the newest dead letter with a reason that was read since a Unix time.

    The result is None if the runs with this account and setting `pixel_id` have no such letter.
    """
    rows = database.read(_EXAMPLE, [*account, pixel_id or 0, int(since), reason])
    return next((event_id for (event_id,) in rows), None)


def letter_groups(database: Database) -> list[LetterGroup]:
    """Return the groups of all dead letters, from an index: no record is read."""
    return [LetterGroup(*row) for row in database.read(_GROUPS)]


def newest_letters(database: Database, group: LetterGroup, most: int) -> list[str]:
    """Return the columns of the newest dead letters of a group as JSON, at most `most` of them."""
    rows = database.read(_NEWEST, [*group[:5], most]) if most else ()
    return [record for (record,) in rows]
