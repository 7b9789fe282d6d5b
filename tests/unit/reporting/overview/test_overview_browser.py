"""The page of a history in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser_support import faint, overflow
from overview_support import at, daily, entry, figures, overview, random_entries
from report_support import everything

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


def wide() -> list[RunEntry]:
    """Return runs with long names, large figures, and all that can be wrong."""
    streams = {
        "public-bookings_of_a_hotel": figures(9_123_456, not_sent={"no_identity": 123_456}),
        "Sales.EU-Orders.of.last_quarter": figures(123_456, hashes=3, late=123_456),
    }
    found = [Unusual("coverage", "Sales.EU-Orders.of.last_quarter", "ip", at(0), "0 % have ip")]
    today = {"streams": streams, "unusual": found, "ending": "failed", "message": "x" * 200}
    return [*daily(80, 20), *daily(19, 1, streams=streams), entry(at(0), **today)]


SCROLLED = """[...document.querySelectorAll(".scroll")].filter(
  part => part.scrollWidth > part.clientWidth
).map(part => part.innerText)"""
TOUCHING = """[...document.querySelectorAll("svg .axis.x")].flatMap(axis => {
  const labels = [...axis.querySelectorAll("text")].map(label => label.getBoundingClientRect());
  const seen = labels.filter(box => box.width).sort((one, other) => one.left - other.left);
  return seen.slice(1).map((box, n) => box.left - seen[n].right).filter(gap => gap < 4);
})"""
HISTORIES = {"wide": wide(), "random": random_entries(), "first day": daily(0), "empty": []}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 640, 1280])
@pytest.mark.parametrize("name", HISTORIES)
def test_nothing_is_cut_off(
    open_page: OpenPage, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    """No column needs scrolling to be seen, and all text has enough contrast."""
    path = tmp_path / "page.html"
    path.write_text(page(overview(HISTORIES[name]), everything().facts()), encoding="utf-8")
    with open_page(path.as_uri(), width=width, color_scheme=scheme) as shown:
        assert shown.evaluate(CUT_OFF) == []
        assert overflow(shown) == 0
        assert faint(shown) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_tables_and_labels_have_room(open_page: OpenPage, tmp_path: Path, width: int) -> None:
    """No table hides a column behind a scroll bar, and no label of an axis touches the next."""
    path = tmp_path / "page.html"
    path.write_text(page(overview(random_entries()), everything().facts()), encoding="utf-8")
    with open_page(path.as_uri(), width=width) as shown:
        assert shown.evaluate(SCROLLED) == []
        assert shown.evaluate(TOUCHING) == []


def test_a_small_screen_shows_no_lone_head(open_page: OpenPage, tmp_path: Path) -> None:
    """Above the days of changes there is no "day" where "what changed" has no room beside it."""
    path = tmp_path / "page.html"
    path.write_text(page(overview(random_entries()), None), encoding="utf-8")
    for width, is_shown in ((360, False), (1280, True)):
        with open_page(path.as_uri(), width=width) as shown:
            head = shown.locator("section", has_text="What changed").locator("thead th").first
            assert head.is_visible() == is_shown
