"""Whether the API refuses everything, or only bad events."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.refusals import Refusals


def refusals(requests: int = 0, samples: int = 0, *, accepted: bool = True) -> Refusals:
    """Return what is known after refusals in a row, each after a request of its own."""
    given = Refusals(accepted=accepted)
    for n in range(1, requests + samples + 1):
        given.refuse(n, is_sample=n > requests)
    return given


@pytest.mark.parametrize(("times", "suspects"), [(7, False), (8, True)])
def test_when_samples_are_sent(times: int, suspects: bool) -> None:
    """After eight refusals in a row: one bad event in a batch causes seven."""
    assert refusals(times).suspects == suspects


@pytest.mark.parametrize(("made_after", "in_a_row"), [(9, 0), (8, 8)])
def test_what_ends_it(made_after: int, in_a_row: int) -> None:
    """An accepted request that was made after the refusals came; others overtake each other."""
    given = Refusals()
    for _ in range(8):
        given.refuse(8, is_sample=False)
    given.accept(made_after)
    assert (given.in_a_row, given.suspects) == (in_a_row, in_a_row > 0)


@pytest.mark.parametrize(
    ("requests", "samples", "wrong"),
    [(62, 30, True), (63, 29, False), (61, 30, False), (0, 92, True), (0, 91, False)],
)
def test_what_proves_wrong_settings(requests: int, samples: int, wrong: bool) -> None:
    """Many refusals in a row, of which enough are samples."""
    assert refusals(requests, samples).proves_wrong == wrong


def test_an_acceptance_clears_samples() -> None:
    """The proof begins again after an acceptance."""
    given = refusals(samples=92)
    given.accept(93)
    for n in range(93, 184):
        given.refuse(n, is_sample=True)
    assert not given.proves_wrong
    given.refuse(184, is_sample=True)
    assert given.proves_wrong


def test_an_acceptance_renews_what_needs_no_proof() -> None:
    """Refused events that were left unproven count until the API accepts something again."""
    given = Refusals(accepted=True)
    given.leave_unproven(60)
    assert not given.allows_unproven(41)
    given.accept(1)
    assert given.allows_unproven(41)


@pytest.mark.parametrize(
    ("times", "accepted", "proves"),
    [(999, False, False), (1_000, False, True), (2_000, True, False)],
)
def test_one_of_several_runs(times: int, accepted: bool, proves: bool) -> None:
    """Many bad events may come first; only if no run is accepted for long, the run ends."""
    given = Refusals(shared=True)
    for _ in range(times):
        given.refuse(1, is_sample=True)
    given.accepted = accepted
    assert (given.proves_wrong, given.allows_unproven(10**6)) == (proves, not proves)
