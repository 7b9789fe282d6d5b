"""Suggestions: misspelled names, settings to set, and maps to start from that can be pasted."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml
from unit_support import DEFAULTS

from target_liveintent.config import problems
from target_liveintent.conversions.fields import missing_columns
from target_liveintent.mapping.converter import ColumnOrigin
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.mapping.reads import reads_of
from target_liveintent.mapping.suggestions import (
    absent_streams,
    advise_map,
    did_you_mean,
    did_you_mean_stream,
    setting_name,
    settings_to_set,
    suggest_map,
    unknown_columns,
    unknown_reads,
)
from target_liveintent.singer.stream_maps import StreamMaps


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("ordres", ["orders", "people"], "; did you mean 'orders'?"),
        ("ORDERS", ["orders"], "; did you mean 'orders'?"),
        ("orders", ["Orders"], "; did you mean 'Orders'?"),
        ("orders", ["people"], ""),
        ("orders", [], ""),
    ],
)
def test_did_you_mean(name: str, known: list[str], hint: str) -> None:
    """The most similar known name is suggested, in its own spelling."""
    assert did_you_mean(name, known) == hint


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("guest_mial", ["guest_name", "guest_mail"], "; did you mean 'guest_mail'?"),
        ("guest_email", ["guest_name"], ""),
        ("created", ["created_at"], "; did you mean 'created_at'?"),
        ("createdAt", ["created_at"], "; did you mean 'created_at'?"),
        ("__", ["_"], "; did you mean '_'?"),
    ],
)
def test_the_same_beginning_is_no_similarity(name: str, known: list[str], hint: str) -> None:
    """Names of which only the first words are the same are not suggested."""
    assert did_you_mean(name, known) == hint


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ordres", "orders"),
        ("order", "orders"),
        ("public-ordres", "public-orders"),
        ("orders", "public-orders"),
        ("Public-Orders", "public-orders"),
        ("Sales.Order", "sales-orders"),
    ],
)
def test_misspelled_streams(name: str, known: str) -> None:
    """A letter, the case or the schema before it may be wrong."""
    assert did_you_mean_stream(name, [known]) == f"; did you mean '{known}'?"
    assert did_you_mean_stream(known, [name]) == f"; did you mean '{name}'?"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("public-users", "public-orders"),
        ("public-order_items", "public-orders"),
        ("order_items", "orders"),
        ("orders_archive", "orders"),
        ("customers", "customer_orders"),
        ("orders_eu", "orders_us"),
        ("orders-1", "orders-2"),
        ("people", "orders"),
        ("public-", "public-orders"),
    ],
)
def test_other_streams(name: str, known: str) -> None:
    """Streams that begin alike are other streams, not misspelled ones."""
    assert did_you_mean_stream(name, [known]) == ""
    assert did_you_mean_stream(known, [name]) == ""


def unknown(expression: str, schema: dict[str, Any]) -> list[str]:
    """Return what is said of an expression for `value`."""
    reads = reads_of(ast.parse(expression), {"get", "coalesce"})
    origins = {"value": ColumnOrigin(expression, reads)}
    return ["".join(found) for found in unknown_reads(origins, schema)]


PRICE = {"type": "object", "properties": {"amount": {}, "any": {"type": "object"}}}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("price.amout", "; did you mean 'price.amount'?"),
        ("price.amout.x", "; did you mean 'price.amount.x'?"),
        ("prise.amount", "; did you mean 'price.amount'?"),
        ("zzz", "."),
        ("price.0", "."),
    ],
)
def test_unknown_reads(path: str, hint: str) -> None:
    """Each step of a path must be in the tap's schema, as far as the schema lists properties.

    What is suggested is the whole path, as it is to be written.
    """
    schema = {"type": "object", "properties": {"price": PRICE}}
    for closed in (schema, {**schema, "additionalProperties": False}):
        assert unknown(f"get('{path}')", closed) == [
            f"'value' reads '{path}', which is not in the tap's SCHEMA{hint}"
        ]


@pytest.mark.parametrize("path", ["price", "price.amount", "price.amount.x", "price.any.x"])
def test_known_reads(path: str) -> None:
    """Where the schema has a path, or does not say what there is, nothing is said."""
    assert unknown(f"get('{path}')", {"properties": {"price": PRICE}}) == []


@pytest.mark.parametrize(
    "opening",
    [
        {"additionalProperties": True},
        {"additionalProperties": {"type": "string"}},
        {"patternProperties": {"^x_": {}}},
        {"anyOf": [{"type": "object"}, {"type": "null"}]},
        {"$ref": "#/definitions/price"},
        {"properties": {}},
        {"properties": None},
    ],
)
def test_reads_of_what_a_schema_leaves_open(opening: dict[str, Any]) -> None:
    """A schema that allows what it does not list proves nothing, at the top and further in."""
    opened = {**PRICE, **opening}
    assert unknown("get('zzz')", opened) == []
    assert unknown("get('price.zzz')", {"properties": {"price": opened}}) == []


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"type": ["string", "null"]},
        {"type": "array", "items": {"type": "object", "properties": {"b": {}}}},
        {"type": ["string", "number", "integer", "array", "object", "boolean", "null"]},
        {"anyOf": [{"type": "object", "properties": {"b": {}}}, {"type": "null"}]},
        5,
    ],
    ids=["untyped", "JSON text", "array", "anything", "anyOf", "no schema"],
)
def test_reads_into_a_column_of_which_nothing_is_known(kind: Any) -> None:
    """Of a column without listed properties, only the column itself must be there."""
    assert unknown("get('price.zzz.0.x')", {"properties": {"price": kind}}) == []


def test_reads_of_columns_that_taps_add() -> None:
    """Whether `_sdc_deleted_at` is there depends on how the tap replicates."""
    assert unknown("get('_sdc_deleted_at')", {"properties": {"price": PRICE}}) == []
    assert unknown("record", {"properties": {"price": PRICE}}) == []


def test_unknown_columns() -> None:
    """A column that no event has is named; the API's own spelling is known."""
    said = list(unknown_columns("orders", ["value", "eventId", "valeu", "event_date", "zzz"]))
    assert said == [
        ("the map of 'orders' sets 'valeu', but events have no such column; did you mean 'value'?"),
        (
            "the map of 'orders' sets 'event_date', but events have no such column; did you"
            " mean 'event_time'?"
        ),
        "the map of 'orders' sets 'zzz', but events have no such column",
    ]


