"""The delivery of one batch: what is sent, retried, isolated and given up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from fakes import (
    ACCEPTED,
    BUSY,
    REFUSED,
    FakeClient,
    FakeClock,
    answers,
    batch,
    deliver,
    event,
    refusing,
)
from unit_support import NOW

from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.breaker import MAX_REFUSALS, Breaker
from target_liveintent.delivery.deadline import RunDeadline
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.errors import (
    AccessDeniedError,
    AllRefusedError,
    DeliveryError,
    OutageError,
)

ROTATED = Answer(Verdict.ROTATED, "HTTP 401", 401)
WAIT = Answer(Verdict.RETRY, "HTTP 429", 429, retry_after=9.0)


def refusals(result: BatchResult) -> list[tuple[str, str]]:
    """Return the refused events with their reasons."""
    return [(one.conversion.event_id, one.reason) for one in result.undelivered]


def delivered(result: BatchResult) -> list[str]:
    """Return the IDs of the delivered events."""
    return [one.event_id for one in result.delivered]


# One answer


def test_all_is_accepted() -> None:
    """One request with all events; when they were sent and how long it took is in the result."""
    clock = FakeClock()
    client = answers(Answer(Verdict.ACCEPTED, "HTTP 204", 204, seconds=0.25))
    result = deliver(batch("1", "2"), client, clock)
    assert client.posted == [["1", "2"]]
    assert delivered(result) == ["1", "2"]
    assert result.confirmed == result.delivered
    assert result.sent_at == [NOW, NOW]
    assert (result.requests, result.retries, result.latencies) == (1, 0, [0.25])
    assert (result.accepted, result.failure, result.undelivered) == (True, None, [])


def test_the_body_is_an_array() -> None:
    """The events of a batch are sent as one JSON array."""
    bodies: list[bytes] = []

    class Client(FakeClient):
        def post(self, body: bytes, event_ids: Any, within: float) -> Answer:
            bodies.append(body)
            return super().post(body, event_ids, within)

    given = batch("1", "2")
    deliver(given, Client(lambda _: ACCEPTED))
    one, two = (conversion.body for conversion in given.conversions)
    assert bodies == [b"[" + one + b"," + two + b"]"]


def test_a_part_is_processed() -> None:
    """The events that a 200 names are refused; the others are delivered and not confirmed."""
    partly = Answer(Verdict.PARTLY, "HTTP 200", 200, not_processed=frozenset({"2"}))
    result = deliver(batch("1", "2", "3"), answers(partly))
    assert delivered(result) == ["1", "3"]
    assert result.sent_at == [NOW, NOW]
    assert result.confirmed == []
    assert refusals(result) == [("2", "not_processed")]
    assert result.accepted


def test_nothing_is_confirmed() -> None:
    """After a 200 that names nothing properly, no event counts as delivered."""
    result = deliver(batch("1", "2"), answers(Answer(Verdict.UNCONFIRMED, "HTTP 200", 200)))
    assert (delivered(result), result.accepted) == ([], False)
    assert refusals(result) == [("1", "unconfirmed"), ("2", "unconfirmed")]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, "ask your account manager for the present auth_token"),
        ({"auth_token_path": True}, "was read again and holds no other"),
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
    assert (result.requests, refusals(result)) == (1, [])


def test_an_unknown_answer() -> None:
    """An answer that the contract does not know ends the run at once."""
    result = deliver(batch("1"), answers(Answer(Verdict.UNKNOWN, "HTTP 302", 302)))
    assert type(result.failure) is DeliveryError
    assert "the API answered with HTTP 302, which it is not known to do" in str(result.failure)
    assert "api_url http://127.0.0.1:9" in str(result.failure)
    assert (result.requests, result.retries) == (1, 0)


def test_a_client_that_fails() -> None:
    """An unforeseen exception of the client is the failure of the batch."""
    problem = ValueError("no client")

    def fail(_: list[str]) -> Answer:
        raise problem

    assert deliver(batch("1"), FakeClient(fail)).failure is problem


# Retries


def test_a_retry() -> None:
    """The same events are sent again after the wait of the backoff."""
    clock = FakeClock()
    client = answers(BUSY, BUSY, ACCEPTED)
    result = deliver(batch("1", "2"), client, clock, jitter=1.0)
    assert client.posted == [["1", "2"]] * 3
    assert clock.waits == [0.5, 1.0]
    assert (result.requests, result.retries, result.failure) == (3, 2, None)
    assert result.sent_at == [NOW + 1.5] * 2
    assert delivered(result) == ["1", "2"]


def test_what_the_api_asks_to_wait() -> None:
    """A `Retry-After` that is longer than the backoff is obeyed."""
    clock = FakeClock()
    wait = Answer(Verdict.RETRY, "HTTP 429", 429, retry_after=12.0)
    deliver(batch("1"), answers(wait, ACCEPTED), clock)
    assert clock.waits == [12.0]


def test_the_budget_is_for_a_whole_batch() -> None:
    """Waits and the time of requests add up; the batch is given up before they exceed it."""
    clock = FakeClock()
    slow = Answer(Verdict.RETRY, "no answer in time", seconds=4.0)
    client = FakeClient(lambda _: slow)
    result = deliver(batch("1"), client, clock, max_retry_seconds=20, jitter=1.0)
    # 4 + 0.5 + 4 + 1 + 4 + 2 = 15.5; the next answer and wait would make it 23.5.
    assert clock.waits == [0.5, 1.0, 2.0]
    assert client.within == [20.0, 15.5, 10.5, 4.5]
    assert isinstance(result.failure, OutageError)
    assert "no luck within max_retry_seconds (20): no answer in time" in str(result.failure)
    assert (result.requests, result.retries) == (4, 3)


def test_a_budget_that_is_just_enough() -> None:
    """A wait that uses up the budget exactly is still made."""
    clock = FakeClock()
    wait = Answer(Verdict.RETRY, "HTTP 429", 429, retry_after=20.0)
    result = deliver(batch("1"), answers(wait, ACCEPTED), clock, max_retry_seconds=20)
    assert (result.failure, clock.waits) == (None, [20.0])


def test_the_budget_is_not_for_each_part() -> None:
    """The parts of an isolation share the budget of their batch."""

    def answer(ids: list[str]) -> Answer:
        return REFUSED if len(ids) == 4 else WAIT

    clock = FakeClock()
    result = deliver(batch("1", "2", "3", "4"), FakeClient(answer), clock, max_retry_seconds=20)
    assert clock.waits == [9.0, 9.0]
    assert isinstance(result.failure, OutageError)


def test_a_retry_while_the_run_stops() -> None:
    """A wait that ends after the run's deadline is not begun; the last answer is named."""
    clock = FakeClock()
    deadline = RunDeadline(clock)
    deadline.end_within(5.0)
    wait = Answer(Verdict.RETRY, "HTTP 429", 429, retry_after=6.0)
    result = deliver(batch("1"), answers(wait), clock, deadline=deadline)
    assert isinstance(result.failure, OutageError)
    assert "stopped while retrying: HTTP 429" in str(result.failure)
    assert (clock.waits, result.requests, result.retries) == ([], 1, 0)


