"""Stand-ins for what delivery and runs are given: clock, client, delivery, files."""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unit_support import ACCOUNT, NOW

from target_liveintent.clock import Clock
from target_liveintent.config import settings_of
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus, Undelivered
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.request import Request
from target_liveintent.delivery.suspicion import Suspicion
from target_liveintent.errors import StorageError
from target_liveintent.run.parts import RunParts
from target_liveintent.run.run import Run
from target_liveintent.settings import Settings
from target_liveintent.storage import Claim

LOGGER = logging.getLogger("test")
BODY = b'{"eventId":"1","eventTime":1,"pixelId":1,"source":"web","userData":{},"purchaseData":{}}'
ACCEPTED = Answer(Verdict.ACCEPTED, "HTTP 204", 204)
REFUSED = Answer(Verdict.REFUSED, "HTTP 400: bad", 400)
LIMITED = Answer(Verdict.LIMITED, "HTTP 429", 429)
FAULT = Answer(Verdict.FAULT, "HTTP 500", 500)
STARVED = Answer(Verdict.STARVED, "no file descriptors are left")


def settings(**changes: Any) -> Settings:
    """Return settings with an API that is not there, and without a ledger."""
    given = {**ACCOUNT, "ledger": False, "api_url": "http://127.0.0.1:9"}
    return settings_of({**given, **changes})


def event(name: str, expires_at: float = NOW + 86_400) -> Conversion:
    """Return a conversion that has a day left on the fake clock, or less."""
    return Conversion("orders", name, 1, int(expires_at), BODY, {"value": 1})


def batch(*names: str, number: int = 0) -> Batch:
    """Return a batch of events."""
    return Batch(number, "orders", 0.0, [event(name) for name in names])


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

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Answer:
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
    return DeliveryMachine(given, pace, Suspicion(accepted=accepted), size, lambda: 0.5)


def drive(machine: DeliveryMachine, client: FakeClient, clock: FakeClock) -> list[BatchResult]:
    """Let a machine finish what it has, one request after the other; return the results."""
    machine.drain()
    while isinstance(step := machine.next(clock.now, clock.now), Request) or step < math.inf:
        if isinstance(step, Request):
            ids = [conversion.event_id for conversion in step.conversions]
            answer = client.post(step.body, ids, step.seconds)
            clock.now += answer.seconds
            machine.answered(step, answer, clock.now)
        else:
            clock.waits.append(step - clock.now)
            clock.now = step
    return whole(machine.finished)


def whole(results: Iterable[BatchResult]) -> list[BatchResult]:
    """Put the results of each batch together in its last one."""
    parts: dict[int, list[BatchResult]] = defaultdict(list)
    for one in results:
        parts[one.batch.number].append(one)
    for *earlier, last in parts.values():
        assert [one.is_last for one in (*earlier, last)] == [False] * len(earlier) + [True]
        last.delivered[:0] = [event for one in earlier for event in one.delivered]
        last.sent_at[:0] = [at for one in earlier for at in one.sent_at]
        last.confirmed[:0] = [event for one in earlier for event in one.confirmed]
    return [one for one in results if one.is_last]


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
class FakeFile:
    """A dead-letter file, or a delivered file, that is only remembered."""

    name: str
    """The name of its setting."""
    happened: list[str]
    """What happens to it is added here."""
    failing: str = ""
    """What fails: `write` or `sync`, the first time, or with `fail_always` each time."""
    fail_always: bool = False
    is_due: bool = True
    written: list[Any] = field(default_factory=list)

    def _do(self, what: str) -> None:
        if what == self.failing:
            self.failing = self.failing if self.fail_always else ""
            msg = f"{self.name} cannot be written"
            raise StorageError(msg)
        self.happened.append(f"{self.name} {what}")

    def write(self, what: Any) -> None:
        self._do("write")
        self.written.append(what)

    write_events = write

    def sync(self) -> None:
        self._do("sync")

    sync_batch = sync

    def cover(self) -> None:
        self._do("cover")

    def close(self) -> None:
        self._do("close")


