"""Finds the records of a tap's output that have some IDs, and takes them through their maps.

This module sends no event. It reads, validates and converts records with the same code as a run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import IO, Any, NamedTuple

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.errors import InputError
from target_liveintent.explain.record_walk import RecordNow, describe_walk, unused_record
from target_liveintent.explain.trace import Traced, TraceFacts, WalkedRecord, traced
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.map_checks import lacking_for_events, lacking_message
from target_liveintent.mapping.stream_maps import (
    MELTANO_TEST_STREAM,
    Stream,
    StreamMaps,
    StreamPlan,
)
from target_liveintent.privacy.addresses import holds_address
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.replay_converter import ReplayChoice, ReplayConverter
from target_liveintent.settings import Account, Settings
from target_liveintent.singer.batch_files import process_batch
from target_liveintent.singer.reader import Message, MessageReader
from target_liveintent.singer.streams import RecordRules, RecordValidator, stream_described
from target_liveintent.store.database import Database
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.search import SoughtId, SoughtRecord, scope_of, search

_DERIVED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""The form of a derived event ID: a UUIDv5."""
_NAMES = ("event_id", "order_id")
_NO_SCHEMA = (
    "the input has no SCHEMA, so trace cannot find a record in it. Give --input the whole output of"
    " a tap"
)


class InputRules(NamedTuple):
    """How the records of an input become events: the maps, the settings, and the account."""

    maps: StreamMaps
    rules: RecordRules
    account: Account


class FoundRecord(NamedTuple):
    """A record that has a sought ID: what the store is asked about it, and its description.

    `place` is that of the ID in the list of IDs.
    """

    place: int
    sought: SoughtRecord | None  # None if its event ID is not known.
    walked: WalkedRecord


def find_records(
    source: IO[str],
    ids: Sequence[SoughtId],
    how: InputRules,
    now: Callable[[], float],
) -> list[FoundRecord]:
    """Return the records of a Singer stream that have some IDs, with their ways through the maps.

    An ID finds a record if it is the event ID, the order ID, or the value of a key property. Of
    records with the same event, the first one that a run would send counts, or else the last one.

    Args:
        source: The Singer stream.
        ids: The IDs.
        how: How the records become events.
        now: Returns the Unix time at which the ages of events are judged.

    Raises:
        InputError: If the input is not a Singer stream, or has no stream.
        ConfigurationError: If a map cannot be used with a stream.
        StreamMappingError: If a map cannot be used for another reason.
    """
    finder = _Finder(ids, how.account)
    reader = MessageReader(lambda: None)
    names = list[str]()

    def register(message: Message) -> None:
        stream = stream_described(message)
        plans = how.maps.plans(stream.name, stream.schema, stream.keys)
        ways = [_Way(stream, plan, how.rules, now) for plan in plans]
        names.append(stream.name)
        reader.pass_records(stream.name, None, partial(finder.take, ways))

    callbacks: dict[str, Callable[[Message], Any]] = {
        "SCHEMA": register,
        "BATCH": partial(process_batch, reader),
        "STATE": lambda _: None,
        "ACTIVATE_VERSION": lambda _: None,
    }
    reader.process_lines(source, callbacks)
    if not names:
        raise InputError(_NO_SCHEMA)
    return [*finder.results()]


class _Way:
    """The way of the records of one stream through one map."""

    def __init__(
        self, stream: Stream, plan: StreamPlan, rules: RecordRules, now: Callable[[], float]
    ) -> None:
        self.stream, self.plan, self._events, self._now = stream, plan, rules.events, now
        missing = lacking_for_events(plan, stream.schema, rules.events) if plan.is_used else []
        self._lacks = lacking_message(plan.stream, missing) if missing else None
        self.converter: RecordConverter | None = None
        self._validator: RecordValidator | None = None
        if plan.is_used and not missing and stream.name != MELTANO_TEST_STREAM:
            self.converter = RecordConverter(stream, plan, rules.events, rules.suppressions, now)
            self._validator = RecordValidator(stream.schema) if rules.validate_records else None

    def texts(self, record: dict[str, Any], *, derived: bool) -> Iterator[Any]:
        """Yield what may be an ID of a record; with `derived`, also a derived event ID."""
        for name in (*self.stream.keys, *_NAMES):
            yield coerce.text(record.get(name))
        for name in _NAMES:
            if name in self.plan.origins:
                yield coerce.text(self.plan.value_of(name, record))
        if derived and self.converter is not None:
            yield self._event_id(record, self.converter.walk(record).result)

    def _event_id(
        self, record: dict[str, Any], result: Conversion | Rejection | None
    ) -> str | None:
        if self.converter is None:
            return None
        return self.converter.derived_id(record) if result is None else result.event_id

    def walk(
        self, record: dict[str, Any]
    ) -> tuple[Conversion | Rejection | None, str | None, RecordNow]:
        """Return the result of a record, the ID of its event, and the description of its way."""
        if self.converter is None:
            return None, None, unused_record(self.plan, self._lacks)
        violation = None if self._validator is None else self._validator.violation(record)
        walk = self.converter.walk(record, violation)
        described = describe_walk(self.stream, self.plan, self._events, walk, self._now())
        return walk.result, self._event_id(record, walk.result), described


