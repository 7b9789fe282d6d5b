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
from unit_support import HUGE, LI_DID, each_of, name_of

from target_liveintent.conversions.coerce import (
    UNUSABLE,
    currency_code,
    decision_id,
    decision_id_of_url,
    device_id,
    flag,
    ip,
    positive_integer,
    read_amount,
    read_time,
    source,
    text,
    unix_time,
)

UTC = dt.timezone.utc
EAST, WEST = (dt.timezone(dt.timedelta(hours=hours)) for hours in (14, -14))
ZERO = uuid.UUID(int=0)
READ: list[Callable[[Any], Any]] = [
    *(text, read_amount, positive_integer, source, currency_code),
    *(ip, device_id, flag, lambda value: unix_time(value, UTC)),
    lambda value: unix_time(value, EAST),
    lambda value: unix_time(value, WEST),
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


@each_of(
    "value, plain",
    {
        "whole float": (1007.0, "1007"),
        "whole decimal": (Decimal("1007.0"), "1007"),
        "positive exponent": (Decimal("1E+3"), "1000"),
        "decimal keeps its zero": (Decimal("10.50"), "10.50"),
        "fraction": (10.5, "10.5"),
        "white space around": (" x ", "x"),
        "letters with marks": ("Ünïcode", "Ünïcode"),
        "true": (True, "true"),
        "false": (False, "false"),
        "date": (dt.date(2026, 8, 1), "2026-08-01"),
        "UUID": (uuid.UUID(LI_DID), LI_DID),
        "most of 128 bits": (2**127 - 1, str(2**127 - 1)),
        "one above 128 bits": (2**127, UNUSABLE),
        "below 128 bits": (-(2**127), UNUSABLE),
        "longest integer": (Decimal("1E+37"), "1" + "0" * 37),
        "integer too long": (Decimal("1E+38"), UNUSABLE),
        "longest fraction": (Decimal("-1E-37"), "-0." + "0" * 36 + "1"),
        "fraction too long": (Decimal("1E-38"), UNUSABLE),
    },
)
def test_any_scalar_becomes_text(value: Any, plain: Any) -> None:
    """Any scalar becomes text, whole numbers without a fraction, if it fits into 128 bits."""
    assert text(value) == plain


UPPER = LI_DID.upper()


@each_of(
    "read, expected, values",
    {
        "no scalars": (text, UNUSABLE, [[], ["x"], {}, {"a": 1}, b"x", "\ud800", "a\udfffb"]),
        "infinite or too long": (text, UNUSABLE, [float("inf"), Decimal("-Infinity"), "x" * 8_193]),
        "infinity as text": (text, UNUSABLE, ["Infinity", "-Infinity", " inf ", "-inf"]),
        "starts like infinity": (text, "Info", ["Info"]),
        "longest text": (text, "x" * 8_192, ["x" * 8_192]),
        "currency in any case": (currency_code, "USD", ["USD", "usd", " Usd "]),
        "no currency code": (
            currency_code,
            UNUSABLE,
            ["US", "USDT", "U$D", "US1", "ÜSD", "ßs", "ﬀa", "$"],
        ),
        "unknown currency": (
            currency_code,
            UNUSABLE,
            [840, ["USD"], "EUO", "XXX", "XTS", "DEM", "\u0131ls"],
        ),
        "UUID of a device": (device_id, LI_DID, [LI_DID, f" {LI_DID} ", uuid.UUID(LI_DID)]),
        "device in capitals": (device_id, UPPER, [UPPER]),
        "device of zeros": (device_id, None, [str(ZERO), ZERO]),
        "malformed device": (device_id, UNUSABLE, ["6d92078a", LI_DID + "0", "g" + LI_DID[1:], 5]),
        "device in other digits": (device_id, UNUSABLE, ["\u0661" * 8 + LI_DID[8:]]),
        "flag that is set": (flag, 1, [True, 1, 1.0, "true", "True", "1"]),
        "flag that is not": (flag, 0, [False, 0, Decimal(0), "FALSE", " 0 "]),
        "no flag": (flag, UNUSABLE, [2, -1, "2", "maybe", [True], 0.5]),
        "positive integer": (
            positive_integer,
            4711,
            [4711, "4711", " 4711 ", 4711.0, "4711.0", Decimal(4711)],
        ),
        "largest int64": (positive_integer, 2**63 - 1, [2**63 - 1]),
        "no positive integer": (
            positive_integer,
            UNUSABLE,
            [2**63, 0, -1, 4711.5, "x", True, [1], "1" * 5_000],
        ),
        "leading zeros, too large": (positive_integer, UNUSABLE, ["0" * 19 + "1" + "9" * 30]),
        "leading zeros": (positive_integer, 7, ["0" * 30 + "7"]),
        "other digits": (positive_integer, UNUSABLE, ["٤٧", "²"]),
        "web": (source, "web", ["web", " Web "]),
        "app": (source, "app", ["app"]),
        "offline": (source, "offline", ["offline"]),
        "no known source": (source, UNUSABLE, ["pos", "shopify_draft_order", 580111, ["web"]]),
    },
)
def test_each_type_reads_its_forms_and_nothing_else(
    read: Callable[[Any], Any], expected: Any, values: list[Any]
) -> None:
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


@pytest.mark.parametrize(("value", "digits"), AMOUNTS, ids=name_of)
def test_amounts_keep_their_digits(value: Any, digits: str) -> None:
    """An amount is a JSON number with the digits that the tap sent."""
    number = read_amount(value)
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
    ids=name_of,
)
def test_what_is_no_amount_is_unusable(value: Any) -> None:
    """Only a finite number with dots and groups of three is usable; nothing is guessed."""
    assert read_amount(value) is UNUSABLE