@dataclass(eq=False)
class FakeLedger:
    """A ledger that is only remembered."""

    happened: list[str]
    """What happens to it is added here."""
    known: Collection[str] = ()
    """The IDs of the events that were delivered before."""
    claimed: list[list[list[str]]] = field(default_factory=list)
    """The IDs of the events of each batch, in each call of `claim`."""
    confirmed: list[str] = field(default_factory=list)
    """The IDs of the events that were confirmed and written."""
    others: dict[str, str] = field(default_factory=dict)
    """The runs that have claimed events, by their IDs."""
    on_claim: Callable[[], None] = lambda: None
    """Called at the start of each claim."""
    is_kept = True
    waits_for = ""
    _underway: dict[str, int] = field(default_factory=dict)
    _ended: list[str] = field(default_factory=list)
    _has_ended: bool = False

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self.on_claim()
        self.write()
        self.claimed.append([[one.event_id for one in batch] for batch in batches.values()])
        return {number: self._claim(number, given) for number, given in batches.items()}

    def _claim(self, number: int, given: Sequence[Conversion]) -> Claim:
        mine, waiting, sent, other = [], [], 0, None
        for one in given:
            name = one.event_id
            if name in self.known or name in self.confirmed:
                sent += 1
            elif name in self._underway or name in self.others:
                waiting.append(one)
                other = other or self.others.get(name)
            else:
                self._underway[name] = number
                mine.append(one)
        return Claim(mine, waiting, sent, other)

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self.happened.append("ledger confirm")
        names = [one.event_id for one in confirmed]
        self._underway = {name: n for name, n in self._underway.items() if name not in names}
        self._ended += names
        self._has_ended = True

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self.happened.append("ledger end")
        self._underway = {name: n for name, n in self._underway.items() if n != number}
        self._ended += [one.event_id for one in confirmed]
        self._has_ended = True

    def write(self) -> None:
        if self._has_ended:
            self.happened.append("ledger write")
            self.confirmed += self._ended
            self._ended, self._has_ended = [], False

    def close(self) -> None:
        self.write()
        self.happened.append("ledger close")


class FakeRun:
    """A run whose parts are all fakes, or the given parts, with changes of the settings.

    Attributes:
        happened: What happened to its files, in order, and the STATEs that were written.
    """

    def __init__(
        self,
        *,
        deliver: Callable[[Batch], BatchResult] | None = deliver_all,
        size: int = 8,
        failing: str = "",
        happened: list[str] | None = None,
        parts: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        self.happened: list[str] = [] if happened is None else happened
        self.states: list[str] = []
        self.clock = FakeClock()
        self.delivery = FakeDelivery(self.clock, deliver, size)
        self.dead_letters = FakeFile("dead_letter_path", self.happened, failing)
        given = RunParts(
            self.clock, "run-1", self.delivery, self.dead_letters, write_state=self._write_state
        )
        self.run = Run(settings(**changes), given._replace(**parts or {}))

    def _write_state(self, state: str) -> None:
        self.happened.append("state")
        self.states.append(state)

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
    fake.run.submit(stream)


def refuse(given: Batch, *names: str) -> BatchResult:
    """Deliver a batch of which the API refuses some events."""
    good = [one for one in given.conversions if one.event_id not in names]
    refusals = [
        Undelivered(one, "refused_by_api", "HTTP 400: bad")
        for one in given.conversions
        if one.event_id in names
    ]
    return BatchResult(given, good, [NOW] * len(good), good, refusals, requests=3)


def delivering(*, ledger: bool = False, failing: str = "") -> tuple[FakeRun, FakeFile, FakeLedger]:
    """Return a run with a delivered file, and the files."""
    happened: list[str] = []
    file = FakeFile("delivered_path", happened, failing)
    known = FakeLedger(happened)
    parts = {"delivered_file": file, **({"ledger": known} if ledger else {})}
    return FakeRun(happened=happened, parts=parts), file, known
