"""The page of a history: safe to open, never large, and with advice in order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from overview_support import at, daily, entry, figures, overview
from report_support import HOSTILE, PageReader, everything

from target_liveintent.reporting.history.model import History, StreamFigures, Unusual
from target_liveintent.reporting.overview.advice import advise
from target_liveintent.reporting.overview.gather import facts_of
from target_liveintent.reporting.overview.page import page


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


def test_changes_before_the_first_shown_day() -> None:
    """The legend of the charts names the changes that the charts show, and no others."""
    versions = ((91, 91, 1), (90, 4, 2), (3, 0, 3))
    runs = [
        one
        for days, first, number in versions
        for one in daily(days, first, version=f"target-liveintent {number}")
    ]
    assert "settings or version changed: 17 May" in PageReader(page(overview(runs), None)).text


def test_many_streams_reasons_and_currencies() -> None:
    """A page stays small."""
    value = figures().values["EUR"]
    streams = {
        f"stream_{n}_{'x' * 100}": figures(
            10, not_sent={f"reason_{n}": 3}, values={f"{chr(65 + n % 26)}{n}Z": value}
        )
        for n in range(300)
    }
    text = page(overview(daily(30, 28, streams=streams)), None)
    PageReader(text)
    assert len(text) < 700_000


def recent(count: int = 1_000, **having: int) -> StreamFigures:
    """Return figures of 30 days: how many conversions have each column."""
    found = figures(count, late=0)
    found.having |= having
    return found


TOLD = {
    "the most useful first": (
        recent(ip=800, user_agent=300, both=900, value=0, decision_id=949),
        [
            "100 conversions (10 %) lack at least one of the two hashes",
            "700 conversions (70 %) have no user agent",
            "200 conversions (20 %) have no IP address",
            "51 conversions (5 %) have no decision ID",
            "1,000 conversions (100 %) have no value",
        ],
    ),
    "next to nothing": (recent(both=951, ip=960), []),
    "nothing was sent": (figures(0), []),
    "one": (recent(10, both=9), ["1 conversion (10 %) lacks at least one of the two hashes"]),
    "late": (
        figures(10, late=6),
        ["6 conversions (60 %) were sent more than an hour after they happened"],
    ),
    "half are late": (figures(10, late=5), []),
    "not sent": (
        figures(
            1_000,
            hashes=800,
            late=0,
            not_sent={"no_identity": 300, "missing_key": 13, "already_sent": 900, "x": 500},
        ),
        [
            "300 conversions (17 %) could not be sent: neither an e-mail address",
            "200 conversions (20 %) lack at least one of the two hashes",
        ],
    ),
}


@pytest.mark.parametrize(("figures_of_30_days", "expected"), TOLD.values(), ids=TOLD)
def test_advice(figures_of_30_days: StreamFigures, expected: list[str]) -> None:
    """It begins above a twentieth, or a hundredth of what could not be sent."""
    facts = everything().facts()
    facts.coverage = [one for one in facts.coverage if one.source == "web"]
    found = advise(figures_of_30_days, facts)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_advice_for_unknown_sources() -> None:
    """Offline events cannot have an address of the internet or a device."""
    assert list(advise(recent(ip=0, device_id=0), None)) == []


def test_the_report_of_another_version() -> None:
    """It is left out, and the page is made without it."""
    one: Any = entry(at(0))
    assert facts_of(History([], one)) is None
    facts = everything().facts()
    one.facts = msgspec.Raw(msgspec.json.encode(facts))
    assert facts_of(History([], one)) == facts
