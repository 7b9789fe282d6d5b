"""`--explain`: shows how each stream would become events, and what its first records would become.

It reads a Singer stream or a tap's catalog, and prints. It sends, writes and keeps nothing. It
converts records with the parts that a run uses: stream maps, validator and record converter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

import msgspec

from target_liveintent.conversions import DEAD_LETTERS, EventBuilder, missing_columns
from target_liveintent.errors import InputError
from target_liveintent.mapping import RecordConverter, StreamPlan, absent_streams
from target_liveintent.privacy import Suppressions
from target_liveintent.settings import Settings
from target_liveintent.singer.explain.model import Explained
from target_liveintent.singer.explain.render import paragraph
from target_liveintent.singer.reader import Message, decode_message, decode_object, lines
from target_liveintent.singer.stream_maps import StreamMaps
from target_liveintent.singer.streams import Stream
from target_liveintent.singer.validation import RecordValidator

MAX_RECORDS = 10_000
"""Records that are read: enough to show what a map does, and read within seconds."""


def explain(
    source: IO[str], settings: Settings, maps: StreamMaps, in_use: Mapping[str, str]
) -> Iterator[str]:
    """Explain what a run would do with a Singer stream or a tap's catalog, in lines to print.

    Args:
        source: The input.
        settings: The settings.
        maps: The stream maps.
        in_use: The setting `presets`.

    Raises:
        InputError: If the input is neither. The message has the number of a line, not its content.
    """
    inspector = _Inspector(settings, maps)
    yield from inspector.read(source)
    for plans in inspector.streams.values():
        for explained in plans:
            yield from paragraph(explained, settings, in_use)
    for name, hint in absent_streams(maps.names, inspector.streams):
        yield from ("", f"Stream {name}", f"  A map names it, but it did not come{hint}")


class _Inspector:
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
