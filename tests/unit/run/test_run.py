"""The outcome of each record of a run, whose clock, delivery and files are fakes."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fakes import FakeLedger, FakeRun, deliver_all, event, refuse, reject, rejection

from target_liveintent.conversions.model import DEAD_LETTERS, Rejection
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus
from target_liveintent.errors import InputError, TooManyRejectedError

if TYPE_CHECKING:
    from target_liveintent.delivery.model import Batch, BatchResult

# The outcome of each record


def test_each_record_has_one_outcome() -> None:
    """Conversions are delivered, rejections are dead letters or dropped, the rest is filtered."""
    fake = FakeRun(deliver=lambda given: refuse(given, "2"))
    for result in (event("1"), event("2"), rejection("3"), rejection("4", "no_consent"), None):
        fake.run.counts.of("orders").read += 1
        fake.run.take("orders", result)
    fake.run.gate.hold("1")
    fake.run.finish()
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.filtered, counts.unsettled) == (1, 1, 0)
    assert counts.rejected == {"missing_event_time": 1, "refused_by_api": 1}
    assert counts.dropped == {"no_consent": 1}
    assert [json.loads(line)["record"]["event_id"] for line in fake.dead_letters.written] == [
        "3",
        "2",
    ]
    assert (fake.run.counts.requests, fake.states) == (3, ["1"])
    assert fake.delivery.closed


def test_requests_and_retries_are_counted() -> None:
    """The requests of all batches are counted, and how many of them were retries."""

    def deliver(given: Batch) -> BatchResult:
        return msgspec.structs.replace(deliver_all(given), requests=3, retries=2)

    fake = FakeRun(deliver=deliver)
    for name in ("1", "2"):
        fake.run.take("orders", event(name))
        fake.run.submit("orders")
    fake.run.finish()
    assert (fake.run.counts.requests, fake.run.counts.retries) == (6, 4)


def test_a_dead_letter_that_is_carried_over() -> None:
    """A dead letter that a replay does not send is written again and counted."""
    fake = FakeRun()
    fake.run.counts.of("letters").read += 1
    fake.run.carry_over("letters", {"event_id": "7", "reason": "unconfirmed"}, "unconfirmed")
    fake.run.finish()
    assert fake.run.counts.of("letters").not_replayed == {"unconfirmed": 1}
    (line,) = fake.dead_letters.written
    kept = {"event_id": "7", "reason": "unconfirmed", "run_id": fake.run.run_id}
    assert json.loads(line)["record"] == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            Rejection("orders", "7", "invalid_source", "source", {}, "'shop'"),
            "(event ID 7, column source) was rejected as invalid_source ('shop'), and the run ends",
        ),
        (
            Rejection("orders", "7", "no_identity", None, {}),
            "no_identity, and the run ends because on_rejection is 'fail'. The record has no",
        ),
    ],
)
def test_a_rejection_that_ends_the_run(given: Rejection, words: str) -> None:
    """With `on_rejection: fail`, the message names reason, column, detail and event."""
    fake = FakeRun(on_rejection="fail")
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run.take("orders", given)
    assert words in str(raised.value)
    assert fake.dead_letters.written == []
    assert fake.run.counts.of("orders").rejected.total() == 0


def test_what_is_dropped_does_not_end_a_run() -> None:
    """Also with `on_rejection: fail`, a record without consent is only dropped."""
    fake = FakeRun(on_rejection="fail")
    fake.run.take("orders", rejection("1", "no_consent"))
    assert fake.run.counts.of("orders").dropped == {"no_consent": 1}


def test_a_refusal_after_the_end() -> None:
    """Once a rejection has ended the run, what the API refuses has no outcome."""
    fake = FakeRun(deliver=lambda given: refuse(given, "1"), on_rejection="fail")
    fake.run.take("orders", event("1"))
    fake.run.gate.hold("1")
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run.take("orders", rejection("2"))
    fake.run.abandon(raised.value)
    assert (fake.states, fake.dead_letters.written) == ([], [])


def test_a_dry_run_writes_nothing() -> None:
    """A dry run counts dead letters and writes neither them nor a STATE."""
    fake = FakeRun(dry_run=True)
    reject(fake, 1)
    fake.run.carry_over("orders", {"reason": "unconfirmed"}, "unconfirmed")
    fake.run.gate.hold("1")
    fake.run.finish()
    assert (fake.dead_letters.written, fake.states) == ([], [])
    assert fake.run.counts.of("orders").rejected.total() == 1


def test_a_dead_letter_of_another_account_is_named() -> None:
    """A dead letter that is left to another account is counted by the account's name."""
    fake = FakeRun()
    named = {"customer_id": "b-9z9z", "api_host": "api.example.com", "pixel_id": 7}
    fake.run.carry_over("letters", {"event_id": "1", "written_for": named}, "other_account")
    assert fake.run.counts.of("letters").not_replayed == {"other_account": 1}
    assert fake.run.counts.other_accounts == {"b-9z9z at api.example.com, pixel 7": 1}
    (line,) = fake.dead_letters.written
    kept = {"event_id": "1", "written_for": named, "run_id": fake.run.run_id}
    assert json.loads(line)["record"] == kept


