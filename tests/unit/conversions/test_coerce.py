"""Every coercion as a table: what taps send on the left, what the API takes on the right."""

from __future__ import annotations

import datetime as dt
import math
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit_support import LI_DID

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE

UTC = dt.timezone.utc
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
HUGE = 10**5000


def ident(value: Any) -> str | None:
    """Name the values whose text Python itself refuses to write."""
    return "huge" if isinstance(value, int) and abs(value) > 10**30 else None


def unix(*moment: int, zone: dt.tzinfo = UTC) -> int:
    """Return the Unix time of a calendar time."""
    year, month, day, hour, minute, second = (*moment, 0, 0, 0)[:6]
    return int(dt.datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp())


T = 1_785_544_835
"""2026-08-01T00:40:35Z."""


def test_the_moment_of_these_tests() -> None:
    """The literal is what its comment says."""
    assert unix(2026, 8, 1, 0, 40, 35) == T


@pytest.mark.parametrize(
    "value",
    [
        "2026-08-01T00:40:35Z",
        "2026-08-01T00:40:35z",
        "2026-08-01t00:40:35Z",
        "2026-08-01 00:40:35Z",
        "2026-08-01T00:40:35+00:00",
        "2026-08-01T00:40:35-00:00",
        "2026-08-01T00:40:35+0000",
        "2026-08-01T00:40:35+00",
        "2026-08-01 00:40:35+00",
        "2026-08-01 00:40:35.61728+00",
        "2026-08-01T00:40:35.000000Z",
        "2026-08-01T00:40:35.0Z",
        "2026-08-01T00:40:35.9Z",
        "2026-08-01T00:40:35.99Z",
        "2026-08-01T00:40:35.999Z",
        "2026-08-01T00:40:35.999999Z",
        "2026-08-01T00:40:35.999999999Z",
        "2026-08-01T00:40:35.123456789012345+0000",
        "2026-07-31T20:40:35-04:00",
        "2026-07-31T20:40:35-0400",
        "2026-07-31T20:40:35-04",
        "2026-08-01T06:10:35+05:30",
        "2026-08-01T06:25:35+0545",
        "2026-08-01T00:40:35",
        "2026-08-01 00:40:35",
        "2026-08-01 00:40:35.61728",
        "  2026-08-01T00:40:35Z\n",
        dt.datetime(2026, 8, 1, 0, 40, 35, tzinfo=UTC),
        dt.datetime(2026, 8, 1, 0, 40, 35, 999_999, tzinfo=UTC),
        dt.datetime(2026, 8, 1, 0, 40, 35),  # noqa: DTZ001 (that is the case)
        dt.datetime(2026, 7, 31, 20, 40, 35, tzinfo=NEW_YORK),
        T,
        float(T),
        T + 0.999,
        Decimal(T),
        Decimal(f"{T}.999999"),
        str(T),
        f"{T}.0",
        f" {T}.75 ",
        T * 1_000,
        T * 1_000 + 999,
        float(T * 1_000),
        Decimal(T * 1_000),
        f"{T}617",
        f"{T}617.28",
        T * 1_000_000,
        T * 1_000_000 + 999_999,
        float(T * 1_000_000),
        Decimal(T * 1_000_000),
        f"{T}617280",
    ],
)
def test_forms_of_time(value: Any) -> None:
    """Every form in which taps send a moment gives the same Unix seconds, rounded down."""
    seconds = coerce.unix_time(value, UTC)
    assert seconds == T
    assert type(seconds) is int


@pytest.mark.parametrize("value", ["2026-08-01", dt.date(2026, 8, 1), "2026-08-01T00:00"])
def test_a_date_is_its_midnight_in_the_zone(value: Any) -> None:
    """A day without a time is midnight where the setting `timezone` says."""
    assert coerce.unix_time(value, UTC) == unix(2026, 8, 1)
    assert coerce.unix_time(value, NEW_YORK) == unix(2026, 8, 1, 4)


@pytest.mark.parametrize(
    ("value", "utc"),
    [
        ("2026-01-15T12:00:00", (2026, 1, 15, 17)),
        ("2026-07-15T12:00:00", (2026, 7, 15, 16)),
        ("2026-03-08T01:59:59", (2026, 3, 8, 6, 59, 59)),
        ("2026-03-08T03:00:00", (2026, 3, 8, 7)),
        ("2026-11-01T00:59:59", (2026, 11, 1, 4, 59, 59)),
        ("2026-11-01T02:00:00", (2026, 11, 1, 7)),
        ("2026-07-15T12:00:00Z", (2026, 7, 15, 12)),
        ("2026-07-15T12:00:00+02:00", (2026, 7, 15, 10)),
    ],
)
def test_daylight_saving(value: str, utc: tuple[int, ...]) -> None:
    """Times without a zone follow the zone's own calendar; an offset of their own wins."""
    assert coerce.unix_time(value, NEW_YORK) == unix(*utc)
    plain = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    assert coerce.unix_time(plain, NEW_YORK) == unix(*utc)


