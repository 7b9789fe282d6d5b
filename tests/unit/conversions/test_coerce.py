"""Coercions as tables: what taps send, what the API takes, and what cannot be read."""

import datetime as dt
import time
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from unit_support import HUGE, LI_DID, name_of_huge

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import (
    UNUSABLE,
    decision_id,
    decision_id_of_url,
    ip,
    read_time,
    unix_time,
)

UTC = dt.timezone.utc
EAST, WEST = (dt.timezone(dt.timedelta(hours=hours)) for hours in (14, -14))
ZERO = uuid.UUID(int=0)
READ: list[Callable[[Any], Any]] = [
    *(
        coerce.text,
        coerce.read_amount,
        coerce.positive_integer,
        coerce.source,
        coerce.currency_code,
    ),
    *(ip, coerce.device_id, coerce.flag, lambda value: coerce.unix_time(value, UTC)),
    lambda value: coerce.unix_time(value, EAST),
    lambda value: coerce.unix_time(value, WEST),
]
ODD: list[Any] = [
    *(HUGE, -HUGE, Decimal("sNaN"), Decimal("-NaN"), Decimal("1E+999999"), Decimal("1E-999999")),
    *(Decimal("Infinity"), 1e308, 5e-324, "9" * 6_000, "\ud800", "\x00", b"\xff", [], {}, ZERO),
    *(dt.datetime.min, dt.datetime.max, dt.date.min, dt.time.max, object()),  # noqa: DTZ901
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"),
    dt.datetime(1, 1, 1, tzinfo=EAST),
]


@pytest.mark.parametrize("read", READ)
def test_nothing_raises_and_what_means_nothing_is_absent(read: Callable[[Any], Any]) -> None:
    """Every coercion returns a value, None or UNUSABLE; null, empty texts and NaN are None."""
    for value in ODD:
        read(value)
    for nothing in (None, "", "  ", "None", "null", " null ", "NaN", float("nan"), Decimal("NaN")):
        assert read(nothing) is None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        pytest.param(1007.0, "1007", id="whole float"),
        pytest.param(Decimal("1007.0"), "1007", id="whole decimal"),
        pytest.param(Decimal("1E+3"), "1000", id="positive exponent"),
        pytest.param(Decimal("10.50"), "10.50", id="decimal keeps its zero"),
        pytest.param(10.5, "10.5", id="fraction"),
        pytest.param(" x ", "x", id="white space around"),
        pytest.param("Ünïcode", "Ünïcode", id="letters with marks"),
        pytest.param(True, "true", id="true"),
        pytest.param(False, "false", id="false"),
        pytest.param(dt.date(2026, 8, 1), "2026-08-01", id="date"),
        pytest.param(uuid.UUID(LI_DID), LI_DID, id="UUID"),
        pytest.param(2**127 - 1, str(2**127 - 1), id="most of 128 bits"),
        pytest.param(2**127, UNUSABLE, id="one above 128 bits"),
        pytest.param(-(2**127), UNUSABLE, id="below 128 bits"),
        pytest.param(Decimal("1E+37"), "1" + "0" * 37, id="longest integer"),
        pytest.param(Decimal("1E+38"), UNUSABLE, id="integer too long"),
        pytest.param(Decimal("-1E-37"), "-0." + "0" * 36 + "1", id="longest fraction"),
        pytest.param(Decimal("1E-38"), UNUSABLE, id="fraction too long"),
    ],
)
def test_text(value: Any, plain: Any) -> None:
    """Any scalar becomes text, whole numbers without a fraction, if it fits into 128 bits."""
    assert coerce.text(value) == plain


UPPER = LI_DID.upper()


