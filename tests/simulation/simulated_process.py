"""What a simulated process runs on: a clock, signals that come at any step, a disk and a ledger.

What happens here one thing after another are *steps*. A step is where a signal may arrive: a
message, a start or an end of a request, a result that is taken, each access to a file.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from simulated_feed import EPOCH, Key

from target_liveintent.clock import Clock
from target_liveintent.errors import StorageError
from target_liveintent.storage import Claim, EventLedger, event_key

if TYPE_CHECKING:
    from simulated_plan import Ending
    from simulation_checks import Checks

    from target_liveintent.conversions import Conversion


LAPSE = 30.0
"""Seconds after which the claims of a dead run lapse."""


class KilledError(BaseException):
    """The process got SIGKILL: nothing of it goes on."""


class SimulatedClock(Clock):
    """A clock that moves when the simulator says so.

    Attributes:
        now: Seconds since the beginning of the history.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return EPOCH + self.now

    def monotonic(self) -> float:
        return self.now


class Signals:
    """Counts steps, and sends the signals of a plan.

    Attributes:
        on_stop: What SIGTERM calls.
    """

    def __init__(self, ending: Ending) -> None:
        self.steps = 0
        self.on_stop: Callable[[], None] = lambda: None
        self._ending = ending

    def step(self) -> None:
        """Note a step; a signal may come now."""
        self.steps += 1
        if self.steps == self._ending.kill_at:
            raise KilledError
        if self.steps == self._ending.stop_at:
            self.on_stop()


class Letter(NamedTuple):
    """A dead letter, by the place of its record."""

    place: int
    reason: str


class Disk:
    """The dead-letter file, and the last STATE.

    A kill here is as bad as a power cut: what was written but not synced may be lost, from a line
    on. STATE was passed on to another process, so it stays.

    Attributes:
        state: The last STATE that was written.
        synced: The places of the records whose dead letters are durable.
    """

    def __init__(self) -> None:
        self.state: str | None = None
        self.synced: set[int] = set()
        self._unsynced: list[Letter] = []

    def write(self, letter: Letter) -> None:
        self._unsynced.append(letter)

    def sync(self) -> None:
        self.synced.update(letter.place for letter in self._unsynced)
        self._unsynced.clear()

    def crash(self, rng: random.Random) -> None:
        """Lose a part of what was not synced."""
        del self._unsynced[rng.randint(0, len(self._unsynced)) :]
        self.sync()


class SimulatedLetters:
    """The dead letters of one run, on a disk.

    Args:
        full_after: Writes after which the disk is full; None for never.
    """

    is_due = True

    def __init__(
        self, disk: Disk, signals: Signals, checks: Checks, full_after: int | None = None
    ) -> None:
        self._disk = disk
        self._signals = signals
        self._checks = checks
        self._left = full_after

    def write(self, line: bytes) -> None:
        self._signals.step()
        if self._left is not None:
            self._left -= 1
            self._refuse_if_full()
        record = msgspec.json.decode(line)["record"]
        letter = Letter(int(record["order_id"]), record["reason"])
        self._disk.write(letter)
        self._checks.outcomes.letter_written(letter)

    def _refuse_if_full(self) -> None:
        if self._left is not None and self._left < 0:
            self._checks.run.is_unwritable = True
            msg = "dead_letter_path cannot be written: the disk is full"
            raise StorageError(msg)

    def sync(self) -> None:
        self._signals.step()
        self._disk.sync()
        self._signals.step()

    def cover(self) -> None:
        pass

    def close(self) -> None:
        self.sync()


class LedgerDisk:
    """What ledgers have in common: what was committed, and what is claimed, by whom, until when."""

    def __init__(self) -> None:
        self.committed: set[Key] = set()
        self.claims: dict[Key, tuple[str, float]] = {}


class SimulatedLedger:
    """A ledger without a file. The real one is tested in its place as well.

    Args:
        disk: What earlier runs have committed and claimed.
        run_id: The run.
        clock: Tells when claims lapse.
    """

    is_kept = True
    waits_for = ""

    def __init__(self, disk: LedgerDisk, run_id: str, clock: Clock) -> None:
        self._disk = disk
        self._run_id = run_id
        self._clock = clock
        self._batches: dict[int, list[Key]] = {}
        self._confirmed: list[Key] = []
        self._ended: list[Key] = []

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self.write()
        return {number: self._claim(number, events) for number, events in batches.items()}

    def _claim(self, number: int, events: Sequence[Conversion]) -> Claim:
        now, claims = self._clock.monotonic(), self._disk.claims
        mine, waiting, sent, other = [], [], 0, None
        for event in events:
            key = event_key(event)
            owner, until = claims.get(key, ("", -math.inf))
            if key in self._disk.committed:
                sent += 1
            elif owner == self._run_id or until > now:
                waiting.append(event)
                other = other or (owner if owner != self._run_id else None)
            else:
                claims[key] = (self._run_id, now + LAPSE)
                mine.append(event)
        if mine:
            self._batches[number] = list(map(event_key, mine))
        return Claim(mine, waiting, sent, other)

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        keys = list(map(event_key, confirmed))
        self._batches[number] = [key for key in self._batches[number] if key not in keys]
        self._ended += keys
        self._confirmed += keys

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self._ended += self._batches.pop(number)
        self._confirmed += map(event_key, confirmed)

    def write(self) -> None:
        self._disk.committed.update(self._confirmed)
        for key in self._ended:
            del self._disk.claims[key]
        for keys in self._batches.values():
            renewed = (self._run_id, self._clock.monotonic() + LAPSE)
            self._disk.claims |= dict.fromkeys(keys, renewed)
        self._confirmed, self._ended = [], []

    def close(self) -> None:
        self._ended += [key for keys in self._batches.values() for key in keys]
        self._batches.clear()
        self.write()


class WatchedLedger:
    """Passes everything on to a ledger, and tells the checks what it has learned."""

    is_kept = True
    waits_for = ""

    def __init__(self, ledger: EventLedger, signals: Signals, checks: Checks) -> None:
        self._ledger = ledger
        self._signals = signals
        self._outcomes = checks.outcomes

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self._signals.step()
        claims = self._ledger.claim(batches)
        self._outcomes.committed()
        self._signals.step()
        return claims

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self._ledger.confirm(number, confirmed)
        self._outcomes.noted(confirmed)

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self._ledger.end(number, confirmed)
        self._outcomes.noted(confirmed)

    def write(self) -> None:
        self._signals.step()
        self._ledger.write()
        self._outcomes.committed()
        self._signals.step()

    def close(self) -> None:
        self._signals.step()
        self._ledger.close()
        self._outcomes.committed()
        self._signals.step()
