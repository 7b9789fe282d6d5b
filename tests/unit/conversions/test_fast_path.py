"""The fast path gives what the slow path gives, or leaves the record to it."""

import datetime as dt
import traceback
import types
import zoneinfo
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from unit_support import (
    ADDRESS,
    BARE,
    CLICK_URL,
    DAY,
    DEFAULTS,
    FULL,
    LI_DID,
    MD5,
    NOW,
    SHA2,
    TIME,
    both_ways,
    conversion,
    each_of,
    md5,
    order,
    suppressing,
)

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.event_model import Conversion
from target_liveintent.conversions.fast_path import (
    EXPRESSION_FAILED,
    SlowPathError,
    compile_fast_path,
    compiled,
    generated_source,
)
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.settings import EventDefaults

BERLIN = DEFAULTS._replace(zone=zoneinfo.ZoneInfo("Europe/Berlin"))
PAGE = "https://shop.example/p?a=1"
MORE_ID = "7e92078a-8246-4ba4-ae5b-76104861e7dc"
TWICE = f"li_did={LI_DID}&li_did={LI_DID}"
MIXED = f"{PAGE}&li_did={LI_DID}x&li_did={LI_DID}"
ZERO = "00000000-0000-0000-0000-000000000000"


def is_usual(
    record: dict[str, Any],
    *,
    stream: str = "orders",
    keys: tuple[str, ...] = (),
    defaults: EventDefaults = DEFAULTS,
    suppressions: Suppressions | None = None,
    undeclared: Collection[str] = (),
) -> bool:
    """Return whether a record takes the fast path, and check that both ways give the same."""
    columns = [name for name in record if name not in undeclared]
    builder = EventBuilder(stream, columns, keys, defaults, suppressions, undeclared=undeclared)
    return both_ways(builder, record, record, NOW)[-1]


