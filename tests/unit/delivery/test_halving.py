"""Which part of a batch is asked about next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import batch

from target_liveintent.delivery.isolation import Faults, Isolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def good(given: Isolation) -> None:
    """Let the API accept every event of the part."""
    given.settled(all_good=True)


def sample(given: Isolation) -> None:
    """Ask about the first event of the largest part."""
    given.sample(0.0)


def isolation(names: Iterable[str]) -> Isolation:
    return Isolation(batch(*names).conversions)


def part(given: Isolation) -> str:
    """Return the IDs of the events of the part, in one text."""
    return "".join(conversion.event_id for conversion in given.part)


@pytest.mark.parametrize(
    ("names", "steps", "parts", "left"),
    [
        # Nothing is known of a batch: it is one part.
        ("abcd", [good], "abcd ", 0),
        # After a refusal the left half is asked about.
        ("abcde", [Isolation.refused], "abcde ab", 5),
        # If the left half is all good, the right one holds the bad event, and is halved at once.
        ("abcdefgh", [Isolation.refused, good], "abcdefgh abcd ef", 4),
        # The API must have refused an event alone, so one that is left over is sent.
        ("ab", [Isolation.refused, good], "ab a b", 1),
        # If not every event of the left half is good, the right one is sent as it is.
        ("abcd", [Isolation.refused, Isolation.settled], "abcd ab cd", 2),
        # What was set aside is asked about later, the largest part first.
        (
            "abcdefgh",
            [Isolation.refused, Isolation.refused, Isolation.settled],
            "abcdefgh abcd ab efgh",
            6,
        ),
        # Where no event was at fault, both halves are sent whole.
        ("abcd", [Isolation.halve, good], "abcd cd ab", 2),
        # In the middle of a search, a sample leaves its halves: each is asked about for itself.
        ("abcdef", [Isolation.refused, sample, good, good], "abcdef abc d abc ef", 2),
        # What was postponed can be asked about as a sample too.
        ("ab", [Isolation.postpone, sample], "ab ab a", 2),
    ],
)
def test_what_is_asked_next(
    names: str, steps: list[Callable[[Isolation], None]], parts: str, left: int
) -> None:
    """Each answer decides about the next part, and no event is lost."""
    given = isolation(names)
    asked = [part(given)]
    for step in steps:
        step(given)
        asked.append(part(given))
    assert (asked, given.left) == (parts.split(" "), left)


def test_events_that_got_too_old() -> None:
    """They leave the part, which proves nothing of its other half any more."""
    given = isolation("abcd")
    assert part(given) == "abcd"
    given.refused()
    given.keep(given.part[1:])
    assert (part(given), given.left) == ("b", 3)
    given.settled(all_good=True)
    assert part(given) == "cd"
    given.keep([])
    assert given.left == 0


@pytest.mark.parametrize(("position", "event"), [(0.0, "a"), (0.5, "c"), (0.99, "d")])
def test_a_sample(position: float, event: str) -> None:
    """One event of the largest part is asked about next; the others stay."""
    given = isolation("abcd")
    given.sample(position)
    assert (part(given), given.left) == (event, 4)
    given.settled(all_good=True)
    assert part(given) == "abcd".replace(event, "")


@pytest.mark.parametrize(
    ("faults", "count"),
    [
        ([(0, False)], 1),
        ([(0, False), (0, False)], 1),
        ([(0, False), (1, False), (1, False), (2, False)], 3),
        ([(0, False), (0, True), (0, True)], 3),
        # The part came too fast: one of 31 other requests was accepted meanwhile.
        ([(1, False), (2, 31), (2, False), (2, False)], 2 + 1 / 31),
    ],
)
def test_faults(faults: list[tuple[int, bool | int]], count: float) -> None:
    """A fault counts if requests were accepted since the last one, or if nothing else is sent.

    Each one says how many requests were accepted, and whether nothing else is sent, or how many
    requests came too fast.
    """
    given = Faults()
    for accepted, other in faults:
        if isinstance(other, bool):
            given.add(accepted, alone=other)
        else:
            given.throttle(accepted, other)
    assert given.count == pytest.approx(count)
