"""The page of a history: whole, safe to open, and with advice in order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from overview_support import at, daily, entry, figures, overview, random_entries
from report_support import PageReader, everything

from target_liveintent.reporting.history.model import Unusual
from target_liveintent.reporting.overview.advice import advise
from target_liveintent.reporting.overview.gather import facts_of
from target_liveintent.reporting.overview.page import page
from target_liveintent.reporting.overview.reading import write_overview
from target_liveintent.storage.files import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.reporting.history.model import RunEntry

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>`</code>`&amp;{}%s"


def titles(text: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", text)


def test_the_order_of_sections() -> None:
    """Today against usual comes first; the report of the last run last, without its advice."""
    text = page(overview(random_entries()), everything().facts())
    assert titles(text)[:8] == [
        "Today against usual",
        "How to match more, with the most useful step first",
        "Day by day",
        "What could not be sent, by reason",
        "Conversions by stream",
        "Month by month",
        "What changed",
        "The last run",
    ]
    assert "What happened to the records" in titles(text)
    assert "To match more" not in titles(text)
    assert len(re.findall("<h1>", text)) == 1


def test_nothing_is_fetched_or_run() -> None:
    """The page needs no network and has no script; its own policy would stop both."""
    text = page(overview(random_entries()), everything().facts())
    reader = PageReader(text)
    tags = {tag for tag, _ in reader.tags}
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "a"} & tags
    for _, attributes in reader.tags:
        assert not {"src", "href", "srcset", "style"} & set(attributes)
    assert "url(" not in text
    assert set(re.findall(r"https?://[^\"'\s<)]+", text)) == {"http://www.w3.org/2000/svg"}
    for chart in re.findall("<svg.*?</svg>", text, re.DOTALL):
        assert not re.search("#[0-9a-f]{3}|rgb|style|black|white", chart)


def test_hostile_names() -> None:
    """Names of streams, messages, settings and currencies are text."""
    names = {"timezone": HOSTILE, HOSTILE: "1"}
    streams = {
        HOSTILE: figures(not_sent={HOSTILE: 50}),
        "orders": figures(20, values={HOSTILE: figures().values["EUR"]}),
    }
    unusual = [Unusual("coverage", HOSTILE, HOSTILE, at(0), HOSTILE)]
    changes = {"streams": streams, "unusual": unusual, "version": HOSTILE}
    today = entry(at(0), ending="failed", message=HOSTILE, settings="x", names=names, **changes)
    found = overview([*daily(30, 1, streams=streams), today])
    found.account = found.timezone = HOSTILE
    reader = PageReader(page(found, None))
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert reader.text.count("<script>alert(1)</script>") >= 6


@pytest.mark.parametrize(
    "entries", [[], daily(0), daily(1), daily(13), daily(14), [entry(at(0), "replay")]]
)
def test_a_short_history(entries: list[RunEntry]) -> None:
    """A page is there from the first day, and says from when on it compares."""
    found = overview(entries)
    html = page(found, None)
    text = PageReader(html).text
    is_compared = found.figure("conversions").usual is not None
    assert is_compared == (len(entries) == 15)
    assert ("each figure is compared with what is usual" in text) == (
        bool(entries) and not is_compared
    )
    assert ("The table compares" in text) == is_compared
    assert (">compared</th>" in html) == is_compared
    assert ("The last bar of each chart" in text) == (len(entries) > 1)


def test_many_streams_reasons_and_currencies() -> None:
    """A page stays small."""
    value = figures().values["EUR"]
    streams = {
        f"stream_{n}_{'x' * 100}": figures(
            10, not_sent={f"reason_{n}": 3}, values={f"{chr(65 + n % 26)}{n}Z": value}
        )
        for n in range(300)
    }
    text = page(overview(daily(30, streams=streams)), None)
    PageReader(text)
    assert len(text) < 700_000


def test_the_page_is_for_its_owner_only(tmp_path: Path) -> None:
    """And the token is not in it, wherever it came from."""
    path = tmp_path / "page.html"
    write_overview(overview(daily(3)), None, str(path), replace_file)
    assert path.stat().st_mode & 0o777 == 0o600


# The advice


def sentences(*, facts: bool = True, **having: int) -> list[str]:
    """Return the advice for 1,000 conversions, of which so many have each column."""
    recent = figures(1_000, late=0)
    recent.having |= having
    return list(advise(recent, everything_on_the_web() if facts else None))


def everything_on_the_web() -> object:
    facts = everything().facts()
    facts.coverage = [one for one in facts.coverage if one.source == "web"]
    return facts


def test_what_gains_most_is_first() -> None:
    """By the conversions that it is about, those that identify nobody before the others."""
    found = sentences(ip=800, user_agent=300, both=900, value=0, decision_id=949)
    assert [one.partition(" (")[0] for one in found] == [
        "100 conversions",
        "700 conversions",
        "200 conversions",
        "51 conversions",
        "1,000 conversions",
    ]
    assert "two hashes" in found[0]
    assert "as `value`" in found[-1]


def test_what_did_not_go_counts_as_much_as_what_lacks_hashes() -> None:
    recent = figures(1_000, late=0, not_sent={"no_identity": 300, "already_sent": 900, "x": 500})
    recent.having["both"] = 800
    first, second = advise(recent, None)
    assert first.startswith("300 conversions (17 %) could not be sent: neither an e-mail address")
    assert second.startswith("200 conversions (20 %) lack at least one of the two hashes")


def test_what_is_tolerated() -> None:
    """Next to nothing is no advice; nor is a column that offline events cannot have."""
    assert sentences(both=951, ip=960) == []
    assert sentences(facts=False, ip=0, device_id=0) == []
    assert list(advise(figures(0), None)) == []


def test_one_conversion() -> None:
    recent = figures(10, late=0)
    recent.having["both"] = 9
    (one,) = advise(recent, None)
    assert one.startswith("1 conversion (10 %) lacks at least one of the two hashes")


def test_late_conversions() -> None:
    (one,) = advise(figures(10, late=6), None)
    assert one.startswith("6 conversions (60 %) were sent more than an hour after they happened")


def test_the_report_of_another_version() -> None:
    """It is left out, and the page is made without it."""
    from target_liveintent.reporting.history.model import History

    one = entry(at(0))
    assert facts_of(History([], one)) is None
    facts = everything().facts()
    one.facts = msgspec.Raw(msgspec.json.encode(facts))
    assert facts_of(History([], one)) == facts
