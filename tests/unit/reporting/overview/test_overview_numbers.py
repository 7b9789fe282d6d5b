"""Every number of the history on the page, computed anew from what the runs left."""

from __future__ import annotations

import datetime as dt
import re
import statistics
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from overview_support import NOW, TODAY, ZONE, overview, random_entries

from target_liveintent.reporting.overview.page import page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_liveintent.reporting.history.model import RunEntry, StreamFigures

LETTERS = ("no_identity", "invalid_source", "event_too_old")
DAYS = [TODAY - dt.timedelta(days=back) for back in range(89, -1, -1)]


@pytest.fixture(scope="module")
def entries() -> list[RunEntry]:
    """Return runs of 110 days, of which 91 before today are read."""
    return random_entries()


@pytest.fixture(scope="module")
def html(entries: list[RunEntry]) -> str:
    return page(overview(entries), None)


# What is computed, from the entries alone


def local(one: RunEntry) -> dt.datetime:
    return one.run.ended_at.astimezone(ZONE)


def parts(entries: Iterable[RunEntry], stream: str | None = None) -> list[StreamFigures]:
    return [
        figures
        for one in entries
        for name, figures in one.run.streams.items()
        if stream in {None, name}
    ]


def usual_runs(entries: Iterable[RunEntry]) -> list[RunEntry]:
    return [one for one in entries if one.run.kind == "usual"]


def last_24_hours(entries: Iterable[RunEntry]) -> list[RunEntry]:
    """Return the usual runs of this hour and of the 23 before it."""
    first = NOW.replace(minute=0) - dt.timedelta(hours=23)
    return [one for one in usual_runs(entries) if first <= local(one) <= NOW]


def by_day(entries: Iterable[RunEntry], of: Any, stream: str | None = None) -> dict[dt.date, Any]:
    days: dict[dt.date, list[RunEntry]] = {}
    for one in usual_runs(entries):
        days.setdefault(local(one).date(), []).append(one)
    oldest = TODAY - dt.timedelta(days=91)
    return {day: of(parts(found, stream)) for day, found in days.items() if day >= oldest}


def bounds(values: dict[dt.date, Any], day: dt.date) -> tuple[float, float, float]:
    """Return the tenth, half and nine tenths of the comparable days."""
    back = {at: (day - at).days for at, value in values.items() if value is not None}
    same = [values[at] for at, n in back.items() if 0 < n <= 56 and n % 7 == 0]
    chosen = same if len(same) >= 4 else [values[at] for at, n in back.items() if 0 < n <= 28]
    numbers = [float(one) for one in chosen]
    tenths = statistics.quantiles(numbers, n=10, method="inclusive")
    return tenths[0], statistics.median(numbers), tenths[-1]


def usual_now(values: dict[dt.date, Any]) -> tuple[float, float]:
    yesterday = TODAY - dt.timedelta(days=1)
    earlier = {day: value for day, value in values.items() if day < yesterday}
    ranges = [bounds(earlier, day) for day in (TODAY, yesterday)]
    return min(low for low, _, _ in ranges), max(high for _, _, high in ranges)


def total(name: str) -> Any:
    return lambda figures: sum(getattr(one, name) for one in figures)


def hashed(figures: list[StreamFigures]) -> int:
    return sum(one.having["md5"] + one.having["sha2"] - one.having["both"] for one in figures)


def letters(figures: list[StreamFigures]) -> int:
    return sum(one.not_sent[reason] for one in figures for reason in LETTERS)


def part_of(part: Any) -> Any:
    def share(figures: list[StreamFigures]) -> float | None:
        delivered = sum(one.delivered for one in figures)
        return part(figures) / delivered if delivered else None

    return share


def value(currency: str) -> Any:
    return lambda figures: sum((one.values[currency].total for one in figures), Decimal(0))


def average(currency: str) -> Any:
    def of(figures: list[StreamFigures]) -> Decimal | None:
        events = sum(one.values[currency].events for one in figures)
        return value(currency)(figures) / events if events else None

    return of


def late(figures: list[StreamFigures]) -> int:
    return sum(one.delivered - one.within_an_hour for one in figures)


def decided(figures: list[StreamFigures]) -> int:
    return sum(one.having["decision_id"] for one in figures)


