"""Proposed maps: what they recognize in real tables, and that they can be used as they are."""

import pathlib
from typing import Any

import pytest
import yaml
from unit_support import DEFAULTS

from target_liveintent.config import problems
from target_liveintent.mapping.map_checks import lacking_for_events
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.mapping.proposals import advise_map, config_text, propose
from target_liveintent.mapping.stream_maps import Stream, StreamMaps, StreamPlan

TYPES = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "o": "object"}
TIMES = ("t", "d")
TABLES: list[dict[str, Any]] = yaml.safe_load(
    pathlib.Path(__file__).with_name("tables.yaml").read_text(encoding="utf-8")
)


def schema_of(columns: str) -> dict[str, Any]:
    """Return the SCHEMA of columns that are written as `path:type`."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for column in columns.split():
        path, _, kind = column.partition(":")
        *outer, last = path.split(".")
        place = schema
        for step in outer:
            new = {"type": ["null", "object"], "properties": {}}
            place = place["properties"].setdefault(step, new)
        described: dict[str, Any] = {}
        if kind != "x":
            described["type"] = ["null", TYPES.get(kind, "string")]
        if kind in TIMES:
            described["format"] = "date-time"
        place["properties"][last] = described
    return schema


def stream_of(columns: str, *keys: str, name: str = "orders") -> Stream:
    return Stream(name, schema_of(columns), keys)


def proposed(table: dict[str, Any]) -> dict[str, str]:
    """Return what is proposed for a table: `get('a.b')` as `a.b`, without the constants."""
    stream = Stream(table["stream"], schema_of(table["columns"]), tuple(table["keys"]))
    found = propose(stream, table.get("records", ())).expressions
    found = {column.strip("_"): text for column, text in found.items()}
    return {column: text for column, text in found.items() if (column, text) != ("source", "'web'")}


def is_right(expression: str, column: str) -> bool:
    return any(expression in {right, f"get({right!r})"} for right in column.split("|"))


@pytest.mark.parametrize("table", TABLES, ids=lambda one: f"{one['tap']}, {one['stream']}")
def test_what_is_recognized(table: dict[str, Any]) -> None:
    """Whatever is proposed for a table is right; only a column that is unclear is left out."""
    found, right = proposed(table), table["map"]
    wrong = [
        one for one in {*found, *right} if not is_right(found.get(one, ""), right.get(one, ""))
    ]
    assert not wrong, found


def lines_of(stream: Stream, *records: dict[str, Any]) -> str:
    return "\n".join(propose(stream, records).as_yaml("x"))


@pytest.mark.parametrize(
    ("columns", "values", "said"),
    [
        ("mail_1 mail_2", {}, "email: not recognized; candidates: mail_1, mail_2"),
        ("a b", dict.fromkeys("ab", "x@example.com"), "email: not recognized; candidates: a, b"),
        ("email", {"email": "Jane"}, "email: not recognized; candidates: email"),
        ("page", {"page": "7"}, "source_url: not recognized; candidates: page"),
        ("a", {"a": "https://x.example/?li_did=x"}, "source_url: get('a')"),
        # Which of the two is the month is not known.
        ("date", {"date": "03/04/2026"}, "event_time: not recognized; candidates: date"),
        ("date", {"date": "4/23/2026"}, "event_time: parse_time(get('date'), '%m/%d/%Y')"),
        ("date", {"date": "$46354"}, "event_time: not recognized; candidates: date"),
        ("updated_at:t", {}, "event_time: not recognized; candidates: updated_at"),
        ("total_cents:i", {}, "value: total_cents is in cents, but no column has the currency"),
        ("totalcents:i currency", {}, "minor_units(get('totalcents'), get('currency'))"),
        ("data.info.x.emailinfo", {}, "email: get('data.info.x.emailinfo')"),
        # Small integers are not taken for cents. A text may break the SCHEMA.
        ("total:i cur", {"total": 999, "cur": "EUR"}, "value: get('total')"),
        ("total:i cur", {"total": 1_000, "cur": "EUR"}, "value: minor_units(get('total')"),
        ("total:i cur", {"total": "1 000", "cur": "EUR"}, "value: minor_units(get('total')"),
        ("consent:b", {}, "consent: not recognized; candidates: consent"),
        *((one, {}, f"a filter can also read get('{one}')") for one in ("pay_status", "dealstage")),
        ("status is_test:b", {}, "extend __filter__: it can also read get('status')"),
        ("uuid", {}, "order_id: get('uuid')"),  # The stream is `orders`.
        ("a b", {"a": "x", "b": "2026-08-01 10:00"}, "event_time: get('b')"),
        # An object may hold more than its SCHEMA says.
        ("buyer:o", {"buyer": {"email": "a@example.com"}}, "email: get('buyer.email')"),
        ("currency", {"currency": "ZZZ"}, "currency: not recognized; candidates: currency"),
    ],
)
def test_what_values_say(columns: str, values: dict[str, Any], said: str) -> None:
    """Values decide what names leave open; where several columns fit, a person chooses."""
    assert said in lines_of(stream_of(columns), values)


@pytest.mark.parametrize("record", [{"_sdc_email": "a@example.com"}, {"a.b": {"email": "x"}}])
def test_columns_that_no_map_should_read(record: dict[str, Any]) -> None:
    """What a tap adds, what is deep in objects or in one with a dot, and what is no word."""
    assert "email" not in lines_of(stream_of("_sdc_email id mailx data.info.x.object.mail"), record)


def test_a_type_that_is_no_list() -> None:
    columns = {"total_cents": {"type": "integer"}, "currency": {"type": "string"}}
    assert "value: minor_units(" in lines_of(Stream("orders", {"properties": columns}, ()))


def test_the_currency_of_an_amount() -> None:
    """It is that of the same object, and then no other one is a candidate."""
    assert "value: not recognized" not in lines_of(stream_of("total_cents:i"))
    text = lines_of(stream_of("fee.amount:n fee.currency total.amount:n total.currency"))
    assert "currency: get('total.currency')" in text
    assert "currency: not recognized" not in text


@pytest.mark.parametrize("column", ["deleted:t", "is_test"])
def test_a_filter_reads_only_flags(column: str) -> None:
    """A time of deletion, or a text that means neither yes nor no, is none."""
    records = [{"is_test": "maybe"}] if column == "is_test" else []
    assert "__filter__" not in lines_of(stream_of(column), *records)


@pytest.mark.parametrize(("kind", "is_named"), [("object", 0), ("array", 0), ("string", 1)])
def test_what_holds_other_values_is_no_column(kind: str, is_named: bool) -> None:
    stream = Stream("s", {"properties": {"payment_status": {"type": ["null", kind]}}}, ())
    assert ("get('payment_status')" in lines_of(stream)) == is_named


def test_a_schema_of_alternatives() -> None:
    """Some taps write the types of a time as `anyOf`."""
    described = {"anyOf": [True, {"type": "string", "format": "date-time"}, {"type": "null"}]}
    stream = Stream("s", {"properties": {"x": described, "y": {"type": "string"}}}, ())
    assert propose(stream).expressions["event_time"] == "get('x')"


@pytest.mark.parametrize("value", ["B/50000", "web/2026", "SKU/1 x"])
def test_a_number_is_no_browser(value: str) -> None:
    """A browser names itself by a word, a version and more."""
    found = [propose(stream_of("a email"), [{"a": one}]) for one in (value, "Mozilla/5.0 (X11)")]
    assert [one.expressions.get("user_agent") for one in found] == [None, "get('a')"]


@pytest.mark.parametrize("number", [2_125_551_234, "2125551234", 46_354, "20261128"])
def test_a_number_is_no_time_by_its_size(number: Any) -> None:
    """It may be a telephone number or an ID, unless its name says that it is a time."""
    assert "event_time" not in lines_of(stream_of("a"), {"a": number})
    assert "event_time: " in lines_of(stream_of("sold_at"), {"sold_at": number})


@pytest.mark.parametrize(
    ("keys", "event_id"),
    [
        (("id",), "get('id')"),
        (("_sdc_source_file", "_sdc_source_lineno"), "get('order_no')"),
        (("_smart_source_lineno", "id"), "get('id')"),
        ((), "get('order_no')"),
        (("id", "order_no"), None),
    ],
)
def test_the_event_id(keys: tuple[str, ...], event_id: str | None) -> None:
    """The key identifies an event; its position in a file never does."""
    proposal = propose(stream_of("id:i order_no created_at:t email", *keys))
    assert proposal.expressions.get("event_id") == event_id
    said = [] if event_id else ["event_id: derived from the keys id, order_no"]
    assert [one for one in proposal.remarks if one.startswith("event_id")] == said


def test_an_event_id_differs_in_each_record() -> None:
    stream = stream_of("order_no created_at:t email")
    assert "event_id: derived from the whole record" in lines_of(stream, *[{"order_no": 1}] * 2)


def test_a_decision_id_is_no_url() -> None:
    """Where a URL holds it, `source_url` gives it."""
    page = "https://shop.example.com/?li_did=6d92078a-8246-4ba4-ae5b-76104861e7dc"
    found = propose(stream_of("entry_page x"), [{"entry_page": page}]).expressions
    assert (found.get("source_url"), found.get("decision_id")) == ("get('entry_page')", None)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_advised(name: str) -> None:
    """Columns of a preset's stream suggest the preset, unless the stream uses one already."""
    stream = stream_of(" ".join([*PRESETS[name].signature, "other"]), "id", name="shop.orders")
    bare = DEFAULTS._replace(pixel_id=None)
    advice = advise_map(stream, bare, in_use=False)
    assert f"`presets: {{shop\\.orders: {name}}}`" in advice
    assert "and also pixel_id" in advice
    assert f"{name}}}`. To see" in advise_map(stream, DEFAULTS, in_use=False)
    assert advise_map(stream, bare, in_use=True).startswith("A map to start from:\nstream_maps:")


