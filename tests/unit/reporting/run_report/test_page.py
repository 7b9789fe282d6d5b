"""The page of a run report: it is whole, safe to open, and shows the figures."""

from __future__ import annotations

import re
from typing import Any

import pytest
from report_support import MadeUpRun, PageReader, everything
from unit_support import DAY, TIME

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.reporting.run_report.model import FAILED, STOPPED, Ending


def section(text: str, title: str) -> str:
    """Return the HTML of one section of a page."""
    return text.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]


SECTIONS = [
    "What happened to the records",
    "What was not sent, and why",
    "Which fields the events have",
    "How late the events were sent",
    "The value of the events",
    "Requests",
]


def test_sections() -> None:
    """Each has a chart, named for those who cannot see it, and a table."""
    text = everything().page()
    reader = PageReader(text)
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
    text = PageReader(everything().page()).text
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
    text = MadeUpRun().deliver(source=source, at=TIME + age).page()
    chart = section(text, "How late the events were sent").partition("</svg>")[0]
    assert re.findall('class="bars ([a-z]+)"', chart) == [colour]


def test_nothing_is_fetched_or_run() -> None:
    """The page needs no network and has no script; its own policy would stop both."""
    text = everything().page()
    reader = PageReader(text)
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
    run = everything().deliver(50, HOSTILE, ip=None).reject(HOSTILE, no_identity=1)
    text = run.page(Ending(FAILED, HOSTILE))
    reader = PageReader(text)
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert reader.text.count("<script>alert(1)</script>") >= 4


def test_many_streams_and_currencies() -> None:
    """A page stays small, and says that it leaves out some."""
    run = everything()
    for n in range(200):
        currency = f"{chr(65 + n % 26)}{chr(65 + n // 26)}Z"
        run.deliver(1, f"stream_{n}_{'x' * 200}", currency=currency)
    text = run.page()
    PageReader(text)
    assert len(text) < 150_000
    assert "the JSON contains" in text
    assert len(run.facts().streams) == 202


def test_a_run_of_nothing() -> None:
    """A run that failed before its first record has a page as well."""
    text = MadeUpRun().page(Ending(FAILED, "stream 'orders' cannot produce any event"))
    assert "LiveIntent has 0 conversions" in PageReader(text).text
    assert "cannot produce any event" in text


def test_requests_without_latencies() -> None:
    """A run whose requests were counted but not timed has a page as well."""
    run = MadeUpRun().deliver()
    run.counts.requests = 3
    assert "Requests" in PageReader(run.page()).text


def test_all_rejected() -> None:
    text = PageReader(MadeUpRun().reject(no_identity=500).page()).text
    said = "500 records were not sent: 500 no_identity. no_identity: The record has no usable"
    assert said in text


def test_negative_amounts() -> None:
    """Refunds can make a day's value negative; it is drawn below the line."""
    text = MadeUpRun().deliver(3, value=-20, currency="EUR").page()
    assert "-60.00" in PageReader(text).text


def test_a_run_without_advice() -> None:
    """A page without advice has no heading for it."""
    assert "<h2>To match more</h2>" not in MadeUpRun().deliver().page()


def test_the_rows_of_streams() -> None:
    """Each stream has a row with its name, and the last row has the sums."""
    part = section(MadeUpRun().deliver(2, "a").deliver(3, "b").page(), SECTIONS[0])
    assert re.findall('<th scope="row">(.*?)</th><td data-head="read">(.*?)</td>', part) == [
        ("a", "2"),
        ("b", "3"),
        ("all", "5"),
    ]
    assert "without an outcome" not in part


def test_a_single_record_without_an_outcome() -> None:
    """One record that a failed run left unsettled is enough for the column to be there."""
    run = MadeUpRun().deliver()
    run.counts.of("orders").read += 1
    assert '<th scope="col">without an outcome</th>' in run.page(Ending(FAILED, "no luck"))


