"""The facts of a run report, and its files; what its first lines say is in golden files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from report_support import MadeUpRun, everything

from target_liveintent.privacy.redaction import hide_token
from target_liveintent.reporting.reporter import write_report
from target_liveintent.reporting.run_report.model import FAILED, Ending, Facts
from target_liveintent.reporting.run_report.page import page
from target_liveintent.run.counts import RunCounts


def test_the_files(tmp_path: Path) -> None:
    """The JSON holds the facts that the page shows, whole and exact."""
    facts = everything().facts()
    write_report(facts, str(tmp_path / "a.html"))
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
    write_report(run.facts(ending), str(tmp_path / "a.html"))
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert not re.search("s3cret|jane|joe@", text)
        assert "is refused, says" in text


DOCS = Path(__file__).parents[4] / "docs" / "run-report.md"


@pytest.mark.skipif(not DOCS.exists(), reason="not a checkout")
def test_every_field_is_documented(tmp_path: Path) -> None:
    """The documentation names each field of the JSON, and no others."""
    write_report(everything().facts(), str(tmp_path / "a.html"))
    names = set(re.findall(r'"(\w+)":', (tmp_path / "a.json").read_text()))
    table = DOCS.read_text(encoding="utf-8").split("### The JSON")[1].split("## ")[0]
    documented = set(re.findall(r"`([a-z0-9_]+)`", table))
    assert names <= documented
    assert documented - names == {"done", "failed", "stopped", "timezone", "others"} - names


def test_latencies() -> None:
    """Half and 95 of 100 requests took at most the bound of a step; the longest is exact."""
    run = MadeUpRun()
    run.tally.delivered("orders", [], [], [0.01] * 6 + [1.0] * 13 + [4.5])
    run.counts.requests, run.counts.retries = 20, 2
    requests = run.facts().requests
    assert (requests.count, requests.retries) == (20, 2)
    assert (requests.half_within, requests.most_within, requests.longest) == (1.0, 1.0, 4.5)
    assert sum(step.requests for step in requests.steps) == 20
    run.tally.delivered("orders", [], [], [0.01] * 20 + [5_000.12345])
    requests = run.facts().requests
    assert (requests.half_within, requests.longest) == (0.01, 5_000.1235)


def test_when_it_was() -> None:
    """The end is the given time, and the start is as many seconds before it as the run took."""
    run = MadeUpRun()
    run.counts = RunCounts(seconds=90.25, clock=run.clock)
    facts = run.facts()
    assert (facts.started_at, facts.ended_at) == ("2026-08-01T15:58:29Z", "2026-08-01T16:00:00Z")
    assert facts.seconds == 90.25
