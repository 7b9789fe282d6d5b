"""`--explain`: how each stream would become events, and what its first records would become.

Reads a Singer stream or a tap's catalog and prints; nothing is sent, written or remembered. It goes
the way of a record with the parts that a run has: stream maps and event builder.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.conversions.requirements import missing_columns
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.functions import coalesce
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.singer.explain.render import absent, paragraph
from target_liveintent.singer.reader import decode_message, decode_object, lines
from target_liveintent.singer.validation import RecordValidator, violation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from target_liveintent.mapping.converter import StreamPlan
    from target_liveintent.settings import Settings
    from target_liveintent.singer.reader import Message
    from target_liveintent.singer.stream_maps import StreamMaps

    Transform = Callable[[dict[str, Any]], dict[str, Any] | None]

MAX_RECORDS = 10_000
"""Records that are looked at: enough to see what a map does, and soon read."""
_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')


class Stream(NamedTuple):
    """What a tap says of a stream.

    Attributes:
        name: The stream's name.
        schema: Its JSON schema.
        keys: Its key properties.
    """

    name: str
    schema: dict[str, Any]
    keys: tuple[str, ...]


class Explained(msgspec.Struct):
    """One stream by way of one map, and what became of its records.

    Attributes:
        stream: The stream.
        plan: The map.
        converter: Makes the events; None if there can be none.
        lacks: What the stream lacks to give events.
        validator: Judges records by the tap's schema; None if that was not asked.
        fates: Records by what would become of them: `sent`, `filtered`, or a reason's code.
        left_out: How often a column could not be used.
        filled: Columns of the map that said something in at least one record.
        examples: The JSON of the first events.
        rejected: The first rejection for each reason.
        mistake: What would end a run, if something would.
    """

    stream: Stream
    plan: StreamPlan
    converter: RecordConverter | None
    lacks: list[str]
    validator: RecordValidator | None = None
    fates: Counter[str] = msgspec.field(default_factory=Counter)
    left_out: dict[str, int] = msgspec.field(default_factory=dict)
    filled: set[str] = msgspec.field(default_factory=set)
    examples: list[str] = msgspec.field(default_factory=list)
    rejected: dict[str, Rejection] = msgspec.field(default_factory=dict)
    mistake: str | None = None

    def take(self, record: dict[str, Any]) -> None:
        """See what becomes of a record."""
        if self.converter is None or self.mistake:
            return
        violation = None if self.validator is None else violation_of(record, self.validator)
        try:
            result = self.converter.convert(record, violation)
        except StreamMappingError as mistake:
            self.mistake = str(mistake)
            return
        if isinstance(result, Conversion):
            self.fates["sent"] += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(_HASH.sub(r'"\1":"\2…"', result.body.decode()))
        elif isinstance(result, Rejection):
            self.fates[result.reason] += 1
            self.rejected.setdefault(result.reason, result)
        else:
            self.fates["filtered"] += 1


def explain(
    source: IO[str], settings: Settings, maps: StreamMaps, in_use: Mapping[str, str]
) -> Iterator[str]:
    """Explain what comes in.

    Args:
        source: A Singer stream, or a tap's catalog.
        settings: The settings.
        maps: The stream maps.
        in_use: The setting `presets`.

    Yields:
        Lines to print.

    Raises:
        InputError: If it is neither; names a line's number, never its content.
    """
    explainer = _Explainer(settings, maps)
    yield from explainer.read(source)
    for stream in explainer.streams.values():
        for explained in stream:
            yield from paragraph(explained, settings, in_use)
    yield from absent(maps, explainer.streams)


class _Explainer:
    """Reads streams and their first records."""

    def __init__(self, settings: Settings, maps: StreamMaps) -> None:
        self._settings = settings
        self._maps = maps
        self._suppressions = Suppressions(settings.suppression_path)
        self.streams: dict[str, list[Explained]] = {}

    def read(self, source: IO[str]) -> Iterator[str]:
        """Read a Singer stream, or else a catalog; yields what is to be said of the reading."""
        records = 0
        unread: list[bytes] = []
        for number, line in enumerate(lines(source, lambda: True), 1):
            if not line.strip():
                continue
            if unread:
                unread.append(line)
                continue
            try:
                message = decode_message(line)
                records += self._take(message)
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

    def _take(self, message: Message) -> bool:
        """Take a message; returns whether it was a record."""
        name = message.stream or ""
        if message.type == "SCHEMA":
            schema = decode_object(message.schema)
            self._register(Stream(name, schema, tuple(message.key_properties or ())))
        elif message.type == "RECORD":
            record = decode_object(message.record)
            for explained in self.streams.get(name, []):
                explained.take(record)
            return True
        return False

    def _register(self, stream: Stream) -> None:
        if stream.name in self.streams or not isinstance(stream.schema.get("properties"), dict):
            return
        self.streams[stream.name] = [
            self._explained(stream, plan) for plan in self._maps.plans(stream.name, stream.schema)
        ]

    def _explained(self, stream: Stream, plan: StreamPlan) -> Explained:
        if plan.transform is None:
            return Explained(stream, plan, None, [])
        lacks = missing_columns(plan.properties, self._settings.events)
        if lacks and stream.name != DEAD_LETTERS:
            return Explained(stream, plan, None, lacks)
        builder = EventBuilder(
            stream.name,
            plan.properties,
            stream.keys,
            self._settings.events,
            self._suppressions,
        )
        judged = self._settings.validate_records and stream.name != DEAD_LETTERS
        validator = RecordValidator(stream.schema) if judged else None
        explained = Explained(stream, plan, None, [], validator)
        seen = plan._replace(transform=_noting(plan.transform, explained.filled))
        explained.converter = RecordConverter(seen, builder, explained.left_out)
        return explained


def _noting(transform: Transform, filled: set[str]) -> Transform:
    """The same, noting which columns say something."""

    def noting(record: dict[str, Any]) -> dict[str, Any] | None:
        mapped = transform(record)
        filled.update(name for name, value in (mapped or {}).items() if coalesce(value) is not None)
        return mapped

    return noting


class _Entry(msgspec.Struct):
    """A stream in a catalog, with as much of it as is needed."""

    tap_stream_id: str
    schema: dict[str, Any]
    key_properties: list[str] | None = None


class _Catalog(msgspec.Struct):
    """What taps print with `--discover`."""

    streams: list[_Entry]


def _catalog(text: bytes) -> list[Stream]:
    """The streams of a catalog.

    Raises:
        InputError: If it is none.
    """
    try:
        entries = msgspec.json.decode(text, type=_Catalog).streams
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        msg = "the input is neither a Singer stream nor a tap's catalog"
        raise InputError(msg) from None
    return [
        Stream(entry.tap_stream_id, entry.schema, tuple(entry.key_properties or ()))
        for entry in entries
    ]
