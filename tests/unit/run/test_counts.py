"""The counts of a run: they add up, they are judged fairly, and they alarm nobody."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from fakes import FakeClock
from syrupy.assertion import SnapshotAssertion
from unit_support import conversion, order

from target_liveintent.conversions.amounts import Amount
from target_liveintent.conversions.event_model import DAY, DEAD_LETTERS
from target_liveintent.failures import CauseHint
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.remarks import UnusableCause
from target_liveintent.run import summary
from target_liveintent.run.counts import RunCounts, StreamCounts
from target_liveintent.run.coverage import HOUR, Timing
from target_liveintent.run.kinds import REPLAY_RUN
from target_liveintent.run.stopping import too_many_rejected

LETTER, KEPT = "has a dead letter", "has a dead letter, which no replay sends"
KINDS = {
    "missing_event_time": ("bad", LETTER),
    "invalid_event_time": ("bad", LETTER),
    "event_too_old": ("", KEPT),
    "event_in_future": ("bad", LETTER),
    "no_identity": ("", LETTER),
    "invalid_source": ("bad", LETTER),
    "invalid_pixel_id": ("bad", LETTER),
    "missing_key": ("bad", LETTER),
    "mapping_failed": ("bad", KEPT),
    "schema_violation": ("bad", LETTER),
    "refused_by_api": ("bad", LETTER),
    "not_processed": ("bad", LETTER),
    "api_error": ("bad", KEPT),
    "unconfirmed": ("bad", KEPT),
    "other_account": ("", KEPT),
    "not_compared": ("", KEPT),
    "not_tried": ("", KEPT),
    **dict.fromkeys(
        ("expired", "deleted", "no_consent", "suppressed", "over_limit", "already_sent"), ("", "")
    ),
}
"""Whether each reason counts towards the limit, and what becomes of the record.

