"""The rules of what is unusual: where each begins, and what it says."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from history_support import TODAY, at, day, days_before, figures, run, usual_days

from target_liveintent.reporting.history.judge import judge, lines, unusual_now
from target_liveintent.reporting.history.model import (
    BACKFILL,
    CANARY,
    DRY_RUN,
    REPLAY,
    DayFigures,
    History,
    RunFigures,
    StreamFigures,
    Unusual,
    ValueSum,
)
from target_liveintent.reporting.history.rules import RULES
from target_liveintent.reporting.history.usual import (
    Range,
    chance_of_so_few,
    comparable,
    range_of,
    stream_days,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

UTC = dt.timezone.utc


def orders(count: int = 1_000, **changes: Any) -> StreamFigures:
    """Return the figures of a usual day, or of another one."""
    share = {name: round(count * part) for name, part in {"md5": 0.9, "decision_id": 0.3}.items()}
    usual = {
        "within_an_hour": round(count * 0.9),
        "having": share,
        "not_sent": {"no_identity": 30},
        "values": {"EUR": ValueSum(count, Decimal(50 * count))},
    }
    return figures(count, **{**usual, **changes})


def found(
    now: StreamFigures, days: Sequence[DayFigures] | None = None, hour: int = 12
) -> dict[tuple[str, str], str]:
    """Return what is unusual today, in words, by rule and subject."""
    history = History([*(usual_days(20, orders()) if days is None else days)])
    judged = judge(history, run("now", at(TODAY, hour), orders=now), UTC)
    return {(one.rule, one.subject): one.words for group in judged.values() for one in group}


def test_a_usual_day_is_not_unusual() -> None:
    assert found(orders()) == {}


CASES = [
    (orders(501), []),
    (orders(499), [("conversions", "")]),
    (orders(0, values={}), [("conversions", "")]),
    (orders(values={"EUR": ValueSum(1_000, Decimal(499_990))}), []),
    (orders(values={"EUR": ValueSum(1_000, Decimal(500_000))}), [("average_value", "EUR")]),
    (orders(values={"EUR": ValueSum(1_000, Decimal(5_000))}), [("average_value", "EUR")]),
    (orders(values={"EUR": ValueSum(1_000, Decimal(5_010))}), []),
    (orders(values={"EUR": ValueSum(4, Decimal(4_000))}), []),
    (orders(values={"USD": ValueSum(1_000, Decimal(9_000_000))}), []),
    (orders(having={"md5": 721, "decision_id": 300}), []),
    (orders(having={"md5": 719, "decision_id": 300}), [("coverage", "md5")]),
    (orders(having={}), [("coverage", "md5"), ("coverage", "decision_id")]),
    (orders(not_sent={"no_identity": 500}), []),
    (orders(not_sent={"no_consent": 1}), [("new_reason", "no_consent")]),
    (orders(not_sent={"reason_of_tomorrow": 1}), [("new_reason", "reason_of_tomorrow")]),
    (orders(within_an_hour=1), []),
    (orders(within_an_hour=0), [("late", "")]),
]


@pytest.mark.parametrize(("now", "expected"), CASES)
def test_where_each_rule_begins(now: StreamFigures, expected: list[tuple[str, str]]) -> None:
    assert list(found(now)) == expected


def test_each_rule_has_its_own_wording() -> None:
    """It says what it found, what is usual, and what to look at."""
    now = orders(
        400,
        values={"EUR": ValueSum(400, Decimal(2_000_000))},
        having={"md5": 360, "decision_id": 20},
        not_sent={"no_consent": 7},
        within_an_hour=0,
    )
    texts = found(now)
    assert {rule for rule, _ in texts} == RULES.keys()
    for key, part in {
        ("conversions", ""): "400 conversions in the last 24 hours, but 1,000 are usual",
        ("average_value", "EUR"): "average value in EUR was 5,000.00 in the last 24 hours, but"
        " 50.00 is usual",
        ("coverage", "decision_id"): "in the last 24 hours, 5 % of the conversions had a value in"
        " decision_id (decision ID), but 30 % is usual",
        (
            "new_reason",
            "no_consent",
        ): "7 records were not sent because of a reason that has never occurred before,"
        " no_consent: The stream has a column",
        ("late", ""): "0 % of the conversions were sent within an hour of their event time, but",
    }.items():
        assert part in texts[key]


@pytest.mark.parametrize("count", [0, 1, 13])
def test_nothing_is_judged_before_14_days(count: int) -> None:
    """A day counts if usual runs ended on it and the stream was known."""
    assert found(orders(0), usual_days(count, orders())) == {}
    gaps = [day(days_before(40), run("x", at(days_before(40)), visits=orders()))]
    assert found(orders(0), [*gaps, *usual_days(count, orders())]) == {}


def test_a_day_without_usual_runs_is_a_gap() -> None:
    """A day with usual runs of other streams is a zero."""
    runs = {
        4: run("a", at(days_before(4)), orders=orders()),
        3: run("b", at(days_before(3)), DRY_RUN, orders=orders()),
        2: run("c", at(days_before(2)), visits=orders()),
    }
    days = [day(days_before(back), one) for back, one in runs.items()]
    found = {at: one.delivered for at, one in stream_days(days, "orders")}
    assert found == {days_before(4): 1_000, days_before(2): 0}


def test_with_14_days_it_is() -> None:
    assert ("conversions", "") in found(orders(0, values={}), usual_days(14, orders()))


def test_a_small_shop_is_not_judged_by_chance() -> None:
    """With 20 conversions a day, seven are a holiday's bad luck; none at all are not."""
    days = usual_days(20, orders(20))
    assert found(orders(7), days) == {}
    assert list(found(orders(0, values={}), days)) == [("conversions", "")]
    assert found(orders(0, values={}), usual_days(20, orders(5))) == {}
    assert found(orders(2, having={}), days).keys() == {("conversions", "")}


