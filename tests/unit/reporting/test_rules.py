"""The rules of what is unusual: where each begins, and what it says."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from reporting_support import MONDAY as TODAY
from reporting_support import (
    STOPPED_BY_SIGNAL,
    amount,
    day,
    days_before,
    figures,
    unusual_after,
    usual_days,
)
from reporting_support import named as run
from reporting_support import on as at
from syrupy.assertion import SnapshotAssertion

from target_liveintent.reporting.history import (
    BACKFILL,
    CANARY,
    REPLAY,
    Day,
    Ending,
    Finding,
    History,
    Unusual,
)
from target_liveintent.reporting.rules import RULES, unusual_now
from target_liveintent.reporting.words import unusual_lines, unusual_words
from target_liveintent.run.counts import StreamCounts


def orders(count: int = 1_000, **changes: Any) -> StreamCounts:
    """Return the figures of a usual day, or of another one."""
    shares = {"md5": 0.9, "both": 0.9, "decision_id": 0.3}
    share = {name: round(count * part) for name, part in shares.items()}
    usual = {
        "within_an_hour": round(count * 0.9),
        "having": share,
        "not_sent": {"no_identity": 30},
        "values": {"EUR": amount(count, 50 * count)},
    }
    return figures(count, **{**usual, **changes})


def found(
    now: StreamCounts, days: Sequence[Day] | None = None, hour: int = 12
) -> dict[tuple[str, str], str]:
    """Return what is unusual today, in words, by rule and subject."""
    history = History([*(usual_days(20, orders()) if days is None else days)])
    judged = unusual_after(history, run("now", at(TODAY, hour), orders=now))
    return {(one.rule, one.finding.subject): unusual_words(one) for one in judged}


def values(count: int, total: int, currency: str = "EUR") -> StreamCounts:
    return orders(values={currency: amount(count, total)})


def two_currencies(euros: int, yen: int) -> StreamCounts:
    """Return conversions with values in two currencies."""
    both = {"EUR": amount(euros, 50 * euros), "JPY": amount(yen, 5_000 * yen)}
    return orders(euros + yen, values=both)


def varied(shares: Callable[[int, dt.date], int], days: int = 20, hour: int = 12) -> list[Day]:
    """Return days before today, of which each has a number of conversions of its own."""
    dates = [days_before(back) for back in range(days, 0, -1)]
    return [
        day(one, run(f"{one}", at(one, hour), orders=orders(shares(n, one))))
        for n, one in enumerate(dates)
    ]


FEW, AVERAGE, LATE = ("conversions", ""), ("average_value", "EUR"), ("late", "")
LETTERS = ("dead_letters", "")
MD5, DECISION_ID = ("coverage", "md5"), ("coverage", "decision_id")
NOTHING = orders(0, values={})
NO_SALES = orders(0, not_sent={}, values={})
NO_SALES_BUT_LETTERS = orders(0, not_sent={"no_identity": 9}, values={})
"""There is no usual share of what could not be sent, so nothing is compared with it."""
USUAL = usual_days(20, orders())
CLEAN = usual_days(20, orders(not_sent={}))
OF_10 = usual_days(20, orders(10))
OF_20 = usual_days(20, orders(20))
"""A small shop, with 20 conversions a day: seven are a holiday's bad luck, and none is not."""
ALWAYS = usual_days(20, orders(having={"md5": 1_000, "decision_id": 300}))
"""That all conversions had a column does not make one without it improbable."""
SOME_WITHOUT_SALES = [*USUAL[:-3], *usual_days(3, NO_SALES)]
"""Days without conversions have no shares to compare with."""
LATE_AT_TIMES = [*USUAL[:-5], *usual_days(5, orders(within_an_hour=0))]
SMALL_AT_TIMES = varied(lambda n, _: 1_000 if n % 4 else 100)
SMALL_ON_MONDAYS = varied(lambda _, one: 1_000 if one.weekday() else 300, 28)
"""A shop that sells little on Mondays is not judged by other weekdays, after four weeks."""
TWO_SMALL_MONDAYS = varied(lambda _, one: 1_000 if one.weekday() else 300)
FOUR_WEEKS_AGO, TOO_OLD = (varied(lambda n, _: 1_000 if n > 2 else 150, n)[:14] for n in (29, 30))
SMALL_LATELY = varied(lambda n, _: 1_000 if n < 11 else 150, 14)
"""A few small days, or two small Mondays, widen the usual range until they are four weeks old."""
GAP = day(days_before(40), run("x", at(days_before(40)), visits=orders()))
OTHERS = day(days_before(5), run("x", at(days_before(5)), visits=orders()))
TRIED = day(days_before(5), run("x", at(days_before(5)), CANARY, orders=orders()))
"""A day on which only other streams came, and one with only a canary."""
SOME_YEN = [*usual_days(20, two_currencies(996, 4))[:-1], *usual_days(1, two_currencies(976, 24))]
"""Days of which exactly 0.5 % of the conversions were in yen, and those of yesterday count once."""
TWO_WEEKS = usual_days(14, orders())
CASES: dict[str, tuple[StreamCounts, list[Day], list[tuple[str, str]]]] = {
    "fewer than half of the usual conversions": (orders(499), USUAL, [FEW]),
    "a little less than ten times the usual average": (values(1_000, 499_990), USUAL, []),
    "ten times the usual average": (values(1_000, 500_000), USUAL, [AVERAGE]),
    "a tenth of the usual average": (values(1_000, 5_000), USUAL, [AVERAGE]),
    "a little more than a tenth of the usual average": (values(1_000, 5_010), USUAL, []),
    "too few values for an average": (values(4, 4_000), USUAL, []),
    "enough values for an average": (values(5, 5_000), USUAL, [AVERAGE]),
    "values that are always zero": (values(1_000, 0), usual_days(20, values(1_000, 0)), []),
    "an average that rises from one to ten": (
        values(1_000, 10_000),
        usual_days(20, values(1_000, 1_000)),
        [AVERAGE],
    ),
    "currencies without names": (values(1_000, 0, "others"), USUAL, []),
    "a new currency": (values(1_000, 9_000_000, "USD"), USUAL, [("new_currency", "USD")]),
    "a currency of few conversions": (two_currencies(951, 49), USUAL, []),
    "a currency of one conversion in twenty": (
        two_currencies(950, 50),
        USUAL,
        [("new_currency", "JPY")],
    ),
    "four conversions in a new currency": (two_currencies(6, 4), OF_20, []),
    "five conversions in a new currency": (two_currencies(5, 5), OF_10, [("new_currency", "JPY")]),
    "a currency that was known before": (two_currencies(700, 300), SOME_YEN, []),
    "a currency that hardly any conversion had": (
        two_currencies(700, 300),
        usual_days(20, two_currencies(996, 4)),
        [("new_currency", "JPY")],
    ),
    "currencies where no conversion had a value": (
        two_currencies(700, 300),
        usual_days(20, orders(values={})),
        [],
    ),
    "a hash in four fifths of the conversions": (
        orders(having={"md5": 800, "decision_id": 300}),
        ALWAYS,
        [],
    ),
    "a hash in fewer than four fifths": (
        orders(having={"md5": 799, "decision_id": 300}),
        ALWAYS,
        [MD5],
    ),
    "no hash and no decision ID": (orders(having={}), USUAL, [MD5, DECISION_ID]),
    "not many more dead letters than usual": (orders(not_sent={"no_identity": 45}), USUAL, []),
    "many more dead letters than usual": (orders(not_sent={"no_identity": 65}), USUAL, [LETTERS]),
    "more dead letters of more conversions": (
        orders(2_000, not_sent={"no_identity": 70}),
        USUAL,
        [],
    ),
    "a larger share of few dead letters": (orders(500, not_sent={"no_identity": 35}), USUAL, []),
    "dead letters that came again": (
        orders(not_sent={"no_identity": 500}, repeated=Counter(no_identity=470)),
        USUAL,
        [],
    ),
    "a first dead letter": (
        orders(not_sent={"no_identity": 1}),
        CLEAN,
        [("new_reason", "no_identity")],
    ),
    "several first dead letters": (
        orders(not_sent={"no_identity": 9}),
        CLEAN,
        [("new_reason", "no_identity"), LETTERS],
    ),
    "dead letters without conversions": (
        NO_SALES_BUT_LETTERS,
        usual_days(20, NO_SALES),
        [("new_reason", "no_identity")],
    ),
    "a new reason for dropped records": (
        orders(not_sent={"no_consent": 1}),
        USUAL,
        [("new_reason", "no_consent")],
    ),
    "events that another run delivers": (
        orders(not_sent={"already_sent": 5, "over_limit": 5}),
        USUAL,
        [],
    ),
    "one conversion within an hour": (orders(within_an_hour=1), USUAL, []),
    "five late conversions": (orders(5, within_an_hour=0), OF_10, []),
    "seven late conversions": (orders(7, within_an_hour=0), OF_10, [LATE]),
    "late conversions on days that were late at times": (
        orders(within_an_hour=0),
        LATE_AT_TIMES,
        [],
    ),
    "too few days of history": (NOTHING, usual_days(13, orders()), []),
    "a gap in too few days": (NOTHING, [GAP, *usual_days(13, orders())], []),
    "a canary on one of fourteen days": (NOTHING, [*TWO_WEEKS[:9], TRIED, *TWO_WEEKS[10:]], []),
    "other streams on one of fourteen days": (
        NOTHING,
        [*TWO_WEEKS[:9], OTHERS, *TWO_WEEKS[10:]],
        [FEW],
    ),
    "nothing after fourteen days": (NOTHING, TWO_WEEKS, [FEW]),
    "a holiday of a small shop": (orders(7), OF_20, []),
    "nothing in a small shop": (NOTHING, OF_20, [FEW]),
    "nothing in a tiny shop": (NOTHING, usual_days(20, orders(5)), []),
    "one conversion without hashes": (orders(1, having={}), ALWAYS, [FEW]),
    "nine conversions without hashes": (orders(9, having={}), ALWAYS, [FEW, MD5]),
    "usual sales after days without sales": (orders(), SOME_WITHOUT_SALES, []),
    "a small day where such days are usual": (orders(120), SMALL_AT_TIMES, []),
    "an even smaller day": (orders(50), SMALL_AT_TIMES, [FEW]),
    "a small Monday after two small Mondays": (orders(200), TWO_SMALL_MONDAYS, []),
    "small days that are four weeks old": (orders(200), FOUR_WEEKS_AGO, []),
    "small days that are too old to count": (orders(200), TOO_OLD, [FEW]),
    "a small day after small days": (orders(340), SMALL_LATELY, []),
}


