"""Keeps the newest requests, exact counts of all requests, and the active faults."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from itertools import chain, count
from typing import Any

import msgspec

from target_liveintent.sandbox.contract import Answer, Event, Outcome, lookup
from target_liveintent.sandbox.faults import Fault, Latency

_KEPT = 1_000
"""Maximum number of requests that are kept."""


class LoggedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its answer.

    Attributes:
        number: The position among all requests since the last reset, from 1.
        received_at: The Unix time of the arrival, in seconds.
        events: The number of items in the body; 0 if the sandbox did not read the body.
        body: The body; "[]" if the sandbox did not read the body, because the token or the customer
            ID is wrong, or if the body is not a JSON array.
    """

    number: int
    received_at: float
    answer: Answer
    events: int
    body: bytes

    @property
    def items(self) -> list[Item]:
        """The items in the body."""
        return [Item(self, n, one) for n, one in enumerate(msgspec.json.decode(self.body))]

    @property
    def accepted(self) -> list[Event]:
        """The accepted events in the body."""
        return [item.event for item in self.items if item.outcome is Outcome.ACCEPTED]


class Item(msgspec.Struct, frozen=True):
    """One item in the body of a request: an event, or any other JSON value."""

    batch: LoggedRequest
    index: int
    event: Any

    @property
    def outcome(self) -> Outcome:
        """ACCEPTED if the item was accepted, otherwise the outcome of the request."""
        answer = self.batch.answer
        return Outcome.ACCEPTED if self.index in answer.accepted else answer.outcome

    def at(self, path: str) -> Any:
        """Return the value at a dotted path."""
        return lookup(self.event, path.split("."))


class Stats(msgspec.Struct):
    """Counts since the start or the last reset.

    Attributes:
        accepted: Accepted events.
        arrived: Items in the bodies that the sandbox has read, accepted or not.
        by_status: Requests by HTTP status, as text; "dropped" if there was no answer.
        largest_batch: The largest number of items in one request, including refused requests.
        duplicates: Accepted events whose eventId had been accepted before.
        coverage: The accepted events that have a field, by the name of the field. No two objects of
            an event have a field of the same name.
    """

    accepted: int = 0
    arrived: int = 0
    requests: int = 0
    by_status: Counter[str] = msgspec.field(default_factory=Counter)
    by_outcome: Counter[str] = msgspec.field(default_factory=Counter)
    largest_batch: int = 0
    duplicates: int = 0
    coverage: Counter[str] = msgspec.field(default_factory=Counter)


class Store:
    """Keeps requests and the active faults. Any thread may use a store.

    Attributes:
        stats: Exact counts, which include requests that are no longer kept.
        faults: The active faults, by their numbers, in the order in which they apply. The `times`
            of a fault is how often it still applies.
    """

    stats: Stats
    faults: dict[int, Fault]

    def __init__(self) -> None:
        """Create a store without requests and faults."""
        self._lock = threading.Lock()
        self._requests: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._fault_numbers = count(1)
        self.reset()

    def reset(self) -> None:
        """Remove all requests and faults, and restart the counts."""
        with self._lock:
            self.stats = Stats()
            self.faults = {}
            self._requests.clear()
            self._seen: set[int] = set()

    def add(self, items: Sequence[Any], answer: Answer, *, body: bytes, received_at: float) -> None:
        """Add a request with these items in its body, and count the request and its answer."""
        accepted = [items[index] for index in answer.accepted]
        with self._lock:
            self.stats.requests += 1
            request = LoggedRequest(
                number=self.stats.requests,
                received_at=received_at,
                answer=answer,
                events=len(items),
                body=body if items else b"[]",
            )
            self._requests.append(request)
            self.stats.accepted += len(accepted)
            self.stats.arrived += len(items)
            self.stats.by_status[str(answer.status or Outcome.DROPPED.value)] += 1
            self.stats.by_outcome[answer.outcome.value] += 1
            self.stats.largest_batch = max(self.stats.largest_batch, len(items))
            # The hashes of all IDs are kept so that the count of duplicates stays exact. Nothing
            # else grows without limit; this takes about 70 bytes per event. The probability that
            # two of a million IDs have the same hash is about one in thirty million.
            self._seen.update(hash(event["eventId"]) for event in accepted)
            self.stats.duplicates = self.stats.accepted - len(self._seen)
            # Counting all names in one pass is several times as fast as looking for each name.
            users = (event["userData"] for event in accepted)
            purchases = (event["purchaseData"] for event in accepted)
            self.stats.coverage.update(chain.from_iterable(chain(accepted, users, purchases)))

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests to the API that are kept, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def events(self) -> list[Event]:
        """The accepted events that are kept, as they arrived, oldest first."""
        return [event for request in self.requests for event in request.accepted]

    def add_faults(self, *descriptions: object) -> None:
        """Script faults, each described by a JSON object as in POST /faults.

        Raises:
            ValueError: If any description is invalid. In this case, no fault is added.
        """
        faults = msgspec.convert(descriptions, tuple[Fault, ...])
        with self._lock:
            added = {next(self._fault_numbers): fault for fault in faults}
            self.faults = self.faults | added  # not in place: the page may read it just now

    def remove_faults(self, number: int | None = None) -> None:
        """Remove the fault with this number, or all faults."""
        with self._lock:
            self.faults = {n: fault for n, fault in self.faults.items() if number not in (n, None)}

    def apply_faults(self, items: Sequence[Any], regular: Answer) -> tuple[Answer, float]:
        """Apply the faults to a request; return the answer and its delay in seconds.

        The first matching fault that replaces the answer applies; latencies add up. `items` are the
        items in the body, and `regular` is the answer without faults.
        """
        answer, delay = None, 0.0
        with self._lock:
            accepted = {n: items[n] for n in regular.accepted} if self.faults else {}
            for number, fault in list(self.faults.items()):
                if not fault.matches(accepted):
                    continue
                if isinstance(fault, Latency):
                    delay += fault.seconds
                elif answer is None:
                    answer = fault.answer(accepted)
                else:
                    continue  # This fault stays for a later request.
                self._use_up(number)
        return answer or regular, delay

    def _use_up(self, number: int) -> None:
        """Reduce the remaining `times` of a fault, and remove the fault after the last time."""
        fault = self.faults[number]
        if fault.times is not None:
            fault.times -= 1
            if not fault.times:
                del self.faults[number]
