"""The outcome of each record of a run, whose clock, delivery and store are fakes."""

from typing import Any

import pytest
from fakes import FakeRun, deliver_all, event, read, refuse, reject, rejection, send

from target_liveintent.conversions.event_model import Rejection
from target_liveintent.delivery.batch import Batch, BatchResult, DeliveryStatus
from target_liveintent.errors import TooManyRejectedError
from target_liveintent.run import summary
from target_liveintent.run.kinds import REPLAY_RUN, USUAL_RUN, RunKind

# The outcome of each record


@pytest.mark.promise("Each record has one outcome")
def test_each_record_has_one_outcome() -> None:
    """Conversions are delivered, rejections are dead letters or dropped, the rest is filtered."""
    fake = FakeRun(deliver=lambda given: refuse(given, "2"))
    for result in (event("1"), event("2"), rejection("3"), rejection("4", "no_consent"), None):
        fake.run.counts.of("orders").read += 1
        fake.run.take("orders", result)
    fake.run.gate.hold("1")
    start = fake.clock.now
    fake.run.finish()
    assert fake.clock.now == start  # There is nothing to wait for.
    counts = fake.run.counts.of("orders")
    assert (counts.delivered, counts.filtered, counts.without_outcome) == (1, 1, 0)
    assert counts.rejected == {"missing_event_time": 1, "refused_by_api": 1}
    assert counts.dropped == {"no_consent": 1}
    assert fake.outcomes.kept["reject"] == ["3", "2"]
    assert (fake.run.counts.requests, fake.states) == (3, ["1"])
    # Delivery knew that nothing more comes before the run waited for its results.
    assert (fake.delivery.drained, fake.delivery.closed) == (1, True)


def test_a_rejection_that_ends_the_run() -> None:
    """With `on_rejection: fail`, the message names reason, column, detail and event."""
    bad = Rejection("orders", "7", "invalid_source", "source", {}, "'shop'")
    guest = Rejection("orders", "8", "no_identity", None, {})
    said = "(event ID 7, column source) was rejected as invalid_source ('shop'), and the run ends"
    of_guest = "(event ID 8) was rejected as no_identity, and the run ends because on_rejection is"
    for given, words in ((bad, said), (guest, f"{of_guest} 'fail'. The record has no usable")):
        fake = FakeRun(on_rejection="fail")
        with pytest.raises(TooManyRejectedError) as raised:
            fake.run.take("orders", given)
        assert words in str(raised.value)
        assert (fake.outcomes.rejections, fake.run.counts.total.not_sent) == ([], {})


def test_a_refusal_after_the_end() -> None:
    """Once a rejection has ended the run, what the API refuses has no outcome."""
    fake = FakeRun(deliver=lambda given: refuse(given, "1"), on_rejection="fail")
    read(fake, "1")
    fake.run.gate.hold("1")
    with pytest.raises(TooManyRejectedError) as raised:
        fake.run.take("orders", rejection("2"))
    fake.run.abandon(raised.value)
    assert (fake.states, fake.outcomes.rejections) == ([], [])


@pytest.mark.parametrize(
    ("kind", "dropped"),
    [
        pytest.param(REPLAY_RUN, True, id="replay"),
        pytest.param(USUAL_RUN, False, id="usual run"),
    ],
)
def test_a_window_that_closes_while_the_run_waits(kind: RunKind, dropped: bool) -> None:
    """In a replay, the event is dropped as expired: it has had its dead letter."""

    def deliver(given: Batch) -> BatchResult:
        (one,) = given.conversions
        return BatchResult(given, [], [], [], [one.rejected("event_too_old", "event_time", None)])

    on_rejection = "fail" if dropped else "dead_letter"
    fake = FakeRun(deliver=deliver, parts={"kind": kind}, on_rejection=on_rejection)
    fake.run.take("orders", event("1"))
    fake.run.finish()
    counts = fake.run.counts.of("orders")
    assert counts.dropped == ({"expired": 1} if dropped else {})
    assert counts.rejected == ({} if dropped else {"event_too_old": 1})
    assert ("drop as expired" if dropped else "reject") in fake.happened


