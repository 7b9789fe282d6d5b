"""Finds what the store knows about single events, by their IDs; nothing is written.

The tables have an event ID, or only a hash of it with the stream and the pixel. So the hash is made
for each stream and pixel that the store knows, and one scan of the keys finds all of these hashes.
An index for it would make the store more than twice as large, and each write five times as slow.
"""
# ruff: noqa: S608 (The parts of the queries are constants.)

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.conversions.event_model import DAY, LetterKey
from target_liveintent.privacy.addresses import holds_address, scrub
from target_liveintent.privacy.identity import address_in, derive_event_id, pseudonym
from target_liveintent.settings import Account
from target_liveintent.store.database import Database
from target_liveintent.store.dead_letters import (
    letter_columns,
    letter_groups,
    stored_id,
    stored_stream,
)
from target_liveintent.store.deduplication import KEY_BYTES, TIME_BYTES, Deduplicator
from target_liveintent.store.layout import WAITING_EVENT, SqlRow, Step
from target_liveintent.store.questions import FIND_EVENTS
from target_liveintent.store.unwritten import KEPT_SECONDS

_NO_TIME = bytes(TIME_BYTES)
_RUNS_READ_SECONDS = KEPT_SECONDS + 30 * DAY
"""Runs that began within this number of seconds can have sent the events whose keys the store
has."""
_TEXTS_AT_ONCE = 50
_LONGEST_PATTERN = 200
_UNQUOTED = re.compile(r"-?[\d.]+|true|false", re.ASCII)
_NEWEST_DELIVERED = 1_000
"""How many delivered events show which pixels the records name."""


# What is looked for


class EventName(NamedTuple):
    """What identifies an event of an account: its stream, pixel (0 if unusable) and ID."""

    stream: str
    pixel_id: int
    event_id: str


