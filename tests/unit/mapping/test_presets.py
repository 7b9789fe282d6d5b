"""The presets: what they make of records in their taps' shapes, and how they meet own maps."""

from __future__ import annotations

import copy
import functools
import pathlib
import re
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from preset_records import LI_DID, OTHER_DID, PAGE, Record, Sample, changed, hashes, paths, sample
from unit_support import BARE, NOW

from target_liveintent.config import SCHEMA, problems
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.mapping import RecordConverter, presets
from target_liveintent.mapping.presets import PRESETS, expand_presets, likely_preset
from target_liveintent.singer.stream_maps import StreamMaps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_liveintent.mapping.converter import StreamPlan

PIXEL = 4711
ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "x"}
NAMES = list(PRESETS)
OPTIONS = {"__filter__", "__else__"}
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def plan(
    name: str, own: Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None
) -> StreamPlan:
    """What is done with a preset's stream, the user's own columns included."""
    stream, _, record, _ = sample(name, NOW)
    maps = expand_presets({stream: name}, {stream: dict(own)} if own is not None else {})
    schema = {"type": "object", "properties": {column: {} for column in record}}
    (made,) = StreamMaps(maps, config or {}).plans(stream, schema)
    return made


_plain = functools.cache(plan)


def outcome(
    name: str,
    record: Record,
    own: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Any:
    """The event of a record without its pixel, or "filtered", or the reason of its rejection."""
    made = plan(name, own, config) if own or config else _plain(name)
    assert made.transform is not None
    # As the reader does: other columns are not even decoded, and fractions are Decimals.
    decoded = _decode(msgspec.json.encode(record))
    if made.reads is not None:
        needed = made.reads.union(made.deletion_columns)
        decoded = {column: decoded[column] for column in decoded if column in needed}
    stream, keys, _, _ = sample(name, NOW)
    defaults = BARE._replace(pixel_id=PIXEL, source=source)
    builder = EventBuilder(stream, made.properties, keys, defaults)
    result = RecordConverter(made, builder, {}, lambda: NOW).convert(decoded)
    if result is None:
        return "filtered"
    if isinstance(result, Rejection):
        return result.reason
    assert isinstance(result, Conversion)
    event = msgspec.json.decode(result.body)
    assert event.pop("pixelId") == PIXEL
    return event


def with_changes(event: Record, changes: dict[str, Any]) -> Record:
    """An event with changes; `...` where something is not there."""
    there = {path: value for path, value in changes.items() if value is not ...}
    return changed(changed(event, there), {p: ... for p, value in changes.items() if value is ...})


# The files


def test_each_preset_has_a_file() -> None:
    """Table, files and setting name the same presets."""
    folder = pathlib.Path(presets.__file__).parent
    assert {path.stem for path in folder.glob("*.yaml")} == set(PRESETS)
    assert SCHEMA["properties"]["presets"]["additionalProperties"]["enum"] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_pasted(name: str) -> None:
    """It is a `stream_maps` block of one stream with columns of an event, and fits on a screen."""
    text = presets.preset_text(name)
    block = yaml.safe_load(text)
    assert problems({**ACCOUNT, **block}) == []
    ((stream, columns),) = block.pop("stream_maps").items()
    assert block == {}
    assert stream == sample(name, NOW).stream
    assert set(columns) <= {field.name for field in FIELDS} | OPTIONS
    assert set(columns) > {*OPTIONS, "event_id", "event_time", "source", "email"}
    assert columns["__else__"] == "__NULL__"
    assert max(map(len, text.splitlines())) <= 100
    assert "$" not in text  # Meltano would expand it.


@pytest.mark.parametrize("name", NAMES)
def test_keys_to_somebodys_order_are_not_read(name: str) -> None:
    """Pages that open an order or a receipt to anyone who has their URL are never mapped."""
    reads = plan(name).reads
    assert reads is not None
    assert reads.isdisjoint({"statusPageUrl", "order_status_url", "receipt_url"})


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_compiled(name: str) -> None:
    """No expression needs the evaluator or the whole record."""
    reads = plan(name).reads
    assert reads is not None, "only comments may offer what is not compiled: comprehensions, say"
    # The columns of the signature are read, so that preset and signature cannot drift apart.
    unread = PRESETS[name].signature - reads
    assert not unread, f"the signature has columns that the map does not read: {unread}"


# What comes of records


@pytest.mark.parametrize("name", NAMES)
def test_an_event(name: str) -> None:
    """The record of the tap gives this event, and nothing else."""
    _, _, record, event = sample(name, NOW)
    assert outcome(name, record) == event


JOURNEY = "customerJourneySummary"
SHOP_MONEY = "originalTotalPriceSet.shopMoney"
VARIANTS: list[tuple[str, dict[str, Any], Any]] = [
    # Shopify, GraphQL
    ("shopify", {"test": True}, "filtered"),
    ("shopify", {"cancelledAt": "2026-07-31T00:00:00.000000Z"}, "filtered"),
    *(
        ("shopify", {"displayFinancialStatus": status}, "filtered")
        for status in ("PENDING", "AUTHORIZED", "EXPIRED", "VOIDED", "REFUNDED", None, ...)
    ),
    ("shopify", {"displayFinancialStatus": "PAID"}, {}),
    ("shopify", {"displayFinancialStatus": "PARTIALLY_PAID"}, {}),
    ("shopify", {"email": ""}, {"userData": {**hashes("account@example.com"), "ip": "192.0.2.7"}}),
    (
        "shopify",
        {"email": None, "customer": None},
        {"userData": {"ip": "192.0.2.7"}, "decisionId": LI_DID},
    ),
    ("shopify", {"email": None, "customer": None, JOURNEY: None}, "no_identity"),
    ("shopify", {"email": "", "customer.email": "", JOURNEY: {"lastVisit": None}}, "no_identity"),
    ("shopify", {"sourceName": "pos"}, {"source": "offline", "userData.ip": ...}),
    ("shopify", {"sourceName": "iphone"}, {"source": "app"}),
    ("shopify", {"sourceName": "android"}, {"source": "app"}),
    ("shopify", {"sourceName": "3890849"}, {}),
    ("shopify", {"sourceName": 3890849}, {}),
    ("shopify", {"sourceName": "shopify_draft_order"}, {"userData.ip": ...}),
    ("shopify", {"sourceName": None}, "invalid_source"),
    ("shopify", {f"{SHOP_MONEY}.amount": None}, {"purchaseData.value": ...}),
    ("shopify", {f"{SHOP_MONEY}.currencyCode": None}, {"purchaseData.currency": ...}),
    ("shopify", {"originalTotalPriceSet.presentmentMoney": None}, {}),
    ("shopify", {"processedAt": "2019-07-31T00:00:00.000000Z"}, "event_too_old"),
    ("shopify", {"clientIp": "::ffff:192.0.2.9"}, {"userData.ip": "192.0.2.9"}),
    # Shopify, REST
    ("shopify_rest", {"test": True}, "filtered"),
    ("shopify_rest", {"cancelled_at": "2026-07-31T21:51:39-04:00"}, "filtered"),
    *(
        ("shopify_rest", {"financial_status": status}, "filtered")
        for status in ("pending", "authorized", "expired", "voided", "refunded", "unpaid", None)
    ),
    ("shopify_rest", {"financial_status": "paid"}, {}),
    (
        "shopify_rest",
        {"email": "", "contact_email": None},
        {"userData.md5": hashes("account@example.com")["md5"]}
        | {"userData.sha2": hashes("account@example.com")["sha2"]},
    ),
    (
        "shopify_rest",
        {"email": "", "contact_email": None, "customer": ...},
        {"userData.md5": ..., "userData.sha2": ..., "decisionId": LI_DID},
    ),
    (
        "shopify_rest",
        {"email": "", "contact_email": "", "customer": ..., "landing_site": None},
        "no_identity",
    ),
    (
        "shopify_rest",
        {"source_name": "pos"},
        {"source": "offline", "userData.ip": ..., "userData.ua": ...},
    ),
    (
        "shopify_rest",
        {"source_name": "pos", "client_details": None, "browser_ip": None, "landing_site": None},
        {
            "source": "offline",
            "userData.ip": ...,
            "userData.ua": ...,
            "purchaseData.sourceUrl": ...,
            "decisionId": ...,
        },
    ),
    ("shopify_rest", {"source_name": "android"}, {"source": "app"}),
    ("shopify_rest", {"source_name": "580111"}, {}),
    ("shopify_rest", {"browser_ip": None}, {"userData.ip": "192.0.2.8"}),
    ("shopify_rest", {"landing_site": PAGE}, {"purchaseData.sourceUrl": PAGE}),
    # Salesforce
    ("salesforce_opportunity", {"IsWon": False}, "filtered"),
    ("salesforce_opportunity", {"IsDeleted": True}, "filtered"),
    (
        "salesforce_opportunity",
        {"Contact_Email__c": None},
        {"userData.md5": ..., "userData.sha2": ...},
    ),
    (
        "salesforce_opportunity",
        {"Contact_Email__c": None, "LI_Decision_Id__c": None},
        "no_identity",
    ),
    ("salesforce_opportunity", {"CurrencyIsoCode": ...}, {"purchaseData.currency": ...}),
    ("salesforce_opportunity", {"Amount": None}, {"purchaseData.value": ...}),
    (
        "salesforce_opportunity",
        {"LastStageChangeDate": ..., "CloseDate": "2026-07-30T00:00:00.000000Z"},
        {"eventTime": 1_785_369_600},
    ),
    (  # A planned day that lies ahead: the deal was won before its record last changed.
        "salesforce_opportunity",
        {
            "LastStageChangeDate": None,
            "CloseDate": "2026-12-31T00:00:00.000000Z",
            "LastModifiedDate": "2026-07-30T12:00:00.000000Z",
        },
        {"eventTime": 1_785_412_800},
    ),
    (
        "salesforce_opportunity",
        {
            "LastStageChangeDate": None,
            "CloseDate": "2026-12-31T00:00:00.000000Z",
            "LastModifiedDate": None,
        },
        "event_in_future",
    ),
    ("salesforce_lead", {"IsDeleted": True}, "filtered"),
    ("salesforce_lead", {"LeadSource": "Purchased List"}, "filtered"),
    ("salesforce_lead", {"LeadSource": "Phone Inquiry"}, {"source": "offline"}),
    ("salesforce_lead", {"LeadSource": "Mobile App"}, {"source": "app"}),
    ("salesforce_lead", {"LeadSource": None}, "invalid_source"),
    ("salesforce_lead", {"HasOptedOutOfEmail": True}, "no_consent"),
    ("salesforce_lead", {"HasOptedOutOfEmail": None}, "no_consent"),
    ("salesforce_lead", {"HasOptedOutOfEmail": ...}, "no_consent"),
    ("salesforce_lead", {"IsEmailBounced": True}, "no_identity"),
    ("salesforce_lead", {"IsConverted": False, "ConvertedDate": None}, {}),
    ("salesforce_lead", {"CreatedDate": None}, "missing_event_time"),
    # Stripe
    *(
        ("stripe_charges", change, "filtered")
        for change in (
            {"status": "failed"},
            {"status": "pending"},
            {"paid": False},
            {"captured": False},
            {"livemode": False},
            {"refunded": True},
            {"updated_by_event_type": "charge.refunded"},
            {"updated_by_event_type": "charge.refund.updated"},
        )
    ),
    ("stripe_charges", {"updated_by_event_type": None}, {}),
    ("stripe_charges", {"updated_by_event_type": ...}, {}),
    *(
        (
            "stripe_charges",
            {"currency": currency},
            {"purchaseData.currency": currency.upper(), "purchaseData.value": value},
        )
        for currency, value in [
            *(("eur", 125.5), ("jpy", 12550), ("krw", 12550), ("kwd", 12.55), ("clp", 12550)),
            # Where Stripe's minor units are not those of ISO 4217.
            *(("isk", 125.5), ("ugx", 125.5), ("mga", 12550)),
        ]
    ),
    (
        "stripe_charges",
        {"currency": None},
        {"purchaseData.currency": ..., "purchaseData.value": ...},
    ),
    (
        "stripe_charges",
        {"currency": "usdc"},
        {"purchaseData.currency": ..., "purchaseData.value": ...},
    ),
    ("stripe_charges", {"amount_captured": None}, {"purchaseData.value": 130}),
    (
        "stripe_charges",
        {"receipt_email": ""},
        {"userData.md5": hashes("payer@example.com")["md5"]}
        | {"userData.sha2": hashes("payer@example.com")["sha2"]},
    ),
    (
        "stripe_charges",
        {"receipt_email": None, "billing_details": None, "metadata": {}},
        "no_identity",
    ),
    ("stripe_charges", {"payment_method_details.type": "card_present"}, {"source": "offline"}),
    ("stripe_charges", {"payment_method_details": None}, "invalid_source"),
    # PostgreSQL
    *(
        ("postgres_orders", change, "filtered")
        for change in (
            {"status": "pending"},
            {"status": "refunded"},
            {"status": None},
            {"is_test": True},
        )
    ),
    *((name, {"_sdc_deleted_at": "2026-07-31T00:00:00+00:00"}, "deleted") for name in NAMES),
    ("postgres_orders", {"status": "PAID", "_sdc_deleted_at": ..., "is_test": None}, {}),
    ("postgres_orders", {"channel": "pos"}, {"source": "offline"}),
    ("postgres_orders", {"channel": " web "}, {"source": "web"}),
    ("postgres_orders", {"channel": "phone"}, "invalid_source"),
    ("postgres_orders", {"channel": None}, "invalid_source"),
    ("postgres_orders", {"total": "$12.50"}, {"purchaseData.value": 12.5}),
    *(
        ("postgres_orders", {"client.session.consent": no}, "no_consent")
        for no in (False, 0, "false", "no", "denied")
    ),
    *(("postgres_orders", {"client.session.consent": open_}, {}) for open_ in (None, "", "yes")),
    (
        "postgres_orders",
        {"client": None},
        {"userData.ua": ..., "userData.idfa": ...},
    ),
    ("postgres_orders", {"client": '{"ip": "x"}'}, {"userData.ua": ..., "userData.idfa": ...}),
    ("postgres_orders", {"paid_at": "9999-12-31T23:59:59.999999+00:00"}, "event_in_future"),
]


@pytest.mark.parametrize(("name", "changes", "wanted"), VARIANTS)
def test_variants(name: str, changes: dict[str, Any], wanted: Any) -> None:
    """A record with these changes has this outcome, or gives the event with those changes."""
    _, _, record, event = sample(name, NOW)
    expected = wanted if isinstance(wanted, str) else with_changes(event, wanted)
    assert outcome(name, changed(record, changes)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_each_preset_has_variants(name: str) -> None:
    """What a preset decides is tried: what it drops, and what changes an event."""
    outcomes = [wanted for of, _, wanted in VARIANTS if of == name]
    assert "filtered" in outcomes, f"VARIANTS has no record that {name} drops"
    assert any(isinstance(wanted, dict) for wanted in outcomes), f"VARIANTS has no event of {name}"


# Nothing is guessed


def leaves(event: Any, prefix: str = "") -> dict[str, Any]:
    """The values of an event by their paths."""
    if not isinstance(event, dict):
        return {prefix: event}
    found: dict[str, Any] = {}
    for name, inner in event.items():
        found |= leaves(inner, f"{prefix}.{name}".strip("."))
    return found


def allowed(name: str) -> dict[str, set[Any]]:
    """The values that each place of an event may have, for any columns that the record lacks.

    They are what the whole record gives, and what its other columns of the same meaning hold.
    """
    _, _, record, event = sample(name, NOW)
    values = {place: {value} for place, value in leaves(event).items()}
    for changes in FALLBACKS.get(name, []):
        other = outcome(name, changed(record, changes))
        for place, value in leaves(other).items():
            values.setdefault(place, set()).add(value)
    return values


FALLBACKS: dict[str, list[dict[str, Any]]] = {
    "shopify": [{"email": None, "processedAt": None}],
    "shopify_rest": [
        {"email": None, "browser_ip": None, "processed_at": None},
        {"email": None, "contact_email": None},
    ],
    "salesforce_opportunity": [{"LastStageChangeDate": None}],
    "stripe_charges": [{"receipt_email": None, "amount_captured": None}],
    "postgres_orders": [{"paid_at": None, "client_ip": None}],
}
ABSENCE = {
    "filtered",
    "no_identity",
    "no_consent",
    "missing_event_time",
    "invalid_source",
    "missing_key",
}
"""What may come of a record in which something is absent."""


def without(record: Record, path: tuple[Any, ...], *, null: bool) -> Record:
    """A record in which something is null or, in an object or a list, not there."""
    record = copy.deepcopy(record)
    inner: Any = record
    for step in path[:-1]:
        inner = inner[step]
    if null:
        inner[path[-1]] = None
    else:
        del inner[path[-1]]
    return record


@pytest.mark.parametrize("null", [True, False], ids=["null", "absent"])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_absent(name: str, null: bool) -> None:
    """Each part of a record in turn is null or not there: nothing fails, nothing is made up."""
    record = sample(name, NOW).record
    places = allowed(name)
    all_paths = paths(record)
    assert len(all_paths) > 12
    for path in all_paths:
        less = without(record, path, null=null)
        # The second of two columns, too, where the first has a fallback.
        others = [other for other in paths(less) if len(other) == 1]
        for gone in ([path], *([path, other] for other in others)):
            result = outcome(name, without(less, gone[1], null=null) if gone[1:] else less)
            if isinstance(result, str):
                assert result in ABSENCE, gone
                continue
            for place, value in leaves(result).items():
                if place == "eventId" and path in {("id",), ("Id",)}:
                    continue
                hint = "if a column takes another's place there, it belongs into FALLBACKS"
                assert value in places[place], f"without {gone}, {place} is {value!r}: {hint}"


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_record(name: str) -> None:
    """An empty record has an outcome, too."""
    assert outcome(name, {}) in ABSENCE


@pytest.mark.parametrize("name", ["shopify", "shopify_rest", "salesforce_lead", "stripe_charges"])
def test_an_unknown_source_is_the_settings_matter(name: str) -> None:
    """A record that does not say where it comes from takes `default_source`."""
    _, _, record, event = sample(name, NOW)
    column = {
        "shopify": "sourceName",
        "shopify_rest": "source_name",
        "salesforce_lead": "LeadSource",
        "stripe_charges": "payment_method_details",
    }[name]
    made = outcome(name, changed(record, {column: None}), source="app")
    assert made == {**event, "source": "app"}


# What the comments say


def test_a_whole_landing_page() -> None:
    """With the shop's address, the path that Shopify's REST API gives becomes a URL."""
    _, _, record, event = sample("shopify_rest", NOW)
    for url in ("https://shop.example.com", " https://shop.example.com/ "):
        made = outcome("shopify_rest", record, config={"shop_url": url})
        assert made == with_changes(event, {"purchaseData.sourceUrl": PAGE})
    made = outcome(
        "shopify_rest", {**record, "landing_site": None}, config={"shop_url": "https://x"}
    )
    assert made == with_changes(event, {"purchaseData.sourceUrl": ..., "decisionId": ...})


def suggested(name: str) -> dict[str, str]:
    """The columns that a preset's comments offer, as they would be without the comment sign."""
    text = presets.preset_text(name)
    lines = re.findall(r"^    # ((?:__filter__|[a-z_]+): .*|  .*)$", text, re.MULTILINE)
    offered: dict[str, str] = yaml.safe_load("\n".join(lines))
    return offered


@pytest.mark.parametrize(
    ("name", "columns", "changes"),
    [
        ("shopify", {"decision_id", "consent"}, {"decisionId": OTHER_DID}),
        ("shopify_rest", {"decision_id", "consent"}, {"decisionId": OTHER_DID}),
        ("salesforce_opportunity", {"consent"}, {}),
        (
            "salesforce_lead",
            {"__filter__", "event_time", "decision_id", "source_url"},
            {
                "decisionId": LI_DID,
                "purchaseData.sourceUrl": PAGE,
                "eventTime": int(NOW) // 86_400 * 86_400 - 86_400,
            },
        ),
    ],
)
def test_what_comments_offer(name: str, columns: set[str], changes: dict[str, Any]) -> None:
    """A line that a user takes the comment sign from works as it is."""
    own = suggested(name)
    assert set(own) == columns
    _, _, record, event = sample(name, NOW)
    assert outcome(name, record, own) == with_changes(event, changes)


@pytest.mark.parametrize(
    ("name", "column"), [("shopify", "customAttributes"), ("shopify_rest", "note_attributes")]
)
@pytest.mark.parametrize("value", [None, [], [{}], [{"key": "x"}, {"name": "y"}]])
def test_a_decision_id_of_attributes_is_null_safe(name: str, column: str, value: Any) -> None:
    """An order without the attribute is an order all the same."""
    _, _, record, event = sample(name, NOW)
    assert outcome(name, {**record, column: value}, suggested(name)) == event


# Presets and own maps


def test_own_columns_go_first() -> None:
    """Column by column; the filter, too."""
    _, _, record, event = sample("shopify", NOW)
    own = {"value": "get('currentTotalPriceSet.shopMoney.amount')", "user_agent": "'Agent/1'"}
    wanted = {"purchaseData.value": 50, "userData.ua": "Agent/1"}
    assert outcome("shopify", record, own) == with_changes(event, wanted)
    assert outcome("shopify", record, {"__filter__": "fullyPaid is False"}) == "filtered"
    assert outcome("shopify", {**record, "test": True}, {"__filter__": "fullyPaid"}) == event


@pytest.mark.parametrize("null", [None, "__NULL__"])
def test_null_takes_a_column_away(null: Any) -> None:
    """A column, or the filter, of the preset; `__else__` stays what it is."""
    _, _, record, event = sample("shopify", NOW)
    assert "ip" not in plan("shopify", {"ip": null}).properties
    assert outcome("shopify", record, {"ip": null}) == with_changes(event, {"userData.ip": ...})
    assert outcome("shopify", {**record, "test": True}, {"__filter__": null}) == event
    made = plan("shopify", {"__else__": null, "nobody": null})
    assert not made.passes_others
    assert made.properties == plan("shopify").properties


@pytest.mark.parametrize("null", [None, "__NULL__"])
def test_null_drops_the_stream(null: Any) -> None:
    """A stream that is null stays out, preset or not."""
    maps = expand_presets({"orders": "shopify"}, {"orders": null})
    (own,) = StreamMaps(maps, {}).plans("orders", {"type": "object", "properties": {}})
    assert (own.named, own.transform) == (True, None)


@pytest.mark.parametrize("stream", ["public-orders", "shop.orders", "Orders 2026", "conversions"])
def test_any_stream_may_have_any_preset(stream: str) -> None:
    """The tap's name of the stream is the user's to know, with dashes, dots and spaces."""
    maps = expand_presets(
        {stream: "postgres_orders"}, {"other": {"x": "id"}, "__else__": "__NULL__"}
    )
    assert list(maps) == ["other", "__else__", stream]
    (own,) = StreamMaps(maps, {}).plans(stream, {"type": "object", "properties": {}})
    assert own.named
    assert "event_time" in own.properties


def test_a_copy_with_a_preset() -> None:
    """`__source__` and `__alias__` are options of an entry like any other."""
    maps = expand_presets(
        {"sales": "shopify"}, {"sales": {"__source__": "orders"}, "__else__": None}
    )
    raw, copied = StreamMaps(maps, {}).plans("orders", {"type": "object", "properties": {}})
    assert (raw.transform, copied.stream) == (None, "sales")
    assert "event_time" in copied.properties


def test_the_settings_are_not_changed() -> None:
    """Neither the user's, nor what is remembered of the file."""
    own = {"orders": {"ip": None}}
    for _ in range(2):
        maps = expand_presets({"orders": "shopify", "more": "shopify"}, own)
        assert "ip" not in maps["orders"]
        assert "ip" in maps["more"]
        maps["more"].clear()
    assert own == {"orders": {"ip": None}}
    assert expand_presets({}, own) == own


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"orders": "shopfy"}, "setting 'presets.orders' must be one of shopify, shopify_rest,"),
        ({"orders": "shopfy"}, "; did you mean 'shopify'?"),
        ({"a": "Postgres-Orders"}, "; did you mean 'postgres_orders'?"),
        ({"a": None}, "setting 'presets.a' must be one of shopify,"),
        ({"a": ["shopify"]}, "setting 'presets.a' must be"),
        ("shopify", "setting 'presets' must be an object"),
        ({"__else__": "shopify"}, "setting 'presets.__else__' does not name a stream"),
    ],
)
def test_wrong_presets(given: Any, said: str) -> None:
    """What is wrong is named, with the nearest preset and all there are, but not what was given."""
    problem = "; ".join(problems({**ACCOUNT, "presets": given}))
    assert said in problem
    assert "shopfy" not in problem
    assert problems({**ACCOUNT, "presets": {"orders": "shopify"}}) == []


