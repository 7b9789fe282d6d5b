"""The delivery of batches: what is sent, sent again, and given up, and how a run ends."""

import math
from typing import Any

import pytest
from fakes import (
    ACCEPTED,
    FAULT,
    LIMITED,
    REFUSED,
    FakeClient,
    FakeClock,
    answers,
    batch,
    deliver,
    drive,
    event,
    machine_of,
    refusing,
)
from unit_support import NOW

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.batch import Batch, BatchResult, DeliveryStatus, Request
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.refusals import LetterRefusals, Refusals
from target_liveintent.errors import AccessDeniedError, AllRefusedError, DeliveryError, OutageError

DENIED = Answer(Verdict.DENIED, "HTTP 403", 403)
LARGE = Answer(Verdict.TOO_LARGE, "HTTP 413", 413)
ROTATED = Answer(Verdict.ROTATED, "HTTP 401", 401)
WAIT = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=9.0)


def undelivered(*results: BatchResult) -> list[tuple[str, str]]:
    """Return the events that were not delivered, with their reasons."""
    return [(one.event_id, one.reason) for result in results for one in result.undelivered]


def delivered(*results: BatchResult) -> list[str]:
    """Return the IDs of the delivered events."""
    return [one.event_id for result in results for one in result.delivered]


def failures(results: list[BatchResult]) -> set[type | None]:
    """Return what kinds of failures ended batches, and None if some did not fail."""
    return {result.failure and type(result.failure) for result in results}


def machine_with(*batches: str, **how: Any) -> DeliveryMachine:
    """Return a machine with batches, each given as the IDs of its events.

    An event `1@5` expires in 5 seconds; others have a day left.
    """
    machine = machine_of(**how)
    for number, given in enumerate(batches):
        names = (name.partition("@") for name in given.split())
        events = [event(name, NOW + float(left or 86_400)) for name, _, left in names]
        machine.add(Batch(number, "orders", 0.0, NOW, events))
    return machine


def request(machine: DeliveryMachine, now: float = NOW) -> Request:
    """Return the request that must be made now."""
    step = machine.next(now, now)
    assert isinstance(step, Request), step
    return step


def answer(machine: DeliveryMachine, *given: Answer, now: float = NOW) -> None:
    """Make the requests that are due now one after the other, and answer them."""
    for one in given:
        machine.answered(request(machine, now), one, now)


# One answer


PARTLY = Answer(Verdict.PARTLY, "HTTP 200", 200, not_processed=frozenset("2"))


@pytest.mark.parametrize(
    ("given", "sent", "confirmed", "rest"),
    [
        (ACCEPTED, "123", "123", []),
        (PARTLY, "13", "", [("2", "not_processed")]),
        (
            Answer(Verdict.UNCONFIRMED, "HTTP 200"),
            "",
            "",
            [(name, "unconfirmed") for name in "123"],
        ),
    ],
    ids=["all", "some", "none"],
)
def test_what_one_answer_says(
    given: Answer, sent: str, confirmed: str, rest: list[tuple[str, str]]
) -> None:
    """Events are delivered, delivered but not confirmed, or not delivered; one request is made."""
    client = answers(given)
    result = deliver(batch(*"123"), client)
    assert client.posted == [["1", "2", "3"]]
    assert (delivered(result), result.sent_at) == ([*sent], [NOW] * len(sent))
    assert [one.event_id for one in result.confirmed] == [*confirmed]
    assert undelivered(result) == rest
    assert (result.requests, result.retries) == (1, 0)
    assert result.failure is None