def test_absent_streams() -> None:
    """A stream that did not come is similar only to streams that no map names."""
    assert list(absent_streams(["orders", "order*"], ["orders"])) == []
    assert list(absent_streams(["ordres"], ["orders"])) == [("ordres", "; did you mean 'orders'?")]
    assert list(absent_streams(["ordres", "orders"], ["orders"])) == [("ordres", "")]
    assert list(absent_streams(["ordres", "ord*"], ["orders"])) == [("ordres", "")]
    assert list(absent_streams(["public-users"], ["public-orders"])) == [("public-users", "")]


def test_settings_to_set() -> None:
    """Settings are suggested only where they supply all that is missing."""
    bare = DEFAULTS._replace(pixel_id=None, source=None)
    missing = missing_columns(["event_time", "email"], bare)
    assert settings_to_set(missing) == (
        "Set pixel_id (TARGET_LIVEINTENT_PIXEL_ID in the environment) and default_source"
        " (TARGET_LIVEINTENT_DEFAULT_SOURCE in the environment)."
    )
    assert settings_to_set(missing_columns(["email"], bare)) is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_advised(name: str) -> None:
    """Columns of a preset's stream suggest the preset, unless the stream uses one already."""
    columns = [*PRESETS[name].signature, "other"]
    bare = DEFAULTS._replace(pixel_id=None)
    advice = advise_map("shop.orders", columns, ["id"], bare, in_use=False)
    assert f"`presets: {{shop\\.orders: {name}}}`" in advice
    assert "and also pixel_id" in advice
    advice = advise_map("orders", columns, ["id"], bare, in_use=True)
    assert advice == f"A map to start from:\n{suggest_map('orders', columns, ['id'])}"


