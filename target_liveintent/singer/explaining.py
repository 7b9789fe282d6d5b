"""Explains what a run would do with an input: how its streams and first records become events.

It reads a Singer stream or a tap's catalog. It sends, writes and keeps nothing. It converts records
with the parts that a run uses: stream maps, validator and record converter.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import msgspec

from target_liveintent.conversions import DAY, MARGIN
from target_liveintent.errors import InputError
from target_liveintent.explain import (
    MAX_RECORDS,
    AbsentStream,
    Explained,
    Explanation,
    describe,
    run_problems,
)
from target_liveintent.mapping import (
    RecordConverter,
    Stream,
    StreamMaps,
    absent_streams,
    lacking_for_events,
)
from target_liveintent.privacy import Suppressions
from target_liveintent.settings import Settings
from target_liveintent.singer.batch_files import batch_records
from target_liveintent.singer.expectation import compare
from target_liveintent.singer.reader import (
    Message,
    decode_message,
    decode_object,
    lines,
    refuse_type,
    state_of,
    stream_of,
    without_mark,
)
from target_liveintent.singer.streams import (
    StreamsThatCame,
    refuse_own_stream,
    stream_described,
    unmapped_message,
)
from target_liveintent.singer.validation import RecordValidator

_CLOCK_AFTER = 2
"""Seconds after the newest event at which a recording is judged: the API wants a time before that
of sending, and a younger event would be given one."""


def explain(
    source: IO[str],
    settings: Settings,
    maps: StreamMaps,
    in_use: Mapping[str, str],
    expected: str | None = None,
) -> Explanation:
    """Explain what a run would do with a Singer stream or a tap's catalog.

    Args:
        source: The input.
        settings: The settings.
        maps: The stream maps.
        in_use: The setting `presets`.
        expected: A file to compare with; then ages are judged as of the newest event.

    Raises:
        RunError: If the input or the file cannot be used. The message has the number of a line, not
            its content.
    """
    inspector = Inspector(settings, maps, from_recording=expected is not None)
    notes = list(inspector.read(source))
    absent = absent_streams(maps.names, inspector.streams) if inspector.streams else ()
    return Explanation(
        notes=notes,
        streams=[describe(one, settings, in_use) for one in inspector.plans],
        absent_streams=[AbsentStream(name, similar or None) for name, similar in absent],
        failures=list(_problems(inspector, settings, maps)),
        expectation=None if expected is None else compare(inspector.plans, expected),
    )


def _problems(inspector: Inspector, settings: Settings, maps: StreamMaps) -> Iterator[str]:
    """Yield a sentence for each reason for which a run over the same input would fail."""
    plans = inspector.plans
    yield from run_problems(plans, settings)
    came = inspector.records or (inspector.is_catalog and inspector.streams)
    if came and not any(one.gives_events or one.is_refused for one in plans):
        yield unmapped_message(inspector.streams, maps.names)


class Inspector:
    """Reads the streams of an input, and converts their first records.

    Args:
        settings: The settings.
        maps: The stream maps.
        from_recording: Whether ages are judged as of the newest event of the input, and not as of
            now.

    Attributes:
        streams: What each map makes of a stream, by stream.
        is_catalog: Whether the input is a catalog.
        records: How many records were read.
    """

    def __init__(
        self, settings: Settings, maps: StreamMaps, *, from_recording: bool = False
    ) -> None:
        self._settings = settings
        self._maps = maps
        self._suppressions = Suppressions(settings.suppression_path)
        self._from_recording = from_recording
        self._extracted: float | None = None  # When the tap read the last row, if it says so.
        self._as_of: float | None = None
        self._taken: list[tuple[list[Explained], dict[str, Any]]] = []
        self.streams = StreamsThatCame[Explained]()
        self.is_catalog = False

    def read(self, source: IO[str]) -> Iterator[str]:
        """Read a Singer stream, or else a catalog; yields lines to print about the reading."""
        unread = self._read_stream(source)
        if self.records >= MAX_RECORDS:
            yield f"Only the first {MAX_RECORDS:,} records were read."
        if self.records and (limit := self._settings.limit):
            yield f"explain ignores the setting limit. A run would send at most {limit:,} events."
        if unread:
            self.is_catalog = True
            for stream in _catalog(b"\n".join(unread)):
                self._register(stream)
            yield "The input is a catalog, so there are no records to test the maps with."
        self._convert()

    def _read_stream(self, source: IO[str]) -> list[bytes]:
        """Read a Singer stream; returns the lines of the input if it is not one."""
        unread: list[bytes] = []
        number = 0
        try:
            for line in lines(source, lambda: True):
                number += 1
                if not line.strip():
                    continue
                message = None if unread else self._message(line)
                if message is None:
                    unread.append(line)
                else:
                    self._process(message)
                if self.records >= MAX_RECORDS:
                    break
        except InputError as error:
            msg = f"line {number} of the input: {error}"
            raise InputError(msg) from None
        return unread

    def _message(self, line: bytes) -> Message | None:
        """Decode a line; None if it is not a message, and may be the first line of a catalog."""
        try:
            return decode_message(without_mark(line))
        except InputError:
            if self.streams:
                raise
            return None

    @property
    def records(self) -> int:  # noqa: D102 (above)
        return len(self._taken)

    @property
    def plans(self) -> list[Explained]:
        """What each map makes of each stream."""
        return [explained for plans in self.streams.values() for explained in plans]

    def _process(self, message: Message) -> None:
        match message.type:
            case "SCHEMA":
                self._register(stream_described(stream_of(message), message))
            case "RECORD":
                self._note_extracted(message.time_extracted)
                self._take(stream_of(message), decode_object(message.record))
            case "BATCH":
                stream = stream_of(message)
                for record in batch_records(message.encoding or {}, message.manifest or []):
                    self._take(stream, record)
            case "STATE":
                state_of(message)  # A run refuses one without a value.
            case "ACTIVATE_VERSION":
                pass
            case _:
                refuse_type(message)

    def _take(self, stream: str, record: dict[str, Any]) -> None:
        if self.records < MAX_RECORDS:
            self._taken.append((self.streams[stream], record))

    def _convert(self) -> None:
        """Convert all records; of a recording, the newest event says when they are judged."""
        if self._from_recording:
            self._as_of = self._newest() + _CLOCK_AFTER
        for plans, record in self._taken:
            for explained in plans:
                explained.add(record)

    def _note_extracted(self, moment: Any) -> None:
        try:
            read_at = msgspec.convert(moment, dt.datetime)
        except msgspec.ValidationError:
            return
        if read_at.tzinfo is None:  # No result may depend on the zone of this machine.
            read_at = read_at.replace(tzinfo=dt.timezone.utc)
        self._extracted = max(read_at.timestamp(), self._extracted or 0.0)

    def _newest(self) -> int:
        """Return the Unix time of the newest event that fits those that a run would send.

        A rejected row counts if it came within a day after the newest event that is sent: with a
        wrong time, it must not make all others too old. Nor must a
        planned event, such as the day on which a sale is expected to close: it is later than the
        tap's reading, and a run rejects it.
        """
        timed = [
            (event_time, explained, record)
            for explained, record in self._each()
            if (event_time := explained.event_time(record)) is not None
        ]
        timed.sort(key=lambda one: -one[0])
        latest = math.inf if self._extracted is None else self._extracted + MARGIN
        candidates = [one for one in timed if one[0] <= latest] or timed
        for event_time, explained, record in candidates:
            self._as_of = event_time + _CLOCK_AFTER
            if explained.would_send(record):
                return next(time for time, *_ in candidates if time <= event_time + DAY)
        return candidates[0][0] if candidates else 0

    def _clock(self) -> float:
        return time.time() if self._as_of is None else self._as_of

    def _each(self) -> Iterator[tuple[Explained, dict[str, Any]]]:
        return ((explained, record) for plans, record in self._taken for explained in plans)

    def _register(self, stream: Stream) -> None:
        if not isinstance(stream.schema.get("properties"), dict):  # (Of a catalog.)
            return
        known = self.streams.get(stream.name)
        if known is not None and known[0].stream == stream:
            return
        plans = self._maps.plans(stream.name, stream.schema)
        made = known or [Explained(stream, plan) for plan in plans]
        self.streams[stream.name] = [
            self._explained(one.with_schema(stream, plan))
            for one, plan in zip(made, plans, strict=True)
        ]

    def _explained(self, explained: Explained) -> Explained:
        stream, plan = explained.stream, explained.plan
        refuse_own_stream(stream.name)
        if plan.transform is None:
            return explained
        defaults = self._settings.events
        explained.missing = lacking_for_events(plan, stream.schema, defaults)
        if explained.missing:
            return explained
        if self._settings.validate_records:
            explained.validator = RecordValidator(stream.schema)
        builder = explained.builder(defaults, self._suppressions)
        left_out = explained.counts.left_out
        explained.converter = RecordConverter(plan, builder, left_out, self._clock)
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
