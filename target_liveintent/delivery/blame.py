"""Finds the events on which the API fails, while it takes others.

A batch that gets faults again and again while other requests are accepted is halved, and what is
left of it in the end, a single event, is given up (job.py says after how many faults). At the end
of a run there may be nothing to compare it with but its own parts. So it is halved in any case when
a quarter of `max_retry_seconds` is over without an acceptance, and single events that are all that
is left when it is used up are given up, if other parts were accepted after the first fault.
"""

from __future__ import annotations

import math

from target_liveintent.delivery.answers import Answer
from target_liveintent.delivery.backlog import Backlog
from target_liveintent.delivery.job import Job, Progress
from target_liveintent.delivery.outage import Outage

_FIRST_PAUSE = 0.25
"""Seconds for which a part rests after a fault; each further one doubles them."""
_LONGEST_PAUSE = 10.0
_LATE = 0.25
"""The share of the time of an outage after which the last batches are halved."""
_FEW_LEFT = 3
"""Batches at the end of a run, of which the events that fail are found in the time of an outage."""


class Blame:
    """Judges faults.

    Args:
        backlog: The batches that are here.
        outage: Says since when the API accepts nothing.

    Attributes:
        run: How far the run is.
    """

    def __init__(self, backlog: Backlog, outage: Outage) -> None:
        self.run = Progress()
        self._backlog = backlog
        self._outage = outage

    def sent(self, number: int) -> None:
        """Note that a request is made, with this number."""
        self.run = self.run._replace(requests=number)

    def accepted(self, number: int) -> None:
        """Note that the request with this number was accepted."""
        newest = max(number, self.run.newest_accepted)
        self.run = self.run._replace(newest_accepted=newest, accepted=self.run.accepted + 1)

    def fault(self, job: Job, answer: Answer, now: float, *, drained: bool) -> float:
        """Count a fault of the part that was sent.

        Args:
            job: The job that it is a part of.
            answer: The fault.
            now: Monotonic seconds.
            drained: Whether no batch is added before those that are here are finished.

        Returns:
            How many seconds the job rests.
        """
        late_at = self._outage.since + _LATE * self._outage.budget
        late = now >= late_at and drained and self._backlog.unsent <= _FEW_LEFT
        if answer.is_throttled:
            self.run = self.run._replace(throttled=self.run.throttled + 1)
            faults = job.throttle(answer, self.run, late=late)
            return min(_FIRST_PAUSE * (math.pow(2, faults) - 1), _LONGEST_PAUSE)
        job.note_fault(self.run)
        alone = self._backlog.all_fail(self.run.accepted)
        faults = job.blame(answer, self.run, alone=alone, late=late)
        return min(_FIRST_PAUSE * math.pow(2, faults), _LONGEST_PAUSE)

    def give_up_last(self, answer: Answer) -> list[Job]:
        """Give up the last events of a run, if they are to blame.

        Args:
            answer: The last fault.

        Returns:
            Their jobs; none if they may not be to blame.
        """
        left = [job for job in self._backlog.jobs if not job.is_sent]
        if len(left) > _FEW_LEFT or not all(job.is_stuck(self.run) for job in left):
            return []
        for job in left:
            job.give_up(answer)
        return left