@pytest.mark.parametrize(
    ("given", "failure", "words"),
    [
        (
            [DENIED],
            AccessDeniedError,
            "denied access (HTTP 403). The token may have been rotated, or may belong to another",
        ),
        (
            [ACCEPTED, DENIED],
            AccessDeniedError,
            "denied access (HTTP 403) after it had accepted events. A firewall or a limit may have",
        ),
        (
            [Answer(Verdict.UNKNOWN, "HTTP 302", 302)],
            DeliveryError,
            "the API gave an unexpected answer: HTTP 302. Check api_url",
        ),
    ],
    ids=["denied at once", "denied after accepted events", "unexpected answer"],
)
def test_answers_that_end_the_run(given: list[Answer], failure: type, words: str) -> None:
    """They do so at once, with words that fit what came before."""
    *_, last = drive(machine_with(*"12"[: len(given)]), answers(*given), FakeClock())
    assert failures([last]) == {failure}
    advice = "Ask your account manager for the current token, and write it to auth_token"
    assert (advice in str(last.failure)) is (failure is AccessDeniedError)
    for part in (words, "(api_url http://127.0.0.1:9, customer_id a-1b2c)"):
        assert part in str(last.failure)
    assert (last.requests, last.retries, undelivered(last)) == (1, 0, [])


# Which batch is next


@pytest.mark.parametrize(
    ("batches", "given", "posted", "too_old"),
    [
        # The oldest batch goes first; after a fault, which its events may have caused, others do,
        ("0 | 1 | 2", [ACCEPTED, FAULT, ACCEPTED, ACCEPTED], "0 | 1 | 2 | 1", []),
        # until one of them is accepted.
        ("0 | 1 | 2 | 3", [LIMITED, *[ACCEPTED] * 4], "0 | 1 | 0 | 2 | 3", []),
        # An event may be sent until it expires, and not at that moment.
        ("1@1 2", [ACCEPTED], "1 2", []),
        ("1@0 2", [ACCEPTED], "2", ["1"]),
        # An event that grows too old while its batch waits is left out of the next request,
        ("1@5 2", [WAIT, ACCEPTED], "1 2 | 2", ["1"]),
        # and is not too old twice.
        ("1@-10 2", [ROTATED, ACCEPTED], "2 | 2", ["1"]),
        # If all events grow too old, nothing more is sent, and nothing failed.
        ("1@5 2@5", [WAIT], "1 2", ["1", "2"]),
        # A half that lost events to their age proves nothing: the other one is sent whole.
        ("1@5 2@5 3 4", [REFUSED, WAIT, ACCEPTED], "1 2 3 4 | 1 2 | 3 4", ["1", "2"]),
        ("1@5 2 3 4", [REFUSED, WAIT, ACCEPTED, ACCEPTED], "1 2 3 4 | 1 2 | 2 | 3 4", ["1"]),
    ],
    ids=[
        "others after a fault",
        "others after a limit",
        "just before it expires",
        "when it expires",
        "expires while it waits",
        "expired before a new token",
        "all expire",
        "whole half expires",
        "part of a half expires",
    ],
)
def test_what_is_sent_next(
    batches: str, given: list[Answer], posted: str, too_old: list[str]
) -> None:
    """Which batch, and which of its events: ages are judged before each request."""
    machine = machine_with(*batches.split("|"), accepted=True, max_concurrent_requests=1)
    client = answers(*given)
    results = drive(machine, client, FakeClock())
    assert [*map(" ".join, client.posted)] == posted.split(" | ")
    assert failures(results) == {None}
    assert undelivered(*results) == [(name, "event_too_old") for name in too_old]
    names = {name.partition("@")[0] for name in batches.split()} - {"|", *too_old}
    assert sorted(delivered(*results)) == sorted(names)


FIRST_OF_TWO = Answer(Verdict.PARTLY, "HTTP 200", 200, not_processed=frozenset("1"))


