"""The numbers and the sentences of an overview agree in any history."""

import datetime as dt
import random
import re
from collections import Counter
from decimal import Decimal

import pytest
from reporting_support import DOWN, NOW, STOPPED_BY_SIGNAL, overview, random_runs, readable

from target_liveintent.reporting.headline import (
    EVERYTHING_USUAL,
    NO_PROBLEM,
    headline_of,
    health_line,
)
from target_liveintent.reporting.history import Ending
from target_liveintent.reporting.page import as_lines, page


def _check(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    runs = random_runs(seed, days=chance.randrange(30), size=chance.choice((4, 30, 300)))
    runs = [one for one in runs if chance.random() < 0.7]
    for one in runs[-3:]:
        one.ending = chance.choice((*[Ending()] * 3, DOWN, STOPPED_BY_SIGNAL))
    found = overview(runs, max_age=chance.choice((None, dt.timedelta(hours=5))))
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
    (status, said, do), line = headline_of(found), health_line(found)
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
        assert (said if said != NO_PROBLEM else "conversion") in shown


@pytest.mark.parametrize("group", range(4))
def test_the_sentences_of_random_histories(group: int) -> None:
    """They agree with the numbers, and these with what the runs left."""
    for seed in range(25 * group, 25 * group + 25):
        _check(seed)


@pytest.mark.slow
def test_the_sentences_of_two_thousand_histories() -> None:
    for seed in range(100, 2_000):
        _check(seed)
