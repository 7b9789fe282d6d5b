"""Records of taps take the usual way, and give the same in it, whatever their map computes."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from preset_records import sample
from unit_support import ADDRESS, DEFAULTS, NOW, TIME, convert_both_ways

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.mapping.presets import PRESETS, expand_presets
from target_liveintent.mapping.stream_maps import RecordConverter, StreamMaps

SHOWN = {"event_id": "id", "event_time": "at", "email": "mail", "__else__": None}
MAP: dict[str, Any] = {**SHOWN, "value": "float(total)", "__filter__": "total is not None"}
RECORD: dict[str, Any] = {"id": "1", "at": TIME, "mail": ADDRESS, "total": Decimal("9.90")}


def converter(
    definition: Mapping[str, Any] | None,
    columns: Iterable[str],
    keys: tuple[str, ...] = ("id",),
    stream: str = "orders",
) -> RecordConverter:
    """Return the converter of a stream with a map, or without one."""
    maps = {} if definition is None else {stream: definition}
    (plan,) = StreamMaps(maps, {"shop": "x"}).plans(stream, {"properties": dict.fromkeys(columns)})
    builder = EventBuilder(stream, plan.properties, keys, DEFAULTS)
    return RecordConverter(plan, builder, {}, lambda: NOW)


def is_usual(made: RecordConverter, record: dict[str, Any]) -> bool:
    """Return whether the usual way knows what becomes of a record."""
    convert_both_ways(made, record)
    try:
        made._usual(record, NOW, {})  # noqa: SLF001 (what is tested)
    except Exception:  # noqa: BLE001 (an odd record may raise anything)
        return False
    return True


@pytest.mark.parametrize("total", [Decimal("9.5"), "9,50"])
def test_a_column_that_no_event_has(total: Any) -> None:
    """If it cannot be computed, the record is rejected, whatever its other columns are like."""
    made = converter({**MAP, "value": "total", "number": "int(mail)"}, RECORD)
    result = convert_both_ways(made, {**RECORD, "total": total})
    assert isinstance(result, Rejection)
    assert (result.reason, result.field) == ("mapping_failed", "number")


@pytest.mark.parametrize("name", PRESETS)
def test_the_records_of_taps_are_usual(name: str) -> None:
    """So are nearly all without a value, but for those that become no event."""
    stream, keys, record, _ = sample(name, NOW)
    definition = expand_presets({stream: name}, {})[0][stream]
    made = converter(definition, record, tuple(keys), stream)
    assert is_usual(made, record)
    usual, odd = 0, []
    for column in record:
        changed = {**record, column: None}
        result = made.convert(changed)
        if is_usual(made, changed) or isinstance(result, Rejection):
            usual += 1
        else:
            odd.append(column)
    assert usual >= 0.95 * len(record), odd


def test_nearly_all_orders_are_usual() -> None:
    """Of the orders of a shop with buyers of all kinds, 95 % take the usual way."""
    orders = pytest.importorskip("benchmarks.orders")
    bench = pytest.importorskip("benchmarks.bench")
    lines = b"".join(orders.blocks(1_000, now=int(NOW))).splitlines()
    records = [json.loads(line)["record"] for line in lines if b'"RECORD"' in line]
    made = converter(bench._STREAM_MAPS["orders"], records[0])  # noqa: SLF001
    assert sum(is_usual(made, record) for record in records) >= 950
    assert isinstance(made.convert(records[0]), Conversion)


PAGED = {**MAP, "source_url": "coalesce(get('page'), '/')", "ip": "_.get('ip')"}
DEFINITIONS: list[dict[str, Any] | None] = [
    None,
    {},
    SHOWN,
    MAP,
    {**MAP, "__filter__": "total > 5 and config['shop'] == 'x'"},
    {**MAP, "email": "get('mail').strip()", "value": "[t for t in [total]][0]"},
    {**MAP, "event_id": "f'{id}-{__stream_name__}'", "user_agent": "'a' 'b' + id"},
    PAGED,
    {**MAP, "value": "amount(total)", "order_id": "str(id) if total is 1 else md5(id)"},
    {"email": "mail", "event_time": "at", "mail": None},
    {**MAP, "event_time": "datetime.datetime.strptime('2026-07-31', '%Y-%m-%d').isoformat()"},
]
CHANGES: list[dict[str, Any]] = [
    {},
    *({"total": total} for total in (None, "12.50", "x", 7, 1e300)),
    *({"id": key} for key in (None, 7, "a b", [1], ADDRESS)),
    *({"at": at} for at in (None, "2026-07-31T10:00:00", "soon")),
    *({"mail": mail} for mail in (None, "", "x", f" {ADDRESS} ", 5)),
    *({"_sdc_deleted_at": at} for at in (None, "", "2026-07-31T00:00:00Z")),
    {"page": "https://shop.example/?li_did=x"},
    {"event_id": "own", "email": ADDRESS, "event_time": TIME, "value": 1, "page": "/x"},
]


@pytest.mark.parametrize(
    ("definition", "changes"),
    [
        *((one, {}) for one in DEFINITIONS),
        *((one, changes) for changes in CHANGES for one in (None, SHOWN, PAGED)),
    ],
)
def test_both_ways_map_the_same(definition: Any, changes: dict[str, Any]) -> None:
    record = {**RECORD, **changes}
    columns = {**record, "event_id": 1, "event_time": 1, "email": 1} if not definition else record
    convert_both_ways(converter(definition, columns), record)
    convert_both_ways(converter(definition, columns, ()), record)
