"""Events that a run had read, but that have no outcome, because the run failed or was killed.

A run that fails writes them itself. If a run was killed, another run writes the events that the
killed run had reserved. A later outcome of an event deletes its row.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from target_liveintent.conversions.event_model import Conversion
from target_liveintent.settings import Account
from target_liveintent.store.database import Database
from target_liveintent.store.deduplication import KEY_BYTES, TIME_BYTES
from target_liveintent.store.layout import WAITING_EVENT, SqlRow, Step

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str | None]).decode
_LEFT = (
    "SELECT reservation.keys, reservation.read_at, CAST(reservation.amounts AS TEXT) FROM run"
    " CROSS JOIN reservation WHERE run.ended_at IS NULL AND run.alive_until < {now}"
    " AND run.customer_id = ? AND run.api_host = ? AND coalesce(run.pixel_id, 0) = ?"
    " AND reservation.run = run.number"
)
_DELIVERED = "SELECT event.key FROM ({keys}) AS given CROSS JOIN event WHERE event.key = given.key"
_DELETE_DELIVERED = (
    "DELETE FROM waiting WHERE hash IN ({rows})"
    " AND EXISTS (SELECT 1 FROM event WHERE event.key = waiting.key)"
)


class WaitingEvent(NamedTuple):
    """An event that waits for an outcome; `value` and `currency` are both set, or neither is."""

    hash: bytes
    key: bytes  # As in the table `event`: it begins with the time at which the event expires.
    read_at: int
    value: str | None
    currency: str | None

    @property
    def window_end(self) -> int:
        """The Unix time from which on the event is too old to be sent."""
        return int.from_bytes(self.key[:TIME_BYTES], "big")


class Owner(NamedTuple):
    """For whom a run sends events: the account, and the setting `pixel_id`, or 0."""

    customer_id: str
    api_host: str
    run_pixel_id: int


def amounts_text(
    events: Iterable[tuple[bytes, Conversion]], with_letters: Collection[bytes]
) -> str:
    """Return the values of the events of a reservation, which come with their hashes, as JSON.

    Events that have a dead letter do not wait, so they have null in place of a value.
    """
    amounts: list[str | None] = []
    for hashed, conversion in events:
        purchase = conversion.event.purchase_data
        if hashed in with_letters:
            amounts.append(None)
        elif purchase.value is None or purchase.currency is None:
            amounts.append("")
        else:
            amounts.append(f"{purchase.value} {purchase.currency}")
    return _encode(amounts).decode()


def waiting_events(keys: bytes, read_at: int, amounts: str) -> Iterator[WaitingEvent]:
    """Yield the events of a reservation that have no dead letter."""
    each = [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
    for key, amount in zip(each, _decode(amounts), strict=True):
        if amount is not None:
            value, _, currency = amount.partition(" ")
            yield WaitingEvent(key[TIME_BYTES:], key, read_at, value or None, currency or None)


def find_waiting(hashes: Iterable[bytes]) -> Step:
    """Return the step that reads the hash and the time of reading of events that wait."""
    return WAITING_EVENT.find([(hashed,) for hashed in hashes], "hash, read_at")


def waiting_steps(events: Sequence[tuple[Owner, WaitingEvent]]) -> list[Step]:
    """Return the steps that note that events of some owners wait, unless these were delivered."""
    if not events:
        return []
    rows: list[SqlRow] = [
        (
            *(event.hash, event.key, *owner, event.read_at, event.window_end),
            *(event.value, event.currency),
        )
        for owner, event in events
    ]
    hashes = [(event.hash,) for _, event in events]
    return [
        WAITING_EVENT.add(rows),
        Step(_DELETE_DELIVERED, (), hashes, list(WAITING_EVENT.key.values())),
    ]


def left_by_killed_runs(
    database: Database, account: Account, pixel_id: int | None
) -> list[WaitingEvent]:
    """Return the events without an outcome that killed runs of an account and pixel had reserved.

    These runs no longer renew their reservations, and no other run has noticed it yet.
    """
    rows = database.read(_LEFT, [*account, pixel_id or 0])
    events = [*itertools.chain.from_iterable(waiting_events(*row) for row in rows)]
    step = Step(_DELIVERED, keys=[event.key for event in events])
    delivered = {key for (key,) in database.ask(step)} if events else set()
    open_events = {event.hash: event for event in events if event.key not in delivered}
    return [*open_events.values()]
