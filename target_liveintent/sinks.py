"""Sinks. Each sink processes the records of a stream according to one of the stream's plans."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

from singer_sdk.exceptions import MissingKeyPropertiesError

from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.conversions.event_model import Rejection
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.run.run import Run
from target_liveintent.singer.streams import RecordRules, RecordValidator

_LOGGER = logging.getLogger("target-liveintent")


class SkippedSink:
    """Counts the records of a stream that gives no events, as filtered or as unmapped."""

    columns: frozenset[str] | None = frozenset()
    """The columns of a record that the sink needs; None means all columns."""

    def __init__(self, plan: StreamPlan, run: Run) -> None:
        self._run, self._stream = run, plan.stream
        self._counts = run.counts.of(plan.stream)
        self._reason = "filtered" if plan.named and not plan.is_used else "unmapped"

    def process_record(self, _: dict[str, Any]) -> None:
        """Count a record."""
        self._counts.read += 1
        self._run.leave_out(self._stream, self._reason)


class LiveIntentSink:
    """Converts the records of a stream according to a plan, and passes the results to the run."""

    def __init__(self, stream: Stream, plan: StreamPlan, run: Run, rules: RecordRules) -> None:
        self._stream, self._counted_as = stream, plan.stream
        self._run = run
        self._must_have_keys = rules.on_rejection == "fail"
        self._warn_once = functools.cache(_LOGGER.warning)
        self._counts = counts = run.counts.of(plan.stream)
        self._schema_check = RecordValidator(stream.schema) if rules.validate_records else None
        self._converter = RecordConverter(stream, plan, rules.events, rules.suppressions)
        counts.mapped |= plan.identifying
        # Without keys, event IDs are derived from the whole mapped record.
        keys = lasting_keys(stream.keys) if plan.keys is None else plan.keys
        needs_all = plan.dropped is not None and not keys
        if plan.reads is None or needs_all or self._schema_check is not None:
            self.columns: frozenset[str] | None = None
        else:
            protective = (*plan.deletion_columns, *plan.consent_columns)
            self.columns = plan.reads.union(stream.keys, keys, protective)

    def process_record(self, record: dict[str, Any]) -> None:
        """Convert a record, and pass the result to the run.

        Raises:
            MissingKeyPropertiesError: If the record lacks a key property that its event ID needs,
                and `on_rejection` is `fail`.
        """
        self._counts.read += 1
        violation = self._schema_check.violation(record) if self._schema_check else None
        result = self._converter.convert(record, violation)
        if type(result) is Rejection:  # For each record; `isinstance` takes longer.
            self._fail_or_warn(result)
        self._run.take(self._counted_as, result)

    def _fail_or_warn(self, rejection: Rejection) -> None:
        """Raise an error for a missing key if `on_rejection` is `fail`; warn of a failed map."""
        if self._must_have_keys and rejection.reason == "missing_key":
            keys = ", ".join(self._stream.keys)
            msg = f"a record of stream '{self._stream.name}' lacks a key ({keys}): map event_id"
            raise MissingKeyPropertiesError(msg)
        if rejection.reason == "mapping_failed":
            said = "the expression for '%s' in the map of '%s' failed for a record (%s)"
            self._warn_once(said, rejection.field, self._counted_as, rejection.detail)


StreamSink = SkippedSink | LiveIntentSink


def needed_columns(sinks: Sequence[StreamSink], stream: Stream) -> list[str] | None:
    """Return the columns that the sinks need; None means all columns.

    Columns of the SCHEMA come first, in its order, and then the other columns by name.
    """
    needed: frozenset[str] = frozenset()
    for sink in sinks:
        if sink.columns is None:
            return None
        needed |= sink.columns
    there = [column for column in stream.schema["properties"] if column in needed]
    return there + sorted(needed.difference(there))
