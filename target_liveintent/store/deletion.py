"""Deletes dead letters and delivered events: old ones, those with a reason, or those of a person.

Each transaction deletes few rows, so that no other run waits for long.
"""
# ruff: noqa: S608 (The parts of the queries are constants.)

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from target_liveintent.conversions.event_model import DAY, LetterKey
from target_liveintent.settings import Account
from target_liveintent.store.database import Answers, Database
from target_liveintent.store.dead_letters import ANY_HASH, HASH_DIGITS, hashes_in
from target_liveintent.store.layout import DEAD_LETTER, DELIVERED, SqlRow, SqlTable, Step
from target_liveintent.store.places import LOST, moved

_AT_ONCE = 1_000
"""The most rows that a query finds and a transaction deletes."""
_HASHES_AT_ONCE = 50
"""How many hashes a query looks for on each day."""
_KEY = ", ".join(LetterKey._fields)
_OLD = {
    table: f"SELECT {_KEY} FROM {name} WHERE {time} < CAST({{now}} - ? AS {kind}) ORDER BY {time}"
    for table, name, time, kind in (
        (DELIVERED, "delivered", "sent_at", "float8"),
        (DEAD_LETTER, "dead_letter", "written_at", "bigint"),
    )
}
"""Queries for the keys of rows that are older than a number of seconds."""
_OF_REASON = (
    f"SELECT {_KEY} FROM dead_letter WHERE customer_id = ? AND api_host = ? AND reason = ?"
    " AND pixel_id BETWEEN ? AND ?"
)
_ANY_PIXEL = (1, 2**63 - 1)
_WRITE = Step("UPDATE store SET version = version")
"""A step that changes nothing. After its transaction, the earlier deletions survive a power cut.
SQLite needs a write for this."""


class _Deletion(NamedTuple):
    """The rows of a table that a transaction deletes. The first values of a row are its key."""

    table: SqlTable
    rows: Sequence[SqlRow]

    @property
    def changes(self) -> Sequence[Step]:
        """The steps that count the events of dead letters as lost, and then delete the rows."""
        keys = [row[: len(self.table.key)] for row in self.rows]
        counts = moved([LetterKey(*key) for key in keys], LOST) if self.table is DEAD_LETTER else ()
        return [*counts, self.table.remove(keys)]


def _some(sql: str, values: Sequence[Any] = (), **rows: Any) -> Step:
    """Return the step that reads at most `_AT_ONCE` of the rows that a query finds."""
    return Step(f"{sql} LIMIT {_AT_ONCE}", values, **rows)


def _deleted(database: Database, table: SqlTable, some: Step) -> Iterator[SqlRow]:
    """Delete all rows that a query finds, and yield them; each transaction deletes some."""
    rows: Sequence[SqlRow] = [()] * _AT_ONCE
    while len(rows) >= _AT_ONCE:
        rows = database.ask_and_change([some], lambda found: _Deletion(table, found[0])).rows
        yield from rows


def _count(rows: Iterable[SqlRow]) -> int:
    return sum(1 for _ in rows)


def expired_rows(seconds: int) -> list[Step]:
    """Return the steps that find delivered events and dead letters older than `seconds`."""
    return [_some(sql, [seconds]) for sql in _OLD.values()]


def delete_expired(database: Database, seconds: int) -> int:
    """Delete delivered events and dead letters older than `seconds`; return how many letters."""
    steps = zip(_OLD, expired_rows(seconds), strict=True)
    counts = {table: _count(_deleted(database, table, some)) for table, some in steps}
    return counts[DEAD_LETTER]


def delete_letters(database: Database, account: Account, pixel_id: int | None, reason: str) -> int:
    """Delete the dead letters of an account and pixel with a reason; return how many.

    If `pixel_id` is None, this concerns all pixels. Dead letters without a usable pixel are deleted
    in both cases.
    """
    own = _ANY_PIXEL if pixel_id is None else (pixel_id, pixel_id)
    steps = [_some(_OF_REASON, [*account, reason, *pixels]) for pixels in ((0, 0), own)]
    count = sum(_count(_deleted(database, DEAD_LETTER, some)) for some in steps)
    database.transact([_WRITE])
    return count


# People

_HASHES = (
    "SELECT DISTINCT written_at, hashes FROM dead_letter WHERE (written_at, hashes) > (?, ?)"
    " ORDER BY written_at, hashes"
)
_WITH_HASHES = (
    f"SELECT {_KEY}, CAST(record AS TEXT) FROM dead_letter WHERE (written_at, hashes) IN ({{rows}})"
)
_TIMES = "SELECT (SELECT min(sent_at) FROM delivered), (SELECT max(sent_at) FROM delivered)"
_WITH_HASH = (
    f"WITH given (day, hash) AS ({{{{rows}}}}) SELECT {_KEY}, hash FROM given CROSS JOIN delivered"
    " WHERE CAST(sent_at / 86400 AS bigint) = day"
    f" AND substr({{column}}, 1, {HASH_DIGITS}) = substr(hash, 1, {HASH_DIGITS})"
    " AND {column} = hash"
)
_HASH_COLUMNS = {32: "md5", 64: "sha2"}
"""The column of a hash, by its number of digits."""
_STREAM = ("customer_id", "api_host", "stream")
_OF_STREAM = f"SELECT {_KEY} FROM delivered WHERE customer_id = ? AND api_host = ? AND stream = ?"
_WITH_ID = (
    f"WITH given (c, h, s, id) AS ({{rows}}) SELECT {_KEY}, id FROM given CROSS JOIN delivered"
    " WHERE customer_id = c AND api_host = h AND stream = s AND event_id = id"
)


