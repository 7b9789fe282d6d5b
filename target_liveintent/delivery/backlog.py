"""The batches that are being delivered, and which of them is next."""

from __future__ import annotations

import math

from target_liveintent.delivery.job import Job, Progress

_SAMPLES_BEFORE_MORE_INPUT = 3
"""Samples of one batch before other batches are waited for, if some may come."""


class Backlog:
    """The deliveries of batches that are not finished, the oldest first.

    Args:
        size: The most batches that are here at the same time.
    """

    def __init__(self, size: int) -> None:
        self.jobs: list[Job] = []
        self._size = size

    @property
    def unsent(self) -> int:
        """How many of the batches are not sent yet as a whole."""
        # What is sent stays here only while the refusal of an event is not proven.
        return len(self.jobs) - sum(job.is_sent for job in self.unproven)

    @property
    def unproven(self) -> list[Job]:
        """The batches with events whose refusal is not proven yet."""
        return [job for job in self.jobs if job.refused]

    def oldest(self, now: float, run: Progress) -> Job | None:
        """Return the oldest job of which a request may be made now.

        Those that got a fault come after the others until a request is accepted again, and those
        that came too fast several times after one other request. While bad events are looked for,
        one batch is kept back to compare them with.

        Args:
            now: Monotonic seconds.
            run: How far the run is.
        """
        oldest = self._first(now, run, None)
        # One look at the newest batches is cheaper than one at all of them.
        if oldest is None or oldest is not self._reserve or not self._is_isolating(now):
            return oldest
        return self._first(now, run, oldest)

    def _first(self, now: float, run: Progress, reserve: Job | None) -> Job | None:
        """Return the first of the jobs that are ready, those with a fault after the others."""
        with_fault = None
        for job in self.jobs:
            if job.is_waiting and job.ready_at <= now and job is not reserve:
                if job.accepted_at_fault != run.accepted and job.lets_pass != run.requests:
                    return job
                with_fault = with_fault or job
        return with_fault

    def _is_isolating(self, now: float) -> bool:
        """Return whether bad events are looked for in a refused batch."""
        return any(job.was_refused and not job.is_sent and job.ready_at <= now for job in self.jobs)

    def _ready(self, now: float) -> list[Job]:
        """The jobs of which a request may be made now, the oldest first."""
        return [job for job in self.jobs if job.is_waiting and job.ready_at <= now]

    @property
    def _reserve(self) -> Job | None:
        """The newest of the batches that the API has not refused."""
        waiting = (job for job in reversed(self.jobs) if job.is_waiting)
        return next((job for job in waiting if not job.was_refused), None)

    def sample(self, now: float, *, drained: bool) -> Job | None:
        """Take a single event of a job: one that was not refused, with the fewest samples.

        Args:
            now: Monotonic seconds.
            drained: Whether no batch is added before those that are here are finished.

        Returns:
            The job that asks about this event next; None if there is no event, or if it is better
            to wait until there are other batches.
        """
        newest_first = reversed(self._ready(now))
        job = min(newest_first, key=lambda job: (job.was_refused, job.samples), default=None)
        if job is None:
            return None
        more_may_come = not drained and self.unsent < self._size
        if more_may_come and job.samples >= _SAMPLES_BEFORE_MORE_INPUT:
            return None
        job.take_sample()
        return job

    def next_ready(self, now: float) -> float:
        """Return when the next of the jobs that rest is ready, in monotonic seconds."""
        resting = [job.ready_at for job in self.jobs if job.is_waiting and job.ready_at > now]
        return min(resting, default=math.inf)

    def all_fail(self, accepted: int) -> bool:
        """Return whether each batch that is left got a fault since the last accepted request.

        Args:
            accepted: How many requests of the run were accepted until now.
        """
        left = (job for job in self.jobs if not job.isolation.is_done)
        return all(job.accepted_at_fault == accepted for job in left)

    @property
    def undecided(self) -> int:
        """The number of events without an outcome."""
        return sum(job.isolation.left + len(job.refused) for job in self.jobs)