class SoughtId(NamedTuple):
    """An ID that a user asks about: an event ID, an order ID, or a value of a tap's key.

    Attributes:
        given: The ID as the user wrote it, which may be an address.
        mapped_keys: The single columns from which maps derive event IDs (`__key_properties__`).
    """

    given: str
    mapped_keys: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The ID with hashes in place of addresses."""
        return scrub(self.given)

    @property
    def spellings(self) -> tuple[str, ...]:
        """The ID as records may spell it; an address also plain, and in lower case."""
        texts = [coerce.text(self.given)]
        if holds_address(self.given):
            plain = unquote(self.given).strip()
            address = address_in(plain)
            texts += [text for text in (plain, address) if text is not None]
            texts += [text.lower() for text in texts if isinstance(text, str)]
        return tuple(dict.fromkeys(text for text in texts if isinstance(text, str)))

    @property
    def stored(self) -> frozenset[str]:
        """The ID as a dead letter may have it, where hashes are in place of addresses."""
        return frozenset(itertools.chain(*((text, scrub(text)) for text in self.spellings)))

    def event_ids(self, stream: str) -> Iterator[str]:
        """Yield the IDs that an event of a stream has if the ID is its event ID, or its key."""
        for text in self.spellings:
            yield pseudonym(text) if holds_address(text) else text
            yield derive_event_id(stream, [text])
            for name in self.mapped_keys:
                yield derive_event_id(stream, [{name: text}])


class SoughtRecord(NamedTuple):
    """A record of an input that has a sought ID.

    Attributes:
        sought: The place of the ID in the list of IDs.
        stream: The tap's name of the stream.
        event_id: The ID of its event.
        pixel_id: The pixel of its event; None if it is not known.
        key: The key of its event in the table of confirmed events; None if it has no event.
    """

    sought: int
    stream: str
    event_id: str
    pixel_id: int | None = None
    key: bytes | None = None


# What the store knows


class StoreScope(NamedTuple):
    """Which streams and pixels of an account the store knows, and how far back it reaches.

    Attributes:
        first_run: The Unix time at which the oldest run of the account began; None without a run.
        delivered_since: The Unix time of the oldest delivered event in the store; None without any.
    """

    streams: tuple[str, ...]
    pixels: tuple[int, ...]
    first_run: float | None = None
    delivered_since: float | None = None


class KeptDelivery(NamedTuple):
    """What the store keeps of a delivered event, with the setting `keep_delivered`."""

    sent_at: float
    event_time: int
    source: str
    order_id: str | None
    value: str | None
    currency: str | None
    md5: str | None
    sha2: str | None


class ArrivedEvent(NamedTuple):
    """An event that the API has confirmed; `run_id` is None if the history lacks the run."""

    name: EventName
    run_id: str | None
    kept: KeptDelivery | None = None


class LetterFound(NamedTuple):
    """A dead letter, and the ID of the run that wrote it, if the history has the run."""

    name: EventName
    run_id: str | None
    window_end: int | None
    columns: Mapping[str, Any]


class ReservedEvent(NamedTuple):
    """An event that a run has reserved; the run lives, or was killed."""

    name: EventName
    run_id: str
    is_alive: bool
    window_end: int


class EventWithoutOutcome(NamedTuple):
    """An event without an outcome, which a run had read before it failed or was killed."""

    name: EventName
    window_end: int


FoundEvent = ArrivedEvent | LetterFound | ReservedEvent | EventWithoutOutcome


def scope_of(
    database: Database, account: Account, streams: Iterable[str], pixels: Iterable[int]
) -> StoreScope:
    """Return the scope of a search: what the store knows, with further streams and pixels.

    Raises:
        StorageError: If the store cannot be read.
    """
    owner = tuple(account)
    groups = [g for g in letter_groups(database) if (g.customer_id, g.api_host) == owner]
    of_runs = [*_pixels_of_runs(database, account)]
    newest = database.read(_NEWEST_PIXELS, [_NEWEST_DELIVERED])
    ((since,),) = database.read(_FIRST_DELIVERED)
    first_runs = [database.read(_FIRST_RUN, [*account, pixel])[0][0] for pixel in of_runs]
    known_streams = itertools.chain(
        streams,
        (group.stream for group in groups),
        _streams_of_runs(database, account, of_runs),
        _streams_of_delivered(database, account),
    )
    known_pixels = itertools.chain(
        pixels,
        of_runs,
        (group.pixel_id for group in groups),
        (pixel for customer, host, pixel in newest if (customer, host) == owner),
    )
    return StoreScope(
        tuple(dict.fromkeys(filter(None, known_streams))),
        tuple(dict.fromkeys(filter(None, known_pixels))),
        min(first_runs, default=None),
        since,
    )


_FIRST_RUN = (
    "SELECT min(started_at) FROM run WHERE customer_id = ? AND api_host = ?"
    " AND coalesce(pixel_id, 0) = ?"
)
_FIRST_DELIVERED = "SELECT min(sent_at) FROM delivered"
_NEWEST_PIXELS = (
    "SELECT DISTINCT customer_id, api_host, pixel_id FROM (SELECT customer_id, api_host, pixel_id"
    " FROM delivered ORDER BY sent_at DESC LIMIT ?) AS newest"
)
_NEXT_PIXEL = (
    "SELECT min(coalesce(pixel_id, 0)) FROM run WHERE customer_id = ? AND api_host = ?"
    " AND coalesce(pixel_id, 0) > ?"
)
_NEXT_STREAM = (
    "SELECT min(stream) FROM delivered WHERE customer_id = ? AND api_host = ? AND stream > ?"
)
_FIGURES = (
    "SELECT CAST(figures AS TEXT) FROM run WHERE customer_id = ? AND api_host = ?"
    " AND coalesce(pixel_id, 0) = ? AND started_at >= {now} - ? AND figures IS NOT NULL"
)


def _each_next(database: Database, sql: str, account: Account, before: Any) -> Iterator[Any]:
    """Yield the values of a column in order; each query skips the rows with the last value."""
    value = before
    while value is not None:
        ((value,),) = database.read(sql, [*account, value])
        if value is not None:
            yield value


def _pixels_of_runs(database: Database, account: Account) -> Iterator[int]:
    """Yield the settings `pixel_id` of runs; 0 stands for runs without the setting."""
    return _each_next(database, _NEXT_PIXEL, account, -1)


def _streams_of_delivered(database: Database, account: Account) -> Iterator[str]:
    return _each_next(database, _NEXT_STREAM, account, "")


class _Figures(msgspec.Struct):
    """The streams of a run, by the names under which it counts their records."""

    streams: dict[str, msgspec.Raw] = {}


_read_figures = msgspec.json.Decoder(_Figures).decode


def _streams_of_runs(database: Database, account: Account, pixels: Iterable[int]) -> Iterator[str]:
    for pixel in pixels:
        for (figures,) in database.read(_FIGURES, [*account, pixel, _RUNS_READ_SECONDS]):
            yield from _streams_in(figures)


def _streams_in(figures: str) -> Iterable[str]:
    try:
        return _read_figures(figures).streams
    except msgspec.DecodeError:  # Another version may write other figures.
        return ()


# The search


class _Names:
    """The names of events that are looked for, each with the places of the IDs that have it."""

    def __init__(self) -> None:
        self.ids: defaultdict[EventName, set[int]] = defaultdict(set)
        self.by_event_id: defaultdict[tuple[str, str], set[int]] = defaultdict(set)

    def add(self, name: EventName, ids: Iterable[int]) -> None:
        """Look for an event as well, because these IDs may mean it."""
        # (The tables have other spellings of long or unusual names.)
        stored = stored_stream(name.stream), stored_id(name.event_id)
        self.by_event_id[stored].update(ids)
        if name.pixel_id:
            self.ids[name].update(ids)


def search(
    database: Database,
    account: Account,
    ids: Sequence[SoughtId],
    scope: StoreScope,
    records: Sequence[SoughtRecord] = (),
) -> list[list[FoundEvent]]:
    """Return what the store knows about the events that each of the IDs may mean.

    Args:
        database: The store.
        account: The account whose events are looked for.
        ids: The IDs.
        scope: The streams and pixels for which the IDs are hashed.
        records: Records of an input that have these IDs. If the store has the keys of all records
            of an ID, it does not search all keys for this ID.

    Raises:
        StorageError: If the store cannot be read, or is damaged.
    """
    names = _names_of(ids, scope, records)
    events = _Events(database, account)
    letters = [*events.letters(names, ids)]
    deliveries = [*events.delivered(names, ids)]
    found: list[list[FoundEvent]] = [[] for _ in ids]
    for places, letter in letters:
        names.add(letter.name, places)  # (It was perhaps found by its order ID.)
        _add(found, places, letter)
    for places, delivery in deliveries:
        names.add(delivery.name, places)
    kept = [delivery for _, delivery in deliveries]
    for answer in (*events.arrived(names, records, kept), *events.without_outcome(names)):
        _add(found, names.ids[answer.name], answer)
    return found


def _names_of(
    ids: Sequence[SoughtId], scope: StoreScope, records: Sequence[SoughtRecord]
) -> _Names:
    """Return the names of the events that the IDs mean if they are event IDs or keys."""
    names = _Names()
    for place, sought in enumerate(ids):
        for stream, pixel in itertools.product(scope.streams, scope.pixels):
            for event_id in sought.event_ids(stream):
                names.add(EventName(stream, pixel, event_id), [place])
    for record in records:
        for pixel in scope.pixels if record.pixel_id is None else (record.pixel_id,):
            names.add(EventName(record.stream, pixel, record.event_id), [record.sought])
    return names


def _add(found: list[list[FoundEvent]], places: Iterable[int], event: FoundEvent) -> None:
    for place in places:
        if event not in found[place]:
            found[place].append(event)


_LETTER = f"{', '.join(LetterKey._fields)}, run, window_end, CAST(record AS TEXT)"
_DELIVERED = (
    "customer_id, api_host, stream, event_id, pixel_id, run, sent_at, event_time, source, order_id,"
    " CAST(value AS TEXT), currency, md5, sha2"
)
_OF_IDS = (
    "WITH given (c, h, s, id) AS ({{rows}}) SELECT {columns} FROM given CROSS JOIN {table}"
    " WHERE customer_id = c AND api_host = h AND stream = s AND event_id = id"
)
"""Finds rows by the first columns of the table's key."""
_LETTERS_LIKE = f"SELECT {_LETTER} FROM dead_letter WHERE {{like}}"
_LIKE = "CAST(record AS TEXT) LIKE ? ESCAPE '!'"
# (A condition on the account would let SQLite look up each row by an index, which takes longer.)
_WITH_ORDER_ID = f"SELECT {_DELIVERED} FROM delivered WHERE order_id IN ({{rows}})"
FIND_HASHES = (
    "SELECT key, run FROM event WHERE substr(key, 6) IN"
    " (SELECT substr(given.key, 6) FROM ({keys}) AS given)"
)
"""Finds keys by their hashes, and the run of each; reads all keys."""
_RUN_IDS = "SELECT number, id FROM run WHERE number IN ({rows})"
_RESERVED = (
    "SELECT run.id, CASE WHEN run.alive_until >= {now} THEN 1 ELSE 0 END, reservation.keys FROM run"
    " CROSS JOIN reservation WHERE run.ended_at IS NULL AND reservation.run = run.number"
)


