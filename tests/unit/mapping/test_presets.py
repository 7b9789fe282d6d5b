"""The presets: what they make of records in their taps' shapes, and how they meet own maps."""

import functools
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import yaml
from preset_records import LI_DID, OTHER_DID, PAGE, Record, changed, hashes, paths, sample
from unit_support import BARE, NOW, convert_both_ways, each_of, name_of

from target_liveintent.config import problems
from target_liveintent.conversions.event_model import Conversion
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.mapping import presets
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.map_checks import map_warnings, needed_columns_absent
from target_liveintent.mapping.presets import NULL_VALUES, PRESETS, likely_preset
from target_liveintent.mapping.stream_maps import Stream, StreamMaps, StreamPlan

ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "x"}
NAMES = list(PRESETS)
OPTIONS = {"__filter__", "__else__"}
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def plan(
    name: str, own: Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None
) -> StreamPlan:
    """What is done with a preset's stream, the user's own columns included."""
    stream, _, record, _ = sample(name, NOW)
    schema = {"type": "object", "properties": {column: {} for column in record}}
    maps = {} if own is None else {stream: own}
    (made,) = StreamMaps(maps, config or {}, {stream: name}).plans(stream, schema)
    return made


_plain = functools.cache(plan)


def outcome(
    name: str,
    record: Record,
    own: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Any:
    """The event of a record without its pixel, or "filtered", or the reason of its rejection."""
    made = plan(name, own, config) if own or config else _plain(name)
    # As the reader does: other columns are not even decoded, and fractions are Decimals.
    decoded = _decode(msgspec.json.encode(record))
    if made.reads is not None:
        needed = made.reads.union(made.deletion_columns)
        decoded = {column: decoded[column] for column in decoded if column in needed}
    stream, keys, _, _ = sample(name, NOW)
    defaults = BARE._replace(pixel_id=4711)
    source = Stream(stream, {}, (*keys,))
    converter = RecordConverter(source, made, defaults, now=lambda: NOW)
    result = convert_both_ways(converter, decoded)
    if not isinstance(result, Conversion):
        return "filtered" if result is None else result.reason
    event = msgspec.json.decode(result.body)
    assert event.pop("pixelId") == 4711
    return event


def check(name: str, changes: Record, wanted: Any, **options: Any) -> None:
    """Check that a record with these changes has an outcome, or gives an event with changes.

    `...` stands for what is not there.
    """
    _, _, record, event = sample(name, NOW)
    if not isinstance(wanted, str):
        there = {path: value for path, value in wanted.items() if value is not ...}
        gone = dict.fromkeys(wanted.keys() - there, ...)
        wanted = changed(changed(event, there), gone)
    assert outcome(name, changed(record, changes), **options) == wanted


# The files


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
    assert reads is not None, "only comments may offer what is not compiled: comprehensions, say"
    assert reads.isdisjoint({"statusPageUrl", "order_status_url", "receipt_url"})
    # The columns of the signature are read, so that preset and signature cannot drift apart.
    unread = PRESETS[name].signature - reads
    assert not unread, f"the signature has columns that the map does not read: {unread}"
    # The sample has a value in each column that its preset reads, or a null that means no.
    record = sample(name, NOW).record
    assert {c for c in reads if record.get(c) is None} <= {"cancelledAt", "cancelled_at"}


# What comes of records


JOURNEY = "customerJourneySummary"
SHOP_MONEY = "originalTotalPriceSet.shopMoney"
NO_HASHES = {"userData.md5": ..., "userData.sha2": ...}
NO_MONEY = {"purchaseData.currency": ..., "purchaseData.value": ...}
NO_CLIENT = {"userData.ip": ..., "userData.ua": ...}
NO_DEVICE = {"userData.ua": ..., "userData.idfa": ...}


def hashed(address: str) -> Record:
    """The changes of an event that has the hashes of another address."""
    return {f"userData.{name}": value for name, value in hashes(address).items()}


def each(column: str, *values: Any, wanted: Any = "filtered") -> list[tuple[Record, Any]]:
    """One variant for each value of a column, all with the same outcome."""
    return [({column: value}, wanted) for value in values]


VARIANTS: dict[str, list[tuple[Record, Any]]] = {
    "shopify": [
        ({"test": True}, "filtered"),
        ({"cancelledAt": "2026-07-31T00:00:00.000000Z"}, "filtered"),
        *each("displayFinancialStatus", "PENDING", "AUTHORIZED", "EXPIRED", "VOIDED", "REFUNDED"),
        *each("displayFinancialStatus", None, ...),
        *each("displayFinancialStatus", "PAID", "PARTIALLY_PAID", wanted={}),
        ({"email": ""}, hashed("account@example.com")),
        ({"email": None, "customer": None}, NO_HASHES),
        ({"email": None, "customer": None, JOURNEY: None}, "no_identity"),
        ({"email": "", "customer.email": "", JOURNEY: {"lastVisit": None}}, "no_identity"),
        ({"sourceName": "pos"}, {"source": "offline", "userData.ip": ...}),
        *each("sourceName", "iphone", "android", wanted={"source": "app"}),
        *each("sourceName", "3890849", 3890849, wanted={}),
        ({"sourceName": "shopify_draft_order"}, {"userData.ip": ...}),
        ({"sourceName": None}, "invalid_source"),
        ({f"{SHOP_MONEY}.amount": None}, {"purchaseData.value": ...}),
    ],
    "shopify_rest": [
        ({"test": True}, "filtered"),
        ({"cancelled_at": "2026-07-31T21:51:39-04:00"}, "filtered"),
        *each("financial_status", "pending", "authorized", "expired", "voided", "refunded"),
        *each("financial_status", "unpaid", None),
        ({"email": "", "contact_email": None}, hashed("account@example.com")),
        ({"email": "", "contact_email": None, "customer": ...}, NO_HASHES | {"decisionId": LI_DID}),
        ({"email": "", "contact_email": "", "customer": ..., "landing_site": None}, "no_identity"),
        ({"source_name": "pos"}, {"source": "offline", **NO_CLIENT}),
        (
            {"source_name": "pos", "landing_site": None}
            | dict.fromkeys(("client_details", "browser_ip")),
            {"source": "offline", **NO_CLIENT, "purchaseData.sourceUrl": ..., "decisionId": ...},
        ),
        ({"source_name": "android"}, {"source": "app"}),
        ({"source_name": None}, "invalid_source"),
        ({"browser_ip": None}, {"userData.ip": "192.0.2.8"}),
        ({"landing_site": PAGE}, {"purchaseData.sourceUrl": PAGE}),
    ],
    "salesforce_opportunity": [
        ({"IsWon": False}, "filtered"),
        ({"IsDeleted": True}, "filtered"),
        ({"Contact_Email__c": None, "LI_Decision_Id__c": None}, "no_identity"),
        ({"CurrencyIsoCode": ...}, {"purchaseData.currency": ...}),
        (
            {"LastStageChangeDate": ..., "CloseDate": "2026-07-30T00:00:00.000000Z"},
            {"eventTime": 1_785_369_600},
        ),
        # A planned day that lies ahead: the deal was won before its record last changed.
        (
            {"LastStageChangeDate": None, "CloseDate": "2026-12-31T00:00:00.000000Z"}
            | {"LastModifiedDate": "2026-07-30T12:00:00.000000Z"},
            {"eventTime": 1_785_412_800},
        ),
        (
            {"LastStageChangeDate": None, "CloseDate": "2026-12-31T00:00:00.000000Z"}
            | {"LastModifiedDate": None},
            "event_in_future",
        ),
    ],
    "salesforce_lead": [
        ({"IsDeleted": True}, "filtered"),
        ({"LeadSource": "Purchased List"}, "filtered"),
        ({"LeadSource": "Phone Inquiry"}, {"source": "offline"}),
        ({"LeadSource": "Mobile App"}, {"source": "app"}),
        ({"LeadSource": None}, "invalid_source"),
        *each("HasOptedOutOfEmail", True, None, ..., wanted="no_consent"),
        ({"IsEmailBounced": True}, "no_identity"),
        ({"IsConverted": False, "ConvertedDate": None}, {}),
    ],
    "stripe_charges": [
        *each("status", "failed", "pending"),
        *(({name: False}, "filtered") for name in ("paid", "captured", "livemode")),
        ({"refunded": True}, "filtered"),
        *each("updated_by_event_type", "charge.refunded", "charge.refund.updated"),
        *each("updated_by_event_type", None, ..., wanted={}),
        *(
            (
                {"currency": currency},
                {"purchaseData.currency": currency.upper(), "purchaseData.value": value},
            )
            for currency, value in [
                *(("eur", 125.5), ("jpy", 12550), ("krw", 12550), ("kwd", 12.55), ("clp", 12550)),
                # Where Stripe's minor units are not those of ISO 4217.
                *(("isk", 125.5), ("ugx", 125.5), ("mga", 12550)),
            ]
        ),
        *each("currency", None, "usdc", wanted=NO_MONEY),
        ({"amount_captured": None}, {"purchaseData.value": 130}),
        ({"receipt_email": ""}, hashed("payer@example.com")),
        ({"receipt_email": None, "billing_details": None, "metadata": {}}, "no_identity"),
        ({"payment_method_details.type": "card_present"}, {"source": "offline"}),
        ({"payment_method_details": None}, "invalid_source"),
    ],
    "postgres_orders": [
        *each("status", "pending", "refunded", None),
        ({"is_test": True}, "filtered"),
        ({"status": "PAID", "_sdc_deleted_at": ..., "is_test": None}, {}),
        ({"channel": "pos"}, {"source": "offline"}),
        ({"channel": " web "}, {"source": "web"}),
        *each("channel", "phone", None, wanted="invalid_source"),
        *each("client.session.consent", False, 0, "false", "no", "denied", wanted="no_consent"),
        *each("client.session.consent", None, "", "yes", wanted={}),
        *each("client", None, '{"ip": "x"}', wanted=NO_DEVICE),
    ],
}


DELETED = ({"_sdc_deleted_at": "2026-07-31T00:00:00+00:00"}, "deleted")


ROWS: list[tuple[str, Record, Any]] = [
    (name, *one) for name in NAMES for one in (({}, {}), DELETED, *VARIANTS[name])
]


def name_of_variant(name: str, changes: Record, _: Any) -> str:
    """Return the name of a row: the preset, and what is other than in its sample."""
    texts = {None: "null", "": "empty", ...: "absent"}
    said = [
        f"{column} {value if isinstance(value, (dict, list)) else texts.get(value, value)}"
        for column, value in changes.items()
    ]
    return f"{name}, {' and '.join(said) or 'as it is'}"


@pytest.mark.parametrize(
    ("name", "changes", "wanted"), ROWS, ids=[name_of_variant(*one) for one in ROWS]
)
def test_a_changed_record_has_its_outcome(name: str, changes: Record, wanted: Any) -> None:
    """A record with these changes has this outcome, or gives the event with those changes."""
    check(name, changes, wanted)


# Incomplete records


ABSENCE = {
    *("filtered", "no_identity", "no_consent", "missing_event_time", "invalid_source"),
    "missing_key",
}
"""What may come of a record in which something is absent."""


@each_of(
    "nothing",
    {"null": None, "absent": ...},
)
@pytest.mark.parametrize("name", NAMES)
def test_no_expression_of_a_preset_fails_for_an_absent_value(name: str, nothing: Any) -> None:
    """Each part of a record in turn is null or not there: no expression fails."""
    assert outcome(name, {}) in ABSENCE
    record = sample(name, NOW).record
    assert len(paths(record)) > 12
    for path in paths(record):
        result = outcome(name, changed(record, {path: nothing}))
        assert not isinstance(result, str) or result in ABSENCE, path


# What the comments say


@pytest.mark.parametrize("url", ["https://shop.example.com", " https://shop.example.com/ "])
def test_the_path_of_a_landing_page_becomes_a_url(url: str) -> None:
    """With the shop's address, the path that Shopify's REST API gives becomes a URL."""
    config = {"shop_url": url}
    nothing = {"purchaseData.sourceUrl": ..., "decisionId": ...}
    check("shopify_rest", {}, {"purchaseData.sourceUrl": PAGE}, config=config)
    check("shopify_rest", {"landing_site": None}, nothing, config=config)


def suggested(name: str) -> dict[str, str]:
    """The columns that a preset's comments offer, as they would be without the comment sign."""
    text = presets.preset_text(name)
    lines = re.findall(r"^    # ((?:__filter__|[a-z_]+): .*|  .*)$", text, re.MULTILINE)
    offered: dict[str, str] = yaml.safe_load("\n".join(lines))
    return offered


@each_of(
    "name, columns, wanted",
    {
        "Shopify": ("shopify", {"decision_id", "consent"}, {"decisionId": OTHER_DID}),
        "Shopify REST": ("shopify_rest", {"decision_id", "consent"}, {"decisionId": OTHER_DID}),
        "Salesforce opportunities": ("salesforce_opportunity", {"consent"}, {}),
        "Salesforce leads": (
            "salesforce_lead",
            {"__filter__", "event_time", "decision_id", "source_url"},
            {"decisionId": LI_DID, "purchaseData.sourceUrl": PAGE}
            | {"eventTime": int(NOW) // 86_400 * 86_400 - 86_400},
        ),
    },
)
def test_what_comments_offer(name: str, columns: set[str], wanted: Record) -> None:
    """A line that a user takes the comment sign from works as it is."""
    own = suggested(name)
    assert set(own) == columns
    check(name, {}, wanted, own=own)


@each_of(
    "value",
    {
        "null": None,
        "no attributes": [],
        "empty attribute": [{}],
        "other attributes": [{"key": "x"}, {"name": "y"}],
    },
)
def test_a_decision_id_of_attributes_is_null_safe(value: Any) -> None:
    """An order without the attribute is an order all the same."""
    check("shopify", {"customAttributes": value}, {}, own=suggested("shopify"))
    check("shopify_rest", {"note_attributes": value}, {}, own=suggested("shopify_rest"))


# Presets and own maps

VALUE = "get('currentTotalPriceSet.shopMoney.amount')"


@pytest.mark.parametrize(
    ("own", "changes", "wanted"),
    [
        (
            {"value": VALUE, "user_agent": "'Agent/1'"},
            {},
            {"purchaseData.value": 50, "userData.ua": "Agent/1"},
        ),
        ({"__filter__": "fullyPaid is False"}, {}, "filtered"),
        ({"__filter__": "fullyPaid"}, {"test": True}, {}),
        # Null takes a column away, or the filter; `__else__` stays what it is.
        *(({"ip": null}, {}, {"userData.ip": ...}) for null in NULL_VALUES),
        *(({"__filter__": null}, {"test": True}, {}) for null in NULL_VALUES),
    ],
    ids=name_of,
)
def test_own_columns_go_first(own: dict[str, Any], changes: Record, wanted: Any) -> None:
    check("shopify", changes, wanted, own=own)


def test_what_a_preset_reads_is_no_mistake() -> None:
    """Some sources lack what others have; an own column is checked."""
    schema = {"type": "object", "properties": {"createdAt": {}, "total": {}}}
    maps = StreamMaps({"orders": {"value": "get('totl')"}}, {}, {"orders": "shopify"})
    (made,) = maps.plans("orders", schema)
    (finding,) = map_warnings(made, schema)
    assert (finding.code, finding.column, finding.reads) == ("read_column_absent", "value", "totl")


NEEDED = {
    "shopify": {"id", "test", "cancelledAt", "displayFinancialStatus"},
    "shopify_rest": {"id", "test", "cancelled_at", "financial_status"},
    "salesforce_opportunity": {"Id", "IsWon", "IsDeleted"},
    "salesforce_lead": {"Id", "IsDeleted", "LeadSource", "CreatedDate"},
    "stripe_charges": {"id", "created", "paid", "captured", "livemode", "refunded", "status"},
    "postgres_orders": {"id", "status"},
}
"""Columns without which a run ends. All others can be absent, or have an alternative."""


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_needs_only_what_decides(name: str) -> None:
    """Without what decides which records are sent, and under which ID, none is sent."""
    record = sample(name, NOW).record
    needed = set()
    for column in record:
        schema = {"type": "object", "properties": {one: {} for one in record if one != column}}
        if lacking := needed_columns_absent(plan(name), schema):
            assert len(lacking) == 1
            needed.add(column)
    assert needed == NEEDED[name]


# Which preset


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_recognized_by_its_columns(name: str) -> None:
    """A stream is recognised by its columns, not by its name."""
    record = sample(name, NOW).record
    assert likely_preset(record) == name
    for column in PRESETS[name].signature:
        assert likely_preset(set(record) - {column}) is None
