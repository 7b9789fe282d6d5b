"""The page of a run report: what it says in each situation, and its charts and tables.

The top of the page is in a golden file for each situation; some whole pages are, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_support import HOSTILE, MadeUpRun, PageReader, check_page, everything, readable
from unit_support import DAY, TIME

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.run_report.model import DONE, FAILED, STOPPED, Ending

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

SIGTERM = Ending(STOPPED, "stopped by SIGTERM")


def unsettled(run: MadeUpRun, records: int) -> MadeUpRun:
    """Let records have no outcome, as a run that fails leaves them."""
    run.counts.of("orders").read += records
    return run


def replay() -> MadeUpRun:
    """Return a replay of dead letters that sent some, could not send others, and kept some."""
    run = MadeUpRun().reject(DEAD_LETTERS, expired=3, missing_event_time=1)
    run.deliver(2, DEAD_LETTERS, at=TIME + 3 * DAY, ip=None, currency=None)
    counts = run.counts.of(DEAD_LETTERS)
    counts.not_replayed["other_account"] += 1
    counts.read += 1
    return run


def refunds() -> MadeUpRun:
    """Return a run with more refunds than sales, in three currencies and in none."""
    run = MadeUpRun().deliver(3, value=-20).deliver(2, value=5, currency="JPY")
    return run.deliver(2, value=-20_000, currency="USD").deliver(1, currency=None)


DID = Ending(DONE)
SITUATIONS: dict[str, tuple[MadeUpRun, Ending]] = {
    "all went well": (MadeUpRun().deliver(1_234), DID),
    "nothing came": (MadeUpRun(), Ending(FAILED, "stream 'orders' cannot produce any event")),
    "all was rejected": (MadeUpRun().reject(no_identity=500), DID),
    "some did not go": (
        MadeUpRun()
        .deliver(5)
        .reject(no_identity=4, event_too_old=3, already_sent=4, unconfirmed=2, api_error=1),
        DID,
    ),
    "only dropped": (MadeUpRun().deliver(2, currency="JPY").reject(suppressed=2), DID),
    "some were late": (
        MadeUpRun().deliver(1).deliver(2, at=TIME + 7_200).deliver(1, at=TIME + 3 * DAY),
        DID,
    ),
    "refunds": (refunds(), DID),
    "large values": (MadeUpRun().deliver(2, value="10000.01", currency="EUR"), DID),
    "stopped": (MadeUpRun().deliver(2), SIGTERM),
    "failed": (
        unsettled(everything().reject(suppressed=1), 7),
        Ending(FAILED, "one\ntwo"),
    ),
    "one without an outcome": (
        unsettled(MadeUpRun().deliver(), 1),
        Ending(FAILED, "no luck"),
    ),
    "dry_run": (
        MadeUpRun(dry_run=True, limit=1_000).deliver(3).reject(no_identity=1),
        DID,
    ),
    "canary": (MadeUpRun(limit=10).deliver(10), DID),
    "replay": (replay(), SIGTERM),
    "replay that failed": (replay(), Ending(FAILED, "by a signal")),
    "replay that kept nothing": (MadeUpRun().deliver(2, DEAD_LETTERS), DID),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said(name: str, snapshot: SnapshotAssertion) -> None:
    run, ending = SITUATIONS[name]
    text = run.page(ending)
    check_page(text)
    top = readable(text).partition("<body>\n")[2]
    assert top.partition("<h2>What happened to the records")[0] == snapshot


@pytest.mark.parametrize("name", ["dry_run", "failed", "replay", "refunds"])
def test_whole_pages(name: str, snapshot: SnapshotAssertion) -> None:
    run, ending = SITUATIONS[name]
    assert readable(run.page(ending)) == snapshot


def section(text: str, title: str) -> str:
    """Return the HTML of one section of a page."""
    return text.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]


def delivered(*events: dict[str, Any]) -> MadeUpRun:
    run = MadeUpRun()
    for event in events:
        run.deliver(**event)
    return run


def on_days(count: int) -> MadeUpRun:
    """Return a run with an event on each of so many days, whose value is the number of the day."""
    days = [(n, TIME + n * DAY) for n in range(count)]
    return delivered(*[{"event_time": at, "at": at + 60, "value": n + 1} for n, at in days])


def of_streams(count: int) -> MadeUpRun:
    return delivered(*[{"stream": f"stream {n}"} for n in range(count)])


def taking(*seconds: float) -> MadeUpRun:
    """Return a run whose requests took so long."""
    run = MadeUpRun()
    run.counts.requests = 3
    run.tally.delivered("orders", [], [], seconds)
    return run


AGES = (60, 3_600, 3_601, 7 * DAY, 8 * DAY)
LATE = delivered(*[{"source": "offline", "at": TIME + age} for age in AGES])
PARTS: dict[str, tuple[MadeUpRun, str]] = {
    "the limits of ages": (LATE, "How late the events were sent"),
    **{f"days: {n}": (on_days(n), "The value of the events") for n in (1, 10, 40)},
    "fast requests": (taking(0.01, 0.012, 0.02), "Requests"),
    "a slow request": (taking(101), "Requests"),
    "no answers": (taking(), "Requests"),
    **{f"streams: {n}": (of_streams(n), "Which fields the events have") for n in (6, 8)},
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_pages(name: str, snapshot: SnapshotAssertion) -> None:
    run, title = PARTS[name]
    assert section(readable(run.page()), title) == snapshot


COUNTS = st.integers(0, 2_000)
STREAMS = st.dictionaries(
    st.sampled_from("abc"),
    st.tuples(
        st.integers(0, 3), *[COUNTS] * 2, st.dictionaries(st.sampled_from([*REASONS]), COUNTS)
    ),
    min_size=1,
)


@settings(max_examples=30)
@given(STREAMS)
def test_totals_add_up(streams: dict[str, tuple[int, int, int, dict[str, int]]]) -> None:
    """Each record has one outcome in its row, and the last row has the sums of the others."""
    run = MadeUpRun()
    for name, (delivered, filtered, left, reasons) in streams.items():
        run.deliver(delivered, name).reject(name, **reasons)
        counts = run.counts.of(name)
        counts.filtered += filtered
        counts.read += filtered + left
    text = run.page()
    cells = [
        [int(cell.replace(",", "")) for cell in re.findall("<td[^>]*>([^<]*)</td>", row)]
        for row in section(text, "What happened to the records").split("<tr")[2:]
    ]
    assert [row[0] for row in cells] == [sum(row[1:]) for row in cells]
    assert [sum(column) for column in zip(*cells[:-1], strict=True)] == cells[-1]
    assert [row[1] for row in cells[:-1]] == [one[0] for one in streams.values()]
    reasons = section(text, "What was not sent, and why")
    counted = re.findall("</code></th><td>([0-9,]+)</td>", reasons)
    assert sum(int(one.replace(",", "")) for one in counted) == cells[-1][2] + cells[-1][3]


def test_hostile_names() -> None:
    """Names of streams and the text of an error are text."""
    run = everything().deliver(50, HOSTILE, ip=None).reject(HOSTILE, no_identity=1)
    reader = PageReader(run.page(Ending(FAILED, HOSTILE)))
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert reader.text.count("<script>alert(1)</script>") >= 4


def test_many_streams_and_currencies() -> None:
    """A page stays small, and says that it leaves out some."""
    run = everything()
    for n in range(60):
        currency = f"{chr(65 + n % 26)}{chr(65 + n // 26)}Z"
        run.deliver(1, f"stream_{n}_{'x' * 700}", currency=currency)
    text = run.page()
    PageReader(text)
    assert len(text) < 150_000
    assert "the JSON contains" in text
    assert len(run.facts().streams) == 62
