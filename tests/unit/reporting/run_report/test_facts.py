"""The facts of a run report: its first lines and its figures."""

from __future__ import annotations

import datetime as dt

import pytest
from report_support import MadeUpRun
from unit_support import DAY, NOW, TIME

from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.run_report.model import FAILED, STOPPED, Ending
from target_liveintent.run.counts import RunCounts


def test_a_good_run() -> None:
    """A run without a fault has no advice, and all its records went."""
    facts = MadeUpRun().deliver(1_234).facts()
    has, missing, late = facts.conclusions
    assert has == "LiveIntent has 1,234 conversions from this run."
    assert missing == "No record that your maps select was left out."
    assert late == (
        "100 % of the conversions were sent within an hour after they happened, and 100 % within a"
        " day. The oldest conversion was 1 minute old."
    )
    assert facts.advice == []
    assert "badge done" in MadeUpRun().deliver().page()


def test_what_did_not_go() -> None:
    """Reasons stand in the order of their counts, with what to do about the first."""
    run = (
        MadeUpRun()
        .deliver(5)
        .reject(no_identity=4, event_too_old=3, already_sent=4, unconfirmed=2, api_error=1)
    )
    has, missing, late, *_ = run.facts().conclusions
    assert has == (
        "LiveIntent has 5 conversions from this run. LiveIntent already had the events of 4 more"
        " records. LiveIntent may have 3 more, but has not confirmed them."
    )
    assert missing.startswith(
        "10 records were not sent: 4 `no_identity`, 3 `event_too_old`, 2 `unconfirmed`,"
        " 1 `api_error`. `no_identity`: The record has no usable e-mail address"
    )
    assert late.endswith("3 more were too old to be sent.")


def test_a_replay() -> None:
    """It does not speak of maps, which do not apply to dead letters; what is kept is counted."""
    run = MadeUpRun().reject(DEAD_LETTERS, expired=3, missing_event_time=1)
    run.deliver(2, DEAD_LETTERS, at=TIME + 3 * DAY, ip=None, currency=None)
    run.counts.of(DEAD_LETTERS).not_replayed["other_account"] += 1
    run.counts.of(DEAD_LETTERS).read += 1
    facts = run.facts()
    assert facts.conclusions[:3] == [
        "LiveIntent has 2 conversions from this run.",
        (
            "4 records were not sent: 3 `expired`, 1 `missing_event_time`. `expired`:"
            f" {REASONS['expired'].meaning}"
        ),
        "Not replayed, and kept: 1 dead letter.",
    ]
    assert facts.advice == []
    assert facts.total.unsettled == 0
    whole = run.page()
    assert [one.reason for one in facts.not_sent] == ["expired", "missing_event_time"]
    assert "maps" not in whole
    assert " map " not in whole.lower()
    assert "not replayed" in whole


def test_a_replay_that_held_nothing_back() -> None:
    run = MadeUpRun().deliver(2, DEAD_LETTERS)
    assert run.facts().conclusions[1] == "No record that this replay may send was left out."


def test_unsettled_records() -> None:
    """Records that a failed run left unsettled count as records that were not sent."""
    run = MadeUpRun().deliver(5)
    run.counts.of("orders").read += 7
    facts = run.facts(Ending(FAILED, "the API denied access"))
    assert facts.conclusions[1] == (
        "7 records were not sent: 7 without an outcome, which the next run sends."
    )
    text = run.page(Ending(FAILED, "the API denied access"))
    assert "badge failed" in text
    assert "the API denied access" in text
    assert "without an outcome" in text


def test_how_late_they_were() -> None:
    run = MadeUpRun().deliver(1).deliver(2, at=TIME + 7_200).deliver(1, at=TIME + 3 * DAY)
    assert run.facts().conclusions[2] == (
        "25 % of the conversions were sent within an hour after they happened, and 75 % within a"
        " day. The oldest conversion was 3 days old."
    )
    (freshness,) = run.facts().freshness
    assert (freshness.events, freshness.within_an_hour, freshness.within_a_day) == (4, 1, 3)
    assert (freshness.oldest_seconds, freshness.window_days) == (3 * DAY, 7)
    assert sum(step.events for step in freshness.steps) == 4


def test_a_dry_run() -> None:
    """Nothing was sent, and the page does not claim it."""
    run = MadeUpRun(dry_run=True).deliver(3).reject(no_identity=1)
    facts = run.facts()
    assert facts.conclusions[0] == (
        "A dry run: 3 conversions would be sent. LiveIntent has none of them."
    )
    assert "1 record would not be sent" in facts.conclusions[1]
    assert "would be sent within an hour" in facts.conclusions[2]
    assert "dry run" in run.page()
    assert ">LiveIntent has<" not in run.page()


def test_a_canary() -> None:
    assert "canary: limit 10" in MadeUpRun(limit=10).deliver(10).page()


def test_stopped() -> None:
    text = MadeUpRun().deliver().page(Ending(STOPPED, "stopped by SIGTERM"))
    assert "badge stopped" in text
    assert "stopped by SIGTERM" in text


def test_latencies() -> None:
    """Half and 95 of 100 requests took at most the bound of a step; the longest is exact."""
    run = MadeUpRun()
    run.tally.delivered("orders", [], [], [0.01] * 6 + [1.0] * 13 + [4.5])
    run.counts.requests, run.counts.retries = 20, 2
    requests = run.facts().requests
    assert (requests.count, requests.retries) == (20, 2)
    assert (requests.half_within, requests.most_within, requests.longest) == (1.0, 1.0, 4.5)
    run.tally.delivered("orders", [], [], [0.01] * 20)
    assert run.facts().requests.half_within == 0.01
    assert sum(step.requests for step in requests.steps) == 20


def test_latencies_are_rounded() -> None:
    """Seconds that requests took have four digits after the point."""
    run = MadeUpRun()
    run.tally.delivered("orders", [], [], [0.123456])
    requests = run.facts().requests
    rounded = (requests.half_within, requests.most_within, requests.longest)
    assert rounded == (0.1235, 0.1235, 0.1235)


def test_when_it_was() -> None:
    """The end is the given time, and the start is as many seconds before it as the run took."""
    run = MadeUpRun()
    run.counts = RunCounts(seconds=90.25)
    facts = run.facts()
    started, ended = (
        dt.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
        for moment in (facts.started_at, facts.ended_at)
    )
    assert ended == NOW
    assert ended - started == pytest.approx(facts.seconds, abs=1.1)
    assert facts.seconds >= 90.25
