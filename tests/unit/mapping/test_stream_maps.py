"""Stream maps: which records go through which map, as in the SDK, and what a failure means."""

import copy
import logging
from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.mapper import PluginMapper, RemoveRecordTransform
from unit_support import each_of

from target_liveintent.conversions.fields import COLUMNS
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.mapping.map_checks import maps_with_equal_ids
from target_liveintent.mapping.stream_maps import MappingFailed, StreamMaps, StreamPlan

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": ["string", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
        "total": {"type": ["number", "null"]},
        "paid": {"type": "boolean"},
        "customer": {"type": ["object", "null"], "properties": {}},
    },
}
RECORD: dict[str, Any] = {
    "id": 7,
    "email": "ann@example.com",
    "created_at": "2026-07-31T12:00:00Z",
    "total": Decimal("87.10"),
    "paid": True,
    "customer": {"email": "bob@example.com"},
}
UNDECLARED = {**RECORD, "consent": False, "value": 7, "x": 1, "event_id": None, "y": 2, "gift": 3}
"""A record with columns of events, and others, which the SCHEMA does not have."""


def plans(maps: dict[str, Any], stream: str = "orders", **config: Any) -> list[StreamPlan]:
    """Return what is done with a stream."""
    return StreamMaps(maps, config).plans(stream, copy.deepcopy(SCHEMA))


def mapped(plan: StreamPlan, record: dict[str, Any] = RECORD) -> Any:
    """Return the mapped record; None where it is dropped, or what failed."""
    return plan.transform(copy.deepcopy(record))


COPY = {"__source__": "orders", "x": "id"}
X = {"orders": {"x": "id"}}
ALIASES = ("gifts", "'gifts'", "__stream_name__ + '_v2'", "a-b", "__stream_name__.upper()")
NULLS = (None, "__NULL__")
MAPS: list[tuple[dict[str, Any], list[bool]]] = [
    # Without maps, the user wants all of what comes, as it comes.
    ({}, [True]),
    # A map adds and replaces columns, the others stay.
    ({"orders": {"x": "id", "email": "_.get('email').lower()", "total": "total"}}, [True]),
    ({"orders": {"x": "((_.get('customer') or {}).get('email') or '').lower()"}}, [True]),
    ({"orders": {"x": "datetime.datetime.fromisoformat('2026-01-01').isoformat()"}}, [True]),
    ({"orders": {"x": "config['shop']", "__else__": None}}, [True]),
    ({"orders": {"x": "None", "__else__": None}}, [True]),
    ({"orders": {"x": "f'{config} {__stream_name__} {_}'", "y": "[t for t in _]"}}, [True]),
    ({"orders": {"__filter__": "total is not None and total > 10", "x": "md5(email)"}}, [True]),
    ({"orders": {"x": "int(email)", "__filter__": "not paid"}}, [True]),  # It comes first.
    ({"orders": {"__filter__": "paid", "__else__": None}}, [True]),
    # Null drops a column, `__else__` null all that the map does not name, keys as well.
    *(({"orders": {"email": null, "x": "self if 0 else 1"}}, [True]) for null in NULLS),
    *(({"orders": {"mail": "email", "__else__": null}}, [True]) for null in NULLS),
    # A misspelled name does not send a whole table: the stream is there, but not named.
    ({"order": {"x": "id"}}, [False]),
    # At the top, `__else__` null drops what no map names.
    *(({"order": {"x": "id"}, "__else__": null}, [False]) for null in NULLS),
    *(({**X, "__else__": null}, [True]) for null in NULLS),
    # A stream that is null is filtered and not unmapped, as the user said so.
    *(({"orders": null}, [True]) for null in NULLS),
    # A pattern names each stream that it fits, under the stream's own name; the last map counts.
    *(({pattern: {"x": "id"}}, [True]) for pattern in ("*", "ord*", "o?ders", "[op]rders")),
    *(({pattern: {"x": "id"}}, [False]) for pattern in ("cust*", "o?rders", "[p]rders")),
    *(({"ord*": {"x": "1"}, **X}, [True]), ({**X, "ord*": {"x": "1"}}, [True])),
    *(({**X, "*": None}, [True]), ({"*": None, **X}, [True])),
    ({"*": {"x": "__stream_name__", "y": "__original_stream_name__"}}, [True]),
    # An alias is a name, or an expression of the stream's name.
    *(({"orders": {"__alias__": name, "x": "__stream_name__"}}, [True]) for name in ALIASES),
    ({"ord*": {"__alias__": "gifts", "y": "__original_stream_name__"}}, [True]),
    ({"ord*": {"__source__": "ord*", "x": "__stream_name__"}}, [False, True]),
    ({"orders": {"x": "id", "__key_properties__": ["x"]}}, [True]),
    # `__source__` adds a stream; the raw one is still there, and no map names it.
    ({"gifts": {**COPY, "y": "__stream_name__"}}, [False, True]),
    ({"gifts": {**COPY, "__source__": "ord*"}, "__else__": None}, [False, True]),
    # A stream may be used by many maps, its own comes first.
    ({"a": COPY, **X, "b": COPY, "c": {"__source__": "customers"}}, [True, True, True]),
]
STREAMS = ["customers", "public-orders", "a.b", "orders[1]", "x y"]


