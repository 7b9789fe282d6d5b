"""Where the events of a store are, by the simplest SQL, and a comparison with all that reports say.

This module shares no code with the reports.
"""
# ruff: noqa: S608 (The parts of the queries are constants.)

import contextlib
import datetime as dt
import html
import importlib
import json
import re
import time
import urllib.parse
import zoneinfo
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from integration_forks import TimeAhead
from integration_support import DAY, Launcher, Running
from store_tables import ask

from target_liveintent import cli

PLACES = ("arrived", "waiting", "replayable", "lost", "left_out")
WORDS = ("arrived", "waits", "can be replayed", "lost", "left out")
LOST_FOR_EVER = ("no_identity", "event_too_old", "mapping_failed", "missing_event_time")
DECIMALS = {"JPY": 0, "EUR": 2, "USD": 2, "KWD": 3}
ZONE = zoneinfo.ZoneInfo("Asia/Kathmandu")
"""A zone whose days begin at a quarter past the hour in UTC."""
PIXEL = 12345
QUARTER = 900
OF_OWNER = "customer_id = 'a-1b2c' AND run_pixel_id = ?"


def clock(ahead: float) -> dict[str, Any]:
    """Return the constants of a process whose clock, and that of its database, is ahead."""
    moved = TimeAhead(ahead)
    of_server = f"(SELECT CAST(extract(epoch FROM clock_timestamp()) + {ahead} AS float8))"
    return {
        "target_liveintent.clock:time": moved,
        "target_liveintent.cli:time": moved,
        "target_liveintent.store.postgres:_NOW": of_server,
    }


@contextlib.contextmanager
def clock_here(ahead: float) -> Iterator[None]:
    """Let the clock of the package be ahead in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for place, value in clock(ahead).items():
            module, _, name = place.partition(":")
            patch.setattr(importlib.import_module(module), name, value)
        yield


# What is true


class Row(NamedTuple):
    """Events in a place: the quarter of an hour in which they were read, and their sum."""

    read_at: int
    place: str
    reason: str
    events: int
    value: Decimal | None
    currency: str | None
    until: int | None = None


def rows_in(store: Path | str, pixel_id: int, now: float) -> Iterator[Row]:
    """Yield where all events of a pixel are at a Unix time."""
    yield from _counted(store, pixel_id)
    yield from _letters(store, pixel_id, now)
    sql = f"SELECT read_at, window_end, value, currency FROM waiting WHERE {OF_OWNER}"
    for read_at, end, value, currency in ask(store, sql, pixel_id):
        yield _waiting(read_at, end, value, currency, now)
    yield from _left_by_killed_runs(store, pixel_id, now)


def _counted(store: Path | str, pixel_id: int) -> Iterator[Row]:
    sql = (
        "SELECT read_at, place, reason, events, value, currency FROM place_count"
        f" WHERE {OF_OWNER} AND read_at > 0"
    )
    for read_at, place, reason, events, value, currency in ask(store, sql, pixel_id):
        worth = Decimal(value) if currency and place != "left_out" else None
        yield Row(read_at, place, reason, int(events), worth, currency or None)


def _letters(store: Path | str, pixel_id: int, now: float) -> Iterator[Row]:
    sql = (
        "SELECT first_read, reason, window_end, value, currency FROM dead_letter"
        f" WHERE {OF_OWNER} AND first_read > 0"
    )
    for first_read, reason, end, value, currency in ask(store, sql, pixel_id):
        is_lost = reason in LOST_FOR_EVER or (end is not None and end <= now)
        place, until = ("lost", None) if is_lost else ("replayable", end)
        yield Row(_quarter(first_read), place, reason, 1, _worth(value), currency, until)


def _left_by_killed_runs(store: Path | str, pixel_id: int, now: float) -> Iterator[Row]:
    delivered = {key for (key,) in ask(store, "SELECT key FROM event")}
    sql = (
        "SELECT keys, read_at, CAST(amounts AS text) FROM reservation JOIN run ON number = run"
        " WHERE ended_at IS NULL AND alive_until < ? AND pixel_id = ?"
    )
    for keys, read_at, amounts in ask(store, sql, now, pixel_id):
        each = (keys[start : start + 16] for start in range(0, len(keys), 16))
        for key, amount in zip(each, json.loads(amounts), strict=True):
            if key not in delivered and amount is not None:
                value, _, currency = amount.partition(" ")
                end = int.from_bytes(key[:5], "big")
                yield _waiting(read_at, end, value or None, currency or None, now)


def _waiting(read_at: int, end: int, value: Any, currency: str | None, now: float) -> Row:
    place, until = ("waiting", end) if end > now else ("lost", None)
    return Row(_quarter(read_at), place, "no_outcome", 1, _worth(value), currency, until)


def _quarter(read_at: int) -> int:
    return read_at - read_at % QUARTER


def _worth(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


class Ledger(NamedTuple):
    """How many events are in each place, their values in the order of the codes, and until when."""

    counts: dict[str, int]
    values: dict[str, dict[str, Decimal]]
    until: str | None

    @property
    def read(self) -> int:
        return sum(self.counts.values())

    @property
    def to_send(self) -> int:
        return self.read - self.counts["left_out"]

    @property
    def words(self) -> str:
        numbers = zip(WORDS, self.counts.values(), strict=True)
        return f"read {self.read:,} = " + " + ".join(f"{word} {n:,}" for word, n in numbers)

    def money(self, *places: str) -> list[str]:
        """Return the sums of some places together, in words."""
        sums = Counter[str]()
        for place in places:
            sums.update(self.values.get(place, {}))
        return [amount_words(sums[currency], currency) for currency in sorted(sums)]


def amount_words(amount: Decimal | int, currency: str) -> str:
    return f"{amount:,.{DECIMALS[currency]}f} {currency}"


def ledger_of(rows: Iterable[Row]) -> Ledger:
    counts, ends = dict.fromkeys(PLACES, 0), list[int]()
    sums: dict[str, dict[str, Decimal]] = {place: {} for place in PLACES[:4]}
    for row in rows:
        counts[row.place] += row.events
        if row.value is not None and row.currency:
            known = sums[row.place].get(row.currency, Decimal(0))
            sums[row.place][row.currency] = known + row.value
        ends += [] if row.until is None else [row.until]
    values = {place: dict(sorted(of_place.items())) for place, of_place in sums.items()}
    return Ledger(counts, values, _utc(min(ends)) if ends else None)


def by_place_of(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Return how many events can be replayed, are lost or left out: by place, then by reason."""
    counts = {place: Counter[str]() for place in PLACES[2:]}
    for row in rows:
        if row.place in counts:
            counts[row.place][row.reason] += row.events
    return {place: dict(of_place) for place, of_place in counts.items()}


