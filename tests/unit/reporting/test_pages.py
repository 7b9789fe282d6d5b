"""What people read in each situation: the line of `health`, `report`, and the page.

The whole text of each page is in a golden file (`pytest --snapshot-update` renews it).
"""

import datetime as dt
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from reporting_support import (
    API_URL,
    DENIED,
    DISK_FULL,
    DOWN,
    HOSTILE,
    NAMES,
    STOPPED_BY_SIGNAL,
    amount,
    at,
    check_page,
    daily,
    failed,
    overview,
    readable,
    reporter,
    row,
    rows_of,
    run,
    shop,
)
from syrupy.assertion import SnapshotAssertion

from target_liveintent.errors import ConfigurationError
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.privacy.redaction import hide_token
from target_liveintent.reporting.headline import health_line
from target_liveintent.reporting.history import Ending, Finding, Range, RunRecord, Unusual
from target_liveintent.reporting.overview import Overview, with_examples
from target_liveintent.reporting.page import (
    as_json,
    as_lines,
    figures_to_show,
    page,
    top_of_axis,
    weeks_of,
    write_page,
)
from target_liveintent.reporting.rules import RULES
from target_liveintent.run.counts import StreamCounts
from target_liveintent.store.places import NO_OUTCOME, WAITING, PlaceRow

NOTHING = {"streams": {"orders": shop(0)}}
UNSETTLED = {hour: {"orders": StreamCounts(read)} for hour, read in ((9, 70), (10, 74))}
"""What two failed runs of today read; the second one reads the records of the first one again."""
CHANGED = {"version": "target-liveintent 2", "settings": {**NAMES, "presets": "ba9876543210"}}
"""What a run has after a change of the version and of a setting."""
HOUR = dt.timedelta(hours=1)


class Situation(NamedTuple):
    """Runs, what is not well then, how old the last one may be, and what waits."""

    runs: list[RunRecord]
    causes: str = ""
    max_age: dt.timedelta | None = None
    waiting: tuple[PlaceRow, ...] = ()

    @property
    def overview(self) -> Overview:
        """The overview of the situation."""
        rows = [*rows_of(self.runs), *self.waiting]
        return overview(self.runs, max_age=self.max_age, rows=rows)


def after(days: int, *last: RunRecord, **usual: Any) -> list[RunRecord]:
    """Return runs of so many days before today, and then the last runs."""
    return [*daily(days, 1, **usual), *last]


def today(hour: int = 12, streams: dict[str, StreamCounts] | None = None, **changes: Any) -> Any:
    """Return a run of today."""
    return run(at(0, hour), streams=streams or {"orders": shop()}, **changes)


def not_sent(**reasons: int) -> dict[str, StreamCounts]:
    """Return a hundred conversions, and records that were not sent."""
    return {"orders": shop(not_sent=reasons)}


FINDINGS = {
    "conversions": Finding(count=3, usual=Range(90, 100, 110)),
    "decline": Finding(count=620, whole=1_000, weeks=8),
    "average_value": Finding("EUR", average=Decimal(5_000), usual=Range(45, 50, 55)),
    "new_currency": Finding("EUR", 7, 90),
    "coverage": Finding("md5", 30, 100, usual=Range(0.9, 0.93, 0.97)),
    "new_reason": Finding("invalid_source", 2),
    "late": Finding(usual=Range(0.9, 0.93, 0.97)),
    "dead_letters": Finding(
        count=40, usual=Range(0, 1, 3), main_reason="invalid_source", main_count=39
    ),
}
"""What each rule can find."""


def unusual(rule: str) -> Any:
    """Return a run of today in which a rule found something unusual."""
    finding = FINDINGS.get(rule, Finding())
    return today(unusual=[Unusual(rule, "shop: orders", finding, at(0, 11))])


