"""Any record gives an event that the sandbox's contract accepts, or a rejection."""

from __future__ import annotations

import datetime as dt
import json
import re
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from unit_support import (
    BARE,
    DAY,
    DEFAULTS,
    LI_DID,
    MD5,
    NOW,
    SETTINGS,
    SHA2,
    TIME,
    build,
    replayed,
)

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.reasons import REASONS
from target_liveintent.sandbox.contract import broken_rules
from target_liveintent.settings import EventDefaults
from target_liveintent.singer.reader import decode_object
from target_liveintent.store import letter_of

NAMES = [field.name for field in FIELDS]
ADDED = {"reason", "field", "stream", "time", "run_id", "detail", "scrubbed", "written_for"}
ADDED |= {"window_end"}
API_NAMES = ["eventId", "eventTime", "pixelId", "decisionId", "userData", "purchaseData"]

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
texts = st.text(st.characters(codec=None), max_size=12)
numbers = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.integers(min_value=int(NOW) - 40 * DAY, max_value=int(NOW) + 120),
    st.floats(),
    st.decimals(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-999, max_value=999),
    st.sampled_from([Decimal("1E+400"), Decimal("1E-400"), Decimal("-0"), 2**63, 2**64, 1e308]),
)
moments = st.one_of(
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.timezone.utc)),
    st.dates(),
    st.times(),
    st.datetimes(
        min_value=dt.datetime(2026, 6, 25),  # noqa: DTZ001 (naive on purpose)
        max_value=dt.datetime(2026, 8, 2),  # noqa: DTZ001
    ).map(dt.datetime.isoformat),
)
well_known = st.sampled_from(
    [
        *("", "None", "null", "NaN", "web", "app", "offline", "USD", "usd", "$12.50", "12,50"),
        *("203.0.113.7", "::ffff:203.0.113.7", "true", "0", MD5, SHA2, MD5.upper(), LI_DID),
        *(f"https://shop.example/?li_did={LI_DID}", "2026-07-31T12:00:00Z", "react@18.2.0"),
        *("1E400", "1" * 400, "\x00", "\ud800", "\udfff\ud800", "@", "%40"),
    ]
)
scalars = st.one_of(st.none(), st.booleans(), numbers, moments, texts, st.binary(max_size=5))
values = st.recursive(
    st.one_of(scalars, well_known, hidden_addresses),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(texts, addresses, st.sampled_from(["a", "md5"])), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
user_data = st.dictionaries(
    st.sampled_from(["md5", "sha2", "ip", "ua", "idfa", "aaid", "trackingEnabled", "email"]),
    values,
    max_size=4,
)
purchase_data = st.dictionaries(
    st.sampled_from(["currency", "value", "orderId", "appBundle", "sourceUrl", "items"]),
    values,
    max_size=4,
)
wild = st.dictionaries(
    st.one_of(st.sampled_from(NAMES + API_NAMES), st.sampled_from(["_sdc_x", "id", "note"]), texts),
    values,
    max_size=8,
)
nested = st.fixed_dictionaries({}, optional={"userData": user_data, "purchaseData": purchase_data})
# A record that would give an event, with some of its columns replaced: most of these still do.
tame = st.fixed_dictionaries(
    {"event_time": st.integers(int(NOW) - 6 * DAY, int(NOW)), "email": addresses}
)
records = st.one_of(
    wild,
    st.builds(
        lambda base, inner, changes: {**base, **inner, **changes},
        tame,
        nested,
        st.dictionaries(st.sampled_from([*NAMES, "id", "note"]), values, max_size=4),
    ),
)
defaults = st.sampled_from([DEFAULTS, BARE, DEFAULTS._replace(source="offline")])
keys = st.sampled_from([(), ("id",), ("id", "note")])


def _letter(result: Conversion | Rejection) -> list[str]:
    """Return the texts of the row of a dead letter; the last one is its record."""
    if isinstance(result, Conversion):
        result = result.rejected("refused_by_api", None, None)
    return [str(value) for value in letter_of(result, SETTINGS, "run-1", NOW).row(1, NOW)]


def _no_constant(name: str) -> NoReturn:
    pytest.fail(f"{name} is no JSON")


@pinned
@given(records, defaults, keys)
@example({"event_time": TIME, "email": "aqz@bb.com", "value": Decimal("NaN")}, DEFAULTS, ())
@example({"event_time": Decimal("Infinity"), "email": "aqz@bb.com"}, DEFAULTS, ())
@example({"event_time": TIME, "email": "aqz@bb.com", "value": Decimal("sNaN")}, DEFAULTS, ())
@example({"event_time": TIME, "md5": MD5, "order_id": Decimal("1E-100000")}, DEFAULTS, ())
@example({"event_time": {"\ud800": 1}, "email": "aqz@bb.com"}, DEFAULTS, ())
def test_any_record(
    record: dict[str, Any], chosen: EventDefaults, key_properties: tuple[str, ...]
) -> None:
    """Any record gives an event that the contract accepts, or a rejection with a known reason.

    Its dead letter is strict JSON with its event ID. The same record, its columns in
    another order, gives the same event.
    """
    result = build(record, defaults=chosen, keys=key_properties)
    again = build(dict(reversed(record.items())), defaults=chosen, keys=key_properties)
    assert result.event_id == again.event_id
    if isinstance(result, Conversion):
        event = json.loads(result.body, parse_constant=_no_constant)
        assert list(broken_rules([event], NOW)) == []
        assert event["eventId"] == result.event_id
        assert NOW < result.expires_at <= NOW + 30 * DAY
        assert isinstance(again, Conversion)
        assert again.body == result.body
    else:
        assert result.reason in REASONS
        assert result.field is None or result.field in NAMES
        assert result.event_id
    *_, text = _letter(result)
    written = json.loads(text, parse_constant=_no_constant)
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
    quoted = urllib.parse.quote(address)
    record[column] = dress(address)
    result = build(record, keys=key_properties)
    body = result.body.decode() if isinstance(result, Conversion) else ""
    text = " ".join([*_letter(result), body]).lower()
    for spelling in {address, quoted, urllib.parse.quote(quoted)}:
        assert spelling.lower() not in text
    assert "qz@" not in text
    assert "qz%40" not in text


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: d + 0),
        st.text(st.characters(codec="utf-8"), max_size=12),
        st.sampled_from(["USD", "web", "offline", "87.10", "$5", "203.0.113.7", LI_DID, "true"]),
        st.just(f"https://shop.example/?li_did={LI_DID}"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)


@pinned
@given(
    st.builds(
        lambda base, changes: {**base, **changes},
        tame,
        st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5),
    )
)
def test_a_replay_gives_the_same_result(record: dict[str, Any]) -> None:
    """The replayed dead letter of a record that came as JSON gives its event or rejection again."""
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
