"""Registers the streams of a run: SCHEMA messages in, the plans for each stream's records out.

It also finds out whether events can be built from a stream, warns once about each stream and column
that is probably misspelled, and validates records against a SCHEMA.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any, NoReturn

from singer_sdk.exceptions import InvalidJSONSchema

from target_liveintent.conversions import (
    DEAD_LETTERS,
    DELIVERED_EVENTS,
    FROM_SETTINGS,
    missing_columns_message,
)
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.mapping import (
    MELTANO_TEST_STREAM,
    Stream,
    StreamMaps,
    StreamPlan,
    absent_streams,
    advise_map,
    did_you_mean,
    lacking_for_events,
    misspelled,
)
from target_liveintent.privacy import scrub
from target_liveintent.settings import EventDefaults
from target_liveintent.singer.reader import Message, decode_object, stream_of


class StreamRegistry:
    """The streams that the tap has sent so far.

    Args:
        maps: The stream maps.
        defaults: The defaults that the settings give to events.
        preset_streams: The streams that use a preset.
        logger: Takes the warnings.

    Attributes:
        has_events: Whether there is a stream whose records can become events, or Meltano's test.
    """

    def __init__(
        self,
        maps: StreamMaps,
        defaults: EventDefaults,
        preset_streams: Collection[str],
        logger: logging.Logger,
    ) -> None:
        self._maps = maps
        self._defaults = defaults
        self._preset_streams = preset_streams
        self._logger = logger
        self._schemas: dict[str, tuple[bytes, list[str] | None]] = {}
        self._warned: set[str] = set()
        self.has_events = False

    def register(self, message: Message) -> tuple[Stream, list[tuple[StreamPlan, bool]]] | None:
        """Register the stream of a SCHEMA message.

        Returns:
            The stream, and its plans, each with whether it gives events. None if the same SCHEMA
            has come before.

        Raises:
            InputError: If the message is malformed.
            StreamMappingError: If the user wants events from the stream, but it can give none.
        """
        name = stream_of(message)
        known = (bytes(message.schema), message.key_properties)
        if self._schemas.get(name) == known:
            return None
        try:
            stream = stream_described(name, message)
            plans = [self._checked(stream, plan) for plan in self._maps.plans(name, stream.schema)]
        except RecursionError:
            msg = f"the SCHEMA of stream '{name}' is nested too deeply"
            raise InputError(msg) from None
        self._schemas[name] = known
        return stream, plans

    def warn_at_end(self) -> None:
        """Warn if nothing came, and if for a map, only a stream with a similar name came."""
        for name, hint in absent_streams(self._maps.names, self._schemas):
            if hint:
                self._warn_once(
                    f"a stream map names '{name}', but the input has no such stream{hint}"
                )
        if not self._schemas:
            self._warn_once(
                "the input contains neither a record nor a SCHEMA, because the tap ended early or"
                " no stream is selected in the tap. Check the tap's log, or run the tap alone"
            )

    @property
    def has_only_test(self) -> bool:
        """Whether nothing came but the stream of `meltano config test`."""
        return self._schemas.keys() == {MELTANO_TEST_STREAM}

    def fail_unmapped(self) -> NoReturn:
        """End a run without a stream whose records can become events: a `StreamMappingError`."""
        raise StreamMappingError(unmapped_message(self._schemas, self._maps.names))

    def _checked(self, stream: Stream, plan: StreamPlan) -> tuple[StreamPlan, bool]:
        """Return a plan, and whether it gives events; warn about what is probably misspelled."""
        for problem in misspelled(plan, stream.schema):
            self._warn_once(problem)
        gives_events = self._check_plan(stream, plan)
        self.has_events |= gives_events or stream.name == MELTANO_TEST_STREAM
        return plan, gives_events

    def _check_plan(self, stream: Stream, plan: StreamPlan) -> bool:
        """Return whether events can be built; raise an error if they cannot but are wanted."""
        if stream.name == MELTANO_TEST_STREAM:
            return False
        refuse_own_stream(stream.name)
        missing = lacking_for_events(plan, stream.schema, self._defaults)
        if not missing:
            return True
        if not plan.named:
            self._warn_if_skipped(stream, plan)
        elif plan.transform is not None:
            msg = missing_columns_message(plan.stream, missing)
            if not FROM_SETTINGS.issuperset(missing):
                in_use = stream.name in self._preset_streams
                suggested = advise_map(stream, self._defaults, in_use=in_use)
                columns = ", ".join(stream.schema["properties"])
                msg = f"{msg} The stream has these columns: {columns}. {suggested}"
            raise StreamMappingError(msg)
        return False

    def _warn_if_skipped(self, stream: Stream, plan: StreamPlan) -> None:
        """Warn about a stream that no map names, unless the user has said that it is not used."""
        names = self._maps.names
        if plan.transform is None or stream.name in names:  # `__else__`, or only copies use it.
            return
        hint = did_you_mean(stream.name, [name for name in names if name not in self._schemas])
        self._warn_once(
            f"stream '{stream.name}' is skipped: no stream map names it{hint}",
            about=f"skipped {stream.name}",  # The hint may be another one at the next SCHEMA.
        )

    def _warn_once(self, text: str, about: str | None = None) -> None:
        if (about or text) not in self._warned:
            self._warned.add(about or text)
            self._logger.warning("%s", text)


def refuse_own_stream(name: str) -> None:
    """Raise an `InputError` for a stream that this program has printed itself."""
    if name in {DELIVERED_EVENTS, DEAD_LETTERS}:
        msg = (
            f"the stream '{name}' comes from this program, and is no input of a run. To send dead"
            " letters, use target-liveintent replay FILE, or target-liveintent replay - for"
            " standard input"
        )
        raise InputError(msg)


def unmapped_message(streams: Iterable[str], mapped: Iterable[str]) -> str:
    """Say in a sentence that no stream which came can give an event."""
    return (
        f"no stream in the input ({', '.join(streams)}) is mapped to events. The stream maps name"
        f" only these streams: {', '.join(mapped)}"
    )


def stream_described(name: str, message: Message) -> Stream:
    """Return the stream that a SCHEMA describes; raises an `InputError` if it has no properties."""
    schema = decode_object(message.schema) if message.schema else {}
    if not isinstance(schema.get("properties"), dict):
        msg = (
            f"the SCHEMA of stream '{name}' has no properties: select at least one column in the"
            " tap"
        )
        raise InputError(msg)
    return Stream(name, schema, tuple(message.key_properties or ()))


class RecordValidator:
    """Validates records against the tap's SCHEMA, for `validate_records`.

    Raises:
        InvalidJSONSchema: If the schema is not a JSON schema.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        import jsonschema_rs  # noqa: PLC0415 (only needed where records are validated)

        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except ValueError:
            msg = "the tap's SCHEMA is not a valid JSON schema"
            raise InvalidJSONSchema(msg) from None

    def violation(self, record: dict[str, Any]) -> str | None:
        """Return the place and the rule where a record breaks the schema; None if it does not."""
        for error in self._validator.iter_errors(record):
            place = ".".join(str(step) for step in error.instance_path) or "the record"
            msg = f"{place} breaks the rule '{error.schema_path[-1]}'"
            return scrub(msg)
        return None


def _fetch_nothing(uri: str) -> Any:
    """Rejects references to other schemas: a tap's schema must not cause network traffic."""
    msg = f"{uri} is not fetched"
    raise ValueError(msg)
