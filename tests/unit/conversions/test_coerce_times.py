"""Times: the forms that taps send, zones, and what cannot be read."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from unit_support import HUGE, name_of_huge

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE

UTC = dt.timezone.utc
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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-08-01T00:40:35.1234567Z", T),
        ("2026-08-01T00:40:35.1234567z", T),
        ("2026-08-01T00:40:35,5Z", T),
        ("2026-08-01T00:40:35 Z", T),
        ("2026-08-01 00:40:35 z", T),
        ("2026-08-01T00:40Z", T - 35),
        ("2026-08-01 00:40 Z", T - 35),
    ],
)
def test_z_means_utc_in_any_zone(value: str, seconds: int) -> None:
    """Forms of a `Z` time that msgspec does not read do not take the zone of the settings."""
    assert coerce.unix_time(value, NEW_YORK) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (946_684_800, 946_684_800),
        (4_102_444_799, 4_102_444_799),
        (946_684_800_000, 946_684_800),
        ("978307199000", 978_307_199),
        (4_102_444_799_999, 4_102_444_799),
        (946_684_800_000_000, 946_684_800),
        (4_102_444_799_999_999, 4_102_444_799),
    ],
)
def test_the_size_of_a_number_gives_its_unit(value: Any, seconds: int) -> None:
    """Milliseconds from March 1973 on and microseconds from 1973 on are not read as seconds."""
    assert coerce.unix_time(value, UTC) == seconds


@pytest.mark.parametrize("value", ["2026-08-01", dt.date(2026, 8, 1), "2026-08-01T00:00"])
def test_a_date_is_its_midnight_in_the_zone(value: Any) -> None:
    """A day without a time means midnight in the zone of the setting `timezone`."""
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
    """Times without an offset follow the calendar of the zone; their own offset wins."""
    assert coerce.unix_time(value, NEW_YORK) == unix(*utc)
    plain = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    assert coerce.unix_time(plain, NEW_YORK) == unix(*utc)


@pytest.mark.parametrize("value", ["2026-03-08T02:30:00", "2026-11-01T01:30:00"])
def test_times_that_do_not_exist_or_exist_twice(value: str) -> None:
    """When the clock changes, the result is off by at most that hour."""
    seconds = coerce.unix_time(value, NEW_YORK)
    assert isinstance(seconds, int)
    as_utc = dt.datetime.fromisoformat(f"{value}+00:00").timestamp()
    assert seconds - as_utc in {4 * 3600, 5 * 3600}


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


KIRITIMATI = zoneinfo.ZoneInfo("Pacific/Kiritimati")
EAST, WEST = (dt.timezone(dt.timedelta(hours=hours)) for hours in (14, -14))


@pytest.mark.parametrize(
    "value",
    [
        *(dt.datetime.min, dt.datetime.max, dt.date.min, dt.date.max),  # noqa: DTZ901 (naive)
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"),
        *("9999-12-31T23:59:59+00:00", dt.datetime(1, 1, 1, tzinfo=EAST)),
        dt.datetime(9999, 12, 31, 23, tzinfo=WEST),
    ],
)
def test_the_ends_of_the_calendar(value: Any) -> None:
    """Neither a database's infinity, the year 9999, nor the year 1 ends a run, in any zone."""
    for zone in (UTC, NEW_YORK, KIRITIMATI):
        seconds = coerce.unix_time(value, zone)
        assert seconds is UNUSABLE or isinstance(seconds, int)