@pytest.mark.parametrize(("now", "days", "expected"), CASES.values(), ids=CASES)
def test_where_each_rule_begins(
    now: StreamCounts, days: list[Day], expected: list[tuple[str, str]]
) -> None:
    """A day counts if usual runs ended on it and the stream was known; 14 are needed."""
    assert list(found(now, days)) == expected


def test_each_rule_has_its_own_wording(snapshot: SnapshotAssertion) -> None:
    """It says what it found, what is usual, and what to look at."""
    now = orders(
        400,
        values={"EUR": amount(340, 1_700_000), "JPY": amount(60, 3)},
        having={"md5": 360, "decision_id": 20},
        not_sent={"no_consent": 1, "no_identity": 199, "event_too_old": 2},
        within_an_hour=0,
    )
    texts = found(now) | found(orders(), DECLINED)
    assert {rule for rule, _ in texts} == RULES.keys()
    assert "\n".join(texts.values()) == snapshot
    assert (
        "; all of them are conversions without a usable"
        in found(orders(not_sent={"no_identity": 65}))[LETTERS]
    )


def weeks(shares: Sequence[int], **changes: Any) -> list[Day]:
    """Return days of whole weeks before today, each with as many conversions a day."""
    counts = [share for share in shares for _ in range(7)]
    dates = [days_before(back) for back in range(len(counts), 0, -1)]
    return [
        day(one, run(f"{one}", at(one), orders=orders(count, **changes)))
        for one, count in zip(dates, counts, strict=True)
    ]