@pytest.mark.parametrize(
    ("events", "given", "posted"),
    [
        # After a refusal the left half is sent. If the API accepts all of it, the right half has
        # the bad event, and is halved at once.
        ("12345678", [REFUSED, ACCEPTED], "12345678 1234 56"),
        ("12345678", [REFUSED, ACCEPTED, ACCEPTED], "12345678 1234 56 7"),
        # The API must have refused an event alone, so one that is left over is sent.
        ("12", [REFUSED, ACCEPTED], "12 1 2"),
        # If not every event of the left half is good, the right half is sent as it is.
        ("1234", [REFUSED, FIRST_OF_TWO], "1234 12 34"),
        ("1234", [REFUSED, REFUSED, REFUSED], "1234 12 1 34"),
        # What waits is sent later, the largest part first.
        ("12345678", [REFUSED, REFUSED, FIRST_OF_TWO], "12345678 1234 12 5678"),
        # A request that was too large proves nothing of either half.
        ("1234", [LARGE, ACCEPTED], "1234 12 34"),
        ("12345678", [REFUSED, LARGE], "12345678 1234 5678"),
        # A part that got a fault is sent after the others, and proves nothing of its other half.
        ("1234", [REFUSED, FAULT, ACCEPTED], "1234 12 34 12"),
        # The same part is sent again if it came too fast, or if the token was rotated.
        ("1234", [LIMITED, REFUSED, LIMITED], "1234 1234 12 12"),
        ("1234", [REFUSED, ROTATED, ACCEPTED], "1234 12 12 3"),
    ],
    ids=[
        "left half is good",
        "left parts are good",
        "two events",
        "left half is partly good",
        "left half is refused",
        "largest part first",
        "batch is too large",
        "left half is too large",
        "left half gets a fault",
        "sent too fast",
        "token rotated",
    ],
)
def test_which_part_is_sent_next(events: str, given: list[Answer], posted: str) -> None:
    """Each answer decides about the next part of the batch, as the table of the machine says."""
    machine = machine_with(" ".join(events), accepted=True, max_concurrent_requests=1)
    now, asked = NOW, []
    for one in [*given, None]:
        while not isinstance(step := machine.next(now, now), Request):
            assert now < step < math.inf
            now = step
        asked.append("".join(conversion.event_id for conversion in step.conversions))
        if one is not None:
            machine.answered(step, one, now)
    assert asked == posted.split()


@pytest.mark.parametrize(
    ("given", "counts", "is_at_once"),
    [
        ([ROTATED, ROTATED], (3, 2, 0), True),
        # What came too fast is no retry for a fault.
        ([LIMITED, FAULT, LIMITED], (4, 1, 2), False),
    ],
    ids=["rotated", "too-fast"],
)
def test_what_is_counted(
    given: list[Answer], counts: tuple[int, int, int], is_at_once: bool
) -> None:
    """The requests of a batch, those that were retries, and those that came too fast.

    An event was sent when the last request was made.
    """
    clock = FakeClock()
    result = deliver(batch("1"), answers(*given, ACCEPTED), clock)
    assert clock.now - result.sent_at[0] < 0.1
    assert (result.requests, result.retries, result.throttled) == counts
    assert (delivered(result), result.failure) == (["1"], None)
    assert (clock.waits == []) is is_at_once


def test_what_is_delivered_does_not_wait_for_the_rest_of_its_batch() -> None:
    """The store must learn what is confirmed while the API still fails on other events."""
    machine = machine_with("1 2 3 4", accepted=True, max_concurrent_requests=1)
    answer(machine, LARGE, ACCEPTED)
    (result,) = machine.finished
    assert (delivered(result), result.is_last) == (["1", "2"], False)


# Outages


@pytest.mark.parametrize("seconds", [20, 0])
@pytest.mark.parametrize("given", [FAULT, LIMITED], ids=["fault", "limit"])
def test_an_outage_ends_the_run(given: Answer, seconds: int) -> None:
    """The run goes on for `max_retry_seconds`, and says so; no event is blamed for the outage."""
    clock = FakeClock()
    machine = machine_with("1", "2", max_retry_seconds=seconds)
    results = drive(machine, FakeClient(lambda _: given), clock)
    assert (failures(results), undelivered(*results)) == ({OutageError}, [])
    words = f"the API accepted nothing for {seconds} seconds (max_retry_seconds): {given.detail} ("
    assert words in str(results[0].failure)
    assert seconds <= clock.now - NOW < seconds + 2.0


