"""Stand-ins for what delivery and runs are given: clock, client, delivery, store."""

import logging
import math
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast

from unit_support import ACCOUNT, NOW

from target_liveintent.clock import Clock
from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import Conversion, Rejection, event_of
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.batch import Batch, BatchResult, DeliveryStatus, Request
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.errors import StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.run.kinds import kind_of_run
from target_liveintent.run.run import Run, RunParts
from target_liveintent.settings import Settings
from target_liveintent.store.deduplication import Claim

LOGGER = logging.getLogger("test")
ACCEPTED = Answer(Verdict.ACCEPTED, "HTTP 204", 204)
REFUSED = Answer(Verdict.REFUSED, "HTTP 400: bad", 400)
LIMITED = Answer(Verdict.LIMITED, "HTTP 429", 429)
FAULT = Answer(Verdict.FAULT, "HTTP 500", 500)


def settings(**changes: Any) -> Settings:
    """Return settings with an API that is not there."""
    return settings_of({**ACCOUNT, "api_url": "http://127.0.0.1:9", **changes})


def event(name: str, expires_at: float = NOW + 86_400) -> Conversion:
    """Return a conversion that has a day left on the fake clock, or less."""
    sent = event_of({"event_id": name, "event_time": 1, "pixel_id": 1, "source": "web"})
    return Conversion("orders", sent, int(expires_at), {"value": 1})


def batch(*names: str, number: int = 0) -> Batch:
    """Return a batch of events."""
    return Batch(number, "orders", 0.0, NOW, [event(name) for name in names])