def everything_is_wrong() -> list[RunRecord]:
    """Return runs of which the last ones failed, after days of which all figures were bad."""
    reasons = {"no_identity": 500, "invalid_source": 90, "event_too_old": 9, "missing_key": 3}
    streams = {
        "orders": shop(20, hashes=2, late=20, not_sent=reasons),
        "visits": shop(3, not_sent={"reason_of_tomorrow": 1}),
    }
    found = [Unusual(rule, "orders", FINDINGS[rule], at(0, 9)) for rule in RULES]
    bad = [one for one in daily(10, 1, streams=streams, **CHANGED) if one.day != at(4).date()]
    by_hand = run(at(4), "replay", streams={"orders": shop(70)}, **CHANGED)
    ended = [today(hour, streams, ending=DENIED, **CHANGED, unusual=found) for hour in (9, 10)]
    usual = daily(30, 11, streams={"orders": shop(), "visits": shop(7)})
    return [*usual, *bad, by_hand, *ended]


CURRENCIES = {
    "EUR": amount(70, "3500.50"),
    "USD": amount(15, "-1200.25"),
    "JPY": amount(10, 2_000_000),
    "": amount(4, 40),
    "CHF": amount(1, 9),
}
"""There are more refunds than sales in one of them."""
FIRST_RUN = run(
    at(0, 16),
    "backfill",
    streams={"orders": shop(264, late=200, not_sent={"no_identity": 19})},
)
"""A first run with rows of five days, of which some with a value could not be sent."""
LATE_DAYS = shop(late=90, values={"EUR": amount(100, "4999.96")})
ROUNDED = {"orders": shop(values={"EUR": amount(100, "5000.004")})}  # Shown as 5,000.
ONE, MORE = {"orders": shop(1)}, {"orders": shop(101, values={"EUR": amount(100, 5_000)})}
GROWN = [*daily(40, 35), *daily(34, 1, streams=MORE)]
"""The usual range begins at 100.4, which is shown as 100."""
VISITS = {"streams": {"visits": shop(0)}}
MANY = Unusual("dead_letters", "orders", FINDINGS["dead_letters"], at(0, 10))
SITUATIONS: dict[str, Situation] = {
    "all is usual": Situation(daily(40)),
    "no history": Situation([], "no_run"),
    "the first run": Situation([FIRST_RUN]),
    "the first run, days ago": Situation([run(at(3), "backfill")]),
    "only a replay": Situation([run(at(0), "replay")], "no_run"),
    "too little history": Situation(daily(5)),
    "nothing was sent": Situation(after(40, today(**NOTHING))),
    "fewer": Situation(after(40, today(streams={"orders": shop(60)}))),
    "more": Situation(after(40, today(streams={"orders": shop(140)}))),
    "outside of the usual range": Situation(after(40, today(streams={"orders": LATE_DAYS}))),
    "a replay beside": Situation([*GROWN, today(), run(at(0, 13), "replay", streams=ONE)]),
    "no run for days": Situation(daily(40, 3), "no_run"),
    "no run for two days": Situation(daily(40, 2)),
    "no run for too long": Situation(daily(40, 2), "no_run", 3 * HOUR),
    "stopped": Situation(after(40, today(13, ROUNDED, ending=STOPPED_BY_SIGNAL))),
    "failed": Situation(
        after(40, *(today(hour, UNSETTLED[hour], ending=DENIED) for hour in (9, 10))),
        "failed",
        waiting=(
            row(at(0, 9), WAITING, 70, "3500", days=6.5, reason=NO_OUTCOME),
            row(at(0, 10), WAITING, 4, "3324", "JPY", days=6, reason=NO_OUTCOME),
        ),
    ),
    "failed once, long ago": Situation([*daily(40, 9), run(at(8), ending=DOWN)], "failed no_run"),
    "another loader failed": Situation(
        after(
            40, today(9, ending=DENIED, **VISITS), today(10, ending=DISK_FULL, **VISITS), today(11)
        ),
        "failed",
    ),
    "a rule of another version": Situation(after(40, unusual("x")), "unusual"),
    **{f"unusual: {rule}": Situation(after(40, unusual(rule)), "unusual") for rule in RULES},
    "many not sent": Situation(
        after(
            40,
            today(9),
            today(10, not_sent(no_identity=5, invalid_source=9, suppressed=90), unusual=[MANY]),
        ),
        "unusual",
    ),
    "several currencies": Situation(daily(20, streams={"orders": shop(values=CURRENCIES)})),
    "everything is wrong": Situation(
        # (The dead letters have a new reason, which is one problem with their number.)
        everything_is_wrong(),
        f"failed no_run {'unusual ' * (len(RULES) - 1)}",
        HOUR,
    ),
}
DETAILED = ("all is usual", "no history", "the first run", "everything is wrong")
"""Situations of which the whole page is compared, and not only its top."""


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said(name: str, snapshot: SnapshotAssertion) -> None:
    """The text has at most twelve lines, of which each is one line; the page is whole."""
    found = SITUATIONS[name].overview
    causes = SITUATIONS[name].causes.split()
    assert [cause["cause"] for cause in as_json(found)["causes"]] == causes
    lines = as_lines(found)
    assert 3 <= len(lines) <= 12
    assert not [line for line in lines if "\n" in line or not line.strip()]
    html = page(found)
    check_page(html)
    shown = readable(html)
    if name not in DETAILED:
        shown = re.split("Day by day|Numbers of the", shown)[0].rstrip()
    said = ["health", health_line(found), "", "report", *lines, "", "the page", shown]
    assert "\n".join(said) == snapshot


