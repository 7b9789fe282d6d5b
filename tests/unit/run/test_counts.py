"""The counts of a run: they add up, they are judged fairly, and they alarm nobody."""

from __future__ import annotations

from collections import Counter

import pytest
from fakes import FakeClock

from target_liveintent.reasons import REASONS
from target_liveintent.run.counts import RunCounts, StreamCounts

SPECIFIED = {
    "missing_event_time",
    "event_too_old",
    "event_in_future",
    "no_identity",
    "invalid_source",
    "invalid_pixel_id",
    "missing_key",
    "mapping_failed",
    "schema_violation",
    "refused_by_api",
    "not_processed",
    "unconfirmed",
    "no_consent",
    "suppressed",
    "already_sent",
    "over_limit",
}
NEVER_KEPT = {"no_consent", "suppressed", "already_sent", "over_limit"}


def _report(read: int, delivered: int = 0, **rejected: int) -> RunCounts:
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered = read, delivered
    counts.rejected.update(rejected)
    return report


def test_the_reasons_of_the_specification_are_there() -> None:
    """Their names are stable: people filter by them."""
    assert set(REASONS) >= SPECIFIED
    for reason in REASONS.values():
        assert reason.meaning.endswith(".")


def test_which_reasons_count() -> None:
    """What every honest run has does not count towards the limit."""
    exempt = {"event_too_old", "no_identity", *NEVER_KEPT}
    assert {name for name, reason in REASONS.items() if not reason.is_bad} == exempt


def test_which_reasons_have_no_letter() -> None:
    """What must not be kept, or need not be, is only counted, and never sent by a replay."""
    assert {name for name, reason in REASONS.items() if not reason.letter} == NEVER_KEPT
    assert not any(REASONS[name].replayed for name in NEVER_KEPT)


def test_which_letters_are_not_replayed() -> None:
    """What may have been counted already, and what was never mapped, is not sent by itself."""
    kept = {name for name, reason in REASONS.items() if not reason.replayed}
    assert kept - NEVER_KEPT == {"mapping_failed", "unconfirmed", "api_error"}


@pytest.mark.parametrize(
    ("read", "bad", "percent", "fails"),
    [
        (99, 99, 50, False),
        (100, 50, 50, False),
        (100, 51, 50, True),
        (100, 100, 100, False),
        (100, 1, 0, True),
        (100, 0, 0, False),
        (1_000, 10, 1, False),
        (1_000, 11, 1, True),
        (1_001, 501, 50, True),
        (1_001, 500, 50, False),
    ],
)
def test_the_limit(read: int, bad: int, percent: int, fails: bool) -> None:
    """Above the percentage the run fails, from 100 records on; at it, it does not."""
    report = _report(read, read - bad, invalid_source=bad)
    assert (report.too_many_rejected(percent, at_end=True) is not None) == fails


@pytest.mark.parametrize("reason", ["event_too_old", "no_identity"])
def test_guests_and_old_events_do_not_count(reason: str) -> None:
    """A shop of guests is no broken map."""
    assert _report(1_000, **{reason: 1_000}).too_many_rejected(0, at_end=True) is None


@pytest.mark.parametrize("reason", sorted(NEVER_KEPT))
def test_what_is_dropped_is_no_bad_record(reason: str) -> None:
    """Neither does it count as bad, nor does it dilute the share of what is."""
    report = _report(1_100, 50, invalid_source=50)
    report.of("orders").dropped[reason] = 1_000
    assert report.too_many_rejected(50, at_end=True) is None
    assert "50 of 100" in str(report.too_many_rejected(49, at_end=True))


def test_why_the_run_fails() -> None:
    """The message names the setting, the share, the reason and what to do."""
    problem = _report(200, 50, invalid_source=100, missing_event_time=50).too_many_rejected(
        50, at_end=True
    )
    assert problem is not None
    assert "max_dead_letter_percent" in problem
    assert "150 of 200" in problem
    assert "invalid_source" in problem
    assert "\n" not in problem


def test_the_limit_is_for_the_run() -> None:
    """Streams are judged together."""
    report = _report(60, 0, invalid_source=60)
    counts = report.of("refunds")
    counts.read = counts.delivered = 60
    assert report.too_many_rejected(50, at_end=True) is None
    assert report.too_many_rejected(49, at_end=True) is not None


def test_totals_add_up() -> None:
    """Read is the sum of all fates; what is missing shows."""
    counts = StreamCounts(read=20, filtered=1, unmapped=2, delivered=4)
    counts.not_replayed.update(unconfirmed=1, mapping_failed=2)
    counts.rejected.update(no_identity=5, refused_by_api=2)
    counts.dropped.update(no_consent=1, suppressed=1, already_sent=1)
    assert counts.unsettled == 0
    counts.read += 1
    assert counts.unsettled == 1


def test_the_total_is_the_sum_of_streams() -> None:
    """A total per fate, reason and column."""
    report = RunCounts()
    for name in ("a", "b"):
        counts = report.of(name)
        counts.read, counts.filtered, counts.unmapped = 15, 1, 2
        counts.dropped.update(already_sent=3, no_consent=2)
        counts.delivered = 3
        counts.not_replayed.update(unconfirmed=1)
        counts.rejected.update(no_identity=2, event_too_old=1)
        counts.left_out.update(value=4)
    total = report.total
    assert (total.read, total.filtered, total.unmapped) == (30, 2, 4)
    assert (total.not_replayed, total.delivered) == ({"unconfirmed": 2}, 6)
    assert total.rejected == {"no_identity": 4, "event_too_old": 2}
    assert total.dropped == {"already_sent": 6, "no_consent": 4}
    assert total.left_out == {"value": 8}
    assert total.unsettled == 0
    assert report.of("a") is report.of("a")


