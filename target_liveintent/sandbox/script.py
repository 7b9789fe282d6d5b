"""The script of faults: which of them strikes which request."""

from __future__ import annotations

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


class FaultQueue:
    """The faults that are still to happen, in the order they were added.

    Args:
        seed: Makes the dice of `probability` roll the same in every run.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Start empty."""
        self._seed = seed
        self._lock = threading.Lock()
        self.clear()

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults."""
        with self._lock:
            self._queue.extend(faults)

    def clear(self) -> None:
        """Forget all faults and start the dice anew."""
        with self._lock:
            self._queue: list[Fault] = []
            self._random = random.Random(self._seed)  # noqa: S311 - nothing secret

    @property
    def faults(self) -> list[Fault]:
        """The faults that are still to happen, with the times that are left of each."""
        with self._lock:
            return list(self._queue)

    @property
    def described(self) -> list[dict[str, Any]]:
        """The same, as the JSON objects that describe them."""
        return [msgspec.to_builtins(fault) for fault in self.faults]

    def plan(self, accepted: Sequence[Event]) -> Plan:
        """Say what happens to a request of which `accepted` would be accepted, and use it up.

        The first fault that matches decides the answer; latencies add up.
        """
        with self._lock:
            seconds = 0.0
            terminal: TerminalFault | None = None
            left: list[Fault] = []
            for fault in self._queue:
                undecided = terminal is None or isinstance(fault, Latency)
                concerned = undecided and fault.matches(accepted)
                if not concerned or self._random.random() >= fault.probability:
                    left.append(fault)
                    continue
                left += _left(fault)
                if isinstance(fault, Latency):
                    seconds += fault.seconds
                else:
                    terminal = fault
            self._queue = left
        return Plan(seconds, terminal)


def _left(fault: Fault) -> list[Fault]:
    if fault.times is None:
        return [fault]
    if fault.times == 1:
        return []
    return [msgspec.structs.replace(fault, times=fault.times - 1)]
