"""Stream maps: which records go through which map, as in the SDK, and what a failure means."""

from __future__ import annotations

import copy
import logging
from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.mapper import PluginMapper, RemoveRecordTransform

from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.converter import ColumnOrigin, MappingFailedError, StreamPlan
from target_liveintent.mapping.reads import Reads
from target_liveintent.singer.stream_maps import StreamMaps, stream_maps_of

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


def plans(maps: dict[str, Any], stream: str = "orders", **config: Any) -> list[StreamPlan]:
    """Return what is done with a stream."""
    return StreamMaps(maps, config).plans(stream, copy.deepcopy(SCHEMA))


def mapped(plan: StreamPlan, record: dict[str, Any] = RECORD) -> dict[str, Any] | None:
    """Return the mapped record; None where it is dropped."""
    if plan.transform is None:
        return None
    return plan.transform(copy.deepcopy(record))


def test_without_maps_every_stream_is_named() -> None:
    """The user wants all of what comes, as it comes."""
    (own,) = plans({})
    assert own.named
    assert own.stream == "orders"
    assert set(own.properties) == set(SCHEMA["properties"])
    assert mapped(own) == RECORD


def test_an_exact_name() -> None:
    """A map adds and replaces columns, the others stay."""
    (own,) = plans({"orders": {"order_id": "id", "email": "email.lower()"}})
    assert own.named
    assert set(own.properties) == {*SCHEMA["properties"], "order_id"}
    assert mapped(own) == {**RECORD, "order_id": 7}


@pytest.mark.parametrize("null", [None, "__NULL__"])
def test_columns_are_dropped(null: Any) -> None:
    """Null drops a column, __else__ null all that the map does not name."""
    (own,) = plans({"orders": {"email": null}})
    assert "email" not in own.properties
    assert mapped(own) == {name: value for name, value in RECORD.items() if name != "email"}
    (own,) = plans({"orders": {"mail": "email", "__else__": null}})
    assert own.properties == ("mail",)
    assert mapped(own) == {"mail": "ann@example.com"}


def test_a_filter_drops_records() -> None:
    """What the filter says no to is None."""
    (own,) = plans({"orders": {"__filter__": "total > 10"}})
    assert mapped(own) == RECORD
    assert mapped(own, {**RECORD, "total": 1}) is None


def test_other_streams_are_not_named() -> None:
    """A misspelled name does not send a whole table: the stream is there, but not named."""
    (own,) = plans({"order": {"x": "id"}})
    assert not own.named
    assert mapped(own) == RECORD


@pytest.mark.parametrize("null", [None, "__NULL__"])
def test_else_at_the_top_drops_other_streams(null: Any) -> None:
    """What no map names is dropped."""
    (own,) = plans({"order": {"x": "id"}, "__else__": null})
    assert (own.named, own.transform, own.properties) == (False, None, ())
    (own,) = plans({"orders": {"x": "id"}, "__else__": null})
    assert mapped(own) == {**RECORD, "x": 7}


@pytest.mark.parametrize("null", [None, "__NULL__"])
def test_a_stream_that_is_null_is_dropped_by_name(null: Any) -> None:
    """The user said so, so it is filtered and not unmapped."""
    (own,) = plans({"orders": null})
    assert (own.named, own.transform) == (True, None)


@pytest.mark.parametrize("pattern", ["*", "ord*", "o?ders", "[op]rders"])
def test_wildcards(pattern: str) -> None:
    """A pattern names each stream that it fits, under the stream's own name."""
    (own,) = plans({pattern: {"x": "id"}})
    assert own.named
    assert own.stream == "orders"
    assert mapped(own) == {**RECORD, "x": 7}
    (other,) = plans({pattern.replace("*", "*X"): {"x": "id"}}, "customers")
    assert not other.named


def test_an_alias_renames_the_stream() -> None:
    """It is counted under its new name; `__stream_name__` may be used in it."""
    (own,) = plans({"orders": {"__alias__": "conversions", "x": "id"}})
    assert own.stream == "conversions"
    assert mapped(own) == {**RECORD, "x": 7}
    (own,) = plans({"*": {"__alias__": "'li_' + __stream_name__"}})
    assert own.stream == "li_orders"


def test_a_copy_of_a_source() -> None:
    """`__source__` adds a stream; the raw one is still there, and no map names it."""
    raw, made = plans({"conversions": {"__source__": "orders", "x": "id"}})
    assert (raw.named, raw.stream) == (False, "orders")
    assert (made.named, made.stream) == (True, "conversions")
    assert mapped(made) == {**RECORD, "x": 7}


