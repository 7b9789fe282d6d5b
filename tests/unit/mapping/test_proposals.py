"""Proposed maps: what they recognize in real tables, and that they can be used as they are."""

import pathlib
from collections import Counter
from typing import Any

import pytest
import yaml
from unit_support import DEFAULTS, each_of, name_of

from target_liveintent.config import problems
from target_liveintent.explain.proposal_text import advise, config_text, map_lines, remark_lines
from target_liveintent.mapping.map_checks import lacking_for_events
from target_liveintent.mapping.map_settings import ANSWER
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.mapping.proposals import propose
from target_liveintent.mapping.stream_maps import Stream, StreamMaps, StreamPlan
from target_liveintent.mapping.vocabulary import vocabulary

TYPES = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "o": "object"}
TIMES = ("t", "d")
TABLES: list[dict[str, Any]] = yaml.safe_load(
    pathlib.Path(__file__).with_name("tables.yaml").read_text(encoding="utf-8")
)


def names_of(columns: str) -> list[str]:
    """Split columns at semicolons, if their names have spaces."""
    parts = columns.split(";") if ";" in columns else columns.split()
    return [part.strip() for part in parts if part.strip()]


def schema_of(columns: str) -> dict[str, Any]:
    """Return the SCHEMA of columns that are written as `path:type`."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for column in names_of(columns):
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


def records_of(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a table: `rows` are their values in the order of the columns."""
    names = [column.partition(":")[0] for column in names_of(table["columns"])]
    return table.get("records", []) + [
        dict(zip(names, row, strict=True)) for row in table.get("rows", [])
    ]


def expressions_of(table: dict[str, Any]) -> dict[str, str]:
    stream = Stream(table["stream"], schema_of(table["columns"]), tuple(table["keys"]))
    return propose(stream, records_of(table)).expressions


def proposed(table: dict[str, Any]) -> dict[str, str]:
    """Return what is proposed for a table, without the constants and the question."""
    found = {column.strip("_"): text for column, text in expressions_of(table).items()}
    found["filter"] = found.get("filter", "").partition(ANSWER)[0].removesuffix(" and ")
    return {
        column: text
        for column, text in found.items()
        if text and (column, text) != ("source", "'web'")
    }


def asked(table: dict[str, Any]) -> str:
    return expressions_of(table).get("__filter__", "").partition(ANSWER)[2]


def is_right(expression: str, column: str) -> bool:
    forms = ("{}", "get('{}')", "_.get('{}')")
    return any(
        expression in {one, *(x.format(one) for x in forms if one)} for one in column.split("|")
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda one: f"{one['tap']}, {one['stream']}")
def test_what_is_proposed_for_a_table_is_right(table: dict[str, Any]) -> None:
    """Whatever is proposed for a table is right, and what can forbid a record is asked."""
    found, right, question = proposed(table), table["map"], asked(table)
    wrong = [
        one for one in {*found, *right} if not is_right(found.get(one, ""), right.get(one, ""))
    ]
    assert not wrong, found
    must = [one for one in names_of(table.get("ask", "")) if not one.endswith("|")]
    assert not [one for one in must if f"get({one!r})" not in question], question
    assert question or not must


def test_how_much_is_recognized() -> None:
    """At least 90 % of what can be mapped is found, and 80 % in each language.

    What may be left out, because a name does not say enough, counts as not found.
    """
    found, mappable = Counter[str](), Counter[str]()
    for one in TABLES:
        language, right = one.get("language", "en"), one["map"]
        mappable[language] += len(right)
        found[language] += len(right.keys() & proposed(one).keys())
    assert len(TABLES) >= 120
    assert set(mappable) == {"en", "de", "fr", "es", "it", "pt"}
    assert found.total() >= 0.9 * mappable.total()
    assert not [one for one in mappable if found[one] < 0.8 * mappable[one]], found


def lines_of(stream: Stream, *records: dict[str, Any]) -> str:
    return "\n".join(map_lines(propose(stream, records), "x"))


CENTS = "(its values are whole numbers: are they cents?)"


