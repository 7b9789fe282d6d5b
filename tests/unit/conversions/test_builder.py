"""Rejections with their reasons, defaults from the settings, and the age of events."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import pytest
from unit_support import (
    BARE,
    DAY,
    DEFAULTS,
    LI_DID,
    NOW,
    TIME,
    body,
    build,
    conversion,
    order,
    rejection,
    sha256,
)

from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.reasons import REASONS

REJECTED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"event_time": None}, "missing_event_time", "event_time"),
    ({"event_time": ""}, "missing_event_time", "event_time"),
    ({"event_time": "None"}, "missing_event_time", "event_time"),
    ({"event_time": ...}, "missing_event_time", "event_time"),
    ({"event_time": "soon"}, "invalid_event_time", "event_time"),
    ({"event_time": ["x"]}, "invalid_event_time", "event_time"),
    ({"event_time": 0}, "invalid_event_time", "event_time"),
    ({"event_time": "0"}, "invalid_event_time", "event_time"),
    ({"event_time": 200_000_000_000}, "event_too_old", "event_time"),
    ({"event_time": True}, "invalid_event_time", "event_time"),
    ({"event_time": int(NOW) - 8 * DAY}, "event_too_old", "event_time"),
    ({"event_time": "2019-01-01"}, "event_too_old", "event_time"),
    ({"event_time": int(NOW) - 31 * DAY, "source": "offline"}, "event_too_old", "event_time"),
    ({"event_time": int(NOW) + 3_600}, "event_in_future", "event_time"),
    ({"event_time": "9999-12-31T23:59:59+00:00"}, "event_in_future", "event_time"),
    ({"source": "pos"}, "invalid_source", "source"),
    ({"source": 7}, "invalid_source", "source"),
    ({"pixel_id": "abc"}, "invalid_pixel_id", "pixel_id"),
    ({"pixel_id": 1.5}, "invalid_pixel_id", "pixel_id"),
    ({"pixel_id": True}, "invalid_pixel_id", "pixel_id"),
    ({"pixel_id": 2**63}, "invalid_pixel_id", "pixel_id"),
    ({"email": None}, "no_identity", None),
    ({"email": ""}, "no_identity", None),
    ({"email": "guest"}, "no_identity", None),
    ({"email": sha256("")}, "no_identity", None),
    ({"email": ..., "ip": "203.0.113.7", "idfa": LI_DID, "aaid": LI_DID}, "no_identity", None),
    ({"email": ..., "source_url": "https://shop.example/?li_did=x"}, "no_identity", None),
    ({"email": ..., "decision_id": "ann@example.com"}, "no_identity", None),
    ({"email": ..., "decision_id": ["x"]}, "no_identity", None),
]


@pytest.mark.parametrize(("changes", "reason", "field"), REJECTED)
def test_rejections(changes: dict[str, Any], reason: str, field: str | None) -> None:
    """A bad record is a rejection with its reason and its column, and keeps its event ID."""
    rejected = rejection(order(**changes))
    assert (rejected.reason, rejected.field) == (reason, field)
    assert rejected.reason in REASONS
    assert (rejected.event_id, rejected.stream) == ("1007", "orders")


@pytest.mark.parametrize(
    ("missing", "reason"), [("source", "invalid_source"), ("pixel_id", "invalid_pixel_id")]
)
def test_neither_record_nor_setting(missing: str, reason: str) -> None:
    """A required field that neither record nor settings fill is a rejection."""
    record = order(source="web", pixel_id=1)
    for empty in (None, "", "null"):
        rejected = rejection({**record, missing: empty}, defaults=BARE)
        assert (rejected.reason, rejected.field) == (reason, missing)


def test_record_before_settings() -> None:
    """The record's own pixel and source win; the setting replaces an empty one."""
    assert body(order(pixel_id="9", source="APP"))["pixelId"] == 9
    assert body(order(pixel_id="9", source="APP"))["source"] == "app"
    filled = body(order(pixel_id="", source=None))
    assert (filled["pixelId"], filled["source"]) == (4711, "web")


def test_a_wrong_value_is_not_replaced_by_a_setting() -> None:
    """An unknown source is a rejection, also where the settings have a default."""
    assert rejection(order(source="pos")).reason == "invalid_source"


# Windows


@pytest.mark.parametrize(("source", "days"), [("web", 7), ("app", 7), ("offline", 30)])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, 0.999])
def test_windows_are_cut_a_minute_inside(source: str, days: int, fraction: float) -> None:
    """Events are sent until 60 seconds before their window ends, and not later."""
    now = NOW + fraction
    last = int(now) - days * DAY + 60
    assert isinstance(build(order(event_time=last + 1, source=source), now=now), Conversion)
    late = build(order(event_time=last - 1, source=source), now=now)
    assert isinstance(late, Rejection)
    assert (late.reason, late.field) == ("event_too_old", "event_time")
    at_the_line = build(order(event_time=last, source=source), now=now)
    assert isinstance(at_the_line, Rejection)


@pytest.mark.parametrize(("source", "days"), [("web", 7), ("app", 7), ("offline", 30)])
def test_an_event_knows_when_it_expires(source: str, days: int) -> None:
    """Delivery judges the age again before each send, by this limit."""
    made = conversion(order(source=source))
    assert made.expires_at == TIME + days * DAY - 60


def test_the_default_source_decides_the_window_too() -> None:
    """An offline shop's events without a source have 30 days."""
    old = order(event_time=int(NOW) - 20 * DAY)
    assert rejection(old).reason == "event_too_old"
    assert isinstance(build(old, defaults=DEFAULTS._replace(source="offline")), Conversion)


@pytest.mark.parametrize("ahead", [0, 1, 30, 59, 60])
@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_clock_that_is_ahead_is_forgiven(ahead: int, fraction: float) -> None:
    """A time up to 60 seconds in the future becomes one second before now."""
    now = NOW + fraction
    assert body(order(event_time=int(NOW) + ahead), now=now)["eventTime"] == int(NOW) - 1


@pytest.mark.parametrize("ahead", [61, 62, 3_600])
def test_the_future_is_not_forgiven(ahead: int) -> None:
    """A time 61 seconds in the future is already a rejection."""
    assert rejection(order(event_time=int(NOW) + ahead)).reason == "event_in_future"


def test_the_past_is_left_alone() -> None:
    """One second ago stays one second ago."""
    for ago in (1, 2, 60):
        assert body(order(event_time=int(NOW) - ago))["eventTime"] == int(NOW) - ago


def test_the_setting_timezone() -> None:
    """A time without a zone is in the zone of the settings."""
    defaults = DEFAULTS._replace(zone=zoneinfo.ZoneInfo("America/New_York"))
    assert body(order(event_time="2026-07-31 12:00:00"), defaults=defaults)["eventTime"] == (
        int(dt.datetime(2026, 7, 31, 16, tzinfo=dt.timezone.utc).timestamp())
    )