def test_a_copy_without_its_raw_half() -> None:
    """With `__else__` null the raw half is dropped, the copy is not."""
    raw, made = plans({"conversions": {"__source__": "orders", "x": "id"}, "__else__": None})
    assert (raw.named, raw.transform) == (False, None)
    assert mapped(made) == {**RECORD, "x": 7}


def test_several_copies_and_a_map_of_its_own() -> None:
    """A stream may be used by many maps, its own comes first."""
    names = [
        plan.stream
        for plan in plans(
            {
                "a": {"__source__": "orders"},
                "orders": {"x": "id"},
                "b": {"__source__": "orders"},
                "c": {"__source__": "customers"},
            }
        )
    ]
    assert names == ["orders", "a", "b"]


def test_the_names_of_the_maps() -> None:
    """For hints: the streams that are mapped, not the copies' names and no options."""
    maps = StreamMaps(
        {"orders": {"x": "id"}, "copy": {"__source__": "leads"}, "x*": None, "__else__": None}, {}
    )
    assert set(maps.names) == {"orders", "leads", "x*"}


def test_the_configuration_is_not_changed() -> None:
    """A second mapper over the same settings must see `__else__` and all options."""
    maps: dict[str, Any] = {
        "orders": {"x": "id", "__filter__": "paid", "__alias__": "y", "__else__": None},
        "copy": {"__source__": "orders", "x": "id"},
        "__else__": None,
    }
    config = {"seed": "x"}
    before = copy.deepcopy((maps, config, SCHEMA))
    schema = copy.deepcopy(SCHEMA)
    for _ in range(2):
        stream_maps = StreamMaps(maps, config)
        for _ in range(2):
            first = stream_maps.plans("orders", schema)
            assert [plan.stream for plan in first] == ["y", "copy"]
    assert (maps, config, schema) == before


def test_the_record_is_not_changed() -> None:
    """Several maps may use one record, and the keys are read from it afterwards."""
    record = copy.deepcopy(RECORD)
    for plan in plans({"orders": {"email": None, "id": "'x'"}, "c": {"__source__": "orders"}}):
        assert plan.transform is not None
        plan.transform(record)
    assert record == RECORD


def test_no_key_properties_are_needed() -> None:
    """A mapped stream may drop its keys; only a target that writes tables needs them."""
    (own,) = plans({"orders": {"mail": "email", "__else__": None}})
    assert mapped(own) == {"mail": "ann@example.com"}


def test_expressions_read_stream_map_config() -> None:
    """Expressions see `config`."""
    (own,) = plans({"orders": {"x": "config['shop']"}}, shop="berlin")
    assert mapped(own) == {**RECORD, "x": "berlin"}


FAILING: list[tuple[dict[str, Any], str]] = [
    ({"x": "customer['name']['first']"}, "x"),
    ({"x": "sha256(total)"}, "x"),
    ({"x": "1 / (id - 7)"}, "x"),
    ({"x": "email + 5"}, "x"),
    ({"x": "int(email)"}, "x"),
    ({"x": "json.loads(email)"}, "x"),
    ({"x": "email.nope"}, "x"),
    ({"x": "total * 1.5"}, "x"),
    ({"x": "'a' * 999999999"}, "x"),
    ({"x": "9 ** 9 ** 9"}, "x"),
    ({"__filter__": "int(email) > 1"}, "__filter__"),
]


@pytest.mark.parametrize(("columns", "column"), FAILING)
def test_failing_expressions(columns: dict[str, Any], column: str) -> None:
    """One record fails, with column and kind; nothing of the record is in the exception."""
    (own,) = plans({"orders": columns})
    assert own.transform is not None
    with pytest.raises(MappingFailedError) as raised:
        own.transform(copy.deepcopy(RECORD))
    failure = raised.value
    assert failure.column == column
    assert failure.kind.isidentifier()
    assert failure.__cause__ is None
    assert failure.__suppress_context__
    assert "ann@" not in f"{failure}{failure!r}{failure.args}"


@pytest.mark.parametrize("expression", ["emial", "_['emial']", "[emial for e in email][0]"])
def test_an_unknown_name(expression: str) -> None:
    """Ends the run if neither record nor SCHEMA has it, and says which is near and what to do."""
    for column in ("x", "__filter__"):
        (own,) = plans({"orders": {column: expression}})
        assert own.transform is not None
        with pytest.raises(StreamMappingError) as raised:
            own.transform(copy.deepcopy(RECORD))
        said = str(raised.value)
        assert f"the map of 'orders' has a mistake: '{column}' reads 'emial', which is" in said
        assert "did you mean 'email'?" in said
        assert "get('emial')" not in said  # That would hide the mistake.
        assert raised.value.__suppress_context__


