"""No row stops the rows behind it: bad events, what they cost, and settings that are wrong."""

import random
from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest
from fakes import ACCEPTED, REFUSED
from sending import Asked, Sent, one_at_a_time, send

from target_liveintent.delivery.api import Answer
from target_liveintent.errors import AllRefusedError

ROWS: dict[str, tuple[int, Collection[int]]] = {
    "300 in a row": (5_000, range(1_010, 1_310)),
    "50 in one batch": (10_000, range(1_010, 1_060)),
    "the first 150": (5_000, range(150)),
    "the last 60": (5_000, range(4_940, 5_000)),
    "the last 100": (5_000, range(4_900, 5_000)),
    "every third": (1_000, range(0, 1_000, 3)),
    "one batch, 70 of 100": (100, range(70)),
    "one batch, 1 of 100": (100, [3]),
    "one batch, all but 7": (100, range(93)),
    "nothing but 9": (9, range(9)),
}
"""How many events there are, and which of them are bad."""


@pytest.mark.parametrize(("rows", "at_once"), one_at_a_time([*ROWS], [8, 1, 64]))
def test_bad_rows(rows: str, at_once: int) -> None:
    """Every good event is delivered once, every bad one is a dead letter, and the run ends well."""
    count, found = ROWS[rows]
    bad = set(found)
    sent = send(count, lambda asked: REFUSED if bad & asked.events else ACCEPTED, at_once)
    assert sent.failure is None
    assert sent.delivered == sorted(set(range(count)) - bad)
    assert sent.refused == bad


@pytest.mark.parametrize("at_once", [1, 8, 64])
def test_bad_rows_of_a_slow_tap(at_once: int) -> None:
    """A batch is kept back to compare bad events with, so that a slow tap is no obstacle."""
    bad = set(range(510, 810))
    answer = lambda asked: REFUSED if bad & asked.events else ACCEPTED  # noqa: E731
    sent = send(3_000, answer, at_once, pause=5.0)
    assert (sent.failure, sent.refused, sent.unproven) == (None, bad, 0)


@pytest.mark.parametrize(
    ("at_once", "batch_size", "good"), one_at_a_time([8, 1, 64], [10, 1, 100], [40, 0, 400])
)
def test_wrong_settings(at_once: int, batch_size: int, good: int) -> None:
    """If the API refuses everything from some request on, the run ends soon: no dead letters."""
    sent = send(
        60_000 if batch_size > 10 else 5_000,
        lambda asked: REFUSED if asked.number > good else ACCEPTED,
        at_once,
        batch_size=batch_size,
    )
    assert isinstance(sent.failure, AllRefusedError)
    assert "check pixel_id and customer_id" in str(sent.failure)
    assert sent.requests - good <= (200 if good else 100)
    assert sent.refused == set()


@pytest.mark.parametrize(
    ("good", "bad"), [*((good, 30) for good in range(1, 16)), (5, 0), (5, 70), (5, 99)]
)
def test_settings_that_become_wrong_amid_an_isolation(good: int, bad: int) -> None:
    """The API begins to refuse everything while the one bad event of a batch is looked for."""
    sent = send(
        1_500,
        lambda asked: REFUSED if asked.number > good or bad in asked.events else ACCEPTED,
        1,
        accepted=True,
    )
    assert isinstance(sent.failure, AllRefusedError)
    assert sent.requests - good <= 100
    assert len(sent.refused - {bad}) <= 30


# What bad events cost

COSTS = {1: 11.2, 2: 19.1, 5: 38.1, 20: 98.0}
"""Requests for a batch of 100, on average, by how many of its events are bad."""
TRIALS = 300
PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
TOO_LARGE = msgspec.structs.replace(REFUSED, detail="HTTP 413", status=413)


def isolate(bad: Collection[int], count: int = 100) -> Sent:
    """Send a batch, one request at a time; no events are asked about twice."""
    asked = []

    def answer(request: Asked) -> Answer:
        asked.append(frozenset(request.events))
        return ACCEPTED if request.events.isdisjoint(bad) else REFUSED

    sent = send(count, answer, 1, accepted=True)
    assert len({*asked}) == sent.requests <= max(1, 2 * count - 1)
    return sent


@pytest.mark.parametrize("count", COSTS)
def test_cost(count: int) -> None:
    """Finding bad events in a batch of 100 costs what the page says."""
    chance = random.Random(count)  # noqa: S311
    found = [isolate(chance.sample(range(100), count)).requests for _ in range(TRIALS)]
    assert sum(found) / TRIALS == pytest.approx(COSTS[count], rel=0.03)
    if PAGE.exists():  # It is not in the source distribution.
        assert f"| {count} | {COSTS[count]:.1f} |" in PAGE.read_text(encoding="utf-8")


def test_any_share_of_bad_events() -> None:
    """In batches of any size with any share of bad events, no good one is lost."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(TRIALS):
        count, share = chance.randint(1, 100), chance.random()
        bad = {event for event in range(count) if chance.random() < share}
        sent = isolate(bad, count)
        assert sent.failure is not None or sent.refused == bad
        assert sent.failure is not None or len(sent.delivered) == count - len(bad)
        assert bad.isdisjoint(sent.delivered)
        assert sent.refused <= bad


@pytest.mark.parametrize("most", [1, 30, 99])
def test_too_many_bytes_blame_nobody(most: int) -> None:
    """A 413 says nothing about any event: where one half goes, the other is asked about whole."""
    sent = send(100, lambda asked: TOO_LARGE if len(asked.events) > most else ACCEPTED, 1)
    assert (sent.failure, sent.refused, sent.delivered) == (None, set(), [*range(100)])
    assert sent.requests <= 199
