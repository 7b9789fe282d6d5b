"""The delivery of batches: what is sent, sent again, and given up, and how a run ends."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from fakes import (
    ACCEPTED,
    FAULT,
    LIMITED,
    REFUSED,
    STARVED,
    FakeClient,
    FakeClock,
    answers,
    batch,
    deliver,
    drive,
    event,
    machine_of,
    refusing,
    whole,
)
from unit_support import NOW

from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.delivery.request import Request
from target_liveintent.errors import (
    AccessDeniedError,
    AllRefusedError,
    DeliveryError,
    OutageError,
)

ROTATED = Answer(Verdict.ROTATED, "HTTP 401", 401)
WAIT = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=9.0)


def undelivered(result: BatchResult) -> list[tuple[str, str]]:
    """Return the events that were not delivered, with their reasons."""
    return [(one.conversion.event_id, one.reason) for one in result.undelivered]


def delivered(result: BatchResult) -> list[str]:
    """Return the IDs of the delivered events."""
    return [one.event_id for one in result.delivered]


def request(machine: DeliveryMachine, now: float = NOW) -> Request:
    """Return the request that must be made now."""
    step = machine.next(now, now)
    assert isinstance(step, Request), step
    return step


# One answer


def test_all_is_accepted() -> None:
    """One request with all events; when they were sent and how long it took is in the result."""
    client = answers(Answer(Verdict.ACCEPTED, "HTTP 204", 204, seconds=0.25))
    result = deliver(batch("1", "2"), client)
    assert client.posted == [["1", "2"]]
    assert delivered(result) == ["1", "2"]
    assert result.confirmed == result.delivered
    assert result.sent_at == [NOW, NOW]
    assert (result.requests, result.retries, result.latencies) == (1, 0, [0.25])
    assert (result.failure, result.undelivered) == (None, [])


def test_the_body_is_an_array() -> None:
    """The events of a batch are sent as one JSON array."""
    machine = machine_of()
    given = batch("1", "2")
    machine.add(given)
    one, two = (conversion.body for conversion in given.conversions)
    assert request(machine).body == b"[" + one + b"," + two + b"]"


def test_a_part_is_processed() -> None:
    """The events that a 200 names are refused; the others are delivered and not confirmed."""
    partly = Answer(Verdict.PARTLY, "HTTP 200", 200, not_processed=frozenset({"2"}))
    result = deliver(batch("1", "2", "3"), answers(partly))
    assert delivered(result) == ["1", "3"]
    assert result.sent_at == [NOW, NOW]
    assert result.confirmed == []
    assert undelivered(result) == [("2", "not_processed")]


def test_nothing_is_confirmed() -> None:
    """After a 200 that names nothing properly, no event counts as delivered."""
    result = deliver(batch("1", "2"), answers(Answer(Verdict.UNCONFIRMED, "HTTP 200", 200)))
    assert delivered(result) == []
    assert undelivered(result) == [("1", "unconfirmed"), ("2", "unconfirmed")]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, "Ask your account manager for the current auth_token"),
        (
            {"auth_token_path": True},
            "auth_token_path again, and the file still contains this token",
        ),
    ],
)
def test_access_is_denied(tmp_path: Any, settings: dict[str, Any], advice: str) -> None:
    """A denied token ends the run, with advice that fits where the token came from."""
    if settings:
        path = tmp_path / "token"
        path.write_text("a-token")
        settings = {"auth_token_path": str(path), "auth_token": None}
    result = deliver(batch("1"), answers(Answer(Verdict.DENIED, "HTTP 403", 403)), **settings)
    assert isinstance(result.failure, AccessDeniedError)
    for words in ("denied access (HTTP 403)", advice, "customer_id a-1b2c"):
        assert words in str(result.failure)
    assert (result.requests, undelivered(result)) == (1, [])


def test_an_unknown_answer() -> None:
    """An answer that the contract does not know ends the run at once."""
    result = deliver(batch("1"), answers(Answer(Verdict.UNKNOWN, "HTTP 302", 302)))
    assert type(result.failure) is DeliveryError
    assert "the API gave an unexpected answer: HTTP 302. Check api_url" in str(result.failure)
    assert "api_url http://127.0.0.1:9" in str(result.failure)
    assert (result.requests, result.retries) == (1, 0)


def test_a_client_that_fails() -> None:
    """An unforeseen exception of the client ends the run with all its batches."""
    machine = machine_of()
    machine.add(batch("1"))
    machine.add(batch("2", number=1))
    problem = ValueError("no client")
    machine.fail(problem, request(machine))
    assert [result.failure for result in machine.finished] == [problem, problem]
    assert machine.next(NOW, NOW) == math.inf


# Which batch is next


def test_the_oldest_batch_goes_first() -> None:
    """A batch that came too fast is sent again before those that came after it."""
    machine = machine_of(max_concurrent_requests=1)
    for number in range(3):
        machine.add(batch(str(number), number=number))
    client = answers(ACCEPTED, LIMITED, ACCEPTED, ACCEPTED)
    drive(machine, client, FakeClock())
    assert client.posted == [["0"], ["1"], ["1"], ["2"]]


def test_a_fault_lets_others_go_first() -> None:
    """After a fault, which the events of a batch may have caused, other batches go first."""
    machine = machine_of(max_concurrent_requests=1)
    for number in range(3):
        machine.add(batch(str(number), number=number))
    client = answers(ACCEPTED, FAULT, ACCEPTED, ACCEPTED)
    results = drive(machine, client, FakeClock())
    assert client.posted == [["0"], ["1"], ["2"], ["1"]]
    assert [result.retries for result in results] == [0, 0, 1]


def test_a_run_starts_with_two_requests() -> None:
    """At most two requests are in flight before the first answer."""
    machine = machine_of()
    for number in range(3):
        machine.add(batch(str(number), number=number))
    request(machine)
    request(machine)
    step = machine.next(NOW, NOW)
    assert not isinstance(step, Request)
    assert step > NOW
    assert (machine.status().waiting, machine.unsent) == (1, 3)


def test_a_rotated_token() -> None:
    """After a token rotation the request is sent again at once, and that is a retry."""
    clock = FakeClock()
    result = deliver(batch("1"), answers(ROTATED, ROTATED, ACCEPTED), clock)
    assert (result.requests, result.retries, clock.waits) == (3, 2, [])
    assert delivered(result) == ["1"]


def test_what_came_too_fast_is_counted_apart() -> None:
    """A request that the API did not take because it came too fast is no retry for a fault."""
    result = deliver(batch("1"), answers(LIMITED, FAULT, LIMITED, ACCEPTED))
    assert (result.requests, result.throttled, result.retries) == (4, 2, 1)


def test_what_the_api_asks_to_wait() -> None:
    """A `Retry-After` is obeyed."""
    clock = FakeClock()
    deliver(batch("1"), answers(WAIT, ACCEPTED), clock)
    assert 9.0 <= sum(clock.waits) < 12.0


# Outages


def test_an_outage_ends_the_run() -> None:
    """The run goes on for `max_retry_seconds`; the message says so, and what the API answered."""
    clock = FakeClock()
    result = deliver(batch("1"), FakeClient(lambda _: FAULT), clock, max_retry_seconds=20)
    assert isinstance(result.failure, OutageError)
    words = "the API accepted nothing for 20 seconds (max_retry_seconds): HTTP 500 (api_url"
    assert words in str(result.failure)
    assert 20.0 <= clock.now - NOW < 21.0


def test_no_patience() -> None:
    """With `max_retry_seconds` 0 the first fault ends the run."""
    result = deliver(batch("1"), answers(FAULT), max_retry_seconds=0)
    assert isinstance(result.failure, OutageError)
    assert result.requests == 1


def test_a_long_retry_after_is_obeyed_to_the_end_of_the_budget() -> None:
    """Then one more request is made; if it fails too, the message names the `Retry-After`."""
    clock = FakeClock()
    late = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=3600.0)
    result = deliver(batch("1"), FakeClient(lambda _: late), clock, max_retry_seconds=60)
    assert isinstance(result.failure, OutageError)
    assert "HTTP 429 (Retry-After 3600 seconds)" in str(result.failure)
    assert (result.requests, result.throttled, clock.waits) == (2, 2, [60.0])


def test_the_message_names_a_retry_after_that_an_earlier_answer_had() -> None:
    """At the end of the budget the API may give any answer, or none."""
    late = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=3600.0)
    result = deliver(batch("1"), answers(late, FAULT), max_retry_seconds=60)
    words = "HTTP 500; before that, HTTP 429 (Retry-After 3600 seconds) (api_url"
    assert f"(max_retry_seconds): {words}" in str(result.failure)


def test_the_last_request_of_the_budget_keeps_the_cap() -> None:
    """It is made as soon as `max_requests_per_minute` allows one, and no sooner."""
    clock = FakeClock()
    capped = {"max_retry_seconds": 20, "max_requests_per_minute": 1}
    result = deliver(batch("1"), answers(LIMITED, ACCEPTED), clock, **capped)
    assert (delivered(result), clock.waits[0]) == (["1"], 60.0)


def test_a_long_retry_after_is_obeyed_no_longer_because_of_an_answer_that_was_under_way() -> None:
    """It was asked for before the API asked to wait, and does not show that it takes more."""
    late = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=3600.0)
    machine = machine_of(max_retry_seconds=60)
    for number in range(2):
        machine.add(batch(str(number), number=number))
    limited, under_way = request(machine), request(machine)
    machine.answered(limited, late, NOW + 1)
    machine.answered(under_way, ACCEPTED, NOW + 2)
    machine.finished.clear()
    again_at = machine.next(NOW + 2, NOW)
    assert isinstance(again_at, float)
    assert NOW + 60 <= again_at <= NOW + 62
    machine.answered(request(machine, again_at), late, NOW + 63)
    assert isinstance(machine.finished[0].failure, OutageError)


def test_the_last_request_of_the_budget_may_succeed() -> None:
    """If the request at the end of the budget is accepted, the run goes on."""
    late = Answer(Verdict.LIMITED, "HTTP 429", 429, retry_after=3600.0)
    result = deliver(batch("1"), answers(late, ACCEPTED), max_retry_seconds=60)
    assert (result.failure, delivered(result)) == (None, ["1"])


def test_progress_is_no_outage() -> None:
    """While the API accepts anything, no batch fails for having waited."""
    clock = FakeClock()
    turn = [0]

    def answer(_: list[str]) -> Answer:
        clock.now += 7.0
        turn[0] += 1
        return ACCEPTED if turn[0] % 2 else LIMITED

    machine = machine_of(max_concurrent_requests=1, max_retry_seconds=20)
    for number in range(16):
        machine.add(batch(str(number), number=number))
    results = drive(machine, FakeClient(answer), clock)
    assert len(results) == 16
    assert clock.now - NOW > 200
    assert {result.failure for result in results} == {None}


def test_an_outage_that_nothing_tests() -> None:
    """While there is nothing to send, no outage goes on: a later fault is the first of another."""
    machine = machine_of(max_retry_seconds=60)
    machine.add(Batch(0, "orders", 0.0, [event("1", NOW + 5)]))
    machine.answered(request(machine), LIMITED, NOW)
    assert machine.next(NOW + 10, NOW + 10) == math.inf
    machine.add(batch("2", number=1))
    sent = request(machine, NOW + 100)
    assert sent.seconds == 30
    machine.answered(sent, FAULT, NOW + 101)
    assert [result.failure for result in machine.finished] == [None]


def test_a_request_takes_no_longer_than_the_budget() -> None:
    """A request near the end of the budget may take as long as is left, and 5 seconds at least."""
    client = FakeClient(lambda _: FAULT)
    deliver(batch("1"), client, max_retry_seconds=20, request_timeout_seconds=30)
    assert client.within[0] == 30
    assert all(5.0 <= seconds <= 20.0 for seconds in client.within[1:])
    assert client.within[-1] == 5.0


# A batch with an event on which the API fails


def failing(*names: str) -> FakeClient:
    """Return a client of an API that fails on some events."""
    return FakeClient(lambda ids: FAULT if set(names) & set(ids) else ACCEPTED)


def test_an_event_on_which_the_api_fails() -> None:
    """A batch that gets only faults while others are accepted is halved; the event is given up."""
    machine = machine_of(max_concurrent_requests=1)
    for number in range(200):
        machine.add(batch(f"a{number}", f"b{number}", number=number))
    client = failing("b3")
    results = drive(machine, client, FakeClock())
    assert {result.failure for result in results} == {None}
    assert [one for result in results for one in undelivered(result)] == [("b3", "api_error")]
    assert len(client.accepted) == 399
    assert client.posted.count(["a3", "b3"]) == 10
    assert client.posted.count(["b3"]) == 10


def test_a_batch_with_nothing_to_compare_is_halved_as_well() -> None:
    """Its halves are then compared with each other."""
    client = failing("4")
    result = deliver(batch(*"123456"), client)
    assert (result.failure, undelivered(result)) == (None, [("4", "api_error")])
    assert sorted(delivered(result)) == ["1", "2", "3", "5", "6"]


def test_an_outage_blames_no_event() -> None:
    """Faults while nothing is accepted give no dead letter, not even of a single event."""
    machine = machine_of(max_retry_seconds=300)
    machine.add(batch("1"))
    machine.add(batch("2", number=1))
    results = drive(machine, FakeClient(lambda _: FAULT), FakeClock())
    assert all(isinstance(result.failure, OutageError) for result in results)
    assert [undelivered(result) for result in results] == [[], []]


# The system gives no file descriptor


def test_a_request_that_could_not_be_made() -> None:
    """It is made a second later, and is neither a request nor a retry."""
    clock = FakeClock()
    result = deliver(batch("1"), answers(STARVED, STARVED, ACCEPTED), clock)
    assert (delivered(result), result.failure) == (["1"], None)
    assert (result.requests, result.retries, result.throttled) == (1, 0, 0)
    assert len(result.latencies) == 1
    assert clock.waits == [1.0, 1.0]


def test_want_of_descriptors_blames_no_event() -> None:
    """However often an event could not be sent while others were, it is no dead letter."""
    machine = machine_of(max_concurrent_requests=1)
    for number in range(100):
        machine.add(batch(f"a{number}", f"b{number}", number=number))
    turn = itertools.count(1)
    client = FakeClient(lambda ids: STARVED if "b3" in ids and next(turn) % 20 else ACCEPTED)
    results = drive(machine, client, FakeClock())
    assert {result.failure for result in results} == {None}
    assert [one for result in results for one in undelivered(result)] == []
    assert len(client.accepted) == 200
    assert client.posted.count(["a3", "b3"]) == 20


def test_fewer_requests_are_in_flight_then() -> None:
    """A part that could not be sent waits for an answer, and nothing suggests an outage."""
    machine = machine_of()
    for number in range(16):
        machine.add(batch(str(number), number=number))
    for _ in range(8):
        machine.answered(request(machine), ACCEPTED, NOW)
    flying = []
    while isinstance(step := machine.next(NOW, NOW), Request):
        flying.append(step)
    machine.answered(flying[-1], STARVED, NOW)
    step = machine.next(NOW, NOW)
    assert isinstance(step, float)
    assert step > NOW
    status = machine.status()
    assert (status.window, status.reason, status.is_outage) == (1, None, False)
    for sent in flying[:-1]:
        machine.answered(sent, ACCEPTED, NOW + 1)
    assert request(machine, NOW + 1).job is flying[-1].job


def test_want_of_descriptors_is_no_silence_of_the_api() -> None:
    """While requests are in flight, a lack of descriptors does not end even an impatient run."""
    machine = machine_of(max_retry_seconds=0)
    machine.add(batch("1"))
    machine.add(batch("2", number=1))
    slow, starved = request(machine), request(machine)
    machine.answered(starved, STARVED, NOW)
    assert list(machine.finished) == []
    machine.answered(slow, ACCEPTED, NOW + 20)
    machine.answered(request(machine, NOW + 20), ACCEPTED, NOW + 20)
    assert [result.failure for result in machine.finished] == [None, None]


def test_no_descriptor_ever_comes() -> None:
    """The run ends after `max_retry_seconds`, and the message says what to do about it."""
    clock = FakeClock()
    machine = machine_of(max_retry_seconds=20)
    for number in range(2):
        machine.add(batch(str(number), number=number))
    results = drive(machine, FakeClient(lambda _: STARVED), clock)
    assert [result.requests for result in results] == [0, 0]
    assert all(isinstance(result.failure, OutageError) for result in results)
    for words in (
        "accepted nothing for 20 seconds (max_retry_seconds)",
        "ulimit -n",
        "max_concurrent_req",
    ):
        assert words in str(results[0].failure)
    assert 20.0 <= clock.now - NOW < 22.0


def test_what_the_run_waits_for_without_descriptors() -> None:
    """While nothing gets through, the status says why."""
    machine = machine_of()
    machine.add(batch("1"))
    machine.answered(request(machine), STARVED, NOW)
    assert machine.status().reason == "no file descriptors are left"
    assert machine.status().is_outage


# Ages


def test_one_outcome_when_the_token_rotates() -> None:
    """An event that had grown too old before a denied request is not too old twice."""
    events = [event("old", NOW - 10), event("young")]
    result = deliver(Batch(0, "orders", 0.0, events), answers(ROTATED, ACCEPTED))
    assert undelivered(result) == [("old", "event_too_old")]
    assert delivered(result) == ["young"]


@pytest.mark.parametrize(("left", "sent"), [(0.0, False), (1.0, True)])
def test_the_last_second(left: float, sent: bool) -> None:
    """An event may be sent until it expires, and not at that moment."""
    events = [event("1", NOW + left), event("2")]
    result = deliver(Batch(0, "orders", 0.0, events), refusing(lambda _: False))
    assert ("1" in delivered(result)) == sent
    assert undelivered(result) == ([] if sent else [("1", "event_too_old")])


def test_age_is_judged_before_each_request() -> None:
    """An event that grows too old while its batch waits is left out of the next request."""
    client = answers(WAIT, ACCEPTED)
    result = deliver(Batch(0, "orders", 0.0, [event("old", NOW + 5), event("young")]), client)
    assert client.posted == [["old", "young"], ["young"]]
    assert undelivered(result) == [("old", "event_too_old")]


def test_nothing_is_left_to_send() -> None:
    """If all events grow too old during a wait, nothing more is sent, and nothing failed."""
    client = answers(WAIT)
    events = [event("1", NOW + 5), event("2", NOW + 5)]
    result = deliver(Batch(0, "orders", 0.0, events), client)
    assert client.posted == [["1", "2"]]
    assert undelivered(result) == [("1", "event_too_old"), ("2", "event_too_old")]
    assert (result.failure, result.delivered, result.requests) == (None, [], 1)


def test_a_half_that_grew_too_old_proves_nothing() -> None:
    """Where an isolation has nothing left to send of one half, the other one is sent whole."""

    def answer(ids: list[str]) -> Answer:
        if len(ids) == 4:
            clock.now += 1_000
            return REFUSED
        return ACCEPTED

    clock = FakeClock()
    client = FakeClient(answer)
    events = [*(event(n, NOW + 100) for n in "12"), *(event(n) for n in "34")]
    result = deliver(Batch(0, "orders", 0.0, events), client, clock, accepted=True)
    assert client.posted == [["1", "2", "3", "4"], ["3", "4"]]
    assert delivered(result) == ["3", "4"]
    assert undelivered(result) == [("1", "event_too_old"), ("2", "event_too_old")]


# Sizes


def test_the_message_if_everything_is_too_large() -> None:
    """It names the setting for sizes, and not those of the account."""
    large = Answer(Verdict.REFUSED, "HTTP 413", 413)
    result = deliver(batch(*map(str, range(20))), FakeClient(lambda _: large))
    assert isinstance(result.failure, AllRefusedError)
    assert "batch_size_rows" in str(result.failure)
    assert "pixel_id" not in str(result.failure)


def test_a_request_that_is_too_large_blames_no_event() -> None:
    """After a 413 both halves are sent, and no event is at fault."""
    large = Answer(Verdict.REFUSED, "HTTP 413", 413)
    client = FakeClient(lambda ids: large if len(ids) > 2 else ACCEPTED)
    result = deliver(batch("1", "2", "3", "4"), client, accepted=True)
    assert client.posted == [["1", "2", "3", "4"], ["3", "4"], ["1", "2"]]
    assert (len(result.delivered), result.undelivered) == (4, [])


def test_a_size_that_was_too_large_is_not_tried_again() -> None:
    """What is as large as a request that got a 413 is halved before it is sent."""
    large = Answer(Verdict.REFUSED, "HTTP 413", 413)
    client = FakeClient(lambda ids: large if len(ids) > 2 else ACCEPTED)
    machine = machine_of(accepted=True, max_concurrent_requests=1)
    for number in range(10):
        machine.add(batch("1", "2", "3", "4", number=number))
    drive(machine, client, FakeClock())
    assert [len(ids) for ids in client.posted] == [4, *[2] * 20]


def test_one_event_that_is_too_large_does_not_make_others_smaller() -> None:
    """A 413 for less than what was accepted is due to an event: other batches are sent whole."""
    large = Answer(Verdict.REFUSED, "HTTP 413", 413)
    client = FakeClient(lambda ids: large if "0-3" in ids else ACCEPTED)
    machine = machine_of(accepted=True, max_concurrent_requests=1)
    for number in range(10):
        machine.add(batch(*(f"{number}-{n}" for n in range(8)), number=number))
    results = drive(machine, client, FakeClock())
    whole = [ids for ids in client.posted if len(ids) == 8]
    assert len(whole) >= 9
    assert len(client.posted) <= 18
    assert sum(len(result.too_large) for result in results) == 1


# What it says of itself


def test_why_batches_wait() -> None:
    """The status names an outage, a limit of the API or a suspicion, and since when it is so."""
    machine = machine_of(accepted=True)
    for number in range(16):
        machine.add(batch(str(number), number=number))
    plain = machine.status()
    assert (plain.waiting, plain.window, plain.rate, plain.reason) == (16, 2, None, None)
    fault, other = request(machine), request(machine)
    machine.answered(fault, FAULT, NOW + 1)
    down = machine.status()
    assert (down.reason, down.since, down.is_outage) == ("HTTP 500", NOW, True)
    machine.answered(other, ACCEPTED, NOW + 2)
    machine.answered(request(machine, NOW + 3), LIMITED, NOW + 4)
    machine.answered(request(machine, NOW + 9), ACCEPTED, NOW + 10)
    limited = machine.status()
    assert (limited.reason, limited.since, limited.is_outage) == ("HTTP 429", NOW + 4, False)
    assert limited.rate is not None


def test_a_suspicion_is_a_reason_to_wait() -> None:
    """Before the first acceptance, one refusal makes the run look for another event."""
    machine = machine_of()
    for number in range(3):
        machine.add(batch("1", "2", number=number))
    machine.answered(request(machine), REFUSED, NOW + 1)
    assert machine.status().reason == "the API has refused the last requests (1)"


# Ages of parts


def test_ages_are_judged_after_a_part_is_halved_for_its_size() -> None:
    """What is sent in place of a part that is too large may have grown too old as well."""
    clock = FakeClock()
    machine = machine_of(accepted=True)
    machine.add(Batch(0, "orders", 0.0, [event("1"), event("2"), event("3"), event("4", NOW + 5)]))
    machine.add(batch("5", "6", number=1))
    bad, large = request(machine), request(machine)
    machine.answered(bad, REFUSED, NOW)
    machine.answered(large, Answer(Verdict.REFUSED, "HTTP 413", 413), NOW)
    clock.now += 10
    client = FakeClient(lambda _: ACCEPTED)
    results = drive(machine, client, clock)
    assert sorted(client.posted) == [["1"], ["2"], ["3"], ["5"], ["6"]]
    assert undelivered(next(one for one in results if one.batch.number == 0)) == [
        ("4", "event_too_old")
    ]


# The end


def test_a_stop_sends_nothing_more() -> None:
    """After the time of a stop, batches come back as not sent."""
    machine = machine_of()
    machine.stop(NOW)
    machine.add(batch("1"))
    client = answers()
    (result,) = drive(machine, client, FakeClock())
    assert type(result.failure) is DeliveryError
    assert str(result.failure) == "the run was stopped"
    assert client.posted == []


def test_a_stop_while_the_api_is_down() -> None:
    """A wait that would outlast the stop is not begun; the last answer is named."""
    clock = FakeClock()
    machine = machine_of()
    machine.stop(NOW + 5.0)
    machine.add(batch("1"))
    (result,) = drive(machine, answers(WAIT), clock)
    assert isinstance(result.failure, OutageError)
    assert "the run was stopped during an outage of the API: HTTP 429" in str(result.failure)
    assert (clock.waits, result.requests) == ([], 1)


def test_after_a_stop_answers_are_waited_for() -> None:
    """Once the time of a stop has passed, only the answers that are on their way matter."""
    machine = machine_of()
    machine.add(batch("1"))
    machine.add(batch("2", number=1))
    first = request(machine)
    machine.stop(NOW + 5.0)
    assert isinstance(machine.next(NOW, NOW), Request)
    assert machine.next(NOW, NOW) == NOW + 5.0
    assert machine.next(NOW + 5.0, NOW + 5.0) == math.inf
    machine.answered(first, ACCEPTED, NOW + 6.0)
    assert [delivered(result) for result in machine.finished] == [["1"]]


def test_a_stop_with_a_request_in_flight() -> None:
    """After the time of the stop, only the answer is waited for: no time to ask again is given."""
    machine = machine_of()
    machine.add(batch("1"))
    machine.add(batch("2", number=1))
    request(machine)
    machine.stop(NOW + 5.0)
    request(machine)
    machine.add(batch("3", number=2))
    assert machine.next(NOW, NOW) == NOW + 5.0
    assert machine.next(NOW + 5.0, NOW + 5.0) == math.inf


def test_a_stop_before_the_end_of_the_input() -> None:
    """A refused event that waits for others is still judged, if the input ends in time."""
    machine = machine_of(accepted=True)
    machine.add(batch("1"))
    machine.answered(request(machine), REFUSED, NOW)
    machine.stop(NOW + 5.0)
    assert machine.next(NOW, NOW) == NOW + 5.0
    machine.drain()
    assert (machine.finished[0].failure, machine.finished[0].unproven) == (None, 1)


def test_a_stop_before_the_settings_are_known_to_be_right() -> None:
    """Where nothing was accepted, a refused event has no outcome: the next run asks about it."""
    machine = machine_of()
    machine.add(batch("1"))
    machine.answered(request(machine), REFUSED, NOW)
    machine.stop(NOW + 5.0)
    machine.drain()
    (result,) = machine.finished
    assert type(result.failure) is DeliveryError
    assert (result.undelivered, result.unproven) == ([], 0)


def test_a_stop_where_the_input_does_not_end() -> None:
    """A batch that waits for others comes back at the time of the stop."""
    machine = machine_of(accepted=True)
    machine.add(batch("1"))
    machine.answered(request(machine), REFUSED, NOW)
    machine.stop(NOW + 5.0)
    assert machine.next(NOW + 5.0, NOW + 5.0) == math.inf
    assert type(machine.finished[0].failure) is DeliveryError


def test_what_is_known_when_answers_are_not_waited_for_any_more() -> None:
    """All batches come back, with what became of their parts."""
    machine = machine_of(accepted=True)
    machine.add(batch("1", "2"))
    machine.add(batch("3", number=1))
    first, _ = request(machine), request(machine)
    machine.answered(first, REFUSED, NOW)
    machine.answered(request(machine), ACCEPTED, NOW)
    machine.give_up()
    results = whole(machine.finished)
    assert [(delivered(one), one.requests) for one in results] == [(["1"], 2), ([], 1)]
    assert all(type(one.failure) is DeliveryError for one in results)


def test_what_is_delivered_does_not_wait_for_the_rest_of_its_batch() -> None:
    """A kill between a part and the end of its batch repeats nothing that was confirmed."""
    machine = machine_of(accepted=True)
    machine.add(batch("1", "2", "3", "4"))
    machine.answered(request(machine), REFUSED, NOW)
    machine.answered(request(machine), ACCEPTED, NOW)
    (first,) = machine.finished
    assert (delivered(first), first.sent_at, first.is_last) == (["1", "2"], [NOW] * 2, False)
    assert first.confirmed == first.delivered
    assert (first.requests, first.undelivered) == (0, [])  # They come with the last result.
    machine.answered(request(machine), FAULT, NOW)
    assert list(machine.finished) == [first]
    machine.answered(request(machine, NOW + 60), ACCEPTED, NOW + 60)
    machine.answered(request(machine, NOW + 60), ACCEPTED, NOW + 60)
    _, second, last = machine.finished
    assert (delivered(second), second.is_last) == (["3"], False)
    assert (delivered(last), last.confirmed, last.is_last) == (["4"], last.delivered, True)
    assert (last.requests, last.retries) == (5, 1)


def test_a_later_stop_changes_nothing() -> None:
    """The earliest stop counts."""
    machine = machine_of()
    machine.stop(NOW)
    machine.stop(NOW + 100)
    machine.add(batch("1"))
    assert machine.next(NOW, NOW) == math.inf
    assert len(machine.finished) == 1


def test_answers_after_the_end_are_taken() -> None:
    """A request that is in flight when the run ends still counts if it is accepted."""
    machine = machine_of()
    machine.add(batch("1"))
    machine.add(batch("2", number=1))
    first, second = request(machine), request(machine)
    machine.answered(first, Answer(Verdict.DENIED, "HTTP 401", 401), NOW)
    assert [result.batch.number for result in machine.finished] == [0]
    machine.answered(second, ACCEPTED, NOW)
    assert [delivered(result) for result in machine.finished] == [[], ["2"]]
    assert machine.finished[1].failure is None


def test_a_batch_that_comes_after_the_end() -> None:
    """It fails with what ended the delivery."""
    machine = machine_of()
    problem = ValueError("over")
    machine.fail(problem)
    machine.add(batch("1"))
    assert machine.finished[0].failure is problem


# Refusals


def test_a_refusal_is_proven_by_a_later_acceptance() -> None:
    """An event is a dead letter once the API has accepted a request made after its refusal."""
    machine = machine_of(accepted=True)
    machine.add(batch("bad"))
    machine.add(batch("good", number=1))
    bad, before = request(machine), request(machine)
    machine.answered(bad, REFUSED, NOW)
    machine.answered(before, ACCEPTED, NOW)  # Its request was made before the refusal came.
    assert [result.batch.number for result in machine.finished] == [1]
    machine.add(batch("later", number=2))
    machine.answered(request(machine), ACCEPTED, NOW)
    assert [result.batch.number for result in machine.finished] == [1, 0, 2]
    result = machine.finished[1]
    assert (undelivered(result), result.unproven) == ([("bad", "refused_by_api")], 0)


def test_the_end_of_the_input_decides_when_the_last_answer_comes() -> None:
    """An acceptance that proves nothing is the last answer: the refused event waits no longer."""
    machine = machine_of(accepted=True)
    machine.add(batch("bad"))
    machine.add(batch("good", number=1))
    machine.drain()
    bad, before = request(machine), request(machine)
    machine.answered(bad, REFUSED, NOW)
    machine.answered(before, ACCEPTED, NOW)
    assert [(result.batch.number, result.unproven) for result in machine.finished] == [
        (0, 1),
        (1, 0),
    ]


def test_waits_of_batches_for_each_other_are_not_the_end_of_the_input() -> None:
    """What may be dead letters without proof is counted over all waits without an acceptance."""
    machine = machine_of()
    for number in range(2):
        machine.add(batch(*(f"{number} {n}" for n in range(5)), number=number))
        results = drive(machine, refusing(lambda _: True), FakeClock())
    assert (results[0].failure, results[0].unproven) == (None, 5)
    assert isinstance(results[1].failure, AllRefusedError)


@pytest.mark.parametrize(("fault", "within"), [(FAULT, 1.0), (STARVED, 1.1)])
def test_a_sample_that_gets_a_fault_is_no_sample(fault: Answer, within: float) -> None:
    """It is taken again, although a batch has few samples while more input may come."""
    machine = machine_of(max_concurrent_requests=1)
    machine.add(batch(*"123456789"))
    machine.answered(request(machine), REFUSED, NOW)
    for answer in (REFUSED, REFUSED, fault):
        machine.answered(request(machine), answer, NOW)
    again_at = machine.next(NOW, NOW)
    assert isinstance(again_at, float)
    assert again_at < NOW + within
    assert len(request(machine, again_at).conversions) == 1


@pytest.mark.parametrize(
    ("bad", "accepted", "ends"),
    [(9, False, False), (10, False, True), (100, True, False), (101, True, True)],
)
def test_the_end_of_the_input(bad: int, accepted: bool, ends: bool) -> None:
    """Few refused events with nothing to compare them with are dead letters; many end the run."""
    machine = machine_of(accepted=accepted)
    for number in range(0, bad, 20):
        names = [f"{n}" for n in range(number, min(number + 20, bad))]
        machine.add(batch(*names, number=number))
    results = drive(machine, refusing(lambda _: True), FakeClock())
    if ends:
        assert isinstance(results[-1].failure, AllRefusedError)
        assert sum(len(result.undelivered) for result in results) == 0
    else:
        assert {result.failure for result in results} == {None}
        assert sum(len(result.undelivered) for result in results) == bad
        assert sum(result.unproven for result in results) == bad


def test_undelivered_events_are_in_the_order_of_the_records() -> None:
    """However the bad events were found, they come in order, with what the API said."""
    ids = [f"k{n}" for n in range(20)]
    bad = {"k3", "k11", "k19"}
    result = deliver(batch(*ids), refusing(lambda asked: bool(bad & set(asked))))
    assert undelivered(result) == [(name, "refused_by_api") for name in ("k3", "k11", "k19")]
    assert {one.detail for one in result.undelivered} == {"HTTP 400: bad"}
