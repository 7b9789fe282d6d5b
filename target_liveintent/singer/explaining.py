"""Explains what a run would do with an input: how its streams and first records become events.

This module sends no event. It reads, validates and converts records with the same code as a run.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, Any, NamedTuple

from target_liveintent.conversions.coerce import unix_time
from target_liveintent.errors import InputError, StorageError
from target_liveintent.explain.description import (
    MAX_RECORDS,
    Explained,
    Explanation,
    describe,
    run_failures,
)
from target_liveintent.explain.proposal_text import config_text
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.map_checks import absent_streams, maps_with_equal_ids
from target_liveintent.mapping.stream_maps import (
    Stream,
    StreamMaps,
    StreamPlan,
)
from target_liveintent.singer.batch_files import process_batch
from target_liveintent.singer.expectation import compare
from target_liveintent.singer.reader import Message, MessageReader, state_of
from target_liveintent.singer.streams import (
    RecordRules,
    RecordValidator,
    stream_described,
    unmapped_message,
)
from target_liveintent.system import open_private

_CLOCK_AFTER = 2
"""Seconds from the newest event of a recording to the time at which the ages of its events are
computed. The API requires an event time before the time of sending."""
_NO_INPUT = (
    "the input is empty. Perhaps the tap ended early, no stream is selected in the tap, or the FILE"
    " is empty. Give explain the output of a tap"
)
_NO_STREAM = (
    "the input has no records and no SCHEMA, so there is nothing to explain. If the tap found no"
    " new records, run the tap without its STATE"
)


def explain_input(  # noqa: PLR0913 (an argument for each thing that decides)
    source: IO[str],
    maps: StreamMaps,
    rules: RecordRules,
    expected: str | None = None,
    *,
    max_dead_letter_percent: int,
    show_code: bool = False,
) -> Explanation:
    """Return an explanation of what a run would do with a Singer stream.

    Args:
        source: The Singer stream.
        maps: The stream maps.
        rules: The settings for the records.
        expected: The path of a file with the expected events and rejections. If it is given, the
            age of an event is computed at the time of the newest event.
        max_dead_letter_percent: The setting of this name.
        show_code: Whether the explanation includes the generated code of each stream.

    Raises:
        RunError: If the input or the file cannot be used. The error has the number of the line, but
            not its content.
    """
    given, names = read_input(source), maps.names
    plans = explained_streams(given, maps, rules, from_recording=expected is not None)
    failures = list(run_failures(plans, rules.on_rejection, max_dead_letter_percent))
    if given.records and not any(plan.gives_events or plan.is_refused for plan in plans):
        text = unmapped_message(given.streams, names)
        failures.append(Failure.of(FailureCode.STREAM_MAPPING, text=text))
    return Explanation(
        notes=[*given.notes, *rules.suppressions.warnings],
        streams=[describe(explained, rules.events, show_code=show_code) for explained in plans],
        absent_streams=absent_streams(names, given.streams),
        failures=failures,
        expectation=None if expected is None else compare(plans, expected),
    )


def write_config(source: IO[str], path: str) -> Iterator[str]:
    """Write a proposed configuration for the streams of an input, and yield the lines to print.

    Only the owner of the new file can read the file, because users put a token into it.

    Raises:
        InputError: If the input has no stream.
        StorageError: If the file exists already, or cannot be written.
    """
    given = read_input(source)
    yield from given.notes
    records = defaultdict[str, list[dict[str, Any]]](list)
    for schema, record in given.records:
        records[given.schemas[schema].name].append(record)
    text = config_text([(stream, records[name]) for name, stream in given.streams.items()])
    try:
        file = open_private(path, os.O_WRONLY | os.O_EXCL)
    except OSError as error:
        msg = f"--write-config cannot write '{path}': {error.strerror}. Name a new file"
        raise StorageError(msg) from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    yield (
        f"The proposed configuration is in '{path}'. Fill in customer_id, auth_token and pixel_id,"
        " set timezone to the time zone of times that name no zone, answer the question in each"
        " __filter__, and check each line of the map. To see what a run would send, explain the"
        f" same input with --config {path}"
    )


# The content of an input


class Input(NamedTuple):
    """The content of a Singer stream.

    Attributes:
        schemas: The stream of each new or changed SCHEMA, in the order of the input.
        records: The first records, each after the index of its SCHEMA in `schemas`.
        notes: Sentences for the user about the reading.
    """

    schemas: list[Stream]
    records: list[tuple[int, dict[str, Any]]]
    notes: list[str]

    @property
    def streams(self) -> dict[str, Stream]:
        """The last SCHEMA of each stream, by the stream's name."""
        return {stream.name: stream for stream in self.schemas}