@pytest.mark.parametrize(
    ("columns", "values", "said"),
    [
        ("mail_1", {}, "email: not recognized; candidates: mail_1 (its name is too general)"),
        (
            "a b",
            dict.fromkeys("ab", "x@example.com"),
            "email: not recognized; candidates: a (b fits equally well), b (a fits equally well)",
        ),
        (
            "email",
            {"email": "Jane"},
            "candidates: email (its values have an unexpected form)",
        ),
        ("seller_mail", {}, "email: not recognized; candidates: seller_mail (its name also"),
        ("page", {"page": "7"}, "source_url: not recognized; candidates: page"),
        ("a", {"a": "https://x.example/?li_did=x"}, "source_url: get('a')"),
        # Which of the two is the month is not known.
        ("date", {"date": "03/04/2026"}, "candidates: date (which number is the day, and which"),
        ("date", {"date": "4/23/2026"}, "event_time: parse_time(get('date'), '%m/%d/%Y')"),
        ("date", {"date": "$46354"}, "candidates: date (not all of its values can be read as"),
        *(
            ("date:i", {"date": x}, "event_time: parse_time(get('date'), '%Y%m%d')")
            for x in (20260131, "20261001", 20261128, "20261231")
        ),
        ("date", {"date": "202611281504"}, "parse_time(get('date'), '%Y%m%d%H%M')"),
        ("date", {"date": "28 Nov 2026"}, "parse_time(get('date'), '%d %b %Y')"),
        ("updated_at:t", {}, "event_time: not recognized; candidates: updated_at (its name also"),
        ("total_cents:i", {}, "total_cents (it is in cents, but no column has the currency)"),
        ("totalcents:i currency", {}, "minor_units(get('totalcents'), get('currency'))"),
        ("data.info.x.emailinfo", {}, "email: get('data.info.x.emailinfo')"),
        # Nobody knows whether whole numbers are in cents.
        *(("total:i cur", {"total": x, "cur": "EUR"}, f"total {CENTS}") for x in (45, 99_900)),
        ("total cur", {"total": "120", "cur": "EUR"}, f"total {CENTS}"),
        ("total_cents cur", {"total_cents": "12.50"}, "total_cents (its name means cents, but not"),
        ("total:i cur", {"total": 1_000, "cur": "JPY"}, "value: get('total')"),
        ("event_time:t", {}, "event_time: get('event_time')"),
        ("date time", {"date": "2026-11-28", "time": "10:00"}, "event_time: get('date')"),
        (
            "event_time:t venue",
            {},
            "event_time: not recognized; candidates: event_time (because of",
        ),
        ("total_usd:n", {}, "currency: \"'USD'\""),
        ("total_usd:n currency", {}, "total_usd (its name has a currency, and there is a column"),
        ("total:n tax.currency", {}, "currency: not recognized; candidates: tax.currency (its"),
        (
            "total:n payment.currency",
            {},
            "candidates: payment.currency (it and the column of the value are",
        ),
        ("total_orders:n", {}, "value: not recognized; candidates: total_orders"),
        (
            "order_total amount",
            {"order_total": "x", "amount": "9.5"},
            "value: not recognized; candidates: order_total (its",
        ),
        ("email kunde_email", {}, "email: get('kunde_email')"),
        ("created_at:t creation_date:t", {}, "event_time: get('created_at')"),
        ("order_date x:t", {"order_date": "03/04/2026"}, "candidates: order_date (which number is"),
        ("consent:b", {}, "consent: get('consent')"),
        ("code", {}, "event_id: not recognized; candidates: code (its name is too general)"),
        ("order", {"order": "Ann A."}, "order_id: not recognized; candidates: order (its name"),
        ("order", {"order": "A-17"}, "order_id: get('order')"),
        *(
            (
                columns,
                {},
                f"candidates: {columns.split()[0].split(':')[0]} (because of the other columns,",
            )
            for columns in (
                *(
                    "price:n qty:i",
                    "date:d venue",
                    "reservation_date:d",
                    "close_date:d",
                    "event_date:t",
                ),
                *(
                    "user_email till_no",
                    "contact_email hotel_name",
                    "sales_email",
                    "amount:n price:n",
                ),
                *("revenue:n company", "ticket_price:n qty", "checkout_date:d nights"),
            )
        ),
        ("registered_at:t order_no", {}, "candidates: registered_at (because of the other columns"),
        ("uuid", {}, "order_id: get('uuid')"),  # The stream is `orders`.
        ("a b", {"a": "x", "b": "2026-08-01 10:00"}, "event_time: get('b')"),
        # An object may hold more than its SCHEMA says.
        ("buyer:o", {"buyer": {"email": "a@example.com"}}, "email: get('buyer.email')"),
        ("currency", {"currency": "ZZZ"}, "currency: not recognized; candidates: currency"),
    ],
    ids=name_of,
)
def test_values_decide_what_names_leave_open(
    columns: str, values: dict[str, Any], said: str
) -> None:
    """Values decide what names leave open; where several columns fit, a person chooses."""
    assert said in lines_of(stream_of(columns), values)


