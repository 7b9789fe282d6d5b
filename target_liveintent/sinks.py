"""One stream: a record in, and by way of map and event builder into a batch or a dead letter."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
from singer_sdk import metrics
from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord, MissingKeyPropertiesError
from singer_sdk.sinks import Sink
from singer_sdk.sinks.core import BaseJSONSchemaValidator

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.privacy.identity import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.singer.stream_maps import MappingFailedError
from target_liveintent.storage.dead_letters import is_replayed, to_replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_liveintent.run.counts import StreamCounts
    from target_liveintent.singer.stream_maps import StreamPlan
    from target_liveintent.target import TargetLiveIntent


def _fetch_nothing(uri: str) -> Any:
    """A tap's schema must not make this machine call anybody."""
    msg = f"{uri} is not fetched"
    raise ValueError(msg)


class RecordValidator(BaseJSONSchemaValidator):
    """Judges records by the tap's schema, with jsonschema-rs for its speed."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile the schema.

        Raises:
            InvalidJSONSchema: If it is none.
        """
        super().__init__(schema)
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except ValueError:
            msg = "the tap's SCHEMA is no JSON schema"
            raise InvalidJSONSchema(msg) from None

    def validate(self, record: dict[str, Any]) -> None:
        """Check a record.

        Raises:
            InvalidRecord: Names the place and the rule, never the value.
        """
        for error in self._validator.iter_errors(record):
            place = ".".join(str(step) for step in error.instance_path) or "the record"
            rule = ".".join(str(step) for step in error.schema_path[-1:])
            msg = f"{place} breaks the rule '{rule}'"
            raise InvalidRecord(msg, {})


def violation_of(record: dict[str, Any], validator: BaseJSONSchemaValidator) -> str | None:
    """How a record breaks the tap's schema, without its values; None if it does not."""
    try:
        validator.validate(record)
    except InvalidRecord as error:
        return scrub(error.error_message)
    return None


Converter = Callable[[dict[str, Any], str | None], Conversion | Rejection | None]
"""A record as the tap sent it, and how it breaks the tap's schema if that was asked → its event, or
why there is none; None if the map's filter drops it."""


def converter(plan: StreamPlan, builder: EventBuilder, left_out: dict[str, int]) -> Converter:
    """Join a stream's map and its builder.

    Args:
        plan: The stream's map, which lets records through.
        builder: The stream's builder.
        left_out: Counts columns that could not be used.
    """
    transform, build = plan.transform, builder.build
    assert transform is not None  # noqa: S101 (there is a builder)

    def convert(record: dict[str, Any], violation: str | None) -> Conversion | Rejection | None:
        try:
            mapped = transform(record)
        except MappingFailedError as failure:
            return builder.reject_unmapped(failure.column, record, failure.kind)
        if mapped is None:
            return None
        return build(mapped, record, time.time(), left_out, violation)

    return convert