@pytest.mark.parametrize("seconds", [60, 61])
def test_a_retry_after_beyond_the_budget_ends_the_run(seconds: int) -> None:
    """A longer wait than `max_retry_seconds` would only delay the end."""
    clock = FakeClock()
    asks = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=seconds)
    result = deliver(batch("1"), answers(asks, ACCEPTED), clock, max_retry_seconds=60)
    if seconds == 60:
        assert (result.failure, result.requests, clock.waits) == (None, 2, [60.0])
    else:
        assert (failures([result]), result.requests, clock.waits) == ({OutageError}, 1, [])
        words = "to wait for 61 seconds, longer than max_retry_seconds (60): HTTP 429 (api_url"
        assert words in str(result.failure)


def test_an_outage_that_nothing_tests() -> None:
    """While there is nothing to send, no outage goes on: a later fault is the first of another."""
    machine = machine_with("1@5", max_retry_seconds=60)
    answer(machine, LIMITED)
    assert machine.next(NOW + 10, NOW + 10) == math.inf
    machine.add(batch("2", number=1))
    sent = request(machine, NOW + 100)
    assert sent.timeout_seconds == 30
    machine.answered(sent, FAULT, NOW + 101)
    assert [result.failure for result in machine.finished] == [None]


def test_a_request_takes_no_longer_than_the_budget() -> None:
    """A request near the end of the budget may take as long as is left, and 5 seconds at least."""
    client = FakeClient(lambda _: FAULT)
    deliver(batch("1"), client, max_retry_seconds=20, request_timeout_seconds=30)
    assert client.within[0] == 30
    assert all(5.0 <= seconds <= 20.0 for seconds in client.within[1:])
    assert client.within[-1] == 5.0
    machine = machine_with("1", max_retry_seconds=20, max_requests_per_minute=1)
    answer(machine, FAULT)
    assert machine.next(NOW, NOW) == NOW + 60  # The end of the budget lifts no limit of the user's.


# A batch with an event on which the API fails


def test_faults_of_a_part_do_not_blame_what_is_left_of_it() -> None:
    """Where an event grew too old, it may have caused the faults, and not the other one."""
    machine = machine_with("bad@1000 good")
    now = NOW
    for number in range(1, 12):
        machine.add(batch(f"other-{number}", number=number))
        for _ in range(2):
            now += 60
            sent = request(machine, now)
            is_bad = any(one.event_id == "bad" for one in sent.conversions)
            is_last = number > 8 and sent.delivery.result.batch.number == 0
            machine.answered(sent, FAULT if is_bad or is_last else ACCEPTED, now + 0.1)
    assert undelivered(*machine.finished) == []


def test_an_event_that_fails_rests_a_second_for_each_fault() -> None:
    """An API that fails on it for less than a minute makes it no dead letter."""
    machine, now = machine_with("bad"), NOW
    for faults in (1, 2, 3):
        machine.answered(request(machine, now), FAULT, now)
        machine.add(batch(f"good-{faults}", number=faults))
        answer(machine, ACCEPTED, now=now)
        assert machine.next(now, now) == now + faults
        now += faults


@pytest.mark.parametrize(("failure", "times"), [(FAULT, 10), (LIMITED, 40)], ids=["fault", "limit"])
def test_how_many_failures_blame_an_event(failure: Answer, times: int) -> None:
    """Ten, or forty if they may be due to a limit, between which the API accepts others."""
    machine = machine_with("bad")
    now, failed, number = NOW, 0, 1
    while not any(result.undelivered for result in machine.finished):
        machine.add(batch(f"good-{number}", number=number))
        number += 1
        for _ in range(2):
            now += 60
            sent = request(machine, now)
            is_bad = sent.conversions[0].event_id == "bad"
            failed += is_bad
            machine.answered(sent, failure if is_bad else ACCEPTED, now + 0.1)
    assert failed == times


# What it says of itself


