"""Fills batches, and hands them to delivery."""

from __future__ import annotations

from typing import Protocol

from target_liveintent.conversions import Conversion
from target_liveintent.delivery import Batch, BatchResult
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.parts import RunParts
from target_liveintent.run.state_gate import StateGate
from target_liveintent.settings import Settings
from target_liveintent.storage import Ledger, LedgerPreview, event_key

TICK = 1.0
"""The most seconds between two checks of what is due."""


class Accounts(Protocol):
    """What the outbox needs of its run."""

    counts: RunCounts
    gate: StateGate

    def settle(self, result: BatchResult) -> None:
        """Book the result of a batch."""

    def check_due(self) -> None:
        """Do what is due; called at least once a second while the outbox waits."""


class Outbox:
    """Holds a stream's conversions until its batch is full, or due, and hands the batch over.

    With a ledger, an event that is on its way already goes into a batch of its own, which waits
    until the outcome of the first is known.
    """

    def __init__(self, settings: Settings, parts: RunParts, run: Accounts) -> None:
        self._settings = settings
        self._parts = parts
        self._ledger = parts.ledger
        self._delivery = parts.delivery
        self._run = run
        self._left = settings.limit  # Events that may still be sent; None without a limit.
        self._batch_size = settings.batch_size_rows
        self._open: dict[tuple[str, bool], Batch] = {}
        self._last: Conversion | None = None  # The last event that is no copy.
        self._last_stream = ""

    @property
    def limit_reached(self) -> bool:
        """Whether as many events were sent as `limit` says."""
        return self._left == 0

    def add(self, stream: str, conversion: Conversion) -> None:
        """Put a conversion into its stream's batch; hand the batch over when it is full."""
        if self._left == 0:
            self._run.counts.of(stream).dropped["over_limit"] += 1
            return
        if self._ledger is not None:  # Without one, copies are sent as well.
            last = self._last
            if (
                last is None
                or last.event_id != conversion.event_id
                or not self._is_copy(stream, conversion, last)
            ):
                self._last, self._last_stream = conversion, stream
        key = (stream, self._ledger is not None and not self._ledger.begin(conversion))
        batch = self._open.get(key)
        if batch is None:
            number = self._run.gate.open_batch()
            batch = self._open[key] = Batch(number, stream, self._parts.clock.monotonic(), [])
        conversions = batch.conversions
        conversions.append(conversion)
        if len(conversions) >= self._batch_size:
            self._submit(key)
        if self._left is not None:
            self._count_down()

    def _is_copy(self, stream: str, conversion: Conversion, of: Conversion) -> bool:
        """Count an event if another map has made it, too, of the same record just before."""
        is_copy = self._last_stream != stream and event_key(conversion) == event_key(of)
        if is_copy:
            self._run.counts.copies[self._last_stream, stream] += 1
        return is_copy

    def _count_down(self) -> None:
        """Stop reading once as many events as `limit` says are on their way."""
        self._left = self._left - 1 if self._left else 0
        if self._left == 0:
            self.submit_all()  # What the ledger skips makes room for others.
        if self._left == 0:
            self._parts.stop_reading()

    def submit(self, stream: str) -> None:
        """Hand over a stream's open batches."""
        for repeated in (False, True):
            self._submit((stream, repeated))

    def submit_all(self) -> None:
        """Hand over all open batches."""
        for key in list(self._open):
            self._submit(key)

    def submit_overdue(self) -> None:
        """Hand over the batches that were opened `flush_interval_seconds` ago."""
        now = self._parts.clock.monotonic()
        for key, batch in list(self._open.items()):
            if now - batch.opened_at >= self._settings.flush_interval_seconds:
                self._submit(key)

    def _submit(self, key: tuple[str, bool]) -> None:
        batch = self._open.pop(key, None)
        if batch is None:
            return
        _, repeated = key
        try:
            if repeated:
                self._submit_repeated(batch)
            else:
                self._hand_over(batch)
        except BaseException:
            self._open.setdefault(key, batch)  # It still waits to be sent.
            raise
        self.collect()

    def _hand_over(self, batch: Batch) -> None:
        if self._ledger is not None:
            self._skip_sent(batch, self._ledger)
        if not batch.conversions:
            self._run.gate.finish_batch(batch.number)
            return
        while self._delivery.full:
            self._settle_one(TICK)
            self._run.check_due()
        self._delivery.submit(batch)

    def _submit_repeated(self, batch: Batch) -> None:
        """Send repeats of events that were in flight; copies of one event go one after another."""
        for stream, repeated in list(self._open):
            if not repeated:
                self._submit((stream, repeated))
        self.join()
        while batch.conversions:
            once = {event_key(conversion): conversion for conversion in reversed(batch.conversions)}
            firsts = [c for c in batch.conversions if once[event_key(c)] is c]
            for conversion in firsts:
                batch.conversions.remove(conversion)
                if self._ledger is not None:
                    self._ledger.begin(conversion)
            number = self._run.gate.open_batch()
            self._hand_over(Batch(number, batch.stream, batch.opened_at, firsts))
            self.join()
        self._run.gate.finish_batch(batch.number)

    def _skip_sent(self, batch: Batch, ledger: Ledger | LedgerPreview) -> None:
        """Take out of a batch what the ledger knows as delivered."""
        unsent = ledger.unsent(batch.conversions)
        if skipped := len(batch.conversions) - len(unsent):
            self._run.counts.of(batch.stream).dropped["already_sent"] += skipped
            self._left = None if self._left is None else self._left + skipped
            kept = set(map(id, unsent))
            known = [c for c in batch.conversions if id(c) not in kept]
            ledger.end(known, confirmed=())
            if self._parts.replayed is not None:
                self._parts.replayed.settle(conversion.letter for conversion in known)
            batch.conversions = unsent

    def collect(self) -> None:
        """Settle what has finished, without waiting."""
        while self._settle_one(0.0):
            pass

    def join(self) -> None:
        """Wait until nothing is in flight."""
        self._delivery.drain()
        self._run.check_due()
        while not self.settle_within(TICK):
            self._run.check_due()
        self._run.check_due()

    def settle_within(self, seconds: float) -> bool:
        """Settle until time is up or delivery is woken; return whether nothing is in flight."""
        clock = self._parts.clock
        end = clock.monotonic() + seconds
        while self._delivery.in_flight and (left := end - clock.monotonic()) > 0:
            if not self._settle_one(left):
                break
        return not self._delivery.in_flight

    def _settle_one(self, seconds: float) -> bool:
        """Settle a finished batch; return False if there was none in time."""
        result = self._delivery.take(seconds)
        if result is not None:
            self._run.settle(result)
        return result is not None
