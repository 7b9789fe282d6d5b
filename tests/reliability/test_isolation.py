"""What it costs to find bad events, and how soon a run ends that is refused as a whole."""

from __future__ import annotations

import functools
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from faults import Faults
from faulty_server import Reply, Request
from integration_support import SETTINGS
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

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.config import settings_of
from target_liveintent.conversions.fields import event_of
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.pool import delivery_of
from target_liveintent.errors import AllRefusedError
from target_liveintent.run.run import Run, RunParts
from target_liveintent.store import DryStore, empty_store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from integration_forks import Forks

TRIALS = 3_000 if LONG else 300
MOST_AFTER_THE_SWITCH = 100
MOST_LETTERS = 30
REFUSED = Reply(400, b'{"errors": [{"message": "unknown pixel"}]}', skipped=None)


# The cost, through the real run and delivery, with an API in memory in place of the client


class Api:
    """Refuses each request that holds a bad event, or that is refused for another reason.

    Args:
        refuses: Says so of a request, by its number and its events.
        status: Of refusals.
    """

    def __init__(self, refuses: Callable[[int, list[str]], bool], status: int = 400) -> None:
        self.posted: list[list[str]] = []
        self.accepted: list[str] = []
        self._refuses = refuses
        self._status = status

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Answer:
        """Answer as the client does."""
        ids = list(event_ids)
        self.posted.append(ids)
        if self._refuses(len(self.posted), ids):
            return Answer(Verdict.REFUSED, f"HTTP {self._status}: bad", self._status)
        self.accepted += ids
        return Answer(Verdict.ACCEPTED, "HTTP 204", 204)


class Letters(DryStore):
    """Only remembers who became a dead letter."""

    def __init__(self) -> None:
        super().__init__(empty_store(), settings_of(SETTINGS), "run-1")
        self.ids: set[str] = set()

    def reject(self, rejection: Rejection) -> None:
        """Remember the event."""
        self.ids.add(rejection.event_id)


class Sent(NamedTuple):
    """What became of events that were sent.

    Attributes:
        api: What it got.
        letters: The IDs of the events that became dead letters.
        states: What was written.
        failure: What ended the run.
    """

    api: Api
    letters: set[str]
    states: list[str]
    failure: AllRefusedError | None


def send(api: Api, events: Iterable[str]) -> Sent:
    """Send events through a run of its own; a first batch, of one event, is accepted."""
    settings = settings_of(
        {**SETTINGS, "max_concurrent_requests": 1, "max_dead_letter_percent": 100}
    )
    states: list[str] = []
    letters = Letters()
    delivery = delivery_of(settings, api, SYSTEM_CLOCK)
    run = Run(settings, RunParts(SYSTEM_CLOCK, delivery, letters, states.append))
    later = int(time.time()) + 86_400
    failure = None
    try:
        for n, event in enumerate(["first", *events]):
            given = {"event_id": event, "event_time": 1, "pixel_id": 1, "source": "web"}
            given["order_id"] = "-" * (9 - len(event))  # All events have the same size.
            run.take("orders", Conversion("orders", event_of(given), later, {"event_id": event}))
            if n == 0:
                run.submit("orders")
                run.gate.hold("first")
        run.gate.hold("all")
        run.finish()
    except AllRefusedError as error:
        failure = error
        run.abandon(error)
    return Sent(api, letters.ids, states, failure)


def cost(bad: set[str], events: list[str]) -> tuple[int, Sent]:
    """Return how many requests a batch takes, having checked what became of its events."""
    sent = send(Api(lambda _, ids: not bad.isdisjoint(ids)), events)
    assert sent.failure is None
    assert sent.states[-1] == "all"
    assert sent.letters == bad
    assert sorted(sent.api.accepted) == sorted({"first", *events} - bad)
    return len(sent.api.posted) - 1, sent


HUNDRED = [name(n) for n in range(100)]
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


PATTERNS = {
    "every second": set(HUNDRED[::2]),
    "every second, from the other end": set(HUNDRED[1::2]),
    "every third": set(HUNDRED[::3]),
    "the first": {HUNDRED[0]},
    "the last": {HUNDRED[-1]},
    "a row in the middle": set(HUNDRED[40:60]),
    "neighbours": {HUNDRED[49], HUNDRED[50]},
    "all but every fifth": set(HUNDRED) - set(HUNDRED[::5]),
}


