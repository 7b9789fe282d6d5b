"""Keeps the newest events and requests that arrived, and exact counts of all of them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from target_liveintent.sandbox.answers import Event, Outcome, Problem
from target_liveintent.sandbox.contract import event_id_of
from target_liveintent.sandbox.coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

OTHER = "other"
"""Stands for the source of an event whose `source` is none of the API's."""

_SOURCES = ("web", "app", "offline")
_MAX_PIXELS = 50
"""Most pixel IDs to list."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class LoggedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request in the log, numbered from 1.

    Attributes:
        received_at: When it arrived, in Unix seconds.
        latency: Seconds until the answer, including scripted latency.
        status: The HTTP status; None if the connection was closed without an answer.
        events: How many events it contained; None if its body was not read as an array.
        reasons: Why the answer is not a plain 204, in words.
        problems: These reasons in separate fields.
    """

    received_at: float
    latency: float
    status: int | None
    outcome: Outcome
    number: int = 0
    events: int | None = None
    event_ids: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


# There are many of these and they contain no cycles, so the garbage collector can ignore them.
class ReceivedEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item in the body of a request, numbered from 1: an event, or any other JSON value.

    Attributes:
        request: The number of its request.
        index: Its position in the request.
        outcome: ACCEPTED if it was accepted, otherwise the outcome of the request.
        body: Its JSON, which takes a quarter of the memory of the decoded event.
    """

    number: int
    request: int
    index: int
    outcome: Outcome
    source: str
    pixel_id: int | None
    body: bytes

    @property
    def event(self) -> Any:
        """The decoded item as it arrived; only accepted items are certain to be events."""
        return _decode(self.body)


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start or the last reset.

    Attributes:
        accepted: Accepted events.
        arrived: Events in all requests, accepted or not.
        by_status: Requests by status, as text, or "dropped".
        largest_batch: The most events in one request, including refused requests.
        duplicates: Accepted events whose eventId had been accepted before.
        coverage: The accepted events that have a field, by the names in `coverage.FIELDS`.
    """

    accepted: int
    arrived: int
    requests: int
    by_status: dict[str, int]
    by_outcome: dict[str, int]
    largest_batch: int
    duplicates: int
    coverage: dict[str, int]


_Numbered = TypeVar("_Numbered", LoggedRequest, ReceivedEvent)


class Newest(Generic[_Numbered]):
    """Keeps the newest accepted items and, separately, the newest other items.

    Accepted events, however many, therefore never displace a refused batch, which users look for.

    Args:
        limit: Most accepted items to keep, and most others.
    """

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self._accepted: deque[_Numbered] = deque(maxlen=limit)
        self._others: deque[_Numbered] = deque(maxlen=limit)

    def add(self, item: _Numbered) -> None:
        """Add an item that is newer than all others."""
        (self._accepted if item.outcome is Outcome.ACCEPTED else self._others).append(item)

    def clear(self) -> None:
        """Remove all items."""
        self._accepted.clear()
        self._others.clear()

    @property
    def all(self) -> list[_Numbered]:
        """The items that are kept, oldest first."""
        return sorted(chain(self._accepted, self._others), key=attrgetter("number"))


