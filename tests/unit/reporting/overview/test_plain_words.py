"""What the page says to those who do not run the program."""

from __future__ import annotations

import datetime as dt
import html
import re
from typing import TYPE_CHECKING, Any

import pytest
from overview_support import NOW, at, daily, entry, figures, overview, random_entries

from target_liveintent.config import settings_of
from target_liveintent.delivery import failures
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history.model import Unusual
from target_liveintent.reporting.history.rules import RULES
from target_liveintent.reporting.overview import plain
from target_liveintent.reporting.overview.model import AS_USUAL, LOW
from target_liveintent.reporting.overview.page import page
from target_liveintent.reporting.run_report.advice import GAPS

if TYPE_CHECKING:
    from target_liveintent.reporting.history.model import RunEntry
    from target_liveintent.reporting.overview.model import Overview

DENIED = "the API denied access (401): renew the token"
BROKEN = {"ending": "failed", "message": DENIED, "streams": {"orders": figures(0)}}
NEW = {"settings": "new", "names": {"timezone": "America/New_York", "presets": "ba9876543210"}}
HASHES = "with a hash of an e-mail address"


def words(entries: list[RunEntry] | Overview) -> str:
    """Return the page without markup."""
    found = overview(entries) if isinstance(entries, list) else entries
    text = page(found, None).replace("<code>", "").replace("</code>", "")
    return html.unescape(re.sub("<[^>]*>", " ", text))


def plainly(entries: list[RunEntry] | Overview) -> str:
    """Return the page without markup, with single spaces."""
    return " ".join(words(entries).split())


def lower_since_weeks(today: int = 60, **changed: Any) -> list[RunEntry]:
    """Return runs with fewer hashes since 16 days, of which the last has a share of its own."""
    lower = daily(16, 1, streams={"orders": figures(hashes=60)}, **changed)
    return [
        *daily(80, 17),
        *lower,
        entry(at(0), streams={"orders": figures(hashes=today)}, **changed),
    ]


# What fell weeks ago


def test_what_fell_weeks_ago_is_not_as_usual() -> None:
    """Neither in the headline nor in the tile nor in the table, although its range has it."""
    found = overview(lower_since_weeks())
    hashes = found.figure("email_hash")
    assert hashes.usual is not None
    assert hashes.usual.low <= 0.6
    before = "lower than before 4 May (100 %)"
    text = page(found, None)
    assert f'<div class="tile bad"><b>60 %</b><span>{HASHES}; {before}</span>' in text
    assert f'<b class="bad long">{before}</b>' in text
    verdict = f"Since 4 May, the share of conversions {HASHES} has been lower than before."
    assert f'<p class="verdict calm">{verdict}</p>' in text


def test_what_is_good_again_is_as_usual() -> None:
    """The first good day is no longer lower than before."""
    text = page(overview(lower_since_weeks(today=98)), None)
    assert "than before 4 May (" not in text
    assert "Today is as usual." in text


@pytest.mark.parametrize(
    ("today", "said", "kind"),
    [
        (60, "Today has fewer conversions than usual.", "verdict calm"),
        (100, "Today is as usual.", "verdict "),
        (140, "Today has more conversions than usual.", "verdict "),
    ],
)
def test_the_headline_does_not_contradict_the_first_figure(
    today: int, said: str, kind: str
) -> None:
    """No rule finds anything, but nobody calls a number usual that is outside of its range."""
    last = entry(at(0), streams={"orders": figures(today)})
    found = overview([*daily(40, 1), last])
    assert found.causes == []
    text = page(found, None)
    assert f'<p class="{kind}">{said}</p>' in text
    assert ("Today is as usual" in text) == (today == 100)


def test_a_day_without_conversions_is_not_called_usual() -> None:
    """Even where every day is like that."""
    text = page(overview(daily(40, streams={"orders": figures(0)})), None)
    assert '<p class="verdict calm">No conversion was sent in the last 24 hours.</p>' in text


# What is unusual


@pytest.mark.parametrize("rule", RULES)
def test_what_is_unusual_is_said_in_plain_words(rule: str) -> None:
    """First for those who do not run the program, then with the words of the log."""
    subject = {"average_value": "EUR", "coverage": "ip", "new_reason": "no_identity"}.get(rule, "")
    found = Unusual(rule, "orders", subject, at(0), "words of the log; see whether it is so")
    text = plainly([*daily(40, 1), entry(at(0), unusual=[found])])
    plain_words, _, detail = text.partition(" For the person who runs the pipeline: ")
    assert detail.startswith("orders: words of the log; see whether it is so.")
    assert {
        "conversions": "Fewer than half of the usual conversions of orders were sent",
        "average_value": "The average value in EUR of orders is at least ten times the usual value",
        "coverage": "Fewer conversions of orders than usual have the column ip (IP address).",
        "new_reason": "never occurred before: neither an e-mail address nor a decision ID (no_iden",
        "late": "In the last 24 hours, no conversion of orders was sent within an hour",
    }[rule] in plain_words
    assert " tap " not in plain_words


