"""Whether the API refuses everything, or only bad events."""

import pytest

from target_liveintent.delivery.refusals import Refusals


def refusals(requests: int = 0, samples: int = 0) -> Refusals:
    """Return what is known after refusals in a row, each after a request of its own."""
    given = Refusals(accepted=True)
    for n in range(1, requests + samples + 1):
        given.refuse(n, is_sample=n > requests)
    return given


@pytest.mark.parametrize(
    ("requests", "samples", "suspects", "wrong"),
    [
        # One bad event in a batch causes seven refusals in a row.
        (7, 0, False, False),
        (8, 0, True, False),
        # Many refusals, of which enough are samples, prove that the settings are wrong.
        (62, 30, True, True),
        (63, 29, True, False),
        (61, 30, True, False),
    ],
)
def test_refusals_in_a_row(requests: int, samples: int, suspects: bool, wrong: bool) -> None:
    """After some, samples are sent; after many, the settings are wrong."""
    given = refusals(requests, samples)
    assert (given.suspects, given.proves_wrong) == (suspects, wrong)


@pytest.mark.parametrize(("made_after", "in_a_row"), [(9, 0), (8, 1)])
def test_what_ends_it(made_after: int, in_a_row: int) -> None:
    """An accepted request that was made after the refusals came; others overtake each other."""
    given = refusals(8)
    given.accept(made_after)
    assert (given.in_a_row, given.suspects) == (in_a_row, False)


def test_an_acceptance_renews_what_needs_no_proof() -> None:
    """Refused events that were left unproven count until the API accepts something again."""
    given = Refusals(accepted=True)
    given.unproven += 60
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
