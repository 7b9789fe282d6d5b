"""Suggestions: misspelled names, and columns that are not there."""

from typing import Any

import pytest
from unit_support import BARE, DEFAULTS, each_of, name_of

from target_liveintent.config import problems
from target_liveintent.conversions.fields import IDENTIFYING
from target_liveintent.mapping.expressions import Compiler
from target_liveintent.mapping.map_checks import (
    AbsentStream,
    MapFinding,
    absent_streams,
    can_be_set,
    lacking_for_events,
    map_warnings,
)
from target_liveintent.mapping.map_settings import maps_with_dots, presets_with_dots
from target_liveintent.mapping.similar_names import did_you_mean, meant_name
from target_liveintent.mapping.stream_maps import StreamPlan
from target_liveintent.mapping.vocabulary import vocabulary
from target_liveintent.settings import EventDefaults


@each_of(
    "name, known, near",
    {
        "letters swapped": ("ordres", ["orders", "people"], "orders"),
        "known in lower case": ("ORDERS", ["orders"], "orders"),
        "known in upper case": ("orders", ["Orders"], "Orders"),
        "camel case": ("createdAt", ["created_at"], "created_at"),
        "nearest of two": ("guest_mial", ["guest_name", "guest_mail"], "guest_mail"),
        # What has only some words in common is something else.
        "only one word shared": ("guest_email", ["guest_name"], None),
        "longer by a word": ("order_items", ["orders"], None),
        "longer known name": ("orders", ["people", "orders_archive"], None),
        "nothing known": ("orders", [], None),
    },
)
def test_the_most_similar_known_name_is_suggested(
    name: str, known: list[str], near: str | None
) -> None:
    """The most similar known name is suggested, in its own spelling."""
    assert did_you_mean(name, known) == (f"; did you mean '{near}'?" if near else "")


OURS = ("consent", "event_time", "order_id", "ip", "aaid", "__else__", "__source__", "source")


@each_of(
    "meant, names",
    {
        # From eight letters on, two edits; with fewer, one.
        "two edits of long name": (
            "event_time",
            "EventTime event-time event_tiem evnt_tiem event_times vent_tme event_type",
        ),
        "one edit of short name": ("consent", "Consent consnt cosnent con_sent consentt condent"),
        "two edits of short name": (None, "cnsnt consentes snetnoc"),
        # Signs are no letters.
        "other signs": ("order_id", "orderid order.id order_ids"),
        "other words": (None, "order_no order_date order order_ref"),
        # Another abbreviation, or a word, is one edit away from a short name; but not from `else`.
        "two letters": ("ip", "IP i_p ip_"),
        "capitals of an abbreviation": ("aaid", "AAID"),
        "other abbreviations": (None, "id ip2 ipv6 paid maid gaid said"),
        "special column without its signs": ("__else__", "else Else els _esle_ __else"),
        "words near a special column": (None, "sale false"),
        # The nearest in its spelling as well.
        "plain name": ("source", "Source sources source_"),
        "name with underscores": ("__source__", "__source _source_ __SOURCE"),
        "unlike any, or very long": (
            None,
            "value name url created_at customer_email _sdc_deleted_at _ consent" + "s" * 9_999,
        ),
    },
)
def test_a_misspelled_name_of_ours_is_recognized(meant: str | None, names: str) -> None:
    for name in names.split():
        assert (name, meant_name(name, OURS)) == (name, meant)


def test_a_name_beside_the_one_it_resembles_may_differ_more() -> None:
    """Two edits are another name then, but one edit is a mistake."""
    assert meant_name("event_type", OURS, given=["event_time"]) is None
    assert meant_name("event_tiem", OURS, given=["event_time"]) == "event_time"


def unknown(expression: str, schema: dict[str, Any], column: str = "value") -> list[str]:
    """Return what is said of an expression for a column."""
    plan = StreamPlan("s", True, origins={column: Compiler({}).compile(column, expression)})
    findings = map_warnings(plan, schema)
    return [finding.words.removeprefix("in the map of 's', ") for finding in findings]


