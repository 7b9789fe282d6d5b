"""What people read in each situation: the line of `health`, `report`, and the page.

The top of the page is in a golden file for each situation; some whole pages are, too.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from overview_support import at, daily, entry, figures, overview
from report_support import check_page, everything, readable

from target_liveintent.reporting.history.model import StreamFigures, Unusual, ValueSum
from target_liveintent.reporting.history.rules import RULES
from target_liveintent.reporting.overview.page import page
from target_liveintent.reporting.overview.text import as_lines, health_line

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from target_liveintent.reporting.history.model import RunEntry

DENIED = {"ending": "failed", "message": "the API denied access (401): renew the token"}
NOTHING = {"streams": {"orders": figures(0)}}
STOPPED = {"ending": "stopped", "message": "stopped by SIGTERM"}
CHANGED = {
    "version": "target-liveintent 2",
    "settings": "new",
    "names": {"timezone": "America/New_York", "presets": "ba9876543210"},
}
"""What a run has after a change of the version and of a setting."""


class Situation(NamedTuple):
    """Runs, how old the last one may be, and what is not well then."""

    entries: list[RunEntry]
    causes: str = ""
    max_age: dt.timedelta | None = None


def after(days: int, *last: RunEntry, **usual: Any) -> list[RunEntry]:
    """Return runs of so many days before today, and then the last runs."""
    return [*daily(days, 1, **usual), *last]


def today(hour: int = 12, streams: dict[str, StreamFigures] | None = None, **changes: Any) -> Any:
    """Return a run of today."""
    return entry(at(0, hour), streams=streams or {"orders": figures()}, **changes)


def not_sent(**reasons: int) -> dict[str, StreamFigures]:
    """Return a hundred conversions, and records that were not sent."""
    return {"orders": figures(not_sent=reasons)}


def unusual(*found: tuple[str, str], words: str = "as the log says; see whether it is so") -> Any:
    """Return a run of today that found something unusual."""
    return today(unusual=[Unusual(rule, "orders", of, at(0, 11), words) for rule, of in found])


def fewer_hashes(now: int, **changes: Any) -> list[RunEntry]:
    """Return runs with fewer hashes since 16 days; the last one has a share of its own."""
    fewer = daily(16, 1, streams={"orders": figures(hashes=60)}, **changes)
    last = entry(at(0), streams={"orders": figures(hashes=now)}, **changes)
    return [*daily(80, 17), *fewer, last]


def everything_is_wrong() -> list[RunEntry]:
    """Return runs of which the last ones failed, after days of which all figures were bad."""
    reasons = {"no_identity": 500, "invalid_source": 90, "event_too_old": 9, "missing_key": 3}
    streams = {
        "orders": figures(20, hashes=2, late=20, not_sent=reasons),
        "visits": figures(3, not_sent={"reason_of_tomorrow": 1}),
    }
    found = [
        Unusual(rule, "orders", of, at(0, 9), f"words of {rule}; see whether it is so")
        for rule, of in zip(RULES, ("", "EUR", "ip", "no_identity", ""), strict=True)
    ]
    bad = [one for one in daily(10, 1, streams=streams, **CHANGED) if one.day != at(4).date()]
    by_hand = entry(at(4), "replay", streams={"orders": figures(70)}, **CHANGED)
    failed = [today(hour, streams, **DENIED, **CHANGED, unusual=found) for hour in (9, 10)]
    usual = daily(30, 11, streams={"orders": figures(), "visits": figures(7)})
    return [*usual, *bad, by_hand, *failed]


def several_currencies() -> list[RunEntry]:
    """Return runs with values in several currencies; there are more refunds than sales in one."""
    values = {
        "EUR": ValueSum(70, Decimal("3500.50")),
        "USD": ValueSum(15, Decimal("-1200.25")),
        "JPY": ValueSum(10, Decimal(2_000_000)),
        "": ValueSum(4, Decimal(40)),
        "CHF": ValueSum(1, Decimal(9)),
    }
    return daily(20, streams={"orders": figures(values=values)})


CHEAP = figures(late=90, values={"EUR": ValueSum(100, Decimal(2_500))})
VISITS = {"streams": {"visits": figures(0)}}
HOUR = dt.timedelta(hours=1)
PEAKS = {30: 90, 20: 50, 12: 11, 8: 70, 3: 60}
"""Days on which many were not sent: the three with the most are named."""
SITUATIONS: dict[str, Situation] = {
    "all is usual": Situation(daily(40)),
    "no history": Situation([], "no_run"),
    "first day": Situation(daily(0)),
    "only a replay": Situation([entry(at(0), "replay")], "no_run"),
    "too little history": Situation(daily(5)),
    "13 days": Situation(daily(13)),
    "14 days": Situation(daily(14)),
    "nothing was sent": Situation(after(40, today(**NOTHING))),
    "nothing is ever sent": Situation(daily(40, **NOTHING)),
    "fewer": Situation(after(40, today(streams={"orders": figures(60)}))),
    "more": Situation(after(40, today(streams={"orders": figures(140)}))),
    "yesterday was low": Situation([*after(40)[:-1], entry(at(1), **NOTHING), today()]),
    "outside of the usual range": Situation(after(40, today(streams={"orders": CHEAP}))),
    "no run for days": Situation(daily(40, 3)),
    "no run for too long": Situation(daily(40, 2), "no_run", 3 * HOUR),
    "stopped": Situation(after(40, today(13, **STOPPED))),
    "failed": Situation(
        after(40, today(9, **DENIED, **NOTHING), today(10, **DENIED, **NOTHING)), "failed"
    ),
    "failed after a part": Situation(
        [*daily(40, 2), entry(at(1), **DENIED, streams={"orders": figures(7)}), today(**DENIED)],
        "failed",
    ),
    "failed once, long ago": Situation([*daily(40, 9), entry(at(8), **DENIED)], "failed"),
    "another loader failed": Situation(
        after(40, today(9, **DENIED, **VISITS), today(10, **DENIED, **VISITS), today(11)), "failed"
    ),
    "stopped after a failure": Situation(after(40, today(9, **DENIED), today(**STOPPED)), "failed"),
    "each rule": Situation(
        after(40, unusual(*zip(RULES, ("", "EUR", "ip", "no_identity", ""), strict=True))),
        "unusual unusual unusual unusual unusual",
    ),
    "both hashes": Situation(
        after(40, unusual(("coverage", "md5"), ("coverage", "sha2"))), "unusual unusual"
    ),
    "a rule of another version": Situation(
        after(40, unusual(("x", ""), words="something {new}")), "unusual"
    ),
    "a value without a currency": Situation(after(40, unusual(("average_value", ""))), "unusual"),
    "many not sent": Situation(
        after(40, today(9), today(10, not_sent(no_identity=5, invalid_source=9, suppressed=90))),
        "dead_letters",
    ),
    "many not sent since days": Situation(
        [
            *daily(80, 10, streams=not_sent(no_identity=1)),
            *daily(9, streams=not_sent(no_identity=60)),
        ],
        "dead_letters",
    ),
    "many not sent, of a number that varies": Situation(
        [
            *(
                entry(at(n), streams=not_sent(no_identity=30 + 7 * (n % 5)))
                for n in range(40, 0, -1)
            ),
            today(streams=not_sent(no_identity=203)),
        ],
        "dead_letters",
    ),
    "only what is too old was not sent": Situation(daily(20, streams=not_sent(event_too_old=4))),
    "days with many that were not sent": Situation(
        [
            entry(at(n), streams=not_sent(no_identity=9, invalid_source=PEAKS.get(n, 0)))
            for n in range(60, -1, -1)
        ]
    ),
    "lower since weeks": Situation(fewer_hashes(60)),
    "lower since weeks, and a change": Situation(fewer_hashes(60, **CHANGED)),
    "lower since weeks, and a change of the day before": Situation(
        [*daily(80, 18), entry(at(17), **CHANGED), *fewer_hashes(60, **CHANGED)[-17:]]
    ),
    "lower since weeks, and a change before": Situation(
        [*daily(80, 19), *daily(18, 17, **CHANGED), *fewer_hashes(60, **CHANGED)[-17:]]
    ),
    "good again": Situation(fewer_hashes(98)),
    "lower, and many not sent": Situation(
        [*fewer_hashes(60)[:-1], today(streams={"orders": figures(hashes=60, not_sent={"x": 40})})],
        "dead_letters",
    ),
    "several currencies": Situation(several_currencies()),
    "everything is wrong": Situation(
        everything_is_wrong(),
        "failed no_run unusual unusual unusual unusual unusual dead_letters",
        HOUR,
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said(name: str, snapshot: SnapshotAssertion) -> None:
    """The text has at most twelve lines, of which each is one line."""
    entries, causes, max_age = SITUATIONS[name]
    found = overview(entries, max_age=max_age)
    assert [one.cause for one in found.causes] == causes.split()
    lines = as_lines(found)
    assert 3 <= len(lines) <= 12
    assert not [line for line in lines if "\n" in line or not line.strip()]
    text = readable(page(found, None))
    top = text.partition("<body>\n")[2].partition("<section")[0]
    not_sent = re.findall("(?<=What could not be sent, by reason</h2>\n)<p>.*", text)
    said = ["health", health_line(found), "report", *lines, "the page", top, *not_sent]
    assert "\n".join(said) == snapshot


def test_how_many_causes_are_named() -> None:
    """Three, and how many more there are; a pixel only if the setting names one."""
    entries, _, max_age = SITUATIONS["everything is wrong"]
    found = overview(entries, max_age=max_age)
    three = msgspec.structs.replace(found, causes=found.causes[:3], pixel_id=None)
    four = msgspec.structs.replace(found, causes=found.causes[:4])
    assert " more" not in health_line(three)
    assert health_line(four).endswith("; and 1 more")
    assert "pixel" not in as_lines(three)[0]


FOUR = {"no_identity": 5, "invalid_source": 4, "event_too_old": 3, "missing_key": 2}
CHARTS = {
    "two changes": [*daily(91, 90), *daily(89, 9, **CHANGED), *daily(8)],
    "days without a run": [*daily(40, 12), *daily(8)],
    "a dry run between": [*daily(40, 12), entry(at(10), "dry_run"), *daily(8)],
    "a replay between": [*daily(40, 12), entry(at(10), "replay"), *daily(8)],
    "four reasons": daily(20, streams=not_sent(**FOUR)),
}


@pytest.mark.parametrize("name", CHARTS)
def test_what_is_said_of_charts(name: str, snapshot: SnapshotAssertion) -> None:
    """Each reason has a colour; of more than four, the rarest share one, as a whole page shows."""
    text = page(overview(CHARTS[name]), None)
    captions = re.findall("<figcaption>.*?</figcaption>|Where the background[^<]*", text)
    assert "\n".join(captions) == snapshot


PAGES = (
    "no history",
    "first day",
    "too little history",
    "several currencies",
    "everything is wrong",
)


@pytest.mark.parametrize("name", PAGES)
def test_whole_pages(name: str, snapshot: SnapshotAssertion) -> None:
    text = page(overview(SITUATIONS[name].entries), None)
    check_page(text)
    assert readable(text) == snapshot


def test_the_page_with_the_report_of_the_last_run(snapshot: SnapshotAssertion) -> None:
    """The report is last, and its advice is left out."""
    assert readable(page(overview(daily(1)), everything().facts())) == snapshot
