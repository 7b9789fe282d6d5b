"""The text for people on call."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from overview_support import ACCOUNT, NOW, at, daily, entry, figures, overview, random_entries

from target_liveintent.reporting.history.model import Unusual, ValueSum
from target_liveintent.reporting.overview.gather import overview_of
from target_liveintent.reporting.overview.model import Overview
from target_liveintent.reporting.overview.text import as_lines

BROKEN = {"ending": "failed", "message": "the API denied access (401): renew the token"}


def worst() -> Overview:
    """Return an overview in which everything is wrong."""
    unusual = [
        Unusual("coverage", "orders", f"column_{n}", at(0, 9), f"{n} are absent; see the tap")
        for n in range(9)
    ]
    some = {
        f"stream_{n}": figures(20, hashes=2, late=20, not_sent={"no_identity": 500, "expired": 9})
        for n in range(9)
    }
    values = {name: ValueSum(1, 1) for name in ("EUR", "USD", "JPY", "CHF", "GBP")}  # type: ignore[arg-type]
    some["orders"] = figures(1, values=values)
    bad = daily(12, 1, streams=some, version="target-liveintent 2")
    today = entry(at(0, 1), streams=some, unusual=unusual, **BROKEN)
    return overview([*daily(80, 13), *bad, today], max_age=dt.timedelta(hours=1))


@pytest.mark.parametrize(
    "found",
    [worst(), overview([]), overview(daily(0)), overview(daily(80)), overview(random_entries())],
    ids=["worst", "empty", "first day", "usual", "random"],
)
def test_twelve_lines(found: Overview) -> None:
    """At most twelve, of which each is one line."""
    lines = as_lines(found)
    assert 3 <= len(lines) <= 12
    assert not [line for line in lines if "\n" in line or not line.strip()]


def test_after_a_failed_run() -> None:
    """What, how many, since when, what to do, and the run ID."""
    runs = [*daily(40, 1), entry(at(0, 9), **BROKEN), entry(at(0, 10), **BROKEN)]
    assert "\n".join(as_lines(overview(runs))[:5]) == (
        "The last run failed. Account a-1b2c at api.example.com, pixel 4711; as of 2026-05-20 17:30"
        " EDT.\n"
        "The last 2 runs failed: the API denied access (401): renew the token (since 2026-05-20"
        " 09:05 EDT).\n"
        "  What to do: Do what the message says. The next scheduled run sends the missing"
        " conversions.\n"
        "Last run: 20260520-100500-usual, failed, 2026-05-20 10:05 EDT, 7 hours ago.\n"
        "200 conversions in the last 24 hours; 100 are usual."
    )


def test_the_worst_fills_the_lines_with_what_matters() -> None:
    """Causes, what to do, the run ID and the conversions are never cut off."""
    text = "\n".join(as_lines(worst()))
    assert text.startswith("The last run failed.")
    for words in ("renew the token", "What to do", "20260520-010500", "in the last 24 hours"):
        assert words in text


def test_an_empty_history() -> None:
    lines = as_lines(overview_of(_no_history(), (ACCOUNT[0], None), NOW))
    assert lines[0].startswith(
        "There has been no run yet. Account a-1b2c at api.example.com; as of"
    )


def _no_history() -> Any:
    from target_liveintent.reporting.history.model import History

    return History([])


def test_usual_ranges_are_named() -> None:
    text = "\n".join(as_lines(overview(daily(40))))
    assert "with a hash of an e-mail address 100 % (usual: 100 %)" in text
    assert "Dead letters: 0 in the last 24 hours (usual: 0)." in text
    assert "Value in EUR 5,000.00 (usual: 5,000.00), average value in EUR 50.00" in text


def test_what_has_been_worse() -> None:
    """Since when, by how much, and what changed then."""
    worse = daily(9, 0, streams={"orders": figures(hashes=60)}, version="target-liveintent 2")
    text = "\n".join(as_lines(overview([*daily(80, 10), *worse])))
    assert (
        "The share of conversions with a hash of an e-mail address has been lower since 11 May:"
        " 60 % instead of 100 %. On the same day, the version of the program changed, which may be"
        " the cause: version: target-liveintent 1 became target-liveintent 2."
    ) in text


def test_no_run_in_24_hours() -> None:
    """It is no cause without a limit, but nobody says that the day is as usual."""
    found = overview(daily(40, 3))
    assert found.causes == []
    lines = as_lines(found)
    assert lines[0].startswith("There was no run in the last 24 hours.")
    assert lines[2] == "0 conversions in the last 24 hours; 100 are usual."