def accepted(stream: Stream) -> StreamPlan:
    """Return the plan of a proposal, which must be good settings under which events can come."""
    advice = advise_map(stream, DEFAULTS, in_use=False)
    settings = yaml.safe_load(advice.removeprefix("A map to start from:\n"))
    assert set(settings) == {"stream_maps"}
    assert problems({"customer_id": "a-1b2c", "auth_token": "x", **settings}) == []
    assert settings["stream_maps"].pop("__else__") == "__NULL__"
    (own,) = StreamMaps(settings["stream_maps"], {}).plans(stream.name, stream.schema)
    assert own.named
    assert own.dropped is None
    assert lacking_for_events(own, stream.schema, DEFAULTS) == []
    return own


@pytest.mark.parametrize(
    "name", ["public-orders", "orders: all", "#orders", "123", "null", "NO", "y", "true", "a\x7fb"]
)
def test_a_proposal_can_be_pasted(name: str) -> None:
    """Where all columns are found, the block is YAML that works as it is."""
    origins = accepted(stream_of("id created_at email is_test:b", "id", name=name)).origins
    assert (origins["event_id"].text, origins["source"].text) == ("get('id')", "'web'")


@pytest.mark.parametrize("key", ["id", "Id", "order-id", "Order ID", "order.id", "class", "null"])
def test_a_proposal_reads_the_key_by_its_name(key: str) -> None:
    """A key property with any name gives the event ID, not a failing expression."""
    properties = {name: {"type": ["string"]} for name in (key, "created_at", "email")}
    transform = accepted(Stream("orders", {"properties": properties}, (key,))).transform
    made = transform({key: 7, "created_at": "2026-07-31", "email": "ann@example.com"})
    assert made is not None
    assert made["event_id"] == 7


