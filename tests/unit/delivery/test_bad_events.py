"""Events that are refused, or on which the API fails, stop no others; limits blame no event.

A machine delivers them with requests side by side, on a clock that is simulated.
"""

import heapq
import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
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
    drive,
    event,
    machine_of,
    refusing,
)
from unit_support import NOW

from target_liveintent.conversions.event_model import Conversion, LetterKey
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.batch import Batch, BatchResult, LetterKind, Request
from target_liveintent.errors import AllRefusedError, OutageError


class Asked(NamedTuple):
    """A request: its place among those of the run, its events, and when it arrives."""

    number: int
    events: set[int]
    now: float


class Sent(NamedTuple):
    """What became of a run."""

    requests: int
    delivered: list[int]  # The numbers of the events, in order.
    rejected: set[int]  # Those of the events that became dead letters,
    reasons: set[str]  # and why.
    unproven: int  # How many of them nothing was left to compare with.
    failure: Exception | None  # What ended the run.
    seconds: float


def having(letters: LetterKind, name: str) -> Conversion:
    """Return an event with a dead letter in the store, or with none."""
    key = None if letters is LetterKind.NONE else LetterKey("a-1b2c", "api", "orders", name, 1)
    return msgspec.structs.replace(
        event(name, NOW + 1_000_000),
        letter=key,
        was_refused=letters is LetterKind.REFUSED,
    )