class _DeliveredRow(NamedTuple):
    """A row of a delivered event, with the number of its run."""

    name: EventName
    run: int
    kept: KeptDelivery


class _Events:
    """The events of an account in the tables of a store."""

    def __init__(self, database: Database, account: Account) -> None:
        self._database, self._account = database, account
        self._hash_of = Deduplicator(account).hash_of
        self._run_ids: dict[int, str | None] = {}

    def letters(
        self, names: _Names, ids: Sequence[SoughtId]
    ) -> Iterator[tuple[set[int], LetterFound]]:
        """Yield the dead letters that have one of the IDs, with the places of these IDs."""
        rows = [*self._rows_of(names, "dead_letter", _LETTER)]
        rows += self._letters_like([*itertools.chain(*(sought.stored for sought in ids))])
        self._read_run_ids(row[5] for row in rows)
        for customer, host, stream, event_id, pixel, run, window_end, record in dict.fromkeys(rows):
            if (customer, host) != self._account:
                continue
            columns = letter_columns(record)
            texts = _texts_of(columns)
            places = {place for place, sought in enumerate(ids) if texts & sought.stored}
            places |= names.by_event_id.get((stream, event_id), set())
            if places:
                name = EventName(stream, pixel, event_id)
                yield places, LetterFound(name, self._run_ids[run], window_end, columns)

    def _rows_of(self, names: _Names, table: str, columns: str) -> Iterable[SqlRow]:
        given = [(*self._account, *event) for event in names.by_event_id]
        sql = _OF_IDS.format(columns=columns, table=table)
        return self._database.ask(Step(sql, (), given, ("text",) * 4)) if given else ()

    def _letters_like(self, texts: Sequence[str]) -> Iterator[SqlRow]:
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            patterns = [*map(_patterns, some)]
            likes = (f"({_LIKE} AND ({' OR '.join([_LIKE] * (len(p) - 1))}))" for p in patterns)
            sql = _LETTERS_LIKE.format(like=" OR ".join(likes))
            yield from self._database.read(sql, [*itertools.chain(*patterns)])

    def delivered(
        self, names: _Names, ids: Sequence[SoughtId]
    ) -> Iterator[tuple[set[int], _DeliveredRow]]:
        """Yield the delivered events that have one of the IDs, with the places of these IDs."""
        by_order = defaultdict[str, set[int]](set)
        for place, sought in enumerate(ids):
            for text in sought.spellings:
                by_order[text].add(place)
        orders = Step(_WITH_ORDER_ID, (), [(text,) for text in by_order], ("text",))
        rows = [*self._rows_of(names, "delivered", _DELIVERED), *self._database.ask(orders)]
        for customer, host, stream, event_id, pixel, run, *columns in dict.fromkeys(rows):
            if (customer, host) == self._account:
                kept = KeptDelivery(*columns)
                places = set(names.by_event_id.get((stream, event_id), ()))
                places |= by_order.get(kept.order_id or "", set())
                yield places, _DeliveredRow(EventName(stream, pixel, event_id), run, kept)

    def arrived(
        self,
        names: _Names,
        records: Sequence[SoughtRecord],
        kept: Iterable[_DeliveredRow],
    ) -> Iterator[ArrivedEvent]:
        """Yield each confirmation of an event, by its key or with what is kept of it."""
        by_hash = {self._hash_of(*_hashed(name)): name for name in names.ids}
        rows = [*self._confirmed(names, by_hash, records)]
        confirmed = {(by_hash[key[TIME_BYTES:]], run) for key, run in rows}
        deliveries = {(row.name, row.run): row.kept for row in kept}
        self._read_run_ids(run for _, run in (*confirmed, *deliveries))
        for name, run in sorted({*confirmed, *deliveries}):
            yield ArrivedEvent(name, self._run_ids[run], deliveries.get((name, run)))

    def _confirmed(
        self,
        names: _Names,
        by_hash: Mapping[bytes, EventName],
        records: Sequence[SoughtRecord],
    ) -> Iterator[SqlRow]:
        """Yield the keys of confirmed events, and the number of the run of each."""
        exact = [record.key for record in records if record.key is not None]
        rows = self._database.ask(Step(FIND_EVENTS, keys=exact)) if exact else []
        yield from rows
        there = {key for key, _ in rows}
        with_records = {record.sought for record in records}
        unfinished = {record.sought for record in records if record.key not in there}
        done = with_records - unfinished
        hashes = [hashed for hashed, name in by_hash.items() if names.ids[name] - done]
        if hashes:
            keys = [_NO_TIME + hashed for hashed in hashes]
            yield from self._database.ask(Step(FIND_HASHES, keys=keys))

    def without_outcome(self, names: _Names) -> Iterator[ReservedEvent | EventWithoutOutcome]:
        """Yield the events that are reserved, and those that wait because their run failed."""
        by_hash = {self._hash_of(*_hashed(name)): name for name in names.ids}
        for run_id, is_alive, keys in self._database.ask(Step(_RESERVED)):
            for start in range(0, len(keys), KEY_BYTES):
                end, hashed = _parts(keys[start : start + KEY_BYTES])
                if hashed in by_hash:
                    yield ReservedEvent(by_hash[hashed], run_id, bool(is_alive), end)
        if by_hash:
            step = WAITING_EVENT.find([(hashed,) for hashed in by_hash], "hash, window_end")
            for hashed, end in self._database.ask(step):
                yield EventWithoutOutcome(by_hash[hashed], end)

    def _read_run_ids(self, runs: Iterable[int]) -> None:
        new = {run for run in runs if run not in self._run_ids}
        if new:
            self._run_ids |= dict.fromkeys(new)
            step = Step(_RUN_IDS, (), [(run,) for run in new], ("bigint",))
            self._run_ids.update(self._database.ask(step))