@pytest.mark.parametrize("expression", ["total", "_['total']", "[total for e in email][0]"])
def test_a_name_that_only_the_schema_knows(expression: str) -> None:
    """Rejects the record that lacks it, and no other."""
    (own,) = plans({"orders": {"x": expression}})
    assert own.transform is not None
    record = {name: value for name, value in RECORD.items() if name != "total"}
    with pytest.raises(MappingFailedError) as raised:
        own.transform(record)
    assert (raised.value.column, raised.value.kind) == ("x", "NameNotDefined")


def test_a_failure_is_of_one_record() -> None:
    """The next record goes through the same map."""
    (own,) = plans({"orders": {"x": "1 / total"}})
    assert own.transform is not None
    with pytest.raises(MappingFailedError):
        own.transform({**RECORD, "total": 0})
    assert mapped(own, {**RECORD, "total": 2}) == {**RECORD, "total": 2, "x": 0.5}


class Flaky(dict[str, Any]):
    """A record whose `id` cannot be read the first time."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        self.reads += name == "id"
        if self.reads == 1:
            raise KeyError(name)
        return super().__getitem__(name)


def test_an_intermittent_failure() -> None:
    """A failure that does not happen again rejects its record, without the name of a column."""
    (own,) = plans({"orders": {"x": "id + 1"}})
    assert own.transform is not None
    with pytest.raises(MappingFailedError) as raised:
        own.transform(Flaky(RECORD))
    assert (raised.value.column, raised.value.kind) == ("unknown", "intermittent failure")


def test_what_columns_are_computed_from() -> None:
    """The plan has the text of each expression and what it reads, the filter first."""
    (own,) = plans({"orders": {"x": "get('customer.email') ", "__filter__": "paid", "id": None}})
    assert own.computed == ("x",)
    assert list(own.origins) == ["__filter__", "x"]
    assert own.origins["x"] == ColumnOrigin(
        "get('customer.email')", Reads(frozenset({("customer", "email")}))
    )
    (other,) = plans({})
    assert (other.computed, dict(other.origins)) == ((), {})


def test_the_maps_of_a_configuration() -> None:
    """Presets, maps and the values that maps use come from three settings; null is not set."""
    settings = {
        "presets": {"charges": "stripe_charges"},
        "stream_maps": {"orders": {"x": "config['shop']"}},
        "stream_map_config": {"shop": "berlin"},
    }
    maps = stream_maps_of(settings)
    assert set(maps.names) == {"orders", "charges"}
    (own,) = maps.plans("orders", copy.deepcopy(SCHEMA))
    assert mapped(own) == {**RECORD, "x": "berlin"}
    assert stream_maps_of(dict.fromkeys(settings)).names == []


@pytest.mark.parametrize(
    "maps",
    [
        {"*": {"email": "'x'", "event_id": None}},
        {"*": None},
        {"*": {"__filter__": "1 == 2"}},
        {"liveintent*": {"reason": "'x'"}},
        {DEAD_LETTERS: None},
        {DEAD_LETTERS: {"x": "1"}},
        {"orders": {"x": "id"}, "__else__": None},
        {"copy": {"__source__": "*"}},
        {"copy": {"__source__": DEAD_LETTERS}},
        {"*": {"__alias__": "y"}},
        {},
    ],
)
def test_dead_letters_pass_untouched(maps: dict[str, Any]) -> None:
    """No map touches dead letters: they are mapped already."""
    (own,) = plans(maps, DEAD_LETTERS)
    assert own.stream == DEAD_LETTERS
    assert own.named
    assert mapped(own) == RECORD
    assert set(own.properties) == set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "maps",
    [
        {"orders": {"__key_properties__": ["nope"]}},
        {"orders": {"__else__": "x"}},
        {"orders": {"x": "a b"}},
        {"orders": {"__alias__": "x y"}},
        {"orders": {"__alias__": "1 / 0"}},
    ],
)
def test_maps_that_do_not_fit(maps: dict[str, Any]) -> None:
    """A map that cannot be used ends the run in one of our own exceptions, one readable line."""
    with pytest.raises(StreamMappingError) as raised:
        plans(maps)
    assert "orders" in str(raised.value)


MAPS: list[dict[str, Any]] = [
    {},
    {"orders": {"x": "id", "email": "_.get('email')", "total": "total"}},
    {"orders": {"event_id": "str(id)", "value": "float(total or 0)", "__else__": None}},
    {"orders": {"event_id": "str(id)", "__else__": "__NULL__"}},
    {"orders": {"email": None, "mail": "email", "x": "self if 0 else 1"}},
    {"orders": {"__filter__": "total is not None and total > 10", "x": "md5(email)"}},
    {"orders": None},
    {"orders": "__NULL__"},
    {"*": {"x": "__stream_name__", "y": "__original_stream_name__"}},
    {"orders": {"__alias__": "conversions", "x": "__stream_name__", "y": "record['id']"}},
    {"*": {"__alias__": "'li_' + __stream_name__", "x": "id"}},
    {"conversions": {"__source__": "orders", "x": "id", "y": "__stream_name__"}},
    {"conversions": {"__source__": "ord*", "x": "id"}, "__else__": None},
    {"customers": {"x": "id"}},
    {"customers": {"x": "id"}, "__else__": None},
    {"customers": {"x": "id"}, "__else__": "__NULL__"},
    {"ord*": {"x": "1"}, "orders": {"x": "2"}},
    {"orders": {"x": "2"}, "ord*": {"x": "1"}},
    {"orders": {"x": "2"}, "*": None},
    {"*": None, "orders": {"x": "2"}},
    {"a": {"__source__": "orders", "x": "1"}, "b": {"__source__": "orders", "x": "2"}},
    {"orders": {"x": "((_.get('customer') or {}).get('email') or '').lower()"}},
    {"orders": {"x": "datetime.datetime.fromisoformat('2026-01-01').isoformat()"}},
    {"orders": {"x": "config['shop']", "__else__": None}},
    {"orders": {"x": "None", "__else__": None}},
]
STREAMS = ["orders", "customers", "public-orders", "a.b", "orders[1]", "x y"]


NAMED: list[dict[str, Any]] = [{stream: {"x": "id"}} for stream in STREAMS]


NESTED: dict[str, Any] = {
    "presets": {"Sales": {"US": {"Orders": "shopify"}}},
    "stream_maps": {
        "*": {"email": "email"},
        "Sales": {"EU-Orders": {"email": "'eu'"}, "Old": "__NULL__"},
        "Left": {"Out": "__NULL__"},
        "users": {"email": "email", "Out": None},
    },
}
"""Settings as Meltano hands them over: the dots in the names of streams have become objects."""


def test_names_that_are_split_at_their_dots() -> None:
    maps = stream_maps_of(NESTED)
    assert maps.names[:3] == ["*", "Sales.EU-Orders", "Sales.Old"]
    assert "Sales.US.Orders" in maps.names
    (eu,) = maps.plans("Sales.EU-Orders", SCHEMA)
    assert mapped(eu) == {**RECORD, "email": "eu"}
    (us,) = maps.plans("Sales.US.Orders", SCHEMA)
    assert {"event_time", "currency"} <= set(us.properties)


@pytest.mark.parametrize("stream", ["Sales.Old", "Left.Out", "users.Out"])
def test_a_dropped_stream_whose_name_is_split(stream: str) -> None:
    """It is dropped although a pattern matches it, and although its null may be a column's."""
    (own,) = stream_maps_of(NESTED).plans(stream, SCHEMA)
    assert (own.named, own.transform) == (True, None)