@pytest.mark.parametrize("bad", PATTERNS.values(), ids=list(PATTERNS))
def test_never_over_199(bad: set[str]) -> None:
    """However bad events lie in a batch, no event is asked about twice in vain."""
    requests, sent = cost(bad, HUNDRED)
    assert requests <= 199
    posted = [tuple(ids) for ids in sent.api.posted]
    assert len(set(posted)) == len(posted)


def test_any_share_of_bad_events() -> None:
    """Batches of any size with any share of bad events: within the budget, and none is lost."""
    rng = random.Random(1)  # noqa: S311
    for _ in range(TRIALS // 3):
        events = HUNDRED[: rng.randint(1, 100)]
        share = rng.random()
        bad = {event for event in events if rng.random() < share}
        api = Api(lambda _, ids, bad=bad: not bad.isdisjoint(ids))
        sent = send(api, events)
        assert len(api.posted) - 1 <= 2 * len(events) - 1 or not bad
        assert len(set(api.accepted)) == len(api.accepted)
        assert not bad & set(api.accepted)
        assert sent.letters <= bad
        if sent.failure is None:
            assert sent.letters == bad
            assert set(api.accepted) == {"first", *events} - bad
        else:
            assert sent.states == ["first"]


@pytest.mark.parametrize("limit", [1, 30, 99])
def test_too_many_bytes_blame_nobody(limit: int) -> None:
    """A 413 says nothing about any event: where one half goes, the other is asked about whole."""
    sent = send(Api(lambda _, ids: len(ids) > limit, 413), HUNDRED)
    assert (sent.failure, sent.letters) == (None, set())
    assert sorted(sent.api.accepted) == sorted(["first", *HUNDRED])
    assert sent.states[-1] == "all"
    assert len(sent.api.posted) - 1 <= 199


def test_cost_over_the_wire(tmp_path: Path, forks: Forks) -> None:
    """The same over HTTP, by a process: one bad event in each of 20 batches."""
    feed = Feed(2_000, 1, mixed=False)
    rng = random.Random(5)  # noqa: S311
    bad = {name(100 * n + rng.randrange(100)) for n in range(20)}

    def rule(request: Request) -> Reply:
        return REFUSED if bad.intersection(request.ids) else Reply()

    run, watch, server = run_against(rule, tmp_path, forks, feed.lines())
    assert (run.code, watch.problems, watch.bookmark) == (0, [], 2_000)
    assert (server.problems, server.repeats) == ([], [])
    assert set(letters_by_id(tmp_path)) == bad
    assert 20 * 8 <= len(server.requests) <= 20 * 15


# The breaker


class Switch:
    """An API that refuses everything from one of its requests on.

    Args:
        at: Which request.
        poison: Events that it refuses in any case.
    """

    def __init__(self, at: int, poison: Collection[str] = ()) -> None:
        self._at = at
        self._before = Faults(0, 0.0, poison=poison)
        self._seen = 0

    def __call__(self, request: Request) -> Reply:
        self._seen += 1
        return REFUSED if self._seen > self._at else self._before(request)


def refused_for_good(
    folder: Path, forks: Forks, at: int, at_once: int, *, batch: int = 100, poison: bool = False
) -> None:
    """Let a run meet an API that refuses everything from one of its requests on."""
    case = f"from {at}, batch {batch}, {at_once} at once, poison {poison}"
    feed = Feed(10_000 if batch > 1 else 4_000, 2, every=10, mixed=False)
    poisoned = {name(n) for n in range(7, feed.count, 50)} if poison else set()
    size = {"batch_size_rows": batch, "max_concurrent_requests": at_once}
    run, watch, server = run_against(
        Switch(at, poisoned), folder / case, forks, feed.lines(), **size
    )
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
    api = Api(lambda count, ids: count > at or name(bad) in ids)
    sent = send(api, [name(n) for n in range(1_500)])
    assert len(api.posted) - at <= MOST_AFTER_THE_SWITCH
    assert len(sent.letters - {name(bad)}) <= MOST_LETTERS
    assert not sent.letters & set(api.accepted)
    assert sent.states[-1:] != ["all"]
    assert sent.failure is not None
    assert "pixel_id" in str(sent.failure)
    assert "\n" not in str(sent.failure)
    assert len(str(sent.failure)) < 400
