"""The converter: what becomes of a record on its way through map and event builder."""

import copy
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from preset_records import sample
from unit_support import (
    ADDRESS,
    DEFAULTS,
    MD5,
    NOW,
    TIME,
    convert_both_ways,
    each_of,
    name_of,
    remarks_of,
)

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.mapping import expressions
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.presets import PRESETS, preset_columns
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, Stream, StreamMaps
from target_liveintent.remarks import SLOW_PATH, Remark

MAP: dict[str, Any] = {
    "__filter__": "id != 'filtered'",
    "event_time": "at",
    "email": "mail",
    "value": "total if id != 'failing' else int(mail)",
    "__else__": None,
}
RECORD = {"id": 7, "at": TIME, "mail": ADDRESS, "total": "12.50"}


def converter(
    definition: Mapping[str, Any] | None,
    columns: Iterable[str] = (*RECORD, *DELETION_COLUMNS, *map(str.upper, DELETION_COLUMNS)),
    keys: tuple[str, ...] = ("id",),
    stream: str = "orders",
    now: float = NOW,
) -> RecordConverter:
    """Return the converter of a stream with a map, or without one."""
    maps = {} if definition is None else {stream: definition}
    schema = {"properties": dict.fromkeys(columns)}
    (plan,) = StreamMaps(maps, {"shop": "x"}).plans(stream, schema, keys)
    return RecordConverter(Stream(stream, schema, keys), plan, DEFAULTS, now=lambda: now)


def converted(*, violation: str | None = None, order_id: str = "'7'", **columns: Any) -> Any:
    """Return what becomes of a record with these columns; `order_id` is an expression."""
    return converter({**MAP, "order_id": order_id}).convert({**RECORD, **columns}, violation)


def test_an_event_has_the_mapped_columns() -> None:
    """The event has the mapped columns; its ID comes from the keys of the record itself."""
    result, other = converted(), converted(id=8)
    assert isinstance(result, Conversion)
    assert (result.stream, result.event.user_data.md5) == ("orders", MD5)
    assert b'"value":12.5' in result.body
    assert other.event_id != result.event_id
    assert converted(id="filtered") is None


BREACH = "id breaks the rule 'type'"


@each_of(
    "key, violation, rejected",
    {
        # The column and the kind of the failure, and the keys of the record.
        "failing expression": (
            "failing",
            None,
            ("mapping_failed", "value", "ValueError", {"id": "failing"}),
        ),
        "broken schema": (7, BREACH, ("schema_violation", None, BREACH, None)),
    },
)
def test_a_failing_expression_or_a_broken_schema_rejects_the_record(
    key: Any, violation: str | None, rejected: tuple[Any, ...]
) -> None:
    """A failing expression, and a record that breaks the tap's schema, reject the record."""
    result = converted(id=key, violation=violation)
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.detail, result.keys) == rejected


@pytest.mark.parametrize(
    "condition",
    [
        *("amount(total)", "not amount(total)", "amount(total) or True", "number(get('total'))"),
        *("True if amount(total) else False", "[t for t in [1] if amount(total)]"),
    ],
)
def test_a_filter_takes_nothing_that_cannot_be_read_for_true_or_false(condition: str) -> None:
    """Such a record is neither sent nor filtered without a word."""
    made = converter({**MAP, "__filter__": condition})
    result = convert_both_ways(made, {**RECORD, "total": "twelve"})
    assert isinstance(result, Rejection)
    assert (result.reason, result.field) == ("mapping_failed", "__filter__")


def test_an_expression_with_chance_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter with chance must not be asked again about a record that takes the slow path."""
    drawn = iter([0.1, 0.9])
    monkeypatch.setitem(expressions._FUNCTIONS, "rand", lambda: next(drawn))  # noqa: SLF001
    made = converter({**MAP, "__filter__": "rand() < 0.5"})
    assert isinstance(made.convert({**RECORD, "total": "odd"}), Conversion)
    assert made.convert(RECORD) is None


def test_a_fault_of_the_fast_path_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an unusual value needs the slow path, which would hide the fault and cost speed."""
    made = converter({**MAP, "__filter__": None})
    slow_record, usual = made.convert({**RECORD, "total": "odd"}), made.convert(RECORD)
    assert isinstance(slow_record, Conversion)
    assert isinstance(usual, Conversion)
    slow = Remark(SLOW_PATH, "value")
    assert (slow in slow_record.remarks, usual.remarks) == (True, ())
    monkeypatch.setattr(made, "_fast_path", mock.Mock(side_effect=AttributeError))
    with pytest.raises(AttributeError):
        made.convert(RECORD)