@each_of(
    "record",
    {
        "added by the tap": {"_sdc_email": "a@example.com"},
        "below a dotted name": {"a.b": {"email": "x"}},
    },
)
def test_columns_that_no_map_should_read(record: dict[str, Any]) -> None:
    """What a tap adds, what is deep in objects or in one with a dot, and what is no word."""
    assert "email" not in lines_of(stream_of("_sdc_email id mailx data.info.x.object.mail"), record)


def test_a_type_may_be_a_text() -> None:
    columns = {"total_cents": {"type": "integer"}, "currency": {"type": "string"}}
    assert "value: minor_units(" in lines_of(Stream("orders", {"properties": columns}, ()))


def test_the_currency_of_an_amount() -> None:
    """It is that of the same object, and then no other one is a candidate."""
    text = lines_of(stream_of("fee.amount:n fee.currency total.amount:n total.currency"))
    assert "currency: get('total.currency')" in text
    assert "currency: not recognized" not in text


ASKED = f"{ANSWER} which records of orders are conversions that may be sent?"


def look(column: str) -> str:
    """Return the question that names a column."""
    return f"{ASKED} Look at get('{column}')"


@each_of(
    "columns, records, condition",
    {
        "unclear test flag": ("is_test", [{"is_test": "maybe"}], look("is_test")),
        "test flag as number": ("is_test", [{"is_test": "0"}], "not is_true(get('is_test'))"),
        "time of deletion": ("deleted:t", [], "not get('deleted')"),
        "date of cancellation in German": (
            "stornodatum",
            [{"stornodatum": "2026-11-01"}],
            "not get('stornodatum')",
        ),
        "cancellation as a word": ("storniert", [{"storniert": "ja"}], look("storniert")),
        "cancellation of unknown type": ("cancelled", [], look("cancelled")),
        # Of a cancelled order, more is not asked.
        "cancellation flag and reason": (
            "cancelled:b cancel_reason",
            [],
            "not is_true(get('cancelled'))",
        ),
        "payment status": ("pay_status", [], look("pay_status")),
        "stage of a deal": ("dealstage", [], look("dealstage")),
        "state of an address": ("state city", [], None),
        "state of an order": ("order_state city", [], look("order_state")),
        "paid flag": ("paid:b", [], look("paid")),
        "subscribed flag": ("subscribed:b", [], look("subscribed")),
        "no flags": (
            "paid:n paid_at:t subscription status_changed_at:t valid_from active:t",
            [],
            None,
        ),
        "test flag and unnamed status": (
            "is_test:b st",
            [],
            f"not is_true(get('is_test')) and {ASKED} Look at get('st')",
        ),
        # Values are shown if they are words that come again, and not what persons wrote.
        "few values that repeat": (
            "st",
            [{"st": x} for x in ["paid"] * 3 + ["void"]],
            f"{ASKED} Look at get('st') (paid, void)",
        ),
        "addresses that repeat": ("st", [{"st": x} for x in ("a@example.com",) * 4], look("st")),
        "names that differ": ("st", [{"st": x} for x in ("Ann", "Bob", "Eve")], look("st")),
        # A consent that is no Boolean, two of them, and what people do not want.
        "consent of unknown type": ("consent", [], look("consent")),
        "consent flag": ("consent:b", [], None),
        "consent with its details": ("consent:b consent_date:t consent_ip", [], None),
        "consent and withdrawal": ("consent:b consent_withdrawn:b", [], look("consent_withdrawn")),
        "consent and opt-out": ("consent:b opted_out:b", [], look("opted_out")),
        "refund among numbers": (
            "total:n",
            [{"total": 12.5}, {"total": -3}],
            f"{ASKED} Look at get('total') (0 or negative in 1 of 2 records)",
        ),
        "free order among texts": (
            "total",
            [{"total": "12.50"}, {"total": "0.00"}],
            f"{ASKED} Look at number(get('total')) (0 or negative in 1 of 2 records)",
        ),
        "refund with a decimal comma": (
            "total status",
            [{"total": "-12,50", "status": "a"}, {"total": "3,99", "status": "b"}],
            f"{look('status')}, amount(get('total')) (0 or negative in 1 of 2 records)",
        ),
        "refunds among the types": (
            "type",
            [{"type": x} for x in ("purchase", "refund") * 2],
            f"{look('type')} (purchase, refund)",
        ),
        "a credit note in German": ("art", [{"art": "Gutschrift"}], look("art")),
        "types of sales": ("type", [{"type": x} for x in ("lead", "purchase")], None),
        "a test in a long text": ("note", [{"note": "This was only a test of the shop"}], None),
        "only sales": ("total:n", [{"total": 12.5}, {"total": 0.01}], None),
        "newsletter": ("newsletter", [], look("newsletter")),
        "marketing": ("accepts_marketing", [], look("accepts_marketing")),
    },
)
def test_what_can_forbid_a_record_is_a_condition_or_a_question(
    columns: str, records: list[dict[str, Any]], condition: str | None
) -> None:
    """What surely forbids a record is a condition; what may forbid it is asked in one line."""
    assert propose(stream_of(columns), records).expressions.get("__filter__") == condition


