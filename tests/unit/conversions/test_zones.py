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


@pytest.mark.parametrize(
    ("uses", "value"),
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
)
def test_uses_of_the_zone(uses: int, value: Any) -> None:
    """A time without a zone uses it once, and means the same with the watch as without."""
    used: list[None] = []
    watched = watch_zone(DEFAULTS._replace(zone=BERLIN), lambda: used.append(None))
    assert unix_time(value, watched.zone) == unix_time(value, BERLIN)
    assert len(used) == uses


def test_the_other_questions_to_a_zone() -> None:
    """Name and summer time are those of the zone."""
    zone = watch_zone(DEFAULTS._replace(zone=BERLIN), lambda: None).zone
    moment = dt.datetime(2026, 8, 1, tzinfo=zone)
    assert (moment.tzname(), moment.dst()) == ("CEST", dt.timedelta(hours=1))