@pytest.mark.parametrize(
    ("read", "expected", "values"),
    [
        pytest.param(
            coerce.text,
            UNUSABLE,
            [[], ["x"], {}, {"a": 1}, b"x", "\ud800", "a\udfffb"],
            id="no scalars",
        ),
        pytest.param(
            coerce.text,
            UNUSABLE,
            [float("inf"), Decimal("-Infinity"), "x" * 8_193],
            id="infinite or too long",
        ),
        pytest.param(
            coerce.text, UNUSABLE, ["Infinity", "-Infinity", " inf ", "-inf"], id="infinity as text"
        ),
        pytest.param(coerce.text, "Info", ["Info"], id="starts like infinity"),
        pytest.param(coerce.text, "x" * 8_192, ["x" * 8_192], id="longest text"),
        pytest.param(
            coerce.currency_code, "USD", ["USD", "usd", " Usd "], id="currency in any case"
        ),
        pytest.param(
            coerce.currency_code,
            UNUSABLE,
            ["US", "USDT", "U$D", "US1", "ÜSD", "ßs", "ﬀa", "$"],
            id="no currency code",
        ),
        pytest.param(
            coerce.currency_code,
            UNUSABLE,
            [840, ["USD"], "EUO", "XXX", "XTS", "DEM", "\u0131ls"],
            id="unknown currency",
        ),
        pytest.param(
            coerce.device_id,
            LI_DID,
            [LI_DID, f" {LI_DID} ", uuid.UUID(LI_DID)],
            id="UUID of a device",
        ),
        pytest.param(
            coerce.device_id, UPPER, [UPPER], id="device in capitals"
        ),  # Apple writes them in upper case.
        pytest.param(coerce.device_id, None, [str(ZERO), ZERO], id="device of zeros"),
        pytest.param(
            coerce.device_id,
            UNUSABLE,
            ["6d92078a", LI_DID + "0", "g" + LI_DID[1:], 5],
            id="malformed device",
        ),
        pytest.param(
            coerce.device_id, UNUSABLE, ["\u0661" * 8 + LI_DID[8:]], id="device in other digits"
        ),
        pytest.param(coerce.flag, 1, [True, 1, 1.0, "true", "True", "1"], id="flag that is set"),
        pytest.param(coerce.flag, 0, [False, 0, Decimal(0), "FALSE", " 0 "], id="flag that is not"),
        pytest.param(coerce.flag, UNUSABLE, [2, -1, "2", "maybe", [True], 0.5], id="no flag"),
        pytest.param(
            coerce.positive_integer,
            4711,
            [4711, "4711", " 4711 ", 4711.0, "4711.0", Decimal(4711)],
            id="positive integer",
        ),
        pytest.param(coerce.positive_integer, 2**63 - 1, [2**63 - 1], id="largest int64"),
        pytest.param(
            coerce.positive_integer,
            UNUSABLE,
            [2**63, 0, -1, 4711.5, "x", True, [1], "1" * 5_000],
            id="no positive integer",
        ),
        pytest.param(
            coerce.positive_integer,
            UNUSABLE,
            ["0" * 19 + "1" + "9" * 30],
            id="leading zeros, too large",
        ),
        pytest.param(coerce.positive_integer, 7, ["0" * 30 + "7"], id="leading zeros"),
        pytest.param(coerce.positive_integer, UNUSABLE, ["٤٧", "²"], id="other digits"),
        pytest.param(coerce.source, "web", ["web", " Web "], id="web"),
        pytest.param(coerce.source, "app", ["app"], id="app"),
        pytest.param(coerce.source, "offline", ["offline"], id="offline"),
        pytest.param(
            coerce.source,
            UNUSABLE,
            ["pos", "shopify_draft_order", 580111, ["web"]],
            id="no known source",
        ),
    ],
)
def test_the_other_types(read: Callable[[Any], Any], expected: Any, values: list[Any]) -> None:
    """Currencies, UUIDs of devices, flags, pixel IDs that fit an int64, and the three sources."""
    found = [read(value) for value in values]
    assert found == [expected] * len(values)
    assert {type(one) for one in found} == {type(expected)}


# Amounts: numbers that keep their digits, and what is not a number

