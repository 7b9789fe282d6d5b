"""Converts records to conversions: applies the stream map, and then builds the event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.conversions.fast_path import (
    CHANCE,
    OddRecordError,
    generated_source,
    odd,
    usual_way,
)
from target_liveintent.mapping.expressions import FILTER, TapRecord
from target_liveintent.mapping.functions import coalesce
from target_liveintent.mapping.stream_maps import MappingFailed, Stream, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.remarks import CAREFUL_WAY, Remark
from target_liveintent.settings import EventDefaults


class RecordConverter:
    """Converts the records of one stream according to a plan.

    Attributes:
        code: The generated code that converts usual records; empty if no such code exists.
    """

    def __init__(
        self,
        stream: Stream,
        plan: StreamPlan,
        defaults: EventDefaults,
        suppressions: Suppressions | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._plan = plan
        self._now = now
        self._builder = EventBuilder(
            stream.name,
            plan.properties,
            stream.keys,
            defaults,
            suppressions,
            mapped_keys=plan.keys,
            undeclared=plan.undeclared,
        )
        inputs = {name: f"record.get({name!r})" for name in self._builder.columns}
        inputs |= {name: origin.code for name, origin in plan.origins.items()}
        test = inputs.pop(FILTER, None)
        self._usual_way = usual_way(
            self._builder,
            inputs,
            plan.environment,
            test=test,
            empty=plan.deletion_columns,
            consents=plan.consent_columns,
        )
        self.code = "" if self._usual_way is None else generated_source(self._usual_way)
        if any(origin.has_chance for origin in plan.origins.values()):
            self._usual_way, self.code = _leave_to_chance, ""

    def convert(
        self, record: TapRecord, violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Return the conversion or the rejection of a record; None if the map drops the record.

        A row that was deleted in the source is rejected before mapping, because the map may drop
        the column that marks the deletion.

        Args:
            record: The record as the tap sent it.
            violation: How the record violates the tap's schema; None if the record is valid.
        """
        if violation is not None or self._usual_way is None:
            return self.convert_carefully(record, violation)
        try:
            return self._usual_way(record, self._now())
        except OddRecordError as odd_record:
            remark = Remark(CAREFUL_WAY, odd_record.cause)
        result = self.convert_carefully(record)
        if result is None:
            return None
        return msgspec.structs.replace(result, remarks=(*result.remarks, remark))

    def convert_carefully(
        self, record: TapRecord, violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Return the same as `convert`, but without a call of the generated function."""
        for column in self._plan.deletion_columns:
            mark = coalesce(record.get(column))
            if mark is not None and mark is not False:
                return self._builder.reject_unmapped(column, record, reason="deleted")
        for column in self._plan.consent_columns:
            if column in record and not coerce.consent(record[column]):
                return self._builder.reject_unmapped(column, record, reason="no_consent")
        mapped = self._plan.transform(record)
        if isinstance(mapped, MappingFailed):
            return self._builder.reject_unmapped(
                mapped.column, record, mapped.kind, event_id=mapped.event_id
            )
        if mapped is None:
            return None
        return self._builder.build(mapped, record, self._now(), violation)


def _leave_to_chance(_: TapRecord, __: float) -> NoReturn:
    """Raise an `OddRecordError`, so that each expression is evaluated only once."""
    odd(CHANCE)