# How it is written


def whole(number: Any) -> str:
    return f"{number:,.0f}"


def percent(number: Any) -> str:
    return f"{100 * number:.0f} %"


def money(number: Any) -> str:
    return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:,.2f}"


def span(low: float, high: float, write: Any) -> str:
    first, last = write(low), write(high)
    if first == last:
        return str(first)
    return f"{first.removesuffix(' %')} to {last}"


FIGURES: dict[str, tuple[Any, Any]] = {
    "conversions": (total("delivered"), whole),
    "with a hash of an e-mail address": (part_of(hashed), percent),
    "with a decision ID": (part_of(decided), percent),
    "sent more than an hour late": (part_of(late), percent),
    "not sent (dead letters)": (letters, whole),
    "value in JPY": (value("JPY"), money),
    "value in EUR": (value("EUR"), money),
    "average value in JPY": (average("JPY"), money),
    "average value in EUR": (average("EUR"), money),
}


# What is on the page


def section(html: str, title: str) -> str:
    found = html.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]
    assert found, title
    return found


def rows(part: str) -> list[list[str]]:
    """Return the cells of the table of a section, without markup."""
    body = part.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr.*?</tr>", body)
    ]


def figure(html: str, caption: str) -> str:
    found = re.search(f'<figure role="img" aria-label="{re.escape(caption)}">.*?</figure>', html)
    assert found, caption
    return found[0]


def day_name(day: dt.date) -> str:
    return f"{day.day} {day:%b}"


def day_words(day: dt.date) -> str:
    return f"{day.day} {day:%B}"


# The comparison


def test_today_against_usual(html: str, entries: list[RunEntry]) -> None:
    """Each figure of the last 24 hours, its usual range, and what that means."""
    found = {row[0]: row[1:] for row in rows(section(html, "Today against usual"))}
    assert found.keys() == FIGURES.keys()
    for name, (of, write) in FIGURES.items():
        now = of(parts(last_24_hours(entries)))
        low, high = usual_now(by_day(entries, of))
        verdict = "lower" if now < low else "higher" if now > high else "as usual"
        if write(now) in {write(low), write(high)}:
            verdict = "as usual"
        assert found[name] == [write(now), span(low, high, write), verdict], name


def test_the_first_lines(html: str, entries: list[RunEntry]) -> None:
    """The first sentence and the tiles have the same figures, and those of the month."""
    low, high = usual_now(by_day(entries, total("delivered")))
    now = total("delivered")(parts(last_24_hours(entries)))
    head = html.partition("<header>")[2].partition("</header>")[0]
    sentence = f"{now:,} conversions in the last 24 hours; {span(low, high, whole)} are usual."
    assert sentence in head
    tiles = re.findall('<div class="tile [a-z]*"><b>(.*?)</b><span>(.*?)</span>', html)
    hashes = part_of(hashed)(parts(last_24_hours(entries)))
    low_hash, high_hash = usual_now(by_day(entries, part_of(hashed)))
    month = [one for one in entries if local(one).month == 5 and one.run.kind != "dry_run"]
    sent = total("delivered")(parts(month))
    yen = sum(one.values["JPY"].events for one in parts(month))
    assert tiles == [
        (f"{sent:,}", "conversions this month, since 1 May, special runs included"),
        (f"{now:,}", f"in the last 24 hours; usual: {span(low, high, whole)}"),
        (
            percent(hashes),
            f"with a hash of an e-mail address; usual: {span(low_hash, high_hash, percent)}",
        ),
        (
            f"{money(value('JPY')(parts(month)))} JPY",
            f"value this month, of {yen:,} conversions",
        ),
    ]


def test_reasons(html: str, entries: list[RunEntry]) -> None:
    """Dead letters by reason: of 24 hours, usual, of 30 days, and when the last one was."""
    part = section(html, "What could not be sent, by reason")
    found = {row[0]: row[1:] for row in rows(re.sub("</code><br>.*?</th>", "</th>", part))}
    recent = dt.timedelta(days=30)
    expected = {}
    for reason in LETTERS:
        of = total_of_reason(reason)
        days = by_day(entries, of)
        month = [count for day, count in days.items() if TODAY - day < recent]
        expected[reason] = [
            f"{of(parts(last_24_hours(entries))):,}",
            span(*usual_now(days), whole),
            f"{sum(month):,}",
            day_words(max(day for day, count in days.items() if count)),
        ]
    all_now = letters(parts(last_24_hours(entries)))
    days = by_day(entries, letters)
    all_month = sum(count for day, count in days.items() if TODAY - day < recent)
    last = max(day for day, count in days.items() if count)
    usual = span(*usual_now(days), whole)
    expected["all"] = [f"{all_now:,}", usual, f"{all_month:,}", day_words(last)]
    assert found == expected