def _utc(unix_time: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_time))


def in_json(given: dict[str, Any]) -> Ledger:
    """Return a ledger of a JSON, whose `read` is the sum."""
    found = Ledger(
        {place: given[place] for place in PLACES},
        {
            place: {currency: Decimal(value) for currency, value in sums.items()}
            for place, sums in given["values"].items()
        },
        given["until"],
    )
    assert found.read == given["read"]
    return found


class Truth:
    """Where the events of a pixel are at a Unix time, by periods and reasons."""

    def __init__(self, store: Path | str, pixel_id: int, now: float) -> None:
        self.rows = [*rows_in(store, pixel_id, now)]
        self.now = now
        self.today = self._day(now)

    def _day(self, unix_time: float) -> dt.date:
        return dt.datetime.fromtimestamp(unix_time, ZONE).date()

    def rows_on(self, day: dt.date) -> list[Row]:
        return [row for row in self.rows if self._day(row.read_at) == day]

    def on(self, day: dt.date) -> Ledger:
        return ledger_of(self.rows_on(day))

    @property
    def all(self) -> Ledger:
        return ledger_of(self.rows)

    @property
    def waiting(self) -> Ledger:
        return ledger_of(row for row in self.rows if row.place == "waiting")

    @property
    def rows_of_24_hours(self) -> list[Row]:
        return [row for row in self.rows if self.now - DAY < row.read_at <= self.now]

    @property
    def last_24_hours(self) -> Ledger:
        return ledger_of(self.rows_of_24_hours)

    @property
    def months(self) -> dict[str, Ledger]:
        """The ledgers of the three newest months."""
        names = sorted({f"{self._day(row.read_at):%Y-%m}" for row in self.rows})[-3:]
        return {
            name: ledger_of(r for r in self.rows if f"{self._day(r.read_at):%Y-%m}" == name)
            for name in names
        }

    @property
    def reasons(self) -> dict[str, Ledger]:
        """The ledgers of 30 days by reason; what waits has none."""
        first = self.today - dt.timedelta(days=29)
        recent = [r for r in self.rows if self._day(r.read_at) >= first]
        recent = [row for row in recent if row.place in {"replayable", "lost", "left_out"}]
        names = {row.reason for row in recent}
        return {name: ledger_of(r for r in recent if r.reason == name) for name in names}