# Text whose decimal sign is known


@each_of(
    "decimal, number, texts",
    {
        "decimal comma": (
            ",",
            "12.50",
            ["12,50", " 12,50 \u20ac ", "12,50\u00a0\u20ac", "\u20ac12,50"],
        ),
        "comma beside the euro sign": (",", "12.50", ["\u20ac\u00a012,50", "12,50\u20ac"]),
        "negative with comma": (",", "-12.50", ["-12,50", "\u221212,50", "-12,50 \u20ac"]),
        "grouped thousands with comma": (
            ",",
            "1234.50",
            ["1.234,50", "1 234,50", "1\u00a0234,50", "1\u202f234,50"],
        ),
        "millions": (",", "1234567.5", ["1.234.567,5"]),
        "point groups thousands": (",", "1234", ["1.234", "1234"]),
        "grouped thousands with point": (
            ".",
            "1234.50",
            ["1,234.50", "1'234.50", "1\u2019234.50", "1\u202f234.50"],
        ),
        "dollar sign": (".", "12.50", ["12.50 $"]),
        "other decimal mark or grouping": (
            ",",
            "unusable",
            ["12.50", "1,234.50", "12.34,50", "1,2,3", "1.234,", "x", "12 EUR"],
        ),
        "no plain number": (
            ",",
            "unusable",
            ["\u20ac", "1  234", "\u20ac12\u20ac", "--5", True, [5]],
        ),
        "blank": (",", "None", [None, "", "  ", "null", "NaN", "\u00a0"]),
        # A number has no decimal sign.
        "float": (",", "12.5", [12.5]),
        "decimal": (",", "1.10", [Decimal("1.10")]),
    },
)
def test_the_decimal_sign_of_an_amount_is_known(
    decimal: str, number: str, texts: list[Any]
) -> None:
    """The amount keeps its digits; what could be read in another way is not read at all."""
    assert [str(read_amount(text, decimal)) for text in texts] == [number] * len(texts)


@pytest.mark.parametrize("decimal", ["", ";", ",."])
def test_another_decimal_sign_is_an_error(decimal: str) -> None:
    """It is a mistake in the map, and fails."""
    with pytest.raises(ValueError, match="decimal sign"):
        read_amount("1,5", decimal)


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


@pytest.mark.parametrize("value", [*TEXTS, *MOMENTS, *NUMBERS], ids=name_of)
def test_every_form_of_a_moment_gives_the_same_seconds(value: Any) -> None:
    """Every form in which taps send a moment gives the same Unix seconds, rounded down."""
    seconds = unix_time(value, UTC)
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


@pytest.mark.parametrize(("value", "seconds"), NEW_YORK_TIMES, ids=name_of)
def test_the_zone_is_that_of_times_without_one(value: Any, seconds: int) -> None:
    """The zone of the setting `timezone` is that of times without one."""
    assert unix_time(value, NEW_YORK) == seconds


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
    ids=name_of,
)
def test_what_is_no_time_is_unusable(value: Any) -> None:
    """Everything that cannot be read is unusable; nothing is guessed, and nothing raises."""
    assert unix_time(value, UTC) is UNUSABLE