What every honest run has does not count. What must not be kept, or need not be, is only counted.
What may have been counted, is another's, was never mapped or is too old, is not sent by a replay.
"""
DROPPED = [reason for reason, (_, letter) in KINDS.items() if not letter]


def _report(
    read: int,
    delivered: int = 0,
    dropped: Mapping[str, int] | None = None,
    *,
    others: int = 0,
    **rejected: int,
) -> RunCounts:
    report = RunCounts()
    counts = report.of("orders")
    counts.read, counts.delivered = read, delivered
    counts.filtered = counts.unmapped = counts.not_replayed["other_account"] = others
    counts.dropped.update(dropped or {})
    counts.rejected.update(rejected)
    return report


def test_reasons() -> None:
    """Their names are stable, as people filter by them, and so is what becomes of the records."""
    found = {
        name: (
            "bad" if reason.is_bad else "",
            (KEPT if reason.is_kept else LETTER) if reason.letter else "",
        )
        for name, reason in REASONS.items()
    }
    assert found == KINDS
    assert {name for name, reason in REASONS.items() if reason.replayed} == {
        name for name, (_, letter) in KINDS.items() if letter == LETTER
    }
    assert all(reason.meaning.endswith(".") for reason in REASONS.values())


# Too many dead letters


@pytest.mark.parametrize(
    ("report", "percent", "said"),
    [
        # From 100 records on, the run fails above the percentage, and not at it.
        pytest.param(_report(99, 1, invalid_source=98), 50, None, id="fewer than 100 records"),
        pytest.param(_report(100, 50, invalid_source=50), 50, None, id="at the percentage"),
        pytest.param(
            _report(100, 49, invalid_source=51), 50, "51 of 100", id="above the percentage"
        ),
        pytest.param(_report(100, invalid_source=100), 100, None, id="all, where all may be"),
        pytest.param(
            _report(100, 99, invalid_source=1), 0, "1 of 100", id="one, where none may be"
        ),
        pytest.param(
            _report(1_001, 500, invalid_source=501), 50, "501 of 1001", id="just above half of many"
        ),
        # A shop of guests is no broken map.
        pytest.param(
            _report(1_000, event_too_old=500, no_identity=500), 0, None, id="guests and old events"
        ),
        # What was sent already counts as delivered: a tap may bring old rows again.
        pytest.param(
            _report(1_000, dropped={"already_sent": 900}, invalid_source=100),
            50,
            None,
            id="old rows again",
        ),
        pytest.param(
            _report(1_000, dropped={"already_sent": 900}, invalid_source=100),
            9,
            "100 of 1000",
            id="old rows do not dilute",
        ),
        # What else is dropped is no bad record, nor does it dilute the share of what is.
        *(
            pytest.param(
                _report(1_100, 50, {reason: 1_000}, invalid_source=50),
                percent,
                said,
                id=f"{reason} neither counts nor dilutes, {percent} percent",
            )
            for reason in DROPPED
            if reason != "already_sent"
            for percent, said in ((50, None), (49, "50 of 100"))
        ),
        pytest.param(
            _report(3_100, 50, others=1_000, invalid_source=50),
            50,
            None,
            id="other reasons, at the percentage",
        ),
        pytest.param(
            _report(3_100, 50, others=1_000, invalid_source=50),
            49,
            "50 of 100",
            id="other reasons, above the percentage",
        ),
        # If nothing is delivered, ten are too many, unless the percentage is 100.
        pytest.param(
            _report(10, invalid_source=10),
            99,
            "nothing was delivered",
            id="nothing delivered of ten records",
        ),
        pytest.param(
            _report(91, 1, {"already_sent": 1}, invalid_source=89), 50, None, id="one delivered"
        ),
        pytest.param(
            _report(12, dropped={"already_sent": 1}, invalid_source=11),
            50,
            None,
            id="some already sent",
        ),
        # What is on its way may be delivered.
        pytest.param(_report(20, invalid_source=19), 50, None, id="one on its way"),
        # Guests and old events are no mistake; what may have been counted must not come again.
        *(
            pytest.param(_report(50, **{reason: 50}), 50, None, id=f"only {reason}")
            for reason in ("no_identity", "event_too_old", *sorted(MAY_HAVE_COUNTED))
        ),
    ],
)
def test_too_many_rejected(report: RunCounts, percent: int, said: str | None) -> None:
    """At the end of a run, too many dead letters fail it."""
    problem = too_many_rejected(report, percent, at_end=True)
    assert (problem and said in problem.words) if said else problem is None


def test_too_many_rejected_before_the_end() -> None:
    """From 1,000 records on, the percentage counts, for all streams together."""
    report = _report(499, invalid_source=499)
    counts = report.of("refunds")
    counts.read, counts.delivered, counts.rejected["invalid_source"] = 500, 498, 2
    assert too_many_rejected(report, 50, at_end=False) is None
    counts.read, counts.rejected["invalid_source"] = 501, 3
    problem = too_many_rejected(report, 50, at_end=False)
    assert problem
    assert problem.words.startswith("502 of 1000 records became dead letters")


def test_what_came_is_a_value_in_the_failure_and_words_in_its_text() -> None:
    report = _report(100, invalid_source=100)
    cause = UnusableCause("other_source", fact="pos")
    report.of("orders").causes["source"] = Counter({cause: 100})
    problem = too_many_rejected(report, 50, at_end=True)
    assert problem
    assert problem.hints == (CauseHint("other_sources", "orders", (cause,)),)
    assert problem.words.endswith(" Column `source` of stream orders contains: 'pos'.")


# Sums


def test_the_total_is_the_sum_of_streams() -> None:
    """A total per outcome, reason and column, of one run or of several."""

    def counts(n: int, *columns: str) -> StreamCounts:
        return times(
            read=15 * n,
            filtered=n,
            unmapped=2 * n,
            delivered=3 * n,
            not_replayed={"unconfirmed": n},
            dropped={"already_sent": 3 * n, "no_consent": 2 * n},
            rejected={"no_identity": 2 * n, "event_too_old": n},
            remarks=remarks(unusable={"value": 4 * n}),
            mapped=frozenset(columns),
        )

    names = ("requests", "retries", "throttled", "unproven")
    ours = Situation({"a": counts(1, "email")}, dict.fromkeys(names, 2)).report
    both = {"a": counts(1, "md5"), "b": counts(1)}
    theirs = Situation(both, dict.fromkeys(names, 7)).report
    ours.add(theirs)
    assert ours.of("a") == counts(2, "email", "md5")
    assert ours.total == counts(3, "email", "md5")
    assert [ours.total.without_outcome, *(getattr(ours, name) for name in names)] == [0, 9, 9, 9, 9]


def test_records_that_became_events() -> None:
    """Those of which all columns were read, and those that are on their way."""
    rest = {"filtered": 2, "unmapped": 1, "delivered": 4, "not_replayed": {"unconfirmed": 2}}
    found = {one: times(read=20, rejected={one: 5}, **rest).events for one in KINDS}
    assert {*found.values()} == {10, 15}
    assert {reason for reason, count in found.items() if count == 15} == {
        *("already_sent", "api_error", "event_too_old", "no_identity", "not_processed"),
        *("over_limit", "refused_by_api", "unconfirmed"),
    }


def test_a_column_is_not_always_empty_if_only_old_events_lack_it() -> None:
    """The columns of an event are read before the event is found to be too old."""
    old = {"rejected": {"event_too_old": 20}, "remarks": remarks(empty={"value": 20})}
    assert times(read=30, delivered=10, **old).always_empty == []
    assert times(read=20, **old).always_empty == ["value"]


# What a run says


class Situation(NamedTuple):
    """What happened in a run: the figures of its streams, and attributes of the run's figures."""

    streams: dict[str, StreamCounts]
    changes: dict[str, Any] = {}  # noqa: RUF012 (nobody changes it)
    timezone: str = "UTC"

    @property
    def report(self) -> RunCounts:
        """The counts of a run that has taken 7.5 seconds."""
        report = RunCounts(seconds=7.5, clock=FakeClock())
        report.streams.update(self.streams)
        for name, value in self.changes.items():
            setattr(report, name, value)
        return report