# What is said


class Pipeline:
    """A target with a store, a pixel, and a clock that is `ahead` by so many seconds."""

    def __init__(self, target: Launcher, store: Path | str, pixel_id: int = PIXEL) -> None:
        self.target, self.store, self.pixel_id, self.ahead = target, store, pixel_id, 0.0
        self._settings = {"store": str(store), "pixel_id": pixel_id, "timezone": str(ZONE)}

    @property
    def now(self) -> float:
        return time.time() + self.ahead

    def run(self, *messages: Any, code: int = 0, **settings: Any) -> Running:
        """Run the target to its end, and compare its log and its metrics with the store."""
        given = {"constants": clock(self.ahead), **self._settings, **settings}
        done = self.target.run(*messages, **given)
        assert done.code == code, done.log
        ledger = Truth(self.store, self.pixel_id, self.now).last_24_hours
        assert f"in the last 24 hours: {ledger.words}" in done.log
        (metrics,) = sorted(self.target.folder.glob("run-*.prom"))[-1:]
        gauges = re.findall(r'_ledger{place="(\w+)"} ([\d.]+)', metrics.read_text())
        assert {place: float(number) for place, number in gauges} == ledger.counts
        metrics.unlink()
        return done

    def ask(self, *arguments: str, given: bytes = b"") -> Running:
        """Give a command, such as `replay`, in a process of its own."""
        command = self.target.start(*arguments, constants=clock(self.ahead), **self._settings)
        done = command.send(given).close_input().wait()
        assert done.code == 0, done.log
        return done

    def _said(self, *arguments: str) -> str:
        config = str(self.target.config(**self._settings))
        with clock_here(self.ahead):
            done = CliRunner().invoke(cli.main, ["--config", config, *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    def places(self) -> dict[str, int]:
        """Compare each number of all reports with the store; return those of 24 hours."""
        report = json.loads(self._said("report", "--format=json"))
        as_of = dt.datetime.fromisoformat(report["as_of"]).timestamp()
        truth = Truth(self.store, self.pixel_id, as_of)
        check_json(report, truth)
        check_text(self._said("report", "--format=text"), truth)
        path = self.target.folder / "page.html"
        self._said("report", str(path))
        check_page(path.read_text(encoding="utf-8"), truth)
        path.unlink()
        check_letters(json.loads(self._said("dead-letters", "--format=json")), self.store, truth)
        assert truth.all.words in self._said("dead-letters") or not truth.rows
        return {place: number for place, number in truth.last_24_hours.counts.items() if number}


def check_json(report: dict[str, Any], truth: Truth) -> None:
    assert in_json(report["ledger"]) == truth.last_24_hours
    assert report["last_24_hours"]["by_place"] == by_place_of(truth.rows_of_24_hours)
    for day in report["days"]:
        assert day["by_place"] == by_place_of(truth.rows_on(dt.date.fromisoformat(day["day"])))
    days = {day["day"]: in_json(day["ledger"]) for day in report["days"]}
    assert days == {day: truth.on(dt.date.fromisoformat(day)) for day in days}
    assert list(days)[-1:] == [f"{truth.today}"]
    assert sum(day.read for day in days.values()) == truth.all.read
    months = {day[:7]: in_json(month) for day, month in report["months"].items()}
    assert {name: month for name, month in months.items() if month.read} == truth.months
    assert {name: in_json(one) for name, one in report["reasons"].items()} == truth.reasons
    for cause in report["causes"]:
        if cause["cause"] in {"failed", "no_run"}:
            assert in_json(cause["ledger"]) == truth.waiting
            assert cause["until"] == truth.waiting.until
    check_figures(report["figures"], truth, [*days.values()])


def check_figures(figures: list[dict[str, Any]], truth: Truth, days: list[Ledger]) -> None:
    """Check the figures that are made of ledgers."""
    by_name = {one["figure"]: one for one in figures if not one["subject"]}
    figures_of_places = {
        "conversions": PLACES[:1],
        "waiting": PLACES[1:2],
        "dead_letters": PLACES[2:4],
    }
    for name, places in figures_of_places.items():
        now, *of_days = (_sum(ledger, places) for ledger in (truth.last_24_hours, *days))
        assert by_name[name]["now"] == now
        assert [n or 0 for n in by_name[name]["days"]] == of_days
    sums = truth.last_24_hours.values["arrived"]
    for one in figures:
        if one["figure"] == "total_value":
            assert Decimal(one["now"]) == sums.get(one["subject"], 0)


def _sum(ledger: Ledger, places: Iterable[str]) -> int:
    return sum(ledger.counts[place] for place in places)


def check_text(text: str, truth: Truth) -> None:
    ledger = truth.last_24_hours
    assert f"In the last 24 hours: {ledger.words}" in text
    said = [
        f"{word} {', '.join(ledger.money(place))}"
        for word, place in zip(WORDS, PLACES, strict=True)
        if ledger.money(place)
    ]
    assert f"Value in the last 24 hours: {'; '.join(said)}.\n" in text or not said
    reasons = {
        name: one.counts["replayable"] + one.counts["lost"] for name, one in truth.reasons.items()
    }
    named = re.findall(r"Did not arrive in the last 30 days .*: (.*)\.\n", text)
    numbers = re.findall(r"(\d[\d,]*) (\w+)", "".join(named))
    found = {name: int(number.replace(",", "")) for number, name in numbers}
    assert found.items() <= reasons.items()
    assert len(found) == min(3, sum(bool(number) for number in reasons.values()))
    newest = [one.counts["arrived"] for _, one in sorted(truth.months.items())][-1:]
    of_month = re.findall(r"\n\w+ 20\d\d[^:]*: ([\d,]+) conversions? arrived\.", text)
    assert of_month == [f"{number:,}" for number in newest]


def _table(page: str, block: str) -> list[list[str]]:
    """Return the texts of the cells of a table, without its head; amounts are apart by "; ".

    Without such a block, return nothing.
    """
    parts = re.findall(rf'(?s)<(?:section|details) id="{block}".*?</(?:section|details)>', page)
    rows = re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", "".join(parts).partition("</thead>")[2])
    cells = (re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows)
    return [[_text(cell.replace("<br>", "; ")) for cell in row] for row in cells]


def _text(part: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", part)).split())


def _numbers(ledger: Ledger) -> list[str]:
    return [f"{number:,}" for number in ledger.counts.values()]


def _money(ledger: Ledger, *places: str) -> str:
    return "; ".join(ledger.money(*places)) or "-"


def check_page(page: str, truth: Truth) -> None:
    """Check the numbers of all blocks of a page."""
    top = _check_sum(page, truth)
    _check_sentence(_text(re.findall(r'(?s)<h2 class="headline">(.*?)</h2>', page)[0]), top)
    _check_days(page, truth)
    months = [one for _, one in sorted(truth.months.items(), reverse=True)]
    rows = [row[1:] for row in _table(page, "months")]
    shown = [row for row in rows if {*row} != {"0", "-"}]
    assert shown == [[*_numbers(one), _money(one, "arrived")] for one in months]
    reasons = {row[0].split()[0]: row[1:5] for row in _table(page, "reasons")}
    assert reasons == {
        name: [*_numbers(one)[2:], _money(one, "waiting", "replayable", "lost")]
        for name, one in truth.reasons.items()
    }
    if "failed: " in page:
        row, waiting = _table(page, "causes")[0], truth.waiting
        number = f"{waiting.to_send:,}" if waiting.to_send else "-"
        assert row[1:3] == [number, _money(waiting, "waiting")]
        assert row[4] == (_moment(waiting.until) if waiting.until else "-")


def _check_days(page: str, truth: Truth) -> None:
    """Check the table, the chart and the CSV of the days, which are there from two days on."""
    rows = _table(page, "table-of-days")
    if not rows:
        return
    days = [truth.today - dt.timedelta(days=n) for n in range(len(rows))]
    ledgers = [truth.on(day) for day in days]
    assert [row[1:] for row in rows] == [
        [f"{one.read:,}", *_numbers(one), _money(one, "arrived")] for one in ledgers
    ]
    (link,) = re.findall(r'href="data:text/csv[^,]*,([^"]*)"', page)
    check_csv(urllib.parse.unquote(link), dict(zip(days, ledgers, strict=True)))
    titles = re.findall(r"<title>[^<]*: ([\d,]+) of ([\d,]+) arrived", page)
    bars = [(f"{one.counts['arrived']:,}", f"{one.to_send:,}") for one in reversed(ledgers)]
    # If the chart has more than four weeks, another chart for small screens has only these.
    assert titles == bars + (bars[-28:] if len(bars) > 28 else [])


def check_csv(text: str, ledgers: dict[dt.date, Ledger]) -> None:
    """Check the lines of the days, the oldest first."""
    head, *lines = (line.split(",") for line in text.strip().splitlines())
    assert head[:7] == ["day", "read", *PLACES]
    currencies = [name.removeprefix("value ") for name in head[7:]]
    assert {*currencies} == {name for one in ledgers.values() for name in one.values["arrived"]}
    assert [line[:7] for line in lines] == [
        [f"{day}", *(str(n) for n in (one.read, *one.counts.values()))]
        for day, one in sorted(ledgers.items())
    ]
    assert [[Decimal(value) for value in line[7:]] for line in lines] == [
        [one.values["arrived"].get(name, Decimal(0)) for name in currencies]
        for _, one in sorted(ledgers.items())
    ]


def _moment(text: str) -> str:
    at = dt.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(ZONE)
    return f"{at.day} {at:%B, %H:%M}"


def _check_sum(page: str, truth: Truth) -> Ledger:
    """Check the row of figures; return the ledger of the period that its heading names."""
    (block,) = re.findall(r'(?s)<section id="ledger">.*?</section>', page)
    period = re.findall(r"that were read (.*), and where they are now</h2>", block)[0]
    if period == "in the last 24 hours":
        rows = truth.rows_of_24_hours
    elif period == "today":
        rows = truth.rows_on(truth.today)
    else:
        days = [truth.today - dt.timedelta(days=n) for n in range(91)]
        (rows,) = (truth.rows_on(day) for day in days if f"on {day.day} {day:%B}" == period)
    top = ledger_of(rows)
    parts = re.findall(r'(?s)<li class="(\w+)"><b>([\d,]+)</b> ([a-z ]+)(.*?)</li>', block)
    assert [(name, number, words.strip()) for name, number, words, _ in parts] == [
        ("read", f"{top.read:,}", "read"),
        *zip(PLACES, _numbers(top), WORDS, strict=True),
    ]
    for name, _, _, values in parts:
        assert re.findall("<span>([^<]*)</span>", values) == top.money(name)
    _check_reasons(block, rows)
    return top


def _check_reasons(block: str, rows: Iterable[Row]) -> None:
    """Check the lines below the row of figures that say why events did not arrive."""
    reasons = dict(re.findall(r'<p class="why"><b>([^:]*):</b> (.*)\.</p>', block))
    reasons.pop("Replayed", None)
    places = dict(zip(PLACES, WORDS, strict=True))
    assert {name: _numbers_in(said) for name, said in reasons.items()} == {
        places[place].capitalize(): sorted(of_place.values(), reverse=True)
        for place, of_place in by_place_of(rows).items()
        if of_place
    }


def _numbers_in(said: str) -> list[int]:
    """Return the numbers with which the parts of a list begin."""
    return [int(part.split()[0].replace(",", "")) for part in said.split("; ")]


def _check_sentence(sentence: str, top: Ledger) -> None:
    """Check the numbers of the first sentence."""
    arrived, counts = top.counts["arrived"], top.counts
    if not top.to_send:
        assert sentence.startswith("No conversions were read")
    elif arrived == top.to_send:
        assert re.match(f"(All )?{arrived:,} conversions? arrived", sentence)
    else:
        assert sentence.startswith(f"{arrived:,} of {top.to_send:,} conversion")
    for place, pattern in (
        ("waiting", "([0-9,]+) waits?"),
        ("replayable", "([0-9,]+) can be replayed"),
        ("lost", "([0-9,]+) (?:is|are) lost"),
    ):
        assert re.findall(pattern, sentence) == ([f"{counts[place]:,}"] if counts[place] else [])
    assert re.findall(r"\(deadline: ([^)]*)\)", sentence) == (
        [_moment(top.until)] if top.until else []
    )


def check_letters(found: dict[str, Any], store: Path | str, truth: Truth) -> None:
    """Check the JSON of `dead-letters`, which counts the letters of all pixels."""
    assert in_json(found["ledger"]) == truth.all
    by_reason = dict(ask(store, "SELECT reason, count(*) FROM dead_letter GROUP BY reason"))
    assert {one["reason"]: one["letters"] for one in found["reasons"]} == by_reason
    assert found["letters"] == sum(by_reason.values())