@pytest.mark.parametrize("value", ["2026-03-08T02:30:00", "2026-11-01T01:30:00"])
def test_times_that_are_not_or_are_twice(value: str) -> None:
    """In the gap and in the fold, the answer is off by at most the hour in question."""
    seconds = coerce.unix_time(value, NEW_YORK)
    assert isinstance(seconds, int)
    assert abs(seconds - unix(*map(int, value.replace("T", "-").replace(":", "-").split("-")))) in {
        4 * 3600,
        5 * 3600,
    }


@pytest.mark.parametrize(
    "value", [None, "", " ", "None", "null", "NaN", float("nan"), Decimal("NaN")]
)
def test_absent_times(value: Any) -> None:
    """What says nothing is no time at all."""
    assert coerce.unix_time(value, UTC) is None


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "infinity",
        "-infinity",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "2026-08-01T25:00:00Z",
        "2026-08-01T00:61:00Z",
        "2026-08-01T00:40:35+24:00",
        "2026-08-01T00:40:35+99",
        "0000-01-01",
        "01/08/2026",
        "2026-08",
        "26-08-01",
        "٢٠٢٦-08-01",
        "\uff11\uff17\uff18\uff15\uff15\uff14\uff14\uff18\uff13\uff15",
        "1,785,544,835",
        "2026-08-01T00:40:35Z junk",
        "2026-08-01T00:40:35Z\n2026-08-01T00:40:35Z",
        "1" * 5_000,
        "\ud800",
        True,
        False,
        [T],
        {"t": T},
        b"2026-08-01",
        dt.time(1, 2),
        dt.timedelta(1),
        HUGE,
        float("inf"),
        float("-inf"),
        Decimal("Infinity"),
        Decimal("1E+400"),
        10**18,
    ],
    ids=ident,
)
def test_unusable_times(value: Any) -> None:
    """What cannot be read is said to be unusable: nothing is guessed, nothing raises."""
    assert coerce.unix_time(value, UTC) is UNUSABLE


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime.min,  # noqa: DTZ901 (a naive one)
        dt.datetime.max,  # noqa: DTZ901
        dt.date.min,
        dt.date.max,
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-14:00",
        "9999-12-31T23:59:59+00:00",
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
        dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-14))),
    ],
)
@pytest.mark.parametrize("zone", [UTC, NEW_YORK, zoneinfo.ZoneInfo("Pacific/Kiritimati")])
def test_the_ends_of_the_calendar(value: Any, zone: dt.tzinfo) -> None:
    """The database's infinity, year 9999, and the year 1 end no run in any zone."""
    seconds = coerce.unix_time(value, zone)
    assert seconds is UNUSABLE or isinstance(seconds, int)