def test_a_stream_that_is_late_on_some_days_anyway_is_not_judged_by_others() -> None:
    """Two late days of ten are usual."""
    days = usual_days(20, orders())
    for one in days[::5]:
        one.usual["orders"].within_an_hour = 0
    assert found(orders(within_an_hour=0), days) == {}


def test_a_single_conversion_breaks_no_law() -> None:
    """That all conversions had a column does not make one without it improbable."""
    always = orders(having={"md5": 1_000, "decision_id": 300})
    days = usual_days(20, always)
    assert ("coverage", "md5") not in found(orders(1, having={}), days)
    assert ("coverage", "md5") in found(orders(9, having={}), days)


def test_a_stream_that_varies_anyway_is_not_judged_by_its_middle() -> None:
    """Days of which some are small do not make a small day unusual."""
    dates = [days_before(back) for back in range(20, 0, -1)]
    days = [
        day(one, run(f"{one}", at(one), orders=orders(1_000 if n % 4 else 100)))
        for n, one in enumerate(dates)
    ]
    assert found(orders(120), days) == {}
    assert ("conversions", "") in found(orders(50), days)


def test_weekdays_are_compared_after_four_weeks() -> None:
    """A shop that sells little on Mondays: found unusual before, and not after four of them."""
    dates = [days_before(back) for back in range(35, 0, -1)]
    days = [
        day(one, run(f"{one}", at(one, 23), orders=orders(1_000 if one.weekday() else 300)))
        for one in dates
    ]
    assert found(orders(300), days, hour=23) == {}
    assert ("conversions", "") in found(orders(140), days, hour=23)
    assert len(comparable([*stream_days(days, "orders")], TODAY)) == 5
    weeks = [one for one in days if one.day >= days_before(28)]
    assert len(comparable([*stream_days(weeks, "orders")], TODAY)) == 4
    young = [one for one in days if one.day >= days_before(27)]
    assert len(comparable([*stream_days(young, "orders")], TODAY)) == 27


def test_the_24_hours_take_in_yesterday() -> None:
    """Runs of yesterday count from the same hour on, the one before that belongs to the past."""
    yesterday = days_before(1)
    before = [one for one in usual_days(20, orders()) if one.day < yesterday]
    runs = [
        run("out", at(yesterday, 12), orders=orders(300, not_sent={"no_consent": 1})),
        run("in", at(yesterday, 13), orders=orders(300)),
    ]
    days = [*before, day(yesterday, *runs)]
    assert found(orders(300, not_sent={"no_consent": 1}), days) == {}
    assert ("conversions", "") in found(orders(300), days, hour=13)
    assert ("new_reason", "no_consent") in found(orders(300), days, hour=11)


@pytest.mark.parametrize("kind", [DRY_RUN, CANARY, REPLAY, BACKFILL])
def test_other_runs_are_neither_judged_nor_usual(kind: str) -> None:
    """They are not judged, do not count as usual, and do not fill the 24 hours."""
    other = run("x", at(TODAY, 11), kind, orders=orders())
    assert judge(History(usual_days(20, orders())), other, UTC) == {}
    days = [
        day(one.day, *(run("x", at(one.day), kind, orders=orders()),)) for one in usual_days(20)
    ]
    assert found(orders(0), days) == {}
    assert ("conversions", "") in found(
        orders(0, values={}), [*usual_days(20, orders()), day(TODAY, other)]
    )


def test_a_stream_without_records_is_judged() -> None:
    """A SCHEMA came and nothing else: that is what the first rule is for."""
    assert list(found(StreamFigures())) == [("conversions", "")]


def both_days(count: int) -> list[DayFigures]:
    """Return days before today that have a run with two streams each."""
    dates = [days_before(back) for back in range(count, 0, -1)]
    return [day(one, run(f"{one}", at(one), orders=orders(), visits=orders())) for one in dates]


