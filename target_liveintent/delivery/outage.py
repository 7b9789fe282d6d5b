"""How long a run continues while the API accepts nothing."""

from __future__ import annotations

import math

from target_liveintent.delivery.answers import Answer


class Outage:
    """The time since which each request got a fault, if that is so now.

    As long as the API accepts any request, there is no outage, however long a batch waits.

    Args:
        budget: Seconds after which an outage ends the run: the setting `max_retry_seconds`.

    Attributes:
        budget: The same.
        last_fault: The last answer; None if there is no outage.
        asked: The last answer with a `Retry-After`; None if there is no outage, or no such answer.
        taken_at: When the API took the last request, in monotonic seconds.
    """

    def __init__(self, budget: float) -> None:
        self.last_fault: Answer | None = None
        self.asked: Answer | None = None
        self.budget = budget
        self._since = math.inf
        self._told_at = self._quiet_until = -math.inf  # The last `Retry-After`.
        self.taken_at = -math.inf

    @property
    def ends_at(self) -> float:
        """When the budget is used up, in monotonic seconds; infinite if there is no outage."""
        return self._since + self.budget

    @property
    def since(self) -> float:
        """When the outage began, in monotonic seconds; infinite if there is none."""
        return self._since

    def fault(self, answer: Answer, started_at: float, now: float) -> None:
        """Note a fault that came now, and when its request started."""
        self._since = min(self._since, max(started_at, self.taken_at))
        self.last_fault = answer
        if answer.retry_after:
            self.asked = answer
            self._told_at = now
            self._quiet_until = max(self._quiet_until, now + answer.retry_after)

    def forget(self) -> None:
        """Note that there is nothing to send, so that nothing shows whether it is over."""
        self._since = math.inf
        self.last_fault = self.asked = None

    def taken(self, started_at: float, now: float) -> None:
        """Note that the API took a request now, also if it refused its events.

        A request that was under way when the API asked to wait does not show that it takes others
        again. Without a budget from now on, the run would wait for as long as the API says.
        """
        self.taken_at = now
        if started_at < self._told_at and now < self._quiet_until:
            self._since = now
        else:
            self.forget()
