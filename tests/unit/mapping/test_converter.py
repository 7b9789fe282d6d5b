"""The converter: what becomes of a record on its way through map and event builder."""

from typing import Any

import pytest
from unit_support import ADDRESS, DEFAULTS, MD5, NOW, TIME

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.mapping.stream_maps import (
    DELETION_COLUMNS,
    RecordConverter,
    StreamMaps,
    StreamPlan,
)

MAP: dict[str, Any] = {
    "__filter__": "id != 'filtered'",
    "event_time": "at",
    "email": "mail",
    "value": "total if id != 'failing' else int(mail)",
    "__else__": None,
}
RECORD = {"id": 7, "at": TIME, "mail": ADDRESS, "total": "12.50"}


def converter(definition: dict[str, Any], now: float = NOW) -> RecordConverter:
    names = dict.fromkeys((*RECORD, *DELETION_COLUMNS))
    (plan,) = StreamMaps({"orders": definition}, {}).plans("orders", {"properties": names})
    builder = EventBuilder("orders", plan.properties, ("id",), DEFAULTS, None)
    return RecordConverter(plan, builder, {}, lambda: now)


def converted(*, violation: str | None = None, order_id: str = "'7'", **columns: Any) -> Any:
    """Return what becomes of a record with these columns; `order_id` is an expression."""
    return converter({**MAP, "order_id": order_id}).convert({**RECORD, **columns}, violation)


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
        ("failing", None, ("mapping_failed", "value", "ValueError", {"id": "failing"})),
        (7, BREACH, ("schema_violation", None, BREACH, None)),
    ],
)
def test_a_rejection(key: Any, violation: str | None, rejected: tuple[Any, ...]) -> None:
    """A failing expression, and a record that breaks the tap's schema, reject the record."""
    result = converted(id=key, violation=violation)
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.detail, result.keys) == rejected


@pytest.mark.parametrize(
    ("changes", "event_time"),
    [
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
    assert converter(MAP, now=0.0).event_time({**RECORD, **changes}) == event_time


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
    ("expression", "decides"),
    [
        *((one, True) for one in ("_sdc_deleted_at", "get('_sdc_deleted_at')")),
        ("[x for x in [_['_sdc_deleted_at']]][0]", True),
        *((f"get('{one}')", False) for one in ("my_sdc_deleted_at", "_sdc_deleted_at_2")),
    ],
)
def test_a_map_that_reads_the_column_decides_itself(expression: str, decides: bool) -> None:
    """That goes for one of the columns: the other still marks a deleted row."""
    result = converted(order_id=expression, **{FIRST: WHEN})
    assert isinstance(result, Conversion) == decides
    assert converted(order_id=expression, **{SECOND: WHEN}).reason == "deleted"


def test_records_without_a_map() -> None:
    """They are judged as they are; one without columns is rejected like any other."""
    plan = StreamPlan.without_map("orders", ("event_time", "email"))
    made = RecordConverter(plan, EventBuilder("orders", plan.properties, (), DEFAULTS), {})
    for record, reason in (({}, "missing_event_time"), ({FIRST: WHEN}, "deleted")):
        result = made.convert(record)
        assert isinstance(result, Rejection)
        assert result.reason == reason