# Which preset


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_recognised(name: str) -> None:
    """A stream is recognised by its columns, not by its name."""
    record = sample(name, NOW).record
    assert likely_preset(record) == name
    for column in PRESETS[name].signature:
        assert likely_preset(set(record) - {column}) is None


@pytest.mark.parametrize(
    "columns",
    [
        (),
        ("id", "email", "created_at", "total"),
        ("id", "created_at", "email", "total_price", "currency", "order_number"),
        ("id", "created", "receipt_email", "amount", "currency"),
        ("Id", "Email", "CreatedDate", "LastModifiedDate"),
    ],
)
def test_other_streams_are_not(columns: tuple[str, ...]) -> None:
    """What has only the usual columns is nothing known."""
    assert likely_preset(columns) is None


def test_yaml_is_not_imported_without_presets() -> None:
    """The start does not take longer for those who use none."""
    code = "import sys, target_liveintent.target as t; sys.exit('yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0


def test_the_samples_are_whole() -> None:
    """Each sample has a value in each column that its preset reads, or a null that means no."""
    for name in NAMES:
        a_sample: Sample = sample(name, NOW)
        reads = plan(name).reads or frozenset()
        nulls = {"cancelledAt", "cancelled_at"}
        assert {c for c in reads if a_sample.record.get(c) is None} <= nulls