@pytest.mark.parametrize(("now", "gone"), [({}, "orders visits"), ({"visits": orders()}, "orders")])
def test_a_stream_that_does_not_come_any_more_is_judged(now: dict[str, Any], gone: str) -> None:
    """Neither a SCHEMA nor a record came: of one stream, or of all."""
    history = History(both_days(20))
    judged = judge(history, run("now", at(TODAY), **now), UTC)
    found = [one for group in judged.values() for one in group]
    assert [(one.rule, one.stream) for one in found] == [
        ("conversions", stream) for stream in gone.split()
    ]
    first = run("now", at(TODAY), **now)
    first.unusual = found
    history = History([*history.days, day(TODAY, first)])
    assert [one.stream for one in unusual_now(history)] == gone.split()
    again = judge(history, run("again", at(TODAY, 13), **now), UTC)
    assert {one.since for group in again.values() for one in group} == {at(TODAY)}
    back = run("back", at(TODAY, 14), orders=orders(), visits=orders())
    assert unusual_now(History([*history.days[:-1], day(TODAY, first, back)])) == []


def test_the_streams_of_another_loader_are_judged_by_its_own_runs() -> None:
    """They come in runs without these streams: a daily loader is not late beside an hourly one."""
    dates = [days_before(back) for back in range(20, 0, -1)]
    days = [
        day(
            one,
            run(f"o{one}", at(one), orders=orders()),
            run(f"v{one}", at(one, 9), visits=orders()),
        )
        for one in dates
    ]
    judged = judge(History(days), run("now", at(TODAY, 12), orders=orders()), UTC)
    assert {stream for _, stream in judged} == {"orders"}
    # Nor is a daily one that sends all streams.
    days = [
        day(
            one,
            run(f"o{one}", at(one, 9), orders=orders()),
            run(f"b{one}", at(one), orders=orders(), visits=orders()),
        )
        for one in dates
    ]
    judged = judge(History(days), run("now", at(TODAY, 13), orders=orders()), UTC)
    assert {stream for _, stream in judged} == {"orders"}


def test_a_stopped_run_forgets_nothing() -> None:
    """It was not judged: what was unusual before it still is."""
    fault = Unusual("conversions", "orders", "", at(TODAY, 10), "words")
    bad, stopped = (run(name, at(TODAY, 10), orders=orders()) for name in ("bad", "stopped"))
    bad.unusual, stopped.ending = [fault], "stopped"
    assert unusual_now(History([day(TODAY, bad, stopped)])) == [fault]


def test_a_rule_says_it_once_a_day() -> None:
    """Later runs of the day find it as well, since the same time, and do not say it again."""
    history = History(usual_days(20, orders()))
    said = []
    runs: list[RunFigures] = []
    for hour in (13, 14, 23, 24 + 1):
        moment = at(TODAY) + dt.timedelta(hours=hour - 12)
        one = run(f"{hour}", moment, orders=orders(0, values={}))
        judged = judge(history, one, UTC)
        one.unusual = [finding for group in judged.values() for finding in group]
        said += [*lines(judged)]
        runs.append(one)
        (unusual,) = one.unusual
        assert unusual.since == at(TODAY, 13)
        assert unusual.said == (hour in {13, 25})
        today = [of for of in runs if of.ended_at.date() == moment.date()]
        earlier = [of for of in history.days if of.day < moment.date()]
        history = History([*earlier, day(moment.date(), *today)])
        assert unusual_now(history) == one.unusual
    assert len(said) == 2
    assert said[0].startswith("orders: unusual: 0 conversions in the last 24 hours")


def test_a_line_names_five_findings() -> None:
    reasons = {f"reason_{n}": 1 for n in range(7)}
    history = History(usual_days(20, orders()))
    judged = judge(history, run("now", at(TODAY), orders=orders(not_sent=reasons)), UTC)
    (line,) = lines(judged)
    assert "reason_4" in line
    assert "reason_5" not in line
    assert line.endswith("; and 2 more")


def test_what_is_usual_again_is_forgotten() -> None:
    """What the last run of a stream did not find is not unusual any more."""
    fault = Unusual("conversions", "orders", "", at(TODAY, 10), "words")
    bad, good = (
        run("bad", at(TODAY, 10), orders=orders()),
        run("good", at(TODAY, 11), orders=orders()),
    )
    bad.unusual = [fault]
    assert unusual_now(History([day(TODAY, bad)])) == [fault]
    assert unusual_now(History([day(TODAY, bad, good)])) == []
    other = run("visits", at(TODAY, 11), visits=orders())
    assert unusual_now(History([day(TODAY, bad, other)])) == [fault]


def test_the_range_of_figures() -> None:
    """Eight of ten lie between the ends."""
    assert range_of([]) is None
    assert range_of([3]) == Range(3, 3, 3)
    assert range_of(range(11)) == Range(1, 5, 9)
    assert range_of([10, 0]) == Range(1, 5, 9)


def test_the_chance_of_so_few() -> None:
    """It is exact for nothing, and a bound above the true chance for more."""
    assert chance_of_so_few(0, 5) == pytest.approx(math.exp(-5))
    assert chance_of_so_few(0, 5, 10) == pytest.approx(0.5**10)
    poisson = sum(math.exp(-20) * 20**n / math.factorial(n) for n in range(6))
    assert poisson < chance_of_so_few(5, 20) < 10 * poisson
    binomial = sum(math.comb(40, n) for n in range(9)) / 2**40
    assert binomial < chance_of_so_few(8, 20, 40) < 10 * binomial
    assert chance_of_so_few(9, 10, 10) == 0