@pytest.mark.parametrize(("stream", "dropped"), [(DEAD_LETTERS, True), ("orders", False)])
def test_a_window_that_closes_while_the_run_waits(stream: str, dropped: bool) -> None:
    """In a replay, the event is dropped as expired: it has had its dead letter."""
    fake = FakeRun(on_rejection="fail" if dropped else "dead_letter")
    fake.run.take(stream, rejection("1", "event_too_old"))
    counts = fake.run.counts.of(stream)
    assert counts.dropped == ({"expired": 1} if dropped else {})
    assert counts.rejected == ({} if dropped else {"event_too_old": 1})
    assert len(fake.dead_letters.written) == counts.rejected.total()


def test_a_rejection_that_ends_a_replay() -> None:
    """The message does not speak of maps, which do not apply to dead letters."""
    fake = FakeRun(on_rejection="fail")
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run.take(DEAD_LETTERS, rejection("1", "missing_event_time"))
    assert "load the row again with the tap" in str(raised.value).lower()
    assert " map" not in str(raised.value).lower()


# The end


def test_the_last_state_is_judged_like_the_end() -> None:
    """A STATE that is due at the end is not written if the run fails for its dead letters."""
    fake = FakeRun()
    reject(fake, 120)
    fake.run.gate.hold("1")
    with pytest.raises(TooManyRejectedError, match="120 of 120"):
        fake.run.finish()
    assert fake.states == []


def test_delivery_knows_the_end_of_the_input() -> None:
    """Delivery is told that nothing more comes before the run waits for its results."""
    fake = FakeRun()
    fake.run.take("orders", event("1"))
    fake.run.finish()
    assert fake.delivery.drained == 1


def test_what_delivery_counts() -> None:
    """The summary shows what the results of batches say, and a warning of unproven refusals."""

    def deliver(given: Batch) -> BatchResult:
        result = refuse(given, "1")
        result.throttled, result.retries, result.unproven = 2, 1, 1
        return result

    fake = FakeRun(deliver=deliver)
    fake.run.take("orders", event("1"))
    fake.run.finish()
    counts = fake.run.counts
    assert (counts.requests, counts.retries, counts.throttled, counts.unproven) == (3, 1, 2, 1)
    assert "3 requests, 1 retries, 2 throttled" in list(counts.lines())[-1]
    *_, warning = counts.warnings()
    assert warning.startswith("the API refused 1 event at the end of the input, or before a pause")


def test_sizes_that_were_refused() -> None:
    """The warning says how many events a request may hold, by the smallest that was refused."""

    def deliver(given: Batch) -> BatchResult:
        result = deliver_all(given)
        result.too_large = [100, 50] if given.number == 0 else [100]
        return result

    fake = FakeRun(deliver=deliver)
    for name in ("1", "2"):
        fake.run.take("orders", event(name))
        fake.run.submit("orders")
    fake.run.finish()
    (warning,) = fake.run.counts.warnings()
    assert warning.startswith("the API refused 3 requests as too large (HTTP 413)")
    assert "Set batch_size_rows to 25," in warning


# What is due


def test_time_lets_a_batch_go() -> None:
    """A batch that does not fill is sent `flush_interval_seconds` after it was opened."""
    fake = FakeRun(flush_interval_seconds=10)
    fake.run.take("orders", event("1"))
    for _ in range(9):
        fake.tick()
    assert fake.delivery.submitted == []
    fake.tick()
    assert len(fake.delivery.submitted) == 1