class Store:
    """Keeps what arrived. Other threads may read it while one thread writes.

    Args:
        max_events: Most accepted events to keep, and most others. Older events are removed, but
            remain in the counts.
        max_requests: Most accepted requests to keep, and most others.

    Attributes:
        version: Grows with each change.
    """

    def __init__(self, *, max_events: int, max_requests: int) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._received = Newest[ReceivedEvent](max_events)
        self._requests = Newest[LoggedRequest](max_requests)
        self.version = 0
        self._clear()

    def _clear(self) -> None:
        self._received.clear()
        self._requests.clear()
        self._seen: set[int] = set()
        self._by_status: Counter[str] = Counter()
        self._by_outcome: Counter[str] = Counter()
        self._pixels: set[int] = set()
        self._coverage = Coverage()
        self._accepted = 0
        self._arrived = 0
        self._largest_batch = 0
        self.version += 1

    def add(
        self, request: LoggedRequest, events: Sequence[object], accepted: Sequence[Event]
    ) -> None:
        """Add a request.

        Args:
            request: The request; this method fills in its number and its event IDs.
            events: The items in its body, events or not.
            accepted: The accepted events; the same objects as in `events`.
        """
        bodies = [_encode(event) for event in events]
        ids = tuple(found for event in events if (found := event_id_of(event)) is not None)
        with self._lock:
            number = self._by_status.total() + 1
            request = msgspec.structs.replace(request, number=number, event_ids=ids)
            self._requests.add(request)
            self._add_events(request, events, bodies, set(map(id, accepted)))
            # The hashes of all IDs are kept so that the count of duplicates stays exact. Nothing
            # else grows without limit; this takes about 70 bytes per event. In a million IDs, two
            # have the same hash once in thirty million runs.
            self._seen.update(hash(event["eventId"]) for event in accepted)
            self._coverage.add(accepted)
            self._accepted += len(accepted)
            self._arrived += len(events)
            self._by_status[str(request.status or Outcome.DROPPED.value)] += 1
            self._by_outcome[request.outcome.value] += 1
            self._largest_batch = max(self._largest_batch, len(events))
            self.version += 1

    def _add_events(
        self,
        request: LoggedRequest,
        events: Sequence[object],
        bodies: Sequence[bytes],
        accepted: Container[int],
    ) -> None:
        for index, (event, body) in enumerate(zip(events, bodies, strict=True)):
            self._received.add(
                ReceivedEvent(
                    number=self._arrived + index + 1,
                    request=request.number,
                    index=index,
                    outcome=Outcome.ACCEPTED if id(event) in accepted else request.outcome,
                    source=_source_of(event),
                    pixel_id=self._pixel_of(event),
                    body=body,
                )
            )

    def _pixel_of(self, event: object) -> int | None:
        """Return the pixel ID of an event, if it is an integer, and add it to the list."""
        pixel_id = event.get("pixelId") if isinstance(event, dict) else None
        if type(pixel_id) is not int:
            return None
        if len(self._pixels) < _MAX_PIXELS:
            self._pixels.add(pixel_id)
        return pixel_id

    def reset(self) -> None:
        """Remove all events and requests, and set the counts to zero."""
        with self._lock:
            self._clear()

    @property
    def received(self) -> list[ReceivedEvent]:
        """The events that are kept, accepted or not, oldest first."""
        with self._lock:
            return self._received.all

    @property
    def accepted(self) -> list[ReceivedEvent]:
        """The accepted events that are kept, oldest first."""
        return [received for received in self.received if received.outcome is Outcome.ACCEPTED]

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests that are kept, oldest first."""
        with self._lock:
            return self._requests.all

    @property
    def pixels(self) -> list[int]:
        """The first `_MAX_PIXELS` pixel IDs that arrived, sorted."""
        with self._lock:
            return sorted(self._pixels)

    @property
    def stats(self) -> Stats:
        """The counts."""
        with self._lock:
            return Stats(
                accepted=self._accepted,
                arrived=self._arrived,
                requests=self._by_status.total(),
                by_status=dict(sorted(self._by_status.items())),
                by_outcome={o.value: self._by_outcome[o.value] for o in Outcome},
                largest_batch=self._largest_batch,
                duplicates=self._accepted - len(self._seen),
                coverage=self._coverage.counts,
            )


def decode_events(received: Iterable[ReceivedEvent]) -> list[Event]:
    """Return accepted events as they arrived."""
    return [item.event for item in received]


def _source_of(event: object) -> str:
    source = event.get("source") if isinstance(event, dict) else None
    return source if source in _SOURCES else OTHER