# Whether the zone of the settings is used: only by times that have none of their own

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@each_of(
    "is_local, value",
    {
        "text": (1, "2026-08-01T00:40:35"),
        "fraction of a second": (1, "2026-08-01 00:40:35.617"),
        "date only": (1, "2026-08-01"),
        "first day of all": (1, "0001-01-01"),
        "last second of all": (1, "9999-12-31T23:59:59"),
        "hour that comes twice": (1, "2026-10-25T02:30:00"),
        "hour that is skipped": (1, "2026-03-29T02:30:00"),
        "datetime": (1, dt.datetime(2026, 8, 1, 12)),  # noqa: DTZ001 (that is the case)
        "second of two same hours": (1, dt.datetime(2026, 10, 25, 2, 30, fold=1)),  # noqa: DTZ001
        "date object": (1, dt.date(2026, 8, 1)),
        "UTC as Z": (0, "2026-08-01T00:40:35Z"),
        "UTC as offset": (0, "2026-08-01T00:40:35+00:00"),
        "offset of hours": (0, "2026-08-01 00:40:35.1234567-04"),
        "empty": (0, ""),
        "no time": (0, "yesterday"),
        "null": (0, None),
        "datetime in UTC": (0, dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc)),
        "Unix time": (0, 1_785_544_835),
        "Unix time as text": (0, "1785544835"),
        "Unix time as decimal": (0, Decimal("1785544835.5")),
    },
)
def test_a_time_without_a_zone_is_local(is_local: int, value: Any) -> None:
    """It is read in the zone of the setting; another time never is."""
    assert read_time(value, BERLIN) == (unix_time(value, BERLIN), bool(is_local))


# IP addresses: which are a buyer's, and which of a chain is sent


@each_of(
    "address, values",
    {
        "IPv4": (
            "203.0.113.7",
            ["203.0.113.7", " 203.0.113.7 ", "::ffff:203.0.113.7", "::FFFF:cb00:7107"],
        ),
        "IPv6": ("2001:db8::1", ["2001:DB8::1", "2001:0db8:0000::0001"]),
        "blank": (None, [None, ""]),
        "malformed IPv4": (
            UNUSABLE,
            ["203.0.113", "203.0.113.256", "203.0.113.7:443", "203.0.113.0/24", "unknown"],
        ),
        "malformed IPv6 or no text": (
            UNUSABLE,
            ["[2001:db8::1]", "2001:db8::1%eth0", 3405803783, True, b"\xcb\x00\x71\x07"],
        ),
        # Of the addresses that proxies have written one after the other, the first public one.
        "first of a list": ("203.0.113.9", ["203.0.113.9, 10.0.0.1", "203.0.113.9,198.51.100.2"]),
        "first that is public": ("203.0.113.9", ["10.0.0.1, 203.0.113.9", "unknown, 203.0.113.9"]),
        "list of mapped addresses": ("203.0.113.9", ["::ffff:10.0.0.1, ::ffff:203.0.113.9"]),
        "list with empty parts": ("2001:db8::7", [" , 127.0.0.1 ,, 2001:DB8::7 , 203.0.113.9"]),
        "nobody's, or no list": (
            UNUSABLE,
            ["10.0.0.1, 192.168.0.1", "10.0.0.1,", ",", "203.0.113.9 10.0.0.1"],
        ),
    },
)
def test_the_first_public_address_is_read(address: Any, values: list[Any]) -> None:
    """IPv4 or IPv6; a mapped address becomes IPv4, and an integer is unusable."""
    assert [ip(value) for value in values] == [address] * len(values)


# The first and the last address of each network, and their neighbours outside of it.


