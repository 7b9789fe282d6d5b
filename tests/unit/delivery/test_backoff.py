"""What failures in a row, and a `Retry-After`, mean."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.backoff import Backoff, RetryAfter


def failed(count: int, at: float = 100.0) -> Backoff:
    backoff = Backoff()
    for number in range(count):
        backoff.failed(at + number / 1000)
    return backoff


@pytest.mark.parametrize(
    ("failures", "throttling", "standstill", "long_standstill"),
    [
        pytest.param(4, False, False, False, id="4: faults may be chance"),
        pytest.param(5, True, False, False, id="5: a fault counts as throttling"),
        pytest.param(7, True, False, False, id="7: no standstill yet"),
        pytest.param(8, True, True, False, id="8: a standstill"),
        pytest.param(17, True, True, False, id="17: no long standstill yet"),
        pytest.param(18, True, True, True, id="18: a long standstill"),
    ],
)
def test_what_failures_in_a_row_are(
    failures: int, *, throttling: bool, standstill: bool, long_standstill: bool
) -> None:
    backoff = failed(failures)
    assert backoff.faults_count_as_throttling is throttling
    assert backoff.is_standstill is standstill
    assert backoff.is_long_standstill is long_standstill


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        pytest.param(0, 3.0, id="3 s at first"),
        pytest.param(6, 4.0, id="a second longer after six failures"),
        pytest.param(100, 13.2, id="never more than 13.2 s"),
    ],
)
def test_the_longest_pause(failures: int, seconds: float) -> None:
    assert failed(failures).longest_pause == seconds


@pytest.mark.parametrize(
    ("accepted_before", "failures", "seconds", "ends_standstill"),
    [
        pytest.param(0, 1, 8.1, True, id="the first of all after 8 s"),
        pytest.param(0, 1, 7.9, False, id="the first of all after less"),
        pytest.param(1, 7, 60.0, False, id="seven failures"),
        pytest.param(1, 8, 8.1, True, id="eight failures in 8 s, after one"),
        pytest.param(1, 8, 7.9, False, id="eight failures in less, after one: a search"),
        pytest.param(2, 8, 0.5, True, id="eight failures at once, after two"),
    ],
)
def test_which_accepted_request_ends_a_standstill(
    accepted_before: int, failures: int, seconds: float, *, ends_standstill: bool
) -> None:
    backoff = Backoff()
    for _ in range(accepted_before):
        backoff.accepted(0.0)
    for _ in range(failures):
        backoff.failed(100.0)
    assert backoff.accepted(100.0 + seconds) is ends_standstill
    assert backoff.failures == 0


def test_a_standstill_begins_the_count_of_accepted_requests_anew() -> None:
    """Only one request was accepted since the first standstill: a second one must last for 8 s."""
    backoff = failed(8)
    backoff.accepted(200.0)
    for _ in range(8):
        backoff.failed(300.0)
    assert not backoff.accepted(301.0)


def test_a_request_from_before_the_failures_says_nothing() -> None:
    backoff = failed(3, at=100.0)
    assert backoff.is_outdated(99.9)
    assert not backoff.is_outdated(100.0)


def test_a_retry_after_does_not_shorten_an_earlier_one() -> None:
    retry_after = RetryAfter()
    retry_after.received(10.0, until=40.0)
    retry_after.received(11.0, until=12.0)
    assert retry_after.until == 40.0


@pytest.mark.parametrize(
    ("started_at", "is_over"),
    [pytest.param(9.9, False, id="before it"), pytest.param(10.0, True, id="after it")],
)
def test_an_accepted_request_ends_a_retry_after(started_at: float, *, is_over: bool) -> None:
    retry_after = RetryAfter()
    retry_after.received(10.0, until=40.0)
    retry_after.accepted(started_at)
    assert (retry_after.until < 0) is is_over