@pytest.mark.parametrize(
    ("name", "alarms"),
    [
        pytest.param("all is usual", [], id="all is usual"),
        pytest.param("outside of the usual range", [], id="outside, nothing wrong"),
        pytest.param("fewer", [], id="fewer, perhaps by chance"),
        pytest.param("unusual: conversions", ["Arrived"], id="far fewer"),
        pytest.param("unusual: decline", ["Arrived"], id="a decline"),
        pytest.param("unusual: average_value", ["Average value in EUR"], id="another unit"),
        pytest.param("unusual: coverage", ["With both hashes"], id="no hashes"),
        pytest.param("unusual: late", ["Sent after more than an hour"], id="late"),
        pytest.param("many not sent", ["Can be replayed, or lost"], id="many dead letters"),
    ],
)
def test_what_alarms(name: str, alarms: list[str]) -> None:
    """A number is marked if a rule finds it, and then the page says that something is wrong."""
    found = overview(SITUATIONS[name].runs)
    html = page(found)
    assert bool(alarms) == bool(found.causes)
    assert ('class="status bad"' in html) == bool(alarms)
    assert re.findall('<th scope="row">([^<]*)</th><td class="bad">', html) == alarms


def test_a_cause_about_dead_letters_has_an_example() -> None:
    """The page, the text, `health` and the JSON name a dead letter that `trace` explains."""
    example = {"invalid_source": "order 7"}.get
    found = with_examples(overview(SITUATIONS["many not sent"].runs), example)
    command = "target-liveintent trace 'order 7'"
    assert command in readable(page(found))
    for text in (*as_lines(found)[1:2], health_line(found)):
        assert f"An example: `{command}`." in text
    assert [cause["example"] for cause in as_json(found)["causes"]] == ["order 7"]
    for situation in ("failed", "unusual: conversions", "no run for days"):
        found = with_examples(overview(SITUATIONS[situation].runs), lambda _: "order 7")
        assert "liveintent trace" not in readable(page(found)) + health_line(found)
    without = with_examples(overview(SITUATIONS["many not sent"].runs), {}.get)
    assert "liveintent trace" not in readable(page(without)) + health_line(without)


def test_only_whole_weeks_have_a_label_below_the_chart() -> None:
    """The space below four or five days is too narrow for a date."""
    labels = [
        (int(length), label)
        for days in range(40, 47)
        for length, label in re.findall(
            r'<span class="w(\d)">([^<]*)</span>', page(overview(daily(days)))
        )
    ]
    assert {length for length, _ in labels} >= {4, 5, 6, 7}
    assert all((length > 5) == bool(label) for length, label in labels)


def failing(code: FailureCode) -> list[RunRecord]:
    """Return usual days, and a run of today that failed."""
    facts = {"requests": 9, "count": 9, "records": 9, "percent": 5, "most": 9}
    return after(40, today(9, ending=failed(code, reason="no_identity", **facts), **NOTHING))


