"""Numbers and sentences that were wrong once, and a check that they agree in any history."""

import datetime as dt
import random
import re
from collections import Counter
from decimal import Decimal

import pytest
from reporting_support import (
    NOW,
    SETTINGS,
    amount,
    at,
    daily,
    history,
    overview,
    random_runs,
    readable,
    run,
    shop,
)

from target_liveintent.reporting.history import RunRecord
from target_liveintent.reporting.overview import overview_of
from target_liveintent.reporting.page import as_lines, page
from target_liveintent.reporting.verdict import (
    ENDED_WELL,
    EVERYTHING_USUAL,
    health_line,
    verdict_of,
)


def top(runs: list[RunRecord]) -> str:
    """Return the text of the top of the page, to what to do now."""
    return readable(page(overview(runs))).partition("Day by day")[0]


def test_a_first_run_with_rows_of_five_days() -> None:
    """Its conversions are those of the last 24 hours, everywhere."""
    runs = [run(at(0, 16), "backfill", streams={"orders": shop(264, late=200)})]
    found = overview(runs)
    assert "No conversion" not in verdict_of(found).headline
    assert "\n264 conversions in the last 24 hours" in "\n".join(as_lines(found))
    assert "Conversions sent\n264" in top(runs)
    assert found.months[0].delivered == found.last_24_hours.delivered == 264


def test_rows_that_come_again() -> None:
    """Three runs that read the same 19 bad rows: 19 could not be sent."""
    bad = Counter(no_identity=19)
    first, again = (shop(not_sent=bad, repeated=old) for old in (Counter(), bad))
    runs = [
        run(at(0, 9 + n), streams={"orders": one}) for n, one in enumerate((first, again, again))
    ]
    assert "Could not be sent\n19\n" in top(runs)
    found = overview(runs)
    assert found.reasons == found.last_24_hours.not_sent == {"no_identity": 19}
    assert found.figure("dead_letters").now == 19


def test_a_share_is_one_of_the_conversions() -> None:
    """It is never one of the dead letters."""
    runs = daily(3, streams={"orders": shop(74, hashes=37, not_sent={"invalid_source": 26})})
    assert overview(runs).advice[0].startswith("148 conversions (50 %) without both hashes")
    assert "50 % with both hashes" in top(runs)


def test_each_currency_is_counted() -> None:
    values = {"USD": amount(60, 600), "EUR": amount(30, 300), "GBP": amount(10, 100)}
    runs = daily(20, streams={"orders": shop(values=values)})
    values_shown = re.findall(r"^\d+\.00 [A-Z]{3}$", top(runs), re.MULTILINE)
    assert values_shown == ["600.00 USD", "300.00 EUR", "100.00 GBP"]
    assert any("600.00 USD, 300.00 EUR, 100.00 GBP" in line for line in as_lines(overview(runs)))


def test_a_replay_is_a_run_of_its_own_kind() -> None:
    """It neither replaces the last run, nor do letters that it leaves count as new ones."""
    bad = Counter(no_identity=20)
    left = shop(5, not_sent=bad, repeated=bad)
    replay = run(at(0, 13), "replay", streams={"liveintent_dead_letters": left})
    found = overview([*daily(40), replay])
    assert found.last_run is not None
    assert found.last_run.kind == "usual"
    assert found.last_24_hours.could_not_be_sent == 0
    assert found.last_24_hours.special == 5
    assert found.causes == []


def test_unusual_is_not_as_usual() -> None:
    """388 conversions where 414 to 489 are usual are fewer, in the text as well."""
    usual = [run(at(n), streams={"orders": shop(414 + 15 * (n % 6))}) for n in range(40, 0, -1)]
    found = overview([*usual, run(at(0), streams={"orders": shop(388)})])
    assert health_line(found).startswith("Fewer conversions than usual were sent. The last run")


def test_without_conversions_there_is_no_share() -> None:
    """The chart of a share leaves out a day without conversions, in place of 0 %."""
    runs = [*daily(20, 1), run(at(0), streams={"orders": shop(0)})]
    assert "[With both hashes, 21 days: from 100 % to 100 %; last 24 hours: -]" in top(runs)


def test_no_run_for_days_is_something_to_do() -> None:
    assert "the schedule still starts the runs" in verdict_of(overview(daily(40, 3))).to_do


# Any history


def _check(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    runs = random_runs(seed, days=chance.randrange(30), size=chance.choice((4, 30, 300)))
    runs = [one for one in runs if chance.random() < 0.7]
    for one in runs[-3:]:
        one.ending = chance.choice(("done", "done", "done", "failed", "stopped"))
        one.message = None if one.ending == "done" else "the API was down"
    known = history(runs)
    found = overview_of(
        known, SETTINGS, NOW.timestamp(), chance.choice((None, dt.timedelta(hours=5)))
    )
    hour = NOW.timestamp() // 3600
    recent = [one for one in runs if hour - 24 < one.ended_at.timestamp() // 3600 <= hour]
    streams = [one for each in recent for one in each.streams.values()]
    sent = sum(one.delivered for one in streams)
    letters: Counter[str] = Counter()
    for one in streams:
        letters.update(one.rejected)
        letters.subtract(one.repeated)
    worth = sum((one.values["EUR"].total for one in streams if "EUR" in one.values), Decimal(0))
    both = sum(one.coverage["web"]["both"] for one in streams)
    missing = sum(one.missing.get("EUR", Decimal(0)) for one in recent)

    period = found.last_24_hours
    assert (period.delivered, period.could_not_be_sent) == (sent, sum(letters.values()))
    assert period.values.get("EUR", 0) == worth
    assert found.reasons.keys() >= period.not_sent.keys()
    assert period.missing.get("EUR", 0) == missing
    assert period.with_both_hashes == both
    (status, said, do), line = verdict_of(found), health_line(found)
    text = "\n".join(as_lines(found))
    assert len(text.splitlines()) <= 12
    assert (status == "bad") == bool(found.causes and found.last_run)
    assert not (found.causes and do.startswith("Nothing"))
    assert found.causes or line.startswith(said)
    if said == EVERYTHING_USUAL:
        assert {one.verdict for one in found.figures} <= {"as_usual", None}
        assert do == "Nothing to do."
    verdict = found.figure("conversions").verdict
    assert said != "Fewer conversions than usual were sent." or verdict == "low"
    assert re.search(rf"^{sent:,} conversions? in the last 24 hours", text, re.MULTILINE)
    assert f"Could not be sent in the last 24 hours: {period.could_not_be_sent:,}" in text
    assert (f"; value: {missing:.2f} EUR." in text) == bool(missing)
    if seed % 20 == 0 and "In the last 24 hours" in (shown := readable(page(found))):
        assert f"Conversions sent\n{sent:,}\n" in shown
        assert f"Could not be sent\n{period.could_not_be_sent:,}\n" in shown
        assert (f"\n{missing:.2f} EUR\ntheir value, as far as" in shown) == bool(missing)
        assert do in shown
        assert (said if said != ENDED_WELL else "conversion") in shown


@pytest.mark.parametrize("group", range(4))
def test_the_sentences_of_random_histories(group: int) -> None:
    """They agree with the numbers, and these with what the runs left."""
    for seed in range(25 * group, 25 * group + 25):
        _check(seed)


@pytest.mark.slow
def test_the_sentences_of_two_thousand_histories() -> None:
    for seed in range(100, 2_000):
        _check(seed)
