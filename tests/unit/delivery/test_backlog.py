"""Which batch is next."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fakes import REFUSED, batch

from target_liveintent.delivery.backlog import Backlog
from target_liveintent.delivery.job import Job, Progress


def backlog(count: int, size: int = 16) -> Backlog:
    """Return a backlog of batches of four events."""
    given = Backlog(size)
    given.jobs = [Job(batch(*"abcd", number=number)) for number in range(count)]
    return given


def number(job: Job | None) -> Any:
    return job and job.result.batch.number


def refuse(job: Job) -> None:
    """Let the API refuse what is left of a batch."""
    assert job.isolation.part
    job.refuse(REFUSED, 1)


def test_the_oldest() -> None:
    """The oldest batch that waits and does not rest goes first."""
    given = backlog(4)
    assert number(given.oldest(0.0, Progress(accepted=0))) == 0
    given.jobs[0].in_flight = True
    given.jobs[1].ready_at = 5.0
    assert number(given.oldest(0.0, Progress(accepted=0))) == 2
    assert number(given.oldest(5.0, Progress(accepted=0))) == 1
    assert (given.next_ready(0.0), given.next_ready(5.0)) == (5.0, math.inf)


def test_a_batch_with_a_fault_comes_later() -> None:
    """It comes after all others until a request is accepted again."""
    given = backlog(3)
    given.jobs[0].note_fault(Progress(accepted=7))
    assert number(given.oldest(0.0, Progress(accepted=7))) == 1
    assert number(given.oldest(0.0, Progress(accepted=8))) == 0
    assert not given.all_fail(7)
    for job in given.jobs:
        job.note_fault(Progress(accepted=7))
    assert number(given.oldest(0.0, Progress(accepted=7))) == 0
    assert given.all_fail(7)


def test_one_batch_is_kept_back() -> None:
    """While bad events are looked for, the newest batch is kept to compare them with."""
    given = backlog(3)
    refuse(given.jobs[0])
    given.jobs[0].in_flight = True
    assert number(given.oldest(0.0, Progress(accepted=0))) == 1
    given.jobs[1].in_flight = True
    assert given.oldest(0.0, Progress(accepted=0)) is None
    given.jobs[0].in_flight = False
    assert number(given.oldest(0.0, Progress(accepted=0))) == 0


def test_it_is_sent_when_nothing_else_is_left() -> None:
    """When all other events were sent, the batch that was kept back proves the refusals."""
    given = backlog(2)
    while given.jobs[0].isolation.left:
        refuse(given.jobs[0])
    assert number(given.oldest(0.0, Progress(accepted=0))) == 1


def test_samples_of_other_batches_first() -> None:
    """A sample is an event of a batch that was not refused, the newest first, or of another."""
    given = backlog(3)
    refuse(given.jobs[2])
    taken = []
    for _ in range(6):
        job = given.sample(0.0, drained=True)
        assert job is not None
        assert len(job.isolation.part) == 1
        taken.append(number(job))
    assert taken == [1, 0, 1, 0, 1, 0]
    for job in given.jobs[:2]:
        job.in_flight = True
    assert number(given.sample(0.0, drained=True)) == 2


@pytest.mark.parametrize(("drained", "size", "taken"), [(False, 2, 3), (True, 2, 9), (False, 1, 9)])
def test_other_batches_are_waited_for(drained: bool, size: int, taken: int) -> None:
    """After some samples of the batches that are here, more are waited for, if some may come."""
    given = backlog(1, size)
    count = 0
    while count < 9 and given.sample(0.0, drained=drained):
        count += 1
    assert count == taken


def test_no_sample() -> None:
    """A batch that rests, or whose request is in flight, gives no sample."""
    given = backlog(2)
    given.jobs[0].ready_at = 1.0
    given.jobs[1].in_flight = True
    assert given.sample(0.0, drained=True) is None


def test_what_is_left() -> None:
    """Events that were refused and not proven bad are undecided, but they are sent."""
    given = backlog(2)
    while given.jobs[0].isolation.left:
        refuse(given.jobs[0])
    assert (given.undecided, given.unsent) == (8, 1)