LETTERS_COMMAND = "target-liveintent dead-letters"
COMMANDS: dict[str, tuple[list[RunRecord], str]] = {
    "the token is wrong": (failing(FailureCode.ACCESS_DENIED), ""),
    "too many rejected": (failing(FailureCode.TOO_MANY_REJECTED), LETTERS_COMMAND),
    "all rejected": (failing(FailureCode.NOTHING_DELIVERED), LETTERS_COMMAND),
    "all refused": (failing(FailureCode.ALL_REFUSED), ""),
    "no run": (daily(40, 3), ""),
    "a setting was wrong": (SITUATIONS["many not sent"].runs, "target-liveintent replay"),
    "fewer conversions": (SITUATIONS["unusual: conversions"].runs, ""),
}
"""Runs after which something is wrong, and the command that shows or repairs it."""


@pytest.mark.parametrize(("runs", "command"), COMMANDS.values(), ids=COMMANDS)
def test_the_command_of_a_cause(runs: list[RunRecord], command: str) -> None:
    """The JSON, the text and the page have it; without one, they say what helps."""
    found = overview(runs)
    (cause,) = as_json(found)["causes"]
    assert cause["command"] == command
    assert f"Command: `{command}`" in "\n".join(as_lines(found)) or not command
    (row,) = re.findall('(?s)<section id="causes">.*?</section>', page(found))
    assert re.findall("<code>(target-liveintent[^<]*)</code>", row) == (
        [command] if command else []
    )
    if cause["cause"] == "failed":
        assert "to send it now, start the pipeline by hand" in cause["what_to_do"]


def test_names_are_text(tmp_path: Path) -> None:
    """Whatever a stream, a message or a version is called, the page shows it and runs nothing."""
    hide_token("s3cret-token")
    odd = {HOSTILE: shop(), "s3cret-token": shop(3)}
    found = [Unusual("coverage", HOSTILE, Finding(HOSTILE, 0, 9), at(0, 11))]
    texts = {"version": HOSTILE, "settings": {"timezone": HOSTILE[:40]}}
    ending = Ending(Failure.of(FailureCode.INPUT, text=HOSTILE))
    last = run(at(0), ending=ending, streams=odd, unusual=found, **texts)
    path = tmp_path / "page.html"
    write_page(overview([*daily(20, 1, streams=odd), last]), str(path))
    reader = check_page(path.read_text())
    assert "<script>alert(1)</script>" in reader.text
    assert "s3cret-token" not in reader.text
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        pytest.param({"pixel_id": 4712}, "a-1b2c at api.example.com, pixel 4712", id="pixel"),
        pytest.param({"pixel_id": None}, "a-1b2c at api.example.com", id="pixel of the records"),
        pytest.param(
            {"customer_id": "b-2c3d"}, "b-2c3d at api.example.com, pixel 4711", id="customer"
        ),
        pytest.param(
            {"api_url": "https://test.example.com"},
            "a-1b2c at test.example.com, pixel 4711",
            id="host",
        ),
    ],
)
def test_another_account_or_pixel_does_not_replace_a_page(
    tmp_path: Path, changes: dict[str, Any], other: str
) -> None:
    """A run that would do so ends before it sends anything; its message names both."""
    path = str(tmp_path / "page.html")
    own = {"pixel_id": 4711, "api_url": API_URL, "report_path": path}
    reporter(**own)  # There is no page yet.
    write_page(overview(daily(3)), path)
    reporter(**own)
    reporter(**own | changes | {"dry_run": True})
    with pytest.raises(ConfigurationError) as raised:
        reporter(**own | changes)
    assert str(raised.value) == (
        f"report_path '{path}' is the page of a-1b2c at api.example.com, pixel 4711, and these"
        f" settings are for {other}. Give each account and pixel a report_path of its own. If you"
        " have changed the account or the pixel, move or delete the page"
    )


