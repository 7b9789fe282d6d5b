"""The files of a run report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from report_support import MadeUpRun, everything
from unit_support import DAY, NOW, TIME

from target_liveintent.privacy.redaction import hide_token
from target_liveintent.reporting.reporter import write_report
from target_liveintent.reporting.run_report.model import FAILED, Ending, Facts
from target_liveintent.reporting.run_report.page import page
from target_liveintent.storage.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator


def names_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from names_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_of(inner)


def test_the_files(tmp_path: Path) -> None:
    """The JSON holds the facts that the page shows, whole and exact."""
    facts = everything().facts()
    write_report(facts, str(tmp_path / "a.html"), replace_file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json"]
    text = (tmp_path / "a.json").read_text()
    assert msgspec.json.decode(text, type=Facts) == facts
    assert {one["currency"]: one["value"] for one in json.loads(text)["value"]} == {
        "": "12.50",
        "EUR": "537.50",
        "JPY": "2000000000000000",
    }
    assert (tmp_path / "a.html").read_text() == page(facts)


def test_secrets_are_scrubbed(tmp_path: Path) -> None:
    """Neither an address nor the token that an error mentions gets into the files."""
    hide_token("s3cret-token")
    run = MadeUpRun().deliver(3, "of jane@example.com").deliver(3)
    ending = Ending(FAILED, "s3cret-token is refused, says joe@example.com")
    write_report(run.facts(ending), str(tmp_path / "a.html"), replace_file)
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert not re.search("s3cret|jane|joe@", text)
        assert "is refused, says" in text


DOCS = Path(__file__).parents[4] / "docs" / "run-report.md"


@pytest.mark.skipif(not DOCS.exists(), reason="not a checkout")
def test_every_field_is_documented(tmp_path: Path) -> None:
    """The documentation names each field of the JSON, and no others."""
    write_report(everything().facts(), str(tmp_path / "a.html"), replace_file)
    names = set(names_of(json.loads((tmp_path / "a.json").read_text())))
    table = DOCS.read_text(encoding="utf-8").split("### The JSON")[1].split("## ")[0]
    documented = set(re.findall(r"`([a-z0-9_]+)`", table))
    assert names <= documented
    assert documented - names == {"done", "failed", "stopped", "timezone", "others"} - names


def test_now_is_in_the_window() -> None:
    """The clock of these tests fits their events."""
    assert TIME < NOW < TIME + 7 * DAY
