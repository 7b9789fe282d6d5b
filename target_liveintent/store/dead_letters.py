"""Dead letters: the records that could not be sent, for a person to look at and for a replay.

A dead letter keeps the event ID, so that a replay sends the same event. Its columns hold nothing
that came from the settings, so that a corrected setting takes effect. It names the account and the
pixel that it was written for, so that no replay delivers it to another.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.builder import window_end
from target_liveintent.conversions.coerce import positive_integer
from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, LetterKey, Rejection
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.redaction import redact_columns
from target_liveintent.settings import Account, EventDefaults
from target_liveintent.store.database import Database
from target_liveintent.store.layout import SqlRow, Step

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
    "key_properties": ["event_id", "stream", "time"],  # For databases, not for replays.
    "schema": {"type": "object", "properties": PROPERTIES},
}
_LONGEST_ID = 200
"""The longest part of a key, in characters. In a longer one, a hash replaces the rest."""
_encode = msgspec.json.Encoder(decimal_format="number").encode


class DeadLetter(NamedTuple):
    """A dead letter as the store keeps it."""

    key: LetterKey
    record: Mapping[str, Any]  # The columns of the stream of dead letters.
    window_end: int | None  # Unix time from which on its event is too old, if that is known.

    @property
    def reason(self) -> str:
        """The code of its reason. Somebody may have edited it."""
        return str(self.record.get("reason"))

    def row(self, run: int, now: float) -> SqlRow:
        """Return the row that the run of this number writes at a Unix time."""
        reason, field, detail = map(self._text, ("reason", "field", "detail"))
        record = _encode(self.record).decode()
        return (*self.key, reason or "", field, detail, int(now), self.window_end, run, record)

    def _text(self, name: str) -> str | None:
        value = self.record.get(name)
        return None if value is None else storable(str(value))


def letter_of(
    rejection: Rejection, account: Account, events: EventDefaults, run_id: str, now: float
) -> DeadLetter:
    """Return the dead letter of a rejection at a Unix time, without addresses."""
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
    """Return a dead letter that was exported, and perhaps edited. Addresses are removed again."""
    known = {name: value for name, value in record.items() if name in PROPERTIES}
    for name in ("scrubbed", "written_for"):
        if not isinstance(known.get(name, {}), dict):
            del known[name]
    known |= redact_columns(known)
    return DeadLetter(_key_of(known, account), known, window_end(known, events))


def utc(unix_time: float, precision: str = "seconds") -> str:
    """Return a Unix time as text."""
    time = dt.datetime.fromtimestamp(unix_time, dt.timezone.utc)
    return time.isoformat(timespec=precision).replace("+00:00", "Z")


def _key_of(record: Mapping[str, Any], account: Account) -> LetterKey:
    """Return the key of a dead letter, from its columns."""
    written_for = record.get("written_for", {})
    own = positive_integer(record.get("pixel_id"))
    pixel_id = positive_integer(written_for.get("pixel_id")) if own is None else own
    # If no map was applied, the map might have chosen another pixel.
    is_mapped = record.get("keys") is None
    return LetterKey(
        storable(str(written_for.get("customer_id", account.customer_id))),
        storable(str(written_for.get("api_host", account.host))),
        stored_id(str(record.get("stream"))),
        stored_id(str(record.get("event_id"))),
        pixel_id if is_mapped and isinstance(pixel_id, int) else 0,
    )


def keys_of(conversion: Conversion, account: Account) -> tuple[LetterKey, ...]:
    """Return the keys of the dead letters that an event may have.

    It may have had no usable pixel then; and a replay makes events of letters of other accounts.
    """
    stream, event_id = stored_stream(conversion.stream), stored_id(conversion.event_id)
    pixels = (conversion.event.pixel_id, 0)
    own = tuple(LetterKey(*account, stream, event_id, pixel) for pixel in pixels)
    return own if conversion.letter is None else (*own, conversion.letter)


@functools.lru_cache
def stored_stream(name: str) -> str:
    """Return the name of a stream as the store has it: without addresses."""
    return stored_id(scrub(name))


def stored_id(text: str) -> str:
    """Return a text as a part of a key has it: an index of PostgreSQL takes no long ones."""
    text = storable(text)
    start, rest = text[:_LONGEST_ID], text[_LONGEST_ID:]
    return f"{start}…{hashlib.sha256(rest.encode()).hexdigest()[:32]}" if rest else start


def storable(text: str) -> str:
    """Return a text that any database takes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "�")


# In the database

_KEY = ", ".join(LetterKey._fields)
_READ = (
    f"SELECT {_KEY}, CAST(record AS TEXT) FROM dead_letter"  # noqa: S608
    f" WHERE ({_KEY}) > (?, ?, ?, ?, ?) AND run <> ? ORDER BY {_KEY}"
)


def letters_in(database: Database, run: int = 0) -> Iterator[tuple[LetterKey, str]]:
    """Yield the keys of dead letters and their columns as JSON.

    Each comes once, also while runs write. What the run with the given number has written does not
    come.
    """
    for *key, record in database.pages(_READ, ("", "", "", "", -1), run):
        yield LetterKey(*key), record


def letter_messages(records: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the Singer stream of dead letters."""
    yield _encode(SCHEMA_MESSAGE).decode()
    for record in records:
        yield f'{{"type":"RECORD","stream":"{DEAD_LETTERS}","record":{record}}}'


_OF_REASON = (
    "dead_letter WHERE customer_id = ? AND api_host = ? AND reason = ?"
    " AND pixel_id IN (coalesce(?, pixel_id), 0)"
)
_OF_PERSON = (
    # A dead letter has hashes in several columns, and where an address was replaced. An event ID
    # with an address has become a UUID, and a stream's name with one has a hash in it.
    ("dead_letter WHERE lower(CAST(record AS TEXT)) LIKE ?", "%{}%"),
    ("delivered WHERE md5 = ?", "{}"),
    ("delivered WHERE sha2 = ?", "{}"),
    ("delivered WHERE event_id = ?", "{}"),
    ("delivered WHERE stream LIKE ?", "%{}%"),
)


def delete_letters(database: Database, account: Account, pixel_id: int | None, reason: str) -> int:
    """Delete the dead letters of an account and pixel (or all pixels) with a reason; count them."""
    return sum(_delete(database, [(_OF_REASON, [*account, reason, pixel_id])]))


def forget_people(database: Database, people: Sequence[Sequence[str]]) -> list[int]:
    """Delete the dead letters and delivered events of people, and count those of each person.

    A person is given by the texts that may stand in such a row, as `traces_of` returns them.
    """
    rows_of_people = [
        [(rows, [form.format(text)]) for text in person for rows, form in _OF_PERSON]
        for person in people
    ]
    counts = _delete(database, [*itertools.chain(*rows_of_people)])
    deleted, start = [], 0
    for rows_of_person in rows_of_people:
        end = start + len(rows_of_person)
        deleted.append(sum(counts[start:end]))
        start = end
    return deleted


def _delete(database: Database, conditions: Sequence[tuple[str, list[Any]]]) -> list[int]:
    """Delete rows in one transaction, and count the rows of each condition.

    A row that meets two conditions counts for the first of them.
    """
    actions = ("SELECT count(*)", "DELETE")
    steps = [Step(f"{act} FROM {rows}", values) for rows, values in conditions for act in actions]
    answers = database.transact(steps, durable=True)
    return [rows[0][0] for rows in answers[::2]]