NOBODY = {"email": ...}
LONGEST_URL = f"{PAGE}&key=1&b=".ljust(8_192, "x")
Row = tuple[dict[str, Any], dict[str, Any]]
"""What differs from a usual record, and the arguments of `is_usual`."""
USUAL: dict[str, Row] = {
    "a usual order": ({}, {}),
    "every column of an event": (FULL, {}),
    # Times
    "a local time": ({"event_time": "2026-07-31T14:13:20"}, {"defaults": BERLIN}),
    "a Unix time, with a time zone in the settings": ({"event_time": TIME}, {"defaults": BERLIN}),
    "five digits of a second": ({"event_time": "2026-07-31T12:13:20.12345Z"}, {}),
    "seven digits of a second": ({"event_time": "2026-07-31T12:13:20.9999999Z"}, {}),
    "the newest usual time": ({"event_time": NOW - 2}, {}),
    "a time just inside the window": ({"event_time": NOW - 7 * DAY + 61}, {}),
    "eight days old, but offline": ({"event_time": NOW - 8 * DAY, "source": "offline"}, {}),
    "a datetime": ({"event_time": dt.datetime(2026, 7, 31, tzinfo=dt.timezone.utc)}, {}),
    # IDs
    "an ID of Shopify": ({"event_id": "gid://shop/Order/1"}, {}),
    "an ID with a space": ({"event_id": "a b"}, {}),
    "an ID that is an integer": ({"event_id": 7}, {}),
    "an ID that is a whole float": ({"event_id": 7.0}, {}),
    "an ID with an accent": ({"event_id": "é"}, {}),
    "a key instead of an absent ID": ({"event_id": ..., "id": 7}, {"keys": ("id",)}),
    "a key instead of a null ID": ({"event_id": None, "id": 7}, {"keys": ("id",)}),
    "a key instead of an empty ID": ({"event_id": "", "id": 7}, {"keys": ("id",)}),
    "two keys, one of them null": (
        {"event_id": ..., "id": "7", "no": None},
        {"keys": ("id", "no")},
    ),
    "a key and a position in a file": (
        {"event_id": ..., "id": 7, "_sdc_row": 1},
        {"keys": ("id", "_sdc_row")},
    ),
    # Identities
    "only an MD5": ({**NOBODY, "md5": MD5}, {}),
    "only a SHA-256, in capitals": ({**NOBODY, "sha2": SHA2.upper()}, {}),
    "an address, a null MD5 and a SHA-256": ({"md5": None, "sha2": SHA2}, {}),
    "an address, an MD5 and a null SHA-256": ({"md5": MD5, "sha2": None}, {}),
    "the MD5 of another address": ({"md5": "0" * 31 + "1"}, {}),
    "a hash in the column of the address": ({"email": MD5}, {}),
    "only a decision ID": ({"email": None, "decision_id": LI_DID}, {}),
    "only the decision ID of a URL": ({**NOBODY, "source_url": CLICK_URL}, {}),
    "decision IDs of a column and a URL": (
        {"source_url": CLICK_URL, "decision_id": "another-id"},
        {},
    ),
    "no parameters of URLs": (
        {"source_url": CLICK_URL},
        {"defaults": DEFAULTS._replace(url_parameters="none")},
    ),
    "normalized to lower case only": (
        {},
        {"defaults": DEFAULTS._replace(normalization="lowercase")},
    ),
    "Gmail's rule for all domains": (
        {},
        {"defaults": DEFAULTS._replace(normalization="all_domains")},
    ),
    "an undeclared column that is absent": ({}, {"undeclared": ("consent",)}),
    "two undeclared columns that are absent": ({}, {"undeclared": ("md5", "value")}),
    # Who may be sent
    "consent is true": ({"consent": True}, {}),
    "consent is a word": ({"consent": "Granted"}, {}),
    "consent is 1": ({"consent": 1}, {}),
    # What the settings give, or the record
    "source and pixel ID of the settings": ({"source": None, "pixel_id": None}, {}),
    "source and pixel ID of the record": (
        {"source": "WEB", "pixel_id": "44489"},
        {"defaults": BARE},
    ),
    # Optional values
    "no IP address": ({"ip": None}, {}),
    "no value": ({"value": None}, {}),
    "no URL": ({"source_url": None}, {}),
    "no decision ID": ({"decision_id": None}, {}),
    "no order ID": ({"order_id": None}, {}),
    "an amount that is a float": ({"value": 12.5}, {}),
    "an amount that is a negative zero": ({"value": -0.0}, {}),
    "an amount that is an integer": ({"value": 7}, {}),
    "an amount with a sign and a comma": ({"value": "$1,234.50"}, {}),
    "an amount with an exponent": ({"value": Decimal("1E+2")}, {}),
    "an IPv4 address": ({"ip": "203.0.113.9"}, {}),
    "an IPv6 address": ({"ip": "2001:DB8::1"}, {}),
    "a chain of IP addresses": ({"ip": "10.1.1.1, 8.8.8.8"}, {}),
    "an order ID with spaces around it": ({"order_id": " a "}, {}),
    "an order ID that is a word": ({"order_id": "None"}, {}),
    "an order ID that is an integer": ({"order_id": 1007}, {}),
    "an order ID with a sign": ({"order_id": "#1"}, {}),
    "a browser, an app and a flag": (
        {"user_agent": "Mozilla/5.0 (ü)", "app_bundle": "a.b", "tracking_enabled": "false"},
        {},
    ),
    "a URL with a secret": ({"source_url": f"{PAGE}&key=secret#x"}, {}),
    "the longest usual URL": ({"source_url": LONGEST_URL}, {}),
}


@each_of("changes, options", USUAL)
def test_usual_records_take_the_fast_path(changes: dict[str, Any], options: dict[str, Any]) -> None:
    """These records never cost the slow path, and give the same with it."""
    assert is_usual(order(**changes), **options)


