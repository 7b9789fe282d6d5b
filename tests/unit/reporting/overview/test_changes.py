"""The days on which the settings or the version changed."""

from __future__ import annotations

from typing import Any

from overview_support import SETTINGS, at, daily, entry, figures, overview

NEW = {"timezone": "UTC", "presets": "ba9876543210", "on_rejection": "fail"}


def words(*entries: Any) -> list[tuple[str, list[str]]]:
    found = overview([*daily(10, 5), *entries]).changes
    return [(one.day.isoformat(), one.words) for one in found]


def test_settings() -> None:
    """Values are shown where the history has them; of maps, it has only a digest."""
    changed = {"settings": "new", "names": NEW}
    assert words(entry(at(2), **changed), entry(at(1), **changed)) == [
        (
            "2026-05-18",
            [
                "`on_rejection` was set",
                "the ready-made mappings of columns to events (`presets`) changed",
                "`timezone`: America/New_York became UTC",
            ],
        )
    ]


def test_back_again() -> None:
    """What is changed back is another change; the newest is first."""
    changed = entry(at(2), settings="new", names=NEW)
    assert [day for day, _ in words(changed, entry(at(1)))] == ["2026-05-19", "2026-05-18"]
    assert "`on_rejection` was removed" in words(changed, entry(at(1)))[0][1]


def test_version() -> None:
    assert words(entry(at(1), version="target-liveintent 2")) == [
        ("2026-05-19", ["version: target-liveintent 1 became target-liveintent 2"])
    ]


def test_long_values_are_not_shown() -> None:
    names = SETTINGS["abc"] | {"timezone": "x" * 100}
    assert words(entry(at(1), settings="new", names=names))[0][1] == ["`timezone` changed"]


def test_two_loaders() -> None:
    """Loaders of other streams of the same pixel may have other settings: that is no change."""
    others = {"streams": {"visits": figures()}, "settings": "new", "names": NEW}
    runs = [(entry(at(back)), entry(at(back, 13), **others)) for back in (4, 3, 2)]
    assert words(*(one for both in runs for one in both)) == []


def test_runs_that_are_not_usual() -> None:
    """A dry run with other settings changes nothing, nor does one that failed before a SCHEMA."""
    tried = entry(at(2), "dry_run", settings="new", names=NEW)
    failed = entry(at(1), settings="new", names=NEW, streams={}, ending="failed")
    assert words(tried, failed) == []