@pytest.mark.parametrize(
    ("maps", "stream", "named"),
    [
        *((maps, "orders", named) for maps, named in MAPS),
        *(({"*": {"x": "id"}}, stream, [True]) for stream in STREAMS),
        *(({stream: {"x": "id"}}, stream, [True]) for stream in STREAMS),
        *(({stream: COPY}, stream, [False]) for stream in STREAMS),
    ],
    ids=str,
)
def test_the_same_as_the_sdk(maps: dict[str, Any], stream: str, named: list[bool]) -> None:
    """Streams, columns and records come out as the SDK's own mapper has them.

    A plan also says whether the configuration names the stream.
    """
    config: dict[str, Any] = {"shop": "berlin"}
    theirs = PluginMapper(
        {"stream_maps": copy.deepcopy(maps), "stream_map_config": config}, logging.getLogger()
    )
    theirs.register_raw_stream_schema(stream, copy.deepcopy(SCHEMA), None)
    ours = plans(maps, stream, **config)
    assert [plan.named for plan in ours] == named
    for plan, stream_map in zip(ours, theirs.stream_maps[stream], strict=True):
        if isinstance(stream_map, RemoveRecordTransform):
            assert (plan.is_used, plan.properties, plan.stream) == (False, (), stream)
            continue
        assert set(plan.properties) == set(stream_map.transformed_schema["properties"])
        assert plan.stream == stream_map.stream_alias
        assert not plan.undeclared & {*plan.properties}
        for record in (RECORD, {**RECORD, "total": None}, {**RECORD, "customer": None}, UNDECLARED):
            is_kept = stream_map.get_filter_result(copy.deepcopy(record))
            wanted = stream_map.transform(copy.deepcopy(record)) if is_kept else None
            assert mapped(plan, record) == wanted
            found = {*(wanted or ())} & {*COLUMNS} - {*plan.properties}
            assert found == (plan.undeclared & {*record} if wanted else set())


def test_what_is_given_is_not_changed() -> None:
    """A second mapper sees all options; several maps may use one record, and the keys are in it."""
    options = {"__filter__": "paid", "__else__": None}
    maps = {"orders": {"email": None, "id": "'x'", **options}, "copy": COPY, "__else__": None}
    given = maps, {"seed": "x"}, copy.deepcopy(SCHEMA), copy.deepcopy(RECORD)
    before = copy.deepcopy(given)
    for _ in range(2):
        stream_maps = StreamMaps(given[0], given[1])
        assert stream_maps.names == ["orders"]
        for _ in range(2):
            made = stream_maps.plans("orders", given[2])
            assert [plan.stream for plan in made] == ["orders", "copy"]
            for plan in made:
                plan.transform(given[3])
    assert given == before


@each_of(
    "expression",
    {"syntax error": "a b", "too long": "+".join(["total"] * 199), "statement": "pass"},
)
def test_a_map_without_an_expression_ends_the_run(expression: str) -> None:
    """A map that cannot be used ends the run in one of our own exceptions, one readable line."""
    with pytest.raises(StreamMappingError, match="the stream map of 'orders' cannot be used: "):
        plans({"orders": {"x": expression}})


@pytest.mark.parametrize("alias", ["f('x')", "1", "''", "'a\\n'", "a b", "int"])
def test_a_map_without_a_name_as_alias_ends_the_run(alias: str) -> None:
    with pytest.raises(StreamMappingError, match="the stream map of 'orders' cannot be used: "):
        plans({"orders": {"__alias__": alias}})