@pytest.mark.parametrize("stream", ["Left", "Left.email", "Sales", "a.Left.Out", "users.email"])
def test_a_stream_that_only_looks_like_a_split_name(stream: str) -> None:
    (own,) = stream_maps_of(NESTED).plans(stream, SCHEMA)
    assert own.transform is not None


@pytest.mark.parametrize("maps", [*MAPS, *NAMED], ids=str)
@pytest.mark.parametrize("stream", STREAMS)
def test_the_same_as_the_sdk(maps: dict[str, Any], stream: str) -> None:
    """Streams, columns and records come out as the SDK's own mapper has them."""
    config: dict[str, Any] = {"shop": "berlin"}
    theirs = PluginMapper(
        {"stream_maps": copy.deepcopy(maps), "stream_map_config": config}, logging.getLogger()
    )
    theirs.register_raw_stream_schema(stream, copy.deepcopy(SCHEMA), None)
    ours = plans(maps, stream, **config)
    assert len(ours) == len(theirs.stream_maps[stream])
    for plan, stream_map in zip(ours, theirs.stream_maps[stream], strict=False):
        if isinstance(stream_map, RemoveRecordTransform):
            assert plan.transform is None
            continue
        assert plan.transform is not None
        assert set(plan.properties) == set(stream_map.transformed_schema["properties"])
        assert plan.stream == stream_map.stream_alias
        for record in (RECORD, {**RECORD, "total": None}, {**RECORD, "customer": None}):
            wanted = (
                stream_map.transform(copy.deepcopy(record))
                if stream_map.get_filter_result(copy.deepcopy(record))
                else None
            )
            assert mapped(plan, record) == wanted