def _accepted(block: str, stream: str, properties: list[str]) -> dict[str, Any]:
    """Return the block's maps, which must be good settings under which events can come."""
    settings = yaml.safe_load(block)
    assert set(settings) == {"stream_maps"}
    assert problems({"customer_id": "a-1b2c", "auth_token": "x", **settings}) == []
    schema = {"type": "object", "properties": {name: {} for name in properties}}
    (own,) = StreamMaps(settings["stream_maps"], {}).plans(stream, schema)
    assert own.named
    assert missing_columns(own.properties, DEFAULTS) == []
    maps = settings["stream_maps"]
    assert isinstance(maps, dict)
    return maps


@pytest.mark.parametrize(
    ("stream", "properties"),
    [
        ("orders", ["id", "created_at", "email", "total_price", "currency", "order_number"]),
        ("public-orders", ["id", "Created_At", "Email", "Amount", "landing_site"]),
        ("charges", ["id", "created", "receipt_email", "amount", "currency"]),
        ("my orders", ["id", "timestamp", "email"]),
        ("orders: all", ["id", "date", "email"]),
        ("#orders", ["id", "date", "email"]),
        ("123", ["id", "date", "email"]),
        ("null", ["id", "date", "email"]),
    ],
)
def test_a_suggestion_can_be_pasted(stream: str, properties: list[str]) -> None:
    """Where all columns are found, the block is YAML that works as it is."""
    maps = _accepted(suggest_map(stream, properties, ["id"]), stream, properties)
    assert maps.pop("__else__") == "__NULL__"
    (columns,) = maps.values()
    assert columns["event_id"] == "id"
    assert columns["source"] == "'web'"
    assert columns["__else__"] == "__NULL__"


@pytest.mark.parametrize(
    "key", ["id", "Id", "order-id", "Order ID", "order.id", "class", "1", "null"]
)
def test_a_suggestion_reads_the_key_by_its_name(key: str) -> None:
    """A key property with any name gives the event ID, not a failing expression."""
    properties = [key, "created_at", "email"]
    maps = _accepted(suggest_map("orders", properties, [key]), "orders", properties)
    schema = {"type": "object", "properties": {name: {} for name in properties}}
    (own,) = StreamMaps(maps, {}).plans("orders", schema)
    assert own.transform is not None
    made = own.transform({key: 7, "created_at": "2026-07-31", "email": "ann@example.com"})
    assert made is not None
    assert made["event_id"] == 7


def test_a_suggestion_escapes_dots() -> None:
    """Meltano reads a dot in a setting's name as a level."""
    assert "shop\\.orders" in suggest_map("shop.orders", ["created_at", "email"], ["id"])


@pytest.mark.parametrize("keys", [[], ["a", "b"]])
def test_a_suggestion_without_a_single_key(keys: list[str]) -> None:
    """Without one key the event ID is derived, so no column is suggested for it."""
    assert "event_id" not in suggest_map("orders", ["a", "b"], keys)


def test_a_suggestion_of_what_is_not_found() -> None:
    """What has to be filled in is there to be seen."""
    block = suggest_map("orders", ["id"], ["id"])
    assert "event_time:" in block
    assert "email:" in block
    assert isinstance(yaml.safe_load(block), dict)


@pytest.mark.parametrize(
    "name", ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "True", "NO"]
)
def test_names_that_yaml_takes_for_values(name: str) -> None:
    """YAML gives such a name another type, unless it is quoted."""
    assert setting_name(name) == f'"{name}"'
