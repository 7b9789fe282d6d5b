"""The path of the records through a run: from their conversion to their outcomes and to STATE.

All of this happens on the main thread. Each event goes into the batch of its stream. When the batch
is full, or when `flush_interval_seconds` have passed, the run reserves the events of the batch in
the store, and gives the batch to delivery. The result of the batch has the outcome of each event. A
STATE is written when all records before it have their outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from target_liveintent.clock import Clock
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.batch import BatchResult, DeliveryStatus
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.errors import DeliveryError, StorageError, TooManyRejectedError
from target_liveintent.reasons import REASONS
from target_liveintent.run.batches import Batches
from target_liveintent.run.counts import ReservedByOther, RunCounts
from target_liveintent.run.kinds import RunKind
from target_liveintent.run.outcome_writer import Outcomes, OutcomeWriter
from target_liveintent.run.phases import HAS_FAILED, SENDS, Phase, next_phase
from target_liveintent.run.states import StateGate, StatePublisher
from target_liveintent.run.stopping import EventLimit, StopRequest
from target_liveintent.settings import RunSettings
from target_liveintent.store.deduplication import Claim

TICK = 1.0
"""Seconds between two checks of what is due, such as a batch to send, a STATE, or a signal."""
_ROOM_SECONDS = 0.05
"""While delivery is full, the run checks after this number of seconds whether delivery takes a
further batch. After a fault, it takes more batches even if no result has come."""
_RESERVED_AT_ONCE = 8
"""When this many batches are full, the run reserves their events in one transaction, which costs
less than several. If no batch is in flight, the run does not wait for so many batches."""
_MOST_FULL = 16
"""When this many batches are full, the run reserves their events at once. With fewer, it first
waits for as long as the last answer of the store took, such as 50 ms."""
_MOST_WAITING = 64
"""If more batches than this wait because this or another run is sending the same events, the run
reads no further records until it has the outcomes."""
_FAILED_GRACE_SECONDS = 5.0
"""After delivery or the store has failed, the run waits for at most this number of seconds for the
answers to its last requests."""


class RunParts(NamedTuple):
    """What a run uses. `write_state` does nothing if the engine (Spark) keeps its own progress."""

    clock: Clock
    delivery: DeliveryPool
    outcomes: Outcomes
    kind: RunKind
    write_state: Callable[[str], None] = lambda _: None
    stop_reading: Callable[[], None] = lambda: None  # Called when `limit` is reached.
    on_progress: Callable[[RunCounts, DeliveryStatus], None] = lambda *_: None


class Run:
    """A run, which gives an outcome to each record that it takes."""

    def __init__(self, settings: RunSettings, parts: RunParts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._delivery = parts.delivery
        self._delivery.reserved_until = lambda: parts.outcomes.reserved_until
        self._flush_seconds = settings.flush_interval_seconds
        self._fails_on_rejection = settings.on_rejection == "fail"
        self._phase = Phase.READING
        self.counts = RunCounts(kind=parts.kind, dry_run=settings.dry_run, clock=parts.clock)
        self.gate = StateGate()
        self._batches = Batches(self.gate, settings.batch_size_rows, parts.clock)
        self._limit = EventLimit(settings.limit)
        self._stop = StopRequest()
        self._writer = OutcomeWriter(parts.outcomes, parts.clock)
        self._states = StatePublisher(
            self.gate,
            self.counts,
            settings.max_dead_letter_percent,
            write_outcomes=lambda: self._writer.write(before_state=True),
            write_state=parts.write_state,
            is_open=parts.kind.writes_state and not settings.dry_run,
        )
        self._next_check = parts.clock.monotonic()

    # Records

    def take(self, stream: str, result: Conversion | Rejection | None) -> None:
        """Give a record its outcome, or put its event into a batch; None is a filtered record."""
        if result is not None and result.remarks:
            self.counts.of(stream).note(result.remarks)
        if type(result) is Conversion:  # This is done for each event; `isinstance` takes longer.
            if self._limit.exists:
                self._add_limited(stream, result)
            elif self._batches.add(stream, result):
                self.close_batch(stream)
        elif isinstance(result, Rejection):
            self._reject(stream, result, self._clock.time())
            if self._writer.is_full:
                self._writer.write()
        else:
            self.leave_out(stream, "filtered")

    def leave_out(self, stream: str, reason: str) -> None:
        """Count a record that the map filters, or whose stream has no map (`unmapped`)."""
        counts = self.counts.of(stream)
        if reason == "filtered":
            counts.filtered += 1
        else:
            counts.unmapped += 1
        self._writer.note_left_out(reason)

    def _add_limited(self, stream: str, conversion: Conversion) -> None:
        """Put an event into its batch, unless the setting `limit` is reached."""
        if self._limit.is_reached():
            self.counts.of(stream).dropped["over_limit"] += 1
            return
        if self._batches.add(stream, conversion):
            self.close_batch(stream)
        self._limit.take()
        if self._limit.is_reached():
            self._send_all()  # Events that were sent before, or are too old, do not count.
        if self._limit.is_reached():
            self._parts.stop_reading()

    def _reject(self, stream: str, rejection: Rejection, read_at: float) -> None:
        """Count a record that is not sent, and note its dead letter if its reason demands one."""
        counts, kind = self.counts.of(stream), self.counts.kind
        if renamed := kind.renamed_reasons.get(rejection.reason):
            rejection = msgspec.structs.replace(rejection, reason=renamed)
        if rejection.reason in kind.left_in_store:
            counts.not_replayed[rejection.reason] += 1
            return
        is_letter = REASONS[rejection.reason].letter
        if is_letter and self._fails_on_rejection:
            raise TooManyRejectedError(rejection.failure)
        self._writer.note_rejected(rejection, read_at)
        if is_letter:
            counts.count_rejected(rejection)
            if rejection.was_refused and rejection.reason == "refused_by_api":
                self.counts.refused_again += 1
        else:
            counts.dropped[rejection.reason] += 1

    # Batches to send

    def close_batch(self, stream: str) -> None:
        """Close a stream's batch; its events are sent once they are reserved and there is room."""
        self._batches.close(stream)
        # A store may answer slowly. The run spends less than half of its time with waiting for the
        # store, unless many batches are full.
        enough = _RESERVED_AT_ONCE if self._delivery.in_flight else 1
        if len(self._batches.full) >= (enough if self._writer.has_paused else _MOST_FULL):
            self._reserve()
        self._hand_over()
        if len(self._batches.waiting) > _MOST_WAITING:
            self._join()
        self._collect()

    def _send_all(self) -> None:
        self._batches.close_opened_before(self._clock.monotonic())
        self._join()

    def _reserve(self) -> None:
        """Reserve the events of full and of waiting batches; drop events that were sent before."""
        batches = self._batches.full + self._batches.waiting
        if not batches:
            return
        claims = self._writer.claim({batch.number: batch.conversions for batch in batches})
        for batch in batches:
            claim = claims[batch.number]
            if claim.sent:
                counts = self.counts.of(batch.stream)
                counts.dropped["already_sent"] += len(claim.sent)
                counts.conflicting_ids += claim.conflicts
                self._limit.give_back(len(claim.sent))
        self._batches.divide((batch, claims[batch.number]) for batch in batches)
        self.counts.elsewhere = self._reserved_elsewhere(claims.values())

    def _reserved_elsewhere(self, claims: Iterable[Claim]) -> ReservedByOther | None:
        """Return how many events wait, and for which other run; None if for no other run."""
        run_ids = [claim.other_run for claim in claims if claim.other_run is not None]
        if not run_ids:
            return None
        before = self.counts.elsewhere
        since = self._clock.monotonic() if before is None else before.since
        events = sum(len(batch.conversions) for batch in self._batches.waiting)
        return ReservedByOther(events, run_ids[0], since)

    def _hand_over(self) -> None:
        """Give delivery the reserved batches; while delivery is full, do what is due."""
        next_check = self._clock.monotonic() + TICK  # (`tick` has its own check, and does more.)
        while self._batches.reserved:
            while self._delivery.full:
                self._take_result(_ROOM_SECONDS)
                self._obey_stop()
                self._collect()
                if self._clock.monotonic() >= next_check:
                    next_check = self._clock.monotonic() + TICK
                    self._check_due()
            self._delivery.submit(self._batches.reserved.popleft())

    def _join(self) -> None:
        """Send all closed batches, and wait until each of their events has an outcome."""
        while True:
            self._reserve()
            self._hand_over()
            if self._batches.waiting and not self._delivery.in_flight:
                self._take_result(
                    TICK
                )  # Another run is sending the events. A signal ends the wait.
            self._delivery.drain()
            self._check_due()
            while self._delivery.in_flight:
                self._take_results_within(TICK)
                self._check_due()
            if not self._batches:
                break

    # Work that is due

    def tick(self) -> None:
        """Do the work that is due.

        This is called before each read of the input, and at least once a second while the input is
        silent. Most calls return at once.
        """
        now = self._clock.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + TICK
        self._batches.close_opened_before(now - self._flush_seconds)
        self._reserve()
        self._hand_over()
        self._check_due()

    def _check_due(self) -> None:
        self._obey_stop()
        self._collect()
        self._states.publish_due()
        self._parts.on_progress(self.counts, self._delivery.status)

    # Results

    def _collect(self) -> None:
        """Take the results that delivery has, and write the outcomes if it is time."""
        while self._take_result(0.0):
            pass
        if self._phase in SENDS and self._writer.is_due:
            self._writer.write()

    def _take_results_within(self, seconds: float) -> None:
        """Take results until the time is up, a signal comes, or no batch is in flight."""
        end = self._clock.monotonic() + seconds
        while self._delivery.in_flight and (left := end - self._clock.monotonic()) > 0:
            if not self._take_result(left):
                break

    def _take_result(self, seconds: float) -> bool:
        """Take a result of delivery, and note its outcomes; return False if none came in time."""
        result = self._delivery.take(seconds)
        if result is None:
            return False
        counts = self.counts
        counts.requests += result.requests
        counts.retries += result.retries
        counts.throttled += result.throttled
        counts.unproven += result.unproven
        counts.partly_answered += len(result.delivered) - len(result.confirmed)
        events = [conversion.event for conversion in result.delivered]
        counts.count_delivered(result.batch.stream, events, result.sent_at)
        # With the setting on_rejection=fail, rejected events end the run and get no outcome.
        ends_run = self._fails_on_rejection and bool(result.undelivered)
        self._writer.note_result(result, has_outcomes=result.failure is None and not ends_run)
        if result.is_last:
            self._conclude(result)
        return True

    def _conclude(self, result: BatchResult) -> None:
        """Finish a batch, and give its undelivered events their outcome.

        If the delivery of the batch has failed, raise this failure.
        """
        if result.failure is not None:
            # The search for bad events did not end, so refused events may be good. The batch stays
            # unfinished, so it holds back later STATEs.
            if self._phase in SENDS:
                raise result.failure
            return
        if self._phase in HAS_FAILED and self._fails_on_rejection and result.undelivered:
            return  # The first rejection has ended the run; these events have no outcome.
        for rejection in result.undelivered:
            self._reject(result.batch.stream, rejection, result.batch.read_at)
            if rejection.reason == "event_too_old":
                self._limit.give_back(1)
        self.gate.finish_batch(result.batch.number)

    # The end

    def request_stop(self) -> None:
        """Ask the run to stop soon. A signal handler may call this, as it acquires no lock."""
        self._stop.make(self._clock.monotonic())
        self._delivery.wake()

    def _obey_stop(self) -> None:
        if not self._stop.is_made or self._phase is Phase.GIVEN_UP:
            return
        now = self._clock.monotonic()
        self._delivery.stop(self._stop.retry_seconds(now))
        failure = self._stop.failure(now, self._delivery.in_flight, self.counts.elsewhere)
        if failure is not None:
            raise DeliveryError(failure)

    @property
    def limit_reached(self) -> bool:
        """Whether as many events were sent as `limit` says."""
        return self._limit.is_reached()

    def finish(self) -> None:
        """Deliver what was read and write the last STATE; raise a `RunError` if that fails."""
        self._enter(Phase.ENDING)
        self._states.begin_end()
        self._send_all()
        self._states.publish_last()
        self._close()

    def abandon(self, failure: BaseException) -> None:
        """End a failed run, and write the newest STATE whose records all have their outcomes.

        If delivery and the store still work, first deliver what was read before the failure.
        Otherwise, only wait for the requests in flight.

        Raises:
            Exception: If the end fails as well.
        """
        if self._phase is Phase.CLOSED:
            return  # Each record has its outcome.
        try:
            if isinstance(failure, (DeliveryError, StorageError)):
                self._give_up(failure)
            else:
                self._send_in_spite_of_failure()
        finally:  # Even after a second failure.
            self._close()

    def _send_in_spite_of_failure(self) -> None:
        """Send what was read; if that fails as well, give up."""
        self._enter(Phase.FAILED)
        self._states.begin_end()
        try:
            self._send_all()
        except Exception as second:
            self._give_up(second)
            raise

    def _give_up(self, failure: Exception) -> None:
        """Send nothing more, and keep what is known of the requests in flight."""
        self._enter(Phase.GIVEN_UP)
        if isinstance(failure, StorageError):
            self._states.close()
        self._delivery.stop(0.0)
        self._take_results_within(0.0 if self._stop.is_made else _FAILED_GRACE_SECONDS)
        self._delivery.close()  # Now all other batches come back, with the outcomes known so far.
        self._check_due()

    def _close(self) -> None:
        try:
            self._delivery.close()
        finally:
            self._writer.release(self._batches.without_claim)
        self._enter(Phase.CLOSED)

    def _enter(self, phase: Phase) -> None:
        self._phase = next_phase(self._phase, phase)
