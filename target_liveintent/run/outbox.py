"""Fills batches, claims their events in the ledger, and hands them to delivery."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from target_liveintent.clock import Clock
from target_liveintent.conversions import Conversion
from target_liveintent.delivery import Batch, BatchResult
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.elsewhere import Elsewhere
from target_liveintent.run.parts import RunParts
from target_liveintent.run.state_gate import StateGate
from target_liveintent.settings import Settings
from target_liveintent.storage import Claim, event_key

_Answer = TypeVar("_Answer")

TICK = 1.0
"""The most seconds between two checks of what is due."""
_CLAIMED_AT_ONCE = 8
"""Full batches that are claimed at once: then a ledger that answers after 50 ms is fast enough."""
_MOST_WAITING = 64
"""Batches that may wait for the outcome of equal events before nothing more is read."""


class Accounts(Protocol):
    """What the outbox needs of its run."""

    counts: RunCounts
    gate: StateGate

    def settle(self, result: BatchResult) -> None:
        """Count a result of a batch."""

    def check_due(self) -> None:
        """Do what is due; called at least once a second while the outbox waits."""


class _Rest:
    """Lets who was asked rest for as long as the answer has taken.

    Attributes:
        until: When the rest is over, in monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.until = clock.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether to ask again now."""
        return self._clock.monotonic() >= self.until

    def after(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask, and return the answer."""
        start = self._clock.monotonic()
        answer = ask()
        end = self._clock.monotonic()
        self.until = max(self.until, end + (end - start))
        return answer


