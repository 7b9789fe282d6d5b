"""What the run report says: first lines, advice, figures; and that it is safe to open."""

from __future__ import annotations

import datetime as dt
import html.parser
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from unit_support import DAY, MD5, NOW, TIME, conversion, order

from target_liveintent.config.schema import settings_of
from target_liveintent.privacy.logs import hide_token
from target_liveintent.reporting import run_report
from target_liveintent.reporting.run_report import charts
from target_liveintent.reporting.run_report.advice import age_words, percent
from target_liveintent.reporting.run_report.facts import (
    DONE,
    FAILED,
    STOPPED,
    Ending,
    Facts,
    gather,
)
from target_liveintent.reporting.run_report.page import page
from target_liveintent.reporting.run_report.tally import Tally
from target_liveintent.run.counts import RunCounts
from target_liveintent.storage.delivered import read_back

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"
FULL = {
    "ip": "192.0.2.1",
    "user_agent": "Mozilla/5.0",
    "decision_id": UUID,
    "order_id": "7",
    "value": "12.50",
    "currency": "EUR",
    "event_time": TIME,
}
"""An event that lacks nothing."""


class Made:
    """A run that never was, in counts and tally."""

    def __init__(self, *, dry_run: bool = False, **settings: Any) -> None:
        account = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
        self.settings = settings_of({**account, "dry_run": dry_run, **settings})
        self.report = RunCounts(dry_run=dry_run)
        self.tally = Tally(dt.timezone.utc)

    def deliver(
        self, count: int = 1, stream: str = "orders", at: float = TIME + 60, **record: Any
    ) -> Made:
        events = read_back([conversion(order(**{**FULL, **record}))])
        counts = self.report.of(stream)
        counts.read += count
        counts.delivered += count
        self.tally.add(stream, events * count, [at] * count)
        self.tally.timeline.look(self.report)
        return self

    def reject(self, stream: str = "orders", **reasons: int) -> Made:
        counts = self.report.of(stream)
        for reason, count in reasons.items():
            kept = reason not in {"already_sent", "suppressed", "no_consent", "over_limit"}
            (counts.rejected if kept else counts.dropped)[reason] += count
            counts.read += count
        self.tally.timeline.look(self.report)
        return self

    def facts(self, ending: Ending = Ending(DONE)) -> Facts:  # noqa: B008 (frozen)
        return gather(self.report, self.tally, self.settings, ending, "target-liveintent 0")

    def page(self, ending: Ending = Ending(DONE)) -> str:  # noqa: B008
        return page(self.facts(ending))


# The first lines


def test_a_good_run() -> None:
    """A run without a fault has no advice and nothing that did not go."""
    facts = Made().deliver(1_234).facts()
    has, missing, late = facts.conclusions
    assert has == "LiveIntent has 1,234 conversions of this run."
    assert missing == "Nothing that your maps select was held back."
    assert late == (
        "100 % were sent within an hour of happening, 100 % within a day; the oldest was 1 minute"
        " old."
    )
    assert facts.advice == []
    assert "badge done" in Made().deliver().page()


def test_what_did_not_go() -> None:
    """Reasons stand by their counts, with what to do about the first."""
    made = Made().deliver(5).reject(no_identity=3, event_too_old=2, already_sent=4, unconfirmed=1)
    has, missing, late, *_ = made.facts().conclusions
    assert has == (
        "LiveIntent has 5 conversions of this run. It has 4 more from earlier runs. It may have 1"
        " more, which it did not confirm."
    )
    assert missing.startswith(
        "6 records did not go: 3 `no_identity`, 2 `event_too_old`, 1 `unconfirmed`."
        " `no_identity`: Neither an e-mail address"
    )
    assert late.endswith("2 more come too late to be sent at all.")


def test_without_a_fate() -> None:
    """What a run that failed has left open is told, and counted as not gone."""
    made = Made().deliver(5)
    made.report.of("orders").read += 7
    facts = made.facts(Ending(FAILED, "the API denied access"))
    assert facts.conclusions[1] == (
        "7 records did not go: 7 without a fate, which the next run sends."
    )
    text = made.page(Ending(FAILED, "the API denied access"))
    assert "badge failed" in text
    assert "the API denied access" in text
    assert "without a fate" in text


def test_how_late_they_were() -> None:
    made = Made().deliver(1).deliver(2, at=TIME + 7_200).deliver(1, at=TIME + 3 * DAY)
    assert made.facts().conclusions[2] == (
        "25 % were sent within an hour of happening, 75 % within a day; the oldest was 3 days old."
    )
    (freshness,) = made.facts().freshness
    assert (freshness.events, freshness.within_an_hour, freshness.within_a_day) == (4, 1, 3)
    assert (freshness.oldest_seconds, freshness.window_days) == (3 * DAY, 7)
    assert sum(step.events for step in freshness.steps) == 4


def test_a_dry_run() -> None:
    """Nothing was sent, and the page does not say so."""
    made = Made(dry_run=True).deliver(3).reject(no_identity=1)
    facts = made.facts()
    assert facts.conclusions[0] == (
        "A dry run: 3 conversions would be sent. LiveIntent has none of them."
    )
    assert "1 record would not go" in facts.conclusions[1]
    assert "would be sent within an hour" in facts.conclusions[2]
    assert "dry run" in made.page()
    assert ">LiveIntent has<" not in made.page()