def test_both_hashes_are_said_once() -> None:
    """They are lost together; whoever runs it sees both lines of the log."""
    found = [Unusual("coverage", "orders", one, at(0), f"few {one}") for one in ("md5", "sha2")]
    text = plainly([*daily(40, 1), entry(at(0), unusual=found)])
    assert text.count("Fewer conversions of orders than usual have the column md5 or sha2") == 1
    assert "orders: few md5." in text
    assert "orders: few sha2." in text


def test_a_rule_of_another_version() -> None:
    """It is shown in the words that the history has."""
    found = Unusual("x", "orders", "", at(0), "something {new}")
    assert "orders: something {new}." in plainly([*daily(40, 1), entry(at(0), unusual=[found])])


# A failure


def test_a_failure() -> None:
    """What happened, who acts, and what is lost by when; then what an operator needs."""
    found = plainly([*daily(40, 1), entry(at(0, 9), **BROKEN), entry(at(0, 10), **BROKEN)])
    assert (
        "Regular runs have sent nothing since 09:05 EDT today: LiveIntent refused the access key"
        " (token). Ask the person who runs the pipeline to renew the token. The first run"
        " that succeeds sends the conversions that are waiting. LiveIntent accepts a conversion"
        " for 7 days (30 days for offline ones), so no waiting conversion is lost before 27 May."
        " For the person who runs the pipeline: The last 2 runs failed: the API denied access"
        " (401): renew the token. Since 2026-05-20 09:05 EDT. Do what the message says."
    ) in found


def test_a_failure_after_a_part() -> None:
    """It is not said that nothing was sent where a part was."""
    part = BROKEN | {"streams": {"orders": figures(7)}}
    found = plainly([*daily(40, 1), entry(at(0, 9), **part), entry(at(0, 10), **BROKEN)])
    assert "sent nothing" not in found
    assert (
        "The last 2 runs failed, the first at 09:05 EDT today, and sent only 7 conversions:"
        " LiveIntent refused the access key"
    ) in found


@pytest.mark.parametrize(("days", "is_lost"), [(6, False), (7, True), (30, True)])
def test_what_is_lost(days: int, is_lost: bool) -> None:
    """The window of the API is 7 days."""
    found = plain.what_waits(NOW - dt.timedelta(days=days), NOW)
    assert found.startswith("Conversions that are older than 7 days") == is_lost
    assert ("no waiting conversion is lost before" in found) != is_lost


@pytest.mark.parametrize(
    ("back", "expected"),
    [(0, "12:05 EDT today"), (1, "12:05 EDT yesterday"), (9, "12:05 EDT on 11 May")],
)
def test_moments(back: int, expected: str) -> None:
    assert plain.time_words(at(back).astimezone(dt.timezone.utc), NOW) == expected


def test_no_run() -> None:
    found = overview(daily(40, 2), max_age=dt.timedelta(hours=3))
    text = plainly(found)
    assert (
        "Regular runs have sent nothing since 12:05 EDT on 18 May, because there was no run. Ask"
        " the person who runs the pipeline whether the schedule still starts the runs."
    ) in text
    assert "For the person who runs the pipeline: There has been no run for 2 days." in text


# What changed


def test_a_possible_cause() -> None:
    """The change is said to be of the same day, and the advice begins with it."""
    found = overview(lower_since_weeks(**NEW, version="target-liveintent 2"))
    text = plainly(found)
    version = "version: target-liveintent 1 became target-liveintent 2"
    assert (
        "On the same day, 1 setting and the version of the program changed, which may be the cause:"
        f" {version}; the ready-made mappings of columns to events (presets) changed."
    ) in text
    assert found.advice[0] == (
        f"The share of conversions {HASHES} fell from 100 % to 60 % on 4 May. Check whether one"
        f" of these changes is the cause, and if so, correct it: {version}; the ready-made"
        " mappings of columns to events (`presets`) changed."
    )


def test_a_change_of_the_day_before() -> None:
    """It may be the cause, too; one of two days before is not named."""
    for back, when in ((17, "On the day before, 1 setting changed"), (18, "")):
        before = [*daily(80, back + 1), *daily(back, 17, **NEW)]
        found = overview([*before, *lower_since_weeks(**NEW)[-17:]])
        assert ("which may be the cause" in words(found)) == bool(when)
        assert when in words(found)
        assert found.advice[0].startswith("The share of") == bool(when)


def test_no_change() -> None:
    assert not overview(lower_since_weeks()).advice[0].startswith("The share of")