@each_of(
    "definition, keys",
    {
        "nothing said": ({}, None),
        "null": ({"__key_properties__": None}, None),
        "keys of the tap": ({"__key_properties__": ["id", "total"]}, None),
        "other order": ({"__key_properties__": ["total", "id"]}, None),
        "another column": ({"__key_properties__": ["email"]}, ("email",)),
        "one computed column": ({"__key_properties__": ["x", "id"], "x": "total"}, ("x", "id")),
        "no keys": ({"__key_properties__": []}, ()),
    },
)
def test_other_keys_than_those_of_the_tap_are_kept(definition: dict[str, Any], keys: Any) -> None:
    """Other keys than those of the tap are columns of the mapped record."""
    (plan,) = StreamMaps({"orders": definition}, {}).plans("orders", SCHEMA, ("id", "total"))
    assert plan.keys == keys


@each_of(
    "definition",
    {
        "no such column": {},
        "other columns dropped": {"__else__": None},
        "column dropped": {"number": None},
        "column renamed": {"number": None, "x": "number"},
    },
)
def test_a_key_that_a_mapped_record_lacks_is_named(definition: dict[str, Any]) -> None:
    """The configuration is wrong, and the error names the key."""
    with pytest.raises(ConfigurationError, match="in the map of 'gifts' names 'number', but a"):
        plans({"gifts": {"__source__": "orders", "__key_properties__": ["number"], **definition}})


@each_of(
    "own, ids",
    {
        "no map of its own": ({}, [("copy", "orders")]),
        "other column mapped": ({"email": "email"}, [("copy", "orders")]),
        "own event ID": ({"event_id": "id"}, []),
        "other keys": ({"__key_properties__": ["email"]}, []),
        "same keys": ({"__key_properties__": ["id"]}, [("copy", "orders")]),
        "event ID dropped": ({"event_id": None}, [("copy", "orders")]),
    },
)
def test_a_copy_with_the_ids_of_the_original_is_found(
    own: dict[str, Any], ids: list[tuple[str, str]]
) -> None:
    """A copy has the IDs of the original, unless it says of what its own are made."""
    maps = {"orders": {"value": "total"}, "copy": {"__source__": "orders", **own}}
    found = StreamMaps(maps, {}).plans("orders", SCHEMA, ("id",))
    findings = maps_with_equal_ids(found, ("id",))
    assert [(finding.stream, finding.earlier) for finding in findings] == ids
    both = {name: {**one, "event_id": "__stream_name__"} for name, one in maps.items()}
    assert [*maps_with_equal_ids(plans(both), ("id",))] == []


@each_of(
    "first, second, are_equal",
    {
        "keys computed alike": ({"number": "id"}, {"number": "id"}, True),
        "keys computed otherwise": ({"number": "id"}, {"number": "id + 1"}, False),
    },
)
def test_the_expression_of_a_key_decides_an_id(
    first: dict[str, Any], second: dict[str, Any], are_equal: bool
) -> None:
    """Two maps with the same keys give other IDs if they compute a key in another way."""
    keys = {"__source__": "orders", "__key_properties__": ["number"]}
    maps = {"a": {**keys, **first}, "b": {**keys, **second}, "orders": None}
    found = StreamMaps(maps, {}).plans("orders", SCHEMA, ("id",))
    assert bool([*maps_with_equal_ids(found, ("id",))]) == are_equal


@pytest.mark.parametrize("keys", [(), ("_sdc_row",)], ids=["no keys", "a position"])
def test_without_lasting_keys_the_mapped_record_decides_an_id(keys: tuple[str, ...]) -> None:
    """Two maps give the same ID only if they give the same columns."""
    for value, are_equal in (("total", True), ("total / 100", False)):
        maps = {
            "orders": {"value": "total", "__else__": None},
            "copy": {"__source__": "orders", "value": value, "__else__": None},
        }
        found = StreamMaps(maps, {}).plans("orders", SCHEMA, keys)
        assert bool([*maps_with_equal_ids(found, keys)]) == are_equal


@each_of(
    "own, event_id",
    {
        "computed": ({"event_id": "'order-' + str(id)"}, "order-7"),
        "fails too": ({"event_id": "str(1 / 0)"}, None),
        "passes on": ({}, "given"),
        "dropped": ({"event_id": None}, None),
        "dropped with all others": ({"__else__": None}, None),
    },
)
def test_a_record_that_cannot_be_mapped_keeps_the_event_id_of_its_map(
    own: dict[str, Any], event_id: str | None
) -> None:
    """It is what the map gives, so the event of a corrected map replaces the dead letter."""
    (plan,) = plans({"orders": {"x": "1 / 0", **own}})
    failed = MappingFailed("x", "ZeroDivisionError", event_id)
    assert mapped(plan, {**RECORD, "event_id": "given"}) == failed
