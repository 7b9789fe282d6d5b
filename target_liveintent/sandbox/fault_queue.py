"""The script of faults: which of them strikes which request."""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.sandbox.faults import Fault, Latency, TerminalFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from target_liveintent.sandbox.answers import Event


class Plan(msgspec.Struct, frozen=True):
    """What faults do to one request: delay it, and replace its answer."""

    seconds: float = 0.0
    terminal: TerminalFault | None = None


class Scripted(msgspec.Struct, frozen=True):
    """A fault that is still to happen, and the number by which it can be removed."""

    number: int
    fault: Fault


class FaultQueue:
    """The faults that are still to happen, in the order they were added.

    `version` grows with each change.

    Args:
        seed: Makes the dice of `probability` roll the same in every run.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Start empty."""
        self._seed = seed
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._queue: list[Scripted] = []
        self.version = 0
        self.clear()

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults."""
        with self._lock:
            self._queue.extend(Scripted(next(self._numbers), fault) for fault in faults)
            self.version += 1

    def remove(self, number: int) -> bool:
        """Forget one fault; tell whether it was there."""
        with self._lock:
            left = [scripted for scripted in self._queue if scripted.number != number]
            found = len(left) < len(self._queue)
            self._queue = left
            self.version += found
        return found

    def clear(self) -> None:
        """Forget all faults and start the dice anew."""
        with self._lock:
            self._queue = []
            self.version += 1
            self._random = random.Random(self._seed)  # noqa: S311 - nothing secret

    @property
    def scripted(self) -> list[Scripted]:
        """The faults that are still to happen, with the times that are left of each."""
        with self._lock:
            return list(self._queue)

    @property
    def described(self) -> list[dict[str, Any]]:
        """The same, as the JSON objects that describe them."""
        return [msgspec.to_builtins(scripted.fault) for scripted in self.scripted]

    def plan(self, accepted: Sequence[Event]) -> Plan:
        """Say what happens to a request of which `accepted` would be accepted, and use it up.

        The first fault that matches decides the answer; latencies add up.
        """
        with self._lock:
            seconds = 0.0
            terminal: TerminalFault | None = None
            left: list[Scripted] = []
            for scripted in self._queue:
                fault = scripted.fault
                undecided = terminal is None or isinstance(fault, Latency)
                concerned = undecided and fault.matches(accepted)
                if not concerned or self._random.random() >= fault.probability:
                    left.append(scripted)
                    continue
                left += _left(scripted)
                if isinstance(fault, Latency):
                    seconds += fault.seconds
                else:
                    terminal = fault
            self.version += left != self._queue
            self._queue = left
        return Plan(seconds, terminal)


def _left(scripted: Scripted) -> list[Scripted]:
    times = scripted.fault.times
    if times is None:
        return [scripted]
    if times == 1:
        return []
    left = msgspec.structs.replace(scripted.fault, times=times - 1)
    return [Scripted(scripted.number, left)]
