"""What it costs to find bad events, and how soon a run ends that is refused as a whole."""

import functools
import itertools
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from fakes import ACCEPTED, REFUSED, FakeClient, FakeRun, RealClock, event, settings
from faults import Faults
from faulty_server import Reply, Request
from integration_forks import Forks
from reliability_support import (
    LONG,
    ROOT,
    Feed,
    assert_adds_up,
    in_parallel,
    letters_by_id,
    name,
    run_against,
)

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.pool import delivery_of
from target_liveintent.errors import AllRefusedError

TRIALS = 3_000 if LONG else 300
MOST_AFTER_THE_SWITCH = 100
MOST_LETTERS = 30
NO = Reply(400, b'{"errors": [{"message": "unknown pixel"}]}', skipped=None)


LARGE = Answer(Verdict.REFUSED, "HTTP 413", 413)


# The cost, through the real run and delivery, with an API in memory in place of the client


class Sent(NamedTuple):
    """What became of events that were sent.

    Attributes:
        posted: The events of each request.
        accepted: What the API accepted.
        letters: The events that became dead letters.
        states: What was written.
        failure: What ended the run.
    """

    posted: list[list[str]]
    accepted: list[str]
    letters: set[str]
    states: list[str]
    failure: AllRefusedError | None


def send(
    refuses: Callable[[int, list[str]], bool], events: Iterable[str], refusal: Answer = REFUSED
) -> Sent:
    """Send events through a run of its own; a first batch, of one event, is accepted.

    Args:
        refuses: Whether the API refuses a request, by its number and its events.
        events: Their IDs, which have five characters, as all events must have the same size.
        refusal: The answer then.
    """
    client = FakeClient(
        lambda ids: refusal if refuses(len(client.posted), ids) else ACCEPTED,
    )
    changes = {"max_concurrent_requests": 1, "max_dead_letter_percent": 100}
    clock = RealClock()
    delivery = delivery_of(settings(**changes), client, clock)
    fake = FakeRun(parts={"clock": clock, "delivery": delivery}, **changes)
    run, failure = fake.run, None
    try:
        for one in ["first", *events]:
            run.take("orders", event(one))
            if one == "first":
                run.submit("orders")
                run.gate.hold("first")
        run.gate.hold("all")
        run.finish()
    except AllRefusedError as error:
        failure = error
        run.abandon(error)
    letters = {one.event_id for one in fake.outcomes.rejections}
    return Sent(client.posted, client.accepted, letters, fake.states, failure)


def cost(bad: set[str], events: list[str]) -> tuple[int, Sent]:
    """Return how many requests a batch takes, having checked what became of its events."""
    sent = send(lambda _, ids: not bad.isdisjoint(ids), events)
    assert sent.failure is None
    assert sent.states[-1] == "all"
    assert sent.letters == bad
    assert sorted(sent.accepted) == sorted({"first", *events} - bad)
    return len(sent.posted) - 1, sent


HUNDRED = [f"{n:05}" for n in range(100)]
COSTS = {1: 11.2, 2: 19.1, 5: 38.1, 20: 98.0}


def measured(count: int, trials: int = TRIALS) -> tuple[float, int]:
    """The mean and the largest cost of finding so many bad events in a batch of 100."""
    rng = random.Random(count)  # noqa: S311
    costs = [cost(set(rng.sample(HUNDRED, count)), HUNDRED)[0] for _ in range(trials)]
    return sum(costs) / len(costs), max(costs)


@pytest.mark.parametrize(
    "count",
    [1, 2, pytest.param(5, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.slow)],
)
def test_cost(count: int) -> None:
    """Finding bad events in a batch of 100 costs what the documentation says."""
    mean, most = measured(count)
    assert mean == pytest.approx(COSTS[count], rel=0.03)
    assert most <= 199
    docs = ROOT / "docs" / "reliability.md"
    if docs.exists():  # It is not in the source distribution.
        assert f"| {count} | {COSTS[count]:.1f} |" in docs.read_text(encoding="utf-8")