def test_why_batches_wait() -> None:
    """The status names an outage, and since when it is so, and the rate at a limit."""
    machine = machine_with(*map(str, range(16)), accepted=True)
    assert machine.status() == DeliveryStatus(16, 16, 2, None, None, math.inf)
    fault, other = request(machine), request(machine)
    machine.answered(other, ACCEPTED, NOW + 1)
    machine.answered(fault, FAULT, NOW + 2)
    down = machine.status()
    assert (down.fault, down.since) == ("HTTP 500", NOW + 1)
    machine.answered(request(machine, NOW + 2.5), ACCEPTED, NOW + 2.6)
    machine.answered(request(machine, NOW + 3), LIMITED, NOW + 4)
    machine.answered(request(machine, NOW + 9), ACCEPTED, NOW + 10)
    limited = machine.status()
    assert (limited.fault, limited.rate is None) == (None, False)


# The end


@pytest.mark.parametrize(
    ("stops", "given", "said"),
    [
        ([NOW], [], "the run was stopped"),
        ([NOW, NOW + 100], [], "the run was stopped"),
        # A wait that would outlast the stop is not begun; the last answer is named.
        ([NOW + 5.0], [WAIT], "the run was stopped during an outage of the API: HTTP 429"),
    ],
    ids=["once", "twice", "outage"],
)
def test_a_stop(stops: list[float], given: list[Answer], said: str) -> None:
    """After the time of the earliest stop, nothing more is sent."""
    machine, clock = machine_with("1"), FakeClock()
    for at in stops:
        machine.stop(at)
    (result,) = drive(machine, answers(*given), clock)
    assert failures([result]) == {DeliveryError}
    assert str(result.failure) == said
    assert (clock.waits, result.requests) == ([], len(given))


@pytest.mark.parametrize(
    ("input_ends", "failure", "unproven"),
    [
        # If the input ends in time, a refused event that waits for others is still judged.
        (True, None, 1),
        # If the input does not end, its batch comes back at the time of the stop.
        (False, DeliveryError, 0),
    ],
    ids=["judged", "no-end"],
)
def test_a_stop_while_a_refused_event_waits_for_others(
    input_ends: bool, failure: type | None, unproven: int
) -> None:
    """Its outcome depends on whether the input ends."""
    machine = machine_with("1", accepted=True)
    sent = request(machine)
    machine.stop(NOW + 5.0)
    assert machine.next(NOW, NOW) == NOW + 5.0
    machine.answered(sent, REFUSED, NOW)
    assert machine.next(NOW, NOW) == NOW + 5.0
    if input_ends:
        machine.drain()
    else:
        assert machine.next(NOW + 5.0, NOW + 5.0) == math.inf
    (result,) = machine.finished
    assert (failures([result]), result.unproven) == ({failure}, unproven)
    assert len(result.undelivered) == unproven


def test_answers_after_the_end_are_taken() -> None:
    """A request that is in flight when the run ends still counts if it is accepted.

    A batch that comes later fails with what ended the delivery.
    """
    machine = machine_with("1", "2")
    first, second = request(machine), request(machine)
    machine.answered(first, DENIED, NOW)
    assert [result.batch.number for result in machine.finished] == [0]
    machine.answered(second, ACCEPTED, NOW)
    assert [delivered(result) for result in machine.finished] == [[], ["2"]]
    machine.give_up()  # A second failure changes nothing.
    machine.add(batch("3", number=2))
    denied, accepted, late = (result.failure for result in machine.finished)
    assert (accepted, late, type(denied)) == (None, denied, AccessDeniedError)
    assert machine.next(NOW, NOW) == math.inf


# Refusals


def refuse_all(machine: DeliveryMachine, now: float) -> float:
    """Refuse what is sent now; return when the machine wants to be asked again."""
    while isinstance(step := machine.next(now, now), Request):
        machine.answered(step, REFUSED, now)
    return step