def test_names_cannot_add_lines_to_the_yaml() -> None:
    """A tap's names stay within their comment, and no address is in one."""
    hostile = "mail\ninjected: 1\x1b"
    schema: dict[str, Any] = {
        "properties": {hostile: {}, "mail x@example.com": {}, "created_at": {}}
    }
    block = lines_of(Stream("s", schema, ()))
    assert yaml.safe_load(block)["x"].keys() == {"event_time", "source", "__else__"}
    assert "x@example.com" not in block


BLANKS = {"customer_id", "auth_token", "pixel_id"}


def test_a_configuration() -> None:
    """All is filled in but what only the owner knows, and each line has its comment."""
    people = stream_of("id email created_at:t", "id", name="people")
    shop = stream_of(" ".join(PRESETS["shopify"].signature), "id", name="shop.orders")
    sales = stream_of("id created_at:t email total:n", "id")
    text = config_text([(sales, ()), (people, ())])
    config = yaml.safe_load(text)
    assert {name for name, value in config.items() if value is None} == BLANKS
    assert config["stream_maps"]["orders"]["value"] == "get('total')"
    assert "people" not in config["stream_maps"]
    assert "# not proposed, because it has no amount or no person: people\n" in text
    assert all("#" in line for line in text.splitlines())
    filled = {**config, "customer_id": "a-1b2c", "auth_token": "x", "pixel_id": 1}
    assert problems(filled) == []
    config = yaml.safe_load(config_text([(people, ()), (shop, ()), (sales, ())]))
    assert config["presets"] == {"shop.orders": "shopify"}
    assert config["stream_maps"].keys() == {"orders", "__else__"}
    # Where nothing has an amount, all that can be sent is; where nothing can be, one says why.
    assert "people" in yaml.safe_load(config_text([(people, ())]))["stream_maps"]
    without_people = stream_of("a created_at:t")
    chosen = yaml.safe_load(config_text([(without_people, ()), (people, ())]))["stream_maps"]
    assert chosen.keys() == {"people", "__else__"}
    nothing = config_text([(stream_of("a b:t c:t"), ()), (stream_of("a", name="other"), ())])
    assert "no person: other" in nothing
    assert "event_time: not recognized; candidates: b, c" in nothing
