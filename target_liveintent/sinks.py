"""One stream: a record in, and by way of map and event builder into a batch or a dead letter."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk import metrics
from singer_sdk.exceptions import MissingKeyPropertiesError
from singer_sdk.sinks import Sink

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Rejection
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.reasons import REASONS
from target_liveintent.singer.validation import RecordValidator, violation_of
from target_liveintent.storage.dead_letters import is_replayed, to_replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.sinks.core import BaseJSONSchemaValidator

    from target_liveintent.conversions.model import Conversion
    from target_liveintent.mapping.converter import StreamPlan
    from target_liveintent.run.counts import StreamCounts
    from target_liveintent.target import TargetLiveIntent


class LiveIntentSink(Sink):
    """Takes the records of one stream, as the tap sent them, through one map."""

    plan: StreamPlan
    counts: StreamCounts
    converter: RecordConverter | None

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
        self._suppressions = target.suppressions
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
        self.converter = None
        if gives_events:
            builder = EventBuilder(
                self.stream_name,
                plan.properties,
                self.key_properties,
                self._settings.events,
                self._suppressions,
            )
            self.converter = RecordConverter(plan, builder, self.counts.left_out)

    @property
    def reads(self) -> frozenset[str] | None:
        """The columns of a record that are needed; None for all."""
        if self.converter is None:
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
        if self.converter is None:
            self._count_unused(counts)
            return
        violation = None if self._validator is None else violation_of(record, self._validator)
        self._give(self.converter.convert(record, violation))

    def _give(self, result: Conversion | Rejection | None) -> None:
        """Put an event on the way, or give the record the outcome that it has instead."""
        if isinstance(result, Rejection):
            self._warn(result)
        self._run.take(self._counted_as, result)

    def _count_unused(self, counts: StreamCounts) -> None:
        if self.plan.named and self.plan.transform is None:
            counts.filtered += 1
        else:
            counts.unmapped += 1

    def _warn(self, rejection: Rejection) -> None:
        if rejection.reason == "missing_key" and self._settings.fail_on_invalid:
            msg = (
                f"a record of stream '{self.stream_name}' lacks key properties"
                f" ({', '.join(self.key_properties)}) and has no event_id"
            )
            raise MissingKeyPropertiesError(msg)
        if rejection.reason == "mapping_failed":
            self._warn_of_mapping(rejection)

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
        assert self.converter is not None  # noqa: S101 (letters give events)
        result = self.converter.convert(to_replay(record), None)
        forbidden = isinstance(result, Rejection) and not REASONS[result.reason].letter
        asked = is_replayed(record, unconfirmed=self._settings.replay_unconfirmed)
        if not asked and not forbidden:
            self._run.carry_over(self._counted_as, record)
            return
        # Should it be refused again, its letter names the stream that it came from.
        self._give(result and msgspec.structs.replace(result, stream=str(record.get("stream"))))
