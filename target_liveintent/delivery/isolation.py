"""Finds the bad events of a batch that the API refused: by halves, in as few requests as possible.

A batch starts as one part of which nothing is known. A part that is refused holds a bad event, so
its left half is asked about next. If that is accepted whole, the bad event is in the right half,
and no request is needed to know it. What is set aside meanwhile is asked about later, the largest
part first, so that a few requests show whether the API accepts anything at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from target_liveintent.conversions import Conversion


class Faults:
    """The answers to one part after which it is sent again.

    A fault counts only if a request was accepted since the last one: if not, the API is at fault,
    and not an event. That the part came too fast counts by the share of the other requests since
    the last time that did not: where a limit lets few requests through, it shows little.

    Attributes:
        total: How many there were.
        count: How many of them count.
        was_throttled: Whether one of them said that the part came too fast.
    """

    def __init__(self) -> None:
        self.total = 0
        self.was_throttled = False
        self.count = 0.0
        self._accepted_at_fault = 0
        self._accepted_at_last = 0
        self._throttled_at_last = 0

    def add(self, accepted: int, *, alone: bool) -> None:
        """Count a fault.

        Args:
            accepted: How many requests of the run were accepted until now.
            alone: Whether there is nothing else to send; then each fault counts.
        """
        self.total += 1
        # (What came too fast meanwhile uses up no acceptance.)
        if self.count == 0 or alone or accepted > self._accepted_at_fault:
            self.count += 1
            self._accepted_at_fault = self._accepted_at_last = accepted

    def throttle(self, accepted: int, throttled: int) -> None:
        """Count that the part came too fast.

        Args:
            accepted: How many requests of the run were accepted until now.
            throttled: How many requests of the run came too fast, this one included.
        """
        self.was_throttled = True
        good = accepted - self._accepted_at_last
        if self.total and good:
            self.count += good / (good + throttled - 1 - self._throttled_at_last)
        self.total += 1
        self._accepted_at_last = accepted
        self._throttled_at_last = throttled


class _Question:
    """A part to ask about.

    Attributes:
        part: What is sent.
        rest: The other half of a refused part: it holds a bad event if the part does not. Empty
            for a part of which nothing is known.
        faults: How often it got a fault in place of an answer.
    """

    def __init__(self, part: list[Conversion], rest: list[Conversion]) -> None:
        self.part = part
        self.rest = rest
        self.faults = Faults()


class Isolation:
    """What is known of the events of one batch that have no outcome yet.

    One part at a time is asked about: `part` says which, and one of the other methods says what
    came of it.
    """

    def __init__(self, conversions: Iterable[Conversion]) -> None:
        self._unknown = [list(conversions)]
        self._question: _Question | None = None
        self._postponed: deque[_Question] = deque()

    @property
    def part(self) -> list[Conversion]:
        """The part to ask about; empty if all events have their outcome."""
        if self._question is None and self._unknown:
            self._unknown.sort(key=len)
            self._question = _Question(self._unknown.pop(), [])
        elif self._question is None and self._postponed:
            self._question = self._postponed.popleft()
        return self._question.part if self._question else []

    @property
    def faults(self) -> Faults:
        """The faults of the part."""
        assert self._question is not None  # noqa: S101 (the part was asked about)
        return self._question.faults

    @property
    def is_done(self) -> bool:
        """Whether all events have their outcome; cheaper than counting what is `left`."""
        return not (self._question or self._unknown or self._postponed)

    def is_stuck(self, faults: int) -> bool:
        """Return whether each event that is left got so many faults when it was sent alone."""
        questions = [*self._postponed, *([self._question] if self._question else [])]
        return not self._unknown and all(
            len(question.part) == 1 and not question.rest and question.faults.total >= faults
            for question in questions
        )

    @property
    def left(self) -> int:
        """The number of events without an outcome."""
        questions = [*self._postponed, *([self._question] if self._question else [])]
        asked = sum(len(question.part) + len(question.rest) for question in questions)
        return asked + sum(map(len, self._unknown))

    def keep(self, young: list[Conversion]) -> None:
        """Leave only these events in the part, as the others have got too old to be sent."""
        self._set_aside(self._pop_question().rest)  # The part proves nothing of it any more.
        if young:
            self._question = _Question(young, [])

    def settled(self, *, all_good: bool = False) -> None:
        """Note that the part has its outcome, and whether the API accepted every event of it."""
        question = self._pop_question()
        if all_good and len(question.rest) > 1:
            self._ask_half_of(question.rest)
        else:  # Nothing is proven of the rest, or one event is left: it is asked about itself.
            self._set_aside(question.rest)

    def refused(self) -> None:
        """Note that the API refused the part, two events or more, because of one of them."""
        question = self._pop_question()
        self._set_aside(question.rest)
        self._ask_half_of(question.part)

    def halve(self) -> None:
        """Ask about the halves of the part; the answer to it proved nothing about its events."""
        question = self._pop_question()
        half = len(question.part) // 2
        for part in (question.rest, question.part[:half], question.part[half:]):
            self._set_aside(part)

    def postpone(self) -> None:
        """Ask about all other parts before this one, which got a fault."""
        self._postponed.append(self._pop_question())

    def sample(self, position: float) -> None:
        """Make one event the part to ask about, and set the others aside.

        Args:
            position: From 0 to less than 1: where in the largest part the event is.
        """
        if self._question is not None:
            self._postponed.append(self._pop_question())
        while self._postponed:
            question = self._postponed.pop()
            self._set_aside(question.part)
            self._set_aside(question.rest)
        self._unknown.sort(key=len)
        part = self._unknown.pop()
        one = part.pop(int(position * len(part)))
        self._set_aside(part)
        self._question = _Question([one], [])

    def _pop_question(self) -> _Question:
        question = self._question
        assert question is not None  # noqa: S101 (the part was asked about)
        self._question = None
        return question

    def _ask_half_of(self, bad: list[Conversion]) -> None:
        half = len(bad) // 2
        self._question = _Question(bad[:half], bad[half:])

    def _set_aside(self, part: list[Conversion]) -> None:
        if part:
            self._unknown.append(part)