DECLINED = weeks([1_000, 950, 900, 850, 800, 750, 700, 660, 620])
"""In eight weeks, conversions and their value have declined by 38 %, a little each week."""


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param(DECLINED, [("decline", "")], id="by 38 % in eight weeks"),
        pytest.param(weeks([1_000] * 8 + [660]), [], id="a holiday"),
        pytest.param(weeks([1_000] * 5 + [900, 800, 700, 640]), [("decline", "")], id="in four"),
        pytest.param(weeks([640] * 5 + [700, 800, 900, 1_000]), [], id="an increase"),
        pytest.param(weeks([10] * 5 + [9, 8, 7, 6]), [], id="chance, in a small shop"),
        pytest.param(weeks([1_000] * 4 + [640])[1:], [], id="no whole week to compare with"),
        pytest.param(
            [*weeks([1_000] * 6)[:-7], *weeks([1_000], values={"EUR": amount(1_000, 24_900)})],
            [("decline", "EUR")],
            id="half of the value",
        ),
        pytest.param(
            [*weeks([1_000] * 6)[:-7], *weeks([1_000], values={"EUR": amount(1_000, 25_100)})],
            [],
            id="a little more than half of the value",
        ),
        pytest.param(
            [*weeks([28] * 6)[:-7], *weeks([28], values={"EUR": amount(28, 700)})],
            [],
            id="few values",
        ),
    ],
)
def test_a_slow_decline_is_noticed(days: list[Day], expected: list[tuple[str, str]]) -> None:
    """The last seven days are compared with the same days four and eight weeks before."""
    declines = [key for key in found(days[-1].usual["orders"], days) if key[0] == "decline"]
    assert declines == expected