def test_an_expression_changes_nothing_for_the_others() -> None:
    """Each sees the record as the tap sent it."""
    made = converter({**MAP, "x": "_.pop('mail')", "y": "_.get('total').join(_.popitem())"})
    record = {**RECORD, "mail": ADDRESS}
    (before, after) = (copy.deepcopy(record), convert_both_ways(made, record))
    assert isinstance(after, Conversion)
    assert (after.event.user_data.md5, record) == (MD5, before)


def test_mapped_keys_give_other_ids_than_keys_of_the_tap() -> None:
    """They are other IDs than those of the tap's keys, even if the values are the same."""
    maps: dict[str, Any] = {
        "tap": {**SHOWN, "event_id": None},
        "same": {**SHOWN, "event_id": None, "__key_properties__": ["id"], "id": "id"},
        "own": {**SHOWN, "event_id": None, "__key_properties__": ["x"], "x": "id"},
        "other": {**SHOWN, "event_id": None, "__key_properties__": ["y"], "y": "str(id)"},
        "two": {**SHOWN, "event_id": None, "__key_properties__": ["x", "y"], "x": "id", "y": "at"},
    }
    ids = {}
    for name, definition in maps.items():
        for number in (1, 2):
            made = convert_both_ways(converter(definition), {**RECORD, "id": number})
            assert isinstance(made, Conversion)
            ids[name, number] = made.event_id
    assert ids["tap", 1] == ids["same", 1]
    assert len({*ids.values()}) == 8
    passed = {"event_time": "at", "email": "mail", "__key_properties__": ["email", "ip"]}
    record = {**RECORD, "decision_id": "x-1"}
    made = convert_both_ways(converter({**passed, "ip": "'x'", "email": "mail"}), record)
    assert isinstance(made, Conversion)
    del passed["email"]
    columns = (*RECORD, "email", "ip", "decision_id")
    absent = convert_both_ways(converter(passed, columns), {**record, "ip": "203.0.113.9"})
    assert isinstance(absent, Rejection)
    assert absent.reason == "missing_key"


# Rows that were deleted in the source

WHEN = "2026-07-31T00:00:00+00:00"
FIRST, SECOND = DELETION_COLUMNS
CAPITALS = [name.upper() for name in DELETION_COLUMNS]


@pytest.mark.parametrize(
    ("column", "deleted"),
    [
        *((name, WHEN) for name in (SECOND, *CAPITALS)),
        *((FIRST, deleted) for deleted in (WHEN, 1_785_500_000, True, {"at": WHEN})),
    ],
    ids=name_of,
)
def test_a_deleted_row_is_dropped(column: str, deleted: Any) -> None:
    """It does not reach the map, which may drop the column or need what the row has no more."""
    result = converted(id="failing", **{column: deleted})
    assert isinstance(result, Rejection)
    assert (result.reason, result.field, result.columns) == ("deleted", column, {})
    assert result.keys == {"id": "failing"}


@each_of("empty", {"null": None, "empty text": "", "blank text": " ", "false": False})
def test_a_row_that_is_there_is_not_dropped(empty: Any) -> None:
    assert isinstance(converted(**dict.fromkeys(DELETION_COLUMNS, empty)), Conversion)


@each_of(
    "expression, decides",
    {
        "by name": ("_sdc_deleted_at", True),
        "by path": ("get('_sdc_deleted_at')", True),
        "in a comprehension": ("[x for x in [_['_sdc_deleted_at']]][0]", True),
        "longer name before it": ("get('my_sdc_deleted_at')", False),
        "longer name after it": ("get('_sdc_deleted_at_2')", False),
    },
)
def test_a_map_that_reads_the_column_decides_itself(expression: str, decides: bool) -> None:
    """That goes for one of the columns: the other still marks a deleted row."""
    result = converted(order_id=expression, **{FIRST: WHEN})
    assert isinstance(result, Conversion) == decides
    assert converted(order_id=expression, **{SECOND: WHEN}).reason == "deleted"