def test_the_lines_of_charts_have_dates() -> None:
    text = words([*daily(40, 17), *daily(16, 9, **NEW), *daily(8, version="2", **NEW)])
    assert "settings or version changed: 4 May, 12 May" in text


# Words


def test_every_reason_and_gap_has_words() -> None:
    """Of those that a page can show; what to do is one sentence."""
    assert plain.REASONS.keys() == {name for name, one in REASONS.items() if one.letter}
    for one in plain.REASONS.values():
        assert not re.search(r"[.!?] [A-Z]", one.what_to_do)
        assert one.what_to_do.endswith(".")
    for gap in GAPS:
        assert gap.verb in {"have", "lack"}
        assert "upply" in gap.words
        assert " map " not in gap.words


def test_terms() -> None:
    """Terms of the program are said once or twice, and what the page speaks of is explained."""
    text = plainly(random_entries())
    assert len(re.findall("dead letter", text, re.IGNORECASE)) == 2
    assert "not sent (dead letters)" in text
    assert "as a dead letter, in a file of the person who runs the pipeline" in text
    assert text.count("The program runs again and again") == 1
    assert text.count("LiveIntent publishes no match rate") == 1
    assert text.count("A decision ID is LiveIntent's ID of a click in an e-mail") == 1
    assert text.count("A hash is a coded form of an e-mail address") == 1
    assert "no_identity neither an e-mail address nor a decision ID" in text


def test_a_difference_that_nobody_sees_is_none() -> None:
    """90 % is not lower than 90 to 90 %, whatever the decimals say."""
    usual = daily(40, 1, streams={"orders": figures(10_000, hashes=9_020)})
    for hashes, verdict in ((8_980, AS_USUAL), (8_940, LOW)):
        today = entry(at(0), streams={"orders": figures(10_000, hashes=hashes)})
        assert overview([*usual, today]).figure("email_hash").verdict == verdict


def test_what_is_outside_of_the_usual_range() -> None:
    """Whatever the table calls lower or higher is said at the top; only what is bad is bold."""
    values = figures().values
    cheap = {"EUR": type(values["EUR"])(100, values["EUR"].total / 2)}
    today = entry(at(0), streams={"orders": figures(late=90, values=cheap)})
    text = page(overview([*daily(40, 1), today]), None)
    assert (
        "Outside the usual range (this happens to each figure on two of ten days): sent more"
        " than an hour late 90 % (usual: 5 %), value in EUR 2,500.00 (usual: 5,000.00), average"
        " value in EUR 25.00 (usual: 50.00)."
    ) in text
    assert '<b class="bad">higher</b>' in text
    assert '<td data-head="compared">lower</td>' in text
    found = overview([*daily(40, 1), today])
    assert [one.figure for one in found.figures if one.verdict == LOW] == [
        "total_value",
        "average_value",
    ]
    assert "Outside of" not in page(overview(daily(40)), None)


def test_nothing_is_said_twice() -> None:
    """What has been worse for days, or has too many dead letters, is not "outside" as well."""
    few = daily(4, 0, streams={"orders": figures(hashes=60)})
    text = plainly([*daily(80, 5), *few])
    assert f"{HASHES} has been lower since 16 May: 60 % instead of 100 %." in text
    assert "Outside the" not in text


def test_many_that_were_not_sent() -> None:
    """How many, how many are usual, and why, in plain words; the code for who runs it."""
    today = entry(at(0), streams={"orders": figures(not_sent={"invalid_source": 40})})
    text = plainly([*daily(40, 1), today])
    assert "More conversions than usual could not be sent today." in text
    assert (
        "40 conversions could not be sent in the last 24 hours, but 0 are usual; all of them"
        " for the reason invalid_source: no valid source (web, app or offline). For the"
        " person who runs the pipeline: 40 dead letters in the last 24 hours, but 0 are usual; all"
        " of them for the reason invalid_source. Since 2026-05-20 12:05 EDT. The source is missing"
    ) in text
    assert "Outside the" not in text


def test_usual_numbers_are_whole() -> None:
    """A tenth of a record is none: the range lies between those of two days."""
    runs = daily(40, 1)
    for n, run in enumerate(runs):
        run.run.streams = {"orders": figures(not_sent={"no_identity": 30 + 7 * (n % 5)})}
    many = entry(at(0), streams={"orders": figures(not_sent={"no_identity": 203})})
    usual = re.findall("hours, but (.*?) are usual", plainly([*runs, many]))
    assert len(usual) == 2
    assert all(re.fullmatch("[0-9]+ to [0-9]+", one) for one in usual)


def test_since_when_more_could_not_be_sent() -> None:
    """The headline names the day on which it began, and no "today"."""
    many = daily(9, 0, streams={"orders": figures(not_sent={"no_identity": 60})})
    text = plainly(
        [*daily(80, 10, streams={"orders": figures(not_sent={"no_identity": 1})}), *many]
    )
    assert "Since 11 May, more conversions than usual could not be sent." in text
    assert "could not be sent today" not in text
    assert "60 a day instead of 1. In all, 600 could not be sent since then." in text