class _Finder:
    """Collects the records that have the IDs."""

    def __init__(self, ids: Sequence[SoughtId], account: Account) -> None:
        self._places = defaultdict[str, set[int]](set)
        for place, sought in enumerate(ids):
            for text in sought.spellings:
                self._places[text].add(place)
        self._derived = any(map(_DERIVED.fullmatch, self._places))
        self._keys_of = Deduplicator(account).keys_of
        # The records of an event, by the place of the ID, the stream and its map, and the event.
        self._found: dict[tuple[Any, ...], list[FoundRecord]] = {}

    def take(self, ways: Iterable[_Way], record: dict[str, Any]) -> None:
        """Keep a record if it has one of the IDs."""
        for way in ways:
            for place in sorted(self._places_of(way.texts(record, derived=self._derived))):
                self._keep(place, way, record)

    def _places_of(self, texts: Iterable[Any]) -> set[int]:
        places = set[int]()
        for text in texts:
            if not isinstance(text, str):
                continue
            spellings = SoughtId(text).spellings if holds_address(text) else (text,)
            places.update(*(self._places.get(one, ()) for one in spellings))
        return places

    def _keep(self, place: int, way: _Way, record: dict[str, Any]) -> None:
        result, event_id, described = way.walk(record)
        pixel_id, key = None, None
        if isinstance(result, Conversion):
            pixel_id = result.event.pixel_id
            (key,) = self._keys_of([result])
        stream = way.stream.name
        walked = WalkedRecord(stream, event_id, pixel_id, described)
        sought = event_id and SoughtRecord(place, stream, event_id, pixel_id, key)
        keys = event_id or str([record.get(name) for name in way.stream.keys])
        of_event = self._found.setdefault((place, stream, way.plan.stream, keys), [])
        of_event.append(FoundRecord(place, sought or None, walked))

    def results(self) -> Iterator[FoundRecord]:
        """Yield the telling record of each event."""
        for records in self._found.values():
            sent = (one for one in records if one.walked.now.result == "sent")
            telling = next(sent, records[-1])
            now = msgspec.structs.replace(telling.walked.now, records=len(records))
            yield telling._replace(walked=telling.walked._replace(now=now))


def trace_ids(
    given: Iterable[str],
    database: Database,
    settings: Settings,
    source: IO[str] | None,
    now: Callable[[], float],
) -> list[Traced]:
    """Return what happened to the events that IDs may mean, in the order of the IDs.

    Args:
        given: The IDs as the user wrote them.
        database: The store, which is only read.
        settings: The settings.
        source: The output of a tap, in which the records are looked for as well.
        now: Returns the Unix time.

    Raises:
        RunError: If the store or the input cannot be used, or a setting does not fit the input.
    """
    account, events = settings.account, settings.events
    maps = StreamMaps(settings.stream_maps, settings.stream_map_config, settings.presets)
    people = Suppressions(settings.suppression_path)
    ids = [SoughtId(text, tuple(maps.single_keys)) for text in dict.fromkeys(given)]
    records: list[FoundRecord] = []
    if source is not None:
        rules = RecordRules(events, people, settings.validate_records, settings.on_rejection)
        records = find_records(source, ids, InputRules(maps, rules, account), now)
    pixels = [pixel for pixel in (events.pixel_id, *maps.constant_pixels) if pixel]
    scope = scope_of(database, account, maps.names, pixels)
    sought = [record.sought for record in records if record.sought is not None]
    replay = ReplayConverter(account, events, people, ReplayChoice(), now)
    facts = TraceFacts(scope, settings.keep_delivered, source is not None, replay, now())
    answers: list[Traced] = []
    for place, found in enumerate(search(database, account, ids, scope, sought)):
        walked = [record.walked for record in records if record.place == place]
        answers += traced(ids[place], found, walked, facts)
    return answers