def read_input(source: IO[str]) -> Input:
    """Read the SCHEMAs and the first `MAX_RECORDS` records of a Singer stream.

    Raises:
        InputError: If the input is not a Singer stream, or has no stream.
    """
    given, reader = Input([], [], []), MessageReader(lambda: None)

    def register(stream: Stream) -> Callable[[dict[str, Any]], None]:
        given.schemas.append(stream)
        return partial(take, len(given.schemas) - 1)

    def take(schema: int, record: dict[str, Any]) -> None:
        given.records.append((schema, record))
        reader.stopped = len(given.records) >= MAX_RECORDS

    pass_streams(source, reader, register)
    if reader.stopped:
        given.notes.append(f"Only the first {MAX_RECORDS:,} records were read.")
    return given


def pass_streams(
    source: IO[str],
    reader: MessageReader,
    register: Callable[[Stream], Callable[[dict[str, Any]], None]],
) -> None:
    """Pass each new or changed SCHEMA of a Singer stream to `register`, and the records on.

    Args:
        source: The Singer stream.
        reader: The reader, which the caller can stop.
        register: Takes the stream of a SCHEMA, and returns the function that takes the records
            which follow.

    Raises:
        InputError: If the input is not a Singer stream, or has no stream.
    """
    known: dict[str, Stream] = {}

    def take_schema(message: Message) -> None:
        stream = stream_described(message)
        if known.get(stream.name) != stream:
            known[stream.name] = stream
            reader.pass_records(stream.name, None, register(stream))

    callbacks: dict[str, Callable[[Message], Any]] = {
        "SCHEMA": take_schema,
        "BATCH": partial(process_batch, reader),
        "STATE": state_of,  # A run refuses a STATE without a value.
        "ACTIVATE_VERSION": lambda _: None,
    }
    counts = reader.process_lines(source, callbacks)
    if not known:
        raise InputError(_NO_STREAM if counts.total() else _NO_INPUT)


# The result of an input


def explained_streams(
    given: Input, maps: StreamMaps, rules: RecordRules, *, from_recording: bool = False
) -> list[Explained]:
    """Return what each stream map makes of its stream and the stream's records.

    The age of an event is computed at the present time. With `from_recording`, it is computed at
    the time of the newest event, so that the result of a recording never changes.
    """
    if not from_recording:
        return _explained_at(time.time, given, maps, rules)
    # With a clock before all times, each event is rejected, because it lies in the future.
    too_early = _explained_at(lambda: -math.inf, given, maps, rules)
    rejections = [rejection for explained in too_early for rejection in explained.rejections]
    times = [unix_time(one.columns.get("event_time"), rules.events.zone) for one in rejections]
    newest = max((at for at in times if isinstance(at, int)), default=0)
    return _explained_at(lambda: newest + _CLOCK_AFTER, given, maps, rules)


def _explained_at(
    now: Callable[[], float], given: Input, maps: StreamMaps, rules: RecordRules
) -> list[Explained]:
    all_explained: dict[tuple[str, str], Explained] = {}
    fingerprints = defaultdict[str, dict[tuple[str, int], int]](dict)
    takers: list[list[Callable[[dict[str, Any]], None]]] = [[] for _ in given.schemas]
    for stream, of_schema in zip(given.schemas, takers, strict=True):
        for plan in maps.plans(stream.name, stream.schema, stream.keys):
            new = Explained(stream, plan, fingerprints=fingerprints[stream.name])
            explained = all_explained.setdefault((stream.name, plan.stream), new)
            explained.preset = maps.presets.get(stream.name)
            of_schema.append(_taker(explained, stream, plan, rules, now))
    for schema, record in given.records:
        for take in takers[schema]:
            take(record)
    for name in given.streams:
        _note_equal_ids([one for one in all_explained.values() if one.stream.name == name])
    return [*all_explained.values()]


def _taker(
    explained: Explained,
    stream: Stream,
    plan: StreamPlan,
    rules: RecordRules,
    now: Callable[[], float],
) -> Callable[[dict[str, Any]], None]:
    """Return a function that converts a record, and adds the result to `explained`."""
    if not explained.take_schema(stream, plan, rules.events):
        return lambda record: explained.add(record, None, None, now())
    converter = RecordConverter(stream, plan, rules.events, rules.suppressions, now)
    explained.counts.mapped |= plan.identifying
    explained.code = converter.code
    violation = violations_of(stream, rules)
    return lambda record: explained.add(record, converter, violation(record), now())


def violations_of(stream: Stream, rules: RecordRules) -> Callable[[dict[str, Any]], str | None]:
    """Return a function that says how a record violates the tap's SCHEMA, or None.

    Without the setting `validate_records`, the function always returns None.
    """
    if not rules.validate_records:
        return lambda _: None
    return RecordValidator(stream.schema).violation


def _note_equal_ids(of_stream: Sequence[Explained]) -> None:
    with_events = [explained for explained in of_stream if explained.gives_events]
    plans = [explained.plan for explained in with_events]
    keys = with_events[0].stream.keys if with_events else ()
    findings = {finding.stream: finding for finding in maps_with_equal_ids(plans, keys)}
    for explained in of_stream:
        explained.equal_ids = findings.get(explained.plan.stream)