@each_of(
    "own, asks",
    {
        "map leaves consent alone": ({}, True),
        "map drops consent": ({"consent": None}, False),
        "map computes consent": ({"consent": "get('agreed')"}, False),
        "filter reads consent": ({"__filter__": "get('consent') != 'no'"}, False),
    },
)
@each_of("declared", {"not declared": (), "declared": ("consent",)})
def test_consent_of_a_record_counts_unless_the_map_decides(
    own: dict[str, Any], asks: bool, declared: tuple[str]
) -> None:
    """It is obeyed unless the map says what consent is, even if other columns do not pass."""
    made = converter({**MAP, **own}, columns=(*RECORD, "agreed", *declared))
    for consent, given in {"yes": True, True: True, False: False, "no": False, None: False}.items():
        record = {**RECORD, "consent": consent, "agreed": True, "total": 1.5}
        result = convert_both_ways(made, record)
        if asks and not given:
            assert isinstance(result, Rejection)
            assert (result.reason, result.columns) == ("no_consent", {})
        elif "__filter__" in own and consent == "no":
            assert result is None
        else:
            assert isinstance(result, Conversion)
    assert isinstance(convert_both_ways(made, {**RECORD, "agreed": True}), Conversion)


@each_of(
    "definition",
    {
        "map that drops other columns": MAP,
        "map that passes other columns": {"event_time": "at", "email": "mail"},
        "no map": None,
    },
)
def test_consent_in_capitals_counts(definition: dict[str, Any] | None) -> None:
    """Some databases write all names so."""
    made = converter(definition, columns=(*RECORD, "CONSENT", "event_time", "email"))
    record = {**RECORD, "total": 1.5, "event_time": TIME, "email": ADDRESS}
    for consent, kind in (("yes", Conversion), (False, Rejection)):
        assert isinstance(convert_both_ways(made, {**record, "CONSENT": consent}), kind)


# Records of taps take the fast path, and give the same in it, whatever their map computes

SHOWN = {"event_id": "id", "event_time": "at", "email": "mail", "__else__": None}
USUAL: dict[str, Any] = {**SHOWN, "value": "float(total)", "__filter__": "total is not None"}
SALE: dict[str, Any] = {"id": "1", "at": TIME, "mail": ADDRESS, "total": Decimal("9.90")}


def is_usual(made: RecordConverter, record: dict[str, Any]) -> bool:
    """Return whether the fast path knows what becomes of a record."""
    convert_both_ways(made, record)
    with mock.patch.object(made, "convert_on_slow_path", return_value=None) as carefully:
        made.convert(record)
    return not carefully.called


@pytest.mark.parametrize("name", PRESETS)
def test_the_records_of_taps_are_usual(name: str) -> None:
    """So are nearly all without a value, but for those that become no event."""
    stream, keys, record, _ = sample(name, NOW)
    made = converter(preset_columns(name), record, tuple(keys), stream)
    assert is_usual(made, record)
    fast, slow = 0, []
    for column in record:
        changed = {**record, column: None}
        result = made.convert(changed)
        if is_usual(made, changed) or isinstance(result, Rejection):
            fast += 1
        else:
            slow.append(column)
    assert fast >= 0.95 * len(record), slow


def test_nearly_all_orders_are_usual() -> None:
    """Of the orders of a shop with buyers of all kinds, 95 % take the fast path."""
    orders = pytest.importorskip("benchmarks.orders")
    bench = pytest.importorskip("benchmarks.bench")
    lines = b"".join(orders.blocks(1_000, now=int(NOW))).splitlines()
    records = [json.loads(line)["record"] for line in lines if b'"RECORD"' in line]
    made = converter(bench._STREAM_MAPS["orders"], records[0])  # noqa: SLF001
    assert sum(is_usual(made, record) for record in records) >= 950
    assert isinstance(made.convert(records[0]), Conversion)


