"""Reads the rows of a task ahead, so that what is due is done while Spark computes them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_TICK = 1.0
"""The most seconds between two calls of `tick`."""


def read_ahead(items: Iterable[_Item], tick: Callable[[], None]) -> Iterator[_Item]:
    """Yield items that a thread reads, one ahead; call `tick` once a second while none comes.

    What reading them raises is raised here.
    """
    reader = _Reader(items)
    threading.Thread(target=reader.work, name="rows", daemon=True).start()
    try:
        while True:
            try:
                one = reader.read.get(timeout=_TICK)
            except queue.Empty:
                tick()
                continue
            if one is None:
                return
            if isinstance(one, Exception):
                raise one
            yield one[0]
    finally:
        reader.is_over.set()


class _Reader(Generic[_Item]):
    """Reads items in a thread.

    Attributes:
        read: The items, each in a tuple; then what was raised, or None at the end.
        is_over: Whether nobody takes any more of them.
    """

    def __init__(self, items: Iterable[_Item]) -> None:
        self._items = items
        self.read: queue.Queue[tuple[_Item] | Exception | None] = queue.Queue(maxsize=1)
        self.is_over = threading.Event()

    def work(self) -> None:
        """Read all items."""
        end = None
        try:
            for item in self._items:
                self._put((item,))
                if self.is_over.is_set():
                    return
        except Exception as failure:  # noqa: BLE001 (whoever takes the items raises it)
            end = failure
        self._put(end)

    def _put(self, one: tuple[_Item] | Exception | None) -> None:
        while not self.is_over.is_set():
            with contextlib.suppress(queue.Full):
                self.read.put(one, timeout=_TICK)
                return
