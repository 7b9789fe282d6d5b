"""Any record gives an event that the sandbox's contract accepts, or a rejection."""

import datetime as dt
import json
import re
import urllib.parse
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from unit_support import (
    ADDRESS,
    CLICK_URL,
    DAY,
    DEFAULTS,
    LI_DID,
    MD5,
    NOW,
    SETTINGS,
    SHA2,
    TIME,
    build,
    order,
    replayed,
)

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.reasons import REASONS
from target_liveintent.sandbox.contract import broken_rules
from target_liveintent.settings import EventDefaults
from target_liveintent.singer.reader import decode_object
from target_liveintent.store.dead_letters import letter_of

NAMES = [field.name for field in FIELDS]
ADDED = {"reason", "field", "stream", "time", "run_id", "detail", "scrubbed", "written_for"}
ADDED |= {"window_end", "all_hashes"}
PAGE = "https://shop.example/p?a=1"
ZERO = "00000000-0000-0000-0000-000000000000"

pinned = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Addresses that can be recognised in any output.
addresses = st.from_regex(
    re.compile(r"[a-z][a-z0-9.+_'-]{0,12}qz@[a-z]{2,8}\.(?:example|com|co\.uk)", re.ASCII),
    fullmatch=True,
)
DRESSES: list[Callable[[str], Any]] = [
    *(str, str.upper, str.title, " {} ".format, "to <{}>, now".format, "mailto:{}?a=x".format),
    *("\ud800{}".format, "{}\udfff".format, f"https://shop.example/?li_did={LI_DID}&e={{}}".format),
    lambda address: f"https://shop.example/?e={urllib.parse.quote(address)}",
    lambda address: f"/?u={urllib.parse.quote(f'?e={urllib.parse.quote(address)}')}",
]
hidden_addresses = st.builds(
    lambda address, dress: dress(address), addresses, st.sampled_from(DRESSES)
)
texts = st.one_of(
    st.sampled_from(
        [
            *("", " ", "None", "nan", "null", "7", " 7", "a b", "x" * 130, "x@y.example", "%40"),
            *("\\", "a&b", "\u00e9", "\ud800", "\u200b", "a\nb", '"', "#1", "gid://shop/Order/1"),
        ]
    ),
    st.text(st.characters(codec=None), max_size=12),
)
numbers = st.one_of(
    st.integers(-(10**40), 10**40),
    st.integers(int(NOW) - 40 * DAY, int(NOW) + 120),
    st.floats(),
    st.decimals(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-999, max_value=999),
    st.sampled_from([Decimal("1E+400"), Decimal("1E-400"), Decimal("-0"), 2**63, 2**64, 1e308]),
)
moments = st.datetimes(dt.datetime(2026, 7, 24), dt.datetime(2026, 8, 2))  # noqa: DTZ001
forms = ["", "Z", "z", "+02:00", "-0330", "+00", ".5Z", ".123456+00:00", ".1234567", " +01:00"]
written = st.builds(
    lambda at, form, sep, cut: f"{at:%Y-%m-%d}{sep}{at:%H:%M:%S}"[:cut] + form,
    moments,
    st.sampled_from(forms),
    st.sampled_from("T t"),
    st.sampled_from([19, 19, 19, 16, 10]),
)
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.one_of(texts, st.integers(), st.just(...)),
    "event_time": st.one_of(
        written, moments, st.integers(int(NOW) - 9 * DAY, int(NOW) + 90), texts, st.floats()
    ),
    "pixel_id": st.sampled_from([1, "44489", 0, None, 1.0, "x"]),
    "source": st.sampled_from(["web", "WEB", "offline", "shop", None, ""]),
    "decision_id": st.one_of(
        texts, st.sampled_from([LI_DID, LI_DID.upper(), ZERO, "undefined", None, 0])
    ),
    "email": st.one_of(texts, st.sampled_from([ADDRESS, f" {ADDRESS} ", "é@ü.example", MD5, None])),
    "md5": st.sampled_from([MD5, MD5.upper(), SHA2, "x", None, "0" * 32, ADDRESS]),
    "sha2": st.sampled_from([SHA2, SHA2.title(), MD5, "", None, "f" * 64, 5]),
    "ip": st.one_of(
        st.ip_addresses().map(str),
        st.ip_addresses(network="2001::/16").map(lambda one: one.exploded),
        st.sampled_from(["", None, "10.0.0.1, 203.0.113.7", "1.2.3.4 ", "::ffff:203.0.113.7", 5]),
    ),
    "user_agent": texts,
    "idfa": st.sampled_from([LI_DID, LI_DID.upper(), "0" * 8, None]),
    "aaid": st.sampled_from([LI_DID, ZERO, ""]),
    "tracking_enabled": st.sampled_from([True, 0, 1, "false", "2", 1.0, None]),
    "currency": st.sampled_from(["USD", "usd", " EUR", "EURO", "", None, 5, "ÄÖÜ"]),
    "value": st.one_of(
        st.floats(), st.decimals(), st.integers(), st.sampled_from(["1", "$1.50", "1,5", None, ""])
    ),
    "order_id": st.one_of(texts, st.integers(), st.floats()),
    "source_url": st.one_of(
        texts,
        st.sampled_from(
            [
                *(PAGE, CLICK_URL, f"{CLICK_URL}&token=x", f"{PAGE}&li_did=x", f"{PAGE}#key=1"),
                *(f"{PAGE}&e=a%40b.example", f"https://u:p@shop.example/?li_did={LI_DID}", 5),
                *("/p;sid=1?utm_source=a", f"{PAGE}&li_did=undefined", " /p?key=1 ", None),
            ]
        ),
    ),
    "app_bundle": texts,
    "consent": st.sampled_from([True, "yes", "no", None, False, 1, "GRANTED"]),
    "id": st.one_of(texts, st.integers(), st.none()),
    "no": st.one_of(texts, st.none(), st.just(...)),
}
"""Values of each column: most are usual, and the others nearly so."""
odd = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), numbers, texts, hidden_addresses, st.binary(max_size=5)),
        *(written, st.datetimes(timezones=st.just(dt.timezone.utc)), st.dates(), st.times()),
        st.sampled_from(
            [
                *("NaN", "web", "offline", "USD", "$12.50", "12,50", "203.0.113.7", "true", "0"),
                *(MD5, SHA2, MD5.upper(), LI_DID, CLICK_URL, "react@18.2.0", "1E400", "1" * 400),
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(texts, addresses, st.sampled_from(["md5", "ip", "email", "value", "items"])),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
columns = st.sampled_from([*NAMES, "_sdc_x", "id", "note"])
wild = st.dictionaries(st.one_of(columns, texts), odd, max_size=8)
changes = st.lists(st.sampled_from([*USUAL]), max_size=7, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: USUAL[name] for name in names})
)
usual = changes.map(lambda changed: order(**changed))
# Most of these still give events.
nearly_usual = st.builds(
    lambda base, change: {**base, **change}, usual, st.dictionaries(columns, odd, max_size=2)
)
records = st.one_of(wild, usual, usual, nearly_usual)
defaults = st.builds(
    lambda normalization, parameters, zone, source, pixel: DEFAULTS._replace(
        normalization=normalization,
        url_parameters=parameters,
        zone=zone,
        source=source,
        pixel_id=pixel,
    ),
    st.sampled_from(["gmail", "all_domains", "lowercase"]),
    st.sampled_from(["all_but_secrets", "attribution", "none"]),
    st.sampled_from([dt.timezone.utc, zoneinfo.ZoneInfo("America/New_York")]),
    st.sampled_from(["web", "offline", None]),
    st.sampled_from([4711, 4711, 4711, None]),
)
keys = st.sampled_from([(), ("id",), ("id", "no")])