AMOUNTS: list[tuple[Any, str]] = [
    *((digits, digits) for digits in ("87.28", "87.10", "-5.00", "0", "0.00")),
    ("$12.50", "12.50"),
    ("1,234.50", "1234.50"),
    ("$1,234,567.89", "1234567.89"),
    *((text, "-5") for text in ("-$5", "$-5")),
    ("+5", "5"),
    ("€12", "12"),
    ("007.50", "7.50"),
    (Decimal("87.10"), "87.10"),
    (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
    *((number, str(number)) for number in (0, 0.0, 87.28, 2**63, -(2**63), 10**19, 10**25)),
    *((str(number), str(number)) for number in (2**63, -(2**63), 10**19, 10**25)),
]


@pytest.mark.parametrize(("value", "digits"), AMOUNTS)
def test_amounts_keep_their_digits(value: Any, digits: str) -> None:
    """An amount is a JSON number with the digits that the tap sent."""
    number = coerce.read_amount(value)
    assert isinstance(number, (int, float, Decimal)), number
    assert msgspec.json.Encoder(decimal_format="number").encode(number).decode() == digits


@pytest.mark.parametrize(
    "value",
    [
        *("12,50", "1.234,50", "1,23.5", "1,2345", "1234,567", ",123", "1,,234", "1,234,", "x5"),
        *("1,234.5,6", "12.50.1", "abc", "$", "-", "--5", "-$-5", "$$5", "USD 12", "12 USD"),
        *("1_000", "0x10", "\uff11\uff12", "٣", "(5)", "inf", "Infinity", "-Infinity", "1e400"),
        *("\ud800", "9" * 400, True, False, float("inf"), float("-inf"), Decimal("Infinity")),
        *(Decimal("1E+400"), HUGE, [5], {"amount": 5}, b"5", dt.date(2026, 8, 1)),
    ],
    ids=name_of_huge,
)
def test_unusable_amounts(value: Any) -> None:
    """Only a finite number with dots and groups of three is usable; nothing is guessed."""
    assert coerce.read_amount(value) is UNUSABLE


# Text whose decimal sign is known


@pytest.mark.parametrize(
    ("decimal", "number", "texts"),
    [
        pytest.param(
            ",",
            "12.50",
            ["12,50", " 12,50 \u20ac ", "12,50\u00a0\u20ac", "\u20ac12,50"],
            id="decimal comma",
        ),
        pytest.param(
            ",", "12.50", ["\u20ac\u00a012,50", "12,50\u20ac"], id="comma beside the euro sign"
        ),
        pytest.param(
            ",", "-12.50", ["-12,50", "\u221212,50", "-12,50 \u20ac"], id="negative with comma"
        ),
        pytest.param(
            ",",
            "1234.50",
            ["1.234,50", "1 234,50", "1\u00a0234,50", "1\u202f234,50"],
            id="grouped thousands with comma",
        ),
        pytest.param(",", "1234567.5", ["1.234.567,5"], id="millions"),
        pytest.param(",", "1234", ["1.234", "1234"], id="point groups thousands"),
        pytest.param(
            ".",
            "1234.50",
            ["1,234.50", "1'234.50", "1\u2019234.50", "1\u202f234.50"],
            id="grouped thousands with point",
        ),
        pytest.param(".", "12.50", ["12.50 $"], id="dollar sign"),
        pytest.param(
            ",",
            "unusable",
            ["12.50", "1,234.50", "12.34,50", "1,2,3", "1.234,", "x", "12 EUR"],
            id="other decimal mark or grouping",
        ),
        pytest.param(
            ",",
            "unusable",
            ["\u20ac", "1  234", "\u20ac12\u20ac", "--5", True, [5]],
            id="no plain number",
        ),
        pytest.param(",", "None", [None, "", "  ", "null", "NaN", "\u00a0"], id="blank"),
        # A number has no decimal sign.
        pytest.param(",", "12.5", [12.5], id="float"),
        pytest.param(",", "1.10", [Decimal("1.10")], id="decimal"),
    ],
)
def test_local_amounts(decimal: str, number: str, texts: list[Any]) -> None:
    """The amount keeps its digits; what could be read in another way is not read at all."""
    assert [str(coerce.read_amount(text, decimal)) for text in texts] == [number] * len(texts)


@pytest.mark.parametrize("decimal", ["", ";", ",."])
def test_a_decimal_sign_that_is_none(decimal: str) -> None:
    """It is a mistake in the map, and fails."""
    with pytest.raises(ValueError, match="decimal sign"):
        coerce.read_amount("1,5", decimal)


# Times: the forms that taps send, zones, and what cannot be read

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")


def unix(*moment: int, zone: dt.tzinfo = UTC) -> int:
    """Return the Unix time of a calendar time."""
    year, month, day, hour, minute, second = (*moment, 0, 0, 0)[:6]
    return int(dt.datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp())


T = unix(2026, 8, 1, 0, 40, 35)

TEXTS = [
    *("2026-08-01T00:40:35Z", "2026-08-01T00:40:35z", "2026-08-01t00:40:35Z"),
    *("2026-08-01 00:40:35Z", "  2026-08-01T00:40:35Z\n", "2026-08-01T00:40:35-00:00"),
    *("2026-08-01T00:40:35+00:00", "2026-08-01T00:40:35+0000", "2026-08-01T00:40:35+00"),
    *("2026-08-01 00:40:35+00", "2026-08-01 00:40:35.61728+00", "2026-08-01T00:40:35.000000Z"),
    *("2026-08-01T00:40:35.0Z", "2026-08-01T00:40:35.9Z", "2026-08-01T00:40:35.99Z"),
    *("2026-08-01T00:40:35.999Z", "2026-08-01T00:40:35.999999Z"),
    *("2026-08-01T00:40:35.999999999Z", "2026-08-01T00:40:35.123456789012345+0000"),
    *("2026-07-31T20:40:35-04:00", "2026-07-31T20:40:35-0400", "2026-07-31T20:40:35-04"),
    *("2026-08-01T06:10:35+05:30", "2026-08-01T06:25:35+0545", "2026-08-01T00:40:35"),
    *("2026-08-01 00:40:35", "2026-08-01 00:40:35.61728"),
]
MOMENTS = [
    dt.datetime(2026, 8, 1, 0, 40, 35, tzinfo=UTC),
    dt.datetime(2026, 8, 1, 0, 40, 35, 999_999, tzinfo=UTC),
    dt.datetime(2026, 8, 1, 0, 40, 35),  # noqa: DTZ001 (that is the case)
    dt.datetime(2026, 7, 31, 20, 40, 35, tzinfo=NEW_YORK),
]
NUMBERS = [
    *(T, float(T), T + 0.999, Decimal(T), Decimal(f"{T}.999999"), str(T), f"{T}.0", f" {T}.75 "),
    *(T * 1_000, T * 1_000 + 999, float(T * 1_000), Decimal(T * 1_000), f"{T}617", f"{T}617.28"),
    *(T * 1_000_000, T * 1_000_000 + 999_999, float(T * 1_000_000), Decimal(T * 1_000_000)),
    f"{T}617280",
]


@pytest.mark.parametrize("value", [*TEXTS, *MOMENTS, *NUMBERS])
def test_forms_of_time(value: Any) -> None:
    """Every form in which taps send a moment gives the same Unix seconds, rounded down."""
    seconds = coerce.unix_time(value, UTC)
    assert seconds == T
    assert type(seconds) is int


NEW_YORK_TIMES: list[tuple[Any, int]] = [
    # A `Z`, which msgspec does not read in these forms, and an offset win over the zone.
    *((f"2026-08-01{time}", T) for time in ("T00:40:35.1234567Z", "T00:40:35,5Z", " 00:40:35 z")),
    *((f"2026-08-01{time}", T - 35) for time in ("T00:40Z", " 00:40 Z")),
    ("2026-07-15T12:00:00+02:00", unix(2026, 7, 15, 10)),
    # A day without a time means midnight in the zone.
    *((day, unix(2026, 8, 1, 4)) for day in ("2026-08-01", dt.date(2026, 8, 1))),
    # Times without an offset follow the calendar of the zone.
    ("2026-01-15T12:00:00", unix(2026, 1, 15, 17)),
    ("2026-07-15T12:00", unix(2026, 7, 15, 16)),
    (dt.datetime(2026, 7, 15, 12), unix(2026, 7, 15, 16)),  # noqa: DTZ001 (that is the case)
    # An hour that the clock leaves out, and the first of two equal ones.
    ("2026-03-08T02:30:00", unix(2026, 3, 8, 7, 30)),
    ("2026-11-01T01:30:00", unix(2026, 11, 1, 5, 30)),
    # The size of a number gives its unit: milliseconds of 2001 are not read as seconds.
    *((number, number) for number in (946_684_800, 4_102_444_799)),
    *((number, number // 1_000) for number in (946_684_800_000, 4_102_444_799_999)),
    *((number, number // 10**6) for number in (946_684_800_000_000, 4_102_444_799_999_999)),
    ("978307199000", 978_307_199),
]


@pytest.mark.parametrize(("value", "seconds"), NEW_YORK_TIMES)
def test_times_in_a_zone(value: Any, seconds: int) -> None:
    """The zone of the setting `timezone` is that of times without one."""
    assert coerce.unix_time(value, NEW_YORK) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *("yesterday", "infinity", "-infinity", "2026-13-01", "0000-01-01", "01/08/2026"),
        *("2026-02-30T00:00:00Z", "2026-08-01T25:00:00Z", "2026-08-01T00:61:00Z", "2026-08"),
        *("2026-08-01T00:40:35+24:00", "2026-08-01T00:40:35+99", "2026-08-01T00:40:35Z junk"),
        *("26-08-01", "٢٠٢٦-08-01", "\uff11\uff17\uff18\uff15\uff15\uff14\uff14\uff18\uff13\uff15"),
        *("1,785,544,835", "2026-08-01T00:40:35Z\n2026-08-01T00:40:35Z", "1" * 5_000, "\ud800"),
        *(True, False, [T], {"t": T}, b"2026-08-01", dt.time(1, 2), dt.timedelta(1), HUGE),
        *(float("inf"), float("-inf"), Decimal("Infinity"), Decimal("1E+400"), 10**18, 10**17),
        *(0, -1, 0.0, Decimal(0), "0", "-5", "0.0"),  # A source has no time; it is not 1970.
        # Numbers that mean another century in every unit: serial numbers of Excel, compact forms.
        *(46354.67, "46354.67", 20261128, "20261128150428", 946_684_799, 4_102_444_800),
        *(946_684_799_999, 4_102_444_800_000, 946_684_799_999_999, 4_102_444_800_000_000),
    ],
    ids=name_of_huge,
)
def test_unusable_times(value: Any) -> None:
    """Everything that cannot be read is unusable; nothing is guessed, and nothing raises."""
    assert coerce.unix_time(value, UTC) is UNUSABLE


# Whether the zone of the settings is used: only by times that have none of their own

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("is_local", "value"),
    [
        *((1, text) for text in ("2026-08-01T00:40:35", "2026-08-01 00:40:35.617", "2026-08-01")),
        *((1, text) for text in ("0001-01-01", "9999-12-31T23:59:59")),
        *((1, text) for text in ("2026-10-25T02:30:00", "2026-03-29T02:30:00")),
        (1, dt.datetime(2026, 8, 1, 12)),  # noqa: DTZ001 (that is the case)
        (1, dt.datetime(2026, 10, 25, 2, 30, fold=1)),  # noqa: DTZ001
        (1, dt.date(2026, 8, 1)),
        *((0, text) for text in ("2026-08-01T00:40:35Z", "2026-08-01T00:40:35+00:00")),
        *((0, text) for text in ("2026-08-01 00:40:35.1234567-04", "", "yesterday", None)),
        (0, dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc)),
        *((0, number) for number in (1_785_544_835, "1785544835", Decimal("1785544835.5"))),
    ],
    ids=[
        "text",
        "fraction of a second",
        "date only",
        "first day of all",
        "last second of all",
        "hour that comes twice",
        "hour that is skipped",
        "datetime",
        "second of two same hours",
        "date object",
        "UTC as Z",
        "UTC as offset",
        "offset of hours",
        "empty",
        "no time",
        "null",
        "datetime in UTC",
        "Unix time",
        "Unix time as text",
        "Unix time as decimal",
    ],
)
def test_a_time_without_a_zone_is_local(is_local: int, value: Any) -> None:
    """It is read in the zone of the setting; another time never is."""
    assert read_time(value, BERLIN) == (unix_time(value, BERLIN), bool(is_local))


# IP addresses: which are a buyer's, and which of a chain is sent


@pytest.mark.parametrize(
    ("address", "values"),
    [
        pytest.param(
            "203.0.113.7",
            ["203.0.113.7", " 203.0.113.7 ", "::ffff:203.0.113.7", "::FFFF:cb00:7107"],
            id="IPv4",
        ),
        pytest.param("2001:db8::1", ["2001:DB8::1", "2001:0db8:0000::0001"], id="IPv6"),
        pytest.param(None, [None, ""], id="blank"),
        pytest.param(
            UNUSABLE,
            ["203.0.113", "203.0.113.256", "203.0.113.7:443", "203.0.113.0/24", "unknown"],
            id="malformed IPv4",
        ),
        pytest.param(
            UNUSABLE,
            ["[2001:db8::1]", "2001:db8::1%eth0", 3405803783, True, b"\xcb\x00\x71\x07"],
            id="malformed IPv6 or no text",
        ),
        # Of the addresses that proxies have written one after the other, the first public one.
        pytest.param(
            "203.0.113.9",
            ["203.0.113.9, 10.0.0.1", "203.0.113.9,198.51.100.2"],
            id="first of a list",
        ),
        pytest.param(
            "203.0.113.9",
            ["10.0.0.1, 203.0.113.9", "unknown, 203.0.113.9"],
            id="first that is public",
        ),
        pytest.param(
            "203.0.113.9", ["::ffff:10.0.0.1, ::ffff:203.0.113.9"], id="list of mapped addresses"
        ),
        pytest.param(
            "2001:db8::7", [" , 127.0.0.1 ,, 2001:DB8::7 , 203.0.113.9"], id="list with empty parts"
        ),
        pytest.param(
            UNUSABLE,
            ["10.0.0.1, 192.168.0.1", "10.0.0.1,", ",", "203.0.113.9 10.0.0.1"],
            id="nobody's, or no list",
        ),
    ],
)
def test_ip(address: Any, values: list[Any]) -> None:
    """IPv4 or IPv6; a mapped address becomes IPv4, and an integer is unusable."""
    assert [ip(value) for value in values] == [address] * len(values)


# The first and the last address of each network, and their neighbours outside of it.
NETWORKS = [
    ("0.0.0.0", "0.255.255.255", None, "1.0.0.0"),  # noqa: S104 (nothing listens there)
    ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
    ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("224.0.0.0", "255.255.255.255", "223.255.255.255", None),
    ("::ffff:10.0.0.0", "::ffff:10.255.255.255", None, None),
    ("::", "::1", None, "2001:db8::1"),
    ("4000::", "ffff::1", "3fff:ffff::1", None),
    ("::10.0.0.5", "1fff::203.0.113.9", None, "2000::1"),
    ("64:ff9b::cb00:7107", "64:ff9b:1::a00:5", None, None),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("fe80::", "febf::1", None, None),
    ("ff00::", "ff02::1", None, None),
]


@pytest.mark.parametrize(
    ("first", "last", "before", "after"),
    NETWORKS,
    ids=[
        "this network",
        "private class A",
        "shared by carriers",
        "loopback",
        "link-local",
        "private class B",
        "protocol assignments",
        "private class C",
        "multicast and reserved",
        "mapped private",
        "IPv6 unspecified and loopback",
        "above global IPv6",
        "below global IPv6",
        "translated by NAT64",
        "unique local IPv6",
        "link-local IPv6",
        "multicast IPv6",
    ],
)
def test_addresses_that_are_nobodys(
    first: str, last: str, before: str | None, after: str | None
) -> None:
    """Private, loopback, link-local and multicast addresses say nothing about a buyer."""
    for inside in (first, last):
        assert ip(inside) is UNUSABLE
        assert ip(f" {inside}\n") is UNUSABLE
    for outside in (before, after):
        assert outside is None or ip(outside) == outside


# Decision IDs of records and of pages: what is one, and where in a URL it may be

OTHER = "0e2f6f0c-5d0c-4f3e-9c57-2f0f3c6f2b11"
SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (LI_DID, LI_DID),
        (f" {LI_DID.upper()} ", LI_DID.upper()),
        (uuid.UUID(LI_DID), LI_DID),
        ("any-Thing", "any-Thing"),
        (1007, "1007"),
        *((nothing, None) for nothing in (None, "", " ", "\t", float("nan"))),
        *((text, UNUSABLE) for text in ("null", "None", "NaN", "NIL", "Undefined", "(Not Set)")),
        *((value, UNUSABLE) for value in (ZERO, str(ZERO), "0", 0, False, ["x"])),
        *((text, UNUSABLE) for text in ("a b c!", "a\tb", "a\u00a0b", "not set", "Infinity")),
    ],
    ids=[
        "UUID as text",
        "capitals and white space",
        "UUID object",
        "any word",
        "integer",
        "null",
        "empty",
        "space",
        "tab",
        "NaN",
        "null as text",
        "None as text",
        "NaN as text",
        "nil",
        "undefined",
        "not set in parentheses",
        "zero UUID object",
        "zero UUID as text",
        "zero as text",
        "zero",
        "false",
        "list",
        "spaces inside",
        "tab inside",
        "no-break space inside",
        "not set",
        "infinity as text",
    ],
)
def test_decision_id(value: Any, read: Any) -> None:
    """Any text without spaces is one; placeholders are unusable, and blanks are empty."""
    assert decision_id(value) == read


