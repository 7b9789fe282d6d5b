"""Stand-ins for what delivery and runs are given: clock, client, delivery, files."""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from unit_support import NOW

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
from target_liveintent.storage import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from target_liveintent.settings import Settings

LOGGER = logging.getLogger("test")
BODY = b'{"eventId":"1","eventTime":1,"pixelId":1,"source":"web","userData":{},"purchaseData":{}}'
ACCEPTED = Answer(Verdict.ACCEPTED, "HTTP 204", 204)
REFUSED = Answer(Verdict.REFUSED, "HTTP 400: bad", 400)
LIMITED = Answer(Verdict.LIMITED, "HTTP 429", 429)
FAULT = Answer(Verdict.FAULT, "HTTP 500", 500)
STARVED = Answer(Verdict.STARVED, "no file descriptors are left")


def settings(**changes: Any) -> Settings:
    """Return settings with an API that is not there, and without a ledger."""
    config = {
        "ledger": False,
        "customer_id": "a-1b2c",
        "auth_token": "a-token-of-unit-tests",
        "api_url": "http://127.0.0.1:9",
        **changes,
    }
    return settings_of(config)


def event(name: str, expires_at: float = NOW + 86_400) -> Conversion:
    """Return a conversion that has a day left on the fake clock, or less."""
    return Conversion("orders", name, 1, int(expires_at), BODY, {"value": 1})


def batch(*names: str, number: int = 0) -> Batch:
    """Return a batch of events."""
    return Batch(number, "orders", 0.0, [event(name) for name in names])


class FakeClock(Clock):
    """A clock that moves only when something waits, or a test says so.

    Attributes:
        now: What it shows, as Unix time and as monotonic seconds.
        waits: The seconds of each wait.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.waits: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def wait(self, wait: Callable[[float], object], seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class FakeClient:
    """Answers requests without a network.

    Args:
        answer: Returns the answer to a request, from the IDs of its events.

    Attributes:
        posted: The IDs of the events of each request.
        accepted: The IDs of the events that were accepted.
        within: Until when, in seconds, each answer was of use.
    """

    def __init__(self, answer: Callable[[list[str]], Answer]) -> None:
        self.posted: list[list[str]] = []
        self.accepted: list[str] = []
        self.within: list[float] = []
        self._answer = answer

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Answer:
        ids = list(event_ids)
        self.posted.append(ids)
        self.within.append(within)
        answer = self._answer(ids)
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


class FakeDelivery:
    """Delivers without threads: at once if it is given how, else when a test says so.

    Attributes:
        deliver: How a batch is delivered at once; None if it stays in flight.
        submitted: The batches that were submitted.
        stopped: The seconds of each call of `stop`.
        drained: How often it was said that nothing more comes.
        woken: How often a wait for a result was ended.
        closed: Whether it was closed.
    """

    def __init__(
        self,
        clock: FakeClock,
        deliver: Callable[[Batch], BatchResult] | None = None,
        size: int = 8,
    ) -> None:
        self.submitted: list[Batch] = []
        self.stopped: list[float] = []
        self.drained = 0
        self.woken = 0
        self.closed = False
        self.in_flight = 0
        self.deliver = deliver
        self._clock = clock
        self._size = size
        self._finished: deque[BatchResult] = deque()

    @property
    def full(self) -> bool:
        return self.in_flight >= self._size

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
        self._finished.append(result)

    def take(self, seconds: float) -> BatchResult | None:
        if not self._finished:
            self._clock.now += seconds
            return None
        result = self._finished.popleft()
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


class FakeFile:
    """A dead-letter file, or a delivered file, that is only remembered.

    Args:
        name: The name of its setting.
        happened: What happens to it is added here.
        failing: What fails: `write` or `sync`, the first time.

    Attributes:
        is_due: Whether a STATE need not wait for it.
    """

    def __init__(self, name: str, happened: list[str], failing: str = "") -> None:
        self.written: list[Any] = []
        self.is_due = True
        self._name = name
        self._happened = happened
        self.failing = failing
        self.fail_always = False

    def _do(self, what: str) -> None:
        if what == self.failing:
            self.failing = self.failing if self.fail_always else ""
            msg = f"{self._name} cannot be written"
            raise StorageError(msg)
        self._happened.append(f"{self._name} {what}")

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


class FakeLedger:
    """A ledger that is only remembered.

    Args:
        happened: What happens to it is added here.
        known: The IDs of the events that were delivered before.

    Attributes:
        claimed: The IDs of the events of each batch, in each call of `claim`.
        confirmed: The IDs of the events that were confirmed and written.
        others: The runs that have claimed events, by their IDs.
        on_claim: Called at the start of each claim.
    """

    is_kept = True
    waits_for = ""

    def __init__(self, happened: list[str], known: Iterable[str] = ()) -> None:
        self.claimed: list[list[list[str]]] = []
        self.confirmed: list[str] = []
        self.others: dict[str, str] = {}
        self.on_claim: Callable[[], None] = lambda: None
        self._happened = happened
        self._known = set(known)
        self._underway: dict[str, int] = {}
        self._ended: list[str] = []
        self._has_ended = False

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self.on_claim()
        self.write()
        self.claimed.append([[one.event_id for one in batch] for batch in batches.values()])
        return {number: self._claim(number, given) for number, given in batches.items()}

    def _claim(self, number: int, given: Sequence[Conversion]) -> Claim:
        mine, waiting, sent, other = [], [], 0, None
        for one in given:
            name = one.event_id
            if name in self._known or name in self.confirmed:
                sent += 1
            elif name in self._underway or name in self.others:
                waiting.append(one)
                other = other or self.others.get(name)
            else:
                self._underway[name] = number
                mine.append(one)
        return Claim(mine, waiting, sent, other)

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self._happened.append("ledger confirm")
        names = [one.event_id for one in confirmed]
        self._underway = {name: n for name, n in self._underway.items() if name not in names}
        self._ended += names
        self._has_ended = True

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self._happened.append("ledger end")
        self._underway = {name: n for name, n in self._underway.items() if n != number}
        self._ended += [one.event_id for one in confirmed]
        self._has_ended = True

    def write(self) -> None:
        if self._has_ended:
            self._happened.append("ledger write")
            self.confirmed += self._ended
            self._ended, self._has_ended = [], False

    def close(self) -> None:
        self.write()
        self._happened.append("ledger close")


class FakeRun:
    """A run whose parts are all fakes.

    Args:
        deliver: How batches are delivered; None if they stay in flight.
        size: The most batches in flight.
        failing: What fails of the dead-letter file: `write` or `sync`, the first time.
        happened: What happens to its files is added here.
        parts: Parts that replace the fakes.
        changes: Settings.

    Attributes:
        run: The run.
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
            self.clock,
            "run-1",
            self.delivery,
            self.dead_letters,
            write_state=self._write_state,
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