def test_the_legend_of_outcomes() -> None:
    """The legend has a name for each colour of the chart."""
    legend = re.findall(
        '<span class="key (.*?)">(.*?)</span>', section(everything().page(), SECTIONS[0])
    )
    assert legend == [
        ("good", "delivered"),
        ("bad", "dead letters"),
        ("rest", "left out by your maps"),
    ]


def test_the_tiles() -> None:
    """Each tile has its figure; without events there is no share to show."""
    for run, figures in (
        (
            MadeUpRun().deliver(3).deliver(1, at=TIME + DAY).reject(no_identity=2),
            ["4", "2", "100 %", "75 %", "50.00 EUR"],
        ),
        (MadeUpRun(), ["0", "0", "-", "-"]),
    ):
        tiles = run.page().partition('<div class="tiles">')[2].partition("<section")[0]
        assert re.findall("<b>(.*?)</b>", tiles) == figures


@pytest.mark.parametrize(
    ("run", "colours"),
    [
        (MadeUpRun().deliver(), ["good", ""]),
        (MadeUpRun().deliver().reject(no_identity=1), ["good", "bad"]),
        (MadeUpRun().reject(no_identity=1), ["", "bad"]),
    ],
)
def test_the_colours_of_tiles(run: MadeUpRun, colours: list[str]) -> None:
    """What LiveIntent has is good, and what was not sent is bad, unless there is none of it."""
    assert re.findall('<div class="tile (.*?)">', run.page())[:2] == colours


@pytest.mark.parametrize(
    ("currencies", "words"),
    [
        (["EUR"], "value of 2 conversions"),
        (["EUR", "JPY"], "value of 2 conversions (and 1 other currency)"),
        (["EUR", "JPY", "USD"], "value of 2 conversions (and 2 other currencies)"),
    ],
)
def test_the_tile_of_several_currencies(currencies: list[str], words: str) -> None:
    """The tile has the value in the most frequent currency, and counts the others."""
    run = MadeUpRun().deliver(currency="EUR")
    for currency in currencies:
        run.deliver(currency=currency)
    assert f"<span>{words}</span>" in run.page()


def test_the_tiles_of_a_dry_run() -> None:
    """The tiles of a dry run do not claim that LiveIntent has anything."""
    text = MadeUpRun(dry_run=True).deliver().page()
    tiles = text.partition('<div class="tiles">')[2].partition("<section")[0]
    assert re.findall("<span>(.*?)</span>", tiles)[:2] == ["would be sent", "would not be sent"]


@pytest.mark.parametrize(
    ("settings", "badges"),
    [
        ({}, ["done"]),
        ({"dry_run": True}, ["done", "dry run"]),
        ({"limit": 1_000}, ["done", "canary: limit 1,000"]),
    ],
)
def test_badges(settings: dict[str, Any], badges: list[str]) -> None:
    """The badges say how the run ended, and which runs were only tries."""
    text = MadeUpRun(**settings).deliver().page()
    assert re.findall('<span class="badge.*?">(.*?)</span>', text) == badges


def test_the_message_of_a_run_that_failed() -> None:
    """The page says why a run failed, line by line."""
    text = MadeUpRun().deliver().page(Ending(FAILED, "one\ntwo"))
    assert '<p class="message"><b>The run failed:</b> one<br>two<br>' in text


def test_the_message_of_a_run_that_was_stopped() -> None:
    """Only after a stop, the next run simply goes on."""
    goes_on = "The next run continues from the last STATE."
    text = MadeUpRun().deliver().page(Ending(STOPPED, "by a signal"))
    assert f"<b>The run stopped:</b> by a signal<br>{goes_on}" in text
    assert goes_on not in MadeUpRun().deliver().page(Ending(FAILED, "no luck"))


@pytest.mark.parametrize("kind", [STOPPED, FAILED])
def test_the_message_of_a_replay_that_was_not_done(kind: str) -> None:
    """No other run goes on with it."""
    text = MadeUpRun().deliver(stream=DEAD_LETTERS).page(Ending(kind, "by a signal"))
    assert "by a signal<br>Repeat the replay. If you piped a file into the target, keep" in text


