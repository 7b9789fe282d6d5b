"""What the package index shows of the package."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

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


WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "test.yml"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="not a checkout")
def test_classifiers_are_what_is_tested() -> None:
    """Each version of Python, and the system, that the classifiers name is one that CI has."""
    classifiers = ABOUT.get_all("Classifier") or []
    pythons = re.findall(r"Python :: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE)
    assert ABOUT["Requires-Python"] == f">={pythons[0]}"
    job = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == pythons
    assert job["runs-on"].startswith("ubuntu")
    systems = [one for one in classifiers if one.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]


def test_the_extras_that_are_documented() -> None:
    """Each extra has its line on the page about support, and each line its extra."""
    tables = pytest.importorskip("tables", reason="not a checkout")
    assert tables.EXTRAS.keys() == set(ABOUT.get_all("Provides-Extra") or [])