ODD: dict[str, Row] = {
    "no time": ({"event_time": None}, {}),
    "a time that cannot be read": ({"event_time": "soon"}, {}),
    "a time that is now": ({"event_time": NOW}, {}),
    "a time of the last second": ({"event_time": NOW - 1}, {}),
    "an ID that is an address": ({"event_id": ADDRESS}, {}),
    "an ID that is a list": ({"event_id": [1], "id": 7}, {"keys": ("id",)}),
    "an ID that is infinite": ({"event_id": "Infinity", "id": 7}, {"keys": ("id",)}),
    "an ID that is negatively infinite": ({"event_id": "-inf", "id": 7}, {"keys": ("id",)}),
    "neither an ID nor keys": ({"event_id": ...}, {}),
    "a key that is null": ({"event_id": ..., "id": None}, {"keys": ("id",)}),
    "a key that is a list": ({"event_id": ..., "id": [1]}, {"keys": ("id",)}),
    "a key that is absent": ({"event_id": ...}, {"keys": ("id",)}),
    "an MD5 and an unusable address": ({"email": "nobody", "md5": MD5}, {}),
    "an unusable address": ({"email": "nobody"}, {}),
    "a null address": ({"email": None}, {}),
    "an address that is a number, and a null MD5": ({"email": 5, "md5": None}, {}),
    "consent is null": ({"consent": None}, {}),
    "consent is false": ({"consent": False}, {}),
    "consent is denied": ({"consent": "no"}, {}),
    "no source": ({}, {"defaults": DEFAULTS._replace(source=None)}),
    "no pixel ID": ({}, {"defaults": DEFAULTS._replace(pixel_id=None)}),
    "an unknown source": ({"source": "shop"}, {}),
    "a negative pixel ID": ({"pixel_id": -1}, {}),
    "an amount with a decimal comma": ({"value": "12,50"}, {}),
    "an amount that is a Boolean": ({"value": True}, {}),
    "an amount that is infinite": ({"value": float("inf")}, {}),
    "a private IPv4 address": ({"ip": "10.1.1.1"}, {}),
    "an IPv6 address of this machine": ({"ip": "::1"}, {}),
    "no IP address in the text": ({"ip": "x"}, {}),
    "an e-mail address in a chain of IP addresses": ({"ip": f"8.8.8.8, {ADDRESS}"}, {}),
    "an address as order ID": ({"order_id": ADDRESS}, {}),
    "an address as browser": ({"user_agent": ADDRESS}, {}),
    "an address as URL": ({"source_url": ADDRESS}, {}),
    "an address as app": ({"app_bundle": ADDRESS}, {}),
    "an unusable decision ID in a URL": ({"source_url": f"{PAGE}&li_did=x"}, {}),
    "a path that is too long": ({"source_url": "/" + "x" * 8_192}, {}),
    "a URL that is a number": ({"source_url": 5}, {}),
    "a URL with a secret that is too long": ({"source_url": f"{PAGE}&key={'x' * 8_192}"}, {}),
    "a decision ID that is a placeholder": ({"decision_id": "undefined"}, {}),
    "a decision ID of zeros": ({"decision_id": ZERO}, {}),
    "a decision ID with a space": ({"decision_id": "a b"}, {}),
    "an unknown currency": ({"currency": "EUO"}, {}),
    "a currency for no currency": ({"currency": "XXX"}, {}),
    # Columns that the stream does not declare, whatever their value is
    "an undeclared consent": ({"consent": None}, {"undeclared": {"consent"}}),
    "an undeclared value": ({"value": None}, {"undeclared": {"value"}}),
    "an undeclared ID": ({"event_id": None}, {"undeclared": {"event_id"}}),
}


@each_of("changes, options", ODD)
def test_slow_paths_take_the_slow_path(changes: dict[str, Any], options: dict[str, Any]) -> None:
    """The careful way has to build, or to reject, these."""
    assert not is_usual(order(**changes), **options)


def test_people_on_the_list_take_the_slow_path(tmp_path: Path) -> None:
    people = suppressing(tmp_path, "bo@example.com", md5("cy@example.com"))
    assert is_usual(order(), suppressions=people)
    for address in ("Bo@Example.com", "cy@example.com"):
        assert not is_usual(order(email=address), suppressions=people)


def test_what_is_remembered_is_not_taken_for_another_value() -> None:
    """What is remembered of a text is not taken for another value."""
    texts = ("1", "true", "1.0", " 1", "USD", "usd", PAGE, CLICK_URL, "$5", "0")
    for url in (CLICK_URL, f"{CLICK_URL}&b=1", f" {CLICK_URL}", f"{PAGE}&old_{TWICE}", MIXED):
        texts += (url, *(url.replace(LI_DID, one, 1) for one in (MORE_ID, ZERO, f"{LI_DID}x")))
    columns = ("order_id", "user_agent", "tracking_enabled", "currency", "value", "source_url")
    builder = EventBuilder("orders", [*order(), *columns], (), DEFAULTS, None)
    usual = compile_fast_path(
        builder, {name: f"record.get({name!r})" for name in builder.columns}, {}
    )
    assert usual is not None
    for column in columns:
        for value in (*texts, 1, True, 1.0, Decimal(1), 0, False, None) * 2:
            record = order(**{column: value})
            careful = builder.build(record, record, NOW)
            try:
                made = usual(record, NOW)
            except SlowPathError:
                continue
            assert isinstance(careful, Conversion)
            assert made is not None
            assert made.body == careful.body


def test_no_address_is_remembered() -> None:
    """A page's URL may have an address; what is remembered is sent as it is, and is not much."""
    builder = EventBuilder("orders", [*order(), "source_url", "user_agent"], (), DEFAULTS)
    usual: Any = compile_fast_path(
        builder, {name: f"record[{name!r}]" for name in builder.columns}, {}
    )
    kept = [usual.__globals__[one] for one in ("pages", "read_user_agent")]
    for url in (f"{PAGE}&e=ann%40hidden.example", PAGE, f"{PAGE}&key=1"):
        for _ in range(2):
            usual(order(source_url=url, user_agent="x"), NOW)
    assert list(kept[0]) == [PAGE]
    for n in range(2_000):
        usual(order(source_url=f"{PAGE}&{n}", user_agent="x".ljust(5 * n)), NOW)
        assert max(map(len, kept)) <= 1_024
    assert 600 < min(map(len, kept)) < max(map(len, kept[1])) <= 8_192


