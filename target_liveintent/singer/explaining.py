"""Explains what a run would do with an input: how its streams and first records become events.

It reads a Singer stream or a tap's catalog. It sends, writes and keeps nothing. It converts records
with the parts that a run uses: stream maps, validator and record converter.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import msgspec

from target_liveintent.errors import InputError, StorageError
from target_liveintent.explain.description import (
    MAX_RECORDS,
    AbsentStream,
    Explained,
    Explanation,
    describe,
    run_problems,
)
from target_liveintent.mapping.map_checks import absent_streams, lacking_for_events
from target_liveintent.mapping.proposals import config_text
from target_liveintent.mapping.stream_maps import Stream, StreamMaps, stream_maps_of
from target_liveintent.privacy.suppression import Suppressions
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
    RecordValidator,
    refuse_own_stream,
    stream_described,
    unmapped_message,
)

_CLOCK_AFTER = 2
"""A recording is judged so many seconds after its newest event, because the API requires an event
time before the time of sending."""
_DELIMITERS = {";": "a semicolon", "\t": "a tab", "|": "a vertical bar", ",": "a comma"}
_NO_INPUT = (
    "no input: the tap has written nothing, because it ended early or no stream is selected in it,"
    " or the FILE is empty. explain needs a Singer stream or a tap's catalog"
)
_NO_STREAM = (
    "the input has no records and no SCHEMA, so there is nothing to explain. If the tap found"
    " nothing new, run it without its STATE"
)


def explain(source: IO[str], settings: Settings, expected: str | None = None) -> Explanation:
    """Explain what a run would do with a Singer stream or a tap's catalog.

    `expected` is a file to compare with; then ages are judged as of the newest event.

    Raises:
        RunError: If the input or the file cannot be used. The message has the number of a line, not
            its content.
    """
    found = read_input(source)
    if found.records and (limit := settings.limit):
        found.notes.append(
            f"explain ignores the setting limit. A run would send at most {limit:,} events."
        )
    maps = stream_maps_of(settings)
    plans = converted(found, settings, maps, from_recording=expected is not None)
    failures = list(run_problems(plans, settings))
    is_judged = found.records or found.is_catalog
    if is_judged and not any(one.gives_events or one.is_refused for one in plans):
        failures.append(unmapped_message(found.streams, maps.names))
    return Explanation(
        notes=found.notes,
        streams=[describe(one, settings) for one in plans],
        absent_streams=[
            AbsentStream(name, similar or None)
            for name, similar in absent_streams(maps.names, found.streams)
        ],
        failures=failures,
        expectation=None if expected is None else compare(plans, expected),
    )


def write_config(source: IO[str], path: str) -> Iterator[str]:
    """Write a configuration for the streams of an input; yields lines to print.

    Only its owner can read the new file, because it will hold a token.

    Raises:
        InputError: If the input has no stream.
        StorageError: If the file exists already, or cannot be written.
    """
    found = read_input(source)
    yield from found.notes
    text = config_text(
        [
            (stream, [record for of, record in found.records if of == name])
            for name, stream in found.streams.items()
        ]
    )
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        msg = f"--write-config cannot write '{path}': {error.strerror}. Name a new file"
        raise StorageError(msg) from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    yield (
        f"The proposed configuration is in '{path}'. Fill in customer_id, auth_token and pixel_id,"
        " set timezone to the zone of times that have none, and check each line of the map. To see"
        f" what a run would send, explain the same input with --config {path}"
    )


# What an input has


class Input(msgspec.Struct):
    """What is read of an input: the last SCHEMA of each stream, and the first records.

    Each record comes with the name of its stream. A catalog has no records.
    """

    streams: StreamsThatCame[Stream]
    records: list[tuple[str, dict[str, Any]]] = []
    is_catalog: bool = False
    notes: list[str] = []


def read_input(source: IO[str]) -> Input:
    """Read a Singer stream, or else a catalog.

    Raises:
        InputError: If it is neither, or has no stream.
    """
    numbered = enumerate(lines(source, lambda: True), 1)
    filled = ((number, without_mark(line)) for number, line in numbered if line.strip())
    first = next(filled, None)
    if first is None:
        raise InputError(_NO_INPUT)
    found = Input(StreamsThatCame(), is_catalog=not _is_message(first[1]))
    if found.is_catalog:
        for stream in _catalog(b"\n".join([first[1], *(line for _, line in filled)])):
            if isinstance(stream.schema.get("properties"), dict):
                _register(found, stream)
        found.notes.append("The input is a catalog, so there are no records to test the maps with.")
    for number, line in itertools.chain([] if found.is_catalog else [first], filled):
        try:
            _process(found, decode_message(line))
        except InputError as error:
            msg = f"line {number} of the input: {error}"
            raise InputError(msg) from None
        if len(found.records) >= MAX_RECORDS:
            found.notes.append(f"Only the first {MAX_RECORDS:,} records were read.")
            break
    if not found.streams:
        raise InputError(_NO_STREAM)
    found.notes += filter(None, map(_wrong_delimiter, found.streams.values()))
    return found


def _wrong_delimiter(stream: Stream) -> str | None:
    """Say so if the only column looks like a whole line of a CSV."""
    columns = list(stream.schema["properties"])
    marks = [name for mark, name in _DELIMITERS.items() if mark in columns[0]] if columns else []
    if len(columns) != 1 or not marks:
        return None
    return (
        f"Stream {stream.name} has only one column, '{columns[0]}'. It looks like several: tell the"
        f" tap that {marks[0]} separates the columns of the file."
    )


def _process(found: Input, message: Message) -> None:
    match message.type:
        case "SCHEMA":
            _register(found, stream_described(stream_of(message), message))
        case "RECORD":
            stream = found.streams[stream_of(message)].name
            found.records.append((stream, decode_object(message.record)))
        case "BATCH":
            stream = found.streams[stream_of(message)].name
            records = batch_records(message.encoding or {}, message.manifest or [])
            free = MAX_RECORDS - len(found.records)
            found.records += ((stream, record) for record in itertools.islice(records, free))
        case "STATE":
            state_of(message)  # A run refuses one without a value.
        case "ACTIVATE_VERSION":
            pass
        case _:
            refuse_type(message)


def _register(found: Input, stream: Stream) -> None:
    refuse_own_stream(stream.name)
    found.streams[stream.name] = stream


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


# What becomes of it


def converted(
    found: Input, settings: Settings, maps: StreamMaps, *, from_recording: bool = False
) -> list[Explained]:
    """Return what each map makes of each stream and its records.

    The age of an event is judged as of now, or `from_recording` as of the newest event: so the
    result of a recording never changes.
    """
    as_of, suppressions = 0.0, Suppressions(settings.suppression_path)
    now: Callable[[], float] = (lambda: as_of) if from_recording else time.time
    plans = [
        Explained(stream, plan)
        for stream in found.streams.values()
        for plan in maps.plans(stream.name, stream.schema)
    ]
    validators: dict[str, RecordValidator] = {}
    for one in plans:
        stream, plan = one.stream, one.plan
        if plan.is_used:
            one.missing = lacking_for_events(plan, stream.schema, settings.events)
            if not one.missing:
                one.converter = one.counts.converter(
                    stream, plan, settings.events, suppressions, now
                )
                if settings.validate_records:
                    validators[stream.name] = RecordValidator(stream.schema)
    of_plans = [
        (one, record) for name, record in found.records for one in plans if one.stream.name == name
    ]
    if from_recording:
        times = (one.event_time(record) for one, record in of_plans)
        as_of = max((time for time in times if time is not None), default=0) + _CLOCK_AFTER
    for one, record in of_plans:
        validator = validators.get(one.stream.name)
        one.add(record, validator.violation(record) if validator else None)
    return plans
