"""The pages of a history in a real browser."""

import functools
import re
from pathlib import Path

import pytest
from browser_support import OpenPage, faint, overflow
from reporting_support import at, daily, overview, random_runs, run, shop

from target_liveintent.failures import Failure, FailureCode
from target_liveintent.reporting.history import Ending, Finding, RunRecord, Unusual
from target_liveintent.reporting.page import page

pytestmark = pytest.mark.browser

CUT_OFF = """[...document.querySelectorAll("th, td, figure, li, p, b")].filter(part => {
  const box = part.getBoundingClientRect();
  return part.checkVisibility() && box.width && (box.left < 0 || box.right > innerWidth);
}).map(part => part.innerText)"""
SCROLLED = """[...document.querySelectorAll(".scroll")].filter(
  part => part.checkVisibility() && part.scrollWidth > part.clientWidth
).map(part => part.innerText)"""
BROKEN_NUMBERS = r"""[...document.querySelectorAll("td")].filter(part => {
  const range = document.createRange();
  range.selectNodeContents(part);
  const tops = new Set([...range.getClientRects()].map(line => Math.round(line.top)));
  return part.checkVisibility() && tops.size > 1 && /^[\d,.]+$/.test(part.innerText);
}).map(part => part.innerText)"""
EMPTY_CHARTS = """[...document.querySelectorAll("svg")].filter(chart => {
  const box = chart.getBoundingClientRect();
  const isHidden = !chart.checkVisibility();
  return !isHidden && (box.width < 40 || box.height < 20 || !chart.getAttribute("aria-label"));
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
        shown.evaluate("document.getElementById('engineer').open = true")
        scripts = (CUT_OFF, SCROLLED, BROKEN_NUMBERS)
        assert [shown.evaluate(script) for script in scripts] == [[], [], []]
        assert shown.evaluate(EMPTY_CHARTS) == 0
        assert overflow(shown) == 0
        assert faint(shown) == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_first_screen(open_page: OpenPage, tmp_path: Path, width: int) -> None:
    """It has what arrived, what to do, and the sum; in a large window, the sum is one row."""
    path = tmp_path / "page.html"
    path.write_text(text_of("random"), encoding="utf-8")
    with open_page(path.as_uri(), width=width, height=900) as shown:
        boxes = [one.bounding_box() for one in shown.locator(".headline, .to-do, .sum li").all()]
        assert all(box["y"] + box["height"] < 900 for box in boxes)
        assert len({box["y"] for box in boxes[2:]}) == (1 if width == 1280 else 6)


def test_reading_order(open_page: OpenPage, tmp_path: Path) -> None:
    """Headings and blocks come as they are seen, and each chart has a name."""
    path = tmp_path / "page.html"
    path.write_text(text_of("wide"), encoding="utf-8")
    with open_page(path.as_uri(), width=360) as shown:
        headings = shown.locator("h1, h2, h3").all()
        tops = [one.bounding_box()["y"] for one in headings]
        assert tops == sorted(tops)
        assert headings[0].inner_text() == "Conversions sent to LiveIntent"
        blocks = [one.get_attribute("id") for one in shown.locator("section, details").all()]
        assert blocks[:5] == ["status", "ledger", "causes", "days", "table-of-days"]
        assert None not in blocks
        names = [one.get_attribute("aria-label") for one in shown.locator("svg").all()]
        assert len(set(names)) == len(names)
        assert "from 0 to" in names[0]


def test_a_usual_day_is_short(open_page: OpenPage, tmp_path: Path) -> None:
    """On a phone and on paper."""
    path = tmp_path / "page.html"
    path.write_text(page(overview(daily(80))), encoding="utf-8")
    with open_page(path.as_uri(), width=360) as shown:
        assert shown.evaluate("document.documentElement.scrollHeight") <= 4_000
        assert len(re.findall(rb"/Type\s*/Page\b", shown.pdf(format="A4"))) <= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bars_are_seen(open_page: OpenPage, tmp_path: Path, scheme: str) -> None:
    """Their contrast against the card is at least 3:1."""
    path = tmp_path / "page.html"
    path.write_text(text_of("random"), encoding="utf-8")
    with open_page(path.as_uri(), color_scheme=scheme) as shown:
        card = shown.evaluate("getComputedStyle(document.getElementById('days')).backgroundColor")
        for kind in ("day", "last", "open", "lost"):
            bar = shown.evaluate(f"getComputedStyle(document.querySelector('rect.{kind}')).fill")
            assert contrast(bar, card) >= 3


def contrast(*colors: str) -> float:
    """Return the contrast of two colors, as WCAG defines it."""
    lights = sorted(_luminance(color) for color in colors)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(color: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in parts]
    return sum(part * n for part, n in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
