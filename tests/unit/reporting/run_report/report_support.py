"""Made-up runs, from whose counts and tally the tests gather facts; and how pages are read."""

from __future__ import annotations

import datetime as dt
import html.parser
import io
import logging
import re
from typing import IO, Any

from fakes import FakeClock
from unit_support import DAY, NOW, TIME, conversion, order

from target_liveintent.config import settings_of
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.reporting.run_report.facts import gather
from target_liveintent.reporting.run_report.model import DONE, Ending, Facts
from target_liveintent.reporting.run_report.page import page
from target_liveintent.reporting.run_report.tally import Tally
from target_liveintent.run.counts import RunCounts

ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
FULL = {
    "ip": "192.0.2.1",
    "user_agent": "Mozilla/5.0",
    "decision_id": "6d92078a-8246-4ba4-ae5b-76104861e7dc",
    "order_id": "7",
    "value": "12.50",
    "currency": "EUR",
    "event_time": TIME,
}
"""The columns of an event that lacks nothing."""

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>`</code>`&amp;{}%s"
"""A name that must be text on every page."""


class MadeUpRun:
    """The counts and the tally of a run, without a run."""

    def __init__(self, *, dry_run: bool = False, **settings: Any) -> None:
        self.settings = settings_of({**ACCOUNT, "dry_run": dry_run, **settings})
        self.clock = FakeClock()
        self.counts = RunCounts(dry_run=dry_run, clock=self.clock)
        self.tally = Tally(dt.timezone.utc, self.clock)

    def deliver(
        self, count: int = 1, stream: str = "orders", at: float = TIME + 60, **record: Any
    ) -> MadeUpRun:
        made = conversion(order(**{**FULL, **record}), now=at)
        counts = self.counts.of(stream)
        counts.read += count
        counts.delivered += count
        counts.amounts.add([made] * count)
        self.tally.delivered(stream, [made.event] * count, [at] * count)
        self.tally.timeline.update(self.counts)
        return self

    def reject(self, stream: str = "orders", **reasons: int) -> MadeUpRun:
        counts = self.counts.of(stream)
        for reason, count in reasons.items():
            kept = REASONS[reason].letter
            (counts.rejected if kept else counts.dropped)[reason] += count
            counts.read += count
        self.tally.timeline.update(self.counts)
        return self

    def facts(self, ending: Ending = Ending(DONE)) -> Facts:  # noqa: B008 (frozen)
        return gather(
            self.counts,
            self.tally,
            self.settings,
            ending,
            target="target-liveintent 0",
            run_id="run-1",
            now=NOW,
        )

    def page(self, ending: Ending = Ending(DONE)) -> str:  # noqa: B008
        return page(self.facts(ending))


def everything() -> MadeUpRun:
    """Return a run with something for every part of the page."""
    run = MadeUpRun().deliver(40).deliver(3, "visits", source="offline", at=TIME + 20 * DAY)
    run.deliver(2, value="1e15", currency="JPY").deliver(1, currency=None).reject(no_identity=2)
    run.counts.of("orders").filtered += 1
    run.counts.of("orders").read += 1
    run.clock.now += 2.0
    run.tally.timeline.update(run.counts)
    run.tally.delivered("orders", [], [], [0.01, 0.2, 3])
    run.counts.requests, run.counts.retries = 3, 1
    return run


def reporter(
    clock: FakeClock | None = None,
    stream: IO[str] | None = None,
    run_id: str = "run-1",
    **settings: Any,
) -> RunReporter:
    """Return the reporter of a run with these settings."""
    return RunReporter(
        settings_of({**ACCOUNT, **settings}),
        "target-liveintent 0",
        logging.getLogger("test"),
        stream or io.StringIO(),
        clock=clock or FakeClock(),
        run_id=run_id,
    )


class PageReader(html.parser.HTMLParser):
    """Checks that what is opened is closed, and collects tags and text."""

    VOID = frozenset({"meta", "br", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

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


def check_page(text: str) -> PageReader:
    """See that a page is whole, needs no network and runs nothing; its own policy stops both."""
    reader = PageReader(text)
    tags = {tag for tag, _ in reader.tags}
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "a"} & tags
    for _, attributes in reader.tags:
        assert not {"src", "href", "srcset", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"'\s<)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    for words in ("prefers-color-scheme: dark", "max-width: 30rem", "@media print", "viewport"):
        assert words in text
    for chart in re.findall("<svg.*?</svg>", text, re.DOTALL):
        assert not re.search("#[0-9a-f]{3}|rgb|style|black|white", chart)  # The style sheet's.
    return reader


_LINES = r"<(?:caption|div|footer|h1|h2|header|li|ol|p|section|t(?:able|body|head|r)|ul)\b"


def chart_words(svg: str) -> str:
    """Return a chart in words: its axes, and the tool-tips of each colour.

    Where the parts of a chart stand depends on the version of pygal.
    """
    words = ["axes: " + " | ".join(re.findall("<text[^>]*>([^<]*)<", svg))]
    for part in svg.split('class="bars ')[1:]:
        colour, tips = part.partition('"')[0], re.findall("<title>(.*?)</title>", part)
        words.append(f"{colour}: {' | '.join(tips)}")
    for kind in ("gap", "usual", "mark"):
        words += [kind] * svg.count(f'class="{kind}"')
    return "<svg>\n  " + "\n  ".join(words) + "\n</svg>"


def readable(page: str) -> str:
    """Return a page with a line for each of its parts, without its style sheet."""
    page = re.sub("<style>.*?</style>\n", "", page, flags=re.DOTALL)
    page = re.sub(_LINES, r"\n\g<0>", page)
    page = re.sub("<svg.*?</svg>", lambda found: chart_words(found[0]), page, flags=re.DOTALL)
    return re.sub("\n+", "\n", page)
