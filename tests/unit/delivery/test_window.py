"""The window: each row of its table, and its bounds."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.window import Window


class Answers:
    """Gives a window of 64 answers, one after the other."""

    def __init__(self, ceiling: int = 64) -> None:
        self.window = Window(ceiling)
        self.now = 1000.0

    def give(
        self, count: int, latency: float = 0.1, *, was_full: bool = True, is_limited: bool = False
    ) -> Window:
        for _ in range(count):
            started_at = self.now
            self.now += latency
            self.window.accepted(started_at, self.now, was_full=was_full, is_limited=is_limited)
        return self.window


def wide(width: float = 20.0) -> Answers:
    """Return a window of which one fast round is over."""
    answers = Answers()
    answers.give(8, was_full=False)
    answers.window.set(width)
    return answers


@pytest.mark.parametrize(
    ("answers", "width"),
    [
        pytest.param(0, 2, id="two at the start"),
        pytest.param(1, 2, id="half of one more after an answer"),
        pytest.param(2, 3, id="one more after two answers"),
        pytest.param(20, 12, id="ten more after twenty"),
        pytest.param(500, 64, id="never more than the ceiling"),
    ],
)
def test_the_window_grows_with_each_answer_at_first(answers: int, width: int) -> None:
    assert Answers().give(answers).width == width


@pytest.mark.parametrize(
    ("answers", "width"),
    [pytest.param(19, 20, id="within a round"), pytest.param(20, 21, id="after a round")],
)
def test_the_window_grows_by_one_a_round_at_a_limit(answers: int, width: int) -> None:
    assert wide().give(answers, is_limited=True).width == width


def test_a_round_has_eight_answers_at_least() -> None:
    answers = wide(2.0)
    assert answers.give(7, is_limited=True).width == 2
    assert answers.give(1, is_limited=True).width == 3


@pytest.mark.parametrize("is_limited", [False, True], ids=["no limit", "at a limit"])
def test_a_window_that_is_not_full_does_not_grow(*, is_limited: bool) -> None:
    assert wide().give(100, was_full=False, is_limited=is_limited).width == 20


@pytest.mark.parametrize(
    ("latency", "width"),
    [
        pytest.param(0.199, 20, id="not quite twice the least median"),
        pytest.param(0.201, 14, id="more than twice: 0.7 times as wide"),
    ],
)
def test_a_slow_round_narrows_the_window(latency: float, width: int) -> None:
    assert wide().give(20, latency, was_full=False).width == width


def test_a_window_that_was_narrowed_grows_by_one_a_round() -> None:
    answers = wide()
    answers.give(20, 0.3, was_full=False)
    width = answers.window.width
    assert answers.give(width, 0.1).width == width + 1


def test_answers_from_before_a_narrower_window_say_nothing_of_it() -> None:
    answers = wide()
    answers.give(20, 0.3, was_full=False)
    for _ in range(100):
        answers.window.accepted(answers.now - 1, answers.now, was_full=True, is_limited=False)
    assert answers.window.width == 14


def slow_rounds(latencies: list[float]) -> Answers:
    answers = wide(40.0)
    for latency in latencies:
        answers.give(answers.window.width, latency, was_full=False)
    return answers


def test_the_window_is_as_before_if_narrower_ones_do_not_help() -> None:
    """After a fourth slow round, answers are slow for another reason, and count as usual."""
    assert slow_rounds([0.5] * 3).window.width == 13  # 0.7 times 0.7 times 0.7 times 40.
    answers = slow_rounds([0.5] * 4)
    assert answers.window.width == 40
    assert answers.give(40, 0.9, was_full=False).width == 40


def test_the_window_becomes_narrower_while_that_helps() -> None:
    assert slow_rounds([0.9, 0.8, 0.7, 0.6]).window.width == 9


def test_a_fast_round_ends_the_slow_rounds_in_a_row() -> None:
    answers = slow_rounds([0.5, 0.5, 0.5, 0.1, 0.5])
    assert answers.window.width == 9


@pytest.mark.parametrize(
    ("width", "allowed"),
    [pytest.param(0.0, 1, id="at least one"), pytest.param(100.0, 64, id="at most the ceiling")],
)
def test_a_width_has_bounds(width: float, allowed: int) -> None:
    window = Window(64)
    window.set(width)
    assert window.width == allowed


def test_how_many_requests_a_second_are_possible() -> None:
    answers = Answers()
    assert answers.give(7).most_per_second == 0  # No latency is known yet.
    assert answers.give(1).most_per_second == pytest.approx(640)
    assert Answers().give(8, 0.0).most_per_second == float("inf")
