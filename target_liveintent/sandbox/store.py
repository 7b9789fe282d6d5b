"""What arrived: the newest events and requests, and exact counts of all."""

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
"""The source of an event that has none of the API's."""

_SOURCES = {source: source for source in ("web", "app", "offline")}
_MAX_PIXELS = 50

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the log keeps it.

    `number` counts from 1; `received_at` is in Unix seconds and `latency` in seconds, scripted
    latency included; `events` is None where the body was not read as an array, `status` None
    where the connection was closed without an answer; `reasons` says why it is not a plain
    204, and `problems` the same in its parts.
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


# Without cycles, and many: the garbage collector need not look at them.
class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of a request, accepted or not.

    `number` counts from 1, `request` is the number of its request and `index` its place there;
    `outcome` is ACCEPTED, or what became of the request instead; `body` is its JSON, a
    quarter of the size of the decoded event.
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
        """The event as it came, decoded; nothing says that it is one, unless it was accepted."""
        return _decode(self.body)


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start or the last reset.

    `by_status` counts requests by status as text, or "dropped", and `by_outcome` by outcome;
    `arrived` counts events in requests, accepted or not; `largest_batch` is the most events
    that any request held, refused ones included; `duplicates` counts accepted events whose
    eventId had been accepted before; `coverage` counts the accepted events that carry a field.
    """

    accepted: int
    arrived: int
    requests: int
    by_status: dict[str, int]
    by_outcome: dict[str, int]
    largest_batch: int
    duplicates: int
    coverage: dict[str, int]


_Numbered = TypeVar("_Numbered", RequestRecord, Arrival)


class Newest(Generic[_Numbered]):
    """The newest of many: so many accepted ones, and as many others.

    A refused batch is what somebody looks for; a million accepted events do not push it out.
    """

    def __init__(self, most: int) -> None:
        """Start empty; `most` is how many of both to keep."""
        self._accepted: deque[_Numbered] = deque(maxlen=most)
        self._others: deque[_Numbered] = deque(maxlen=most)

    def add(self, item: _Numbered) -> None:
        """Add the newest."""
        (self._accepted if item.outcome is Outcome.ACCEPTED else self._others).append(item)

    def clear(self) -> None:
        """Forget all."""
        self._accepted.clear()
        self._others.clear()

    @property
    def all(self) -> list[_Numbered]:
        """What is kept, oldest first."""
        return sorted(chain(self._accepted, self._others), key=attrgetter("number"))


class Store:
    """Holds what arrived. Safe to read from other threads than the one that writes.

    `version` grows with each change.

    Args:
        max_events: Most accepted events to keep, and as many others; older ones are forgotten,
            but counted.
        max_requests: The same for requests.
    """

    def __init__(self, *, max_events: int, max_requests: int) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._arrivals = Newest[Arrival](max_events)
        self._requests = Newest[RequestRecord](max_requests)
        self.version = 0
        self._empty()

    def _empty(self) -> None:
        self._arrivals.clear()
        self._requests.clear()
        self._seen: set[int] = set()
        self._by_status: Counter[str] = Counter()
        self._by_outcome: Counter[str] = Counter()
        self._pixels: Counter[int] = Counter()
        self._coverage = Coverage()
        self._accepted = 0
        self._arrived = 0
        self._largest_batch = 0
        self.version += 1

    def record(
        self, request: RequestRecord, events: Sequence[object], accepted: Sequence[Event]
    ) -> None:
        """Add a request.

        Args:
            request: The request; its number and its event IDs are filled in here.
            events: What its body held, events or not.
            accepted: Those of `events`, the same objects, that were accepted.
        """
        bodies = [_encode(event) for event in events]
        ids = tuple(found for event in events if (found := event_id_of(event)) is not None)
        with self._lock:
            number = self._by_status.total() + 1
            request = msgspec.structs.replace(request, number=number, event_ids=ids)
            self._requests.add(request)
            self._keep(request, events, bodies, set(map(id, accepted)))
            # The hashes of all IDs are kept, so that the count of duplicates stays exact: the
            # one thing that grows, by some 70 bytes an event. Two IDs of a million share one
            # once in thirty million runs.
            self._seen.update(hash(event["eventId"]) for event in accepted)
            self._coverage.add(accepted)
            self._accepted += len(accepted)
            self._arrived += len(events)
            self._by_status[str(request.status or Outcome.DROPPED.value)] += 1
            self._by_outcome[request.outcome.value] += 1
            self._largest_batch = max(self._largest_batch, len(events))
            self.version += 1

    def _keep(
        self,
        request: RequestRecord,
        events: Sequence[object],
        bodies: Sequence[bytes],
        accepted: Container[int],
    ) -> None:
        for index, (event, body) in enumerate(zip(events, bodies, strict=True)):
            self._arrivals.add(
                Arrival(
                    number=self._arrived + index + 1,
                    request=request.number,
                    index=index,
                    outcome=Outcome.ACCEPTED if id(event) in accepted else request.outcome,
                    source=_source(event),
                    pixel_id=self._pixel(event),
                    body=body,
                )
            )

    def _pixel(self, event: object) -> int | None:
        pixel_id = event.get("pixelId") if isinstance(event, dict) else None
        if type(pixel_id) is not int:
            return None
        if pixel_id in self._pixels or len(self._pixels) < _MAX_PIXELS:
            self._pixels[pixel_id] += 1
        return pixel_id

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._empty()

    @property
    def arrivals(self) -> list[Arrival]:
        """The events that are kept, accepted or not, oldest first."""
        with self._lock:
            return self._arrivals.all

    @property
    def accepted(self) -> list[Arrival]:
        """Those of them that were accepted."""
        return [kept for kept in self.arrivals if kept.outcome is Outcome.ACCEPTED]

    @property
    def events(self) -> list[Event]:
        """The same, as they came."""
        return decoded(self.accepted)

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests that are kept, oldest first."""
        with self._lock:
            return self._requests.all

    @property
    def pixels(self) -> list[int]:
        """The pixels that events named, the first so many."""
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


def decoded(arrivals: Iterable[Arrival]) -> list[Event]:
    """Return accepted events as they came."""
    return [arrival.event for arrival in arrivals]


def _source(event: object) -> str:
    source = event.get("source") if isinstance(event, dict) else None
    return _SOURCES.get(source, OTHER) if isinstance(source, str) else OTHER