def lacking(expressions: dict[str, str], schema: dict[str, Any]) -> list[str]:
    """Return what a stream with a map of these expressions lacks."""
    compiler = Compiler({"config": {}})
    origins = {column: compiler.compile(column, one) for column, one in expressions.items()}
    plan = StreamPlan("s", True, properties=("event_time", "email"), origins=origins)
    return [finding.words for finding in lacking_for_events(plan, schema, DEFAULTS)]


PRICE = {"type": "object", "properties": {"amount": {}, "any": {"type": "object"}}}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("price.amout", "; did you mean 'amount'?"),
        ("price.amout.x", "; did you mean 'amount'?"),
        ("prise.amount", "; did you mean 'price'?"),
        ("zzz", ""),
        ("price.0", ""),
        ("net.price", "; to read the column whose name has a dot, write _.get('net.price')"),
        # What is no object has no steps; a list has those of its items; and one may be null.
        ("name.first", ""),
        ("items.0.pirce", "; did you mean 'price'?"),
        ("items.price", ""),
        ("nullable.amuont", "; did you mean 'amount'?"),
        ("prefixed.y_1", ""),
    ],
    ids=lambda text: text or "no hint",
)
def test_a_path_that_the_schema_lacks_is_found(path: str, hint: str) -> None:
    """Each step of a path must be in the tap's schema, as far as the schema lists properties."""
    others = {
        "name": {"type": ["null", "string"]},
        "items": {"type": ["array", "null"], "items": {"properties": {"price": {}}}},
        "nullable": {"anyOf": [PRICE, {"type": "null"}]},
        "prefixed": {**PRICE, "patternProperties": {"^x_": {}}},
    }
    schema = {"type": "object", "properties": {"price": PRICE, "net.price": {}, **others}}
    for closed in (schema, {**schema, "additionalProperties": False}):
        assert unknown(f"get('{path}')", closed) == [
            f"'value' reads '{path}', which is not in the tap's SCHEMA{hint}"
        ]


NAMED = ("emial", "_['emial']", "[emial for e in email][0]", "coalesce(emial, email)")


@pytest.mark.parametrize(
    "expression",
    [
        *("get('price')", "get('price.amount')", "get('price.amount.x')", "record"),
        # Whether `_sdc_deleted_at` is there depends on how the tap replicates.
        *("get('price.any.x')", "get('_sdc_deleted_at')"),
        "coalesce(get('zzz'), get('price.amount'))",
    ],
)
def test_a_path_that_the_schema_has_is_no_finding(expression: str) -> None:
    assert unknown(expression, {"properties": {"price": PRICE}}) == []


@each_of(
    "opening",
    {
        "others are allowed": {"additionalProperties": True},
        "others of a type are allowed": {"additionalProperties": {"type": "string"}},
        "others by pattern": {"patternProperties": {"^z": {}}},
        "others by reference": {"$ref": "#/definitions/price"},
        "alternatives": {"anyOf": [{"type": "object"}, {"type": "null"}]},
        "no properties": {"properties": {}},
        "properties are null": {"properties": None},
    },
)
def test_a_schema_that_allows_other_properties_proves_nothing(opening: dict[str, Any]) -> None:
    """This goes for columns, and for what is inside an object."""
    schema = {**PRICE, **opening}
    assert unknown("get('zzz')", schema) == []
    assert unknown("get('price.z')", {"properties": {"price": schema}}) == []