@pytest.mark.parametrize(
    ("events", "accepted", "is_over"),
    [(1, True, True), (60, True, True), (1, False, False), (101, True, False)],
    ids=["one event", "sixty events", "nothing was accepted", "more than a hundred events"],
)
def test_a_tap_that_is_silent(events: int, accepted: bool, is_over: bool) -> None:
    """After twice `flush_interval_seconds`, refused events get their outcome, as at the end.

    Not where the end of the input would fail the run, or nothing was accepted.
    """
    names = " ".join(map(str, range(events)))
    machine = machine_with(names, accepted=accepted, flush_interval_seconds=10)
    for seconds in (0, 19):
        assert refuse_all(machine, NOW + seconds) == NOW + 20
        assert list(machine.finished) == []
    assert refuse_all(machine, NOW + 20) == math.inf
    found = [(one.failure, len(one.undelivered), one.unproven) for one in machine.finished]
    assert found == [(None, events, events)] * is_over
    # What comes after a silence waits for what follows it.
    machine.finished.clear()
    machine.add(batch("more"))
    assert refuse_all(machine, NOW + 25) == NOW + 45
    assert list(machine.finished) == []


@pytest.mark.parametrize(
    ("given", "size", "most"),
    [(ACCEPTED, 64, 6), (ACCEPTED, 3, 3), (REFUSED, 64, 64), (FAULT, 64, 64), (LIMITED, 64, 64)],
    ids=["accepted", "accepted, small size", "refused", "fault", "limited"],
)
def test_how_many_batches_may_wait(given: Answer, size: int, most: int) -> None:
    """A few; more to compare with, once events of one have failed."""
    machine = machine_with("0 1", size=size)
    machine.answered(request(machine), given, NOW)
    fill(machine)
    assert machine.batches_to_send == most


def fill(machine: DeliveryMachine) -> None:
    while not machine.is_full:
        machine.add(batch("1"))


def widen(machine: DeliveryMachine, window: int) -> None:
    """Let so many requests be in flight, after others were accepted, and more batches wait."""
    while machine.status().window < window:
        fill(machine)
        for sent in [request(machine) for _ in range(machine.status().window)]:
            machine.answered(sent, ACCEPTED, NOW)
    fill(machine)


def test_more_batches_wait_if_more_may_be_in_flight() -> None:
    machine = machine_of(size=64)
    widen(machine, 20)
    assert machine.batches_to_send == 40


def test_a_refusal_is_proven_by_a_later_acceptance() -> None:
    """An event is a dead letter once the API has accepted a request made after its refusal."""
    machine = machine_with("bad", "good", accepted=True)
    bad, before = request(machine), request(machine)
    machine.answered(bad, REFUSED, NOW)
    machine.answered(before, ACCEPTED, NOW)  # Its request was made before the refusal came.
    assert [result.batch.number for result in machine.finished] == [1]
    machine.add(batch("later", number=2))
    answer(machine, ACCEPTED)
    assert [result.batch.number for result in machine.finished] == [1, 0, 2]
    result = machine.finished[1]
    assert (undelivered(result), result.unproven) == ([("bad", "refused_by_api")], 0)


def test_the_end_of_the_input_decides_when_the_last_answer_comes() -> None:
    """An acceptance that proves nothing is the last answer: the refused event waits no longer."""
    machine = machine_with("bad", "good", accepted=True)
    machine.drain()
    bad, before = request(machine), request(machine)
    machine.answered(bad, REFUSED, NOW)
    machine.answered(before, ACCEPTED, NOW)
    found = [(result.batch.number, result.unproven) for result in machine.finished]
    assert found == [(0, 1), (1, 0)]


def test_waits_of_batches_for_each_other_are_not_the_end_of_the_input() -> None:
    """What may be dead letters without proof is counted over all waits without an acceptance."""
    machine = machine_of()
    for number in range(2):
        machine.add(batch(*(f"{number} {n}" for n in range(5)), number=number))
        results = drive(machine, refusing(lambda _: True), FakeClock())
    assert (results[0].failure, results[0].unproven) == (None, 5)
    assert isinstance(results[1].failure, AllRefusedError)


def test_a_sample_that_gets_a_fault_is_no_sample() -> None:
    """It is taken again, although a batch has few samples while more input may come."""
    machine = machine_with(" ".join(map(str, range(20))), max_concurrent_requests=1)
    answer(machine, *[REFUSED] * 10, FAULT)
    assert len(request(machine, NOW + 1.1).conversions) == 1


