"""The books of a run: open batches, fates, dead letters, and which STATE may be written.

Free of Singer and of the SDK: it is told of conversions, rejections and states, sees to it that
each record has its fate, and lets no STATE out before. All of it runs on the main thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from target_liveintent.delivery.breaker import refused_as_a_whole
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.delivery.pool import Delivery
from target_liveintent.errors import AllRefusedError, DeliveryError, TooManyRejectedError
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.run.checkpoints import StateGate
from target_liveintent.run.counts import RunCounts
from target_liveintent.storage.dead_letters import DeadLetterFile, carry_over, dead_letter_line
from target_liveintent.storage.delivered import DeliveredFile, read_back
from target_liveintent.storage.ledger import Ledger, event_key

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping, Sequence

    from target_liveintent.conversions.model import Conversion, Rejection
    from target_liveintent.settings import Settings
    from target_liveintent.storage.dead_letters import DeadLetterWriter
    from target_liveintent.storage.delivered import SentEvent

_TICK = 1.0
"""Seconds between looks at what is due."""
_SHOWN = 5
"""Events that a dry run shows."""
_FAILED_GRACE = 5.0
"""Seconds for which a run that has failed waits for requests that are on their way."""
_STOP_RETRIES = 5.0
"""Seconds for which a stopped run still retries."""
_STOP_GRACE = 20.0
"""Seconds after which a stopped run ends in any case."""


class Observer(Protocol):
    """Learns what is delivered."""

    def delivered(
        self,
        stream: str,
        events: Sequence[SentEvent],
        sent_at: Sequence[float],
        latencies: Sequence[float],
    ) -> None:
        """Take the events of a batch, and the seconds that its requests took."""


class Run:
    """One run: what is read goes in, what is settled comes out.

    Args:
        settings: The settings.
        write_state: Writes a STATE; called when everything before it has its fate.
        logger: Where a dry run shows its events.
        stop_reading: Called when the setting `limit` is reached.
        watch: Called about once a second with the counts, the batches in flight, and how many of
            them wait to be tried again.
        observer: Learns what is delivered; None if nobody asks.
        letters: Takes the dead letters, instead of the file of `dead_letter_path`.

    Attributes:
        report: The counts.
        accepted: Whether the API took anything. Until then, events that it refuses have no fate:
            the settings may be at fault. Whoever judges that over several runs sets it.
        awaits_mapping: Set while no stream that gives events has come; no STATE is written then.
    """

    def __init__(  # noqa: PLR0913 (an argument for each of a run's edges)
        self,
        settings: Settings,
        write_state: Callable[[str], None],
        logger: logging.Logger,
        stop_reading: Callable[[], None] = lambda: None,
        watch: Callable[[RunCounts, int, int], None] = lambda *_: None,
        *,
        observer: Observer | None = None,
        letters: DeadLetterWriter | None = None,
    ) -> None:
        """Start with nothing read."""
        self.counts = RunCounts(dry_run=settings.dry_run)
        self.awaits_mapping = False
        self.accepted = False
        # A canary's events are sent again with all the others.
        self._state_barred = settings.dry_run or settings.limit is not None
        self._stop_reading = stop_reading
        self._watch = watch
        self._observer = observer
        self._left = settings.limit
        self._batch_size = settings.batch_size_rows
        self._settings = settings
        self._write_state = write_state
        self._logger = logger
        self._states = StateGate()
        self._letters = letters or DeadLetterFile(settings.dead_letter_path)
        self.suppressions = Suppressions(settings.suppression_path)
        self._ledger: Ledger | None = None
        if settings.ledger_path is not None and not settings.dry_run:
            self._ledger = Ledger(settings.ledger_path, (settings.url, settings.customer_id))
        self._delivered_file: DeliveredFile | None = None
        if settings.delivered_path is not None and not settings.dry_run:
            self._delivered_file = DeliveredFile(settings.delivered_path, logger)
        self._delivery = Delivery(settings, self._settle)
        self._open: dict[tuple[str, bool], Batch] = {}
        self._unproven: list[BatchResult] = []
        self._failed = False
        self._delivery_failure: Exception | None = None
        self._next_look = 0.0
        self._shown = 0
        self._stop_requested_at: float | None = None

    # What comes in

    def deliver(self, stream: str, conversion: Conversion) -> None:
        """Put a conversion into its stream's batch; hand the batch over when it is full.

        With a ledger, an event that is already on its way goes into a batch of its own, which waits
        until the fate of the first is known.
        """
        if self._left == 0:
            self.counts.of(stream).dropped["over_limit"] += 1
            return
        repeated = self._ledger is not None and not self._ledger.begin(conversion)
        batch = self._open.get((stream, repeated))
        if batch is None:
            batch = Batch(self._states.open(), stream, time.monotonic(), [])
            self._open[stream, repeated] = batch
        conversions = batch.conversions
        conversions.append(conversion)
        if len(conversions) >= self._batch_size:
            self._submit(stream, repeated=repeated)
        if self._left is not None:
            self._count_down()

    def _count_down(self) -> None:
        """Stop reading once as many events as `limit` says are on their way."""
        self._left = self._left - 1 if self._left else 0
        if self._left == 0:
            self._submit_all()  # What the ledger skips makes room for others.
        if self._left == 0:
            self._stop_reading()

    def _submit_all(self) -> None:
        for stream, repeated in list(self._open):
            self._submit(stream, repeated=repeated)

    def reject(self, stream: str, rejection: Rejection) -> None:
        """Give a record the fate of a dead letter.

        Args:
            stream: Under which name it is counted.
            rejection: Why.

        Raises:
            TooManyRejectedError: If `on_invalid` says that this ends the run.
        """
        if not REASONS[rejection.reason].letter:
            self.counts.of(stream).dropped[rejection.reason] += 1
            return
        if self._settings.fail_on_invalid:
            raise TooManyRejectedError(_explain(rejection))
        self._write_letter(dead_letter_line(rejection))
        self.counts.of(stream).rejected[rejection.reason] += 1

    def carry_over(self, stream: str, record: Mapping[str, Any]) -> None:
        """Keep a letter that is not replayed, in the file of this run's letters.

        Args:
            stream: Under which name it is counted.
            record: The letter as it was read.
        """
        self._write_letter(carry_over(record))
        self.counts.of(stream).not_replayed[str(record["reason"])] += 1

    def _write_letter(self, line: bytes) -> None:
        if not self._settings.dry_run:
            barred, self._state_barred = self._state_barred, True  # If it cannot be written.
            self._letters.write(line)
            self._state_barred = barred

    def hold_state(self, state: str) -> None:
        """Remember a STATE until everything before it has its fate."""
        self._states.hold(state)

    def submit(self, stream: str) -> None:
        """Hand over what waits for a stream's batches to fill."""
        for repeated in (False, True):
            self._submit(stream, repeated=repeated)

    def _submit(self, stream: str, *, repeated: bool) -> None:
        batch = self._open.pop((stream, repeated), None)
        if batch is None:
            return
        try:
            if repeated:
                self._submit_repeated(batch)
            else:
                self._hand_over(batch)
        except BaseException:
            self._open.setdefault((stream, repeated), batch)  # It still waits to be sent.
            raise
        self._delivery.collect()

    def _hand_over(self, batch: Batch) -> None:
        if self._ledger is not None:
            self._skip_sent(batch, self._ledger)
        if self._settings.dry_run:
            self._show(batch)
        elif batch.conversions:
            self._delivery.submit(batch, self._look)
        else:
            self._states.finish(batch.number)

    def _submit_repeated(self, batch: Batch) -> None:
        """Send events again whose first had not been delivered, each once at a time."""
        for stream, repeated in list(self._open):
            if not repeated:
                self._submit(stream, repeated=False)
        self._join()
        while batch.conversions:
            once = {event_key(conversion): conversion for conversion in reversed(batch.conversions)}
            firsts = [c for c in batch.conversions if once[event_key(c)] is c]
            for conversion in firsts:
                batch.conversions.remove(conversion)
            self._hand_over(Batch(self._states.open(), batch.stream, batch.opened_at, firsts))
            self._join()
        self._states.finish(batch.number)

    def _skip_sent(self, batch: Batch, ledger: Ledger) -> None:
        unsent = ledger.unsent(batch.conversions)
        if skipped := len(batch.conversions) - len(unsent):
            self.counts.of(batch.stream).dropped["already_sent"] += skipped
            self._left = None if self._left is None else self._left + skipped
        ledger.end(batch.conversions, confirmed=())
        batch.conversions = unsent
        for conversion in unsent:
            ledger.begin(conversion)

    # What is due

    def tick(self) -> None:
        """Do what is due. Cheap between seconds, so it may be called after every message."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _TICK
        for (stream, repeated), batch in list(self._open.items()):
            if now - batch.opened_at >= self._settings.flush_interval_seconds:
                self._submit(stream, repeated=repeated)
        self._look()

    def _look(self) -> None:
        self._obey_stop()
        self._delivery.collect()
        self._advance_state()
        self._watch(self.counts, self._delivery.in_flight, self._delivery.waiting)

    def _advance_state(self) -> None:
        """Write what may be written. The one place from which STATE goes out."""
        if self._state_barred or self.awaits_mapping or (state := self._states.due()) is None:
            return
        self._judge()
        self._state_barred = True  # Until it is out: a failed sync must not be passed by a second.
        self._letters.sync()
        if self._delivered_file is not None:
            self._delivered_file.sync()
        self._write_state(state)
        self._state_barred = False

    def _judge(self) -> None:
        """Fail if too many records became dead letters."""
        if problem := self.counts.too_many_rejected(self._settings.max_dead_letter_percent):
            self._state_barred = True
            raise TooManyRejectedError(problem)

    # How it ends

    def request_stop(self) -> None:
        """Stop soon. Safe in a signal handler: it takes no lock."""
        if self._stop_requested_at is None:
            self._stop_requested_at = time.monotonic()
        self._delivery.wake()

    @property
    def limit_reached(self) -> bool:
        """Whether as many events were sent as `limit` says."""
        return self._left == 0

    @property
    def stop_requested(self) -> bool:
        """Whether nothing more should be read."""
        return self._stop_requested_at is not None

    def _obey_stop(self) -> None:
        if self._stop_requested_at is None or self._failed:
            return
        passed = time.monotonic() - self._stop_requested_at
        self._delivery.stop(_STOP_RETRIES - passed)
        if passed > _STOP_GRACE:
            msg = f"stopped while {self._delivery.in_flight} batches were still on their way"
            raise DeliveryError(msg)

    def finish(self) -> None:
        """Deliver what was read and write the last STATE.

        Raises:
            RunError: If not everything that was read has its fate.
        """
        self._submit_all()
        self._join()
        if self._unproven:
            said = str(self._unproven[0].refusals[0].detail)
            raise AllRefusedError(refused_as_a_whole("the API took nothing of this run", said))
        if self._delivery_failure is not None:
            raise self._delivery_failure
        if not self._failed:
            self._judge()
        self._close()

    def _join(self) -> None:
        """Wait until nothing is in flight."""
        self._look()
        while not self._delivery.join(_TICK):
            self._look()
        self._look()

    def abandon(self, failure: BaseException) -> None:
        """End a run that has failed: settle what can be settled, write the STATE that is true.

        Args:
            failure: Why. If delivery itself is not at fault, what was read before is delivered.

        Raises:
            RunError: If that fails as well.
        """
        self._failed = True
        if isinstance(failure, DeliveryError):
            self._delivery.stop(0.0)
            self._delivery.join(0.0 if self.stop_requested else _FAILED_GRACE)
            self._look()
            self._close()
        else:
            self.finish()

    def _close(self) -> None:
        self._delivery.close()
        self._letters.close()
        if self._delivered_file is not None:
            self._delivered_file.close()
        if self._ledger is not None:
            self._ledger.close()

    def _settle(self, done: BatchResult) -> None:
        """Book what became of a batch."""
        self.counts.requests += done.requests
        self.counts.retries += done.retries
        self.counts.of(done.batch.stream).delivered += len(done.delivered)
        self.accepted = self.accepted or done.accepted
        if self._observer is not None or self._delivered_file is not None:
            self._tell_of(done)
        if self._ledger is not None:
            self._ledger.end(done.batch.conversions, done.confirmed)
        if done.failure is not None:
            # Refusals of an isolation that was cut short are no verdicts yet: the batch stays
            # unfinished, and so no STATE passes it.
            self._delivery_failure = self._delivery_failure or done.failure
            if not self._failed:
                raise done.failure
            return
        if not self.accepted and any(r.reason == "refused_by_api" for r in done.refusals):
            self._unproven.append(done)
            return
        self._conclude(done)
        if self.accepted:
            while self._unproven:
                self._conclude(self._unproven.pop())

    def _tell_of(self, done: BatchResult) -> None:
        """Write and count what was delivered, for the settings that ask for it."""
        events = read_back(done.delivered)
        if self._observer is not None:
            self._observer.delivered(done.batch.stream, events, done.sent_at, done.latencies)
        if self._delivered_file is not None and events:
            self._delivered_file.write(events)
            if self._ledger is not None:  # What it knows is not sent again, so no row may be lost.
                self._delivered_file.sync()

    def _conclude(self, done: BatchResult) -> None:
        if self._failed and self._settings.fail_on_invalid and done.refusals:
            return  # The first rejection has ended the run; this batch has no fate.
        for refusal in done.refusals:
            self.reject(done.batch.stream, refusal.rejection)
        self._states.finish(done.batch.number)

    def _show(self, batch: Batch) -> None:
        """Settle a batch of a dry run: show it instead of sending it."""
        for conversion in batch.conversions[: _SHOWN - self._shown]:
            self._shown += 1
            self._logger.info("would send: %s", conversion.body.decode())
        self.counts.of(batch.stream).delivered += len(batch.conversions)
        if self._observer is not None:
            sent_at = [time.time()] * len(batch.conversions)
            self._observer.delivered(batch.stream, read_back(batch.conversions), sent_at, ())
        self._states.finish(batch.number)


def _explain(rejection: Rejection) -> str:
    where = f", column {rejection.field}" if rejection.field else ""
    said = f" ({rejection.detail})" if rejection.detail else ""
    return (
        f"a record of stream '{rejection.stream}' was rejected as {rejection.reason}{where}{said},"
        f" event ID {rejection.event_id}, and on_invalid is 'fail'."
        f" {REASONS[rejection.reason].meaning}"
    )