@pytest.mark.parametrize("name", ["refunds", "order_lines", "suppliers", "devoluciones"])
def test_streams_that_may_be_no_conversions(name: str) -> None:
    found = propose(stream_of("id email", "id", name=name)).expressions
    assert found["__filter__"] == ASKED.replace("orders", name)
    assert ("email" in found) == (name != "suppliers")


def test_a_question_has_to_be_answered() -> None:
    """A run ends before it reads anything, and says what to answer."""
    records = [{"status": x, "x": "ann@example.com"} for x in ("paid", "void") * 2]
    text = config_text([(stream_of("id created_at:t email total:n status", "id"), records)])
    filled = {**yaml.safe_load(text), "customer_id": "a-1b2c", "auth_token": "x", "pixel_id": 1}
    said = (
        "setting 'stream_maps.orders.__filter__' has a question to answer: which records of orders"
        " are conversions that may be sent? Look at get('status') (paid, void). Replace the"
        " text from ANSWER: to the end with a condition, such as get('status') in ('paid',"
        " 'shipped'), or with True if all records count"
    )
    assert problems(filled) == [said]


@each_of(
    "kind, is_named",
    {"object": ("object", 0), "list": ("array", 0), "text": ("string", 1)},
)
def test_what_holds_other_values_is_no_column(kind: str, is_named: bool) -> None:
    stream = Stream("s", {"properties": {"payment_status": {"type": ["null", kind]}}}, ())
    assert ("get('payment_status')" in lines_of(stream)) == is_named


def test_the_types_of_alternatives_count() -> None:
    """Some taps write the types of a time as `anyOf`."""
    described = {"anyOf": [True, {"type": "string", "format": "date-time"}, {"type": "null"}]}
    stream = Stream("s", {"properties": {"x": described, "y": {"type": "string"}}}, ())
    assert propose(stream).expressions["event_time"] == "get('x')"


@pytest.mark.parametrize("value", ["B/50000", "web/2026", "SKU/1 x"])
def test_a_number_is_no_browser(value: str) -> None:
    """A browser names itself by a word, a version and more."""
    found = [propose(stream_of("a email"), [{"a": one}]) for one in (value, "Mozilla/5.0 (X11)")]
    assert [one.expressions.get("user_agent") for one in found] == [None, "get('a')"]