def test_a_canary() -> None:
    assert "canary: limit 10" in Made(limit=10).deliver(10).page()


def test_stopped() -> None:
    text = Made().deliver().page(Ending(STOPPED, "stopped by SIGTERM"))
    assert "badge stopped" in text
    assert "stopped by SIGTERM" in text


# Advice

LACKS: dict[str, tuple[dict[str, Any], str]] = {
    "email": ({"email": None, "md5": MD5}, "`email`"),
    "ip": ({"ip": None}, "`ip`"),
    "user agent": ({"user_agent": None}, "`user_agent`"),
    "device": ({"source": "app"}, "`idfa`"),
    "decision": ({"decision_id": None}, "`decision_id`"),
    "order": ({"order_id": None}, "`order_id`"),
    "value": ({"value": None}, "`value`"),
    "currency": ({"currency": None}, "`currency`"),
    "late": ({"event_time": TIME - 2 * 3_600}, "run more often"),
}


@pytest.mark.parametrize("lack", LACKS)
def test_advice(lack: str) -> None:
    """What a part of the events lacks is told with its share, and nothing else is."""
    record, words = LACKS[lack]
    made = Made().deliver(2).deliver(3, **record)
    (line,) = made.facts().advice
    assert line.startswith("100 % of app" if lack == "device" else "60 % of ")
    assert words in line
    assert made.facts().conclusions[-1] == f"To match more: {line}"
    assert "To match more" in made.page()


def test_little_is_not_told() -> None:
    """Some buyers always lack something: from a twentieth on, it is told."""
    assert Made().deliver(95).deliver(5, ip=None).facts().advice == []
    assert len(Made().deliver(94).deliver(6, ip=None).facts().advice) == 1


def test_offline_events_have_no_browser() -> None:
    bare = {"source": "offline", "ip": None, "user_agent": None, "decision_id": None}
    assert Made().deliver(5, **bare).facts().advice == []


def test_the_stream_at_fault() -> None:
    """Of several streams, the one to look at is named."""
    made = Made().deliver(5).deliver(3, "a", ip=None).deliver(1, "b", ip=None)
    assert made.facts().advice[0].endswith("(75 % of them are of stream a.)")
    made = Made().deliver(5).deliver(3, "a", ip=None)
    assert made.facts().advice[0].endswith("(All of them are of stream a.)")


def test_columns_that_cannot_be_used() -> None:
    """They are told; what is only empty is not."""
    made = Made().deliver(50)
    made.report.of("orders").left_out.update(
        {"ip": 3, "value empty": 9, "conflict": 1, "identity": 2}
    )
    assert [line.split(":")[0] for line in made.facts().advice] == [
        "In 3 records, `ip` could not be used and was left out",
        "2 records held an e-mail address or a hash that is none",
        "1 record held a hash that is not the address's",
    ]


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 10_000, "less than 1 %"),
        (9_999, 10_000, "more than 99 %"),
        (1, 3, "33 %"),
    ],
)
def test_percent(part: int, whole: int, words: str) -> None:
    assert percent(part, whole) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "less than a second"), (1, "1 second"), (119, "1 minute"), (7_200, "2 hours"),
     (DAY, "1 day"), (20 * DAY, "20 days")],
)  # fmt: skip
def test_age_words(seconds: float, words: str) -> None:
    assert age_words(seconds) == words


# The page


