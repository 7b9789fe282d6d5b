"""Explains what a run would do with an input: how its streams and first records become events.

It reads a Singer stream or a tap's catalog. It sends, writes and keeps nothing. It converts records
with the parts that a run uses: stream maps, validator and record converter.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import msgspec

from target_liveintent.conversions import MARGIN
from target_liveintent.errors import InputError, StorageError
from target_liveintent.explain import (
    MAX_RECORDS,
    AbsentStream,
    Explained,
    Explanation,
    describe,
    run_problems,
)
from target_liveintent.mapping import (
    Stream,
    StreamMaps,
    absent_streams,
    config_text,
    lacking_for_events,
)
from target_liveintent.privacy import Suppressions
from target_liveintent.settings import Settings
from target_liveintent.singer.batch_files import batch_records
from target_liveintent.singer.expectation import compare
from target_liveintent.singer.reader import (
    Message,
    StreamsThatCame,
    decode_message,
    decode_object,
    lines,
    refuse_type,
    state_of,
    stream_of,
    without_mark,
)
from target_liveintent.singer.streams import (
    refuse_own_stream,
    stream_described,
    unmapped_message,
)
from target_liveintent.singer.validation import RecordValidator

_CLOCK_AFTER = 2
"""A recording is judged so many seconds after its newest event, because the API requires an event
time before the time of sending."""
_NO_INPUT = (
    "no input: explain needs a Singer stream or a tap's catalog, in a FILE or on standard input"
)
_NO_STREAM = (
    "the input has no records and no SCHEMA, so there is nothing to explain. If the tap found"
    " nothing new, run it without its STATE"
)


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
    return Explanation(
        notes=notes,
        streams=[describe(one, settings, in_use) for one in inspector.plans],
        absent_streams=[
            AbsentStream(name, similar or None)
            for name, similar in absent_streams(maps.names, inspector.streams)
        ],
        failures=list(_problems(inspector, settings, maps)),
        expectation=None if expected is None else compare(inspector.plans, expected),
    )


def write_config(source: IO[str], settings: Settings, path: str) -> Iterator[str]:
    """Write a configuration for the streams of an input; yields lines to print.

    Args:
        source: A Singer stream or a tap's catalog.
        settings: Any settings.
        path: The new file, which only its owner can read, because it will hold a token.

    Raises:
        InputError: If the input has no stream.
        StorageError: If the file exists already, or cannot be written.
    """
    inspector = Inspector(settings, StreamMaps({}, {}))
    yield from inspector.read(source)
    text = config_text([(one.stream, one.samples) for one in inspector.plans])
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        msg = (
            f"--write-config cannot write '{path}': {error.strerror}. Give it the name of a new"
            " file"
        )
        raise StorageError(msg) from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    yield (
        f"The proposed configuration is in '{path}'. Fill in customer_id, auth_token and pixel_id,"
        " and check each line of the map. To see what a run would send, explain the same input"
        f" with --config {path}"
    )


def _problems(inspector: Inspector, settings: Settings, maps: StreamMaps) -> Iterator[str]:
    """Yield a sentence for each reason for which a run over the same input would fail."""
    plans = inspector.plans
    yield from run_problems(plans, settings)
    is_judged = inspector.records or inspector.is_catalog
    if is_judged and not any(one.gives_events or one.is_refused for one in plans):
        yield unmapped_message(inspector.streams, maps.names)


class Inspector:
    """Reads an input, and notes what each map makes of each stream and its first records.

    Args:
        settings: The settings.
        maps: The stream maps.
        from_recording: Whether ages are judged as of the newest event, and not as of now.

    Attributes:
        streams: What each map makes of a stream, by the tap's name of the stream.
        is_catalog: Whether the input was a catalog, which has no records.
        records: How many records were read.
    """

    def __init__(
        self, settings: Settings, maps: StreamMaps, *, from_recording: bool = False
    ) -> None:
        self._settings = settings
        self._maps = maps
        self._suppressions = Suppressions(settings.suppression_path)
        self._from_recording = from_recording
        self._extracted = 0.0  # When the tap read the last row, if it says so.
        self._as_of: float | None = None
        self._taken: list[tuple[Explained, dict[str, Any]]] = []
        self.streams = StreamsThatCame[list[Explained]]()
        self.is_catalog = False
        self.records = 0

    def read(self, source: IO[str]) -> Iterator[str]:
        """Read a Singer stream, or else a catalog; yields lines to print about the reading.

        Raises:
            InputError: If it is neither, or has no stream.
        """
        numbered = enumerate(lines(source, lambda: True), 1)
        filled = ((number, without_mark(line)) for number, line in numbered if line.strip())
        first = next(filled, None)
        if first is None:
            raise InputError(_NO_INPUT)
        if _is_message(first[1]):
            self._read_messages(itertools.chain([first], filled))
        else:
            self.is_catalog = True
            for stream in _catalog(b"\n".join([first[1], *(line for _, line in filled)])):
                self._register(stream)
            yield "The input is a catalog, so there are no records to test the maps with."
        if not self.streams:
            raise InputError(_NO_STREAM)
        if self.records >= MAX_RECORDS:
            yield f"Only the first {MAX_RECORDS:,} records were read."
        if self.records and (limit := self._settings.limit):
            yield f"explain ignores the setting limit. A run would send at most {limit:,} events."
        if self._from_recording:
            self._as_of = self._newest() + _CLOCK_AFTER
        for explained, record in self._taken:
            explained.add(record)

    def _read_messages(self, numbered: Iterable[tuple[int, bytes]]) -> None:
        for number, line in numbered:
            try:
                self._process(decode_message(line))
            except InputError as error:
                msg = f"line {number} of the input: {error}"
                raise InputError(msg) from None
            if self.records >= MAX_RECORDS:
                break

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
            self.records += 1
            self._taken += ((explained, record) for explained in self.streams[stream])

    def _note_extracted(self, moment: Any) -> None:
        try:
            read_at = msgspec.convert(moment, dt.datetime)
        except msgspec.ValidationError:
            return
        if read_at.tzinfo is None:  # No result may depend on the zone of this machine.
            read_at = read_at.replace(tzinfo=dt.timezone.utc)
        self._extracted = max(read_at.timestamp(), self._extracted)

    def _newest(self) -> int:
        """Return the Unix time of the newest event.

        A planned event, such as the day on which a sale is expected to close, does not count beside
        others: it is later than the tap's reading, and a run rejects it.
        """
        times = [explained.event_time(record) for explained, record in self._taken]
        known = [time for time in times if time is not None]
        latest = self._extracted + MARGIN if self._extracted else math.inf
        return max([time for time in known if time <= latest] or known, default=0)

    def _clock(self) -> float:
        return time.time() if self._as_of is None else self._as_of

    def _register(self, stream: Stream) -> None:
        if not isinstance(stream.schema.get("properties"), dict):  # (In a catalog.)
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
        if not explained.missing:
            explained.convert_records(defaults, self._suppressions, self._clock)
            if self._settings.validate_records:
                explained.validator = RecordValidator(stream.schema)
        return explained


def _is_message(line: bytes) -> bool:
    try:
        decode_message(line)
    except InputError:
        return False
    return True


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