def one_at_a_time(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return each value of each axis once, beside the first values of the other axes."""
    usual = tuple(axis[0] for axis in axes)
    others = [
        (*usual[:n], value, *usual[n + 1 :]) for n, axis in enumerate(axes) for value in axis[1:]
    ]
    return [usual, *others]


def send(
    count: int,
    answer: Callable[[Asked], Answer],
    at_once: int,
    *,
    batch_size: int = 100,
    pause: float = 0.0,
    letters: LetterKind = LetterKind.NONE,
    **changes: Any,
) -> Sent:
    """Deliver so many events, with answers after a tenth of a second.

    Args:
        count: How many events there are.
        answer: Answers a request.
        at_once: The setting `max_concurrent_requests`.
        batch_size: Events of a batch.
        pause: Seconds between two batches of the tap.
        letters: The dead letters that the store has of the events.
        changes: Settings.
    """
    machine = machine_of(size=max(at_once, 16), max_concurrent_requests=at_once, **changes)
    left = [range(first, min(first + batch_size, count)) for first in range(0, count, batch_size)]
    spread = random.Random(1)  # noqa: S311
    flight: list[tuple[float, int, Request, Answer]] = []
    results: list[BatchResult] = []
    now, next_batch, requests, drained = 0.0, 0.0, 0, False
    while True:
        results += machine.finished
        machine.finished.clear()
        may_add = not (drained or machine.is_full or any(result.failure for result in results))
        if may_add and now >= next_batch:
            if left:
                events = [having(letters, str(n)) for n in left.pop(0)]
                machine.add(Batch(-len(left), "orders", 0.0, NOW, events))
                next_batch = now + pause
            else:
                drained = True
                machine.drain()
            continue
        step = machine.next(now, NOW + now)
        if isinstance(step, Request):
            requests += 1
            ids = {int(conversion.event_id) for conversion in step.conversions}
            at = now + 0.1 * spread.uniform(0.9, 1.1)
            heapq.heappush(flight, (at, requests, step, answer(Asked(requests, ids, now))))
            continue
        if machine.finished:
            continue
        due = [step, *(at for at, *_ in flight[:1]), *([next_batch] if may_add else [])]
        if min(due) == float("inf"):
            break
        now = max(now, min(due))
        while flight and flight[0][0] <= now:
            _, _, request, came = heapq.heappop(flight)
            machine.answered(request, came, now)
    undelivered = [one for result in results for one in result.undelivered]
    return Sent(
        requests,
        sorted(int(one.event_id) for result in results for one in result.delivered),
        {int(one.event_id) for one in undelivered},
        {one.reason for one in undelivered},
        sum(result.unproven for result in results),
        next((result.failure for result in results if result.failure), None),
        now,
    )


# Events that are refused

ROWS: dict[str, tuple[int, Collection[int]]] = {
    "300 in a row": (5_000, range(1_010, 1_310)),
    "50 in one batch": (10_000, range(1_010, 1_060)),
    "the first 150": (5_000, range(150)),
    "the last 60": (5_000, range(4_940, 5_000)),
    "the last 100": (5_000, range(4_900, 5_000)),
    "every third": (1_000, range(0, 1_000, 3)),
    "one batch, 70 of 100": (100, range(70)),
    "one batch, 1 of 100": (100, [3]),
    "one batch, all but 7": (100, range(93)),
    "nothing but 9": (9, range(9)),
}
"""How many events there are, and which of them are bad."""


def answers_on(some: Collection[int], answer: Answer) -> Callable[[Asked], Answer]:
    """Return the answers of an API to which some events are not like the others."""
    events = set(some)
    return lambda asked: answer if events & asked.events else ACCEPTED


@pytest.mark.promise("One bad event does not stop 99 good ones")
@pytest.mark.parametrize(("rows", "at_once"), one_at_a_time([*ROWS], [8, 1, 64]))
def test_bad_rows(rows: str, at_once: int) -> None:
    """Every good event is delivered once, every bad one is a dead letter, and the run ends well."""
    count, bad = ROWS[rows]
    sent = send(count, answers_on(bad, REFUSED), at_once)
    assert sent.failure is None
    assert sent.delivered == sorted({*range(count)} - {*bad})
    assert sent.rejected == {*bad}


@pytest.mark.parametrize("at_once", [1, 8, 64])
def test_bad_rows_of_a_slow_tap(at_once: int) -> None:
    """A batch is kept back to compare bad events with, so that a slow tap is no obstacle."""
    bad = range(510, 810)
    sent = send(3_000, answers_on(bad, REFUSED), at_once, pause=5.0)
    assert (sent.failure, sent.rejected, sent.unproven) == (None, {*bad}, 0)


@pytest.mark.promise("Wrong settings do not fill the store with dead letters")
@pytest.mark.parametrize(
    ("at_once", "batch_size", "good"), one_at_a_time([8, 1, 64], [10, 1, 100], [40, 0, 400])
)
def test_wrong_settings(at_once: int, batch_size: int, good: int) -> None:
    """If the API refuses everything from some request on, the run ends soon: no dead letters."""
    answer = lambda asked: REFUSED if asked.number > good else ACCEPTED  # noqa: E731
    sent = send(600 * batch_size + 4_400, answer, at_once, batch_size=batch_size)
    assert isinstance(sent.failure, AllRefusedError)
    words = (
        "check pixel_id and customer_id; after HTTP 413, set batch_size_rows to a smaller number"
    )
    assert words in str(sent.failure)
    assert sent.requests - good <= (200 if good else 100)
    assert sent.rejected == set()


@pytest.mark.promise("Wrong settings do not fill the store with dead letters")
@pytest.mark.parametrize(
    ("good", "bad"),
    [*((good, 30) for good in range(1, 16)), (5, 0), (5, 70), (5, 99)],
    ids=[
        *(f"refused after request {good}" for good in range(1, 16)),
        "first event is bad",
        "event in the middle is bad",
        "last of its batch is bad",
    ],
)
def test_settings_that_become_wrong_amid_an_isolation(good: int, bad: int) -> None:
    """The API begins to refuse everything while the one bad event of a batch is looked for."""
    sent = send(
        1_500,
        lambda asked: REFUSED if asked.number > good or bad in asked.events else ACCEPTED,
        1,
        accepted=True,
    )
    assert isinstance(sent.failure, AllRefusedError)
    assert sent.requests - good <= 100
    assert len(sent.rejected - {bad}) <= 30


# Events that have dead letters already

LETTERS = {
    "bad first": range(8_000),
    "bad last": range(200, 8_200),
    "between bad ones": {*range(8_200)} - {*range(4_150, 4_350)},
    "mixed": {*range(8_200)} - {*range(0, 8_200, 41)},
}
"""8,000 of 8,200 letters, which the API refuses."""


@pytest.mark.promise("Events that were refused before do not stop a run")
@pytest.mark.parametrize(
    ("bad", "at_once", "letters"),
    one_at_a_time([*LETTERS], [8, 1, 64], [LetterKind.OTHER, LetterKind.REFUSED]),
)
def test_bad_letters(bad: str, at_once: int, letters: LetterKind) -> None:
    """They end no run, and all good ones are sent; most bad ones are left, unless all are mixed."""
    sent = send(8_200, answers_on(LETTERS[bad], REFUSED), at_once, letters=letters)
    assert sent.failure is None
    assert sent.delivered == sorted({*range(8_200)} - {*LETTERS[bad]})
    assert (sent.rejected, sent.unproven) == ({*LETTERS[bad]}, 0)
    assert sent.reasons <= {"refused_by_api", "not_tried"}
    assert sent.requests < (16_400 if bad == "mixed" else 1_300)


@pytest.mark.parametrize("at_once", [1, 8, 64], ids="{} at once".format)
@pytest.mark.parametrize("batches", [1, 3, 16, 82, 164], ids="{} batches".format)
def test_nothing_but_bad_letters(batches: int, at_once: int) -> None:
    """Three samples of each batch are enough, after 200 refusals and those that are in flight."""
    sent = send(100 * batches, lambda _: REFUSED, at_once, letters=LetterKind.REFUSED)
    assert sent.failure is None
    assert sent.reasons <= {"refused_by_api", "not_tried"}
    assert sent.requests <= 216 + 3 * batches


@pytest.mark.promise("Events that were refused before do not stop a run")
@pytest.mark.parametrize("letters", [LetterKind.OTHER, LetterKind.REFUSED])
def test_bad_letters_say_nothing_about_new_events(letters: LetterKind) -> None:
    """In one batch with them, new events are sent apart, and need a proof of their own."""
    known = [having(letters, f"bad {n}") for n in range(40)]
    given = Batch(0, "orders", 0.0, NOW, [*known, *(event(f"new {n}") for n in range(20))])
    machine = machine_of(max_concurrent_requests=1)
    machine.add(given)
    (result,) = drive(machine, refusing(lambda ids: "bad" in ids[0]), FakeClock())
    assert (result.failure, len(result.delivered)) == (None, 20)
    assert result.requests < 50
    machine = machine_of(max_concurrent_requests=1)
    machine.add(given)
    (result,) = drive(machine, answers(*[REFUSED] * 100), FakeClock())
    assert isinstance(result.failure, AllRefusedError)
    assert {one.event_id for one in result.undelivered} <= {one.event_id for one in known}


# What bad events cost

COSTS = {1: 11.2, 2: 19.1, 5: 38.1, 20: 98.0}
"""Requests for a batch of 100, on average, by how many of its events are bad."""
TRIALS = 300
PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
TOO_LARGE = Answer(Verdict.TOO_LARGE, "HTTP 413", 413)


def isolate(bad: Collection[int], count: int = 100) -> Sent:
    """Send a batch, one request at a time; no events are asked about twice."""
    asked = []

    def answer(request: Asked) -> Answer:
        asked.append(frozenset(request.events))
        return ACCEPTED if request.events.isdisjoint(bad) else REFUSED

    sent = send(count, answer, 1, accepted=True)
    assert len({*asked}) == sent.requests <= max(1, 2 * count - 1)
    return sent


@pytest.mark.parametrize("count", COSTS)
def test_cost(count: int) -> None:
    """Finding bad events in a batch of 100 costs what the page says."""
    chance = random.Random(count)  # noqa: S311
    found = [isolate(chance.sample(range(100), count)).requests for _ in range(TRIALS)]
    assert sum(found) / TRIALS == pytest.approx(COSTS[count], rel=0.03)
    if PAGE.exists():  # It is not in the source distribution.
        assert f"| {count} | {COSTS[count]:.1f} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("most", [1, 30, 99])
def test_too_many_bytes_blame_nobody(most: int) -> None:
    """A 413 says nothing about any event: where one half goes, the other is asked about whole."""
    sent = send(100, lambda asked: TOO_LARGE if len(asked.events) > most else ACCEPTED, 1)
    assert (sent.failure, sent.rejected, sent.delivered) == (None, set(), [*range(100)])
    assert sent.requests <= 199


# Events on which the API always fails

BUSY = Answer(Verdict.LIMITED, "HTTP 503", 503)
SILENT = Answer(Verdict.LIMITED, "no answer came in time")
FAILURES = {"500": FAULT, "503": BUSY, "429": LIMITED, "no answer": SILENT}


@pytest.mark.promise("An event on which the API fails each time does not stop the run")
@pytest.mark.parametrize(("at_once", "failure"), one_at_a_time([64, 1, 2], [*FAILURES]))
def test_a_poison_event_among_others(at_once: int, failure: str) -> None:
    """It is found while the API accepts others, whatever it answers, and becomes a dead letter."""
    sent = send(20_000, answers_on({4_040}, FAILURES[failure]), at_once)
    assert (sent.failure, sent.rejected, sent.reasons) == (None, {4_040}, {"api_error"})
    assert sent.delivered == [*range(4_040), *range(4_041, 20_000)]
    assert sent.seconds < 1_800


@pytest.mark.promise("An event on which the API fails each time does not stop the run")
@pytest.mark.parametrize(
    ("failure", "budget", "events", "poison"),
    [
        *((failure, 20, 1_000, {999}) for failure in FAILURES),
        ("503", 300, 1_000, {999}),
        ("503", 20, 1_000, {920}),
        ("503", 20, 8, {0}),
        ("500", 20, 8, {5}),
        # What is left of a few batches is given up together.
        ("503", 60, 1_000, {750, 850, 999}),
    ],
    ids=[
        *(f"last event gets {failure}" for failure in FAILURES),
        "large budget",
        "amid the last batch",
        "first of one batch",
        "amid one batch",
        "several poison events",
    ],
)
def test_poison_events_at_the_end(failure: str, budget: int, events: int, poison: set[int]) -> None:
    """They are found by their own batch, in a few times the budget, though nothing else is left."""
    sent = send(events, answers_on(poison, FAILURES[failure]), 64, max_retry_seconds=budget)
    assert (sent.failure, sent.rejected, sent.reasons) == (None, poison, {"api_error"})
    assert len(sent.delivered) == events - len(poison)
    assert sent.seconds < 8 * budget


def test_what_comes_after_events_that_were_given_up() -> None:
    """Events that another run had reserved may come later: they have all of the time."""
    machine, clock = machine_of(max_retry_seconds=20), FakeClock()
    machine.add(batch("good", "poison"))
    client = FakeClient(lambda ids: BUSY if "poison" in ids else ACCEPTED)
    (first,) = drive(machine, client, clock)
    assert [one.reason for one in first.undelivered] == ["api_error"]
    machine.finished.clear()
    machine.add(batch("later", number=1))
    (second,) = drive(machine, answers(FAULT, ACCEPTED), clock)
    assert (second.failure, len(second.delivered)) == (None, 1)


# What blames no event


@pytest.mark.parametrize("failure", [FAULT, BUSY, SILENT], ids=["500", "503", "no answer"])
def test_a_single_event_with_nothing_after_it(failure: Answer) -> None:
    """If nothing was accepted after its first fault, it may be an outage: the run fails."""
    sent = send(2, answers_on({1}, failure), 64, batch_size=1, max_retry_seconds=20)
    assert isinstance(sent.failure, OutageError)
    assert (sent.delivered, sent.rejected) == ([0], set())
    # Nor may one be blamed that was only sent together with the bad one.
    assert send(8, answers_on({0}, failure), 64, max_retry_seconds=5).rejected <= {0}


def test_a_lack_of_descriptors_blames_no_event() -> None:
    """However often the same request is not made for want of one, while others are accepted."""
    starved = Answer(Verdict.STARVED, "no file descriptors are left")
    sent = send(300, answers_on({7}, starved), 64, batch_size=1, max_retry_seconds=20)
    assert isinstance(sent.failure, OutageError)
    assert (sent.rejected, len(sent.delivered)) == (set(), 299)


@pytest.mark.parametrize("rate", [0.1, 0.02, 0.005])
def test_a_strict_limit_blames_no_event(rate: float) -> None:
    """However few requests a second a limit lets through, what waits for it is delivered."""
    full_at = [0.0]

    def answer(asked: Asked) -> Answer:
        if asked.now < full_at[0]:
            return LIMITED
        full_at[0] = asked.now + 1 / rate
        return ACCEPTED

    sent = send(12, answer, 64, batch_size=1)
    assert (sent.failure, sent.rejected, len(sent.delivered)) == (None, set(), 12)


def test_a_limit_that_others_use_up_blames_no_event() -> None:
    """Seven of ten requests come too fast, at random, and each batch is a single event."""
    rng = random.Random(1)  # noqa: S311
    sent = send(300, lambda _: LIMITED if rng.random() < 0.7 else ACCEPTED, 64, batch_size=1)
    assert (sent.failure, sent.rejected, len(sent.delivered)) == (None, set(), 300)


@pytest.mark.parametrize(
    ("failure", "batch_size", "events"), one_at_a_time([*FAILURES], [1, 100], [150, 2, 1_000])
)
def test_an_outage_at_the_end_blames_no_event(failure: str, batch_size: int, events: int) -> None:
    """From the middle of a run on, the API fails on everything: no dead letter."""
    good = events // batch_size // 2
    answer = lambda asked: ACCEPTED if asked.number <= good else FAILURES[failure]  # noqa: E731
    sent = send(events, answer, 64, batch_size=batch_size)
    assert isinstance(sent.failure, OutageError)
    assert sent.rejected == set()