@dataclass(eq=False)
class FakeClock(Clock):
    """A clock that moves only when something waits, or a test says so."""

    now: float = NOW
    """What it shows, as Unix time and as monotonic seconds."""
    waits: list[float] = field(default_factory=list)
    """The seconds of each wait."""

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def since_boot(self) -> float:
        return self.now

    def wait(self, wait: Callable[[float], object], seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class RealClock(Clock):
    """A clock that really waits; its Unix time fits the events of the tests."""

    def time(self) -> float:
        return NOW


@dataclass(eq=False)
class FakeClient:
    """Answers requests without a network."""

    answer: Callable[[list[str]], Answer]
    """Returns the answer to a request, from the IDs of its events."""
    posted: list[list[str]] = field(default_factory=list)
    """The IDs of the events of each request."""
    accepted: list[str] = field(default_factory=list)
    """The IDs of the events that were accepted."""
    within: list[float] = field(default_factory=list)
    """Until when, in seconds, each answer was of use."""

    def post(
        self, body: bytes, event_ids: Collection[str], within: float, *_more: object
    ) -> Answer:
        ids = list(event_ids)
        self.posted.append(ids)
        self.within.append(within)
        answer = self.answer(ids)
        if answer.verdict is Verdict.ACCEPTED:
            self.accepted += ids
        return answer


def answers(*given: Answer) -> FakeClient:
    """Return a client that gives these answers, one after the other."""
    left = list(given)
    return FakeClient(lambda _: left.pop(0))


def refusing(refuses: Callable[[list[str]], bool]) -> FakeClient:
    """Return a client that refuses some requests, and accepts the others."""
    return FakeClient(lambda ids: REFUSED if refuses(ids) else ACCEPTED)


def machine_of(*, accepted: bool = False, size: int = 16, **changes: Any) -> DeliveryMachine:
    """Return a machine without chance.

    Args:
        accepted: Whether the settings are known to be right.
        size: The most batches that are there at the same time.
        changes: Settings.
    """
    given = settings(**changes)
    per_minute = given.max_requests_per_minute
    pace = Pace(given.max_concurrent_requests, per_minute=per_minute, jitter=lambda: 0.5)
    return DeliveryMachine(given.delivery, pace, Refusals(accepted=accepted), size)


def drive(machine: DeliveryMachine, client: FakeClient, clock: FakeClock) -> list[BatchResult]:
    """Let a machine finish what it has, one request after the other; return the results."""
    machine.drain()
    while isinstance(step := machine.next(clock.now, clock.now), Request) or step < math.inf:
        if isinstance(step, Request):
            ids = [conversion.event_id for conversion in step.conversions]
            answer = client.post(step.body, ids, step.timeout_seconds)
            machine.answered(step, answer, clock.now)
        else:
            clock.waits.append(step - clock.now)
            clock.now = step
    return whole(machine.finished)


def whole(results: Iterable[BatchResult]) -> list[BatchResult]:
    """Put the results of each batch together in its last one."""
    parts: dict[int, list[BatchResult]] = defaultdict(list)
    for result in results:
        parts[result.batch.number].append(result)
    for *earlier, last in parts.values():
        assert [result.is_last for result in (*earlier, last)] == [False] * len(earlier) + [True]
        last.delivered[:0] = chain.from_iterable(result.delivered for result in earlier)
        last.sent_at[:0] = chain.from_iterable(result.sent_at for result in earlier)
        last.confirmed[:0] = chain.from_iterable(result.confirmed for result in earlier)
    return [result for result in results if result.is_last]


def deliver(
    given: Batch, client: FakeClient, clock: FakeClock | None = None, **how: Any
) -> BatchResult:
    """Deliver a batch by a machine of its own."""
    machine = machine_of(**how)
    machine.add(given)
    (result,) = drive(machine, client, clock or FakeClock())
    return result


@dataclass(eq=False)
class FakeDelivery:
    """Delivers without threads: at once if it is given how, else when a test says so."""

    clock: FakeClock
    deliver: Callable[[Batch], BatchResult] | None = None
    """How a batch is delivered at once; None if it stays in flight."""
    size: int = 8
    submitted: list[Batch] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    """The seconds of each call of `stop`."""
    drained: int = 0
    woken: int = 0
    closed: bool = False
    in_flight: int = 0
    finished: deque[BatchResult] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        return self.in_flight >= self.size

    @property
    def status(self) -> DeliveryStatus:
        return DeliveryStatus(batches=self.in_flight)

    def submit(self, batch: Batch) -> None:
        assert not self.full
        self.submitted.append(batch)
        self.in_flight += 1
        if self.deliver is not None:
            self.finish(self.deliver(batch))

    def finish(self, result: BatchResult) -> None:
        """Let a batch come back."""
        self.finished.append(result)

    def take(self, seconds: float) -> BatchResult | None:
        if not self.finished:
            self.clock.now += seconds
            return None
        result = self.finished.popleft()
        self.in_flight -= result.is_last
        return result

    def drain(self) -> None:
        self.drained += 1

    def wake(self) -> None:
        self.woken += 1

    def stop(self, seconds: float) -> None:
        self.stopped.append(seconds)

    def close(self) -> None:
        self.closed = True


def deliver_all(given: Batch) -> BatchResult:
    """Deliver all of a batch with one request."""
    sent = list(given.conversions)
    return BatchResult(given, sent, [NOW] * len(sent), sent, requests=1)


@dataclass(eq=False)
class FakeOutcomes:
    """Outcomes that are only remembered; see `run.Outcomes`.

    What a run notes is kept when `claim`, `write` or `release` succeeds, as in a transaction.
    """

    happened: list[str] = field(default_factory=list)
    """The calls that succeeded, in order: those that note something, and those that keep it."""
    failing: str = ""
    """What fails the first time: `claim`, `write`, `write before STATE` or `release`."""
    failure: Exception = field(default_factory=lambda: StorageError("the disk is full"))
    """What it raises then."""
    known: Collection[str] = ()
    """The IDs of the events that were delivered before."""
    others: dict[str, str] = field(default_factory=dict)
    """The runs that have reserved events, by the IDs of the events."""
    on_claim: Callable[[], None] = lambda: None
    """Called at the start of each claim."""
    reserved_until: float = math.inf
    claimed: list[list[list[str]]] = field(default_factory=list)
    """The IDs of the events of each batch, in each call of `claim`."""
    kept: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The IDs of the events of which something was noted and kept, by the call that noted it."""
    rejections: list[Rejection] = field(default_factory=list)
    """The rejections that were noted."""
    read_at: dict[str, float] = field(default_factory=dict)
    """When the records of these rejections were read, by event ID."""
    left_out: list[str] = field(default_factory=list)
    """The reasons of the records that the map does not send."""
    without_outcomes: list[int] = field(default_factory=list)
    """The numbers of the batches that ended without outcomes."""
    unreserved: list[list[str]] = field(default_factory=list)
    """The IDs of the events that were read, but not reserved, before the end of the run."""
    _noted: list[tuple[str, str]] = field(default_factory=list)
    _underway: dict[str, int] = field(default_factory=dict)
    _confirmed: set[str] = field(default_factory=set)

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self.on_claim()
        self._keep("claim")
        self.claimed.append([[one.event_id for one in batch] for batch in batches.values()])
        return {number: self._claim(number, given) for number, given in batches.items()}

    def _claim(self, number: int, given: Sequence[Conversion]) -> Claim:
        claim = Claim([], [], [], {})
        other = None
        for one in given:
            name = one.event_id
            if name in self.known or name in self._confirmed:
                claim.sent.append(one)
            elif name in self._underway or name in self.others:
                claim.waiting.append(one)
                other = other or self.others.get(name)
            else:
                self._underway[name] = number
                claim.mine.append(one)
        return claim._replace(other_run=other)

    def note_delivered(
        self, conversions: Sequence[Conversion], sent_at: Sequence[float], read_at: float
    ) -> None:
        assert len(conversions) == len(sent_at)
        assert read_at > 0
        self._note("deliver", conversions)

    def note_confirmed(
        self,
        number: int,
        confirmed: Sequence[Conversion],
        *,
        is_last: bool,
        has_outcomes: bool = True,
    ) -> None:
        if not has_outcomes:
            self.without_outcomes.append(number)
        self._note("confirm", confirmed)
        names = {one.event_id for one in confirmed}
        self._confirmed |= names
        self._underway = {
            name: batch
            for name, batch in self._underway.items()
            if name not in names and not (is_last and batch == number)
        }

    def note_left_out(self, reason: str) -> None:
        self.left_out.append(reason)

    def note_rejected(self, rejection: Rejection, read_at: float) -> None:
        self.read_at[rejection.event_id] = read_at
        self.rejections.append(rejection)
        reason = rejection.reason
        self._note("reject" if REASONS[reason].letter else f"drop as {reason}", [rejection])

    def write(self, *, before_state: bool = False) -> None:
        if before_state or self._noted:
            self._keep("write before STATE" if before_state else "write")

    def release(self, unreserved: Mapping[int, Sequence[Conversion]]) -> None:
        self.unreserved = [[one.event_id for one in batch] for batch in unreserved.values()]
        self._keep("release")

    def _note(self, what: str, results: Sequence[Conversion | Rejection]) -> None:
        self._noted += [(what, one.event_id) for one in results]
        self.happened.append(what)

    def _keep(self, call: str) -> None:
        if call == self.failing:
            self.failing = ""
            raise self.failure
        for what, name in self._noted:
            self.kept[what].append(name)
        self._noted.clear()
        self.happened.append(call)


class FakeRun:
    """A run whose parts are all fakes, or the given parts, with changes of the settings.

    Attributes:
        happened: What happened to its outcomes, in order, and each STATE that was written.
    """

    def __init__(
        self,
        *known: str,
        deliver: Callable[[Batch], BatchResult] | None = deliver_all,
        size: int = 8,
        failing: str = "",
        parts: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        self.states: list[str] = []
        self.clock = FakeClock()
        self.delivery = FakeDelivery(self.clock, deliver, size)
        self.outcomes = FakeOutcomes(failing=failing, known=known)
        self.happened = self.outcomes.happened
        delivery = cast("DeliveryPool", self.delivery)
        made = settings(**changes)
        kind = kind_of_run(made.limit)
        given = RunParts(self.clock, delivery, self.outcomes, kind, write_state=self._write_state)
        self.run = Run(made.run, given._replace(**parts or {}))

    def _write_state(self, state: str) -> None:
        self.happened.append("state")
        self.states.append(state)

    @property
    def submitted(self) -> list[list[str]]:
        """The IDs of the events of each batch that was handed over."""
        return [[one.event_id for one in batch.conversions] for batch in self.delivery.submitted]

    def tick(self) -> None:
        """Let a second pass."""
        self.clock.now += 1.0
        self.run.tick()


def rejection(name: str = "1", reason: str = "missing_event_time") -> Rejection:
    """Return a record that cannot be sent."""
    return Rejection("orders", name, reason, "event_time", {})


def reject(fake: FakeRun, count: int) -> None:
    """Read records that cannot be sent."""
    for n in range(count):
        fake.run.counts.of("orders").read += 1
        fake.run.take("orders", rejection(str(n)))


def read(fake: FakeRun, *names: str, stream: str = "orders") -> None:
    """Read records that become events."""
    for name in names:
        fake.run.counts.of(stream).read += 1
        fake.run.take(stream, event(name))


def send(fake: FakeRun, *names: str, stream: str = "orders") -> None:
    """Read records that become events, and hand over their batch."""
    read(fake, *names, stream=stream)
    fake.run.close_batch(stream)


def refuse(given: Batch, *names: str) -> BatchResult:
    """Deliver a batch of which the API refuses some events."""
    good = [one for one in given.conversions if one.event_id not in names]
    refusals = [
        one.rejected("refused_by_api", None, "HTTP 400: bad")
        for one in given.conversions
        if one.event_id in names
    ]
    return BatchResult(given, good, [NOW] * len(good), good, refusals, requests=3)
