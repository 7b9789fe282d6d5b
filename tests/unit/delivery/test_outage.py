"""How long the run continues while the API accepts nothing."""

from __future__ import annotations

import math

from fakes import FAULT, LIMITED

from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.outage import Outage

TOLD = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=9_999.0)


def test_there_is_none_at_first() -> None:
    """Without a fault, nothing ends."""
    outage = Outage(300)
    assert (outage.since, outage.ends_at, outage.last_fault) == (math.inf, math.inf, None)


def test_it_begins_with_the_first_request_that_fails() -> None:
    """The budget runs from the start of that request on; later faults do not prolong it."""
    outage = Outage(300)
    outage.fault(FAULT, 10.0, 11.0)
    outage.fault(LIMITED, 50.0, 51.0)
    assert (outage.since, outage.ends_at, outage.last_fault) == (10.0, 310.0, LIMITED)


def test_it_ends_with_a_request_that_is_taken() -> None:
    """Then there is none."""
    outage = Outage(300)
    outage.fault(FAULT, 10.0, 11.0)
    outage.taken(15.0, 20.0)
    assert (outage.since, outage.ends_at, outage.last_fault) == (math.inf, math.inf, None)


def test_it_begins_after_the_last_request_that_was_taken() -> None:
    """A request that started long ago and fails late does not date the outage back."""
    outage = Outage(300)
    outage.taken(99.0, 100.0)
    outage.fault(FAULT, 80.0, 101.0)
    assert outage.ends_at == 400.0


def test_an_answer_that_was_under_way_does_not_end_a_retry_after() -> None:
    """Nothing may be asked until then, so the budget runs from that answer on."""
    outage = Outage(300)
    outage.fault(TOLD, 10.0, 11.0)
    outage.taken(10.0, 12.0)
    assert (outage.since, outage.ends_at, outage.last_fault) == (12.0, 312.0, TOLD)
    outage.taken(312.0, 313.0)  # This request was made in spite of the `Retry-After`.
    assert outage.ends_at == math.inf


def test_an_answer_after_a_retry_after_ends_the_outage() -> None:
    """It is over then, however long the request was under way."""
    outage = Outage(300)
    outage.fault(TOLD, 10.0, 11.0)
    outage.taken(10.0, 9_999.0 + 11.0)
    assert outage.ends_at == math.inf
