"""The page of a run report in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser_support import faint, overflow
from report_support import MadeUpRun, everything
from unit_support import DAY, TIME

if TYPE_CHECKING:
    from pathlib import Path

    from browser_support import OpenPage

pytestmark = pytest.mark.browser

LONG_NAMES = ("public-bookings_of_a_hotel", "Sales.EU-Orders.of.last_quarter")
CUT_OFF = """[...document.querySelectorAll("th, td, figure, .tile, li")].filter(part => {
  const box = part.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > innerWidth);
}).map(part => part.innerText)"""


def wide() -> MadeUpRun:
    """Return a run whose tables have as many columns as they can have, and long names."""
    run = everything()
    for name in LONG_NAMES:
        for source in ("web", "app", "offline"):
            run.deliver(
                123_456, name, source=source, at=TIME + (20 * DAY if source == "offline" else 60)
            )
        run.reject(name, no_identity=123_456, event_too_old=77, already_sent=1_000_000)
    run.counts.of("orders").read += 1_000_000  # Without an outcome.
    return run


@pytest.mark.parametrize("width", [320, 360, 480, 640])
def test_a_small_screen_cuts_nothing_off(open_page: OpenPage, tmp_path: Path, width: int) -> None:
    """No column needs scrolling to be seen, and each figure says what it is."""
    path = tmp_path / "report.html"
    path.write_text(wide().page(), encoding="utf-8")
    with open_page(path.as_uri(), width=width) as page:
        assert page.evaluate(CUT_OFF) == []
        assert overflow(page) == 0
        assert faint(page) == []
        read = page.locator("table", has_text="Records by stream").locator("tr.all td").first
        assert read.evaluate("cell => getComputedStyle(cell, '::before').content") == '"read"'


def test_a_large_screen_shows_tables(open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(wide().page(), encoding="utf-8")
    with open_page(path.as_uri()) as page:
        table = page.locator("table", has_text="Records by stream")
        assert table.locator("thead").is_visible()
        lines = table.locator("tr.all > *").evaluate_all(
            "cells => cells.map(cell => cell.getBoundingClientRect().top)"
        )
        assert len(lines) == 7
        assert len(set(lines)) == 1