def test_progress_is_shown_once_a_second() -> None:
    """However often messages come, progress is shown about once a second."""
    shown: list[tuple[int, int]] = []

    def show(counts: Any, status: DeliveryStatus) -> None:
        shown.append((counts.total.read, status.batches))

    fake = FakeRun(deliver=None, parts={"on_progress": show})
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    for read in range(1, 41):
        fake.run.counts.of("orders").read = read
        fake.clock.now += 0.125
        fake.run.tick()
    assert shown == [(read, 1) for read in (1, 9, 17, 25, 33)]


# Until something is delivered


def test_state_waits_for_a_first_delivery() -> None:
    """No STATE passes a rejected record while nothing is delivered; one before it does."""
    fake = FakeRun(deliver=None)
    fake.run.gate.hold("1")
    reject(fake, 1)
    fake.run.gate.hold("2")
    fake.tick()
    assert fake.states == ["1"]
    fake.run.counts.of("orders").read += 1
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    fake.run.gate.hold("3")
    fake.tick()
    assert fake.states == ["1"]
    fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))
    fake.tick()
    assert fake.states == ["1", "3"]
    reject(fake, 1)
    fake.run.gate.hold("4")
    fake.tick()
    assert fake.states == ["1", "3", "4"]


@pytest.mark.parametrize("reason", ["no_identity", "event_too_old", "no_consent", "unconfirmed"])
def test_state_does_not_wait_for_everyday_reasons(reason: str) -> None:
    """Guests, old events and what may have been counted hold no STATE back."""
    fake = FakeRun()
    fake.run.take("orders", rejection("1", reason))
    fake.run.gate.hold("1")
    fake.tick()
    assert fake.states == ["1"]


def test_state_waits_after_a_refusal() -> None:
    """What the API refuses holds STATE back too, until it accepts something."""
    fake = FakeRun(deliver=lambda given: refuse(given, "1"))
    for name, states in (("1", []), ("2", ["2"])):
        fake.run.counts.of("orders").read += 1
        fake.run.take("orders", event(name))
        fake.run.submit("orders")
        fake.run.gate.hold(name)
        fake.tick()
        assert fake.states == states


def test_what_was_sent_already_lets_state_go() -> None:
    """What the ledger knows is delivered, so STATE goes out."""
    fake = FakeRun(parts={"ledger": FakeLedger([], known=["1"])})
    reject(fake, 1)
    fake.run.gate.hold("1")
    fake.tick()
    assert fake.states == []
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    fake.run.gate.hold("2")
    fake.tick()
    assert fake.states == ["2"]


@pytest.mark.parametrize(("count", "percent", "fails"), [(9, 50, 0), (10, 50, 1), (10, 100, 0)])
def test_a_run_that_delivers_nothing(count: int, percent: int, fails: int) -> None:
    """From ten rejected records on, it fails without STATE; the dead letters are written."""
    fake = FakeRun(max_dead_letter_percent=percent)
    reject(fake, count)
    fake.run.gate.hold("1")
    if fails:
        with pytest.raises(TooManyRejectedError, match="nothing was delivered") as raised:
            fake.run.finish()
        fake.run.abandon(raised.value)
    else:
        fake.run.finish()
    assert fake.states == ([] if fails else ["1"])
    assert len(fake.dead_letters.written) == count
    assert fake.happened.index("dead_letter_path close") > 0


def test_the_end_is_judged_when_all_is_settled() -> None:
    """Ten rejected records do not fail a run whose first delivery comes at its end."""
    looks = itertools.count()

    def deliver_late(*_: Any) -> None:
        if next(looks) == 3:
            fake.delivery.finish(deliver_all(fake.delivery.submitted[0]))

    fake = FakeRun(deliver=None, parts={"on_progress": deliver_late})
    reject(fake, 10)
    fake.run.gate.hold("1")
    fake.run.counts.of("orders").read += 1
    fake.run.take("orders", event("1"))
    fake.run.submit("orders")
    fake.run.gate.hold("2")
    fake.run.finish()
    assert next(looks) > 3
    assert fake.states == ["2"]


def test_a_run_that_fails_keeps_state_back() -> None:
    """A run that fails for another reason before its first delivery writes no STATE either."""
    fake = FakeRun()
    reject(fake, 1)
    fake.run.gate.hold("1")
    fake.run.abandon(InputError("not JSON"))
    assert fake.states == []