def test_the_chart_of_days() -> None:
    """Its axis has round numbers; it has all of a day, whoever sent it, and today is apart."""
    replay = run(at(0, 13), "replay", streams={"orders": shop(300)})
    found = overview([*daily(20), replay])
    assert top_of_axis(found) == 400
    html = page(found)
    bars = re.findall(r'<rect class="(day|last)" x="([^"]*)" y="([^"]*)"', html)
    assert bars[-2:] == [("day", "19.14", "-25.0"), ("last", "20.64", "-100.0")]
    assert "Conversions of 21 days, from 0 to 400 a day" in html
    tops = [top_of_axis(overview(daily(20, streams={"orders": shop(n)}))) for n in (1, 5, 401)]
    assert tops == [4, 8, 480]
    assert [top_of_axis(overview(some)) for some in ([], daily(0), daily(20, **NOTHING))] == [0] * 3
    weeks = weeks_of(found.days)
    assert [first.weekday() for first, _ in weeks] == [3, 0, 0, 0]
    assert [length for _, length in weeks] == [4, 7, 7, 3]


def test_what_is_usual_is_behind_the_bars_of_days_that_are_over() -> None:
    """The band ends before today while a run is still due today."""
    hourly = [run(at(back, hour)) for back in range(20, -1, -1) for hour in (11, 12)]
    for runs, end in ((daily(20), "21.0"), (hourly, "19.5")):
        html = page(overview(runs))
        (band,) = re.findall(r'<path class="band" d="([^"]*)"', html)
        assert max(re.findall(r"[ML]([\d.]+)", band), key=float) == end
        assert html.index('class="band" d=') < html.index('<rect class="day"')


def test_a_part_that_is_the_whole_is_not_repeated() -> None:
    """If all conversions come from one source, the page says their number once."""
    found = overview(daily(20))
    names = [figure.figure for figure in figures_to_show(found)]
    assert {"conversions", "both_hashes", "decision_id"} <= {*names}
    assert not {"web", "app", "offline", "email_hash"} & {*names}


def test_on_phones_the_chart_has_four_weeks() -> None:
    """A shorter history has one chart for all screens."""
    for days, names in ((27, []), (28, ["long", "four-weeks"])):
        html = page(overview(daily(days)))
        assert re.findall(r'<figure class="([^"]*)"', html) == names


def test_a_refund_is_below_zero() -> None:
    """A small chart shows the days from the lowest to the highest number."""
    refunds = {"orders": shop(values={"EUR": amount(100, -400)})}
    found = overview([*daily(20, 2, streams=refunds), *daily(1)])
    (path,) = re.findall('aria-label="Value in EUR, [^"]*"><path d="([^"]*)"', page(found))
    drawn = re.split("[ML]", path)[1:]
    assert (drawn[0], drawn[-1]) == ("9.5 100.0", "29.5 0.0")
    assert len(drawn) == 21


@pytest.mark.parametrize("total", ["0.01", "34000000", "1e30"], ids=["a cent", "yen", "huge"])
def test_coordinates_do_not_grow_with_the_numbers(total: str) -> None:
    """Browsers draw coordinates above some 33 million at a wrong place."""
    streams = {"orders": shop(100, values={"JPY": amount(100, total)})}
    html = page(overview(daily(20, streams=streams)))
    boxes = [text.split() for text in re.findall(r'viewBox="([^"]*)"', html)]
    assert {height for *_, height in boxes} == {"100"}
    drawn = [float(number) for number in re.findall(r' (?:y|y1|y2|height)="([^"]*)"', html)]
    drawn += [
        float(n) for path in re.findall(' d="([^"]*)"', html) for n in re.findall(r"-?[\d.]+", path)
    ]
    assert max(drawn) == 100
    assert min(drawn) == -100


def test_an_amount_without_end_is_drawn() -> None:
    """Numbers that no money has do not break a chart."""
    huge = {"EUR": amount(1, "1e300"), "USD": amount(1, "-1e300"), "JPY": amount(1, "1e-300")}
    html = page(overview(daily(20, streams={"orders": shop(3, values=huge)})))
    check_page(html)
    assert "nan" not in html
    assert "inf" not in html.replace("information", "")