AMOUNTS: list[tuple[Any, Any]] = [
    ("87.28", "87.28"),
    ("87.10", "87.10"),
    ("$12.50", "12.50"),
    ("1,234.50", "1234.50"),
    ("$1,234,567.89", "1234567.89"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("-5.00", "-5.00"),
    ("+5", "5"),
    ("€12", "12"),
    ("£0.99", "0.99"),
    ("0", "0"),
    ("0.00", "0.00"),
    ("  12 ", "12"),
    ("007.50", "7.50"),
    (Decimal("87.10"), "87.10"),
    (Decimal(-3), "-3"),
    (87.28, "87.28"),
    (0.1, "0.1"),
    (0, "0"),
    (0.0, "0.0"),
    (-5, "-5"),
    (1_234, "1234"),
    (12345678901234567890, "12345678901234567890"),
    (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
]


@pytest.mark.parametrize(("value", "digits"), AMOUNTS)
def test_amounts_keep_their_digits(value: Any, digits: str) -> None:
    """An amount is a JSON number with the digits that the tap sent."""
    number = coerce.amount(value)
    assert isinstance(number, (int, float, Decimal)), number
    assert msgspec.json.Encoder(decimal_format="number").encode(number).decode() == digits


@pytest.mark.parametrize(
    "value",
    [
        "12,50",
        "1.234,50",
        "1,23.5",
        "1,2345",
        "1234,567",
        ",123",
        "1,,234",
        "1,234,",
        "1,234.5,6",
        "12.50.1",
        "abc",
        "$",
        "-",
        "--5",
        "-$-5",
        "$$5",
        "USD 12",
        "12 USD",
        "1_000",
        "0x10",
        "\uff11\uff12",
        "٣",
        "x5",
        "(5)",
        "inf",
        "Infinity",
        "-Infinity",
        "1e400",
        "\ud800",
        "9" * 400,
        True,
        False,
        float("inf"),
        float("-inf"),
        Decimal("Infinity"),
        Decimal("1E+400"),
        HUGE,
        [5],
        {"amount": 5},
        b"5",
        dt.date(2026, 8, 1),
    ],
    ids=ident,
)
def test_unusable_amounts(value: Any) -> None:
    """What is no finite number in dots and groups of three is unusable, never a guess."""
    assert coerce.amount(value) is UNUSABLE


@pytest.mark.parametrize(
    "value", [None, "", " ", "None", "null", "NaN", float("nan"), Decimal("NaN")]
)
def test_absent_amounts(value: Any) -> None:
    """Postgres' NaN and a stream map's str(null) are no amounts."""
    assert coerce.amount(value) is None


def test_a_whole_number_means_the_same_as_its_text() -> None:
    """An amount is finite or it is not, whether it comes as a number or as text."""
    for value in (2**63, -(2**63), 10**19, 10**25):
        assert coerce.amount(str(value)) == value
        assert coerce.amount(value) == value


@pytest.mark.parametrize(
    "read",
    [
        coerce.text,
        coerce.amount,
        coerce.positive_integer,
        coerce.source,
        coerce.currency,
        coerce.ip,
        coerce.device_id,
        coerce.flag,
        lambda value: coerce.unix_time(value, UTC),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        HUGE,
        -HUGE,
        Decimal("sNaN"),
        Decimal("-NaN"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        Decimal("Infinity"),
        1e308,
        5e-324,
        "9" * 6_000,
        "\ud800",
        "\x00",
        b"\xff",
        [],
        {},
        dt.datetime.max,  # noqa: DTZ901
        dt.date.min,
        dt.time.max,
        uuid.UUID(int=0),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_raises(read: Any, value: Any) -> None:
    """Every coercion answers to every value, with a value, None or UNUSABLE."""
    read(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1007.0, "1007"),
        (1007, "1007"),
        (-7, "-7"),
        (0, "0"),
        (Decimal("1007.0"), "1007"),
        (Decimal("1007.00"), "1007"),
        (Decimal("1E+3"), "1000"),
        (Decimal("10.50"), "10.50"),
        (10.5, "10.5"),
        (5710301790323, "5710301790323"),
        ("#1007", "#1007"),
        ("gid://shopify/Order/1007", "gid://shopify/Order/1007"),
        (" x ", "x"),
        ("Ünïcode", "Ünïcode"),
        (True, "true"),
        (False, "false"),
        (dt.date(2026, 8, 1), "2026-08-01"),
        (uuid.UUID(LI_DID), LI_DID),
        ("nobody", "nobody"),
    ],
)
def test_text(value: Any, plain: str) -> None:
    """Any scalar as text, whole numbers without a fraction."""
    assert coerce.text(value) == plain


@pytest.mark.parametrize(
    "value", [None, "", "  ", "None", "null", " null ", "NaN", float("nan"), Decimal("NaN")]
)
@pytest.mark.parametrize(
    "read",
    [
        coerce.text,
        coerce.positive_integer,
        coerce.source,
        coerce.currency,
        coerce.ip,
        coerce.device_id,
        coerce.flag,
        coerce.amount,
    ],
)
def test_nothing_is_absent(read: Any, value: Any) -> None:
    """Null, empty, `None`, `null` and NaN say nothing, in every column."""
    assert read(value) is None


@pytest.mark.parametrize(
    "value",
    [[], ["x"], {}, {"a": 1}, b"x", "\ud800", "a\udfffb", float("inf"), Decimal("-Infinity")],
)
def test_unusable_text(value: Any) -> None:
    """Lists, objects, bytes, infinities and lone surrogates are no text."""
    assert coerce.text(value) is UNUSABLE


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("USD", "USD"),
        ("usd", "USD"),
        (" eur ", "EUR"),
        ("US", UNUSABLE),
        ("USDT", UNUSABLE),
        ("U$D", UNUSABLE),
        ("US1", UNUSABLE),
        ("ÜSD", UNUSABLE),
        ("ßs", UNUSABLE),
        ("ﬀa", UNUSABLE),
        ("$", UNUSABLE),
        (840, UNUSABLE),
        (["USD"], UNUSABLE),
    ],
)
def test_currency(value: Any, code: Any) -> None:
    """Three letters, trimmed and upper-cased; nothing becomes three letters by upper-casing."""
    assert coerce.currency(value) == code


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8:0000::0001", "2001:db8::1"),
        ("203.0.113", UNUSABLE),
        ("203.0.113.256", UNUSABLE),
        ("203.0.113.7:443", UNUSABLE),
        ("203.0.113.0/24", UNUSABLE),
        ("203.0.113.7, 10.0.0.1", UNUSABLE),
        ("[2001:db8::1]", UNUSABLE),
        ("fe80::1%eth0", UNUSABLE),
        ("unknown", UNUSABLE),
        (3405803783, UNUSABLE),
        (True, UNUSABLE),
        (b"\xcb\x00\x71\x07", UNUSABLE),
    ],
)
def test_ip(value: Any, address: Any) -> None:
    """IPv4 or IPv6, a mapped one as IPv4; an integer is no address."""
    assert coerce.ip(value) == address