def _hashed(name: EventName) -> tuple[str, int, str]:
    return name.stream, name.pixel_id, name.event_id


def _parts(key: bytes) -> tuple[int, bytes]:
    return int.from_bytes(key[:TIME_BYTES], "big"), key[TIME_BYTES:]


def _texts_of(columns: Mapping[str, Any]) -> set[str]:
    """Return the order ID and the values of the tap's key in a dead letter, as texts."""
    keys = columns.get("keys")
    values = [columns.get("order_id"), *(keys.values() if isinstance(keys, dict) else ())]
    return {text for text in map(coerce.text, values) if isinstance(text, str)}


def _patterns(text: str) -> list[str]:
    """Return the patterns of LIKE for the JSON of a dead letter with a value.

    The first pattern finds the text anywhere, which is fast, and the others only as a value: as a
    text, maybe with spaces around it, as a number or as a flag.
    """
    written = msgspec.json.encode(text[:_LONGEST_PATTERN]).decode()[1:-1]
    for sign in ("!", "%", "_"):
        written = written.replace(sign, f"!{sign}")
    end = '"' if len(text) <= _LONGEST_PATTERN else ""
    forms = [written, f'"{written}{end}', f'"{written} ', f' {written}"', f" {written} "]
    if _UNQUOTED.fullmatch(text):
        forms += [f":{written},", f":{written}}}", f":{written}."]
    return [f"%{form}%" for form in forms]
