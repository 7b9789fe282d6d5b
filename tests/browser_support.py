"""A headless browser for tests of pages, which fail if a page does something forbidden.

The browser is a Chromium or Chrome on PATH. Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)
PATIENCE_MS = 10_000
"""The milliseconds after which a test no longer waits for something on a page."""

OpenPage = Callable[..., AbstractContextManager["Page"]]


def program() -> str | None:
    """Return the path of a browser, if one is installed."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def launch() -> Iterator[Browser]:
    """Yield a browser with its own profile, and close it at the end."""
    # Imported here, because it takes a quarter of a second.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Without Chromium's own sandbox, which root cannot use: the pages are the project's.
        browser = driver.chromium.launch(
            executable_path=program(), args=_FLAGS, chromium_sandbox=False
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    height: int = 900,
    tolerated: tuple[str, ...] = (),
    **options: Any,
) -> Iterator[Page]:
    """Open a page in its own context, and check at the end that the page caused no errors.

    A page must not write an error to the console, throw an exception, or send a request to another
    host. `tolerated` contains parts of errors that the test provokes. `options` are arguments of
    Playwright's `new_context`.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.extend(_elsewhere(request, url)))
    page.goto(url)
    yield page
    context.close()
    assert [error for error in errors if not any(part in error for part in tolerated)] == []


def _elsewhere(request: Request, url: str) -> list[str]:
    asked, own = urlsplit(request.url), urlsplit(url)
    if asked.scheme in ("data", "blob") or (asked.scheme, asked.netloc) == (own.scheme, own.netloc):
        return []
    return [f"asked for {request.url}"]


# What a page looks like

_TEXTS = """() => {
  const rgba = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
  };
  const background = element => {
    const own = rgba(getComputedStyle(element).backgroundColor);
    if ((own[3] ?? 1) === 1) return own;
    return over(own, element.parentElement ? background(element.parentElement) : [255, 255, 255]);
  };
  const luminance = colour => colour.slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE);
    const text = own.map(node => node.data.trim()).join("");
    if (!text || !element.checkVisibility()) continue;
    const behind = background(element);
    const pair = [behind, over(rgba(getComputedStyle(element).color), behind)].map(luminance);
    found.push([(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), text.slice(0, 40)]);
  }
  return found;
}"""


def faint(page: Page, least: float = 4.5) -> list[str]:
    """Return the texts of a page with less contrast than level AA of WCAG requires."""
    texts = page.evaluate(_TEXTS)
    assert texts
    return [f"{text!r}: {ratio:.2f}" for ratio, text in texts if ratio < least]


def overflow(page: Page) -> int:
    """Return by how many CSS pixels the page is wider than its window."""
    pixels: int = page.evaluate(
        "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )
    return pixels
