"""Whether the zone of the settings is used: only by times that have none of their own."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from unit_support import DEFAULTS

from target_liveintent.conversions import watch_zone
from target_liveintent.conversions.coerce import unix_time

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def uses_for(value: Any) -> int:
    """Return how often the zone is used for a value, which it must not change."""
    uses: list[None] = []
    watched = watch_zone(DEFAULTS._replace(zone=BERLIN), lambda: uses.append(None))
    assert unix_time(value, watched.zone) == unix_time(value, BERLIN)
    return len(uses)


@pytest.mark.parametrize(
    "value",
    [
        "2026-08-01T00:40:35",
        "2026-08-01 00:40:35.617",
        "2026-08-01",
        "0001-01-01",
        "9999-12-31T23:59:59",
        "2026-10-25T02:30:00",
        "2026-03-29T02:30:00",
        dt.datetime(2026, 8, 1, 12),  # noqa: DTZ001 (that is the case)
        dt.datetime(2026, 10, 25, 2, 30, fold=1),  # noqa: DTZ001
        dt.date(2026, 8, 1),
    ],
)
def test_times_without_a_zone(value: Any) -> None:
    """Each uses the zone once, and means the same with the watch as without."""
    assert uses_for(value) == 1


@pytest.mark.parametrize(
    "value",
    [
        "2026-08-01T00:40:35Z",
        "2026-08-01T00:40:35+00:00",
        "2026-08-01 00:40:35.1234567-04",
        dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc),
        1_785_544_835,
        "1785544835",
        Decimal("1785544835.5"),
        None,
        "",
        "yesterday",
    ],
)
def test_times_with_a_zone(value: Any) -> None:
    """Neither they nor Unix times nor what cannot be read use it."""
    assert uses_for(value) == 0


def test_the_other_questions_to_a_zone() -> None:
    """Name and summer time are those of the zone."""
    zone = watch_zone(DEFAULTS._replace(zone=BERLIN), lambda: None).zone
    moment = dt.datetime(2026, 8, 1, tzinfo=zone)
    assert (moment.tzname(), moment.dst()) == ("CEST", dt.timedelta(hours=1))
