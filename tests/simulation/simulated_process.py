"""What a simulated process runs on: a clock, signals that come at any step, a disk and a ledger.

What happens here one thing after another are *steps*. A step is where a signal may arrive: a
message, a start or an end of a request, a result that is taken, each access to a file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from simulated_feed import EPOCH

from target_liveintent.clock import Clock
from target_liveintent.errors import StorageError
from target_liveintent.storage import event_key

if TYPE_CHECKING:
    from simulated_plan import Ending
    from simulation_checks import Checks

    from target_liveintent.conversions import Conversion


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


class AnyLedger(Protocol):
    """What a run uses of a ledger."""

    def begin(self, conversion: Conversion) -> bool: ...
    def end(self, conversions: Iterable[Conversion], confirmed: Sequence[Conversion]) -> None: ...
    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]: ...
    def close(self) -> None: ...


class SimulatedLedger:
    """A ledger that keeps what was committed. The real one is tested in its place as well.

    Args:
        committed: The keys of the events that earlier runs committed; more are added.
    """

    def __init__(self, committed: set[tuple[int, str, str]]) -> None:
        self._committed = committed
        self._underway: set[tuple[int, str, str]] = set()

    def begin(self, conversion: Conversion) -> bool:
        key = event_key(conversion)
        is_new = key not in self._underway
        self._underway.add(key)
        return is_new

    def end(self, conversions: Iterable[Conversion], confirmed: Sequence[Conversion]) -> None:
        self._underway.difference_update(map(event_key, conversions))
        self._committed.update(map(event_key, confirmed))

    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        firsts = {event_key(conversion): conversion for conversion in reversed(conversions)}
        return [one for key, one in reversed(firsts.items()) if key not in self._committed]

    def close(self) -> None:
        self._underway.clear()


class WatchedLedger:
    """Passes everything on to a ledger, and tells the checks what was committed."""

    def __init__(self, ledger: AnyLedger, signals: Signals, checks: Checks) -> None:
        self._ledger = ledger
        self._signals = signals
        self._checks = checks
        self.begin = ledger.begin
        self.unsent = ledger.unsent
        self.close = ledger.close

    def end(self, conversions: Iterable[Conversion], confirmed: Sequence[Conversion]) -> None:
        self._signals.step()
        self._ledger.end(conversions, confirmed)
        self._checks.outcomes.committed(confirmed)
        self._signals.step()