def nested(parameter: str, times: int) -> str:
    """Return a URL with a parameter in a URL that is encoded so many times."""
    inner = f"{SHOP}/a?b=1&{parameter}&c=2"
    for _ in range(times):
        inner = quote(inner, safe="")
    return f"{SHOP}/go?x=1&next={inner}&y=2"


@pytest.mark.parametrize(
    "page",
    [
        *("/p?li_did={}", "/p?a=1&li_did={}&b=2", "/?li_did={}#top", "/#li_did={}"),
        *("/#/cart?a=1&li_did={}", "/#/cart/li_did={}/x", "/?a=1;li_did={}", "/?a=1&amp;li_did={}"),
        *("/?li_did=&li_did={}", "/?li_did=undefined&li_did={}", f"/?li_did={ZERO}&li_did={{}}"),
        *(f"/?old_li_did={OTHER}&li_did={{}}", f"/?next={SHOP}/?li_did={{}}"),
    ],
)
def test_the_places_in_a_url(page: str) -> None:
    """Query, fragment, and a URL that is a parameter; also where there is no host."""
    for start in (SHOP, "", "https://[shop.example"):
        assert decision_id_of_url(start + page.format(LI_DID)) == LI_DID


@pytest.mark.parametrize("times", range(5))
def test_a_url_in_a_parameter(times: int) -> None:
    """It is found however often it is encoded, with any parameter before it."""
    assert decision_id_of_url(nested(f"li_did={LI_DID}", times)) == LI_DID
    assert decision_id_of_url(nested(f"old_li_did={LI_DID}", times)) is None
    inner = f"{SHOP}/?li_did={LI_DID}#x"
    for _ in range(times):
        inner = quote(inner, safe="")
    assert decision_id_of_url(f"{SHOP}/go?{inner}") == LI_DID