def test_after_the_deadline_nothing_is_sent() -> None:
    """A batch whose turn comes after the deadline is not sent."""
    clock = FakeClock()
    deadline = RunDeadline(clock)
    deadline.end_within(0.0)
    result = deliver(batch("1"), answers(), clock, deadline=deadline)
    assert type(result.failure) is DeliveryError
    assert str(result.failure) == "the run was stopped"
    assert result.requests == 0


def test_a_rotated_token() -> None:
    """After a token rotation the request is sent again at once, and that is a retry."""
    clock = FakeClock()
    client = answers(ROTATED, ROTATED, ACCEPTED)
    result = deliver(batch("1"), client, clock)
    assert (result.requests, result.retries, clock.waits) == (3, 2, [])
    assert delivered(result) == ["1"]


def test_a_rotation_is_no_failed_attempt() -> None:
    """A token rotation makes no later backoff longer."""
    clock = FakeClock()
    result = deliver(batch("1"), answers(BUSY, ROTATED, BUSY, ACCEPTED), clock, jitter=1.0)
    assert clock.waits == [0.5, 1.0]
    assert (result.requests, result.retries) == (4, 3)


# Ages


def test_one_outcome_when_the_token_rotates() -> None:
    """An event that had grown too old before a denied request is not too old twice."""
    events = [event("old", NOW - 10), event("young")]
    result = deliver(Batch(0, "orders", 0.0, events), answers(ROTATED, ACCEPTED))
    assert [refusal.conversion.event_id for refusal in result.undelivered] == ["old"]
    assert [one.event_id for one in result.delivered] == ["young"]


@pytest.mark.parametrize(("left", "sent"), [(0.0, False), (1.0, True)])
def test_the_last_second(left: float, sent: bool) -> None:
    """An event may be sent until it expires, and not at that moment."""
    result = deliver(
        Batch(0, "orders", 0.0, [event("1", NOW + left), event("2")]), refusing(lambda _: False)
    )
    assert ("1" in delivered(result)) == sent
    assert refusals(result) == ([] if sent else [("1", "event_too_old")])


