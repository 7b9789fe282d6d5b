"""The pages of a history in a real browser."""

import functools
from pathlib import Path

import pytest
from browser_support import OpenPage, faint, overflow
from reporting_support import at, daily, overview, random_runs, run, shop

from target_liveintent.failures import Failure, FailureCode
from target_liveintent.reporting.history import Ending, Finding, RunRecord, Unusual
from target_liveintent.reporting.page import page

pytestmark = pytest.mark.browser

CUT_OFF = """[...document.querySelectorAll("th, td, figure, .tile, li, p, b")].filter(part => {
  const box = part.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > innerWidth);
}).map(part => part.innerText)"""
SCROLLED = """[...document.querySelectorAll(".scroll")].filter(
  part => part.scrollWidth > part.clientWidth
).map(part => part.innerText)"""
EMPTY_CHARTS = """[...document.querySelectorAll("svg")].filter(chart => {
  const box = chart.getBoundingClientRect();
  return box.width < 40 || box.height < 20 || !chart.getAttribute("aria-label");
}).length"""
LONG_FAILURE = Ending(Failure.of(FailureCode.INPUT, text="x" * 200))
LONG_NAMES = ("public-bookings_of_a_hotel", "Sales.EU-Orders.of.last_quarter")


def wide_history() -> list[RunRecord]:
    """Return runs with long names, large figures, and all that can be wrong."""
    streams = {
        LONG_NAMES[0]: shop(9_123_456, not_sent={"no_identity": 123_456}),
        LONG_NAMES[1]: shop(123_456, hashes=3, late=123_456),
    }
    found = [Unusual("coverage", LONG_NAMES[1], Finding("ip", 0, 9), at(0))]
    last = run(at(0), streams=streams, unusual=found, ending=LONG_FAILURE)
    return [*daily(80, 20), *daily(19, 1, streams=streams), last]


PAGES = {"wide": wide_history, "random": random_runs, "first day": lambda: daily(0), "empty": list}


@functools.cache
def text_of(name: str) -> str:
    return page(overview(PAGES[name]()))


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        *[
            pytest.param("wide", width, "light", id=f"wide tables, {width} pixels")
            for width in (320, 360, 640, 768, 1280)
        ],
        *[
            pytest.param("random", width, "light", id=f"random numbers, {width} pixels")
            for width in (360, 768, 1280)
        ],
        *[
            pytest.param(name, 360, "light", id=f"{name}, on a phone")
            for name in ("first day", "empty")
        ],
        *[
            pytest.param(name, 360, "dark", id=f"{name}, dark on a phone")
            for name in ("random", "wide")
        ],
    ],
)
def test_nothing_is_cut_off(
    open_page: OpenPage, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    """No column needs scrolling, each chart is drawn, and all text has enough contrast."""
    path = tmp_path / "page.html"
    path.write_text(text_of(name), encoding="utf-8")
    with open_page(path.as_uri(), width=width, color_scheme=scheme) as shown:
        assert [shown.evaluate(script) for script in (CUT_OFF, SCROLLED)] == [[], []]
        assert shown.evaluate(EMPTY_CHARTS) == 0
        assert overflow(shown) == 0
        assert faint(shown) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_first_screen(open_page: OpenPage, tmp_path: Path, width: int) -> None:
    """It has what to do now; in a large window, the four numbers are above, side by side."""
    path = tmp_path / "page.html"
    path.write_text(text_of("random"), encoding="utf-8")
    with open_page(path.as_uri(), width=width, height=900) as shown:
        todo = shown.locator(".now p").first.bounding_box()
        tops = {one["y"] for one in (each.bounding_box() for each in shown.locator(".tile").all())}
        assert todo["y"] < 900
        assert len(tops) == (1 if width == 1280 else 4)