class Reader(html.parser.HTMLParser):
    """Checks that what is opened is closed, and collects what there is."""

    VOID = frozenset({"meta", "br", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def everything() -> Made:
    """A run with something for every part of the page."""
    made = Made().deliver(40).deliver(3, "visits", source="offline", at=TIME + 20 * DAY)
    made.deliver(2, value="1e15", currency="JPY").deliver(1, currency=None).reject(no_identity=2)
    made.report.of("orders").filtered += 1
    made.report.of("orders").read += 1
    made.tally.timeline._book(2.0, made.tally.timeline._before)
    made.tally.add_latencies([0.01, 0.2, 3])
    made.report.requests, made.report.retries = 3, 1
    return made


SECTIONS = [
    "What became of the records",
    "What did not go, and why",
    "What the events hold",
    "How late they were",
    "What they are worth",
    "Requests",
]


def test_sections() -> None:
    """Each has a chart, named for those who cannot see it, and a table."""
    text = everything().page()
    reader = read(text)
    parts = re.findall(r"<section>(.*?)</section>", text, re.DOTALL)
    titles = [re.search("<h2>(.*?)</h2>", part)[1] for part in parts]  # type: ignore[index]
    assert titles == SECTIONS
    for part in parts:
        assert "<svg" in part
        assert "<table" in part
    labels = [attributes.get("aria-label") for tag, attributes in reader.tags if tag == "figure"]
    assert len(labels) >= len(SECTIONS)
    assert all(labels)


def test_the_figures_are_on_the_page() -> None:
    text = read(everything().page()).text
    for words in ("46", "no_identity", "537.50", "JPY", "2.000e+15", "20 days", "3 s"):
        assert words in text


@pytest.mark.parametrize(
    ("age", "source", "colour"),
    [
        (60, "web", "good"),
        (3_600, "web", "good"),
        (3_601, "web", "hold"),
        (7 * DAY, "offline", "hold"),
        (8 * DAY, "offline", "bad"),
    ],
)
def test_colours_of_ages(age: int, source: str, colour: str) -> None:
    """A bar's colour says which window it is in."""
    text = Made().deliver(source=source, at=TIME + age).page()
    chart = text.partition("<h2>How late they were</h2>")[2].partition("</svg>")[0]
    assert re.findall('class="bars ([a-z]+)"', chart) == [colour]


def test_nothing_is_fetched_or_run() -> None:
    """The page needs no network and has no script; its own policy would stop both."""
    text = everything().page()
    reader = read(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "a"} & {
        tag for tag, _ in reader.tags
    }
    for _, attributes in reader.tags:
        assert not {"src", "href", "srcset", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"'\s<)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text


def test_light_dark_phone_and_paper() -> None:
    """The style sheet knows each, and no chart brings a colour of its own."""
    text = everything().page()
    for words in ("prefers-color-scheme: dark", "max-width: 30rem", "@media print", "viewport"):
        assert words in text
    for chart in re.findall("<svg.*?</svg>", text, re.DOTALL):
        assert not re.search("#[0-9a-f]{3}|rgb|style|black|white", chart)


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>`</code>`&amp;{}%s"


def test_hostile_names() -> None:
    """Names of streams and the text of an error are text."""
    made = everything().deliver(50, HOSTILE, ip=None).reject(HOSTILE, no_identity=1)
    text = made.page(Ending(FAILED, HOSTILE))
    reader = read(text)
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert reader.text.count("<script>alert(1)</script>") >= 4


def test_many_streams_and_currencies() -> None:
    """A page stays small, and says that it leaves out some."""
    made = everything()
    for n in range(200):
        currency = f"{chr(65 + n % 26)}{chr(65 + n // 26)}Z"
        made.deliver(1, f"stream_{n}_{'x' * 200}", currency=currency)
    text = made.page()
    read(text)
    assert len(text) < 150_000
    assert "more are in the JSON" in text
    assert len(made.facts().streams) == 202


def test_a_run_of_nothing() -> None:
    """A run that failed before its first record has a page as well."""
    text = Made().page(Ending(FAILED, "stream 'orders' can never give an event"))
    assert "LiveIntent has 0 conversions" in read(text).text
    assert "can never give an event" in text


def test_all_rejected() -> None:
    text = read(Made().reject(no_identity=500).page()).text
    assert "500 records did not go: 500 no_identity. no_identity: Neither an e-mail address" in text


def test_negative_amounts() -> None:
    """Refunds can make a day's value negative; it is drawn below the line."""
    text = Made().deliver(3, value=-20, currency="EUR").page()
    assert "-60.00" in read(text).text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, [0, 1]),
        (0, 1, [0, 1]),
        (0, 4, [0, 1, 2, 3, 4]),
        (0, 100, [0, 50, 100]),
        (0, 0.4, [0, 0.1, 0.2, 0.3, 0.4]),
        (-60, 0, [-60, -40, -20, 0]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_imports_are_left_alone() -> None:
    """The hook of pygal into all imports is gone: Python 3.11 warns of it at each that fails."""
    assert not [one for one in sys.meta_path if not hasattr(one, "find_spec")]


# The JSON


def names_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from names_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_of(inner)


def test_the_files(tmp_path: Path) -> None:
    """The JSON is what the page was made of, whole and exact."""
    facts = everything().facts()
    run_report.write(facts, str(tmp_path / "a.html"))
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
    """Whatever an error says, neither an address nor the token gets into the files."""
    hide_token("s3cret-token")
    made = Made().deliver(3, "of jane@example.com").deliver(3)
    ending = Ending(FAILED, "s3cret-token is refused, says joe@example.com")
    run_report.write(made.facts(ending), str(tmp_path / "a.html"))
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert not re.search("s3cret|jane|joe@", text)
        assert "is refused, says" in text


DOCS = Path(__file__).parents[4] / "docs" / "run-report.md"


@pytest.mark.skipif(not DOCS.exists(), reason="not a checkout")
def test_every_field_is_documented(tmp_path: Path) -> None:
    """And the documentation names none that is not there."""
    run_report.write(everything().facts(), str(tmp_path / "a.html"))
    names = set(names_of(json.loads((tmp_path / "a.json").read_text())))
    table = DOCS.read_text(encoding="utf-8").split("### The JSON")[1].split("## ")[0]
    told = set(re.findall(r"`([a-z0-9_]+)`", table))
    assert names <= told
    assert told - names == {"done", "failed", "stopped", "timezone", "others"} - names


def test_now_is_in_the_window() -> None:
    """The clock of these tests fits their events."""
    assert TIME < NOW < TIME + 7 * DAY