def test_age_is_judged_after_a_turn() -> None:
    """An event that grows too old while its batch waits for its turn is not sent any more."""

    class Slow(Breaker):
        def wait_for_turn(self, batch: Any) -> int:
            clock.now += 1_000
            return super().wait_for_turn(batch)

    clock = FakeClock()
    client = refusing(lambda _: False)
    short = [event("old", NOW + 100), event("young", NOW + 10_000)]
    result = deliver(Batch(0, "orders", 0.0, short), client, clock, breaker=Slow())
    assert client.posted == [["young"]]
    assert refusals(result) == [("old", "event_too_old")]


def test_age_is_judged_before_each_retry() -> None:
    """An event that grows too old during a backoff is left out of the retry."""
    client = answers(WAIT, ACCEPTED)
    events = [event("old", NOW + 5), event("young")]
    result = deliver(Batch(0, "orders", 0.0, events), client)
    assert client.posted == [["old", "young"], ["young"]]
    assert refusals(result) == [("old", "event_too_old")]


def test_nothing_is_left_to_send() -> None:
    """If all events grow too old during a backoff, nothing more is sent, and nothing failed."""
    client = answers(WAIT)
    events = [event("1", NOW + 5), event("2", NOW + 5)]
    result = deliver(Batch(0, "orders", 0.0, events), client)
    assert client.posted == [["1", "2"]]
    assert refusals(result) == [("1", "event_too_old"), ("2", "event_too_old")]
    assert (result.failure, result.accepted, result.delivered) == (None, False, [])
    assert (result.requests, result.retries) == (1, 1)


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
    result = deliver(Batch(0, "orders", 0.0, events), client, clock)
    assert client.posted == [["1", "2", "3", "4"], ["3", "4"]]
    assert delivered(result) == ["3", "4"]
    assert refusals(result) == [("1", "event_too_old"), ("2", "event_too_old")]


# Isolation


def test_refused_events_were_sent_alone() -> None:
    """Whatever the API refuses together, no event is a dead letter that it did not refuse alone."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(200):
        ids = [f"k{n}" for n in range(chance.randint(2, 24))]
        pairs = [set(chance.sample(ids, 2)) for _ in range(chance.randint(1, 3))]
        bad = set(chance.sample(ids, chance.randint(0, 2)))

        def refuses(asked: list[str], pairs: list[set[str]] = pairs, bad: set[str] = bad) -> bool:
            return bool(bad & set(asked)) or any(pair <= set(asked) for pair in pairs)

        client = refusing(refuses)
        result = deliver(batch(*ids), client)
        assert result.failure is None
        refused = {refusal.conversion.event_id for refusal in result.undelivered}
        assert refused == bad
        assert all([name] in client.posted for name in refused)
        assert sorted(client.accepted) == sorted(set(ids) - bad)


def test_refusals_are_in_the_order_of_the_records() -> None:
    """However the bad events were found, their refusals are in order, with what the API said."""
    ids = [f"k{n}" for n in range(20)]
    result = deliver(batch(*ids), refusing(lambda asked: bool({"k3", "k11", "k19"} & set(asked))))
    assert refusals(result) == [(name, "refused_by_api") for name in ("k3", "k11", "k19")]
    assert {one.detail for one in result.undelivered} == {"HTTP 400: bad"}


def test_everything_is_refused() -> None:
    """An API that refuses each event alone ends the run."""
    result = deliver(batch(*map(str, range(100))), refusing(lambda _: True))
    assert isinstance(result.failure, AllRefusedError)
    assert "single events in a row (HTTP 400: bad)" in str(result.failure)


def test_a_request_that_is_too_large_blames_no_event() -> None:
    """After a 413, what is left of a batch is sent whole once its first half was accepted."""
    large = Answer(Verdict.REFUSED, "HTTP 413", 413)
    client = FakeClient(lambda ids: large if len(ids) > 2 else ACCEPTED)
    result = deliver(batch("1", "2", "3", "4"), client)
    assert client.posted == [["1", "2", "3", "4"], ["1", "2"], ["3", "4"]]
    assert (len(result.delivered), result.undelivered) == (4, [])


@pytest.mark.parametrize("verdict", [Verdict.UNCONFIRMED, Verdict.DENIED])
def test_a_batch_gives_up_its_turn(verdict: Verdict) -> None:
    """Under suspicion, the next batch has its turn when this one is finished, or has failed."""
    breaker = Breaker()
    for _ in range(8):
        breaker.refused("no")
    deliver(batch("1"), answers(Answer(verdict, "HTTP 401", 401)), breaker=breaker)
    assert breaker.try_turn("next") is not None
    assert breaker.try_turn("another") is None


def test_an_acceptance_is_shared_with_other_batches() -> None:
    """An accepted request shows that the refusals before it do not end the run."""
    breaker = Breaker()
    for _ in range(MAX_REFUSALS - 1):
        breaker.refused("HTTP 400")
    deliver(batch("1"), answers(ACCEPTED), breaker=breaker)
    breaker.refused("HTTP 400")