def remarks(**kinds: dict[str, int]) -> dict[str, Counter[str]]:
    """Return how often remarks of some kinds were made, by column."""
    return {kind: Counter(columns) for kind, columns in kinds.items()}


TWO, ONE = Amount.of([1.5, 2.25]), Amount.of([7.0])


def times(**counts: Any) -> StreamCounts:
    """Return the counts of a stream; dictionaries are counters."""
    for name, value in counts.items():
        is_counter = isinstance(value, dict) and name != "remarks"
        counts[name] = Counter(value) if is_counter else value
    return StreamCounts(**counts)


def orders(**counts: Any) -> dict[str, StreamCounts]:
    return {"orders": times(**counts)}


ZONED = {
    "orders": times(read=3, delivered=3),
    "refunds": times(read=1, delivered=1),
    "empty": times(read=1, unmapped=1),
    "planned": times(read=1, rejected={"event_in_future": 1}),
}
IN_THE_ZONE = times(read=1, delivered=1, remarks=remarks(local_time={"event_time": 1}))
REPLAYED = times(
    mapped=frozenset({"email", "md5", "sha2"}),
    read=4,
    rejected={"no_identity": 2},
    not_replayed={"api_error": 1, "other_account": 1},
)
SITUATIONS = {
    "nothing was read": Situation({}),
    "each outcome": Situation(
        orders(
            read=24,
            filtered=2,
            unmapped=3,
            delivered=5,
            rejected={"no_identity": 4, "event_too_old": 2},
            dropped={"already_sent": 3, "no_consent": 2, "suppressed": 1, "over_limit": 1},
            not_replayed={"unconfirmed": 1},
            remarks=remarks(unusable={"value": 7}),
        ),
        {"requests": 8, "retries": 9, "throttled": 1},
    ),
    "a dry run that would deliver nothing": Situation(
        orders(read=3, rejected={"missing_event_time": 3}), {"dry_run": True}
    ),
    "lost records, guests and old events": Situation(
        {
            "orders": times(
                read=20,
                delivered=10,
                rejected={"invalid_source": 2, "missing_event_time": 1, "event_too_old": 3},
            ),
            "refunds": times(read=3, rejected={"refused_by_api": 3}),
            "guests": times(
                read=5, rejected={"no_identity": 5}, mapped=frozenset({"email", "source_url"})
            ),
        }
    ),
    "nothing is delivered": Situation(
        orders(read=12, rejected={"invalid_source": 9, "missing_event_time": 3})
    ),
    "columns that are always empty, the second in few events": Situation(
        {
            "orders": times(
                read=10,
                delivered=10,
                remarks=remarks(empty={"value": 10, "ip": 9}, unusable={"currency": 10}),
            ),
            "few": times(read=9, delivered=9, remarks=remarks(empty={"value": 9})),
        }
    ),
    "values in two currencies": Situation(
        {"orders": StreamCounts(read=3, delivered=3, values={"EUR": TWO, "USD": ONE})}
    ),
    "a replay": Situation(
        {DEAD_LETTERS: times(read=2, not_replayed={"other_account": 2})}, {"kind": REPLAY_RUN}
    ),
    "a dry run of a replay": Situation(
        {DEAD_LETTERS: REPLAYED}, {"kind": REPLAY_RUN, "dry_run": True}
    ),
    "no consent: only in the first two, there is a mistake": Situation(
        {
            "all": times(read=13, rejected={"mapping_failed": 3}, dropped={"no_consent": 10}),
            "all others were filtered or deleted": times(
                read=34, filtered=5, unmapped=4, dropped={"no_consent": 20, "deleted": 5}
            ),
            "few": times(read=9, dropped={"no_consent": 9}),
            "guests": times(read=30, rejected={"no_identity": 10}, dropped={"no_consent": 20}),
            "one has it": times(read=21, delivered=1, dropped={"no_consent": 20}),
        }
    ),
    "a zone that is never used": Situation(ZONED, timezone="Europe/Berlin"),
    "a zone that is never used in a replay": Situation(
        {DEAD_LETTERS: times(read=1, delivered=1)},
        {"kind": REPLAY_RUN},
        timezone="Europe/Berlin",
    ),
    "a zone that one stream uses": Situation(
        {**ZONED, "bookings": IN_THE_ZONE}, timezone="Europe/Berlin"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_a_run_says(name: str, snapshot: SnapshotAssertion) -> None:
    """The summary, why the run fails, the warnings and the advice are those of a file.

    To renew it, run pytest with --snapshot-update, and read the difference.
    """
    situation = SITUATIONS[name]
    report = situation.report
    problem = too_many_rejected(report, 50, at_end=True)
    lines = [f"summary: {line}" for line in summary.summary_lines(report)]
    lines += [f"failure: {problem.words}"] if problem else []
    lines += [f"warnings: {line}" for line in summary.warnings(report, situation.timezone)]
    lines += [f"advice: {line}" for line in summary.advice(report, "liveintent.sqlite")]
    assert "\n".join(lines) == snapshot
    assert "dead letters are in" not in "\n".join(summary.advice(report, None))


@pytest.mark.parametrize("name", ["nothing was read", "a zone that is never used"])
def test_a_clean_summary_alarms_nobody(name: str) -> None:
    """Meltano takes the words for a failure, in any case."""
    text = "\n".join(summary.summary_lines(SITUATIONS[name].report)).lower()
    assert not [word for word in ("error", "exception") if word in text]


def test_an_empty_column_is_named_once() -> None:
    """A warning names those that identify a person, and the advice names the others."""
    empty = remarks(empty={"email": 10, "value": 10})
    report = Situation(orders(read=10, delivered=10, remarks=empty)).report
    (warned,), (advised,) = summary.warnings(report), summary.advice(report, None)
    assert warned.startswith("orders: email is empty in all events (10). Check what is mapped to")
    assert advised.startswith("orders: value is empty in all events. To see")


def test_the_advice_names_streams_that_take_the_slower_way() -> None:
    """It is no warning, because only the speed suffers."""
    slow = remarks(slow_path={"currency": 200})
    report = Situation({**orders(read=300, delivered=300, remarks=slow), "few": times()}).report
    assert list(summary.warnings(report)) == []
    (line,) = summary.advice(report, None)
    assert line.startswith("orders: 200 of 300 records were converted in the slow path")
    assert line.endswith(
        "The most frequent cause: the column currency has an unusual value or is missing"
    )


def test_how_soon_events_were_sent() -> None:
    """An event that is sent exactly an hour after its time counts as sent within an hour."""
    counts = StreamCounts()
    event = conversion(order()).event
    ages = (2 * DAY + 1, DAY + 1, HOUR + 1, 0, HOUR, DAY, 2 * DAY)
    counts.count_delivered([event] * len(ages), [event.event_time + age for age in ages])
    assert counts.timing == Timing(2, 4, 6)