class _People:
    """People, by the hashes and IDs that a row about a person may contain."""

    def __init__(self, people: Sequence[Sequence[str]]) -> None:
        self.numbers = {
            text: number
            for number, texts in reversed([*enumerate(people)])
            for text in texts
        }  # fmt: skip
        self._texts = defaultdict[str, list[str]](list)
        for text in self.numbers:
            self._texts[text[:HASH_DIGITS]].append(text)

    def may_be_in(self, hashes: str) -> bool:
        """Return whether a dead letter with these `hashes` may be about one of the people."""
        return hashes == ANY_HASH or any(map(self._texts.__contains__, hashes.split()))

    def find_in(self, text: str) -> int | None:
        """Return the number of the first person whose hash or ID is in a text, if there is any."""
        lowered = text.lower()
        known = itertools.chain(*(self._texts.get(one, ()) for one in hashes_in(lowered)))
        return min((self.numbers[one] for one in known if one in lowered), default=None)


def forget_people(database: Database, people: Sequence[Sequence[str]]) -> list[int]:
    """Delete the dead letters and delivered events of people; return how many rows each had.

    A person is given by the texts that such a row may contain, as `traces_of` returns them. A row
    about two people counts for one of these people.
    """
    known, counts = _People(people), [0] * len(people)
    of_letters, of_delivered = _forget_letters(database, known), _forget_delivered(database, known)
    for number in itertools.chain(of_letters, of_delivered):
        counts[number] += 1
    database.transact([_WRITE])
    return counts


def _forget_letters(database: Database, people: _People) -> Iterator[int]:
    """Delete the dead letters of people; for each, yield the number of the person."""
    pairs = database.pages(_HASHES, (-1, ""))
    candidates = [pair for pair in pairs if people.may_be_in(pair[1])]
    for start in range(0, len(candidates), _AT_ONCE):
        pairs_at_once = candidates[start : start + _AT_ONCE]
        question = Step(_WITH_HASHES, rows=pairs_at_once, types=("bigint", "text"))
        done = database.ask_and_change([question], lambda found: _letters_of(people, found))
        yield from (number for *_, number in done.rows)


def _letters_of(people: _People, answers: Answers) -> _Deletion:
    found = [(*key, people.find_in(record)) for *key, record in answers[0]]
    return _Deletion(DEAD_LETTER, [row for row in found if row[-1] is not None])


def _forget_delivered(database: Database, people: _People) -> Iterator[int]:
    """Delete the delivered events of people; for each, yield the number of the person."""
    for question in _delivered_by_hash(database, [*people.numbers]):
        for *_, text in _deleted(database, DELIVERED, question):
            yield people.numbers[text]
    for stream in _streams(database):
        number = people.find_in(stream[-1])
        if number is not None:
            of_stream = _some(_OF_STREAM, stream)
            yield from (number for _ in _deleted(database, DELIVERED, of_stream))
        ids = [(*stream, text) for text in people.numbers]
        with_id = _some(_WITH_ID, rows=ids, types=("text",) * 4)
        for *_, text in _deleted(database, DELIVERED, with_id):
            yield people.numbers[text]


def _streams(database: Database, known: Sequence[str] = ()) -> Iterator[Sequence[str]]:
    """Yield customer ID, API host and stream of all delivered events, each combination once.

    `known` has the first of these values; the function calls itself to find the next ones. Each
    query reads the next value from the index of the key, and skips all rows with this value.
    """
    if len(known) == len(_STREAM):
        yield known
        return
    *equal, column = _STREAM[: len(known) + 1]
    where = " AND ".join([*(f"{name} = ?" for name in equal), f"{column} > ?"])
    value = ""
    while value is not None:
        sql = f"SELECT min({column}) FROM delivered WHERE {where}"
        ((value,),) = database.read(sql, [*known, value])
        if value is not None:
            yield from _streams(database, [*known, value])


def _delivered_by_hash(database: Database, texts: Sequence[str]) -> Iterator[Step]:
    """Yield queries for delivered events with one of the hashes; the hash is last in each row."""
    ((first, last),) = database.read(_TIMES)
    if first is None:
        return
    days = range(int(first / DAY), int(last / DAY) + 2)  # (A CAST rounds in PostgreSQL.)
    for digits, column in _HASH_COLUMNS.items():
        hashes = [text for text in texts if len(text) == digits]
        for start in range(0, len(hashes), _HASHES_AT_ONCE):
            rows = [*itertools.product(days, hashes[start : start + _HASHES_AT_ONCE])]
            yield _some(_WITH_HASH.format(column=column), rows=rows, types=("bigint", "text"))
