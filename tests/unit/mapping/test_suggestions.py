"""Suggestions: misspelled names, settings to set, and maps to start from that can be pasted."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

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
    suggest_map,
    unknown_columns,
    unknown_reads,
)
from target_liveintent.singer.stream_maps import StreamMaps

if TYPE_CHECKING:
    from target_liveintent.mapping.converter import StreamPlan


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("ordres", ["orders", "people"], "orders"),
        ("ORDERS", ["orders"], "orders"),
        ("orders", ["Orders"], "Orders"),
        ("orders", ["people"], None),
        ("orders", [], None),
        # Names of which only the first words are the same are not suggested.
        ("guest_mial", ["guest_name", "guest_mail"], "guest_mail"),
        ("guest_email", ["guest_name"], None),
        ("created", ["created_at"], "created_at"),
        ("createdAt", ["created_at"], "created_at"),
        ("__", ["_"], "_"),
    ],
)
def test_did_you_mean(name: str, known: list[str], near: str | None) -> None:
    """The most similar known name is suggested, in its own spelling."""
    assert did_you_mean(name, known) == (f"; did you mean '{near}'?" if near else "")


MISSPELLED = (  # A letter, the case or the schema before it may be wrong.
    *("ordres orders", "order orders", "public-ordres public-orders", "orders public-orders"),
    *("Public-Orders public-orders", "Sales.Order sales-orders"),
)
OTHERS = (  # Streams that begin alike are other streams, not misspelled ones.
    *("public-users public-orders", "public-order_items public-orders", "order_items orders"),
    *("orders_archive orders", "customers customer_orders", "orders_eu orders_us"),
    *("orders-1 orders-2", "people orders", "public- public-orders"),
)


@pytest.mark.parametrize("names", [*MISSPELLED, *OTHERS])
def test_misspelled_streams(names: str) -> None:
    for name, known in (names.split(), reversed(names.split())):
        hint = f"; did you mean '{known}'?" if names in MISSPELLED else ""
        assert did_you_mean_stream(name, [known]) == hint


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


OPENINGS: list[dict[str, Any]] = [
    *({"additionalProperties": True}, {"additionalProperties": {"type": "string"}}),
    *({"patternProperties": {"^x_": {}}}, {"$ref": "#/definitions/price"}),
    {"anyOf": [{"type": "object"}, {"type": "null"}]},
    *({"properties": {}}, {"properties": None}),
]
"""What allows properties that a schema does not list, so that it proves nothing."""
UNLISTED: list[Any] = [
    *({}, {"type": ["string", "null"]}, {"type": "array", "items": PRICE}, 5),
    {"type": ["string", "number", "integer", "array", "object", "boolean", "null"]},
    {"anyOf": [PRICE, {"type": "null"}]},
]
"""Columns of which only the column itself must be there."""


@pytest.mark.parametrize(
    ("expression", "schema"),
    [
        *(
            (expression, {"properties": {"price": PRICE}})
            for expression in (
                *("get('price')", "get('price.amount')", "get('price.amount.x')", "record"),
                # Whether `_sdc_deleted_at` is there depends on how the tap replicates.
                *("get('price.any.x')", "get('_sdc_deleted_at')"),
                "coalesce(get('zzz'), get('price.amount'))",
            )
        ),
        *(("get('zzz')", {**PRICE, **opening}) for opening in OPENINGS),
        *(("get('price.z')", {"properties": {"price": {**PRICE, **one}}}) for one in OPENINGS),
        *(("get('price.zzz.0.x')", {"properties": {"price": kind}}) for kind in UNLISTED),
    ],
)
def test_known_reads(expression: str, schema: dict[str, Any]) -> None:
    """Where the schema has a path, or does not say what there is, nothing is said."""
    assert unknown(expression, schema) == []


def test_unknown_columns() -> None:
    """A column that no event has is named; the API's own spelling is known."""
    said = "the map of 'orders' sets '{}', but events have no such column{}"
    columns = ["value", "eventId", "valeu", "event_date", "zzz"]
    assert list(unknown_columns("orders", columns)) == [
        said.format("valeu", "; did you mean 'value'?"),
        said.format("event_date", "; did you mean 'event_time'?"),
        said.format("zzz", ""),
    ]


@pytest.mark.parametrize(
    ("named", "came", "absent"),
    [
        (["orders", "order*"], "orders", []),
        (["ordres"], "orders", [("ordres", "; did you mean 'orders'?")]),
        # A stream that did not come is similar only to streams that no map names.
        (["ordres", "orders"], "orders", [("ordres", "")]),
        (["ordres", "ord*"], "orders", [("ordres", "")]),
        (["public-users"], "public-orders", [("public-users", "")]),
    ],
)
def test_absent_streams(named: list[str], came: str, absent: list[tuple[str, str]]) -> None:
    assert list(absent_streams(named, [came])) == absent


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


def accepted(stream: str, properties: list[str], key: str) -> StreamPlan:
    """Return the plan of a suggestion, which must be good settings under which events can come."""
    settings = yaml.safe_load(suggest_map(stream, properties, [key]))
    assert set(settings) == {"stream_maps"}
    assert problems({"customer_id": "a-1b2c", "auth_token": "x", **settings}) == []
    assert settings["stream_maps"].pop("__else__") == "__NULL__"
    schema = {"type": "object", "properties": {name: {} for name in properties}}
    (own,) = StreamMaps(settings["stream_maps"], {}).plans(stream, schema)
    assert own.named
    assert not own.passes_others
    assert missing_columns(own.properties, DEFAULTS) == []
    return own


@pytest.mark.parametrize(
    ("stream", "properties"),
    [
        ("orders", ["id", "created_at", "email", "total_price", "currency", "order_number"]),
        ("public-orders", ["id", "Created_At", "Email", "Amount", "landing_site"]),
        ("charges", ["id", "created", "receipt_email", "amount", "currency"]),
        *(
            (stream, ["id", "date", "email"])
            for stream in ("my orders", "orders: all", "#orders", "123", "null")
        ),
    ],
)
def test_a_suggestion_can_be_pasted(stream: str, properties: list[str]) -> None:
    """Where all columns are found, the block is YAML that works as it is."""
    origins = accepted(stream, properties, "id").origins
    assert (origins["event_id"].expression, origins["source"].expression) == ("id", "'web'")


@pytest.mark.parametrize(
    "key", ["id", "Id", "order-id", "Order ID", "order.id", "class", "1", "null"]
)
def test_a_suggestion_reads_the_key_by_its_name(key: str) -> None:
    """A key property with any name gives the event ID, not a failing expression."""
    transform = accepted("orders", [key, "created_at", "email"], key).transform
    assert transform is not None
    made = transform({key: 7, "created_at": "2026-07-31", "email": "ann@example.com"})
    assert made is not None
    assert made["event_id"] == 7


def test_a_suggestion_of_what_is_not_found() -> None:
    """What has to be filled in is there to be seen, and an event ID is left to be derived.

    Meltano reads a dot in a setting's name as a level.
    """
    for keys in ([], ["a", "b"]):
        block = yaml.safe_load(suggest_map("shop.orders", ["a", "b"], keys))
        assert block["stream_maps"] == {
            "__else__": "__NULL__",
            "shop\\.orders": {
                **dict.fromkeys(("event_time", "email"), "<the column with it>"),
                "source": "'web'",
                "__else__": "__NULL__",
            },
        }


@pytest.mark.parametrize(
    "name", ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "True", "NO"]
)
def test_names_that_yaml_takes_for_values(name: str) -> None:
    """YAML gives such a name another type, unless it is quoted."""
    assert setting_name(name) == f'"{name}"'