@each_of(
    "first, last, before, after",
    {
        "this network": ("0.0.0.0", "0.255.255.255", None, "1.0.0.0"),  # noqa: S104 (nothing listens there)
        "private class A": ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
        "shared by carriers": ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
        "loopback": ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
        "link-local": ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
        "private class B": ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
        "protocol assignments": ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
        "private class C": ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
        "multicast and reserved": ("224.0.0.0", "255.255.255.255", "223.255.255.255", None),
        "mapped private": ("::ffff:10.0.0.0", "::ffff:10.255.255.255", None, None),
        "IPv6 unspecified and loopback": ("::", "::1", None, "2001:db8::1"),
        "above global IPv6": ("4000::", "ffff::1", "3fff:ffff::1", None),
        "below global IPv6": ("::10.0.0.5", "1fff::203.0.113.9", None, "2000::1"),
        "translated by NAT64": ("64:ff9b::cb00:7107", "64:ff9b:1::a00:5", None, None),
        "unique local IPv6": ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        "link-local IPv6": ("fe80::", "febf::1", None, None),
        "multicast IPv6": ("ff00::", "ff02::1", None, None),
    },
)
def test_addresses_of_private_networks_are_unusable(
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


@each_of(
    "value, read",
    {
        "UUID as text": (LI_DID, LI_DID),
        "capitals and white space": (f" {LI_DID.upper()} ", LI_DID.upper()),
        "UUID object": (uuid.UUID(LI_DID), LI_DID),
        "any word": ("any-Thing", "any-Thing"),
        "integer": (1007, "1007"),
        "null": (None, None),
        "empty": ("", None),
        "space": (" ", None),
        "tab": ("\t", None),
        "NaN": (float("nan"), None),
        "null as text": ("null", UNUSABLE),
        "None as text": ("None", UNUSABLE),
        "NaN as text": ("NaN", UNUSABLE),
        "nil": ("NIL", UNUSABLE),
        "undefined": ("Undefined", UNUSABLE),
        "not set in parentheses": ("(Not Set)", UNUSABLE),
        "zero UUID object": (ZERO, UNUSABLE),
        "zero UUID as text": (str(ZERO), UNUSABLE),
        "zero as text": ("0", UNUSABLE),
        "zero": (0, UNUSABLE),
        "false": (False, UNUSABLE),
        "list": (["x"], UNUSABLE),
        "spaces inside": ("a b c!", UNUSABLE),
        "tab inside": ("a\tb", UNUSABLE),
        "no-break space inside": ("a\u00a0b", UNUSABLE),
        "not set": ("not set", UNUSABLE),
        "infinity as text": ("Infinity", UNUSABLE),
    },
)
def test_a_text_without_spaces_is_a_decision_id(value: Any, read: Any) -> None:
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
def test_a_decision_id_is_found_in_each_place_of_a_url(page: str) -> None:
    """Query, fragment, and a URL that is a parameter; also where there is no host."""
    for start in (SHOP, "", "https://[shop.example"):
        assert decision_id_of_url(start + page.format(LI_DID)) == LI_DID


@pytest.mark.parametrize("times", range(5))
def test_a_decision_id_is_found_in_an_encoded_url(times: int) -> None:
    """It is found however often it is encoded, with any parameter before it."""
    assert decision_id_of_url(nested(f"li_did={LI_DID}", times)) == LI_DID
    assert decision_id_of_url(nested(f"old_li_did={LI_DID}", times)) is None
    inner = f"{SHOP}/?li_did={LI_DID}#x"
    for _ in range(times):
        inner = quote(inner, safe="")
    assert decision_id_of_url(f"{SHOP}/go?{inner}") == LI_DID


@each_of(
    "read, pages",
    {
        "query without a page": (LI_DID, [f"?li_did={LI_DID}", f"li_did={LI_DID}&a=1"]),
        # The least encoded one: it is more likely that of the page's visitor.
        "least encoded of two": (LI_DID, [f"{nested(f'li_did={OTHER}', 1)}&li_did={LI_DID}"]),
        "placeholder beside encoded one": (
            LI_DID,
            [f"{nested(f'li_did={LI_DID}', 1)}&li_did=undefined"],
        ),
        "once encoded before twice": (
            LI_DID,
            [nested(f"li_did={OTHER}", 2) + nested(f"li_did={LI_DID}", 1)],
        ),
        "first of two": (LI_DID, [f"{SHOP}/?li_did={LI_DID}&li_did={OTHER}"]),
        # Codes in lower case.
        "codes in lower case": (
            LI_DID,
            [nested(f"li_did={LI_DID}", 1).replace("%3D", "%3d").replace("%26", "%3f")],
        ),
        # It is there, so the caller counts it, but it identifies nobody.
        "blank, malformed or placeholder": (
            UNUSABLE,
            [f"{SHOP}/?li_did={one}" for one in ("", "abc", "undefined", ZERO)],
        ),
        "not set": (UNUSABLE, [f"{SHOP}/?li_did=%28not%20set%29", f"{SHOP}/#li_did=null"]),
        "one character too many": (
            UNUSABLE,
            [f"{SHOP}/?li_did={LI_DID}0", nested("li_did=undefined", 2)],
        ),
        # Only a parameter of exactly this name has a decision ID.
        "no parameter": (
            None,
            ["", SHOP, f"{SHOP}/li_did", f"{SHOP}/li_did/{LI_DID}", f"{SHOP}/?li_did"],
        ),
        "name that only ends so": (
            None,
            [f"{SHOP}/?{name}li_did={LI_DID}" for name in ("x", "x_", "x-", "x.")],
        ),
        "other names": (
            None,
            [f"{SHOP}/?{name}={LI_DID}" for name in ("li_didx", "x%5Fli_did", "li%5Fdid")],
        ),
    },
)
def test_the_first_uuid_of_the_parameter_is_read(read: Any, pages: list[str]) -> None:
    """The first UUID of that parameter; none, or one that cannot be used."""
    assert [decision_id_of_url(page) for page in pages] == [read] * len(pages)


@pytest.mark.parametrize("piece", ["li_did", "li_did=", "%25", "?li_did=a", "li_did%25"])
def test_long_urls_take_no_time(piece: str) -> None:
    """The time is linear in the length of a URL."""
    started = time.process_time()
    decision_id_of_url(piece * 20_000)
    assert time.process_time() - started < 1.0
