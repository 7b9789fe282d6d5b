"""The messages that the tap sends. All runs of a history get the same messages."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from target_liveintent.conversions.event_model import Conversion, Event, Rejection, event_of

if TYPE_CHECKING:
    from simulated_plan import Plan

EPOCH = 1_800_000_000
"""The Unix time at which the simulated clock shows 0."""
DAY = 86_400
ORDER_ID = 50
"""The number of characters of an order ID, except that of a large event."""


def _event(event_id: str, order_id: str) -> Event:
    """Return an event, which has about 160 bytes if the order ID is short."""
    given = {"event_id": event_id, "event_time": EPOCH, "pixel_id": 1, "source": "web"}
    return event_of({**given, "order_id": order_id})


class Record(NamedTuple):
    """A record with the result of its conversion."""

    place: int  # The position among the records, counted from 0.
    stream: str
    result: Conversion | Rejection | None  # None if the user's map filters it.


class State(NamedTuple):
    """A STATE message."""

    place: int  # The number of records before this message.
    text: str  # The value, which tells the tap where to continue.


Message: TypeAlias = Record | State
Key: TypeAlias = tuple[int, str, str]
"""The pixel ID, the stream and the event ID, which together identify an event."""


class Feed:
    """The messages of the tap, and the events that the API does not accept.

    Attributes:
        messages: The messages in the order of the tap.
        records: The records by their place.
        bad: The IDs of events that the API refuses.
        poison: The IDs of events on which the API always fails.
    """

    def __init__(self, plan: Plan) -> None:
        rng = random.Random(f"feed {plan.seed}")  # noqa: S311 (a seed, not secrecy)
        self.messages: list[Message] = []
        self.records: list[Record] = []
        self.bad: set[str] = set()
        self.poison: set[str] = set()
        state_every = rng.choice((1, 5, 50))
        for place in range(plan.records):
            record = self._record(plan, rng, place)
            self.records.append(record)
            self.messages.append(record)
            if rng.random() * state_every < 1:
                self.messages.append(State(place + 1, f'{{"place": {place + 1}}}'))
        if rng.random() < 0.8:
            self.messages.append(State(plan.records, f'{{"place": {plan.records}}}'))

    def _record(self, plan: Plan, rng: random.Random, place: int) -> Record:
        stream = f"stream-{rng.randrange(plan.streams)}"
        luck = rng.random()
        if place in plan.unmapped:
            luck = 0.05
        if luck < 0.02:
            return Record(place, stream, None)
        if luck < 0.06:
            reason = rng.choice(("no_identity", "missing_event_time", "no_consent"))
            if place in plan.unmapped:
                reason = "missing_event_time"
            columns = {"order_id": str(place)}
            return Record(place, stream, Rejection(stream, f"e{place}", reason, None, columns))
        if luck < 0.12 and place and isinstance(self.records[-1].result, Conversion):
            copied = self._copy(self.records[-1].result, place)
            return Record(place, copied.stream, copied)
        event = self._event(plan, rng, place, stream)
        if rng.random() < plan.bad_share or place in plan.bad_stretch:
            self.bad.add(event.event_id)
        if rng.random() < plan.poison_share:
            self.poison.add(event.event_id)
        return Record(place, stream, event)

    @staticmethod
    def _event(plan: Plan, rng: random.Random, place: int, stream: str) -> Conversion:
        size = ORDER_ID
        if "large events" in plan.faults and rng.random() < 0.1:
            size += 480
        life = 5 * DAY
        if "old events" in plan.faults:
            life = rng.choice((5 * DAY, 5 * DAY, rng.randint(0, 3_600), rng.randint(0, 30)))
        event = _event(f"e{place}", f"{place:{size}}")
        return Conversion(stream, event, EPOCH + life, {"order_id": str(place)})

    @staticmethod
    def _copy(event: Conversion, place: int) -> Conversion:
        """Return a copy of an event, as if the tap had sent the row again."""
        size = len(event.event.purchase_data.order_id or "")
        copied = _event(event.event_id, f"{place:{size}}")
        return Conversion(event.stream, copied, event.expires_at, {"order_id": str(place)})

    def after(self, text: str | None) -> list[Message]:
        """Return the messages after a STATE; with None, return all messages."""
        if text is None:
            return self.messages
        place = place_of_state(text)
        return [message for message in self.messages if _is_after(message, place)]


def _is_after(message: Message, place: int) -> bool:
    return message.place >= place if isinstance(message, Record) else message.place > place


def place_of_state(text: str) -> int:
    """Return the number of records before a STATE."""
    return int(text.removeprefix('{"place": ').removesuffix("}"))


def event_key(conversion: Conversion) -> Key:
    """Return what identifies an event among all events of an account."""
    return conversion.event.pixel_id, conversion.stream, conversion.event_id


def place_of(conversion: Conversion | Rejection) -> int:
    """Return the place of the record that a conversion, or a rejection, was made of."""
    return int(conversion.columns["order_id"])
