"""What arrived: the newest events and requests, and exact counts of all."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING

import msgspec

from target_liveintent.sandbox.answers import Event, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the log keeps it.

    `received_at` is in Unix seconds and `latency` in seconds, scripted latency included;
    `events` is None where the body was not read as an array, `status` None where the
    connection was closed without an answer; `reasons` says why it is not a plain 204.
    """

    received_at: float
    latency: float
    status: int | None
    outcome: Outcome
    events: int | None = None
    event_ids: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start or the last reset.

    `by_status` counts requests by status as text, or "dropped"; `largest_batch` is the most
    events that any request held, refused ones included; `duplicates` counts accepted events
    whose eventId had been accepted before.
    """

    accepted: int
    requests: int
    by_status: dict[str, int]
    largest_batch: int
    duplicates: int


class Store:
    """Holds what arrived. Safe to read from other threads than the one that writes.

    Args:
        max_events: Most accepted events to keep; older ones are forgotten, but counted.
        max_requests: The same for requests.
    """

    def __init__(self, *, max_events: int, max_requests: int) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=max_events)
        self._requests: deque[RequestRecord] = deque(maxlen=max_requests)
        self._seen: set[str] = set()
        self._by_status: Counter[str] = Counter()
        self._accepted = 0
        self._largest_batch = 0

    def record(self, request: RequestRecord, accepted: Sequence[Event]) -> None:
        """Add a request and the events of it that were accepted."""
        with self._lock:
            self._requests.append(request)
            self._events.extend(accepted)
            self._accepted += len(accepted)
            # The IDs of all events are kept, so that the count of duplicates stays exact.
            self._seen.update(event["eventId"] for event in accepted)
            self._by_status[str(request.status or Outcome.DROPPED.value)] += 1
            self._largest_batch = max(self._largest_batch, request.events or 0)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._events.clear()
            self._requests.clear()
            self._seen.clear()
            self._by_status.clear()
            self._accepted = 0
            self._largest_batch = 0

    @property
    def events(self) -> list[Event]:
        """The accepted events that are kept, oldest first."""
        with self._lock:
            return list(self._events)

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests that are kept, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def stats(self) -> Stats:
        """The counts."""
        with self._lock:
            return Stats(
                accepted=self._accepted,
                requests=self._by_status.total(),
                by_status=dict(sorted(self._by_status.items())),
                largest_batch=self._largest_batch,
                duplicates=self._accepted - len(self._seen),
            )
