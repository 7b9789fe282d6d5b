"""The page in a real browser."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from browser_support import faint, overflow
from integration_support import orders, schema
from playwright.sync_api import expect
from sandbox_support import NOW, event, events

from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from browser_support import OpenPage
    from integration_support import Launcher
    from playwright.sync_api import Locator, Page
    from sandbox_support import Post

pytestmark = pytest.mark.browser

ADDRESS = "jane.doe@example.com"
ROLES = "button|combobox|searchbox|spinbutton|switch|textbox"
HOSTILE = "<img src=x onerror=alert(1)>&amp;</td><script>alert(2)</script>"


def tile(page: Page, name: str) -> Locator:
    return page.locator("#tiles div", has_text=name).locator("dd")


def rows(page: Page, section: str) -> Locator:
    return page.locator(f"#{section} tbody tr")


def expect_events(page: Page, *event_ids: str) -> None:
    """Wait until the list of events contains exactly these, in this order."""
    expect(page.locator("#events td.id")).to_have_text(list(event_ids))


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name)


def test_follows_a_run(own_sandbox: Sandbox, target: Launcher, open_page: OpenPage) -> None:
    """The empty page says so; while a target runs, it shows what arrives without a reload."""
    with open_page(own_sandbox.url) as page:
        expect(page.get_by_role("status")).to_have_text("live")
        expect(page.get_by_role("heading", level=1)).to_have_text("Conversions API sandbox")
        expect(page.get_by_text("No batch has arrived yet.")).to_be_visible()
        expect(page.get_by_text("No event has arrived yet.")).to_be_visible()
        expect(page.locator("#tiles dd")).to_have_text(["0"] * 6)
        page.evaluate("window.same = true")
        run = target.start(batch_size_rows=10)
        run.send(schema(), *orders(10))
        expect(tile(page, "events accepted")).to_have_text("10")
        expect(rows(page, "events")).to_have_count(10)
        assert run.process.poll() is None  # it waits for more
        run.send(*orders(10, 35))
        expect(tile(page, "events accepted")).to_have_text("30")
        run.close_input().wait()
        expect(tile(page, "events accepted")).to_have_text("35")
        expect(tile(page, "batches").first).to_have_text("4")
        expect(page.locator("#counts")).to_have_text("35 events accepted in 4 batches, 0 refused.")
        assert page.evaluate("window.same")
    assert (run.code, own_sandbox.stats.accepted) == (0, 35)


@pytest.mark.slow
def test_coverage(sandbox: Sandbox, post: Post, open_page: OpenPage) -> None:
    """The length of each bar matches the figure beside it."""
    md5, sha2 = {"md5": "ab" * 16}, {"sha2": "cd" * 32}
    post([event(userData=md5 | sha2), event(userData=md5), event(userData=md5, purchaseData={})])
    post([event(userData=sha2, decisionId="d-1")] * 997)  # refused: too many
    expected = {"md5": 100.0, "sha2": 33.3, "md5 and sha2": 33.3, "decisionId": 0, "value": 66.7}
    with open_page(sandbox.url) as page:
        expect(tile(page, "events accepted")).to_have_text("3")
        for field, percent in expected.items():
            bar = page.locator("#coverage li", has=page.get_by_text(field, exact=True))
            expect(bar.locator(".share")).to_have_text(f"{percent:g} %")
            whole, filled = (bar.locator(part).bounding_box() or {} for part in (".bar", ".filled"))
            assert filled["width"] / whole["width"] == pytest.approx(percent / 100, abs=0.01)


def test_filters(sandbox: Sandbox, post: Post, open_page: OpenPage) -> None:
    """Events are filtered by outcome, source, pixel, text and batch, alone and together."""
    post(
        [event(eventId="e-1"), event(eventId="e-2", source="app"), event(eventId="e-3", pixelId=7)]
    )
    post([event(eventId="e-4", source="shop"), event(eventId="e-5", source="offline")])
    everything = ("e-5", "e-4", "e-3", "e-2", "e-1")
    with open_page(sandbox.url) as page:
        expect_events(page, *everything)
        listed, clear = page.locator("#events"), page.get_by_role("button", name="Clear filters")
        expect(clear).to_be_hidden()
        for label, option, found in (
            ("Source", "app", ("e-2",)),
            ("Source", "other", ("e-4",)),
            ("Outcome", "refused", ("e-5", "e-4")),
            ("Pixel", "7", ("e-3",)),
        ):
            listed.get_by_label(label).select_option(option)
            expect_events(page, *found)
            clear.click()
            expect_events(page, *everything)
        listed.get_by_label("Search").fill("e-3")
        expect_events(page, "e-3")
        listed.get_by_label("Source").select_option("app")
        expect(page.get_by_text("No event matches the filters.")).to_be_visible()
        clear.click()
        page.get_by_role("button", name="Show 2 events of batch 2").click()
        expect_events(page, "e-5", "e-4")
        post([event(eventId="e-6")])
        expect(tile(page, "events arrived")).to_have_text("6")
        expect_events(page, "e-5", "e-4")  # the filter stays
        clear.click()
        expect_events(page, "e-6", *everything)
        page.locator("#batches").get_by_label("Outcome").select_option("refused")
        expect(rows(page, "batches")).to_have_count(1)


def test_opens_events(sandbox: Sandbox, post: Post, open_page: OpenPage) -> None:
    """An event can be opened with the keyboard, and is shown as it arrived, markup as text."""
    sent = event({"purchaseData.orderId": HOSTILE}, eventId="e-1")
    post([sent])
    post([event({"purchaseData": {HOSTILE: HOSTILE}}, eventId=HOSTILE, source=HOSTILE)])
    with open_page(sandbox.url) as page:
        page.get_by_role("button", name="e-1").press("Enter")
        dialog = page.get_by_role("dialog", name="e-1")
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text("accepted events[0] of batch 1, 2027-01-15")
        assert json.loads(dialog.locator("pre").inner_text()) == sent
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(page.get_by_role("button", name="e-1")).to_be_focused()
        expect(page.locator("#events td.id").first).to_have_text(HOSTILE)
        page.locator("#events td.id button").first.click()
        expect(page.locator("dialog pre")).to_contain_text(HOSTILE)
        assert page.locator("img, main script").count() == 0


@pytest.mark.slow
def test_shows_why_a_batch_was_refused(sandbox: Sandbox, post: Post, open_page: OpenPage) -> None:
    """A refused batch shows event, field, rule and value of each problem, but no address."""
    bad = event({"eventId": "bad-1", "source": "shop", "userData.email": ADDRESS})
    post([event(eventId="good-1"), bad, *events(3, eventTime=1)])
    with open_page(sandbox.url) as page:
        problems = page.locator("#batches .problems li")
        expect(problems).to_have_count(4)
        for part, words in (
            (".field", "source"),
            (".rule", "must be one of web, app, offline"),
            (".value", '"shop"'),
            (".whose", "events[1] · bad-1"),
        ):
            expect(problems.first.locator(part)).to_have_text(words)
        expect(problems.nth(1)).to_contain_text('userData.email unknown field got "•••@•••"')
        page.get_by_role("button", name="2 more").click()
        expect(problems).to_have_count(5)
        page.get_by_role("button", name="bad-1").click()
        expect(page.locator("dialog .problems li")).to_have_count(2)
        expect(page.locator("dialog pre")).to_contain_text('"email": "•••@•••"')
        assert "jane" not in page.content()
        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="good-1").click()
        expect(page.locator("dialog .facts")).to_contain_text("Nothing is wrong with this event")


def test_switches_a_fault(own_sandbox: Sandbox, target: Launcher, open_page: OpenPage) -> None:
    """A target fails while a fault is switched on, and succeeds when it is off again."""
    with open_page(own_sandbox.url) as page:
        switch(page, "Unavailable").click()
        expect(switch(page, "Unavailable")).to_be_checked()
        expect(page.locator("#faults .active li")).to_contain_text("Answers 503until removed")
        run = target.start()
        run.send(schema(), *orders(3)).close_input()
        expect(page.locator("#batches .pill").first).to_have_text("503 fault")
        expect(page.locator("#events .pill")).not_to_have_count(0)
        assert own_sandbox.stats.accepted == 0
        switch(page, "Unavailable").click()
        expect(page.locator("#faults .active li")).to_have_count(0)
        expect(tile(page, "events accepted")).to_have_text("3")
        run.wait()
    assert run.code == 0
    assert own_sandbox.stats.by_status["503"] >= 1
    assert own_sandbox.stats.by_outcome["accepted"] == 1


SCRIPTED: list[tuple[str, dict[str, str], dict[str, Any], str]] = [
    (
        "status",
        {"status": "429", "retry_after": "3", "times": "2", "percent": "50"},
        {"status": 429, "headers": {"Retry-After": "3"}, "times": 2, "probability": 0.5},
        "Answers 429, Retry-After: 32 more times, with a probability of 50 %Remove",
    ),
    (
        "latency",
        {"seconds": "0.5", "times": ""},
        {"seconds": 0.5, "times": None},
        "Answers 0.5 s lateruntil removedRemove",
    ),
    ("drop", {}, {"when": "before"}, "Drops the connection before processing1 more timeRemove"),
    (
        "refuse",
        {"field": "purchaseData.orderId", "value": "X-7"},
        {"where": {"purchaseData.orderId": "X-7"}},
        'Refuses batches with purchaseData.orderId = "X-7"1 more timeRemove',
    ),
    (
        "partial",
        {"event_ids": "e-1\ne-2"},
        {"event_ids": ["e-1", "e-2"]},
        "Does not process e-1, e-21 more timeRemove",
    ),
]


@pytest.mark.slow
def test_scripts_faults(sandbox: Sandbox, open_page: OpenPage) -> None:
    """Every kind of fault can be scripted, is listed, and can be removed, alone or with all."""
    with open_page(sandbox.url) as page:
        page.get_by_text("Add another fault").click()
        form, listed = page.locator("#faults form"), page.locator("#faults .active li")
        for n, (kind, fields, fault, words) in enumerate(SCRIPTED):
            form.locator("[name=kind]").select_option(kind)
            for name, value in {"times": "1", "percent": "100", **fields}.items():
                form.locator(f"[name={name}]").fill(value)
            form.get_by_role("button", name="Add fault").click()
            expect(listed).to_have_count(n + 1)
            expect(listed.nth(n)).to_have_text(words)
            scripted = sandbox.faults[n]
            assert scripted["kind"] == kind
            for name, value in fault.items():
                found = scripted[name]
                assert (sorted(found) if name == "event_ids" else found) == value
        listed.nth(1).get_by_role("button").click()
        expect(listed).to_have_count(len(SCRIPTED) - 1)
        page.get_by_role("button", name="Clear all").click()
        expect(listed).to_have_count(0)
    assert sandbox.faults == []


@pytest.mark.slow
def test_explains_an_invalid_fault(sandbox: Sandbox, open_page: OpenPage) -> None:
    """An invalid fault is not added, and the page says why."""
    with open_page(sandbox.url, tolerated=("status of 422",)) as page:
        page.get_by_text("Add another fault").click()
        page.locator("#faults [name=kind]").select_option("refuse")
        page.get_by_role("button", name="Add fault").click()
        expect(page.get_by_role("alert")).to_contain_text("needs `event_ids` or `where`")
    assert sandbox.faults == []


@pytest.mark.slow
def test_forgets_all(sandbox: Sandbox, post: Post, open_page: OpenPage) -> None:
    """All is forgotten once that is confirmed; what comes then is shown anew."""
    post([event(eventId="before")])
    with open_page(sandbox.url) as page:
        expect_events(page, "before")
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete all").click()
        expect(page.get_by_text("No event has arrived yet.")).to_be_visible()
        post([event(eventId="after")])
        expect_events(page, "after")


@pytest.mark.slow
def test_leaves_what_somebody_is_at(sandbox: Sandbox, post: Post, open_page: OpenPage) -> None:
    """News takes neither the focus from a row nor the text from a field."""
    post([event(eventId="first")])
    with open_page(sandbox.url) as page:
        page.locator("#faults summary").click()
        page.locator("#faults [name=status]").fill("418")
        page.get_by_role("button", name="first").focus()
        for n in range(3):
            post([event(eventId=f"next-{n}")])
            expect(page.get_by_role("button", name=f"next-{n}")).to_be_visible()
        expect(page.get_by_role("button", name="first")).to_be_focused()
        expect(page.locator("#faults [name=status]")).to_have_value("418")


@pytest.mark.slow
def test_shows_when_the_sandbox_stops(post: Post, open_page: OpenPage) -> None:
    """When the sandbox stops, the page says so; when it starts again, the page recovers."""
    with Sandbox() as first:
        port = int(first.url.rpartition(":")[2])
        gone = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE")
        with open_page(first.url, tolerated=gone) as page:
            expect(page.get_by_role("status")).to_have_text("live")
            first.__exit__(None, None, None)
            expect(page.get_by_role("status")).to_have_text("the sandbox does not answer")
            with Sandbox(port=port, clock=lambda: NOW) as second:
                expect(page.get_by_role("status")).to_have_text("live")
                post([event(eventId="back")], to=second)
                expect_events(page, "back")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_is_readable(sandbox: Sandbox, post: Post, open_page: OpenPage, scheme: str) -> None:
    """In light and dark mode and at any width, all is readable, and each field has a name."""
    long = "w" * 300
    post([event({"purchaseData.orderId": long}, eventId=long, decisionId=long), event()])
    post([event(source=long), event({f"userData.{'x' * 60}": long})])
    sandbox.add_faults(
        {"kind": "partial", "event_ids": ["e-1"]}, {"kind": "refuse", "event_ids": [long]}
    )
    post([event(eventId="e-1"), event(eventId="e-2")])
    sandbox.add_faults({"kind": "status", "status": 500, "times": None})
    post([event()])
    with open_page(sandbox.url, color_scheme=scheme) as page:
        expect(rows(page, "events")).to_have_count(7)
        page.locator("#faults summary").click()
        tree = page.locator("body").aria_snapshot()
        fields = re.findall(rf"^ *- (?:{ROLES}).*$", tree, re.MULTILINE)
        assert len(fields) > 15
        assert [field for field in fields if '"' not in field] == []
        backgrounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", backgrounds))) > 3 * 128
        assert light == (scheme == "light")
        for width in (360, 480, 760, 1030, 1280, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            assert overflow(page) == 0, width
            assert faint(page) == [], width
        page.set_viewport_size({"width": 360, "height": 640})
        page.locator("#events td.id button").last.click()
        expect(page.locator("dialog")).to_be_visible()
        assert page.evaluate(
            "[...document.querySelectorAll('dialog, dialog *')]"
            ".every(element => element.getBoundingClientRect().right <= innerWidth)"
        )
        assert faint(page) == []


@pytest.mark.slow
def test_many_events_do_not_slow_down_the_page(post: Post, open_page: OpenPage) -> None:
    """While thousands of events arrive, the page asks seldom, stays small, and shows the newest."""
    asked: list[str] = []
    batch = json.dumps(events(100)).encode()
    with Sandbox(clock=lambda: NOW) as sandbox, open_page(sandbox.url) as page:
        expect(page.get_by_role("status")).to_have_text("live")
        page.on("request", lambda request: asked.append(request.url))
        started = time.monotonic()
        for _ in range(200):
            post(batch, to=sandbox)
        expect(tile(page, "events accepted")).to_have_text("20,000")
        expect(tile(page, "duplicate events")).to_have_text("19,900")
        expect(rows(page, "events")).to_have_count(25)
        assert len(asked) <= 4 * (time.monotonic() - started) + 2
        assert page.evaluate("document.querySelectorAll('*').length") < 1500
        expect(rows(page, "batches")).to_have_count(10)
        page.get_by_role("button", name="Show more events").click()
        expect(rows(page, "events")).to_have_count(100)
        page.get_by_role("button", name="Show more batches").click()
        expect(page.locator("#batches .head")).to_contain_text("newest 50 of 200")
