"""Rejections with their reasons, defaults from the settings, and the age of events."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import pytest
from unit_support import BARE, DAY, DEFAULTS, NOW, TIME, body, build, conversion, order, rejection

from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.reasons import REASONS

REJECTED: list[tuple[str, str, list[Any]]] = [
    ("missing_event_time", "event_time", [None, "", "None", ...]),
    ("invalid_event_time", "event_time", ["soon", ["x"], 0, "0", True]),
    ("event_too_old", "event_time", [946_684_800_000, int(NOW) - 8 * DAY, "2019-01-01"]),
    ("event_in_future", "event_time", [*(int(NOW) + ahead for ahead in (61, 62, 3_600))]),
    ("event_in_future", "event_time", ["9999-12-31T23:59:59+00:00"]),
    ("invalid_source", "source", ["pos", 7]),
    ("invalid_pixel_id", "pixel_id", ["abc", 1.5, True, 2**63]),
]


@pytest.mark.parametrize(("reason", "field", "values"), REJECTED)
def test_rejections(reason: str, field: str, values: list[Any]) -> None:
    """A bad record is a rejection with its reason and its column, and keeps its event ID."""
    assert reason in REASONS
    for value in values:
        rejected = rejection(order(**{field: value}))
        found = (rejected.reason, rejected.field, rejected.event_id, rejected.stream)
        assert found == (reason, field, "1007", "orders"), value


@pytest.mark.parametrize("missing", ["source", "pixel_id"])
def test_neither_record_nor_setting(missing: str) -> None:
    """A required field that neither record nor settings fill is a rejection."""
    for empty in (None, "", "null"):
        record = {**order(source="web", pixel_id=1), missing: empty}
        rejected = rejection(record, defaults=BARE)
        assert (rejected.reason, rejected.field) == (f"invalid_{missing}", missing)


def test_record_before_settings() -> None:
    """The record's own pixel and source win; the setting replaces an empty one."""
    own, filled = body(order(pixel_id="9", source="APP")), body(order(pixel_id="", source=None))
    assert (own["pixelId"], own["source"]) == (9, "app")
    assert (filled["pixelId"], filled["source"]) == (4711, "web")


# Windows


@pytest.mark.parametrize(
    ("source", "days", "fraction"),
    [("web", 7, 0.0), ("app", 7, 0.001), ("offline", 30, 0.5), ("web", 7, 0.999)],
)
def test_windows_are_cut_a_minute_inside(source: str, days: int, fraction: float) -> None:
    """Events are sent until 60 seconds before their window ends, by delivery's check too."""
    now = NOW + fraction
    last = int(now) - days * DAY + 60
    assert isinstance(build(order(event_time=last + 1, source=source), now=now), Conversion)
    for late in (last, last - 1):
        rejected = build(order(event_time=late, source=source), now=now)
        assert isinstance(rejected, Rejection)
        assert (rejected.reason, rejected.field) == ("event_too_old", "event_time")
    assert conversion(order(source=source)).expires_at == TIME + days * DAY - 60


def test_the_default_source_decides_the_window_too() -> None:
    """An offline shop's events without a source have 30 days."""
    old = order(event_time=int(NOW) - 20 * DAY)
    assert rejection(old).reason == "event_too_old"
    assert isinstance(build(old, defaults=DEFAULTS._replace(source="offline")), Conversion)


@pytest.mark.parametrize(
    ("ahead", "fraction"), [(0, 0.0), (1, 0.0), (30, 0.0), (59, 0.5), (60, 0.0), (60, 0.5)]
)
def test_a_clock_that_is_ahead_is_forgiven(ahead: int, fraction: float) -> None:
    """A time up to 60 seconds in the future becomes one second before now."""
    made = body(order(event_time=int(NOW) + ahead), now=NOW + fraction)
    assert made["eventTime"] == int(NOW) - 1


def test_the_past_is_left_alone() -> None:
    """One second ago stays one second ago."""
    for ago in (1, 2, 60):
        assert body(order(event_time=int(NOW) - ago))["eventTime"] == int(NOW) - ago


def test_the_setting_timezone() -> None:
    """A time without a zone is in the zone of the settings."""
    defaults = DEFAULTS._replace(zone=zoneinfo.ZoneInfo("America/New_York"))
    made = body(order(event_time="2026-07-31 12:00:00"), defaults=defaults)
    assert made["eventTime"] == dt.datetime(2026, 7, 31, 16, tzinfo=dt.timezone.utc).timestamp()
