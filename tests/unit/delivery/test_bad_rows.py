"""No row stops the rows behind it: bad events wherever they are, and settings that are wrong."""

from collections.abc import Collection

import pytest
from fakes import ACCEPTED, REFUSED
from sending import one_at_a_time, send

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
