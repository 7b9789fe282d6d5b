"""Fails when the package index would show a broken description of the installed package.

The index renders only the README. So each link in the README must be absolute, and a link into the
repository must lead to an existing file, and to an existing heading, of this checkout.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from readme_renderer import markdown

ROOT = Path(__file__).parents[1]
NAME = "target-liveintent"


def complaints(description: str, repository: str, version: str) -> Iterator[str]:
    """Yield a message for each problem of a description in Markdown."""
    rendered = markdown.render(description)
    if rendered is None:
        yield "The description cannot be rendered"
        return
    links = re.findall(r'(?:href|src)="([^"]*)"', rendered)
    own = re.compile(rf"{re.escape(repository)}/(?:blob|raw)/v{version}/([^#]+)#?(.*)")
    if len(links) < len(re.findall(r"\]\(", description)):
        yield f"Only {len(links)} links are rendered, fewer than the description has"
    for link in links:
        if place := own.fullmatch(link):
            yield from _wrong_places(link, ROOT / place[1], place[2])
        # The index links each heading to itself.
        elif not link.startswith("https://") and f'id="{link.removeprefix("#")}"' not in rendered:
            yield f"Neither an absolute link nor a heading: {link}"


def _wrong_places(link: str, path: Path, heading: str) -> Iterator[str]:
    if not path.exists():
        yield f"There is no such file: {link}"
    elif heading and heading not in _anchors(path):
        yield f"There is no such heading: {link}"


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def main() -> int:
    """Print the complaints, and return 1 if there are any."""
    about = metadata.metadata(NAME)
    urls = dict(url.split(", ", 1) for url in about.get_all("Project-URL") or [])
    found = list(complaints(about["Description"], urls["Source"], about["Version"]))
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