def total_of_reason(reason: str) -> Any:
    return lambda figures: sum(one.not_sent[reason] for one in figures)


def test_streams(html: str, entries: list[RunEntry]) -> None:
    """Conversions by stream."""
    found = {row[0]: row[1:] for row in rows(section(html, "Conversions by stream"))}
    of = total("delivered")
    assert list(found) == ["orders", "visits"]
    for stream, cells in found.items():
        days = by_day(entries, of, stream)
        month = [sent for day, sent in days.items() if (TODAY - day).days < 30]
        now = of(parts(last_24_hours(entries), stream))
        assert cells == [f"{now:,}", span(*usual_now(days), whole), f"{sum(month):,}"]


def test_months(html: str, entries: list[RunEntry]) -> None:
    """What LiveIntent got in each month, by runs of all kinds but dry runs."""
    part = section(html, "Month by month")
    oldest = TODAY - dt.timedelta(days=91)
    sent = [one for one in entries if one.run.kind != "dry_run" and local(one).date() >= oldest]
    expected = []
    for month, name in ((5, "May 2026"), (4, "April 2026"), (3, "March 2026")):
        found = parts([one for one in sent if local(one).month == month])
        cells = [f"{total('delivered')(found):,}"]
        cells += [percent(part_of(of)(found)) for of in (hashed, decided)]
        for currency in ("JPY", "EUR"):
            cells += [money(of(currency)(found)) for of in (value, average)]
        expected.append([name, *cells])
    assert rows(part) == expected
    special = [one for one in sent if one.run.kind != "usual" and local(one).month in {3, 4, 5}]
    assert (
        f"{total('delivered')(parts(special)):,} of these conversions came from special runs."
        in part
    )


def test_changes(html: str) -> None:
    """The day of a new version is marked."""
    changed = TODAY - dt.timedelta(days=25)
    words = "version: target-liveintent 1 became target-liveintent 2"
    assert rows(section(html, "What changed")) == [[day_words(changed), words]]


# The charts

CHARTS: dict[str, tuple[Any, Any]] = {
    "Conversions by day of sending": (total("delivered"), float),
    "Share with a hash of an e-mail address": (part_of(hashed), lambda part: 100 * part),
    "Share with a decision ID": (part_of(decided), lambda part: 100 * part),
    "Share sent more than an hour late": (part_of(late), lambda part: 100 * part),
    "Value in JPY, by day": (value("JPY"), float),
    "Value in EUR, by day": (value("EUR"), float),
    "Average value in JPY, by day": (average("JPY"), float),
    "Average value in EUR, by day": (average("EUR"), float),
}


def tips(chart: str, colour: str) -> list[tuple[str, float]]:
    """Return the tool-tips of the bars of a colour: the day, and the number."""
    group = chart.partition(f'class="bars {colour}"')[2].partition('class="bars ')[0]
    titles = re.findall(r"<title>([^<:]*): ([^<]*)</title>", group)
    return [(day, number(text)) for day, text in titles]


def number(text: str) -> float:
    digits, _, unit = text.replace(",", "").removesuffix(" %").partition(" ")
    return float(digits) * {"": 1, "k": 1e3, "M": 1e6}[unit]


@pytest.mark.parametrize("caption", CHARTS)
def test_bars(html: str, entries: list[RunEntry], caption: str) -> None:
    """A bar for each day with usual runs; none in a gap; today's in another colour."""
    of, scaled = CHARTS[caption]
    days = {day: of_day for day, of_day in by_day(entries, of).items() if day in DAYS}
    chart = figure(html, caption)
    shown = dict(tips(chart, "good")) | dict(tips(chart, "rest"))
    assert list(shown) == [day_name(day) for day in DAYS if day in days]
    for day, of_day in days.items():
        assert shown[day_name(day)] == pytest.approx(scaled(of_day), rel=5e-3, abs=0.5)
    assert [day for day, _ in tips(chart, "rest")] == [day_name(TODAY)]


