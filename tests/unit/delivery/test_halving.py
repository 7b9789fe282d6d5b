"""Which part of a batch is asked about next."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from fakes import batch

from target_liveintent.delivery.isolation import Faults, Isolation

if TYPE_CHECKING:
    from collections.abc import Iterable


def isolation(names: Iterable[str]) -> Isolation:
    return Isolation(batch(*names).conversions)


def part(given: Isolation) -> str:
    """Return the IDs of the events of the part, in one text."""
    return "".join(conversion.event_id for conversion in given.part)


def test_the_whole_batch_first() -> None:
    """Nothing is known of a batch: it is one part."""
    given = isolation("abcd")
    assert (part(given), given.left) == ("abcd", 4)
    given.settled(all_good=True)
    assert (part(given), given.left) == ("", 0)


def test_the_left_half_is_next() -> None:
    """After a refusal the left half is asked about; no event is lost."""
    given = isolation("abcde")
    assert part(given) == "abcde"
    given.refused()
    assert (part(given), given.left) == ("ab", 5)


def test_what_is_known_is_not_asked() -> None:
    """If the left half is all good, the right one holds the bad event, and is halved at once."""
    given = isolation("abcdefgh")
    assert part(given) == "abcdefgh"
    given.refused()
    given.settled(all_good=True)
    assert part(given) == "ef"


def test_one_event_is_asked_about_itself() -> None:
    """The API must have refused an event alone, so one that is left over is sent."""
    given = isolation("ab")
    assert part(given) == "ab"
    given.refused()
    given.settled(all_good=True)
    assert part(given) == "b"


def test_a_part_with_a_doubt_proves_nothing() -> None:
    """If not every event of the left half is good, the right one is sent as it is."""
    given = isolation("abcd")
    assert part(given) == "abcd"
    given.refused()
    given.settled()
    assert part(given) == "cd"


def test_the_largest_part_first() -> None:
    """What was set aside is asked about later, the largest part first."""
    given = isolation("abcdefgh")
    assert part(given) == "abcdefgh"
    given.refused()
    assert part(given) == "abcd"
    given.refused()
    assert part(given) == "ab"
    given.settled()
    assert part(given) == "efgh"


def test_halves_without_proof() -> None:
    """Where no event was at fault, both halves are sent whole."""
    given = isolation("abcd")
    assert part(given) == "abcd"
    given.halve()
    seen = [part(given)]
    given.settled(all_good=True)
    seen.append(part(given))
    assert sorted(seen) == ["ab", "cd"]


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


def test_a_sample_in_the_middle_of_a_search() -> None:
    """The halves that were being searched are asked about each for itself; nothing is lost."""
    given = isolation("abcdef")
    assert part(given) == "abcdef"
    given.refused()
    given.sample(0.0)
    assert (part(given), given.left) == ("d", 6)
    given.settled(all_good=True)
    assert part(given) == "abc"
    given.settled(all_good=True)
    assert part(given) == "ef"


def test_a_postponed_part_comes_last() -> None:
    """A part that got a fault waits until the others have their outcome, and keeps its count."""
    given = isolation("abcd")
    assert part(given) == "abcd"
    given.halve()
    first = part(given)
    given.faults.add(0, alone=False)
    given.postpone()
    assert part(given) != first
    given.settled()
    assert (part(given), given.faults.count, given.left) == (first, 1, 2)


def test_a_sample_of_a_postponed_part() -> None:
    """What was postponed can be asked about as a sample too."""
    given = isolation("ab")
    assert part(given) == "ab"
    given.postpone()
    given.sample(0.0)
    assert (part(given), given.left) == ("a", 2)


@pytest.mark.parametrize(
    ("faults", "count"),
    [
        ([(0, False)], 1),
        ([(0, False), (0, False)], 1),
        ([(0, False), (1, False), (1, False), (2, False)], 3),
        ([(0, False), (0, True), (0, True)], 3),
    ],
)
def test_faults(faults: list[tuple[int, bool]], count: int) -> None:
    """A fault counts if requests were accepted since the last one, or if nothing else is sent."""
    given = Faults()
    for accepted, alone in faults:
        given.add(accepted, alone=alone)
    assert given.count == count


def test_every_bad_event_is_asked_about_alone() -> None:
    """Whatever is refused together, no event is found bad that was not refused alone."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(300):
        names = [f"k{n}" for n in range(chance.randint(1, 24))]
        bad = set(chance.sample(names, chance.randint(0, len(names))))
        given, good, found, requests = isolation(names), set(), set(), 0
        while asked := [conversion.event_id for conversion in given.part]:
            requests += 1
            if not bad & set(asked):
                good |= set(asked)
                given.settled(all_good=True)
            elif len(asked) == 1:
                found |= set(asked)
                given.settled()
            else:
                given.refused()
        assert (good, found) == (set(names) - bad, bad)
        assert requests <= 2 * len(names) - 1