class LiveIntentSink(Sink):
    """Takes the records of one stream, as the tap sent them, through one map."""

    plan: StreamPlan
    counts: StreamCounts
    convert: Converter | None

    def __init__(
        self,
        target: TargetLiveIntent,
        stream_name: str,
        schema: dict[str, Any],
        key_properties: Sequence[str] | None,
    ) -> None:
        """Make a sink for a stream; `use` says how its records are treated.

        Args:
            target: The target, whose run takes the events.
            stream_name: The tap's name of the stream.
            schema: The tap's schema.
            key_properties: The tap's key properties.
        """
        super().__init__(target, stream_name, copy.deepcopy(schema), key_properties)
        self._run = target.run
        self._settings = target.settings

    def use(self, plan: StreamPlan, *, gives_events: bool) -> None:
        """Set how records are treated, and resolve the columns once.

        Args:
            plan: The map.
            gives_events: Whether events can come of it; if not, records are only counted.
        """
        self.plan = plan
        self._counted_as = plan.stream
        self.counts = self._run.counts.of(plan.stream)
        self._read_before = self.counts.read
        self.record_counter_metric.tags[metrics.Tag.STREAM] = plan.stream
        self.convert = None
        if gives_events:
            builder = EventBuilder(
                self.stream_name,
                plan.properties,
                self.key_properties,
                self._settings.events,
                self._run.suppressions,
            )
            self.convert = converter(plan, builder, self.counts.left_out)

    @property
    def reads(self) -> frozenset[str] | None:
        """The columns of a record that are needed; None for all."""
        if self.convert is None:
            return frozenset()
        needs_all = (
            self.plan.reads is None
            or self._validator is not None
            # Without keys, a derived event ID is made of the whole mapped record.
            or (not self.key_properties and self.plan.passes_others)
        )
        return None if needs_all else self.plan.reads | set(self.key_properties)  # type: ignore[operator]

    def get_validator(self) -> BaseJSONSchemaValidator | None:
        """Validate only where the user asks for it: the event builder judges each value it uses."""
        return RecordValidator(self.schema) if self.config.get("validate_records") else None

    def process_record(
        self,
        record: dict[str, Any],
        context: dict[str, Any] | None = None,  # noqa: ARG002 (the SDK's signature)
    ) -> None:
        """Give one record its fate, or put its event on the way.

        Args:
            record: As the tap sent it.
            context: The SDK's; not used.

        Raises:
            MissingKeyPropertiesError: If `on_invalid` is `fail` and that is what is wrong.
        """
        counts = self.counts
        counts.read += 1
        if self.convert is None:
            self._count_unused(counts)
            return
        violation = None if self._validator is None else violation_of(record, self._validator)
        self._give(self.convert(record, violation))

    def _give(self, result: Conversion | Rejection | None) -> None:
        """Put an event on the way, or give the record the fate that it has instead."""
        if type(result) is Conversion:
            self._run.deliver(self._counted_as, result)
        elif isinstance(result, Rejection):
            self._reject(result)
        else:
            self.counts.filtered += 1

    def _count_unused(self, counts: StreamCounts) -> None:
        if self.plan.named and self.plan.transform is None:
            counts.filtered += 1
        else:
            counts.unmapped += 1

    def _reject(self, rejection: Rejection) -> None:
        if rejection.reason == "missing_key" and self._settings.fail_on_invalid:
            msg = (
                f"a record of stream '{self.stream_name}' lacks key properties"
                f" ({', '.join(self.key_properties)}) and has no event_id"
            )
            raise MissingKeyPropertiesError(msg)
        if rejection.reason == "mapping_failed":
            self._warn_of_mapping(rejection)
        self._run.reject(self.plan.stream, rejection)

    def _warn_of_mapping(self, rejection: Rejection) -> None:
        column = str(rejection.field)
        if column not in self._warned_missing_fields:
            self._warned_missing_fields.add(column)
            self.logger.warning(
                "the expression for '%s' of stream '%s' failed (%s): a dead letter each time",
                column,
                self.plan.stream,
                rejection.detail,
            )

    def process_batch(self, context: dict[str, Any]) -> None:  # noqa: ARG002
        """Hand over what waits for its batch to fill.

        Args:
            context: The SDK's; not used.
        """
        self._run.submit(self.plan.stream)

    def clean_up(self) -> None:
        """Log the SDK's metric of records, once: a line for each batch would drown the rest."""
        # (`increment` would log by itself after a minute, and then nought would follow.)
        self.record_counter_metric.value = self.counts.read - self._read_before
        super().clean_up()


class DeadLetterSink(LiveIntentSink):
    """Takes dead letters that are piped back; they go through no map."""

    @property
    def reads(self) -> None:
        """All columns: a letter is more than a mapped record."""

    def process_record(
        self,
        record: dict[str, Any],
        context: dict[str, Any] | None = None,  # noqa: ARG002 (the SDK's signature)
    ) -> None:
        """Put a letter on the way again; keep it, if that would be in vain or a double.

        Args:
            record: The letter.
            context: The SDK's; not used.
        """
        self.counts.read += 1
        assert self.convert is not None  # noqa: S101 (letters give events)
        result = self.convert(to_replay(record), None)
        forbidden = isinstance(result, Rejection) and not REASONS[result.reason].letter
        asked = is_replayed(record, unconfirmed=self._settings.replay_unconfirmed)
        if not asked and not forbidden:
            self._run.carry_over(self._counted_as, record)
            return
        # Should it be refused again, its letter names the stream that it came from.
        self._give(result and msgspec.structs.replace(result, stream=str(record.get("stream"))))
