"""Refusals of all that is sent end the run; refusals of bad events do not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from target_liveintent.delivery.breaker import (
    MAX_ISOLATED,
    MAX_REFUSALS,
    SUSPICIOUS,
    Breaker,
    refused_as_a_whole,
)
from target_liveintent.errors import AllRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable


def _until_it_trips(step: Callable[[], None], limit: int = 1_000) -> int:
    for count in range(1, limit):
        try:
            step()
        except AllRefusedError:  # noqa: PERF203 (counting is the point)
            return count
    return limit


def test_a_run_that_is_refused_ends_soon() -> None:
    """Nothing but refusals ends the run within a hundred requests, and says what to check."""
    breaker = Breaker()
    assert _until_it_trips(lambda: breaker.refused("HTTP 400")) <= 100
    with pytest.raises(AllRefusedError) as raised:
        breaker.wait_for_turn(1)
    message = str(raised.value)
    assert "pixel_id" in message
    assert "customer_id" in message
    assert "HTTP 400" in message
    assert "\n" not in message


def test_an_acceptance_clears_the_suspicion() -> None:
    """Bad events between good ones never end a run, however many."""
    breaker = Breaker()
    for _ in range(20):
        for _ in range(MAX_REFUSALS - 1):
            breaker.refused("no")
        for _ in range(MAX_ISOLATED - 1):
            breaker.isolated("no")
        breaker.accepted(breaker.wait_for_turn(1))
    breaker.wait_for_turn(1)


def test_a_late_acceptance_proves_nothing() -> None:
    """Requests overtake each other: one made before the refusals came clears none of them."""
    breaker = Breaker()
    requests = [breaker.wait_for_turn(n) for n in range(64)]
    letters = 0

    def refuse() -> None:
        nonlocal letters
        breaker.refused("no")
        breaker.isolated("no")
        letters += 1

    for _ in range(MAX_ISOLATED - 1):
        refuse()
    breaker.accepted(requests[-1])
    with pytest.raises(AllRefusedError):
        refuse()
    assert letters <= 30


def test_an_acceptance_asked_for_later_clears() -> None:
    """What was asked after the refusals came, and accepted, shows that events are at fault."""
    breaker = Breaker()
    for _ in range(MAX_ISOLATED - 1):
        breaker.isolated("no")
    breaker.accepted(breaker.wait_for_turn(1))
    breaker.isolated("no")


def test_single_events_that_are_all_refused_end_the_run() -> None:
    """An isolation that finds every event bad has found that none is."""
    breaker = Breaker()
    assert _until_it_trips(lambda: breaker.isolated("no")) <= MAX_ISOLATED


def _threads(target: Callable[[int], object], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=target, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


def _suspicious() -> Breaker:
    breaker = Breaker()
    for _ in range(SUSPICIOUS):
        breaker.refused("no")
    return breaker


def test_a_refusal_at_the_newest_accepted_request_stays() -> None:
    """A refusal that came after a request was made is not cleared by its acceptance."""
    breaker = _suspicious()
    request = breaker.wait_for_turn("first")
    breaker.refused("no")
    breaker.accepted(request)
    for _ in range(SUSPICIOUS - 2):
        breaker.refused("no")
    assert breaker.try_turn("another") is not None  # One short of suspicion: no turns.
    breaker.refused("no")
    assert breaker.try_turn("first") is not None
    assert breaker.try_turn("another") is None


def test_a_letter_at_the_newest_accepted_request_stays() -> None:
    """The same holds for events that were found bad."""
    breaker = Breaker()
    request = breaker.wait_for_turn(1)
    for _ in range(MAX_ISOLATED - 1):
        breaker.isolated("no")
    breaker.accepted(request)
    with pytest.raises(AllRefusedError):
        breaker.isolated("no")


def test_without_suspicion_nobody_waits() -> None:
    """Requests run side by side as long as few are refused."""
    breaker = Breaker()
    for _ in range(SUSPICIOUS - 1):
        breaker.refused("no")
    for batch in range(10):
        assert breaker.try_turn(batch) == batch + 1


def test_under_suspicion_batches_take_turns() -> None:
    """One batch at a time; the same batch may go on; done gives the turn away."""
    breaker = _suspicious()
    assert breaker.try_turn("first") == 1
    assert breaker.try_turn("first") == 2
    assert breaker.try_turn("second") is None
    breaker.done("somebody else")
    assert breaker.try_turn("second") is None
    breaker.done("first")
    assert breaker.try_turn("second") == 3
    assert breaker.try_turn("third") is None
    breaker.accepted(3)
    assert [breaker.try_turn(name) for name in ("second", "third")] == [4, 5]


def test_waiting_batches_get_their_turns() -> None:
    """Threads that wait go on one after the other, each when the one before is done."""
    breaker = _suspicious()
    breaker.wait_for_turn("first")
    got: list[int] = []

    def wait(number: int) -> None:
        breaker.wait_for_turn(number)
        got.append(number)
        breaker.done(number)

    threads = _threads(wait, 3)
    breaker.done("first")
    for thread in threads:
        thread.join(5)
    assert sorted(got) == [0, 1, 2]


def test_an_acceptance_ends_every_wait() -> None:
    """When the suspicion is over, all threads that wait go on."""
    breaker = _suspicious()
    request = breaker.wait_for_turn("first")
    threads = _threads(breaker.wait_for_turn, 3)
    breaker.accepted(request)
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_the_verdict_ends_every_wait() -> None:
    """Nobody hangs when the run is over."""
    breaker = _suspicious()
    breaker.wait_for_turn("first")
    ended: list[str] = []

    def wait(number: int) -> None:
        try:
            breaker.wait_for_turn(number)
        except AllRefusedError as error:
            ended.append(str(error))

    threads = _threads(wait, 4)
    _until_it_trips(lambda: breaker.refused("no"))
    for thread in threads:
        thread.join(2)
    assert len(ended) == 4


def test_the_line_for_the_user() -> None:
    """It names what may be wrong and promises nothing that is not so."""
    line = refused_as_a_whole("the API took nothing", "HTTP 400: no")
    assert line.startswith("the API took nothing")
    for words in ("HTTP 400: no", "pixel_id", "customer_id", "again"):
        assert words in line
