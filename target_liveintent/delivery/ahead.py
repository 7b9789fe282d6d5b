"""Reads items in a thread, so that a run does what is due while none comes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_TICK = 1.0
"""The most seconds between two calls of `tick`."""


def read_ahead(items: Iterable[Any], tick: Callable[[], None]) -> Iterator[Any]:
    """Yield items that a thread reads, one ahead; call `tick` once a second while none comes.

    What reading them raises is raised here. The thread ends with the process if nobody takes any
    more items: it may wait for the next one for an hour.
    """
    read: queue.Queue[Any] = queue.Queue(maxsize=1)

    def work() -> None:
        try:
            for item in items:
                read.put(item)
            read.put(None)
        except Exception as failure:  # noqa: BLE001 (whoever takes the items raises it)
            read.put(failure)

    threading.Thread(target=work, name="rows", daemon=True).start()
    while True:
        try:
            item = read.get(timeout=_TICK)
        except queue.Empty:
            tick()
            continue
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        yield item