def test_the_summary_of_a_run_of_nothing() -> None:
    """Every number starts at zero."""
    (line,) = RunCounts(clock=FakeClock()).lines()
    assert line == (
        "total: read 0, filtered 0, unmapped 0, delivered 0, dead-lettered 0; 0 requests,"
        " 0 retries, 0 throttled, 0.0 s"
    )


def test_the_summary() -> None:
    """A line for each stream and one for all, with every number that the user needs."""
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.filtered, counts.unmapped, counts.delivered = 16, 2, 3, 5
    counts.rejected.update(no_identity=4, event_too_old=2)
    counts.left_out.update(value=7)
    report.requests, report.retries = 8, 9
    stream, total = report.lines()
    for line in (stream, total):
        for words in (
            "read 16",
            "filtered 2",
            "unmapped 3",
            "delivered 5",
            "dead-lettered 6",
            "no_identity 4",
            "event_too_old 2",
            "value 7",
        ):
            assert words in line
    assert stream.startswith("orders")
    assert "8 requests" in total
    assert "9 retries" in total
    assert total.rstrip().endswith(" s")
    assert "dropped" not in stream + total


def test_the_summary_names_what_was_dropped() -> None:
    """What was not to be sent is counted by reason, and no dead letter."""
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered = 9, 3
    counts.dropped.update(already_sent=3, no_consent=2, suppressed=1)
    for line in report.lines():
        assert "dead-lettered 0," in line
        assert "dropped 6 (already_sent 3, no_consent 2, suppressed 1)" in line
        assert "not settled" not in line


def test_a_clean_summary_alarms_nobody() -> None:
    """Meltano takes the words for a failure, in any case."""
    report = _report(10, 10)
    text = "\n".join(
        [*report.lines(), *RunCounts().lines(), *RunCounts(dry_run=True).lines()]
    ).lower()
    assert "error" not in text
    assert "exception" not in text


def test_a_dry_run_does_not_say_delivered() -> None:
    """Nothing was sent, and the summary does not claim it."""
    report = RunCounts(dry_run=True)
    report.of("orders").delivered = 3
    assert "would be delivered 3" in next(report.lines())


def test_a_column_that_is_always_empty_is_told() -> None:
    """A value that no event has is a mistake in the map, most times."""
    report = _report(read=20, delivered=20)
    report.of("orders").left_out.update({"value empty": 20, "ip empty": 19, "currency": 20})
    (said,) = report.advice("letters")
    assert said.startswith("orders: value is empty in all events; ")
    report.of("orders").delivered = 9
    assert list(report.advice("letters")) == []


def test_advice_on_what_was_not_sent() -> None:
    """Each reason has its line, the most frequent first, of dead letters and of what is dropped."""
    report = _report(read=21, invalid_source=3, no_identity=5)
    report.of("orders").dropped.update(no_consent=4, suppressed=2, already_sent=6, over_limit=1)
    sent, *reasons, letters = report.advice("letters.singer", "l.sqlite")
    assert sent == (
        f"already_sent 6: {REASONS['already_sent'].meaning} To send such events again, set ledger"
        " to false for one run, or forget them all: delete the ledger's files, l.sqlite*"
    )
    assert reasons == [
        f"{reason} {count}: {REASONS[reason].meaning}"
        for reason, count in (
            ("no_identity", 5),
            ("no_consent", 4),
            ("invalid_source", 3),
            ("suppressed", 2),
            ("over_limit", 1),
        )
    ]
    assert letters.startswith("dead letters are in letters.singer; ")


def test_how_long_a_run_takes() -> None:
    """The seconds of a run go on from those that had passed before."""
    clock = FakeClock()
    report = RunCounts(seconds=5.0, clock=clock)
    assert report.seconds == 5.0
    clock.now += 2.5
    assert report.seconds == 7.5
    assert [*report.lines()][-1].endswith(" 7.5 s")
    assert RunCounts(clock=clock).seconds == 0.0


def test_counts_of_several_runs() -> None:
    """The counts of a run are added to those of another, stream by stream."""
    first, second = _report(read=3, delivered=2, no_identity=1), _report(read=5, delivered=5)
    first.requests, first.retries = 2, 1
    second.requests, second.retries = 7, 4
    second.of("refunds").read = 1
    first.add(second)
    assert (first.requests, first.retries) == (9, 5)
    assert first.of("orders") == StreamCounts(read=8, delivered=7, rejected=Counter(no_identity=1))
    assert first.of("refunds").read == 1


@pytest.mark.parametrize("dry_run", [False, True])
def test_advice_on_dead_letters_that_are_not_replayed(dry_run: bool) -> None:
    """It says where they are kept; a dry run, which writes none, says nothing of it."""
    report = RunCounts(dry_run=dry_run)
    report.of("letters").not_replayed.update(unconfirmed=2)
    expected = [] if dry_run else ["not replayed 2 (unconfirmed 2): kept in letters.singer"]
    assert list(report.advice("letters.singer")) == expected
