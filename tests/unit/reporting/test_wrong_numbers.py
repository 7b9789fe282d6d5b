"""The numbers and the sentences of an overview agree in any history."""

import datetime as dt
import random
import re
from decimal import Decimal

import pytest
from reporting_support import (
    DOWN,
    NOW,
    STOPPED_BY_SIGNAL,
    at,
    causes_in,
    overview,
    random_runs,
    readable,
    row,
    rows_of,
    seen_at,
)

from target_liveintent.reporting.headline import headline_of, health_line, sentence
from target_liveintent.reporting.history import Ending
from target_liveintent.reporting.page import as_json, as_lines, page
from target_liveintent.store.ledger import PLACE_WORDS
from target_liveintent.store.places import PLACES


def _check(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    runs = random_runs(seed, days=chance.randrange(30), size=chance.choice((4, 30, 300)))
    runs = [one for one in runs if chance.random() < 0.7]
    for one in runs[-3:]:
        one.ending = chance.choice((*[Ending()] * 3, DOWN, STOPPED_BY_SIGNAL))
    waiting = row(at(chance.randrange(9)), "waiting", chance.randrange(1, 9), 40, days=7)
    rows = [one for one in [*rows_of(runs), waiting] if chance.random() < 0.9]
    found = overview(runs, max_age=chance.choice((None, dt.timedelta(hours=5))), rows=rows)
    rows = [seen_at(one, NOW) for one in rows]
    recent = [one for one in rows if one.read_at > NOW.timestamp() - 86_400]
    counts = {place: sum(one.events for one in recent if one.place == place) for place in PLACES}
    worth = {
        place: sum(one.value for one in recent if (one.place, one.currency) == (place, "EUR"))
        for place in PLACES
    }

    ledger = found.ledger
    assert {place: getattr(ledger, place) for place in PLACES} == counts
    for place in ("arrived", "waiting", "replayable", "lost"):
        assert ledger.values[place].get("EUR", 0) == worth[place]
    assert sum(day.ledger.read for day in found.days) == sum(one.events for one in rows)
    assert sum(month.read for month in found.months.values()) == sum(one.events for one in rows)
    (status, said, do, fact), line = headline_of(found), health_line(found)
    text = "\n".join(as_lines(found))
    assert len(text.splitlines()) <= 12
    assert (status == "bad") == bool(found.causes and found.last_run)
    assert not (found.causes and do.startswith("Nothing"))
    assert found.causes or line.startswith(said)
    assert found.causes or line.endswith(sentence(found))
    assert not (status == "good" and any(one.is_worse for one in found.figures))
    sums = " + ".join(f"{PLACE_WORDS[place]} {counts[place]:,}" for place in PLACES)
    assert f"In the last 24 hours: read {sum(counts.values()):,} = {sums}" in text
    assert (f"lost {worth['lost']:,.2f} EUR" in text) == bool(worth["lost"])
    said_of_all = re.match(r"(All )?([\d,]+)( of ([\d,]+))? conversions? arrived", sentence(found))
    if seed % 20 == 0:
        shown = readable(page(found))
        assert do in shown
        assert fact in shown
        assert said in shown
        assert sentence(found) in shown
        arrived = re.search(r"\n([\d,]+) arrived", shown)
        assert said_of_all is None or said_of_all[2] == arrived[1]
        causes = as_json(found)["causes"]
        assert len(causes) == len(causes_in(found))
        assert (
            Decimal(as_json(found)["ledger"]["values"]["arrived"].get("EUR", 0)) == worth["arrived"]
        )


@pytest.mark.parametrize("group", range(4))
def test_the_sentences_of_random_histories(group: int) -> None:
    """They agree with the numbers, and these with what the runs left."""
    for seed in range(25 * group, 25 * group + 25):
        _check(seed)


@pytest.mark.slow
def test_the_sentences_of_two_thousand_histories() -> None:
    for seed in range(100, 2_000):
        _check(seed)