@each_of(
    "kind",
    {
        "unspecified": {},
        "text or object": {"type": ["string", "object"]},
        "object or anything": {"anyOf": [PRICE, {}]},
        "invalid": 5,
    },
)
def test_a_column_without_a_description_may_have_any_path(kind: Any) -> None:
    assert unknown("get('price.zzz.0.x')", {"properties": {"price": kind}}) == []


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        *((name, name) for name in ("total_cents", "AMOUNT_CENTS", "totalCents", "price_minor")),
        *((f"total_{word}", f"total_{word}") for word in sorted(vocabulary().amounts.minor)),
        ("float(get('total.cents'))", "total.cents"),
        *((name, None) for name in ("percent", "adjacent_total", "minority", "recent")),
        *((f"total_cents {end}", None) for end in ("/ 100", "* 0.01")),
        ("minor_units(total_cents, 'EUR')", None),
    ],
    ids=name_of,
)
def test_cents_that_are_not_converted_are_found(expression: str, column: str | None) -> None:
    """Only the name says it, and a map that computes with the amount may convert it."""
    said = unknown(expression, {})
    assert (
        said == []
        if column is None
        else f"reads '{column}' as an amount, but that name means cents" in said[0]
    )


def test_a_column_that_no_event_has_is_found() -> None:
    """A column that no event has is named."""
    said = "the map of 'orders' sets '{}', but events have no such column{}"
    columns = ["value", "valeu", "event_date", "zzz", "__filter__"]
    plan = StreamPlan("orders", True, origins={c: Compiler({}).compile(c, "1") for c in columns})
    assert [finding.words for finding in map_warnings(plan, {})] == [
        said.format("valeu", "; did you mean 'value'?"),
        said.format("event_date", "; did you mean 'event_time'?"),
        said.format("zzz", ""),
    ]


@pytest.mark.parametrize(
    ("expression", "lacks"),
    [
        *((one, "the column 'emial', which '{}' reads (did you mean 'email'?)") for one in NAMED),
        *(
            (f"coalesce({one}, email)", f"the column '{one}', which '{{}}' reads")
            for one in ("zzz", "get")
        ),
        *((one, None) for one in ("get('emial')", "_.get('emial')", "email", "self", "str")),
        *((one, None) for one in ("[x for x in email][0]", "config", "_sdc_deleted_at", "_")),
    ],
    ids=name_of,
)
def test_a_bare_name_that_is_in_no_record_ends_the_run(expression: str, lacks: str | None) -> None:
    """It ends the run before the first record; with `get`, a column may be absent."""
    schema = {"properties": {"email": {}}}
    wanted = [] if lacks is None else [lacks.format("value")]
    assert lacking({"value": expression}, schema) == wanted
    assert lacking({"value": expression}, {**schema, "additionalProperties": True}) == []


OPEN = {**PRICE, "additionalProperties": True}
PAID = {"properties": {"status": {}, "paid_at": {}, "a.b": {}, "guest": PRICE, "meta": OPEN}}


@pytest.mark.promise("If a column is renamed, no event is sent twice, and the filter still works")
@each_of(
    "expression, lacks",
    {
        "path compared": ("get('state') == 'paid'", "state"),
        "path in a comprehension": ("[get('state')][0]", "state"),
        "key of the record": ("_.get('state')", "state"),
        "one of two columns": ("state == 'paid' or status", "state"),
        "misspelled column": ("lower(get('statsu'))", "statsu' (did you mean 'status'?)"),
        "misspelled field": ("get('guest.amout')", "guest.amout' (did you mean 'amount'?)"),
        "column name with a dot": (
            "get('a.b')",
            "a.b' (to read the column whose name has a dot, write _.get('a.b'))",
        ),
        # It is read from the record, or there is an alternative, or nothing is known.
        "consent": ("get('consent')", None),
        "deletion": ("not get('_sdc_deleted_at')", None),
        "whole record": ("_.items()", None),
        "fallback to consent": ("coalesce(get('x'), get('consent'))", None),
        "field of consent": ("get('consent.given')", None),
        "consent in another object": ("get('guest.consent')", "guest.consent"),
        "refusal in consent": ("not get('consent.denied')", "consent.denied"),
        "other column of SDK": ("get('_sdc_is_test') is None", "_sdc_is_test"),
        "fallback to known column": ("coalesce(get('state'), status)", None),
        "default value": ("_.get('state', 'paid')", None),
        "field of an open object": ("get('guest.any.state')", None),
        "field of unspecified column": ("get('meta.state')", None),
        "constant": ("True", None),
        "the value itself": ("self", None),
    },
)
def test_a_deciding_expression_needs_its_columns(expression: str, lacks: str | None) -> None:
    """What decides which events are sent, when and as what needs its columns, with `get` as well.

    A SCHEMA names its columns, even if it allows others, unless it names none at all.
    """
    path, _, hint = (lacks or "").partition("'")
    for column in ("__filter__", "event_id", "event_time"):
        said = f"the column '{path}', which '{column}' reads{hint}"
        for schema in (PAID, {**PAID, "additionalProperties": True}):
            assert lacking({column: expression}, schema) == ([said] if lacks else [])
            assert not [one for one in unknown(expression, schema, column) if path in one and lacks]
        for empty in ({"properties": {}}, {"properties": {}, "additionalProperties": True}):
            assert lacking({column: expression}, empty) == []


