"""Retry: what a fault means for its part and for the run, and how long a part rests before a retry.

A *fault* is an answer after which the same events are sent again (`REPEATED`, api.py). The table of
outcomes (outcome_table.py) says when they are sent again. The pace (pace.py) says when any request
may start.
"""

from __future__ import annotations

import enum
import math

from target_liveintent.delivery.api import Answer
from target_liveintent.delivery.outcome_table import Faults

_MOST_FAULTS = 10.0  # With this number of faults, a part is halved, and a single event is rejected.
# An answer that requests come too fast counts less, because a limit causes many such answers.
_THROTTLED_FAULTS = 0.25
_RETRY_SECONDS_PER_FAULT = 1.0  # How long a part rests for each of its counted faults.
# The last batches of a run can often be compared only with their own parts. So if at most three
# batches are left, they are halved after a quarter of the budget of an outage.
MOST_BATCHES_TO_HALVE = 3
_LATE_RATIO = 0.25


def counted_faults(answer: Answer) -> float:
    """Return how many faults an answer counts as."""
    return _THROTTLED_FAULTS if answer.is_throttled else 1.0


def faults_of(counted: float, *, is_late: bool) -> Faults:
    """Return what the number of faults of a part means.

    `is_late` says that a quarter of the budget is used, and only the last batches are left.
    """
    if counted >= _MOST_FAULTS:
        return Faults.TEN
    if is_late:
        return Faults.LATE
    return Faults.SOME if counted >= 1 else Faults.FEW


def rest_seconds(counted: float) -> float:
    """Return how many seconds a part with this number of faults rests before it is sent again."""
    return counted * _RETRY_SECONDS_PER_FAULT


class OutagePhase(enum.Enum):
    """How much of its budget an outage has used."""

    NONE = enum.auto()
    BEGUN = enum.auto()
    LATE = enum.auto()  # A quarter is used.
    OVER = enum.auto()  # All of it is used, so the run ends.


class Outage:
    """Knows whether there is an outage: a time in which each request gets a fault.

    An outage has a budget of time. When the budget is used up, the run ends. While the API accepts
    any request, there is no outage, however long a batch waits. While the run waits for input,
    there is no outage either, because only a further batch can show anything. Times are monotonic
    seconds, and infinite if there is no outage.
    """

    def __init__(self, budget_seconds: float) -> None:
        self.since = math.inf
        self.last_fault: Answer | None = None  # None if there is no outage.
        self._budget_seconds = budget_seconds
        self._worked_at = -math.inf  # When the last answer came that is not a fault.

    @property
    def ends_run_at(self) -> float:
        """When the budget is used up."""
        return self.since + self._budget_seconds

    def phase(self, now: float) -> OutagePhase:
        """Return how much of the budget is used now."""
        if now >= self.ends_run_at:
            return OutagePhase.OVER
        if now >= self.since + _LATE_RATIO * self._budget_seconds:
            return OutagePhase.LATE
        return OutagePhase.NONE if self.last_fault is None else OutagePhase.BEGUN

    def note_fault(self, answer: Answer, started_at: float) -> None:
        """Note a fault of a request that started at `started_at`; it may begin an outage."""
        self.since = min(self.since, max(started_at, self._worked_at))
        self.last_fault = answer

    def note_work(self, now: float) -> None:
        """Note an answer that is not a fault, which ends an outage."""
        self._worked_at = now
        self.end()

    def end(self) -> None:
        """Note that there is no outage, or that no request can show whether there is one."""
        self.since = math.inf
        self.last_fault = None

    def asks_too_much(self, answer: Answer) -> bool:
        """Return whether the API asks to wait longer than the whole budget."""
        return answer.retry_after > self._budget_seconds
