"""The pages of a history and of a run in a real browser."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from browser_support import faint, overflow
from overview_support import at, daily, entry, figures, overview, random_entries
from report_support import everything
from unit_support import DAY, TIME

from target_liveintent.reporting.history.model import Unusual
from target_liveintent.reporting.overview.page import page

if TYPE_CHECKING:
    from pathlib import Path

    from browser_support import OpenPage

    from target_liveintent.reporting.history.model import RunEntry

pytestmark = pytest.mark.browser

CUT_OFF = """[...document.querySelectorAll("th, td, figure, .tile, li")].filter(part => {
  const box = part.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > innerWidth);
}).map(part => part.innerText)"""
SCROLLED = """[...document.querySelectorAll(".scroll")].filter(
  part => part.scrollWidth > part.clientWidth
).map(part => part.innerText)"""
TOUCHING = """[...document.querySelectorAll("svg .axis.x")].flatMap(axis => {
  const labels = [...axis.querySelectorAll("text")].map(label => label.getBoundingClientRect());
  const seen = labels.filter(box => box.width).sort((one, other) => one.left - other.left);
  return seen.slice(1).map((box, n) => box.left - seen[n].right).filter(gap => gap < 4);
})"""
LONG_NAMES = ("public-bookings_of_a_hotel", "Sales.EU-Orders.of.last_quarter")


def wide_history() -> list[RunEntry]:
    """Return runs with long names, large figures, and all that can be wrong."""
    streams = {
        LONG_NAMES[0]: figures(9_123_456, not_sent={"no_identity": 123_456}),
        LONG_NAMES[1]: figures(123_456, hashes=3, late=123_456),
    }
    found = [Unusual("coverage", LONG_NAMES[1], "ip", at(0), "0 % have ip")]
    today = {"streams": streams, "unusual": found, "ending": "failed", "message": "x" * 200}
    return [*daily(80, 20), *daily(19, 1, streams=streams), entry(at(0), **today)]


def wide_run() -> str:
    """Return a run whose tables have as many columns as they can have, and long names."""
    run = everything().deliver(123_456, LONG_NAMES[0])
    for name in LONG_NAMES:
        for source in ("web", "app", "offline"):
            late = 20 * DAY if source == "offline" else 60
            run.deliver(12_345, name, source=source, at=TIME + late)
        run.reject(name, no_identity=123_456, event_too_old=77, already_sent=1_000_000)
    run.counts.of("orders").read += 1_000_000  # Without an outcome.
    return run.page()


PAGES = {
    "run": wide_run,
    "wide": lambda: page(overview(wide_history()), everything().facts()),
    "random": lambda: page(overview(random_entries()), everything().facts()),
    "first day": lambda: page(overview(daily(0)), everything().facts()),
    "empty": lambda: page(overview([]), None),
}


@functools.cache
def text_of(name: str) -> str:
    return PAGES[name]()


@pytest.fixture
def path(tmp_path: Path, name: str) -> Path:
    """Write the page of a name."""
    path = tmp_path / "page.html"
    path.write_text(text_of(name), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        *[("wide", width, "light") for width in (320, 360, 640, 1280)],
        *[("run", width, "light") for width in (320, 360, 480, 640)],
        *[("random", width, "light") for width in (320, 360, 1280)],
        *[(name, 320, "light") for name in ("first day", "empty")],
        *[(name, 320, "dark") for name in ("run", "wide")],
    ],
)
def test_nothing_is_cut_off(open_page: OpenPage, path: Path, width: int, scheme: str) -> None:
    """No column needs scrolling, no label touches the next, and all text has enough contrast."""
    with open_page(path.as_uri(), width=width, color_scheme=scheme) as shown:
        found = [shown.evaluate(script) for script in (CUT_OFF, SCROLLED, TOUCHING)]
        assert found == [[], [], []]
        assert overflow(shown) == 0
        assert faint(shown) == []


@pytest.mark.parametrize(("name", "width"), [("random", 360), ("random", 1280)])
def test_a_small_screen_shows_no_lone_head(open_page: OpenPage, path: Path, width: int) -> None:
    """Above the days of changes there is no "day" where "what changed" has no room beside it."""
    with open_page(path.as_uri(), width=width) as shown:
        head = shown.locator("section", has_text="What changed").locator("thead th").first
        assert head.is_visible() == (width == 1280)


@pytest.mark.parametrize(("name", "width"), [("run", 320), ("run", 1280)])
def test_a_small_screen_shows_lists(open_page: OpenPage, path: Path, width: int) -> None:
    """A figure of a list says what it is; a large screen shows a table with its heads."""
    with open_page(path.as_uri(), width=width) as shown:
        table = shown.locator("table", has_text="Records by stream")
        read = table.locator("tr.all td").first
        named = read.evaluate("cell => getComputedStyle(cell, '::before').content")
        lines = table.locator("tr.all > *").evaluate_all(
            "cells => cells.map(cell => cell.getBoundingClientRect().top)"
        )
        is_table = width == 1280
        assert table.locator("thead").is_visible() == is_table
        assert (named == '"read"') != is_table
        assert (len(lines), len(set(lines)) == 1) == (7, is_table)
