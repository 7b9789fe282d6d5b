"""The days on which the settings or the version changed."""

from __future__ import annotations

from typing import Any

import pytest
from reporting_support import NAMES, at, daily, overview
from reporting_support import run as entry
from reporting_support import shop as figures

NEW = {
    "settings": {"timezone": "UTC", "presets": "ba9876543210", "on_rejection": "fail"},
}
BECAME = [
    "`on_rejection` was set",
    "the ready-made mappings of columns to events (`presets`) changed",
    "`timezone`: America/New_York became UTC",
]
AGAIN = [
    "`on_rejection` was removed",
    BECAME[1],
    "`timezone`: UTC became America/New_York",
]
LONG = {"settings": NAMES | {"timezone": "x" * 100}}
OTHER_LOADER = {"streams": {"visits": figures()}}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([entry(at(2), **NEW), entry(at(1), **NEW)], {"2026-05-18": BECAME}),
        ([entry(at(2), **NEW), entry(at(1))], {"2026-05-19": AGAIN, "2026-05-18": BECAME}),
        (
            [entry(at(1), version="target-liveintent 2")],
            {"2026-05-19": ["version: target-liveintent 1 became target-liveintent 2"]},
        ),
        ([entry(at(1), **LONG)], {"2026-05-19": ["`timezone` changed"]}),
        (
            [entry(at(1), **LONG | {"settings": NAMES | {"timezone": "x" * 40}})],
            {"2026-05-19": [f"`timezone`: America/New_York became {'x' * 40}"]},
        ),
        ([entry(at(2), "dry_run", **NEW)], {}),
        ([entry(at(2), ending="failed", **NEW, streams={})], {}),
        ([entry(at(back, 13), **NEW, **OTHER_LOADER) for back in (4, 3)], {}),
    ],
    ids=[
        "settings",
        "back",
        "version",
        "long",
        "as long as is shown",
        "dry run",
        "failed at once",
        "another loader",
    ],
)
def test_changes(runs: list[Any], expected: dict[str, list[str]]) -> None:
    """Each is there on its day, the newest first; of maps, the history has only a digest."""
    both = sorted([*daily(10, 5), *daily(4, 3), *runs], key=lambda one: one.ended_at)
    found = overview(both).changes
    assert [(one.day.isoformat(), one.words) for one in found] == list(expected.items())
