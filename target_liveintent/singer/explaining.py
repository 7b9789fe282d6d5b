"""Explains what a run would do with an input: how its streams and first records become events.

It sends, writes and keeps nothing. It reads and converts records with the parts that a run uses:
reader, stream maps, validator and record converter.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, NamedTuple

from target_liveintent.conversions.coerce import unix_time
from target_liveintent.errors import InputError, StorageError
from target_liveintent.explain.description import (
    MAX_RECORDS,
    AbsentStream,
    Explained,
    Explanation,
    describe,
    run_problems,
)
from target_liveintent.mapping.converter import RecordConverter, converter_of
from target_liveintent.mapping.map_checks import absent_streams, maps_with_equal_ids
from target_liveintent.mapping.proposals import config_text
from target_liveintent.mapping.stream_maps import (
    Stream,
    StreamMaps,
    StreamPlan,
    stream_maps_of,
)
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.settings import Settings
from target_liveintent.singer.batch_files import process_batch
from target_liveintent.singer.expectation import compare
from target_liveintent.singer.reader import Message, MessageReader, state_of
from target_liveintent.singer.streams import (
    RecordValidator,
    stream_described,
    unmapped_message,
)
from target_liveintent.system import open_private

_CLOCK_AFTER = 2
"""A recording is judged so many seconds after its newest event, because the API requires an event
time before the time of sending."""
_NO_INPUT = (
    "no input: the tap has written nothing, because it ended early or no stream is selected in it,"
    " or the FILE is empty. explain needs a Singer stream"
)
_NO_STREAM = (
    "the input has no records and no SCHEMA, so there is nothing to explain. If the tap found"
    " nothing new, run it without its STATE"
)


def explain(
    source: IO[str], settings: Settings, expected: str | None = None, *, show_code: bool = False
) -> Explanation:
    """Explain what a run would do with a Singer stream.

    `expected` is a file to compare with; then ages are judged as of the newest event. With
    `show_code`, the generated code of each stream is shown.

    Raises:
        RunError: If the input or the file cannot be used. The message has the number of a line, not
            its content.
    """
    found = read_input(source)
    maps = stream_maps_of(settings)
    plans = converted(found, settings, maps, from_recording=expected is not None)
    failures = list(run_problems(plans, settings))
    if found.records and not any(one.gives_events or one.is_refused for one in plans):
        failures.append(unmapped_message(found.streams, maps.names))
    return Explanation(
        notes=found.notes,
        streams=[describe(one, settings, show_code=show_code) for one in plans],
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
            (stream, [record for of, record in found.records if found.schemas[of].name == name])
            for name, stream in found.streams.items()
        ]
    )
    try:
        file = open_private(path, os.O_WRONLY | os.O_EXCL)
    except OSError as error:
        msg = f"--write-config cannot write '{path}': {error.strerror}. Name a new file"
        raise StorageError(msg) from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    yield (
        f"The proposed configuration is in '{path}'. Fill in customer_id, auth_token and pixel_id,"
        " set timezone to the zone of times that have none, answer what a __filter__ asks, and"
        " check each line of the map. To see what a run would send, explain the same input with"
        f" --config {path}"
    )


# What an input has


class Input(NamedTuple):
    """What is read of an input: each SCHEMA that is new or changed, and the first records.

    Each record comes with the index of the SCHEMA before it.
    """

    schemas: list[Stream]
    records: list[tuple[int, dict[str, Any]]]
    notes: list[str]

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams by name, each as its last SCHEMA describes it."""
        return {stream.name: stream for stream in self.schemas}


def read_input(source: IO[str]) -> Input:
    """Read a Singer stream.

    Raises:
        InputError: If it is none, or has no stream.
    """
    found, reader = Input([], [], []), MessageReader(lambda: None)

    def register(message: Message) -> None:
        stream = stream_described(message)
        if found.streams.get(stream.name) != stream:
            found.schemas.append(stream)
            reader.select_columns(stream.name, None, partial(take, len(found.schemas) - 1))

    def take(schema: int, record: dict[str, Any]) -> None:
        found.records.append((schema, record))
        reader.stopped = len(found.records) >= MAX_RECORDS

    callbacks: dict[str, Callable[[Message], Any]] = {
        "SCHEMA": register,
        "BATCH": partial(process_batch, reader),
        "STATE": state_of,  # A run refuses one without a value.
        "ACTIVATE_VERSION": lambda _: None,
    }
    counts = reader.process_lines(source, callbacks)
    if not found.schemas:
        raise InputError(_NO_STREAM if counts.total() else _NO_INPUT)
    if reader.stopped:
        found.notes.append(f"Only the first {MAX_RECORDS:,} records were read.")
    return found


# What becomes of it


class _Use(NamedTuple):
    """What a run makes of the records after a SCHEMA by one map.

    The converter is None if they cannot become events, the validator if they are not validated.
    """

    explained: Explained
    converter: RecordConverter | None = None
    validator: RecordValidator | None = None


def converted(
    found: Input, settings: Settings, maps: StreamMaps, *, from_recording: bool = False
) -> list[Explained]:
    """Return what each map makes of each stream and its records.

    The age of an event is judged as of now, or `from_recording` as of the newest event: so the
    result of a recording never changes.
    """
    as_of, suppressions = -math.inf, Suppressions(settings.suppression_path)
    found.notes.extend(suppressions.warnings)
    now: Callable[[], float] = (lambda: as_of) if from_recording else time.time
    plans: dict[tuple[str, str], Explained] = {}
    fingerprints = defaultdict[str, dict[tuple[str, int], int]](dict)

    def use(stream: Stream, plan: StreamPlan) -> _Use:
        explained = Explained(stream, plan, fingerprints=fingerprints[stream.name])
        one = plans.setdefault((stream.name, plan.stream), explained)
        if not one.take_schema(stream, plan, settings.events):
            return _Use(one)
        converter = converter_of(stream, plan, settings.events, suppressions, now)
        one.counts.mapped |= plan.identifying
        one.code = converter.code
        validator = RecordValidator(stream.schema) if settings.validate_records else None
        return _Use(one, converter, validator)

    uses = [
        [use(stream, plan) for plan in maps.plans(stream.name, stream.schema, stream.keys)]
        for stream in found.schemas
    ]
    of_uses = [(one, record) for schema, record in found.records for one in uses[schema]]
    if from_recording:  # (Before all times, each event is in the future. So nothing is counted.)
        results = [one.converter.convert(record) for one, record in of_uses if one.converter]
        given = (result.columns.get("event_time") for result in results if result)
        times = [unix_time(at, settings.events.zone) for at in given]
        as_of = max((at for at in times if isinstance(at, int)), default=0) + _CLOCK_AFTER
    for (explained, converter, validator), record in of_uses:
        explained.add(record, converter, validator.violation(record) if validator else None)
    for stream in found.streams:
        of_stream = [one for one in plans.values() if one.stream.name == stream]
        equal = dict(maps_with_equal_ids(one.plan for one in of_stream if one.gives_events))
        for one in of_stream:
            one.equal_ids = equal.get(one.plan.stream)
    return [*plans.values()]
