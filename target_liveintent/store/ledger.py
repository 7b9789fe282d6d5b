"""The ledger: which events were delivered, by which run, and which events a run is sending now.

Events come again after a crash between sending and STATE, after a canary, or from a tap that
repeats its last row in each run; some come twice in a run, and some in two runs at the same time.
The store keeps a key of each event that was confirmed until the event has expired; after that, the
API refuses it anyway. Before events are sent, a run reserves them, so that no other run sends them
as well; a reservation ends when its batch has its outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from target_liveintent.conversions.model import Conversion
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import Account

TIME_BYTES = 5
"""The bytes of a key that hold a Unix time, in seconds: when the event expires."""
HASH_BYTES = 11
"""The bytes of a key that hold the hash."""
RECENT = 50_000
"""How many events have their hashes in memory, so that they are recognized whatever else changes in
a record. The keys of older events, which begin with a time, must be found in the store."""


class Claim(NamedTuple):
    """What the ledger says of the events of a batch: which this run must send now, and which not.

    Attributes:
        waiting: Those that are on their way already, in this run or in another one: ask again.
        other_run: A run that has reserved some of these, if it is not this one.
    """

    mine: list[Conversion]
    waiting: list[Conversion]
    sent: list[Conversion]
    other_run: str | None = None


Reserved = dict[bytes, bytes]
"""The keys of events of a batch, by their hashes."""


class Ledger:
    """Decides which events a run sends, from what it remembers and what the store says.

    Attributes:
        confirmed: The keys of events that the API has confirmed: the store must learn them.
        ended: The numbers of batches that have their outcome: their reservations must end.
    """

    def __init__(self, account: Account) -> None:
        self._account = blake2b("\0".join(account).encode(), digest_size=HASH_BYTES)
        # The hashes of recent events. The older ones are dropped at once when there are too many.
        self._recent: set[bytes] = set()
        self._less_recent: set[bytes] = set()
        self._reserved: dict[int, Reserved] = {}  # What has no outcome, by batch.
        self._underway: set[bytes] = set()  # The hashes of it.
        self.confirmed: list[bytes] = []
        self.ended: list[int] = []

    def remember(self, newest: Iterable[bytes]) -> None:
        """Know the newest events that were delivered before, by their keys."""
        self._less_recent = {key[TIME_BYTES:] for key in newest}

    def keys_of(self, conversions: Iterable[Conversion]) -> list[bytes]:
        """Return the keys of events: when each expires, and a hash of what identifies it."""
        stream, pixel_id = None, None
        keys = []
        for conversion in conversions:
            event = conversion.event
            if conversion.stream != stream or event.pixel_id != pixel_id:
                stream, pixel_id = conversion.stream, event.pixel_id
                common = self._account.copy()
                # (A dead letter of a stream whose name holds an address has another name.)
                common.update(f"\0{pixel_id}\0{scrub(stream)}\0".encode(errors="replace"))
            hashed = common.copy()
            hashed.update(event.event_id.encode())
            keys.append(conversion.expires_at.to_bytes(TIME_BYTES, "big") + hashed.digest())
        return keys

    def divide(
        self,
        batches: Mapping[int, Sequence[Conversion]],
        keys: Mapping[int, Sequence[bytes]],
        others: Mapping[bytes, str],
        delivered: set[bytes],
    ) -> tuple[dict[int, Claim], dict[int, Reserved]]:
        """Decide which events are sent; return also what to reserve. This changes nothing.

        Args:
            batches: The events, by the numbers of their batches.
            keys: The keys of each batch.
            others: The hashes that other runs have reserved, each with the ID of a run.
            delivered: The keys that the store has.
        """
        claims, reserved = dict[int, Claim](), dict[int, Reserved]()
        taken: set[bytes] = set()  # The hashes of earlier batches.
        for number, conversions in batches.items():
            claim, mine = Claim([*conversions], [], []), _by_hash(keys[number])
            met = (self._recent, self._less_recent, self._underway, taken, others)
            is_new = delivered.isdisjoint(keys[number]) and all(map(mine.keys().isdisjoint, met))
            # Most events are new, which sets find out in a third of the time.
            if len(mine) < len(conversions) or not is_new:
                events = zip(conversions, keys[number], strict=True)
                claim, mine = self._divided(events, taken, others, delivered)
            claims[number] = claim
            if mine:
                reserved[number] = mine
                taken.update(mine)
        return claims, reserved

    def _divided(
        self,
        events: Iterable[tuple[Conversion, bytes]],
        taken: set[bytes],
        others: Mapping[bytes, str],
        delivered: set[bytes],
    ) -> tuple[Claim, Reserved]:
        claim, mine = Claim([], [], []), Reserved()
        for conversion, key in events:
            hashed = key[TIME_BYTES:]
            if hashed in self._recent or hashed in self._less_recent or key in delivered:
                claim.sent.append(conversion)
            elif hashed in self._underway or hashed in taken or hashed in mine:
                claim.waiting.append(conversion)
            elif hashed in others:
                claim.waiting.append(conversion)
                claim = claim._replace(other_run=others[hashed])
            else:
                claim.mine.append(conversion)
                mine[hashed] = key
        return claim, mine

    def reserve(self, reserved: Mapping[int, Reserved]) -> None:
        """Note that the store has saved reservations."""
        self._reserved |= reserved
        self._underway.update(*reserved.values())

    @property
    def reserved(self) -> list[bytes]:
        """The keys of all events that the run has reserved, and that have no outcome."""
        return [key for keys in self._reserved.values() for key in keys.values()]

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed; the last ones end its reservation."""
        reserved = self._reserved.pop(number)
        done, rest = reserved, Reserved()
        if len(confirmed) < len(reserved):  # (Usually these are all events of the batch.)
            done = _by_hash(self.keys_of(confirmed))
            rest = {hashed: key for hashed, key in reserved.items() if hashed not in done}
        if len(self._recent) >= RECENT:
            self._less_recent, self._recent = self._recent, set()
        self._recent.update(done)
        self.confirmed += done.values()
        self._underway.difference_update(reserved if is_last else done)
        if is_last:
            self.ended.append(number)
        else:
            self._reserved[number] = rest


def _by_hash(keys: Iterable[bytes]) -> Reserved:
    return {key[TIME_BYTES:]: key for key in keys}