def test_any_share_of_bad_events() -> None:
    """Batches of any size with any share of bad events: within the budget, and none is lost.

    No event is asked about twice in vain.
    """
    rng = random.Random(1)  # noqa: S311
    for _ in range(TRIALS // 3):
        events = HUNDRED[: rng.randint(1, 100)]
        share = rng.random()
        bad = {event for event in events if rng.random() < share}
        sent = send(lambda _, ids, bad=bad: not bad.isdisjoint(ids), events)
        assert len(sent.posted) - 1 <= 2 * len(events) - 1 or not bad
        assert len({tuple(ids) for ids in sent.posted}) == len(sent.posted)
        assert len(set(sent.accepted)) == len(sent.accepted)
        assert not bad & set(sent.accepted)
        assert sent.letters <= bad
        if sent.failure is None:
            assert sent.letters == bad
            assert set(sent.accepted) == {"first", *events} - bad
        else:
            assert sent.states == ["first"]


@pytest.mark.parametrize("limit", [1, 30, 99])
def test_too_many_bytes_blame_nobody(limit: int) -> None:
    """A 413 says nothing about any event: where one half goes, the other is asked about whole."""
    sent = send(lambda _, ids: len(ids) > limit, HUNDRED, LARGE)
    assert (sent.failure, sent.letters) == (None, set())
    assert sorted(sent.accepted) == sorted(["first", *HUNDRED])
    assert sent.states[-1] == "all"
    assert len(sent.posted) - 1 <= 199


def test_cost_over_the_wire(tmp_path: Path, forks: Forks) -> None:
    """The same over HTTP, by a process: one bad event in each of 20 batches."""
    feed = Feed(2_000, 1, mixed=False)
    rng = random.Random(5)  # noqa: S311
    bad = {name(100 * n + rng.randrange(100)) for n in range(20)}

    def rule(request: Request) -> Reply:
        return NO if bad.intersection(request.ids) else Reply()

    run, watch, server = run_against(rule, tmp_path, forks, feed.lines())
    assert (run.code, watch.problems, watch.bookmark) == (0, [], 2_000)
    assert (server.problems, server.repeats) == ([], [])
    assert set(letters_by_id(tmp_path)) == bad
    assert 20 * 8 <= len(server.requests) <= 20 * 15


# The breaker


def refused_for_good(
    folder: Path, forks: Forks, at: int, at_once: int, *, batch: int = 100, poison: bool = False
) -> None:
    """Let a run meet an API that refuses everything from one of its requests on."""
    case = f"from {at}, batch {batch}, {at_once} at once, poison {poison}"
    feed = Feed(10_000 if batch > 1 else 4_000, 2, every=10, mixed=False)
    poisoned = {name(n) for n in range(7, feed.count, 50)} if poison else set()
    size = {"batch_size_rows": batch, "max_concurrent_requests": at_once}
    before, seen = Faults(0, 0.0, poison=poisoned), itertools.count()

    def rule(request: Request) -> Reply:
        return NO if next(seen) >= at else before(request)

    run, watch, server = run_against(rule, folder / case, forks, feed.lines(), **size)
    assert run.code == 1, (case, run.log)
    asked = len(server.requests) - at
    assert asked <= MOST_AFTER_THE_SWITCH, f"{case}: {asked} requests"
    blamed = set(letters_by_id(watch.store)) - poisoned
    assert len(blamed) <= MOST_LETTERS, f"{case}: {len(blamed)} letters"
    if at == 0:
        assert (blamed, watch.count) == (set(), 0), case
    assert (watch.problems, server.repeats) == ([], []), case
    assert_adds_up(run)
    for said in ("pixel_id", "customer_id", "unknown pixel"):
        assert said in run.last_line, case
    assert "Traceback" not in run.log


@pytest.mark.parametrize("batch", [1, 100])
def test_breaker(tmp_path: Path, forks: Forks, batch: int) -> None:
    """A run that is refused as a whole, from its start or its middle on, ends soon and truly."""
    cases = [(0, 8), (40, 8), (40, 1), (40, 64), *([(400, 8)] if batch == 1 else [])]
    in_parallel(functools.partial(refused_for_good, tmp_path, forks, batch=batch), cases)


def test_breaker_among_bad_events(tmp_path: Path, forks: Forks) -> None:
    """The same, where batches with truly bad events are being halved when it begins."""
    cases = [(at, 8) for at in (range(10, 330, 8) if LONG else (35, 120, 230))] + [(120, 64)]
    in_parallel(functools.partial(refused_for_good, tmp_path, forks, poison=True), cases)


@pytest.mark.parametrize(
    ("at", "bad"), [*((at, 30) for at in range(1, 16)), (5, 0), (5, 70), (5, 99)]
)
def test_switch_amid_an_isolation(at: int, bad: int) -> None:
    """The API begins to refuse everything while the one bad event of a batch is looked for."""
    bad_event = f"{bad:05}"
    events = [f"{n:05}" for n in range(1_500)]
    sent = send(lambda count, ids: count > at or bad_event in ids, events)
    assert len(sent.posted) - at <= MOST_AFTER_THE_SWITCH
    assert len(sent.letters - {bad_event}) <= MOST_LETTERS
    assert not sent.letters & set(sent.accepted)
    assert sent.states[-1:] != ["all"]
    assert sent.failure is not None
    assert "pixel_id" in str(sent.failure)
    assert "\n" not in str(sent.failure)
    assert len(str(sent.failure)) < 400