def _letter(result: Conversion | Rejection) -> list[str]:
    """Return the texts of the row of a dead letter; the last one is its record."""
    if isinstance(result, Conversion):
        result = result.rejected("refused_by_api", None, None)
    letter = letter_of(result, SETTINGS.account, SETTINGS.events, "run-1", NOW)
    return [str(value) for value in letter.row(1, NOW)]


@settings(pinned, max_examples=450)
@given(records, defaults, keys)
@example({"event_time": TIME, "email": "aqz@bb.com", "value": Decimal("NaN")}, DEFAULTS, ())
@example({"event_time": Decimal("Infinity"), "email": "aqz@bb.com"}, DEFAULTS, ())
@example({"event_time": TIME, "email": "aqz@bb.com", "value": Decimal("sNaN")}, DEFAULTS, ())
@example({"event_time": TIME, "md5": MD5, "order_id": Decimal("1E-100000")}, DEFAULTS, ())
@example({"event_time": {"\ud800": 1}, "email": "aqz@bb.com"}, DEFAULTS, ())
def test_any_record_gives_a_valid_event_or_a_known_reason(
    record: dict[str, Any], chosen: EventDefaults, key_properties: tuple[str, ...]
) -> None:
    """Any record gives an event that the contract accepts, or a rejection with a known reason.

    Its dead letter is strict JSON with its event ID. The same record, its columns in another order,
    gives the same event; and so does the fast path, wherever it gives one, as `build` checks.
    """
    result = build(record, defaults=chosen, keys=key_properties)
    again = build(dict(reversed(record.items())), defaults=chosen, keys=key_properties)
    assert result.event_id == again.event_id
    if isinstance(result, Conversion):
        event = json.loads(result.body, parse_constant=pytest.fail)
        judged_at = min(NOW, result.expires_at - 1)  # Delivery judges how old the event is.
        assert list(broken_rules([event], judged_at)) == []
        assert event["eventId"] == result.event_id
        assert result.expires_at <= NOW + 30 * DAY
        assert isinstance(again, Conversion)
        assert again.body == result.body
    else:
        assert result.reason in REASONS
        assert result.field is None or result.field in NAMES
        assert result.event_id
    *_, text = _letter(result)
    written = json.loads(text, parse_constant=pytest.fail)
    assert set(written) <= {*NAMES, *ADDED} - {"email"}
    assert written["event_id"] == result.event_id
    assert decode_object(text.encode())["event_id"] == result.event_id


