"""Registers and checks the streams of a run, and validates their records."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from singer_sdk.exceptions import InvalidJSONSchema

from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.mapping.map_checks import (
    MapFinding,
    absent_streams,
    can_be_set,
    lacking_for_events,
    lacking_message,
    map_warnings,
    maps_with_equal_ids,
)
from target_liveintent.mapping.similar_names import did_you_mean
from target_liveintent.mapping.stream_maps import (
    MELTANO_TEST_STREAM,
    Stream,
    StreamMaps,
    StreamPlan,
)
from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.settings import EventDefaults
from target_liveintent.singer.reader import Message, decode_object, stream_of
from target_liveintent.store.delivered import DELIVERED_EVENTS

_OWN_STREAMS = frozenset({DELIVERED_EVENTS, DEAD_LETTERS})
"""Streams that this program prints, and that a run does not accept as input."""


class StreamRegistry:
    """Keeps the SCHEMAs that the tap has sent so far, and logs warnings about the stream maps.

    Attributes:
        has_events: Whether a stream can give events, or is Meltano's test stream.
    """

    def __init__(self, maps: StreamMaps, events: EventDefaults, logger: logging.Logger) -> None:
        self._maps, self._events, self._logger = maps, events, logger
        self._warn_once = functools.cache(logger.warning)  # A SCHEMA may be repeated.
        self._schemas: dict[str, tuple[bytes, list[str] | None]] = {}
        self.has_events = False

    def register(self, message: Message) -> tuple[Stream, list[tuple[StreamPlan, bool]]] | None:
        """Register the stream of a SCHEMA message.

        Returns:
            The stream, and each plan of the stream with True if the plan gives events. None if
            the tap repeats a SCHEMA without a change.

        Raises:
            InputError: If the message is malformed.
            ConfigurationError: If `__key_properties__` names a column that mapped records lack.
            StreamMappingError: If the configuration names the stream, but the stream can give no
                events.
        """
        name = stream_of(message)
        known = (bytes(message.schema), message.key_properties)
        if self._schemas.get(name) == known:
            return None
        stream = stream_described(message)
        plans = self._maps.plans(name, stream.schema, stream.keys)
        checked = [(plan, self._gives_events(stream, plan)) for plan in plans]
        for finding in maps_with_equal_ids([plan for plan, gives in checked if gives], stream.keys):
            self._warn_once("%s", finding.words)
        self._schemas[name] = known
        return stream, checked

    def warn_at_end(self) -> None:
        """Warn of an empty input, and of stream maps whose name only resembles a stream's name."""
        for absent in absent_streams(self._maps.names, self._schemas):
            if absent.similar is not None:
                self._logger.warning(
                    "a stream map names '%s', but the input has no such stream; did you mean '%s'?",
                    absent.stream,
                    absent.similar,
                )
        if not self._schemas:
            self._logger.warning(
                "the input contains neither a record nor a SCHEMA. Perhaps the tap ended early, or"
                " no stream is selected in the tap. Check the tap's log, or run the tap alone"
            )

    @property
    def has_only_test(self) -> bool:
        """Whether the only stream of the input is the test stream of `meltano config test`."""
        return self._schemas.keys() == {MELTANO_TEST_STREAM}

    def fail_unmapped(self) -> NoReturn:
        """Raise a `StreamMappingError`, because no stream of the input can give events."""
        raise StreamMappingError(unmapped_message(self._schemas, self._maps.names))

    def _gives_events(self, stream: Stream, plan: StreamPlan) -> bool:
        """Return whether a plan gives events; log a warning for each probable mistake in it."""
        for finding in map_warnings(plan, stream.schema):
            self._warn_once("%s", finding.words)
        if stream.name == MELTANO_TEST_STREAM:
            self.has_events = True
            return False
        missing = lacking_for_events(plan, stream.schema, self._events)
        if missing and plan.named and plan.is_used:
            raise StreamMappingError(self._missing_message(stream, plan, missing))
        # `is_used` is False with `__else__`, or if only copies use the stream: that is no mistake.
        if missing and plan.is_used and stream.name not in self._maps.names:
            absent = [name for name in self._maps.names if name not in self._schemas]
            hint = did_you_mean(stream.name, absent)
            self._warn_once("stream '%s' is skipped: no stream map names it%s", stream.name, hint)
        self.has_events |= not missing
        return not missing

    def _missing_message(self, stream: Stream, plan: StreamPlan, missing: list[MapFinding]) -> str:
        msg = lacking_message(plan.stream, missing)
        if can_be_set(missing):
            return msg
        from target_liveintent.explain.proposal_text import advise  # noqa: PLC0415 (few runs)

        columns = ", ".join(stream.schema["properties"])
        in_use = stream.name in self._maps.presets
        advice = advise(stream, missing, self._events, in_use=in_use)
        return f"{msg} The stream has these columns: {columns}. {advice}"


def unmapped_message(streams: Iterable[str], mapped: Iterable[str]) -> str:
    """Return the message for an input whose streams can give no events."""
    return (
        f"no stream in the input ({', '.join(streams)}) is mapped to events. The stream maps name"
        f" only these streams: {', '.join(mapped)}"
    )


def stream_described(message: Message) -> Stream:
    """Return the stream that a SCHEMA message describes.

    Raises:
        InputError: If the SCHEMA has no properties, or if this program prints such a stream.
    """
    name = stream_of(message)
    if name in _OWN_STREAMS:
        msg = (
            f"the stream '{name}' was written by this program, so a run cannot read it. To send"
            " dead letters, use target-liveintent replay FILE, or target-liveintent replay - for"
            " standard input"
        )
        raise InputError(msg)
    schema = decode_object(message.schema) if message.schema else {}
    if not isinstance(schema.get("properties"), dict):
        msg = (
            f"the SCHEMA of stream '{name}' has no properties: select at least one column in the"
            " tap"
        )
        raise InputError(msg)
    return Stream(name, schema, tuple(message.key_properties or ()))


class RecordRules(NamedTuple):
    """The settings by which the records of all streams are validated, converted and rejected."""

    events: EventDefaults
    suppressions: Suppressions
    validate_records: bool
    on_rejection: str


class RecordValidator:
    """Validates records against the tap's SCHEMA, for the setting `validate_records`.

    Raises:
        InvalidJSONSchema: If the schema is not a valid JSON schema.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        import jsonschema_rs  # noqa: PLC0415 (only needed where records are validated)

        no_schemas: dict[str, Any] = {}  # A tap's schema must not cause network traffic.
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=no_schemas.__getitem__)
        except ValueError:
            msg = (
                "the tap's SCHEMA is not a valid JSON schema: report this to the maintainers of the"
                " tap, or set validate_records to false"
            )
            raise InvalidJSONSchema(msg) from None

    def violation(self, record: dict[str, Any]) -> str | None:
        """Return which value of a record breaks which rule; None if the record is valid."""
        for error in self._validator.iter_errors(record):
            place = ".".join(str(step) for step in error.instance_path) or "the record"
            return scrub(f"{place} breaks the rule '{error.schema_path[-1]}'")
        return None
