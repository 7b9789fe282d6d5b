"""The accounts of a run: the outcome of each record, and which STATE may be written.

Free of Singer and of the SDK: it takes conversions, rejections and STATEs, makes sure that each
record gets its outcome, and writes no STATE before that. All of it runs on the main thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from target_liveintent.conversions import DEAD_LETTERS, Conversion, Rejection, read_back
from target_liveintent.delivery import BatchResult
from target_liveintent.errors import DeliveryError, StorageError, TooManyRejectedError
from target_liveintent.reasons import NEVER_TAKEN, REASONS
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.outbox import TICK, Outbox
from target_liveintent.run.parts import RunParts
from target_liveintent.run.state_gate import Closed, StateGate
from target_liveintent.settings import Settings
from target_liveintent.storage import DeliveredEvent, addressee, carry_over, dead_letter_line

_FAILED_GRACE = 5.0
"""Seconds for which a run that has failed waits for requests in flight."""
_STOP_RETRIES = 5.0
"""Seconds for which a stopped run still retries."""
_STOP_GRACE = 17.0
"""Seconds for which a stopped run waits for requests in flight. Its end takes one or
two more; the process must be over after 20."""


class Run:
    """One run: records go in, and each gets its outcome.

    Attributes:
        counts: The records by outcome.
        gate: Holds STATE back.
        run_id: The ID of the run.
        replayed: The dead letters that a `--replay` has taken over; None in any other run.
    """

    def __init__(self, settings: Settings, parts: RunParts) -> None:
        self.counts = RunCounts(dry_run=settings.dry_run, clock=parts.clock)
        self.gate = StateGate()
        if settings.dry_run or settings.limit is not None:
            self.gate.close(Closed.TRIAL_RUN)
        self.run_id = parts.run_id
        self.replayed = parts.replayed
        self._settings = settings
        self._parts = parts
        self._outbox = Outbox(settings, parts, self)
        self._at_end = False
        self._failed = False
        self._has_given_up = False  # Nothing more is sent after a failure of delivery.
        self._later_failure: Exception | None = None
        self._unwritten: set[int] = set()  # Batches of which something could not be written.
        self._next_check = parts.clock.monotonic()
        self._stop_requested_at: float | None = None

    # What comes in

    def take(self, stream: str, result: Conversion | Rejection | None) -> None:
        """Give a record its outcome, or put its event on the way.

        Args:
            stream: The name under which it is counted.
            result: What the record was converted to; None if the user's map filters it.

        Raises:
            RunError: If the rejection ends the run, or delivery fails.
        """
        if type(result) is Conversion:  # Each event pays for this; `isinstance` takes longer.
            self._outbox.add(stream, result)
        elif isinstance(result, Rejection):
            self._reject(stream, result)
            if result.reason in NEVER_TAKEN:
                self.gate.withhold()
        else:
            self.counts.of(stream).filtered += 1

    def _reject(self, stream: str, rejection: Rejection) -> None:
        """Drop a record, write its dead letter, or end the run because of it."""
        counts, reason = self.counts.of(stream), rejection.reason
        if reason == "event_too_old" and stream == DEAD_LETTERS:
            reason = "expired"  # The replay had to wait, and no other one can send it.
        if not REASONS[reason].letter:
            counts.dropped[reason] += 1
            if self.replayed is not None:
                self.replayed.settle([rejection.letter])
            _note(self._parts, rejection, reason)
            return
        if self._settings.fail_on_rejection:
            raise TooManyRejectedError(_explain(rejection, replay=stream == DEAD_LETTERS))
        self._write(dead_letter_line(rejection, self._settings, self.run_id), rejection.letter)
        counts.reject(rejection)
        _note(self._parts, rejection, reason)

    def carry_over(self, stream: str, record: Mapping[str, Any], reason: str) -> None:
        """Keep a dead letter that a replay does not send, and count it under the reason for that.

        The reason is the dead letter's own, or `other_account`.
        """
        if self.replayed is None:  # Otherwise it is put back as it is.
            self._write(carry_over(record, self.run_id), None)
        self.counts.of(stream).not_replayed[reason] += 1
        if reason == "other_account":
            self.counts.other_accounts[addressee(record)] += 1

    def _write(self, dead_letter: bytes, letter: int | None) -> None:
        """Write a dead letter, in the place of the one that was replayed if there is one."""
        if self._settings.dry_run:
            return
        with self.gate.closed_by_failure():
            if self.replayed is None or letter is None:
                self._parts.dead_letters.write(dead_letter)
            else:
                self.replayed.replace(letter, dead_letter)

    def submit(self, stream: str) -> None:
        """Hand over what waits for a stream's batches to fill."""
        self._outbox.submit(stream)

    # What is due

    def tick(self) -> None:
        """Do what is due. Cheap between seconds, so it may be called after every message."""
        now = self._parts.clock.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + TICK
        self._outbox.submit_overdue()
        self.check_due()

    def check_due(self) -> None:
        """Obey a stop, settle what has finished, write the STATE that is due, show progress."""
        self._obey_stop()
        self._outbox.collect()
        self._advance_state()
        self._parts.on_progress(self.counts, self._parts.delivery.status)

    def _advance_state(self) -> None:
        """Write the STATE that is due. STATE is written nowhere else."""
        if self.counts.has_taken:
            self.gate.release()
        if self.gate.withholds:  # A run that delivers nothing must not read a million bad records.
            self._judge()
        is_ending = self._at_end or self._failed or self._stop_requested_at is not None
        if not (is_ending or self._parts.dead_letters.is_due):
            return  # An object store takes few objects: STATE waits for the next one.
        state = self.gate.due()
        if state is None:
            return
        self._judge()
        with self.gate.closed_by_failure():
            self._outbox.write_ledger()
            self._parts.dead_letters.sync()
            if self._parts.delivered_file is not None:
                self._parts.delivered_file.sync()
            self._parts.write_state(state)
            self._parts.dead_letters.cover()
            if self._parts.delivered_file is not None:
                self._parts.delivered_file.cover()

    def _judge(self) -> None:
        """Fail if too many records became dead letters, or nothing but those."""
        percent = self._settings.max_dead_letter_percent
        if problem := self.counts.too_many_rejected(percent, at_end=self._at_end):
            self.gate.close(Closed.TOO_MANY_REJECTED)
            raise TooManyRejectedError(problem)

    # What comes back

    def settle(self, result: BatchResult) -> None:
        """Count a result of a batch; raise its failure, which ends the run."""
        self.counts.requests += result.requests
        self.counts.retries += result.retries
        counts = self.counts.of(result.batch.stream)
        counts.delivered += len(result.delivered)
        counts.amounts.add(result.delivered)
        self.counts.throttled += result.throttled
        self.counts.unproven += result.unproven
        sizes = result.too_large
        self.counts.note_too_large(len(sizes), min(sizes, default=0) // 2)
        try:
            self._record_delivered(result)
            if result.is_last and result.batch.number not in self._unwritten:
                self._conclude(result)
        except StorageError as failure:
            self._unwritten.add(result.batch.number)
            if not self._failed:
                raise
            # The run has failed already. The batch stays unfinished, and the others are booked all
            # the same, so that the ledger learns what the API has confirmed.
            self._later_failure = self._later_failure or failure

    def _record_delivered(self, result: BatchResult) -> None:
        """Pass on what was delivered: to observers, the delivered file and the ledger."""
        on_delivered, file = self._parts.on_delivered, self._parts.delivered_file
        try:
            if self._parts.outcomes is not None:
                self._parts.outcomes.delivered(result.delivered, result.sent_at)
            if self.replayed is not None:
                self.replayed.settle(conversion.letter for conversion in result.delivered)
            if on_delivered is not None or file is not None:
                events = read_back(result.delivered)
                if on_delivered is not None:
                    on_delivered(result.batch.stream, events, result.sent_at, result.latencies)
                if file is not None and events:
                    streams = (conversion.stream for conversion in result.delivered)
                    rows = zip(events, streams, result.sent_at, strict=True)
                    file.write_events(DeliveredEvent(*row) for row in rows)
        finally:  # What was confirmed is not sent again, even if a file cannot be written.
            if self._parts.ledger is not None:
                note = self._parts.ledger.end if result.is_last else self._parts.ledger.confirm
                note(result.batch.number, result.confirmed)

    def _conclude(self, result: BatchResult) -> None:
        """Give refused events their outcome, and finish the batch; raise its failure."""
        if result.failure is not None:
            # An isolation that was cut short proves nothing about the events that it refused. The
            # batch stays unfinished, so no STATE passes it.
            self._later_failure = self._later_failure or result.failure
            if not self._failed:
                raise result.failure
            return
        if self._failed and self._settings.fail_on_rejection and result.undelivered:
            return  # The first rejection has ended the run; these events have no outcome.
        for undelivered in result.undelivered:
            self._reject(result.batch.stream, undelivered.rejection)
        rejected = not NEVER_TAKEN.isdisjoint(one.reason for one in result.undelivered)
        self.gate.finish_batch(result.batch.number, rejected=rejected)

    # How it ends

    def request_stop(self) -> None:
        """Stop soon. Safe in a signal handler: it takes no lock."""
        if self._stop_requested_at is None:
            self._stop_requested_at = self._parts.clock.monotonic()
        self._parts.delivery.wake()

    @property
    def limit_reached(self) -> bool:
        """Whether as many events were sent as `limit` says."""
        return self._outbox.limit_reached

    def _obey_stop(self) -> None:
        if self._stop_requested_at is None or self._has_given_up:
            return
        passed = self._parts.clock.monotonic() - self._stop_requested_at
        self._parts.delivery.stop(_STOP_RETRIES - passed)
        in_flight, elsewhere = self._parts.delivery.in_flight, self.counts.elsewhere
        if elsewhere is not None and passed > _STOP_RETRIES and not in_flight:
            msg = (
                f"the run was stopped while it was waiting for run {elsewhere.run_id}, which is"
                f" sending the same events ({elsewhere.events}) and has reserved them in the ledger"
            )
            raise DeliveryError(msg)
        if passed > _STOP_GRACE:
            msg = f"the run was stopped while it was still sending batches ({in_flight})"
            raise DeliveryError(msg)

    def finish(self) -> None:
        """Deliver what was read and write the last STATE.

        Raises:
            RunError: If not everything that was read has its outcome.
        """
        self._settle_all()
        _close(self._parts)

    def _settle_all(self) -> None:
        self._at_end = True
        self._outbox.submit_all()
        self._outbox.join()
        if self._later_failure is not None:
            raise self._later_failure
        if not self._failed:
            self._judge()
            self.gate.release()
            self._advance_state()

    def abandon(self, failure: BaseException) -> None:
        """End a run that has failed: settle what can be settled, write the STATE that is true.

        Args:
            failure: Why it failed. Unless delivery is at fault, what was read before is delivered.

        Raises:
            RunError: If that fails as well.
        """
        self._failed = True
        try:
            if isinstance(failure, DeliveryError):
                self._give_up()
                return
            try:
                self._settle_all()
            except DeliveryError:
                self._give_up()
                raise
        finally:  # Even if this failure is not the only one.
            _close(self._parts)

    def _give_up(self) -> None:
        """Send nothing more, and settle what is known of the rest."""
        self._has_given_up = True
        stopped = self._stop_requested_at is not None
        self._parts.delivery.stop(0.0)
        self._outbox.settle_within(0.0 if stopped else _FAILED_GRACE)
        self._parts.delivery.close()  # Then what is known of the rest comes back as well.
        self.check_due()


def _note(parts: RunParts, rejection: Rejection, reason: str) -> None:
    if parts.outcomes is not None:
        parts.outcomes.undelivered(rejection, reason)


def _close(parts: RunParts) -> None:
    files = (parts.dead_letters, parts.delivered_file, parts.ledger)
    with contextlib.ExitStack() as stack:  # It closes the others if one of them fails.
        # The ledger knows what was sent before dead letters are put back, which takes a while.
        for part in reversed((parts.delivery, *files, parts.replayed)):
            if part is not None:
                stack.callback(part.close)


def _explain(rejection: Rejection, *, replay: bool) -> str:
    where = f", column {rejection.field}" if rejection.field else ""
    said = f" ({rejection.detail})" if rejection.detail else ""
    return (
        f"a record of stream '{rejection.stream}' (event ID {rejection.event_id}{where}) was"
        f" rejected as {rejection.reason}{said}, and the run ends because on_rejection is 'fail'."
        f" {REASONS[rejection.reason].advice(replay=replay)}"
    )