@each_of(
    "expression, lacks",
    {
        "no opt-out": ("not get('opt_out')", True),
        "opt-out is null": ("get('opt_out') is None", True),
        "unequal to a value": ("get('x') != 1", True),
        "opt-in": ("get('opt_in')", False),
        "opt-in, or null": ("coalesce(get('opt_in'), None)", False),
        "opt-out is false": ("get('opt_out') is False", False),
        "consent itself": ("get('consent')", False),
        "default for opt-out": ("not coalesce(get('opt_out'), False)", False),
        "declared column": ("not get('status')", False),
    },
)
def test_consent_is_not_given_without_its_column(expression: str, lacks: bool) -> None:
    """Nobody agrees by a column that is not there; a map that sends nobody then may run."""
    assert bool(lacking({"consent": expression}, PAID)) == lacks


QUOTES = " (if you mean a fixed text, write the text in two pairs of quotes: \"'{}'\")"


@each_of(
    "column, text, hint",
    {
        "currency": ("currency", "EUR", QUOTES.format("EUR")),
        "source": ("source", "web-shop", QUOTES.format("web-shop")),
        "misspelled column": ("email", "emial", " (did you mean 'email'?)"),
        "several words": ("currency", "EUR or USD", ""),
        # As a fixed text, they would let everybody pass, or be wrong.
        "filter": ("__filter__", "yes", ""),
        "consent": ("consent", "yes", ""),
        "event ID": ("event_id", "yes", ""),
        "order ID": ("order_id", "yes", ""),
    },
)
def test_a_fixed_text_in_one_pair_of_quotes_gets_a_hint(column: str, text: str, hint: str) -> None:
    """The quotes of `currency: 'EUR'` belong to YAML, and the expression is a name."""
    origins = {column: Compiler({}).compile(column, text)}
    plan = StreamPlan("s", True, properties=("event_time", "email"), origins=origins)
    first = lacking_for_events(plan, {"properties": {"email": {}}}, DEFAULTS)[0]
    assert first.words.partition(f", which '{column}' reads")[2] == hint


@each_of(
    "named, came, absent",
    {
        "all named": (["orders", "order*"], "orders", []),
        "misspelled": (["ordres"], "orders", [("ordres", "orders")]),
        # A stream that did not come is similar only to streams that no map names.
        "similar to a named one": (["ordres", "orders"], "orders", [("ordres", None)]),
        "similar to a pattern": (["ordres", "ord*"], "orders", [("ordres", None)]),
        "not similar": (["users"], "public-orders", [("users", None)]),
    },
)
def test_a_map_of_a_stream_that_did_not_come_is_found(
    named: list[str], came: str, absent: list[tuple[str, str | None]]
) -> None:
    assert absent_streams(named, [came]) == [AbsentStream(*one) for one in absent]


# What a stream must have so that events can be built from its records

ALL = ["event_time", "email", "pixel_id", "source"]


def lacking_as_it_is(properties: list[str], defaults: EventDefaults) -> list[MapFinding]:
    """Return what a stream with these columns, and without a map, lacks."""
    return lacking_for_events(StreamPlan.without_map("s", properties), {}, defaults)