# What delivery counts


def test_what_delivery_counts() -> None:
    """The summary has the sums of all batches; a warning says what the API refused."""

    def deliver(given: Batch) -> BatchResult:
        result = refuse(given, "1")
        result.throttled, result.retries = 2, 1
        result.unproven = len(result.undelivered)
        return result

    fake = FakeRun(deliver=deliver)
    send(fake, "1")
    send(fake, "2")
    fake.run.finish()
    counts = fake.run.counts
    assert (counts.requests, counts.retries, counts.throttled, counts.unproven) == (6, 2, 4, 1)
    assert "6 requests, 2 retries, 4 throttled" in list(summary.summary_lines(counts))[-1]
    *_, unproven = summary.warnings(counts)
    assert unproven.startswith("the API refused 1 event when there were no later events to compare")


def test_a_run_warns_once_of_what_it_assumes_of_a_200() -> None:
    """The WARNING has the number of events in all streams, until the setting says what is true."""

    def deliver(given: Batch) -> BatchResult:
        result = deliver_all(given)
        if given.stream == "orders":
            result.confirmed = []
        return result

    fake = FakeRun(deliver=deliver, batch_size_rows=1)
    for stream, name in (("orders", "1"), ("orders", "2"), ("leads", "3")):
        fake.run.take(stream, event(name))
    fake.run.finish()
    (warning,) = summary.warnings(fake.run.counts)
    assert warning == (
        "2 of 3 delivered events were in requests that the API answered with a 200 and the IDs of"
        " other events. This run assumes that these IDs name the events that failed. Ask"
        " LiveIntent, and set partial_answer to what they name: failed, processed or unknown"
    )
    assert list(summary.warnings(fake.run.counts, partial_answer="failed")) == []


# What is due


def test_time_lets_a_batch_go() -> None:
    """A batch that does not fill is sent `flush_interval_seconds` after it was opened."""
    fake = FakeRun(flush_interval_seconds=10)
    read(fake, "1")
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
    send(fake, "1")
    for count in range(1, 41):
        fake.run.counts.of("orders").read = count
        fake.clock.now += 0.125
        fake.run.tick()
    assert shown == [(count, 1) for count in (1, 9, 17, 25, 33)]


# Until something is delivered


@pytest.mark.promise("A run that delivers nothing fails")
def test_state_waits_for_a_first_delivery() -> None:
    """From the first rejected record on, no STATE is written while nothing is delivered."""
    fake = FakeRun(deliver=None)
    fake.run.gate.hold("1")
    fake.tick()
    reject(fake, 1)
    fake.run.gate.hold("2")
    fake.tick()
    send(fake, "1")
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


@pytest.mark.promise("A run that delivers nothing fails")
@pytest.mark.parametrize(
    ("count", "percent", "fails", "dry"),
    [
        pytest.param(9, 50, False, False, id="nine records"),
        pytest.param(10, 50, True, False, id="ten records"),
        pytest.param(10, 100, False, False, id="ten records, all may be"),
        pytest.param(10, 50, True, True, id="ten records, dry run"),
    ],
)
def test_a_run_that_delivers_nothing(count: int, percent: int, *, fails: bool, dry: bool) -> None:
    """From ten rejected records on, it fails without STATE; the dead letters are written."""
    fake = FakeRun(max_dead_letter_percent=percent, dry_run=dry)
    reject(fake, count)
    fake.run.gate.hold("1")
    if fails:
        with pytest.raises(TooManyRejectedError, match="nothing was delivered") as raised:
            fake.run.finish()
        fake.run.abandon(raised.value)
    else:
        fake.run.finish()
    assert fake.states == ([] if fails else ["1"])
    assert len(fake.outcomes.kept["reject"]) == count
    assert fake.happened[-1] == "release"