def test_yesterday() -> None:
    """The last whole day is said in figures; nothing is said of a day without a run."""
    yesterday = entry(at(1), streams={"orders": figures(71)})
    text = plainly([*daily(40, 2), yesterday, entry(at(0))])
    assert re.search(r"are usual\. Yesterday, \d+ May: 71\. ", text)
    assert "Yesterday," not in plainly([*daily(40, 2), entry(at(0))])
    assert "Yesterday," not in plainly([entry(at(0))])


def test_a_headline_of_two_sentences() -> None:
    """What is unusual today does not hide what has been worse for days."""
    *runs, last = lower_since_weeks()
    last.run.streams["orders"].not_sent = {"invalid_source": 40}
    text = plainly([*runs, last])
    said = f"Since 4 May, the share of conversions {HASHES} has been lower than before."
    assert f"More conversions than usual could not be sent today. {said}" in text


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (
            ("no_identity",),
            "so a conversion of today can be sent until 27 May. Ask the person who runs",
        ),
        (("no_identity", "event_too_old"), "so a conversion of today can be sent until 27 May"),
        (
            ("event_too_old",),
            "for 7 days (30 days for offline ones), so these conversions are too late.",
        ),
    ],
)
def test_whether_anything_is_lost(reasons: tuple[str, ...], said: str) -> None:
    """Until when it can be sent, and by whom; what is too old is lost already."""
    streams = {"orders": figures(not_sent=dict.fromkeys(reasons, 4))}
    text = plainly(daily(20, streams=streams))
    assert "Is anything lost? The program keeps each of these conversions as a dead letter" in text
    assert said in text
    assert ("can be sent until" in text) == (reasons != ("event_too_old",))
    assert "Is anything lost?" not in plainly(daily(20))


# Charts and tiles


def test_days_with_many_that_were_not_sent() -> None:
    """The three with the most are named, with their most frequent reason."""
    peaks = {30: 90, 20: 50, 12: 11, 8: 70, 3: 60}
    runs = [
        entry(
            at(back),
            streams={
                "orders": figures(not_sent={"no_identity": 9, "invalid_source": peaks.get(back, 0)})
            },
        )
        for back in range(60, -1, -1)
    ]
    assert (
        "Days on which many more conversions than usual could not be sent: 99 on 20 April, 90 of"
        " them for invalid_source; 79 on 12 May, 70 of them for invalid_source; 69 on 17 May, 60 of"
        " them for invalid_source."
    ) in plainly(runs)


def test_no_reason_has_the_colour_of_today() -> None:
    letters = {"no_identity": 4, "invalid_source": 3, "event_too_old": 2, "missing_key": 1}
    text = page(overview(daily(20, streams={"orders": figures(not_sent=letters)})), None)
    chart = text.partition('aria-label="Not sent, by reason"')[2].partition("</figure>")[0]
    assert 'class="bars other"' in chart
    assert "rest" not in chart
    assert 'class="key rest">today, until 17:30<' in text


def test_the_first_tile_has_no_verdict() -> None:
    """Its green looked like a good sign under a failure."""
    text = page(overview([*daily(40, 1), entry(at(0), **BROKEN)]), None)
    assert re.findall('class="tile ([a-z]*)"', text)[0] == ""


@pytest.mark.parametrize("kind", [None, "dry_run", "replay"])
def test_gaps(kind: str | None) -> None:
    """Nothing was sent in them, unless somebody sent something by hand."""
    by_hand = [] if kind is None else [entry(at(10), kind)]
    text = plainly([*daily(40, 12), *by_hand, *daily(8)])
    assert ("nothing was sent on these days" in text) == (kind != "replay")
    assert "Where the background is grey" in text
    assert "Where the background is grey" not in plainly(daily(40))


# The messages of the program


def test_the_words_for_failures_fit_the_messages() -> None:
    """Each message that the words are for begins as they expect; others have words, too."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "x", "ledger": False})
    answer = Answer(Verdict.FAULT, "HTTP 503", 503)
    down = "LiveIntent could not be reached, or its API did not work"
    for error, expected in (
        (failures.access_denied(answer, settings), "LiveIntent refused the access key (token)"),
        (failures.outage(answer, None, settings), down),
        (failures.stopped(answer, settings), down),
        (failures.all_refused(3, "HTTP 400"), "LiveIntent refused every conversion"),
        (failures.stopped(None, settings), "the program ended with an error"),
        (None, "the program ended with an error"),
    ):
        message = None if error is None else str(error)
        assert f": {expected}. " in plain.failure(message, 1, 0, at(0), NOW), message