def on_weekdays(days: list[Day], weekdays: int) -> list[Day]:
    """Return the days of a pipeline that runs only on the first weekdays."""
    return [one for one in days if one.day.weekday() < weekdays]


@pytest.mark.parametrize(
    ("weekdays", "is_noticed"), [(5, True), (4, False)], ids=["Monday to Friday", "four days"]
)
def test_a_slow_decline_is_noticed_on_working_days(weekdays: int, is_noticed: bool) -> None:
    """A pipeline may run only from Monday to Friday; four days a week are too few."""
    days = on_weekdays(DECLINED, weekdays)
    declines = [key for key in found(days[-1].usual["orders"], days) if key[0] == "decline"]
    assert bool(declines) == is_noticed


def test_weekdays_are_compared_after_four_weeks() -> None:
    """If all days were compared, 300 conversions on a Monday would be few."""
    for hour, usual in ((23, "300"), (22, "300 to 1,000")):  # Before 23:00, Sunday counts as well.
        assert f"but {usual} are usual" in found(orders(140), SMALL_ON_MONDAYS, hour)[FEW]
    assert list(found(orders(300), SMALL_ON_MONDAYS, hour=23)) == []


def test_the_24_hours_take_in_yesterday() -> None:
    """Runs of yesterday count from the same hour on, the one before that belongs to the past."""
    yesterday = days_before(1)
    before = [one for one in usual_days(20, orders()) if one.day < yesterday]
    runs = [
        run("out", at(yesterday, 12, 59), orders=orders(300, not_sent={"no_consent": 1})),
        run("in", at(yesterday, 13), orders=orders(300)),
    ]
    days = [*before, day(yesterday, *runs)]
    assert found(orders(300, not_sent={"no_consent": 1}), days) == {}
    assert ("conversions", "") in found(orders(300), days, hour=13)
    assert ("new_reason", "no_consent") in found(orders(300), days, hour=11)


@pytest.mark.parametrize("kind", [CANARY, REPLAY, BACKFILL])
def test_other_runs_are_neither_judged_nor_usual(kind: str) -> None:
    """They are not judged, do not count as usual, and do not fill the 24 hours."""
    other = run("x", at(TODAY, 11), kind, orders=orders())
    assert unusual_after(History(USUAL), other) is None
    days = [day(one.day, run("x", at(one.day), kind, orders=orders())) for one in USUAL]
    assert found(NOTHING, days) == {}
    assert FEW in found(NOTHING, [*USUAL, day(TODAY, other)])