@each_of(
    "number",
    {
        "integer like Unix seconds": 2_125_551_234,
        "text like Unix seconds": "2125551234",
        "like a day in Excel": 46_354,
        "like a date": "20261128",
    },
)
def test_a_number_is_no_time_by_its_size(number: Any) -> None:
    """It may be a telephone number or an ID, unless its name says that it is a time."""
    assert "event_time" not in lines_of(stream_of("a"), {"a": number})
    assert "event_time: " in lines_of(stream_of("sold_at"), {"sold_at": number})


@each_of(
    "keys, event_id",
    {
        "one key": (("id",), "get('id')"),
        "position by the SDK": (("_sdc_source_file", "_sdc_source_lineno"), "get('order_no')"),
        "position beside a key": (("_smart_source_lineno", "id"), "get('id')"),
        "no keys": ((), "get('order_no')"),
        "two keys": (("id", "order_no"), None),
        "address as key": (("email",), None),
    },
)
def test_the_key_is_the_event_id(keys: tuple[str, ...], event_id: str | None) -> None:
    """The key identifies an event; its position in a file never does."""
    proposal = propose(stream_of("id:i order_no created_at:t email", *keys))
    assert proposal.expressions.get("event_id") == event_id
    said = [] if event_id else [f"event_id: derived from the keys {', '.join(keys)}"]
    assert [one for one in remark_lines(proposal) if one.startswith("event_id")] == said


REPEATED = "rows with the same value as another row"


def rows(count: int, repeated: int) -> list[dict[str, Any]]:
    """Return different rows, of which some have the order number of the row before."""
    return [{"order_no": max(n, repeated), "x": n} for n in range(count)]


@each_of(
    "records, is_proposed, said",
    {
        "the same row twice": (
            [{"order_no": 1}] * 2,
            True,
            f"event_id: {REPEATED}: 1 of 2; only one of these rows is sent",
        ),
        "few of many rows": (
            rows(405, 1),
            True,
            f"event_id: {REPEATED}: 1 of 405; only one of these rows is sent",
        ),
        "many of many rows": (rows(405, 9), False, f"candidates: order_no ({REPEATED}: 9 of 405)"),
        "few of few rows": (rows(3, 1), False, f"candidates: order_no ({REPEATED}: 1 of 3)"),
    },
)
def test_an_event_id_differs_in_each_record(
    records: list[dict[str, Any]], is_proposed: bool, said: str
) -> None:
    """A row that comes again is still the same order; rows of one order are not."""
    proposal = propose(stream_of("order_no created_at:t email"), records)
    assert proposal.expressions.get("event_id") == ("get('order_no')" if is_proposed else None)
    remarks = list(remark_lines(proposal))
    assert any(said in remark for remark in remarks), remarks


@each_of(
    "values",
    {
        "always the same": ["x@example.com"] * 3,
        "two in turn": ["x@example.com", "y@example.com"] * 10,
    },
)
def test_addresses_that_come_again_and_again_are_not_proposed(values: list[str]) -> None:
    """They are those of a shop or of its clerks."""
    proposal = propose(stream_of("email"), [{"email": one} for one in values])
    assert "email" not in proposal.expressions
    assert f"{len(values)} rows" in " ".join(remark_lines(proposal))


@each_of(
    "values, value",
    {
        "point, one surely decimal": (["1.200", "99.50"], "get('total')"),
        "point groups, comma decimal": (["1.200", "99,50"], "amount(get('total'))"),
        "both signs, comma last": (["1.200,50"], "amount(get('total'))"),
        "both signs, point last": (["1,200.50", "$3.00"], "get('total')"),
        "points group millions": (["1.200.300", "45"], "amount(get('total'))"),
        "leading zero": (["0.125"], "get('total')"),
        "space groups, comma decimal": (["1 200,5 €"], "amount(get('total'))"),
        "points that could group": (["1.200", "3.450"], None),
        "comma that could group": (["1,200"], None),
        "both signs as decimals": (["1,5", "2.5"], None),
        "whole numbers as texts": (["45", "120", "999"], None),
        "whole numbers": ([45, 120, 999], None),
        "whole floats": ([45.0, 120.0], "get('total')"),
    },
)
def test_the_decimal_sign_is_that_of_all_amounts(values: list[Any], value: str | None) -> None:
    """The decimal sign is that of all samples; where it cannot be told, a person says it."""
    proposal = propose(
        stream_of("total:x currency"), [{"total": x, "currency": "EUR"} for x in values]
    )
    assert proposal.expressions.get("value") == value