@pytest.mark.parametrize(
    ("value", "device"),
    [
        (LI_DID, LI_DID),
        (f" {LI_DID} ", LI_DID),
        (uuid.UUID(LI_DID), LI_DID),
        ("00000000-0000-0000-0000-000000000000", None),
        (uuid.UUID(int=0), None),
        ("6d92078a", UNUSABLE),
        (LI_DID + "0", UNUSABLE),
        ("g" + LI_DID[1:], UNUSABLE),
        (5, UNUSABLE),
        ("\u0661" * 8 + LI_DID[8:], UNUSABLE),
    ],
)
def test_device_ids(value: Any, device: Any) -> None:
    """UUIDs; the all-zero one is left out."""
    assert coerce.device_id(value) == device


def test_an_upper_case_device_id_stays_the_same_uuid() -> None:
    """Apple writes them in upper case."""
    device = coerce.device_id(LI_DID.upper())
    assert isinstance(device, str)
    assert uuid.UUID(device) == uuid.UUID(LI_DID)


@pytest.mark.parametrize(
    ("value", "bit"),
    [
        (True, 1),
        (False, 0),
        (1, 1),
        (0, 0),
        (1.0, 1),
        (Decimal(0), 0),
        ("true", 1),
        ("True", 1),
        ("FALSE", 0),
        ("1", 1),
        (" 0 ", 0),
        (2, UNUSABLE),
        (-1, UNUSABLE),
        ("2", UNUSABLE),
        ("maybe", UNUSABLE),
        ([True], UNUSABLE),
        (0.5, UNUSABLE),
    ],
)
def test_flags(value: Any, bit: Any) -> None:
    """A boolean, 0, 1, or text of these, is 0 or 1 and an integer."""
    flag = coerce.flag(value)
    assert flag == bit
    assert flag is UNUSABLE or type(flag) is int


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (4711, 4711),
        ("4711", 4711),
        (" 4711 ", 4711),
        (4711.0, 4711),
        ("4711.0", 4711),
        (Decimal("4711.0"), 4711),
        (2**63 - 1, 2**63 - 1),
        (2**63, UNUSABLE),
        (-1, UNUSABLE),
        (4711.5, UNUSABLE),
        ("x", UNUSABLE),
        ("٤٧", UNUSABLE),
        ("²", UNUSABLE),
        (True, UNUSABLE),
        ([1], UNUSABLE),
        ("1" * 5_000, UNUSABLE),
    ],
)
def test_pixel_ids(value: Any, number: Any) -> None:
    """An integer that fits an int64, in whatever dress it comes."""
    found = coerce.positive_integer(value)
    assert found == number
    assert found is UNUSABLE or type(found) is int


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("web", "web"),
        ("app", "app"),
        ("offline", "offline"),
        (" Web ", "web"),
        ("pos", UNUSABLE),
        ("shopify_draft_order", UNUSABLE),
        (580111, UNUSABLE),
        (["web"], UNUSABLE),
    ],
)
def test_source(value: Any, source: Any) -> None:
    """One of three words; a shop's own word is not translated."""
    assert coerce.source(value) == source


@pytest.mark.parametrize(
    ("url", "decision"),
    [
        (f"https://shop.example/p?li_did={LI_DID}", LI_DID),
        (f"/products/x?a=1&li_did={LI_DID}&b=2", LI_DID),
        (f"https://shop.example/?li_did={LI_DID}#top", LI_DID),
        (f"https://shop.example/?li_did=&li_did={LI_DID}", LI_DID),
        ("https://shop.example/?li_did=", None),
        ("https://shop.example/?li_did=abc", None),
        (f"https://shop.example/?xli_did={LI_DID}", None),
        (f"https://shop.example/?did={LI_DID}", None),
        (f"https://[shop.example/?li_did={LI_DID}", None),
        (f"https://shop.example/?li_did={LI_DID}0", None),
        ("", None),
    ],
)
def test_decision_id_of_a_url(url: str, decision: str | None) -> None:
    """The UUID of a `li_did` parameter, also in a path without a host; nothing else."""
    assert coerce.decision_id_of_url(url) == decision


def test_floats_are_written_as_they_came() -> None:
    """No amount turns into a neighbour on its way to JSON."""
    number = coerce.amount(Decimal("0.10"))
    assert isinstance(number, Decimal)
    assert str(number) == "0.10"
    assert math.isclose(float(number), 0.1)