def test_how_many_samples_are_in_flight() -> None:
    """Four, so that a run that must end stops in time."""
    machine = machine_of(size=64)
    widen(machine, 8)
    answer(machine, *[REFUSED] * 10)
    in_flight = 0
    while isinstance(machine.next(NOW, NOW), Request):
        in_flight += 1
    assert in_flight == 4


@pytest.mark.parametrize(
    ("bad", "accepted", "ends"),
    [(9, False, False), (10, False, True), (100, True, False), (101, True, True)],
    ids=[
        "nine, none accepted",
        "ten, none accepted",
        "hundred, others accepted",
        "over hundred, others accepted",
    ],
)
def test_the_end_of_the_input(bad: int, accepted: bool, ends: bool) -> None:
    """Few refused events with nothing to compare them with are dead letters; many end the run."""
    names = [*map(str, range(bad))]
    given = (" ".join(names[n : n + 20]) for n in range(0, bad, 20))
    machine = machine_with(*given, accepted=accepted)
    results = drive(machine, refusing(lambda _: True), FakeClock())
    assert failures(results[-1:]) == {AllRefusedError if ends else None}
    assert ends or failures(results) == {None}
    assert len(undelivered(*results)) == (0 if ends else bad)
    assert ends or sum(result.unproven for result in results) == bad


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
    ids=[
        "one bad event",
        "one refusal more",
        "enough refusals and samples",
        "one sample too few",
        "one refusal too few",
    ],
)
def test_refusals_in_a_row(requests: int, samples: int, suspects: bool, wrong: bool) -> None:
    """After some, samples are sent; after many, the settings are wrong."""
    given = Refusals(accepted=True)
    for n in range(requests + samples):
        given.refuse(n, is_sample=n >= requests)
    assert (given.suspects, given.settings_are_wrong) == (suspects, wrong)


@pytest.mark.parametrize(
    ("made_after", "in_a_row"),
    [(9, 0), (8, 1)],
    ids=["made after the refusals", "made before the last"],
)
def test_what_ends_a_row_of_refusals(made_after: int, in_a_row: int) -> None:
    """An accepted request that was made after the refusals came; others overtake each other."""
    given = Refusals()
    for n in range(1, 9):
        given.refuse(n, is_sample=False)
    given.accept(made_after)
    assert (given.in_a_row, given.suspects) == (in_a_row, False)


@pytest.mark.parametrize(
    ("useful", "refused", "suspects", "gives_up"),
    [
        pytest.param(0, 7, False, False, id="one bad event"),
        pytest.param(0, 8, True, False, id="more than one bad event causes"),
        pytest.param(0, 199, True, False, id="one refusal too few to give up"),
        pytest.param(0, 200, True, True, id="enough refusals to give up"),
        # With the request that is accepted, the first ones are 150.
        pytest.param(149, 299, True, False, id="fewer than twice the useful requests"),
        pytest.param(149, 300, True, True, id="twice the useful requests"),
    ],
)
def test_refusals_of_letters(useful: int, refused: int, suspects: bool, gives_up: bool) -> None:
    """Letters are tried for longer if that was useful, and none of their refusals ends a run."""
    given = LetterRefusals()
    for _ in range(useful):
        given.refuse()
    if useful:
        given.accept()
        assert not given.suspects
    for _ in range(refused):
        given.refuse()
    assert (given.suspects, given.gives_up) == (suspects, gives_up)


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
    ids=["one refusal too few", "enough refusals", "some run was accepted"],
)
def test_one_of_several_runs(times: int, accepted: bool, proves: bool) -> None:
    """Many bad events may come first; only if no run is accepted for long, the run ends."""
    given = Refusals(shared=True)
    for _ in range(times):
        given.refuse(1, is_sample=True)
    given.accepted = accepted
    assert (given.settings_are_wrong, given.allows_unproven(10**6)) == (proves, not proves)