PAGED = {**USUAL, "source_url": "coalesce(get('page'), '/')", "ip": "_.get('ip')"}
DEFINITIONS: dict[str, dict[str, Any] | None] = {
    "no map": None,
    "empty map": {},
    "columns only": SHOWN,
    "value and filter": USUAL,
    "filter with configuration": {**USUAL, "__filter__": "total > 5 and config['shop'] == 'x'"},
    "filter with a condition": {**USUAL, "__filter__": "False if total else 1 > 0"},
    "failing other column": {
        **USUAL,
        "number": "int(mail)",
    },  # It rejects the record, though no event has the column.
    "method and comprehension": {
        **USUAL,
        "email": "get('mail').strip()",
        "value": "[t for t in [total]][0]",
    },
    "formatted text": {
        **USUAL,
        "event_id": "f'{id}-{__stream_name__}'",
        "user_agent": "'a' 'b' + id",
    },
    "a page": PAGED,
    "helpers": {
        **USUAL,
        "value": "amount(total)",
        "order_id": "str(id) if total is 1 else md5(id)",
    },
    "column read and dropped": {"email": "mail", "event_time": "at", "mail": None},
    "time that is parsed": {
        **USUAL,
        "event_time": "datetime.datetime.strptime('2026-07-31', '%Y-%m-%d').isoformat()",
    },
    "date and JSON": {
        **USUAL,
        "order_id": "f'{datetime.date(2026, 1, 2).isoformat()}-{json.dumps(id)}'",
    },
    "record that is changed": {
        **USUAL,
        "order_id": "_.pop('mail')",
        "user_agent": "[_.pop(k) for k in ['id', 'at']][0]",
    },
    "computed keys": {
        **USUAL,
        "event_id": None,
        "__key_properties__": ["email", "x"],
        "x": "total",
    },
    "two keys of the tap": {
        "event_time": "at",
        "email": "mail",
        "__key_properties__": ["id", "total"],
    },
    "no keys": {**SHOWN, "event_id": "total", "__key_properties__": []},
}
CHANGED: dict[str, tuple[Any, ...]] = {
    "total": (None, "12.50", "x", 7, 1e300),
    "id": (None, 7, "a b", [1], ADDRESS),
    "at": (None, "2026-07-31T10:00:00", "soon"),
    "mail": (None, "", "x", f" {ADDRESS} ", 5),
    "_sdc_deleted_at": (None, "", "2026-07-31T00:00:00Z"),
    "page": ("https://shop.example/?li_did=x",),
    "email": (None,),
}
OWN_COLUMNS = {"event_id": "own", "email": ADDRESS, "event_time": TIME, "value": 1, "page": "/x"}
CHANGES = [{}, OWN_COLUMNS, *({name: of} for name, values in CHANGED.items() for of in values)]


UNDECLARED: list[tuple[dict[str, Any], str | dict[str, Any]]] = [
    *(({"consent": consent}, "no_consent") for consent in (False, None, "no", "", [])),
    ({"consent": "yes", "value": "9.90"}, {"purchaseData": {"value": 9.9}}),
    ({"md5": MD5, "sha2": None, "mail": None}, {"userData": {"md5": MD5}}),
    ({"source": "app", "event_id": "own", "pixel_id": 7}, {"source": "app", "eventId": "own"}),
    ({"value": "?", "extra": 1, "ip": None}, {"purchaseData": {}}),
    *(({name: "2026"}, "deleted") for name in DELETION_COLUMNS),
]
PASSING: list[dict[str, Any] | None] = [None, {"email": "mail", "event_time": "at"}]
"""Maps that pass other columns on."""


@pytest.mark.parametrize(("changes", "wanted"), UNDECLARED, ids=name_of)
def test_columns_that_the_schema_does_not_declare_count(
    changes: dict[str, Any], wanted: Any
) -> None:
    """The SDK passes them on, so they count as if they were declared, and none is missed."""
    for definition in PASSING:
        record = {"id": 7, "at": TIME, "mail": ADDRESS} | changes
        if definition is None:
            record |= {"event_time": record["at"], "email": record["mail"]}
        made = converter(definition, record.keys() - changes.keys() | {"mail", "email"} & {*record})
        result = convert_both_ways(made, record)
        if isinstance(wanted, str):
            assert isinstance(result, Rejection)
            assert result.reason == wanted
        else:
            assert isinstance(result, Conversion)
            assert json.loads(result.body) == {**json.loads(result.body), **wanted}
        assert {one.column for one in remarks_of(result)} <= {"value", "email"}


@each_of(
    "definition",
    {
        "other columns dropped": {**SHOWN},
        "other columns pass": {"email": "mail", "event_time": "at"},
    },
)
def test_columns_that_a_map_drops_are_not_read(definition: dict[str, Any]) -> None:
    """What the user drops is not read, whether it is declared or not."""
    dropped = {"consent": None, "value": "__NULL__", **definition}
    for columns in (SALE, [*SALE, "consent", "value"]):
        record = {**SALE, "consent": False, "value": 7}
        result = convert_both_ways(converter(dropped, columns), record)
        assert isinstance(result, Conversion)
        assert "value" not in result.columns


@pytest.mark.parametrize(
    ("definition", "changes"),
    [
        *((name, {}) for name in DEFINITIONS),
        *((name, one) for one in CHANGES for name in ("no map", "columns only", "a page")),
    ],
    ids=name_of,
)
def test_both_ways_map_the_same(definition: str, changes: dict[str, Any]) -> None:
    record, own = {**SALE, **changes}, DEFINITIONS[definition]
    columns = {**record, "event_id": 1, "event_time": 1, "email": 1} if not own else record
    for keys in (("id",), ()):
        convert_both_ways(converter(own, columns, keys), record)
        convert_both_ways(converter(own, columns, keys), {**record, "ip": 5, "consent": 1})
