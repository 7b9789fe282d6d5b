"""The phases of a run, its limit, and what it does after a signal."""

import itertools
import re

import pytest
from fakes import FakeRun, read

from target_liveintent.errors import AllRefusedError
from target_liveintent.run.counts import ReservedByOther
from target_liveintent.run.phases import HAS_FAILED, NEXT_PHASES, SENDS, Phase, next_phase
from target_liveintent.run.stopping import EventLimit, StopRequest
from target_liveintent.singer.process import STOP_SECONDS

# Phases


def test_a_run_goes_through_its_phases_in_one_direction() -> None:
    """No phase comes again, each but the first follows another one, and all lead to the end."""
    order = [*Phase]
    for phase, following in NEXT_PHASES.items():
        assert all(order.index(then) > order.index(phase) for then in following)
        assert following or phase is Phase.CLOSED
    assert {*itertools.chain(*NEXT_PHASES.values())} == {*order[1:]}
    assert {*Phase} - SENDS == {Phase.GIVEN_UP, Phase.CLOSED}
    assert {Phase.FAILED, Phase.GIVEN_UP} == HAS_FAILED


@pytest.mark.parametrize("now", Phase, ids=lambda phase: phase.value)
def test_a_wrong_transition_raises(now: Phase) -> None:
    for then in Phase:
        if then in NEXT_PHASES[now]:
            assert next_phase(now, then) is then
        else:
            with pytest.raises(ValueError, match=f"{now.value} cannot become {then.value}"):
                next_phase(now, then)


def test_a_failure_after_a_good_end_changes_nothing() -> None:
    """A replay whose events are all refused fails after its end; each has its outcome."""
    fake = FakeRun()
    read(fake, "1")
    fake.run.finish()
    happened = [*fake.happened]
    fake.run.abandon(AllRefusedError("all events were refused"))
    assert fake.happened == happened
    with pytest.raises(ValueError, match="closed cannot become ending"):
        fake.run.finish()


# The limit


def test_a_limit_counts_events_that_are_sent() -> None:
    limit = EventLimit(2)
    limit.take()
    limit.take()
    assert limit.is_reached()
    limit.give_back(1)
    assert not limit.is_reached()


def test_without_a_limit_none_is_reached() -> None:
    limit = EventLimit(None)
    assert not limit.exists
    assert not limit.is_reached()


# A stop


def test_nothing_is_stopped_without_a_signal() -> None:
    stop = StopRequest()
    assert not stop.is_made
    assert (stop.seconds(1e9), stop.failure(1e9, 1, None)) == (0.0, None)


@pytest.mark.parametrize(
    ("in_flight", "elsewhere", "grace", "words"),
    [
        pytest.param(2, None, 17.0, r"still sending batches \(2\)", id="requests in flight"),
        pytest.param(
            0,
            ReservedByOther(3, "run-2", 0.0),
            5.0,
            r"waiting for run run-2.*\(3\)",
            id="other run",
        ),
        pytest.param(1, ReservedByOther(3, "run-2", 0.0), 17.0, r"still sending", id="both"),
    ],
)
def test_a_stop_leaves_so_much_time(
    in_flight: int, elsewhere: ReservedByOther | None, grace: float, words: str
) -> None:
    """The first signal counts. After the grace, the run fails, and says what it was doing."""
    stop = StopRequest()
    stop.make(100.0)
    stop.make(103.0)
    assert (stop.is_made, stop.retry_seconds(101.0), stop.retry_seconds(106.0)) == (True, 4.0, -1.0)
    assert stop.failure(100.0 + grace, in_flight, elsewhere) is None
    failure = stop.failure(100.5 + grace, in_flight, elsewhere)
    assert failure
    assert re.search(words, failure.words)


def test_a_stopped_process_ends_within_20_seconds() -> None:
    """The alarm comes before 20 seconds, and leaves a second or two to what ends in time."""
    assert 17.0 + 1.5 <= STOP_SECONDS < 20.0 - 0.5
