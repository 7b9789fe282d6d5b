"""The counts of a run: they add up, they are judged fairly, and they alarm nobody."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from fakes import FakeClock

from target_liveintent.conversions import DEAD_LETTERS, Rejection
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
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
    "deleted",
    "no_consent",
    "suppressed",
    "already_sent",
    "over_limit",
    "other_account",
    "expired",
}
NEVER_KEPT = {"deleted", "no_consent", "suppressed", "already_sent", "over_limit", "expired"}


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
    exempt = {"event_too_old", "no_identity", "other_account", *NEVER_KEPT}
    assert {name for name, reason in REASONS.items() if not reason.is_bad} == exempt


def test_which_reasons_have_no_letter() -> None:
    """What must not be kept, or need not be, is only counted, and never sent by a replay."""
    assert {name for name, reason in REASONS.items() if not reason.letter} == NEVER_KEPT
    assert not any(REASONS[name].replayed for name in NEVER_KEPT)


def test_which_letters_are_not_replayed() -> None:
    """What may have been counted or is another's, was never mapped or is too old, is not sent."""
    kept = {name for name, reason in REASONS.items() if reason.is_kept}
    others = {"event_too_old", "other_account"}
    assert kept == {"mapping_failed", "unconfirmed", "api_error", *others}


@pytest.mark.parametrize(
    ("read", "bad", "percent", "fails"),
    [
        (99, 98, 50, False),
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


@pytest.mark.parametrize("reason", sorted(NEVER_KEPT - {"already_sent"}))
def test_what_is_dropped_is_no_bad_record(reason: str) -> None:
    """Neither does it count as bad, nor does it dilute the share of what is."""
    report = _report(1_100, 50, invalid_source=50)
    report.of("orders").dropped[reason] = 1_000
    assert report.too_many_rejected(50, at_end=True) is None
    assert "50 of 100" in str(report.too_many_rejected(49, at_end=True))


def test_what_was_sent_already_counts_as_delivered() -> None:
    """A tap that brings old rows again is not blamed for a few new ones that are bad."""
    report = _report(1_000, 0, invalid_source=100)
    report.of("orders").dropped["already_sent"] = 900
    assert report.too_many_rejected(50, at_end=True) is None
    assert "100 of 1000" in str(report.too_many_rejected(9, at_end=True))


# A run that delivers nothing


@pytest.mark.parametrize(
    ("delivered", "bad", "percent", "fails"),
    [
        (0, 9, 50, False),
        (0, 10, 50, True),
        (0, 10, 99, True),
        (0, 10, 100, False),
        (0, 10, 0, True),
        (1, 90, 50, False),
    ],
)
def test_a_run_that_delivers_nothing(delivered: int, bad: int, percent: int, fails: bool) -> None:
    """Ten records that are rejected fail it, unless the percentage is 100."""
    report = _report(delivered + bad, delivered, invalid_source=bad)
    problem = report.too_many_rejected(percent, at_end=True)
    assert (problem is not None) == fails
    assert report.too_many_rejected(percent, at_end=False) is None


def test_why_a_run_that_delivers_nothing_fails() -> None:
    """The message names the reason, what to do about it, and the setting."""
    problem = _report(12, 0, invalid_source=9, missing_event_time=3).too_many_rejected(
        50, at_end=True
    )
    assert problem is not None
    assert problem.startswith(
        "nothing was delivered, and 12 records became dead letters. The most frequent reason is"
        " invalid_source (9 records). "
    )
    assert REASONS["invalid_source"].meaning in problem
    assert "set max_dead_letter_percent to 100" in problem
    assert "\n" not in problem


def test_what_was_sent_already_is_delivered() -> None:
    """A run of known events, and of ten that are bad, does not fail."""
    report = _report(12, 0, invalid_source=11)
    report.of("orders").dropped["already_sent"] = 1
    assert report.has_taken
    assert report.too_many_rejected(50, at_end=True) is None


@pytest.mark.parametrize(
    "reason", ["no_identity", "event_too_old", *sorted(MAY_HAVE_COUNTED)], ids=str
)
def test_a_run_that_delivers_nothing_for_other_reasons(reason: str) -> None:
    """Guests and old events are no mistake; what may have been counted must not come again."""
    assert _report(50, **{reason: 50}).too_many_rejected(50, at_end=True) is None


def test_what_is_on_its_way_may_be_delivered() -> None:
    """While a record has no outcome, the run has not delivered nothing."""
    assert _report(20, invalid_source=19).too_many_rejected(50, at_end=True) is None


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
    assert said.startswith("orders: value is empty in all events. ")
    report.of("orders").delivered = 9
    assert list(report.advice("letters")) == []


def test_a_column_that_is_empty_for_all_who_are_not_sent() -> None:
    """What guests lack is no mistake where others have it."""
    report = _report(read=40, delivered=15, no_identity=25)
    report.of("orders").left_out.update({"value empty": 25})
    assert [x for x in report.advice("letters") if "is empty in all" in x] == []


def test_a_column_that_a_warning_names() -> None:
    """What a warning says is not said again."""
    report = _report(read=60, delivered=60)
    counts = report.of("orders")
    counts.mapped = frozenset({"email"})
    counts.left_out.update({"email empty": 60, "value empty": 60})
    (warned,) = report.warnings()
    assert warned.startswith(
        "orders: in 60 of 60 events, the column email did not identify a person (60 empty, 0 "
    )
    (said,) = report.advice("letters")
    assert said.startswith("orders: value is empty in all events. ")


@pytest.mark.parametrize(
    ("reason", "is_event"),
    [
        ("no_identity", True),
        ("refused_by_api", True),
        ("unconfirmed", True),
        ("already_sent", True),
        ("over_limit", True),
        ("no_consent", False),
        ("invalid_source", False),
        ("event_too_old", False),
        ("mapping_failed", False),
    ],
)
def test_records_that_became_events(reason: str, is_event: bool) -> None:
    """Those of which all columns were read, and those that are on their way."""
    counts = StreamCounts(read=20, filtered=2, unmapped=1, delivered=4)
    counts.not_replayed.update(unconfirmed=2)
    outcomes = counts.rejected if REASONS[reason].letter else counts.dropped
    outcomes[reason] = 5
    assert counts.events == 4 + 6 + (5 if is_event else 0)


def test_what_is_mapped_in_several_runs() -> None:
    """The columns of a stream are those of all its runs together."""
    first, second = RunCounts(), RunCounts()
    first.of("orders").mapped = frozenset({"email"})
    second.of("orders").mapped = frozenset({"md5"})
    first.add(second)
    assert first.of("orders").mapped == {"email", "md5"}


def test_advice_on_what_was_not_sent() -> None:
    """Each reason has its line, the most frequent first, of dead letters and of what is dropped."""
    report = _report(read=21, invalid_source=3, no_identity=5)
    report.of("orders").dropped.update(no_consent=4, suppressed=2, already_sent=6, over_limit=1)
    report.of("orders").mapped = frozenset({"email"})
    sent, *reasons, letters = report.advice("letters.singer", "do this")
    assert sent == (
        f"already_sent 6: {REASONS['already_sent'].meaning} To send events again that are in"
        " the ledger, set ledger to false for one run, or remove all events from the ledger: do"
        " this"
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
    without_file = next(report.advice("letters.singer"))
    assert without_file == sent.partition(", or remove all events")[0]


def test_the_end_of_a_replay_does_not_offer_another_one() -> None:
    """It says which dead letters are left, and when another replay helps; a dry run does not."""
    for report in (RunCounts(), RunCounts(dry_run=True)):
        counts = report.of(DEAD_LETTERS)
        counts.read = 3
        counts.rejected.update(no_identity=2)
        counts.not_replayed.update(api_error=1)
        lines = [*report.advice("letters.singer")]
        assert not any("--replay sends" in line for line in lines)
        if report.dry_run:
            continue
        assert lines[-1] == (
            "the dead letters that this replay did not send are in letters.singer (no_identity 2,"
            " api_error 1). Before the next replay, do what the page 'Reasons' of the documentation"
            " says about the reasons in the brackets above. Otherwise, the next replay has the same"
            " result"
        )
    done = RunCounts()
    done.of(DEAD_LETTERS).delivered = 3
    assert [*done.advice("letters.singer")] == []


def test_one_record_is_no_plural() -> None:
    """A warning about one record does not say "1 records"."""
    report = RunCounts()
    report.copies["orders", "leads"] = 1
    (warning,) = report.warnings()
    assert warning.startswith("for 1 record, there are two events with the same ID: one of")


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


REPLAY_REASONS = (
    "missing_event_time",
    "invalid_event_time",
    "event_in_future",
    "no_identity",
    "invalid_source",
    "invalid_pixel_id",
    "refused_by_api",
    "not_processed",
    "api_error",
    "unconfirmed",
)
"""The reasons that a replay can give to a dead letter that it has tried to send."""


def test_advice_in_a_replay_does_not_speak_of_maps() -> None:
    """No stream map applies to dead letters, so a map is no advice; another run is told of it."""
    report = RunCounts()
    counts = report.of(DEAD_LETTERS)
    counts.rejected.update(REPLAY_REASONS)
    dropped = NEVER_KEPT - {"deleted"}  # A dead letter has no column that marks a deleted row.
    counts.dropped.update(dropped)
    counts.read = len(REPLAY_REASONS) + len(dropped)
    lines = [*report.advice("letters.singer"), *report.warnings()]
    assert {line.partition(" ")[0] for line in lines} >= {*REPLAY_REASONS, *dropped}
    assert not [line for line in lines if re.search(r"\bmap", line, re.IGNORECASE)]
    report.of("orders").read = 1
    assert any("Map `event_time`" in line for line in report.advice("letters.singer"))


@pytest.mark.parametrize(("read", "said"), [(100, "100 of 100"), (12, "nothing was delivered")])
@pytest.mark.parametrize("reason", ["missing_event_time", "invalid_source"])
def test_why_a_replay_fails(read: int, said: str, reason: str) -> None:
    """Neither message about its dead letters speaks of maps."""
    report = RunCounts()
    counts = report.of(DEAD_LETTERS)
    counts.read = counts.rejected[reason] = read
    problem = str(report.too_many_rejected(50, at_end=True))
    assert said in problem
    assert "map" not in problem.lower()


def test_advice_on_a_first_run_over_old_rows() -> None:
    """Nothing is wrong with it, and no replay can help: so it is not told to run more often."""
    report = _report(read=500, delivered=20, event_too_old=480)
    advice, letters = report.advice("letters.singer")
    assert "run more often" not in advice.lower()
    assert "first run" in advice
    assert letters == (
        "dead letters are in letters.singer, but a replay cannot send any of them; the page"
        " 'Reasons' of the documentation explains why"
    )
    report.of("orders").rejected["invalid_source"] = 1
    assert [*report.advice("letters.singer")][-1].endswith(
        "; to see what to do, and which dead letters a replay can send, run target-liveintent"
        " --dead-letters (in Meltano: meltano invoke target-liveintent:dead-letters)"
    )


def test_dead_letters_of_other_accounts() -> None:
    """A warning counts them and names whose they are, the most frequent first, but not all."""
    report = RunCounts()
    assert [*report.warnings()] == []
    report.other_accounts.update({"a-1b2c at x.example.com, pixel 7": 2, "b-1b2c at y": 3})
    more = RunCounts()
    more.other_accounts.update({f"b-{n}": 1 for n in range(5)})
    report.add(more)
    (warning,) = report.warnings()
    assert warning.startswith(
        "this replay does not send 10 dead letters of another account or pixel (3 for b-1b2c at y;"
        " 2 for a-1b2c at x.example.com, pixel 7; 1 for b-0; 1 for b-1; 1 for b-2; and 2 others)."
    )
    assert "replay_other_accounts" in warning


# Warnings


def test_a_warning_of_what_is_lost() -> None:
    """Each stream has a line for each reason that counts; guests and old events have none."""
    report = _report(20, 10, invalid_source=2, missing_event_time=1, no_identity=4, event_too_old=3)
    refunds = report.of("refunds")
    refunds.read = 3
    refunds.rejected.update(refused_by_api=3)
    report.of("guests").read = 5
    report.of("guests").rejected.update(no_identity=5)
    todo = ". The summary at the end of the log says what to do"
    assert list(report.warnings()) == [
        f"orders: 2 of 20 records not delivered because of invalid_source{todo}",
        f"orders: 1 of 20 records not delivered because of missing_event_time{todo}",
        (
            "refunds: 3 of 3 records not delivered because of refused_by_api. No event of this"
            f" stream was delivered{todo}"
        ),
    ]


def _rejected_sources(*sources: Any) -> str:
    """Return the warning of a stream whose records were rejected for their source."""
    report = RunCounts()
    counts = report.of("orders")
    for source in sources:
        counts.read += 1
        columns = {} if source is None else {"source": source, "order_id": "secret"}
        counts.reject(Rejection("orders", "1", "invalid_source", "source", columns))
    (said,) = report.warnings()
    return said


def test_the_warning_shows_sources() -> None:
    """It shows the five most frequent values, and says if there are more."""
    said = _rejected_sources("desk", "site", "desk", None)
    assert said.startswith(
        "orders: 4 of 4 records not delivered because of invalid_source (desk 2, site 1, (none) 1)"
        ". No event"
    )
    said = _rejected_sources(*"aabcdefg")
    assert " (a 2, b 1, c 1, d 1, e 1, others). " in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "source",
    [
        "Ann Smith",
        "ann@example.com",
        "+4915112345678",
        "4915112345678",
        "a" * 25,
        "12345",
        "555-123-4567",
        "24-12-1990",
        {"name": "ann"},
        ["ann"],
        "a\nb",
    ],
)
def test_the_warning_shows_nobody(source: Any) -> None:
    """A wrong column may be mapped, so only a short word is shown."""
    said = _rejected_sources(source, "desk", source)
    assert said.startswith(
        "orders: 3 of 3 records not delivered because of invalid_source (desk 1, others). No event"
    )


def test_many_sources() -> None:
    """However many values there are, few are remembered."""
    report = RunCounts()
    counts = report.of("orders")
    for n in range(1_000):
        counts.reject(Rejection("orders", "1", "invalid_source", "source", {"source": f"s{n}"}))
    assert len(counts.sources) <= 51
    assert counts.sources.total() == 1_000


def test_other_columns_are_never_shown() -> None:
    """Only of a source that cannot be used is the value shown."""
    counts = StreamCounts(read=1)
    columns = {"source": "desk", "pixel_id": "ann"}
    counts.reject(Rejection("orders", "1", "invalid_pixel_id", "pixel_id", columns))
    assert counts.sources == {}


def test_two_maps_that_make_the_same_event() -> None:
    """The warning names the two streams, the count and the column to map, in all runs together."""
    first, second = RunCounts(), RunCounts()
    first.copies["orders", "leads"] = second.copies["orders", "leads"] = 600
    first.add(second)
    (said,) = first.warnings()
    assert said == (
        "for 1,200 records, there are two events with the same ID: one of stream orders and one of"
        " stream leads. Only the event of orders is sent. In the map of leads, map event_id to"
        " other IDs"
    )


def test_a_stream_without_consent() -> None:
    """A stream of which every record lacks consent is warned of: its column is wrong, perhaps."""
    report = _report(10)
    report.of("orders").dropped["no_consent"] = 10
    (said,) = report.warnings()
    assert said.startswith(
        "orders: 10 of 10 records not delivered because of no_consent. No event of this stream was"
    )
    report.of("orders").delivered, report.of("orders").read = 1, 11
    assert list(report.warnings()) == []
    report = _report(9)
    report.of("orders").dropped["no_consent"] = 9
    assert list(report.warnings()) == []


@pytest.mark.parametrize("reason", ["event_too_old", "no_identity"])
def test_consent_that_only_some_lack(reason: str) -> None:
    """Records that are not sent for another reason have consent, so the column is right."""
    report = _report(30, **{reason: 10})
    report.of("orders").dropped["no_consent"] = 20
    assert list(report.warnings()) == []


def test_records_whose_consent_is_not_judged() -> None:
    """Rows that a map drops, or that were deleted, do not show that the column is right."""
    report = _report(30)
    report.of("orders").filtered = 5
    report.of("orders").dropped.update(no_consent=20, deleted=5)
    (said,) = report.warnings()
    assert said.startswith(
        "orders: 20 of 30 records not delivered because of no_consent. No event of this stream was"
    )


def test_a_stopped_run_has_not_delivered_nothing() -> None:
    """What has no outcome may come in the next run; a dry run would deliver nothing."""
    (said,) = _report(3, missing_event_time=2).warnings()
    assert said.startswith(
        "orders: 2 of 3 records not delivered because of missing_event_time. The"
    )
    report = RunCounts(dry_run=True)
    report.of("orders").read = 1
    report.of("orders").rejected["missing_event_time"] = 1
    (said,) = report.warnings()
    assert ". No event of this stream would be delivered. " in said


def test_a_zone_that_is_never_used() -> None:
    """It is warned of once, with the streams whose times all had a zone."""
    report = _report(3, 3)
    report.of("refunds").delivered = 1
    report.of(DEAD_LETTERS).delivered = 1
    report.of("empty").read = 1
    report.of("planned").rejected["event_in_future"] = 1
    assert [x for x in report.warnings() if "setting 'timezone'" in x] == []
    for name in ("UTC", "utc"):
        assert [x for x in report.warnings(name) if "setting 'timezone'" in x] == []
    (said,) = (x for x in report.warnings("Europe/Berlin") if "timezone" in x)
    assert said.startswith(
        "setting 'timezone' has no effect on the event times of orders, refunds, planned, because "
    )
    assert "local_time(…)" in said
    assert [
        x for x in report.advice("letters", timezone="Europe/Berlin") if "setting 'timezone'" in x
    ] == []
    # Where another stream needs the setting, these may do without it.
    report.of("bookings").delivered = 1
    report.of("bookings").note_zone_use()
    assert [x for x in report.warnings("Europe/Berlin") if "setting 'timezone'" in x] == []
    assert said in report.advice("letters", timezone="Europe/Berlin")
    assert [x for x in report.advice("letters", timezone="UTC") if "setting 'timezone'" in x] == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_advice_on_dead_letters_that_are_not_replayed(dry_run: bool) -> None:
    """It says where they are kept; a dry run, which writes none, says nothing of it."""
    report = RunCounts(dry_run=dry_run)
    report.of("letters").not_replayed.update(unconfirmed=2)
    expected = (
        []
        if dry_run
        else ["not replayed 2 (unconfirmed 2); these dead letters are kept in letters.singer"]
    )
    assert list(report.advice("letters.singer")) == expected
