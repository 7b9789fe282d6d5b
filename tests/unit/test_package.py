"""What the package index shows of the package."""

from __future__ import annotations

import re
from importlib import metadata

ABOUT = metadata.metadata("target-liveintent")
LINK = re.compile(r"\]\(([^)]+)\)")


def test_links_of_the_description_are_absolute() -> None:
    """The index shows the README alone, where a relative link would be broken."""
    description = ABOUT["Description"] or str(ABOUT.get_payload())
    links = LINK.findall(description)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    version = metadata.version("target-liveintent")
    assert any(link.endswith(f"/blob/v{version}/docs/guarantees.md") for link in links)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", description)
    assert pictures
    assert all(f"/raw/v{version}/" in picture for picture in pictures)


def test_where_to_go_from_the_index() -> None:
    """Documentation, source, changes and issues have links of their own."""
    named = [url.partition(", ")[0] for url in ABOUT.get_all("Project-URL") or []]
    assert named == ["Homepage", "Documentation", "Source", "Changelog", "Issues"]