def test_a_run_that_was_stopped_is_not_judged() -> None:
    """What it did not send, the next run does."""
    stopped = run("x", at(TODAY, 11), orders=NOTHING)
    stopped.ending = STOPPED_BY_SIGNAL
    assert unusual_after(History(USUAL), stopped) is None


def days_of(*streams: str) -> list[Day]:
    """Return days before today that have a run with these streams at 9, at 10, and so on."""
    return [
        day(
            one,
            *(
                run(f"{hour}-{one}", at(one, hour), **dict.fromkeys(names.split(), orders()))
                for hour, names in enumerate(streams, 9)
            ),
        )
        for one in (days_before(back) for back in range(20, 0, -1))
    ]


@pytest.mark.parametrize(
    ("now", "gone"),
    [({}, "orders visits"), ({"visits": orders()}, "orders")],
    ids=["all streams", "one of two streams"],
)
def test_a_stream_that_does_not_come_any_more_is_judged(now: dict[str, Any], gone: str) -> None:
    """Neither a SCHEMA nor a record came: of one stream, or of all."""
    history = History(days_of("orders visits"))
    found = unusual_after(history, run("now", at(TODAY), **now))
    assert [(one.rule, one.stream) for one in found] == [
        ("conversions", stream) for stream in gone.split()
    ]
    first = run("now", at(TODAY), **now)
    first.unusual = found
    history = History([*history.days, day(TODAY, first)])
    assert [one.stream for one in unusual_now(history)] == gone.split()
    again = unusual_after(history, run("again", at(TODAY, 13), **now))
    assert {one.since for one in again} == {at(TODAY)}
    back = run("back", at(TODAY, 14), orders=orders(), visits=orders())
    assert unusual_now(History([*history.days[:-1], day(TODAY, first, back)])) == []


@pytest.mark.parametrize(
    "loaders",
    [("visits", "orders"), ("orders", "orders visits")],
    ids=["runs of its own", "a daily run sends all"],
)
def test_the_streams_of_another_loader_are_judged_by_its_own_runs(loaders: tuple[str, ...]) -> None:
    """They come in runs without these streams, or in a daily run that sends all."""
    now = run("now", at(TODAY), orders=orders(0))
    judged = unusual_after(History(days_of(*loaders)), now)
    assert {one.stream for one in judged} == {"orders"}


@pytest.mark.parametrize(
    ("stream", "ending", "is_forgotten"),
    [("orders", Ending(), True), ("orders", STOPPED_BY_SIGNAL, False), ("visits", Ending(), False)],
    ids=["the stream", "a run that was stopped", "another stream"],
)
def test_what_is_usual_again_is_forgotten(stream: str, ending: Ending, is_forgotten: bool) -> None:
    """What the last run of a stream did not find is over, unless it was stopped, so not judged."""
    fault = Unusual("conversions", "orders", Finding(), at(TODAY, 10))
    bad, later = run("bad", at(TODAY, 10), orders=orders()), run("b", at(TODAY, 11))
    bad.unusual, later.streams, later.ending = [fault], {stream: orders()}, ending
    assert unusual_now(History([day(TODAY, bad)])) == [fault]
    assert unusual_now(History([day(TODAY, bad, later)])) == ([] if is_forgotten else [fault])
    assert unusual_now(History([day(TODAY, bad), *days_of("visits")[:2]])) == []


def test_a_line_for_each_rule() -> None:
    """It names all that the rule has found."""
    now = run("now", at(TODAY), orders=orders(0, not_sent={"reason_1": 1, "reason_2": 1}))
    conversions, reasons = unusual_lines(unusual_after(History(USUAL), now))
    assert conversions.startswith("orders: unusual: 0 conversions in the last 24 hours")
    assert re.findall(r"reason_\d", reasons) == ["reason_1", "reason_2"]