def test_bars_of_special_runs(html: str, entries: list[RunEntry]) -> None:
    """Conversions by canaries, replays and backfills stand on those of usual runs."""
    found = dict(tips(figure(html, "Conversions by day of sending"), "hold"))
    expected: dict[str, int] = {}
    for one in entries:
        day = local(one).date()
        if day in DAYS and one.run.kind in {"canary", "replay", "backfill"}:
            sent = total("delivered")(parts([one]))
            expected[day_name(day)] = expected.get(day_name(day), 0) + sent
    assert found == expected


def test_bars_of_reasons(html: str, entries: list[RunEntry]) -> None:
    """Dead letters of each day, by reason, the most frequent first."""
    chart = figure(html, "Not sent, by reason")
    sums = {
        reason: sum(
            count for day, count in by_day(entries, total_of_reason(reason)).items() if day in DAYS
        )
        for reason in LETTERS
    }
    ordered = sorted(LETTERS, key=lambda reason: -sums[reason])
    assert re.findall('class="key (bad|hold|calm)">([^<]*)<', chart) == list(
        zip(("bad", "hold", "calm"), ordered, strict=True)
    )
    for colour, reason in zip(("bad", "hold", "calm"), ordered, strict=True):
        days = by_day(entries, total_of_reason(reason))
        expected = [(day_name(day), days[day]) for day in DAYS if days.get(day)]
        assert tips(chart, colour) == expected


@pytest.mark.parametrize("caption", [*CHARTS, "Not sent, by reason"])
def test_usual_ranges(html: str, entries: list[RunEntry], caption: str) -> None:
    """The band is at the heights of the usual ranges, as the axis has them."""
    of, scaled = CHARTS.get(caption, (letters, float))
    chart = figure(html, caption)
    left_axis = chart.partition("axis y")[2].partition("axis x")[0]
    at = [float(y) for y in re.findall(r'd="M0\.0+ ([\d.]+) h', left_axis)]
    scale = [number(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", left_axis)]
    per_unit = (at[-1] - at[0]) / (scale[-1] - scale[0])
    days = by_day(entries, of)
    expected = []
    comparable_from = TODAY - dt.timedelta(days=91 - 14)
    for day in [day for day in DAYS if day >= comparable_from]:
        low, _, high = bounds(days, day)
        expected.append([at[0] + per_unit * (scaled(edge) - scale[0]) for edge in (low, high)])
    found: list[list[float]] = []
    for points in re.findall('class="usual" points="([^"]*)"', chart):
        heights = [float(point.partition(",")[2]) for point in points.split()]
        half = len(heights) // 2
        found += [
            list(pair) for pair in zip(heights[:half:2], heights[: half - 1 : -2], strict=True)
        ]
    assert len(found) == len(expected)
    for pair, wanted in zip(found, expected, strict=True):
        assert pair == pytest.approx(wanted, abs=0.11)


def test_gaps_and_marks(html: str, entries: list[RunEntry]) -> None:
    """Days without usual runs are shaded, and the day of a change has a line."""
    with_runs = {local(one).date() for one in usual_runs(entries)}
    gaps = [n for n, day in enumerate(DAYS) if day not in with_runs]
    chart = figure(html, "Conversions by day of sending")
    plot = chart.partition('class="plot"')[2]
    width = float(plot.partition(' width="')[2].partition('"')[0])

    def x(day: int) -> float:
        return width * (day / 90 + 0.02) / 1.04

    shaded = [
        (float(first), float(last))
        for first, last in re.findall(r'class="gap" d="M([\d.]+) [\d.]+H([\d.]+)', chart)
    ]
    covered = [
        n
        for n in range(90)
        if any(first - 0.1 <= x(n) and x(n + 1) <= last + 0.1 for first, last in shaded)
    ]
    assert covered == gaps
    assert len(gaps) >= 3
    (mark,) = re.findall(r'class="mark" d="M([\d.]+) ', chart)
    assert float(mark) == pytest.approx(x(89 - 25), abs=0.06)
