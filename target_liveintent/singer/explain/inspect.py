"""Finds out for `--explain` how streams, and their first records, would become events.

It reads a Singer stream or a tap's catalog. It sends, writes and keeps nothing. It converts records
with the parts that a run uses: stream maps, validator and record converter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from target_liveintent.conversions import (
    DEAD_LETTERS,
    Conversion,
    EventBuilder,
    Rejection,
    missing_columns,
)
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.mapping import RecordConverter, StreamPlan, coalesce
from target_liveintent.privacy import Suppressions
from target_liveintent.settings import Settings
from target_liveintent.singer.reader import Message, decode_message, decode_object, lines
from target_liveintent.singer.stream_maps import StreamMaps
from target_liveintent.singer.streams import Stream
from target_liveintent.singer.validation import RecordValidator

MAX_RECORDS = 10_000
"""Records that are read: enough to show what a map does, and read within seconds."""
SENT, FILTERED = "sent", "filtered"
"""Outcomes of a record, beside the reason codes of rejections."""
NOT_MAPPED = ("mapping_failed", "deleted")
"""The reasons of records that have no mapped record."""
_MAX_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')


class Explained(msgspec.Struct):
    """What one map makes of a stream and its records.

    Attributes:
        missing: What the stream lacks to give events.
        converter: None if the records cannot become events.
        validator: None if the settings do not ask for it.
        outcomes: Counts records by outcome: `sent`, `filtered`, or a reason code.
        left_out: Counts, by column, how often a column could not be used.
        filled: The columns that have a value in at least one mapped record.
        examples: The JSON of the first events, with shortened hashes.
        rejected: The first rejection for each reason.
        mistake: The error that would end a run.
    """

    stream: Stream
    plan: StreamPlan
    missing: list[str] = msgspec.field(default_factory=list)
    converter: RecordConverter | None = None
    validator: RecordValidator | None = None
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    left_out: dict[str, int] = msgspec.field(default_factory=dict)
    filled: set[str] = msgspec.field(default_factory=set)
    examples: list[str] = msgspec.field(default_factory=list)
    rejected: dict[str, Rejection] = msgspec.field(default_factory=dict)
    mistake: str | None = None

    def add(self, record: dict[str, Any]) -> None:
        """Convert a record as a run would, and note its outcome."""
        if self.converter is None or self.mistake:
            return
        violation = self.validator.violation(record) if self.validator else None
        try:
            result = self.converter.convert(record, violation)
            if not isinstance(result, Rejection) or result.reason not in NOT_MAPPED:
                self._note_filled(record)
        except StreamMappingError as mistake:
            self.mistake = str(mistake)
            return
        if isinstance(result, Conversion):
            self.outcomes[SENT] += 1
            if len(self.examples) < _MAX_EXAMPLES:
                self.examples.append(_HASH.sub(r'"\1":"\2…"', result.body.decode()))
        elif isinstance(result, Rejection):
            self.outcomes[result.reason] += 1
            self.rejected.setdefault(result.reason, result)
        else:
            self.outcomes[FILTERED] += 1

    def _note_filled(self, record: dict[str, Any]) -> None:
        """Map a record once more, to see which columns have a value."""
        mapped = self.plan.transform(record) if self.plan.transform else None
        for column, value in (mapped or {}).items():
            if coalesce(value) is not None:
                self.filled.add(column)


class Inspector:
    """Reads the streams of an input, and converts their first records."""

    def __init__(self, settings: Settings, maps: StreamMaps) -> None:
        self._settings = settings
        self._maps = maps
        self._suppressions = Suppressions(settings.suppression_path)
        self.streams: dict[str, list[Explained]] = {}

    def read(self, source: IO[str]) -> Iterator[str]:
        """Read a Singer stream, or else a catalog; yields lines to print about the reading."""
        records = 0
        unread: list[bytes] = []
        for number, line in enumerate(lines(source, lambda: True), 1):
            if not line.strip():
                continue
            if unread:
                unread.append(line)
                continue
            try:
                records += self._process(decode_message(line))
            except InputError as error:
                if self.streams:
                    msg = f"line {number} of the input: {error}"
                    raise InputError(msg) from None
                unread.append(line)  # The first line of a catalog, if the input is one.
            if records >= MAX_RECORDS:
                yield f"Only the first {records:,} records were looked at."
                return
        if unread:
            for stream in _catalog(b"\n".join(unread)):
                self._register(stream)
            yield "The input is a catalog: it has no records to try the maps on."

    def _process(self, message: Message) -> bool:
        """Process a message; returns whether it is a RECORD."""
        name = message.stream or ""
        if message.type == "SCHEMA":
            schema = decode_object(message.schema)
            self._register(Stream(name, schema, tuple(message.key_properties or ())))
        elif message.type == "RECORD":
            record = decode_object(message.record)
            for explained in self.streams.get(name, []):
                explained.add(record)
            return True
        return False

    def _register(self, stream: Stream) -> None:
        if stream.name in self.streams or not isinstance(stream.schema.get("properties"), dict):
            return
        self.streams[stream.name] = [
            self._explained(stream, plan) for plan in self._maps.plans(stream.name, stream.schema)
        ]

    def _explained(self, stream: Stream, plan: StreamPlan) -> Explained:
        explained = Explained(stream, plan)
        if plan.transform is None:
            return explained
        is_replay = stream.name == DEAD_LETTERS
        defaults = self._settings.events
        if not is_replay:
            explained.missing = missing_columns(plan.properties, defaults)
        if explained.missing:
            return explained
        if self._settings.validate_records and not is_replay:
            explained.validator = RecordValidator(stream.schema)
        builder = EventBuilder(
            stream.name, plan.properties, stream.keys, defaults, self._suppressions
        )
        explained.converter = RecordConverter(plan, builder, explained.left_out)
        return explained


class _Entry(msgspec.Struct):
    tap_stream_id: str
    schema: dict[str, Any]
    key_properties: list[str] | None = None


class _Catalog(msgspec.Struct):
    streams: list[_Entry]


def _catalog(text: bytes) -> list[Stream]:
    """Return the streams of a catalog, which taps print with `--discover`."""
    try:
        entries = msgspec.json.decode(text, type=_Catalog).streams
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        msg = "the input is neither a Singer stream nor a tap's catalog"
        raise InputError(msg) from None
    return [
        Stream(entry.tap_stream_id, entry.schema, tuple(entry.key_properties or ()))
        for entry in entries
    ]
