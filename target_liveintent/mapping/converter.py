"""Converts records to conversions: applies the stream map, and then builds the event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.conversions.builder import EventBuilder, Permission
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.conversions.fast_path import (
    CHANCE,
    SlowPathError,
    compile_fast_path,
    generated_source,
    use_slow_path,
)
from target_liveintent.mapping.expressions import FILTER, TapRecord
from target_liveintent.mapping.functions import coalesce
from target_liveintent.mapping.stream_maps import Computed, MappingFailed, Stream, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.remarks import SLOW_PATH, Remark
from target_liveintent.settings import EventDefaults


class RecordWalk(NamedTuple):
    """The result of a record, and the steps that lead to it.

    Attributes:
        record: The record as the tap sent it.
        result: As `RecordConverter.convert` returns it.
        computed: The values of the expressions, up to the first failure; empty if the record was
            rejected before mapping.
        mapped: The mapped record; None if there is none.
        permission: Whether consent and the suppression list allow the event to be sent; None
            without a mapped record.
    """

    record: TapRecord
    result: Conversion | Rejection | None
    computed: tuple[Computed, ...] = ()
    mapped: TapRecord | None = None
    permission: Permission | None = None


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
        self._fast_path = compile_fast_path(
            self._builder,
            inputs,
            plan.environment,
            test=test,
            empty=plan.deletion_columns,
            consents=plan.consent_columns,
        )
        self.code = "" if self._fast_path is None else generated_source(self._fast_path)
        if any(origin.has_chance for origin in plan.origins.values()):
            self._fast_path, self.code = _always_slow, ""

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
        if violation is not None or self._fast_path is None:
            return self.convert_on_slow_path(record, violation)
        try:
            return self._fast_path(record, self._now())
        except SlowPathError as slow_path:
            remark = Remark(SLOW_PATH, slow_path.cause)
        result = self.convert_on_slow_path(record)
        if result is None:
            return None
        return msgspec.structs.replace(result, remarks=(*result.remarks, remark))

    def convert_on_slow_path(
        self, record: TapRecord, violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Return the same as `convert`, but without a call of the generated function."""
        rejected = self._rejected_unmapped(record)
        if rejected is not None:
            return rejected
        return self._built(record, self._plan.transform(record), violation)

    def walk(self, record: TapRecord, violation: str | None = None) -> RecordWalk:
        """Return the result of a record as `convert_on_slow_path` does, with the steps to it."""
        rejected = self._rejected_unmapped(record)
        if rejected is not None:
            return RecordWalk(record, rejected)
        computed = (*self._plan.computed(record),)  # (Once, because an expression may be random.)
        mapped = self._plan.mapped(record, computed)
        result = self._built(record, mapped, violation)
        if mapped is None or isinstance(mapped, MappingFailed):
            return RecordWalk(record, result, computed)
        permission = self._builder.permission(mapped, record)
        return RecordWalk(record, result, computed, mapped, permission)

    def derived_id(self, record: TapRecord) -> str | None:
        """Return the ID of a record's event, also of a record that the map drops.

        The result is None if only the mapped record would show the ID.
        """
        event_id = self._plan.value_of("event_id", record)
        if self._plan.keys is not None:
            names = self._plan.keys
            keys = {name: self._plan.value_of(name, record) for name in names}
            return self._builder.unique_id(event_id, keys, record)
        return self._builder.unique_id(event_id, record, record)

    def _rejected_unmapped(self, record: TapRecord) -> Rejection | None:
        """Return the rejection of a deleted row, or of one without consent; None of another."""
        for column in self._plan.deletion_columns:
            mark = coalesce(record.get(column))
            if mark is not None and mark is not False:
                return self._builder.reject_unmapped(column, record, reason="deleted")
        for column in self._plan.consent_columns:
            if column in record and not coerce.consent(record[column]):
                return self._builder.reject_unmapped(column, record, reason="no_consent")
        return None

    def _built(
        self, record: TapRecord, mapped: TapRecord | MappingFailed | None, violation: str | None
    ) -> Conversion | Rejection | None:
        """Return the conversion or the rejection of a record to which the map was applied."""
        if isinstance(mapped, MappingFailed):
            return self._builder.reject_unmapped(
                mapped.column, record, mapped.kind, event_id=mapped.event_id
            )
        if mapped is None:
            return None
        return self._builder.build(mapped, record, self._now(), violation)


def _always_slow(_: TapRecord, __: float) -> NoReturn:
    """Raise a `SlowPathError`, so that each expression is evaluated only once."""
    use_slow_path(CHANCE)
