"""The converter: what becomes of a record on its way through map and event builder."""

from __future__ import annotations

from typing import Any

import pytest
from unit_support import ADDRESS, DEFAULTS, MD5, NOW, TIME

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.converter import (
    DELETION_COLUMNS,
    FILTER,
    ColumnOrigin,
    MappingFailedError,
    RecordConverter,
    StreamPlan,
)

COLUMNS = ("event_time", "email", "value")
RECORD = {"id": 7, "at": TIME, "mail": ADDRESS, "total": "12.50"}


def mapped(record: dict[str, Any]) -> dict[str, Any] | None:
    """Map a record as a stream map does."""
    if record["id"] == "filtered":
        return None
    if record["id"] == "failing":
        column, kind = "value", "TypeError"
        raise MappingFailedError(column, kind)
    if record["id"] == "misspelled":
        msg = "a mistake"
        raise StreamMappingError(msg)
    return {"event_time": record["at"], "email": record["mail"], "value": record["total"]}


def converter(left_out: dict[str, int] | None = None, now: float = NOW) -> RecordConverter:
    plan = StreamPlan("orders", True, COLUMNS, transform=mapped)
    builder = EventBuilder("orders", COLUMNS, ("id",), DEFAULTS, None)
    return RecordConverter(plan, builder, {} if left_out is None else left_out, lambda: now)


def test_a_conversion() -> None:
    """The event has the mapped columns; its ID comes from the keys of the record itself."""
    result = converter().convert(RECORD)
    assert isinstance(result, Conversion)
    assert (result.stream, result.identity.md5) == ("orders", MD5)
    assert b'"value":12.5' in result.body
    other = converter().convert({**RECORD, "id": 8})
    assert isinstance(other, Conversion)
    assert other.event_id != result.event_id


def test_a_filtered_record() -> None:
    assert converter().convert({**RECORD, "id": "filtered"}) is None


def test_a_failing_expression() -> None:
    """The rejection has the column and the kind of the failure, and the keys of the record."""
    result = converter().convert({**RECORD, "id": "failing"})
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.detail) == ("mapping_failed", "value", "TypeError")
    assert result.keys == {"id": "failing"}


def test_a_mistake_in_the_map_ends_the_run() -> None:
    with pytest.raises(StreamMappingError):
        converter().convert({**RECORD, "id": "misspelled"})


def test_a_violation_of_the_schema() -> None:
    """A record that breaks the tap's schema is rejected for that."""
    result = converter().convert(RECORD, "id breaks the rule 'type'")
    assert isinstance(result, Rejection)
    assert (result.reason, result.detail) == ("schema_violation", "id breaks the rule 'type'")


def test_the_clock() -> None:
    """The age of an event is judged by the clock that was given."""
    assert isinstance(converter(now=TIME + 60).convert(RECORD), Conversion)
    late = converter(now=TIME + 400 * 86_400).convert(RECORD)
    assert isinstance(late, Rejection)


def test_columns_that_are_left_out_are_counted() -> None:
    left_out: dict[str, int] = {}
    for _ in range(2):
        assert isinstance(converter(left_out).convert({**RECORD, "total": "?"}), Conversion)
    assert left_out == {"value": 2}


def test_a_plan_drops_its_records_by_default() -> None:
    """A plan without a map reads nothing, gives nothing, and computes nothing."""
    plan = StreamPlan("orders", named=True)
    assert (plan.transform, plan.properties, plan.reads) == (None, (), frozenset())
    assert not plan.passes_others
    assert plan.computed == ()


def test_the_filter_is_not_a_column() -> None:
    origins = {name: ColumnOrigin("1", frozenset()) for name in (FILTER, "value", "email")}
    assert StreamPlan("orders", named=True, origins=origins).computed == ("value", "email")


def test_a_failure_says_nothing_of_the_record() -> None:
    failure = MappingFailedError("value", "TypeError")
    assert failure.args == ("value", "TypeError")
    assert (failure.column, failure.kind) == ("value", "TypeError")


@pytest.mark.parametrize(
    ("changes", "event_time"),
    [
        ({}, TIME),
        ({"at": "2026-08-01T16:00:00Z"}, 1_785_600_000),
        ({"mail": None}, TIME),
        ({"at": "soon"}, None),
        ({"at": None}, None),
        ({"id": "filtered"}, None),
        ({"id": "failing"}, None),
        ({"_sdc_deleted_at": "2026-08-02T00:00:00Z"}, None),
        ({"_sdc_deleted_at": None}, TIME),
    ],
)
def test_the_event_time_of_a_record(changes: dict[str, Any], event_time: int | None) -> None:
    """It is that of its event, also if the record is rejected, but not if its row was deleted."""
    assert converter(now=0.0).event_time({**RECORD, **changes}) == event_time


# Rows that were deleted in the source

WHEN = "2026-07-31T00:00:00+00:00"


def plan_that_reads(*expressions: str) -> StreamPlan:
    """Return a plan whose map drops what it does not name, and computes notes from expressions."""
    origins = {f"note_{n}": ColumnOrigin(text, frozenset()) for n, text in enumerate(expressions)}
    return StreamPlan("orders", True, COLUMNS, transform=mapped, origins=origins)


def converted(plan: StreamPlan, **columns: Any) -> Any:
    builder = EventBuilder("orders", COLUMNS, ("id",), DEFAULTS, None)
    return RecordConverter(plan, builder, {}, lambda: NOW).convert({**RECORD, **columns})


@pytest.mark.parametrize("column", DELETION_COLUMNS)
@pytest.mark.parametrize("deleted", [WHEN, 1_785_500_000, True, {"at": WHEN}], ids=str)
def test_a_deleted_row_is_dropped(column: str, deleted: Any) -> None:
    """It does not reach the map, which may drop the column or need what the row has no more."""
    result = converted(plan_that_reads(), id="failing", **{column: deleted})
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.columns) == ("deleted", column, {})
    assert result.keys == {"id": "failing"}


@pytest.mark.parametrize("column", DELETION_COLUMNS)
@pytest.mark.parametrize("empty", [None, "", " ", False])
def test_a_row_that_is_there_is_not_dropped(column: str, empty: Any) -> None:
    assert isinstance(converted(plan_that_reads(), **{column: empty}), Conversion)


@pytest.mark.parametrize(
    "expression",
    [
        "_sdc_deleted_at",
        "get('_sdc_deleted_at') is None",
        '_.get("_sdc_deleted_at")',
        "[x for x in [record['_sdc_deleted_at']]][0]",
    ],
)
def test_a_map_that_reads_the_column_decides_itself(expression: str) -> None:
    """That goes for one of the columns: the other still marks a deleted row."""
    plan = plan_that_reads("email", expression)
    assert plan.deletion_columns == ("_sdc_lsn_deleted_at",)
    assert isinstance(converted(plan, _sdc_deleted_at=WHEN), Conversion)
    assert converted(plan, _sdc_lsn_deleted_at=WHEN).reason == "deleted"


def test_a_column_of_a_similar_name_is_another() -> None:
    plan = plan_that_reads("my_sdc_deleted_at", "_sdc_deleted_at_2")
    assert plan.deletion_columns == DELETION_COLUMNS


def test_records_without_a_map_are_judged_too() -> None:
    plan = StreamPlan.without_map("orders", COLUMNS)
    record = {"event_time": TIME, "email": ADDRESS}
    assert isinstance(converted(plan, **record), Conversion)
    assert converted(plan, **record, _sdc_deleted_at=WHEN).reason == "deleted"