# The code that is generated


def test_a_column_cannot_be_taken_for_a_name_of_the_code() -> None:
    """A tap's columns may have any name."""
    hostile = "'] + use_slow_path() + record['"
    names = [
        "use_slow_path",
        "record",
        "str",
        "given_email",
        "sent_ip",
        "now",
        "__builtins__",
        hostile,
    ]
    builder = EventBuilder("orders", ["event_time", "event_id", "email", "value"], (), DEFAULTS)
    for name in names:
        inputs = {one: f"record[{name!r}].get({one!r})" for one in (*builder.columns, name)}
        usual = compile_fast_path(builder, inputs, {}, test=f"record[{name!r}]", empty=[f"{name}x"])
        assert usual is not None
        made = usual({name: order()}, NOW)
        assert made is not None
        assert made.body == conversion(order()).body
        assert usual({name: {}}, NOW) is None
        with pytest.raises(SlowPathError) as error:
            usual({name: order(), f"{name}x": 1}, NOW)
        assert error.value.cause == f"{name}x"


@pytest.mark.parametrize("mode", ["eval", "exec"])
def test_generated_code_has_no_builtins(mode: str) -> None:
    """Even code that no check looked at would find none: only C code finds the import."""
    source = {"eval": "lambda: given", "exec": "def made():\n    return given"}[mode]
    found = compiled(source, {"given": 7}, mode, "test")
    function = found if mode == "eval" else found["made"]
    assert isinstance(function, types.FunctionType)
    assert function() == 7
    assert (
        compiled(
            "lambda: at('2026-11-07', '%Y-%m-%d').day",
            {"at": dt.datetime.strptime},
            "eval",
            "test",
        )()
        == 7
    )
    function.__code__ = (lambda: __import__("os")).__code__
    with pytest.raises(NameError):
        function()


@pytest.mark.filterwarnings("error")
def test_generated_code_warns_of_nothing() -> None:
    """What Python says of a user's expression would not name the expression."""
    assert compiled("lambda: given is 'a'", {"given": 7}, "eval", "test")() is False


def usual_orders(**inputs: str) -> Any:
    """Return the function of a stream whose columns have this code."""
    builder = EventBuilder("orders", order(source="web"), (), DEFAULTS)
    codes = {name: f"record.get({name!r})" for name in builder.columns}
    return compile_fast_path(builder, codes | inputs, {})


def test_a_traceback_shows_the_line_of_generated_code() -> None:
    """Python finds the source of the function as it finds that of a file."""
    usual = usual_orders()
    usual.__globals__["hash_address"] = None
    with pytest.raises(TypeError) as error:
        usual(order(), NOW)
    *_, line = traceback.format_exception(error.value)[:-1]
    assert "conversion of the stream 'orders' " in line
    assert "identity = hash_address(given_email.strip(), normalization)" in line
    assert generated_source(usual).startswith("def build(record, now):\n")


@each_of(
    "name, value",
    {
        "what should be a function is none": ("time", None),
        "a lookup raises a TypeError": ("read_source", None),
        "a table lacks a key": ("lifetimes", {}),
        "a name is missing": ("identify", ...),
    },
)
def test_a_fault_of_the_generator_is_not_an_slow_path(name: str, value: Any) -> None:
    """An error that no record causes ends the run, instead of a slow run that hides it."""
    usual = usual_orders()
    del usual.__globals__[name]
    if value is not ...:
        usual.__globals__[name] = value
    with pytest.raises((TypeError, KeyError, NameError)):
        usual(order(email=MD5 if name == "identify" else ADDRESS, source="web"), NOW)


@each_of(
    "record, cause",
    {
        "a list": ({"event_id": [1]}, "event_id"),
        "no time": ({"event_time": "soon"}, "event_time"),
        "no address": ({"email": "nobody"}, "email"),
        "an expression fails": ({"at": 1}, EXPRESSION_FAILED),
    },
)
def test_an_slow_path_says_what_is_odd(record: dict[str, Any], cause: str) -> None:
    usual = usual_orders(event_time="record['event_time'] if not record.get('at') else 1 / 0")
    with pytest.raises(SlowPathError) as error:
        usual(order(**record), NOW)
    assert error.value.cause == cause
