"""What has arrived at the API, and whether it is what should have."""

from __future__ import annotations

import zlib

import msgspec

MOST_EVENTS = 100
"""In one request."""


class _UserData(msgspec.Struct):
    md5: str
    sha2: str


class _PurchaseData(msgspec.Struct):
    value: float


class _Event(msgspec.Struct, rename="camel"):
    event_id: str
    event_time: int
    user_data: _UserData
    purchase_data: _PurchaseData


_events = msgspec.json.Decoder(list[_Event]).decode


class Tally(msgspec.Struct):
    """What has arrived.

    Attributes:
        events: How many events, each time counted.
        requests: How many requests.
        largest: How many events the largest request held.
        digest: A sum over the IDs, times, hashes and values of all events, whatever their order.
    """

    events: int = 0
    requests: int = 0
    largest: int = 0
    digest: int = 0

    def add(self, body: bytes) -> None:
        """Add a request.

        Raises:
            msgspec.MsgspecError: If it holds no events.
        """
        events = _events(body)
        self.events += len(events)
        self.requests += 1
        self.largest = max(self.largest, len(events))
        for event in events:
            user, value = event.user_data, event.purchase_data.value
            facts = f"{event.event_id} {event.event_time} {user.md5} {user.sha2} {value}"
            self.digest += zlib.crc32(facts.encode())

    def problem(self, count: int, right: Tally) -> str | None:
        """What is wrong with a run, if anything is.

        Args:
            count: How many events should have arrived, each once.
            right: What the floor sent.
        """
        if self.events != count:
            return f"{self.events:,} events arrived instead of {count:,}"
        if self.largest > MOST_EVENTS:
            return f"a request held {self.largest} events"
        if self.digest != right.digest:
            return "IDs, times, hashes or values differ from those of the floor"
        return None
