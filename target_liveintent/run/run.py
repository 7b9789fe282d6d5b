"""The loop of a run: records come in, each gets its outcome, and STATE is written after that.

All of it runs on the main thread. A conversion goes into a batch; a full batch is reserved in the
store and handed to delivery; its result gives each event an outcome.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from target_liveintent.clock import Clock
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.batch import BatchResult, DeliveryStatus
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.errors import DeliveryError, StorageError, TooManyRejectedError
from target_liveintent.reasons import NEVER_TAKEN, REASONS
from target_liveintent.run.batches import Batches, StateGate
from target_liveintent.run.counts import ReservedByOther, RunCounts
from target_liveintent.run.doubts import too_many_rejected
from target_liveintent.run.kinds import USUAL_RUN, RunKind
from target_liveintent.settings import Settings
from target_liveintent.store.ledger import Claim

_T = TypeVar("_T")
TICK = 1.0
"""The most seconds between two checks of what is due."""
_ROOM = 0.05
"""Seconds between two looks whether delivery has room. After a failure it takes more batches,
although no result has come."""
_RESERVED_AT_ONCE = 8
"""With so many full batches, the store is asked: one transaction costs less than several."""
_MOST_FULL = 16
"""With so many, it is asked even if it took long to answer, such as 50 ms."""
_WRITTEN_AFTER = 0.5
"""After so many seconds, what is new is written."""
_MOST_WAITING = 64
"""With more batches that wait for the outcome of equal events, the run reads no further."""
_MOST_UNWRITTEN = 8_000
"""How many outcomes may wait in memory to be written. Those of many events take less time together:
a database writes whole pages, and the keys of events in random order are each on another page."""
_LETTER = 4
"""A dead letter counts as so many outcomes, because it takes more memory."""
_FAILED_GRACE = 5.0
"""Seconds for which a run that has failed waits for requests in flight."""
_STOP_RETRIES = 5.0
"""Seconds for which a stopped run still retries."""
_STOP_GRACE = 17.0
"""Seconds for which a stopped run waits for requests in flight. Its end takes one or
two more; the process must be over after 20."""


class Outcomes(Protocol):
    """Keeps the outcome of each record, and knows what was delivered before.

    `RunStore` keeps them in the store, `DryStore` keeps nothing, and a task of Spark has files.
    What is noted is kept by `claim`, `write` and `release`, which raise a `StorageError`.
    """

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches, by number; those that were sent have their outcome."""

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed, and whether the batch is done."""

    def reject(self, rejection: Rejection) -> None:
        """Note a record that is not sent: by its reason, it becomes a dead letter or is dropped."""

    def write(self, *, durable: bool = False) -> None:
        """Write what was noted; if durable, it survives a power cut."""

    def release(self) -> None:
        """Write what was noted, and end the reservations of the run."""


class RunParts(NamedTuple):
    """What a run works with. Without `write_state`, the engine itself remembers what is done."""

    clock: Clock
    delivery: DeliveryPool
    outcomes: Outcomes
    kind: RunKind = USUAL_RUN
    write_state: Callable[[str], None] = lambda _: None
    stop_reading: Callable[[], None] = lambda: None  # When the setting `limit` is reached.
    on_progress: Callable[[RunCounts, DeliveryStatus], None] = lambda *_: None


class Run:
    """One run: records go in, and each gets its outcome."""

    def __init__(self, settings: Settings, parts: RunParts) -> None:
        self.counts = RunCounts(kind=parts.kind, dry_run=settings.dry_run, clock=parts.clock)
        self._kind = parts.kind
        self.gate = StateGate()
        # A dry run sends nothing, and all events of a canary are read again.
        self.gate.is_closed = settings.dry_run or not parts.kind.writes_state
        self._settings = settings
        self._parts = parts
        self._clock = parts.clock
        self._delivery = parts.delivery
        self._outcomes = parts.outcomes
        self._batches = Batches(self.gate, settings.batch_size_rows, parts.clock)
        self._left = math.inf if settings.limit is None else settings.limit  # Events left to send.
        self._unwritten = 0  # Outcomes that the store has not written yet.
        self._written_at = parts.clock.monotonic()
        self._store_asked_at, self._store_took = parts.clock.monotonic(), 0.0
        self._at_end = self._is_judged = False
        self._failed = False
        self._has_given_up = False  # Nothing more is sent after a failure of delivery or the store.
        self._next_check = parts.clock.monotonic()
        self._stop_requested_at: float | None = None

    # What comes in

    def take(self, stream: str, result: Conversion | Rejection | None) -> None:
        """Give a record its outcome, or put its event into a batch; a map has filtered None."""
        if type(result) is Conversion:  # Each event pays for this; `isinstance` takes longer.
            if self._settings.limit is not None:
                self._add_limited(stream, result)
            elif self._batches.add(stream, result):
                self.submit(stream)
        elif isinstance(result, Rejection):
            if result.reason in self._kind.left_in_store:
                self.counts.of(stream).not_replayed[result.reason] += 1
                return
            self._reject(stream, result)
            if self._unwritten >= _MOST_UNWRITTEN:
                self._write()
        else:
            self.counts.of(stream).filtered += 1

    def _add_limited(self, stream: str, conversion: Conversion) -> None:
        """Put an event into its batch, unless the setting `limit` is reached."""
        if self._left == 0:
            self.counts.of(stream).dropped["over_limit"] += 1
            return
        if self._batches.add(stream, conversion):
            self.submit(stream)
        self._left -= 1
        if self._left == 0:
            self._send_all()  # Events that were delivered before leave room for others.
        if self._left == 0:
            self._parts.stop_reading()

    def _reject(self, stream: str, rejection: Rejection) -> None:
        counts = self.counts.of(stream)
        if renamed := self._kind.renamed_reasons.get(rejection.reason):
            rejection = msgspec.structs.replace(rejection, reason=renamed)
        if not REASONS[rejection.reason].letter:
            counts.dropped[rejection.reason] += 1
            self._outcomes.reject(rejection)
            return
        if self._settings.on_rejection == "fail":
            raise TooManyRejectedError(_explain(rejection))
        self._outcomes.reject(rejection)
        self._unwritten += _LETTER
        counts.reject(rejection)

    # What goes out

    def submit(self, stream: str) -> None:
        """Send a stream's batch, as soon as its events are reserved and delivery has room."""
        self._batches.close(stream)
        # A store may answer slowly. So it is asked less than half of the time, unless so many
        # batches are full that asking is worth it.
        may_ask = self._clock.monotonic() - self._store_asked_at >= self._store_took
        enough = _RESERVED_AT_ONCE if self._delivery.in_flight else 1
        if len(self._batches.full) >= (enough if may_ask else _MOST_FULL):
            self._reserve()
        self._hand_over()
        if len(self._batches.waiting) > _MOST_WAITING:
            self._join()
        self._collect()

    def _send_all(self) -> None:
        self._batches.close_opened_before(self._clock.monotonic())
        self._join()

    def _reserve(self) -> None:
        """Reserve the events of full batches and of those that wait; drop what was delivered."""
        batches = self._batches.full + self._batches.waiting
        if not batches:
            return
        events = {one.number: one.conversions for one in batches}
        claims = self._ask_store(lambda: self._outcomes.claim(events))
        for batch in batches:
            if sent := claims[batch.number].sent:
                counts = self.counts.of(batch.stream)
                counts.dropped["already_sent"] += len(sent)
                counts.conflicting_ids += claims[batch.number].conflicts
                self._left += len(sent)
        self._batches.divide((batch, claims[batch.number]) for batch in batches)
        before, self.counts.elsewhere = self.counts.elsewhere, None
        if others := [one.other_run for one in claims.values() if one.other_run is not None]:
            since = self._clock.monotonic() if before is None else before.since
            events_there = sum(len(batch.conversions) for batch in self._batches.waiting)
            self.counts.elsewhere = ReservedByOther(events_there, others[0], since)

    def _hand_over(self) -> None:
        next_check = self._clock.monotonic() + TICK  # (Not that of `tick`, which has more to do.)
        while self._batches.reserved:
            while self._delivery.full:
                self._settle_one(_ROOM)
                self._obey_stop()
                self._collect()
                if self._clock.monotonic() >= next_check:
                    next_check = self._clock.monotonic() + TICK
                    self._check_due()
            self._delivery.submit(self._batches.reserved.popleft())

    def _join(self) -> None:
        """Wait until no event is in flight or waits for the outcome of an equal event."""
        while True:
            self._reserve()
            self._hand_over()
            if self._batches.waiting and not self._delivery.in_flight:
                self._settle_one(TICK)  # Another run has them. A signal ends the wait.
            self._delivery.drain()
            self._check_due()
            while self._delivery.in_flight:
                self._settle_within(TICK)
                self._check_due()
            if not self._batches:
                break

    # What is due

    def tick(self) -> None:
        """Do what is due. Cheap between seconds, so it may be called after every message."""
        now = self._clock.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + TICK
        self._batches.close_opened_before(now - self._settings.flush_interval_seconds)
        self._reserve()
        self._hand_over()
        self._check_due()

    def _check_due(self) -> None:
        self._obey_stop()
        self._collect()
        self._advance_state()
        self._parts.on_progress(self.counts, self._delivery.status)

    def _advance_state(self) -> None:
        """Write the STATE that is due. STATE is written nowhere else."""
        withholds = self._withholds_state
        state = None if withholds else self.gate.due()
        # A run that delivers nothing must not read a million bad records.
        if state is not None or (withholds and self.gate.holds):
            self._judge()
        if state is not None:
            try:
                self._write(durable=True)
                self._parts.write_state(state)
            except BaseException:
                self.gate.is_closed = True
                raise

    @property
    def _withholds_state(self) -> bool:
        """Whether a record was rejected, and nothing is delivered: then the run may still fail."""
        streams = self.counts.streams.values()
        is_doubtful = any(not NEVER_TAKEN.isdisjoint(one.rejected) for one in streams)
        return is_doubtful and not (self._is_judged or self.counts.has_taken)

    def _judge(self) -> None:
        percent = self._settings.max_dead_letter_percent
        if problem := too_many_rejected(self.counts, percent, at_end=self._at_end):
            self.gate.is_closed = True
            raise TooManyRejectedError(problem)

    def _write(self, *, durable: bool = False) -> None:
        self._ask_store(lambda: self._outcomes.write(durable=durable))
        self._unwritten, self._written_at = 0, self._store_asked_at

    def _ask_store(self, ask: Callable[[], _T]) -> _T:
        start = self._clock.monotonic()
        answer = ask()
        self._store_asked_at = self._clock.monotonic()
        self._store_took = self._store_asked_at - start
        return answer

    # What comes back

    def _collect(self) -> None:
        while self._settle_one(0.0):
            pass
        passed = self._clock.monotonic() - self._written_at
        is_due = passed >= max(_WRITTEN_AFTER, self._store_took)
        if (is_due or self._unwritten >= _MOST_UNWRITTEN) and not self._has_given_up:
            self._write()

    def _settle_within(self, seconds: float) -> None:
        """Settle until time is up, delivery is woken, or nothing is in flight."""
        end = self._clock.monotonic() + seconds
        while self._delivery.in_flight and (left := end - self._clock.monotonic()) > 0:
            if not self._settle_one(left):
                break

    def _settle_one(self, seconds: float) -> bool:
        """Settle a result of a batch; return False if there was none in time."""
        result = self._delivery.take(seconds)
        if result is None:
            return False
        counts, number = self.counts, result.batch.number
        counts.requests += result.requests
        counts.retries += result.retries
        counts.throttled += result.throttled
        counts.unproven += result.unproven
        events = [conversion.event for conversion in result.delivered]
        counts.deliver(result.batch.stream, events, result.sent_at)
        self._unwritten += len(events)
        self._outcomes.deliver(result.delivered, result.sent_at)
        self._outcomes.confirm(number, result.confirmed, is_last=result.is_last)
        if result.is_last:
            self._conclude(result)
        return True

    def _conclude(self, result: BatchResult) -> None:
        """Give refused events their outcome, and finish the batch; raise its failure."""
        if result.failure is not None:
            # An isolation that was cut short proves nothing about the events that it refused. The
            # batch stays unfinished, so no STATE passes it.
            if not self._has_given_up:
                raise result.failure
            return
        if self._failed and self._settings.on_rejection == "fail" and result.undelivered:
            return  # The first rejection has ended the run; these events have no outcome.
        for rejection in result.undelivered:
            self._reject(result.batch.stream, rejection)
        self.gate.finish_batch(result.batch.number)

    # How it ends

    def request_stop(self) -> None:
        """Stop soon. Safe in a signal handler: it takes no lock."""
        if self._stop_requested_at is None:
            self._stop_requested_at = self._clock.monotonic()
        self._delivery.wake()

    @property
    def limit_reached(self) -> bool:
        """Whether as many events were sent as `limit` says."""
        return self._left == 0

    def _obey_stop(self) -> None:
        if self._stop_requested_at is None or self._has_given_up:
            return
        passed = self._clock.monotonic() - self._stop_requested_at
        self._delivery.stop(_STOP_RETRIES - passed)
        doing = f"still sending batches ({self._delivery.in_flight})"
        most, elsewhere = _STOP_GRACE, self.counts.elsewhere
        if elsewhere is not None and not self._delivery.in_flight:
            doing = (
                f"waiting for run {elsewhere.run_id}, which is sending the same events"
                f" ({elsewhere.events}) and has reserved them in the store"
            )
            most = _STOP_RETRIES
        if passed > most:
            msg = f"the run was stopped while it was {doing}"
            raise DeliveryError(msg)

    def finish(self) -> None:
        """Deliver what was read and write the last STATE; raise a `RunError` if that fails."""
        self._settle_all()
        self._close()

    def _settle_all(self) -> None:
        self._at_end = True
        self._send_all()
        if not self._failed:
            self._judge()
            self._is_judged = True
            self._advance_state()

    def abandon(self, failure: BaseException) -> None:
        """End a failed run: settle the batches that can be settled, and write a correct STATE.

        Unless delivery or the store is at fault, what was read before is delivered; a second
        failure is raised.
        """
        self._failed = True
        try:
            if isinstance(failure, (DeliveryError, StorageError)):
                self._give_up(failure)
                return
            try:
                self._settle_all()
            except Exception as second:
                self._give_up(second)
                raise
        finally:  # Even if this failure is not the only one.
            self._close()

    def _give_up(self, failure: Exception) -> None:
        self._has_given_up = True
        if isinstance(failure, StorageError):
            self.gate.is_closed = True
        stopped = self._stop_requested_at is not None
        self._delivery.stop(0.0)
        self._settle_within(0.0 if stopped else _FAILED_GRACE)
        self._delivery.close()  # Then the known outcomes of the rest come back as well.
        self._check_due()

    def _close(self) -> None:
        try:
            self._delivery.close()
        finally:
            self._outcomes.release()


def _explain(rejection: Rejection) -> str:
    where = f", column {rejection.field}" if rejection.field else ""
    said = f" ({rejection.detail})" if rejection.detail else ""
    return (
        f"a record of stream '{rejection.stream}' (event ID {rejection.event_id}{where}) was"
        f" rejected as {rejection.reason}{said}, and the run ends because on_rejection is 'fail'."
        f" {REASONS[rejection.reason].meaning}"
    )
