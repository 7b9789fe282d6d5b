"""The converter: what becomes of a record on its way through map and event builder."""

from typing import Any

import pytest
from unit_support import ADDRESS, DEFAULTS, MD5, NOW, TIME

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.mapping.converter import (
    DELETION_COLUMNS,
    Expression,
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
    return {"event_time": record["at"], "email": record["mail"], "value": record["total"]}


def plan_that_reads(*expressions: str) -> StreamPlan:
    """Return a plan whose map drops what it does not name, and computes notes from expressions."""
    origins = {
        f"note_{n}": Expression(f"note_{n}", text, frozenset(), str, "0")
        for n, text in enumerate(expressions)
    }
    return StreamPlan("orders", True, COLUMNS, transform=mapped, origins=origins)


def converter(plan: StreamPlan | None = None, now: float = NOW) -> RecordConverter:
    builder = EventBuilder("orders", COLUMNS, ("id",), DEFAULTS, None)
    return RecordConverter(plan or plan_that_reads(), builder, {}, lambda: now)


def converted(plan: StreamPlan | None = None, **columns: Any) -> Any:
    return converter(plan).convert({**RECORD, **columns})


def test_a_conversion() -> None:
    """The event has the mapped columns; its ID comes from the keys of the record itself."""
    result, other = converted(), converted(id=8)
    assert isinstance(result, Conversion)
    assert (result.stream, result.event.user_data.md5) == ("orders", MD5)
    assert b'"value":12.5' in result.body
    assert other.event_id != result.event_id
    assert converted(id="filtered") is None


BREACH = "id breaks the rule 'type'"


@pytest.mark.parametrize(
    ("key", "violation", "rejected"),
    [
        # The column and the kind of the failure, and the keys of the record.
        ("failing", None, ("mapping_failed", "value", "TypeError", {"id": "failing"})),
        (7, BREACH, ("schema_violation", None, BREACH, None)),
    ],
)
def test_a_rejection(key: Any, violation: str | None, rejected: tuple[Any, ...]) -> None:
    """A failing expression, and a record that breaks the tap's schema, reject the record."""
    result = converter().convert({**RECORD, "id": key}, violation)
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.detail, result.keys) == rejected


@pytest.mark.parametrize(
    ("changes", "event_time"),
    [
        ({}, TIME),
        ({"at": "2026-08-01T16:00:00Z"}, 1_785_600_000),
        ({"mail": None}, TIME),
        *(({"at": at}, None) for at in ("soon", None)),
        *(({"id": key}, None) for key in ("filtered", "failing")),
        ({"_sdc_deleted_at": "2026-08-02T00:00:00Z"}, None),
        ({"_sdc_deleted_at": None}, TIME),
    ],
)
def test_the_event_time_of_a_record(changes: dict[str, Any], event_time: int | None) -> None:
    """It is that of its event, also if the record is rejected, but not if its row was deleted."""
    assert converter(now=0.0).event_time({**RECORD, **changes}) == event_time


# Rows that were deleted in the source

WHEN = "2026-07-31T00:00:00+00:00"
FIRST, SECOND = DELETION_COLUMNS


@pytest.mark.parametrize(
    ("column", "deleted"),
    [(SECOND, WHEN), *((FIRST, deleted) for deleted in (WHEN, 1_785_500_000, True, {"at": WHEN}))],
)
def test_a_deleted_row_is_dropped(column: str, deleted: Any) -> None:
    """It does not reach the map, which may drop the column or need what the row has no more."""
    result = converted(id="failing", **{column: deleted})
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.columns) == ("deleted", column, {})
    assert result.keys == {"id": "failing"}


@pytest.mark.parametrize("empty", [None, "", " ", False])
def test_a_row_that_is_there_is_not_dropped(empty: Any) -> None:
    assert isinstance(converted(**dict.fromkeys(DELETION_COLUMNS, empty)), Conversion)


@pytest.mark.parametrize(
    "expression",
    ["_sdc_deleted_at", "get('_sdc_deleted_at')", "[x for x in [_['_sdc_deleted_at']]][0]"],
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
    plan, record = StreamPlan.without_map("orders", COLUMNS), {"event_time": TIME, "email": ADDRESS}
    assert plan.passes_others
    assert isinstance(converted(plan, **record), Conversion)
    assert converted(plan, **record, _sdc_deleted_at=WHEN).reason == "deleted"