@each_of(
    "columns, values",
    {
        "bundle without a device": ("bundle_id", {}),
        "bundle of another form": ("bundle_id device", {"bundle_id": "B 17"}),
        "no Apple device ID": ("idfa", {"idfa": "1"}),
        "no Android device ID": ("aaid", {"aaid": "1"}),
    },
)
def test_what_is_no_app_and_no_device(columns: str, values: dict[str, Any]) -> None:
    found = propose(stream_of(columns), [values]).expressions
    assert found.keys() <= {"source"}


def test_each_word_has_one_meaning() -> None:
    """A word that means others is only read as these, so no list can have it."""
    known = vocabulary()
    meanings = Counter(word for words in known.words.values() for word in words)
    assert [word for word, count in meanings.items() if count > 1] == []
    used = {*known.deeds, *known.words}
    used.update(known.filters.asked, known.filters.unasked, known.filters.also)
    for field in known.fields.values():
        used.update(" ".join([*field.names, *field.also]).split())
    assert used.isdisjoint(meanings)


@pytest.mark.parametrize("name", ["hash", "md5", "sha256", "checksum", "api_key", "a"])
def test_a_hash_is_no_address(name: str) -> None:
    """Only its name says what was hashed."""
    assert "email" not in propose(stream_of(name), [{name: "ab" * 16}]).expressions


def test_a_uuid_is_no_decision_id() -> None:
    """Only its name says what a UUID identifies."""
    columns = "id session_id visitor_uuid decision_id a"
    row = dict.fromkeys(columns.split(), "6d92078a-8246-4ba4-ae5b-76104861e7dc")
    assert "decision_id" not in propose(stream_of(columns), [row]).expressions
    found = propose(stream_of(f"{columns} li_did"), [{**row, "li_did": row["a"]}]).expressions
    assert found["decision_id"] == "get('li_did')"


def test_where_people_came_from_is_no_page_of_a_shop() -> None:
    row = {"referrer": "https://news.example.com/?li_did=x"}
    assert "source_url" not in propose(stream_of("referrer"), [row]).expressions


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
    advice = advise(stream, [], bare, in_use=False)
    assert f"`presets: {{shop\\.orders: {name}}}`" in advice
    assert "and also pixel_id" in advice
    assert f"{name}}}`. To see" in advise(stream, [], DEFAULTS, in_use=False)
    assert advise(stream, [], bare, in_use=True).startswith("A map to start from:\nstream_maps:")


def accepted(stream: Stream) -> StreamPlan:
    """Return the plan of a proposal, which must be good settings under which events can come."""
    advice = advise(stream, [], DEFAULTS, in_use=False)
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
    names = (hostile, "mail x@example.com", "status x@example.com", "created_at")
    schema: dict[str, Any] = {"properties": {name: {} for name in names}}
    block = lines_of(Stream("s", schema, ()))
    assert yaml.safe_load(block)["x"].keys() == {"__filter__", "event_time", "source", "__else__"}
    assert "x@example.com" not in block


BLANKS = {"customer_id", "auth_token", "pixel_id"}


def test_a_proposed_configuration_lacks_only_what_its_owner_knows() -> None:
    """All is filled in but what only the owner knows, and each line has its comment."""
    people = stream_of("id email created_at:t", "id", name="people")
    shop = stream_of(" ".join(PRESETS["shopify"].signature), "id", name="shop.orders")
    sales = stream_of("id created_at:t email total:n", "id")
    text = config_text([(sales, ()), (people, ())])
    config = yaml.safe_load(text)
    assert {name for name, value in config.items() if value is None} == BLANKS
    assert config["stream_maps"]["orders"]["value"] == "get('total')"
    assert "people" not in config["stream_maps"]
    assert "# not proposed; no amount or no person was found: people\n" in text
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
    assert "no person was found: other" in nothing
    assert "event_time: not recognized; candidates: b (c fits equally well), c (b" in nothing