NESTED: list[Callable[[str], Any]] = [
    *DRESSES,
    lambda address: [{"x": address}],
    lambda address: {address: {"a": f"<{address}>"}},
]


@pinned
@given(records, addresses, st.sampled_from(NAMES), st.sampled_from(NESTED), keys)
def test_no_address_leaves(
    record: dict[str, Any],
    address: str,
    column: str,
    dress: Callable[[str], Any],
    key_properties: tuple[str, ...],
) -> None:
    """An address in any column is neither in the event nor in the dead letter, in any spelling."""
    record[column] = dress(address)
    result = build(record, keys=key_properties)
    body = result.body.decode() if isinstance(result, Conversion) else ""
    text = " ".join([*_letter(result), body]).lower()
    assert not re.search("qz(?:@|%40|%2540)", text)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: d + 0),
        st.text(st.characters(codec="utf-8"), max_size=12),
        st.sampled_from(["USD", "web", "offline", "87.10", "$5", "203.0.113.7", LI_DID, CLICK_URL]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)


@pinned
@given(addresses, st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5))
def test_a_replay_gives_the_same_result(address: str, changed: dict[str, Any]) -> None:
    """The replayed dead letter of a record that came as JSON gives its event or rejection again."""
    record = {**order(event_id=..., email=address), **changed}
    assume("@" not in repr({**record, "email": None}))
    result = build(record)
    # A record without consent gives no dead letter.
    assume(isinstance(result, Conversion) or REASONS[result.reason].letter)
    again = replayed(result)
    assert again.event_id == result.event_id
    if isinstance(result, Conversion):
        assert isinstance(again, Conversion)
        assert again.body == result.body
    else:
        assert isinstance(again, Rejection)
        assert (again.reason, again.field) == (result.reason, result.field)
