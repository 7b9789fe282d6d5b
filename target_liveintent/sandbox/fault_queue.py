"""The queue of scripted faults: decides which of them affect which request."""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.sandbox.faults import AnswerFault, Fault, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from target_liveintent.sandbox.answers import Event


class FaultEffect(msgspec.Struct, frozen=True):
    """What the faults do to one request: seconds of delay, and a fault that replaces the answer."""

    delay: float = 0.0
    fault: AnswerFault | None = None


class ScriptedFault(msgspec.Struct, frozen=True):
    """An active fault with the times that are left, and the number by which to remove it."""

    number: int
    fault: Fault


class FaultQueue:
    """The active faults, in the order in which they were added. Safe to use from any thread.

    Args:
        seed: Makes faults with a `probability` affect the same requests in every run.

    Attributes:
        version: Grows with each change.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Start empty."""
        self._seed = seed
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._queue: list[ScriptedFault] = []
        self.version = 0
        self.clear()

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults."""
        with self._lock:
            self._queue.extend(ScriptedFault(next(self._numbers), fault) for fault in faults)
            self.version += 1

    def remove(self, number: int) -> bool:
        """Remove one fault; return whether it was active."""
        with self._lock:
            left = [scripted for scripted in self._queue if scripted.number != number]
            found = len(left) < len(self._queue)
            self._queue = left
            self.version += found
        return found

    def clear(self) -> None:
        """Remove all faults and restart the random numbers."""
        with self._lock:
            self._queue = []
            self.version += 1
            self._random = random.Random(self._seed)  # noqa: S311 - nothing secret

    @property
    def active(self) -> list[ScriptedFault]:
        """The faults that are still active, each with the times that are left."""
        with self._lock:
            return list(self._queue)

    @property
    def descriptions(self) -> list[dict[str, Any]]:
        """The active faults as the JSON objects that describe them."""
        return [msgspec.to_builtins(scripted.fault) for scripted in self.active]

    def apply(self, accepted: Sequence[Event]) -> FaultEffect:
        """Return what the faults do to one request, and use each of them up by one time.

        The first matching fault that replaces the answer applies; latencies add up.

        Args:
            accepted: The events that are accepted unless a fault prevents it.
        """
        with self._lock:
            delay = 0.0
            replacement: AnswerFault | None = None
            left: list[ScriptedFault] = []
            for scripted in self._queue:
                fault = scripted.fault
                may_apply = replacement is None or isinstance(fault, Latency)
                matches = may_apply and fault.matches(accepted)
                if not matches or self._random.random() >= fault.probability:
                    left.append(scripted)
                    continue
                left += _after_one_use(scripted)
                if isinstance(fault, Latency):
                    delay += fault.seconds
                else:
                    replacement = fault
            self.version += left != self._queue
            self._queue = left
        return FaultEffect(delay, replacement)


def _after_one_use(scripted: ScriptedFault) -> list[ScriptedFault]:
    """Return what is left of a fault: an empty list after its last time."""
    times = scripted.fault.times
    if times is None:
        return [scripted]
    if times == 1:
        return []
    left = msgspec.structs.replace(scripted.fault, times=times - 1)
    return [ScriptedFault(scripted.number, left)]