class Outbox:
    """Holds a stream's conversions until its batch is full, or due, and hands the batch over.

    With a ledger, full batches are claimed first, several at once: what was delivered before is
    dropped, and what is being sent already, in this run or in another one, waits in a batch of its
    own until the outcome is known. A ledger may answer slowly. So it is asked less than half of the
    time, unless so many batches are full that asking is worth it.
    """

    def __init__(self, settings: Settings, parts: RunParts, run: Accounts) -> None:
        self._settings = settings
        self._parts = parts
        self._ledger = parts.ledger
        self._delivery = parts.delivery
        self._run = run
        self._left = settings.limit  # Events that may still be sent; None without a limit.
        self._batch_size = settings.batch_size_rows
        self._open: dict[str, Batch] = {}
        self._full: list[Batch] = []  # They wait to be claimed.
        self._waiting: list[Batch] = []  # They wait for the outcome of equal events.
        self._claimed: deque[Batch] = deque()  # They wait to be handed over.
        self._is_draining = False  # Then nothing is handed over until all has come back.
        self._rest = _Rest(parts.clock)
        self._last: Conversion | None = None  # The last event that is not a copy.
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
        batch = self._open.get(stream)
        if batch is None:
            number = self._run.gate.open_batch()
            batch = self._open[stream] = Batch(number, stream, self._parts.clock.monotonic(), [])
        conversions = batch.conversions
        conversions.append(conversion)
        if len(conversions) >= self._batch_size:
            self.submit(stream)
        if self._left is not None:
            self._count_down()

    def _is_copy(self, stream: str, conversion: Conversion, of: Conversion) -> bool:
        """Count an event if another map has made it, too, of the same record just before."""
        is_copy = self._last_stream != stream and event_key(conversion) == event_key(of)
        if is_copy:
            self._run.counts.copies[self._last_stream, stream] += 1
        return is_copy

    def _count_down(self) -> None:
        """Stop reading once as many events as `limit` says are being sent."""
        self._left = self._left - 1 if self._left else 0
        if self._left == 0:
            self.submit_all()  # What the ledger skips makes room for others.
            if self._waiting:
                self.join()
        if self._left == 0:
            self._parts.stop_reading()

    def submit(self, stream: str) -> None:
        """Hand over a stream's open batch, once it is claimed."""
        self._close([stream])
        is_idle = not self._delivery.in_flight and self._rest.is_over
        if is_idle or len(self._full) >= _CLAIMED_AT_ONCE:
            self._claim(self._full)
        self._hand_over()
        if len(self._waiting) > _MOST_WAITING:
            self.join()
        self.collect()

    def submit_all(self) -> None:
        """Hand over all open batches, and all that wait."""
        self._submit_open(list(self._open))

    def submit_overdue(self) -> None:
        """Hand over what waits, and batches that were opened `flush_interval_seconds` ago."""
        opened_before = self._parts.clock.monotonic() - self._settings.flush_interval_seconds
        self._submit_open([s for s, one in self._open.items() if one.opened_at <= opened_before])

    def _submit_open(self, streams: list[str]) -> None:
        self._close(streams)
        self._claim(self._full + self._waiting)
        self._hand_over()
        self.collect()

    def _close(self, streams: Iterable[str]) -> None:
        """Put no more events into the open batches of these streams."""
        closed = [self._open.pop(stream) for stream in streams if stream in self._open]
        (self._claimed if self._ledger is None else self._full).extend(closed)

    def _claim(self, batches: list[Batch]) -> None:
        """Claim batches, and hand over what must be sent."""
        if (ledger := self._ledger) is None or self._is_draining or not batches:
            return
        events = {one.number: one.conversions for one in batches}
        claims = self._tell(lambda: ledger.claim(events))
        self._full = [one for one in self._full if one.number not in claims]
        self._waiting = [one for one in self._waiting if one.number not in claims]
        was_asked_about_all = not self._waiting
        for batch in batches:
            self._divide(batch, claims[batch.number])
        self._note_other_run(claims.values(), is_all=was_asked_about_all)
        self._hand_over()

    def _divide(self, batch: Batch, claim: Claim) -> None:
        """Put the events of a batch where they belong; all of them come before the same STATEs."""
        if claim.sent:
            self._run.counts.of(batch.stream).dropped["already_sent"] += claim.sent
            self._left = None if self._left is None else self._left + claim.sent
            if self._parts.replayed is not None:
                others = set(map(id, (*claim.mine, *claim.waiting)))
                sent = (one.letter for one in batch.conversions if id(one) not in others)
                self._parts.replayed.settle(sent)
        rest = batch
        if claim.mine:
            if claim.waiting:
                number = self._run.gate.open_batch(beside=batch.number)
                rest = Batch(number, batch.stream, batch.opened_at, [])
            batch.conversions = claim.mine
            self._claimed.append(batch)
        if claim.waiting:
            rest.conversions = claim.waiting
            self._waiting.append(rest)
        elif not claim.mine:
            self._run.gate.finish_batch(batch.number)

    def _note_other_run(self, claims: Iterable[Claim], *, is_all: bool) -> None:
        """Note for which run events wait, if they do; `is_all`: whether no others wait."""
        counts = self._run.counts
        before = counts.elsewhere
        runs = [claim.other_run for claim in claims if claim.other_run is not None]
        if runs:
            since = self._parts.clock.monotonic() if before is None else before.since
            events = sum(len(batch.conversions) for batch in self._waiting)
            counts.elsewhere = Elsewhere(events, runs[0], since)
        elif is_all:
            counts.elsewhere = None

    def _hand_over(self) -> None:
        """Give delivery what is claimed; wait while it is full."""
        while self._claimed and not self._is_draining:
            while self._delivery.full:
                self._settle_one(TICK)
                self._run.check_due()
            self._delivery.submit(self._claimed.popleft())

    def write_ledger(self) -> None:
        """Let the ledger make durable what was confirmed."""
        if self._ledger is not None:
            self._tell(self._ledger.write)

    def _tell(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the ledger, which then also makes durable what was confirmed.

        What the ledger knows is not sent again. So the rows of these events are made durable first.
        """

        def sync_and_ask() -> _Answer:
            if self._parts.delivered_file is not None:
                with self._run.gate.closed_by_failure():
                    self._parts.delivered_file.sync_batch()
            return ask()

        return self._rest.after(sync_and_ask)

    def collect(self) -> None:
        """Settle what has finished, without waiting."""
        while self._settle_one(0.0):
            pass
        if self._rest.is_over:
            self.write_ledger()

    def join(self) -> None:
        """Wait until nothing is in flight, nor waits for the outcome of equal events."""
        while True:
            self._claim(self._full + self._waiting)
            self._hand_over()
            if self._waiting and not self._delivery.in_flight:
                self._settle_one(TICK)  # Another run has them. A signal ends the wait.
            self._is_draining = True
            self._delivery.drain()
            self._run.check_due()
            while not self.settle_within(TICK):
                self._run.check_due()
            self._is_draining = False
            self._run.check_due()
            if not (self._full or self._waiting or self._claimed):
                break

    def settle_within(self, seconds: float) -> bool:
        """Settle until time is up or delivery is woken; return whether nothing is in flight."""
        clock = self._parts.clock
        end = clock.monotonic() + seconds
        while self._delivery.in_flight and (left := end - clock.monotonic()) > 0:
            if not self._settle_one(left):
                break
        return not self._delivery.in_flight

    def _settle_one(self, seconds: float) -> bool:
        """Take a result of a batch; return False if there was none in time."""
        result = self._delivery.take(seconds)
        if result is not None:
            self._run.settle(result)
        return result is not None