@pytest.mark.parametrize(
    ("read", "pages"),
    [
        pytest.param(
            LI_DID, [f"?li_did={LI_DID}", f"li_did={LI_DID}&a=1"], id="query without a page"
        ),
        # The least encoded one: it is more likely that of the page's visitor.
        pytest.param(
            LI_DID, [f"{nested(f'li_did={OTHER}', 1)}&li_did={LI_DID}"], id="least encoded of two"
        ),
        pytest.param(
            LI_DID,
            [f"{nested(f'li_did={LI_DID}', 1)}&li_did=undefined"],
            id="placeholder beside encoded one",
        ),
        pytest.param(
            LI_DID,
            [nested(f"li_did={OTHER}", 2) + nested(f"li_did={LI_DID}", 1)],
            id="once encoded before twice",
        ),
        pytest.param(LI_DID, [f"{SHOP}/?li_did={LI_DID}&li_did={OTHER}"], id="first of two"),
        # Codes in lower case.
        pytest.param(
            LI_DID,
            [nested(f"li_did={LI_DID}", 1).replace("%3D", "%3d").replace("%26", "%3f")],
            id="codes in lower case",
        ),
        # It is there, so the caller counts it, but it identifies nobody.
        pytest.param(
            UNUSABLE,
            [f"{SHOP}/?li_did={one}" for one in ("", "abc", "undefined", ZERO)],
            id="blank, malformed or placeholder",
        ),
        pytest.param(
            UNUSABLE, [f"{SHOP}/?li_did=%28not%20set%29", f"{SHOP}/#li_did=null"], id="not set"
        ),
        pytest.param(
            UNUSABLE,
            [f"{SHOP}/?li_did={LI_DID}0", nested("li_did=undefined", 2)],
            id="one character too many",
        ),
        # Only a parameter of exactly this name has a decision ID.
        pytest.param(
            None,
            ["", SHOP, f"{SHOP}/li_did", f"{SHOP}/li_did/{LI_DID}", f"{SHOP}/?li_did"],
            id="no parameter",
        ),
        pytest.param(
            None,
            [f"{SHOP}/?{name}li_did={LI_DID}" for name in ("x", "x_", "x-", "x.")],
            id="name that only ends so",
        ),
        pytest.param(
            None,
            [f"{SHOP}/?{name}={LI_DID}" for name in ("li_didx", "x%5Fli_did", "li%5Fdid")],
            id="other names",
        ),
    ],
)
def test_decision_id_of_url(read: Any, pages: list[str]) -> None:
    """The first UUID of that parameter; none, or one that cannot be used."""
    assert [decision_id_of_url(page) for page in pages] == [read] * len(pages)


@pytest.mark.parametrize("piece", ["li_did", "li_did=", "%25", "?li_did=a", "li_did%25"])
def test_long_urls_take_no_time(piece: str) -> None:
    """The time is linear in the length of a URL."""
    started = time.process_time()
    decision_id_of_url(piece * 20_000)
    assert time.process_time() - started < 1.0
