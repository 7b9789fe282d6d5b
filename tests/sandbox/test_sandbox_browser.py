"""The page in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser_support import OpenPage, faint, overflow
from integration_support import Launcher, orders, schema
from playwright.sync_api import expect
from sandbox_support import Post, event

from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

ROLES = "button|switch"
HOSTILE = "<img src=x onerror=alert(1)>&amp;</td><script>alert(2)</script>"


def tile(page: Page, name: str) -> Locator:
    return page.locator("#tiles div", has_text=name).locator("dd")


def test_follows_a_run(own_sandbox: Sandbox, target: Launcher, open_page: OpenPage) -> None:
    """While a target runs, the page shows what arrives without a reload."""
    with open_page(own_sandbox.url) as page:
        expect(page.get_by_role("status")).to_have_text("live")
        expect(page.get_by_text("No batch has arrived yet")).to_be_visible()
        expect(page.get_by_text("No event has arrived yet")).to_be_visible()
        page.evaluate("window.same = true")
        run = target.start(batch_size_rows=10)
        run.send(schema(), *orders(10))
        expect(tile(page, "events accepted")).to_have_text("10")
        expect(page.locator("#events tr")).to_have_count(10)
        assert run.process.poll() is None  # it waits for more
        run.send(*orders(10, 35))
        run.close_input().wait()
        expect(tile(page, "events accepted")).to_have_text("35")
        expect(page.locator("#batches tr")).to_have_count(4)
        assert page.evaluate("window.same")
    assert (run.code, own_sandbox.stats.accepted) == (0, 35)


def test_switches_faults(own_sandbox: Sandbox, target: Launcher, open_page: OpenPage) -> None:
    """A target fails while a fault is switched on, and succeeds when it is off again."""
    with open_page(own_sandbox.url) as page:
        switch = page.get_by_role("switch", name="Unavailable")
        switch.press("Enter")
        expect(switch).to_be_checked()
        expect(switch).to_be_focused()
        run = target.start()
        run.send(schema(), *orders(3)).close_input()
        expect(page.locator("#batches .pill").first).to_have_text("503 fault")
        assert own_sandbox.stats.accepted == 0
        switch.click()
        expect(switch).not_to_be_checked()
        expect(tile(page, "events accepted")).to_have_text("3")
        run.wait()
    assert run.code == 0
    assert own_sandbox.stats.by_status["503"] >= 1


def test_on_a_phone(own_sandbox: Sandbox, target: Launcher, open_page: OpenPage) -> None:
    """The page is short, and says what each value is; a table has the newest rows."""
    target.run(schema(), *orders(120), batch_size_rows=5)
    with open_page(own_sandbox.url, width=360) as page:
        expect(tile(page, "events accepted")).to_have_text("120")
        assert page.evaluate("document.documentElement.scrollHeight") <= 4_000
        row = page.locator("#events tr").first
        assert row.locator("td").evaluate_all("cells => cells.map(one => one.dataset.head)") == [
            *("Happened (UTC)", "Event", "Outcome", "Source", "Pixel", "Order", "Value")
        ]
        assert [one.bounding_box()["height"] < 30 for one in row.locator("td").all()] == [True] * 7


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_is_readable(sandbox: Sandbox, post: Post, open_page: OpenPage, scheme: str) -> None:
    """In light and dark mode and at any width, all is readable, and each button has a name."""
    long = "w" * 300
    post([event({"purchaseData.orderId": long}, eventId=long, decisionId=long), event()])
    post([event(source=long), event({f"userData.{'x' * 60}": long})])
    sandbox.add_faults(
        {"kind": "partial", "event_ids": ["e-1"]}, {"kind": "refuse", "event_ids": [long]}
    )
    post([event(eventId="e-1"), event(eventId="e-2")])
    sandbox.add_faults({"kind": "status", "status": 500, "times": None})
    post([event()])
    for path in ("/", "/batches/1", "/batches/2"):
        with open_page(sandbox.url + path, color_scheme=scheme) as page:
            if path == "/":
                expect(page.locator("#events tr")).to_have_count(7)
                tree = page.locator("body").aria_snapshot()
                fields = re.findall(rf"^ *- (?:{ROLES}).*$", tree, re.MULTILINE)
                assert len(fields) > 5
                assert [field for field in fields if '"' not in field] == []
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            is_light = sum(map(int, re.findall(r"\d+", background))) > 3 * 128
            assert is_light == (scheme == "light")
            for width in (360, 760, 1030, 1600):
                page.set_viewport_size({"width": width, "height": 900})
                assert overflow(page) == 0, (path, width)
                assert faint(page) == [], (path, width)