def test_a_run_without_a_message() -> None:
    """A run that ended well has no message."""
    assert '<p class="message">' not in MadeUpRun().deliver().page()


def test_the_chart_of_shares() -> None:
    """A field that all events have fills the width, which is 100 per cent."""
    part = section(MadeUpRun().deliver().page(), "Which fields the events have")
    chart = part.partition("</svg>")[0]
    assert set(re.findall("<title>(.*?)</title>", chart)) == {"0 %", "100 %"}
    assert re.findall("<text [^>]*>([0-9]+ %)</text>", chart) == ["0 %", "50 %", "100 %"]
    assert re.findall('class="bars ([a-z]+)"', chart) == ["good"]


@pytest.mark.parametrize(("days", "shown"), [(1, 7), (10, 10), (40, 31)])
def test_the_days_of_a_chart_of_values(days: int, shown: int) -> None:
    """The chart ends at the last day, and shows 7 days at least and 31 at most."""
    run = MadeUpRun()
    for day in range(days):
        time = TIME + day * DAY
        run.deliver(event_time=time, at=time + 60, value=day + 1)
    part = section(run.page(), "The value of the events")
    values = [*[0] * (7 - days), *range(1, days + 1)][-shown:]
    assert re.findall("<title>(.*?)</title>", part) == [str(value) for value in values]


def test_the_chart_of_latencies() -> None:
    """It begins and ends one empty step beside the fastest and the slowest request.

    Every other bar has a label, as long as all of them have no room.
    """
    run = MadeUpRun()
    run.counts.requests = 3
    run.tally.delivered("orders", [], [], [0.01, 0.012, 0.02])
    part = section(run.page(), "Requests")
    assert re.findall("<title>(.*?)</title>", part) == ["0", "1", "1", "0", "1", "0"]
    labels = ["7.5 ms", "13.3 ms", "23.7 ms"]
    assert re.findall("<text[^>]*>([0-9.]+ ms)</text>", part) == labels


def test_requests_of_over_100_seconds() -> None:
    """The last step of latencies has no upper bound."""
    run = MadeUpRun()
    run.counts.requests = 1
    run.tally.delivered("orders", [], [], [101.0])
    part = section(run.page(), "Requests")
    assert re.findall("<text[^>]*>(.*?)</text>", part)[-2:] == ["100 s", "more"]


@pytest.mark.parametrize(
    ("streams", "caption"),
    [(6, "By stream and source"), (8, "By stream and source; the JSON contains 2 more")],
)
def test_the_columns_of_streams(streams: int, caption: str) -> None:
    """The table of coverage has six streams, and says how many it leaves out."""
    run = MadeUpRun()
    for number in range(streams):
        run.deliver(stream=f"stream {number}")
    part = section(run.page(), "Which fields the events have")
    assert re.findall("<caption>(.*?)</caption>", part) == [caption]
    assert re.findall('<th scope="col">(.*?)</th>', part)[1:] == [
        f"stream {number}, web" for number in range(6)
    ]


@pytest.mark.parametrize(
    ("reasons", "legend"),
    [
        ({"no_identity": 1}, [("bad", "dead letters")]),
        ({"suppressed": 1}, [("hold", "not to be sent")]),
        (
            {"no_identity": 1, "suppressed": 1},
            [("bad", "dead letters"), ("hold", "not to be sent")],
        ),
    ],
)
def test_the_legend_of_reasons(reasons: dict[str, int], legend: list[tuple[str, str]]) -> None:
    """The legend names only the kinds that the chart has."""
    part = section(MadeUpRun().reject(**reasons).page(), "What was not sent, and why")
    assert re.findall('<span class="key (.*?)">(.*?)</span>', part) == legend


def test_a_value_without_a_currency() -> None:
    """The table of values names each currency, and says where there is none."""
    part = section(MadeUpRun().deliver(2).deliver(currency=None).page(), "The value of the events")
    assert re.findall('<th scope="row"[^>]*>(.*?)</th><td[^>]*>(.*?)</td>', part) == [
        ("EUR", "2"),
        ("none", "1"),
    ]
