"""Whether the API refuses everything, or only bad events."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.suspicion import SharedSuspicion, Suspicion


def refused(times: int, *, samples: bool = False, accepted: bool = True) -> Suspicion:
    """Return a suspicion after refusals in a row, each after a request of its own."""
    given = Suspicion(accepted=accepted)
    for number in range(1, times + 1):
        given.refuse(number, is_sample=samples)
    return given


@pytest.mark.parametrize(
    ("times", "accepted", "suspects"),
    [(7, True, False), (8, True, True), (0, False, False), (1, False, True)],
)
def test_when_it_begins(times: int, accepted: bool, suspects: bool) -> None:
    """After eight refusals in a row; before the first acceptance, after one."""
    assert refused(times, accepted=accepted).suspects == suspects


def test_an_acceptance_ends_it() -> None:
    """A request that was made after the refusals, and accepted, shows that events are at fault."""
    given = refused(8)
    given.accept(9)
    assert (given.suspects, given.in_a_row) == (False, 0)


def test_a_late_acceptance_proves_nothing() -> None:
    """Requests overtake each other: one that was made before the refusals came clears none."""
    given = Suspicion()
    for _ in range(8):
        given.refuse(8, is_sample=False)
    given.accept(8)
    assert given.in_a_row == 8
    assert given.suspects


@pytest.mark.parametrize(
    ("requests", "samples", "wrong"),
    [(62, 30, True), (63, 29, False), (61, 30, False), (0, 92, True), (0, 91, False)],
)
def test_what_proves_wrong_settings(requests: int, samples: int, wrong: bool) -> None:
    """Many refusals in a row, of which enough are samples."""
    given = Suspicion(accepted=True)
    for number in range(requests):
        given.refuse(number, is_sample=False)
    for number in range(samples):
        given.refuse(requests + number, is_sample=True)
    assert given.proves_wrong == wrong


def test_an_acceptance_clears_samples() -> None:
    """The proof begins again after an acceptance."""
    given = refused(92, samples=True)
    given.accept(93)
    for number in range(93, 184):
        given.refuse(number, is_sample=True)
    assert not given.proves_wrong
    given.refuse(184, is_sample=True)
    assert given.proves_wrong


def test_what_is_proven_bad() -> None:
    """A refusal is proven by a request that was made after it came."""
    given = Suspicion()
    given.accept(5)
    assert given.has_passed(4)
    assert not given.has_passed(5)
    given.accept(3)  # A late answer takes nothing back.
    assert given.has_passed(4)


@pytest.mark.parametrize(
    ("events", "accepted", "allowed"),
    [(9, False, True), (10, False, False), (100, True, True), (101, True, False)],
)
def test_what_needs_no_proof(events: int, accepted: bool, allowed: bool) -> None:
    """At the end of the input, few refused events are believed to be bad."""
    assert Suspicion(accepted=accepted).allows_unproven(events) == allowed


def test_an_acceptance_renews_what_needs_no_proof() -> None:
    """Refused events that were left unproven count until the API accepts something again."""
    given = Suspicion(accepted=True)
    given.leave_unproven(60)
    assert not given.allows_unproven(41)
    given.accept(1)
    assert given.allows_unproven(41)


def shared(times: int) -> SharedSuspicion:
    """Return a suspicion of one of several runs, after so many refusals in a row."""
    given = SharedSuspicion()
    for _ in range(times):
        given.refuse(1, is_sample=True)
    return given


@pytest.mark.parametrize(("times", "proves"), [(999, False), (1_000, True)])
def test_one_of_several_runs(times: int, proves: bool) -> None:
    """Many bad events may come first; only if nothing is accepted for long, the run ends."""
    given = shared(times)
    assert given.proves_wrong == proves
    assert given.allows_unproven(10**6) != proves


def test_what_another_run_knows() -> None:
    """Once the settings are known to be right, refusals end nothing."""
    given = shared(2_000)
    given.accepted = True
    assert not given.proves_wrong
    assert given.allows_unproven(10**6)