@each_of(
    "properties, defaults, missing",
    {
        **{name: (["event_time", name], DEFAULTS, []) for name in IDENTIFYING},
        "pixel and source as columns": (ALL, BARE, []),
        "no time": (["email"], DEFAULTS, ["event_time"]),
        "no identity": (["event_time", "ip", "idfa"], DEFAULTS, ["email"]),
        "neither pixel nor source": (["event_time", "email"], BARE, ["pixel_id", "source"]),
        "no source": (["event_time", "email", "pixel_id"], BARE, ["source"]),
        "no columns at all": ([], BARE, ALL),
        "columns of other names": (["created_at", "Email"], DEFAULTS, ["event_time", "email"]),
    },
)
def test_what_a_stream_lacks_for_events_is_found(
    properties: list[str], defaults: EventDefaults, missing: list[str]
) -> None:
    """Everything that a stream lacks is a finding of its own."""
    findings = lacking_as_it_is(properties, defaults)
    assert len(findings) == len(missing)
    for finding, name in zip(findings, missing, strict=True):
        assert name in finding.words


def test_settings_supply_exactly_what_they_can() -> None:
    """The settings supply exactly the findings that disappear when they are set."""
    missing = lacking_as_it_is([], BARE)
    still_missing = lacking_as_it_is([], DEFAULTS)
    assert can_be_set([finding for finding in missing if finding not in still_missing])
    assert not any(can_be_set([finding]) for finding in still_missing)


# Names of streams with dots, of which Meltano makes levels

MAIL = {"email": "mail"}


@each_of(
    "nested, maps",
    {
        "already flat": (
            {"orders": MAIL, "a.b": {}, "__else__": None},
            {"orders": MAIL, "a.b": {}, "__else__": None},
        ),
        "three levels": ({"Sales": {"EU": {"Orders": MAIL}}}, {"Sales.EU.Orders": MAIL}),
        "map and map below": ({"Sales": {**MAIL, "EU": MAIL}}, {"Sales": MAIL, "Sales.EU": MAIL}),
        "empty map below": ({"Sales": {"EU": {}}}, {"Sales.EU": {}}),
        "stream dropped below": (
            {"Sales": {"EU": MAIL, "Old": None}},
            {"Sales.EU": MAIL, "Sales.Old": None},
        ),
        # A column, or a stream: neither is sent.
        "stream dropped by text": (
            {"Sales": {"Old": "__NULL__"}},
            {"Sales": {"Old": "__NULL__"}, "Sales.Old": "__NULL__"},
        ),
        # A column of ours and an option are no levels, so that their objects are problems.
        "object as an expression": ({"a": {"email": MAIL}}, {"a": {"email": MAIL}}),
        "object as a filter": ({"a": {"__filter__": MAIL}}, {"a": {"__filter__": MAIL}}),
        "columns dropped": (
            {"a": {"email": None, "__else__": None}},
            {"a": {"email": None, "__else__": None}},
        ),
        "values that are no maps": (
            {"a": None, "b": "__NULL__", "c": 5},
            {"a": None, "b": "__NULL__", "c": 5},
        ),
    },
)
def test_levels_of_maps_become_names_with_dots(
    nested: dict[str, Any], maps: dict[str, Any]
) -> None:
    assert dict(maps_with_dots(nested)) == maps


def test_levels_of_presets_become_names_with_dots() -> None:
    nested = {"Sales": {"EU": {"Orders": "shopify"}, "US": 5}, "a.b": "shopify"}
    joined = {"Sales.EU.Orders": "shopify", "Sales.US": 5, "a.b": "shopify"}
    assert dict(presets_with_dots(nested)) == joined


def test_a_stream_with_two_maps_is_a_problem() -> None:
    """Once with levels, and once with a dot in a file."""
    account = {"customer_id": "a-1b2c", "auth_token": "x"}
    assert problems({**account, "stream_maps": {"a": {"b": MAIL}, "a.b": MAIL}}) == [
        "setting 'stream_maps' has the stream 'a.b' twice: remove one of them"
    ]
