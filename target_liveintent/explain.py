"""`--explain`: how each stream would become events, and what its first records would become.

Reads a Singer stream or a tap's catalog and prints; nothing is sent, written or remembered. It goes
the way of a record with the parts that a run has: stream maps and event builder.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_liveintent import presets
from target_liveintent.builder import EventBuilder
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.events import (
    COLUMNS,
    DEAD_LETTERS,
    GIVEN_BY_SETTINGS,
    Conversion,
    Rejection,
    missing_columns,
)
from target_liveintent.functions import coalesce
from target_liveintent.hints import absent_streams, unknown_columns, unknown_read
from target_liveintent.identity import scrub
from target_liveintent.reader import decode_message, decode_object, lines
from target_liveintent.reasons import REASONS
from target_liveintent.sinks import Converter, RecordValidator, converter, violation_of
from target_liveintent.stream_maps import FILTER, setting_name, suggest
from target_liveintent.suppression import Suppressions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from target_liveintent.events import Defaults
    from target_liveintent.reader import Message
    from target_liveintent.settings import Settings
    from target_liveintent.stream_maps import Source, StreamMaps, Treatment

    Transform = Callable[[dict[str, Any]], dict[str, Any] | None]

MAX_RECORDS = 10_000
"""Records that are looked at: enough to see what a map does, and soon read."""
_EXAMPLES = 3
_SHOWN_COLUMNS = 12
_json = msgspec.json.Encoder(decimal_format="number").encode
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
        treatment: The map.
        convert: Makes the events; None if there can be none.
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
    treatment: Treatment
    convert: Converter | None
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
        if self.convert is None or self.mistake:
            return
        violation = None if self.validator is None else violation_of(record, self.validator)
        try:
            result = self.convert(record, violation)
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
            yield from _paragraph(explained, settings, in_use)
    yield from _absent(maps, explainer.streams)


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
            self._explained(stream, treatment)
            for treatment in self._maps.treatments(stream.name, stream.schema)
        ]

    def _explained(self, stream: Stream, treatment: Treatment) -> Explained:
        if treatment.transform is None:
            return Explained(stream, treatment, None, [])
        lacks = missing_columns(treatment.properties, self._settings.events)
        if lacks and stream.name != DEAD_LETTERS:
            return Explained(stream, treatment, None, lacks)
        builder = EventBuilder(
            stream.name,
            treatment.properties,
            stream.keys,
            self._settings.events,
            self._suppressions,
        )
        judged = self._settings.validate_records and stream.name != DEAD_LETTERS
        validator = RecordValidator(stream.schema) if judged else None
        explained = Explained(stream, treatment, None, [], validator)
        seen = treatment._replace(transform=_noting(treatment.transform, explained.filled))
        explained.convert = converter(seen, builder, explained.left_out)
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


# What is printed


def _paragraph(
    explained: Explained, settings: Settings, in_use: Mapping[str, str]
) -> Iterator[str]:
    stream, treatment = explained.stream, explained.treatment
    preset = f" (preset {in_use[stream.name]})" if stream.name in in_use else ""
    copied = f", counted as {treatment.stream}" if treatment.stream != stream.name else ""
    yield ""
    yield f"Stream {stream.name}{copied}{preset}"
    if treatment.transform is None:
        yield "  Your map drops it." if treatment.named else "  It is skipped: no map names it."
    else:
        yield from _fields(explained, settings)
    if explained.lacks:
        yield f"  It can never give an event: it lacks {'; '.join(explained.lacks)}."
    columns = stream.schema["properties"]
    if explained.lacks and (advice := settings_to_set(explained.lacks)):
        yield f"  {advice}"
    elif explained.lacks or (not treatment.named and presets.likely_preset(columns)):
        out = way_out(
            stream.name, columns, stream.keys, settings.events, in_use=stream.name in in_use
        )
        yield from (f"  {line}" for line in out.splitlines())
    if explained.fates:
        yield from _fates(explained)
    if explained.mistake:
        yield f"  A run would end at a record: {explained.mistake}"


def settings_to_set(lacks: Sequence[str]) -> str | None:
    """Which settings give all that a stream lacks; None if they cannot."""
    if not GIVEN_BY_SETTINGS.keys() >= set(lacks):
        return None
    settings = (GIVEN_BY_SETTINGS[lacking] for lacking in lacks)
    named = (f"{name} (TARGET_LIVEINTENT_{name.upper()} in the environment)" for name in settings)
    return f"Set {' and '.join(named)}."


def way_out(
    stream: str, columns: Iterable[str], keys: Sequence[str], defaults: Defaults, *, in_use: bool
) -> str:
    """What to map a stream with: a preset that was made for it, or what its columns suggest.

    Args:
        stream: The stream's name.
        columns: The tap's columns.
        keys: Its key properties.
        defaults: What the settings say about events.
        in_use: Whether a preset is in use already.
    """
    preset = None if in_use else presets.likely_preset(columns)
    if preset is None:
        return f"A map to start from:\n{suggest(stream, columns, keys)}"
    still = missing_columns(presets.columns_of(preset), defaults)
    return (
        f"They look like those of a preset: `presets: {{{setting_name(stream)}: {preset}}}`"
        f" would do{''.join(f', with {what}' for what in still)};"
        f" `target-liveintent --preset {preset}` shows what it does."
    )


def _fields(explained: Explained, settings: Settings) -> Iterator[str]:
    """How each field of the event is filled."""
    treatment = explained.treatment
    sources = treatment.map.sources if treatment.map is not None else {}
    if FILTER in sources:
        yield f"  only if          {_one_line(sources[FILTER].expression)}"
    empty = []
    for column in COLUMNS:
        filled = _filled(column.name, column.path, explained, sources)
        filled = filled or _otherwise(column.name, explained, settings)
        if filled:
            yield f"  {column.name:16} {filled}"
        else:
            empty.append(column.name)
    yield f"  Empty: {', '.join(empty)}."
    used = (treatment.reads or frozenset()) | set(explained.stream.keys)
    names = sorted(set(explained.stream.schema["properties"]) - used)
    if treatment.reads is not None and names:
        more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
        yield f"  Not used: {', '.join(names[:_SHOWN_COLUMNS])}{more}."
    yield from _misspelled(explained, sources)


def _filled(
    name: str, path: tuple[str, ...], explained: Explained, sources: Mapping[str, Source]
) -> str:
    """Of which expressions and columns a field is made, the first that has a value."""
    ways = []
    for place in (name, path[0] if path else name):
        if place in sources:
            ways.append(_one_line(sources[place].expression))
        elif place in explained.treatment.properties:
            ways.append("the column of that name" if place == name else f"the column {place}")
    return ", else ".join(dict.fromkeys(ways)) + (_NOTES.get(name, "") if ways else "")


_NOTES = {
    "email": "  (normalised and hashed, never sent)",
    "consent": "  (never sent)",
}


def _otherwise(name: str, explained: Explained, settings: Settings) -> str:
    """What a field is made of where no column gives it."""
    events, keys = settings.events, explained.stream.keys
    derived = f"key properties {', '.join(keys)}" if keys else "the whole mapped record"
    there = {
        "event_id": f"derived from the stream's name and {derived}",
        "pixel_id": f"{events.pixel_id} (setting pixel_id)" if events.pixel_id else "",
        "source": f"'{events.source}' (setting default_source)" if events.source else "",
        "decision_id": "li_did of source_url, where there is no e-mail"
        if "source_url" in explained.treatment.properties
        else "",
    }
    return there.get(name, "")


def _one_line(expression: str) -> str:
    return " ".join(expression.split())


def _computed(treatment: Treatment) -> tuple[str, ...]:
    return treatment.map.columns if treatment.map is not None else ()


def _misspelled(explained: Explained, sources: Mapping[str, Source]) -> Iterator[str]:
    """What an expression reads and the tap does not have; what it computes for nothing."""
    treatment = explained.treatment
    for unknown in unknown_columns(treatment.stream, _computed(treatment)):
        yield f"  {unknown[0].upper()}{unknown[1:]}"
    for column, source in sources.items():
        for path in sorted(source.paths):
            if wrong := unknown_read(column, path, explained.stream.schema):
                yield f"  {wrong}"


def _fates(explained: Explained) -> Iterator[str]:
    fates = explained.fates
    rejected = {reason: count for reason, count in fates.most_common() if reason in REASONS}
    yield (
        f"  Of {sum(fates.values()):,} records, {fates['sent']:,} would be sent,"
        f" {fates['filtered']:,} filtered, {sum(rejected.values()):,} rejected."
    )
    for reason, count in rejected.items():
        first = explained.rejected[reason]
        about = f", {first.field}" if first.field else ""
        about += f" ({scrub(first.detail)})" if first.detail else ""
        about += f", key properties {_json(first.keys).decode()}" if first.keys else ""
        yield f"  {reason} ({count:,}), event {first.event_id} first{about}:"
        yield f"    {REASONS[reason].meaning}"
    mapped = sum(fates.values()) - fates["filtered"] - fates["mapping_failed"]
    empty = [column for column in _computed(explained.treatment) if column not in explained.filled]
    if mapped:
        yield from (f"  {column} is empty in all {mapped:,} records." for column in empty)
    told = {f"{column} empty" for column in empty}
    for column, count in sorted(explained.left_out.items()):
        if column not in told:
            yield f"  Left out of events: {column}, {count:,} times."
    for example in explained.examples:
        yield f"  {example}"


def _absent(maps: StreamMaps, streams: Mapping[str, Any]) -> Iterator[str]:
    """Streams that the maps name and that did not come."""
    for name, hint in absent_streams(maps.names, streams):
        yield ""
        yield f"Stream {name}"
        yield f"  A map names it, but it did not come{hint}"
