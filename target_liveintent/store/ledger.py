"""The ledger: which events were delivered, by which run, and which events a run is sending now.

Events come again after a crash between sending and STATE, after a canary, from a tap that repeats
rows, or in two runs at a time. So a run reserves events before it sends them, until their batch has
its outcome. The store keeps the keys of confirmed events until the API would refuse them anyway.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from target_liveintent.conversions.event_model import Conversion, fingerprint
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import Account

TIME_BYTES = 5
"""The bytes of a key that hold a Unix time, in seconds: when the event expires."""
HASH_BYTES = 11
"""The bytes of a key that hold the hash."""
KEY_BYTES = TIME_BYTES + HASH_BYTES
RECENT = 15_000
"""At least so many hashes of events are in memory, so that those are recognized whatever changes in
a record. The keys of older events, which begin with a time, must be found in the store."""
_PARTS = 6
"""The hashes are in so many parts; when another part is full, the oldest is forgotten. (A dict for
2,500 hashes takes half the memory of one for 2,800.)"""


class Claim(NamedTuple):
    """What the ledger says of the events of a batch."""

    mine: list[Conversion]  # This run must send them now.
    waiting: list[Conversion]  # They are on their way, in this run or in another one: ask again.
    sent: list[Conversion]
    keys: dict[bytes, bytes]  # Those of `mine`, by their hashes, in the same order.
    other_run: str | None = None  # A run that has reserved some, if it is not this one.
    conflicts: int = 0  # How many of `sent` differ from what this run delivered with their IDs.


class Ledger:
    """Decides which events a run sends, from what it remembers and what the store says."""

    def __init__(self, account: Account) -> None:
        self._account = blake2b("\0".join(account).encode(), digest_size=HASH_BYTES)
        # The hashes of recent events, in parts of this size, the newest last. Each has the event's
        # fingerprint, which is not known of those that other runs delivered.
        self._size = math.ceil(RECENT / _PARTS)
        self._recent = deque([dict[bytes, int | None]()], maxlen=_PARTS + 1)
        self._reserved: dict[int, dict[bytes, bytes]] = {}  # What has no outcome, by batch.
        self._fingerprints: dict[int, dict[bytes, int]] = {}  # Those of it, by batch and hash.
        self._underway: set[bytes] = set()  # The hashes of it.
        self.confirmed: list[bytes] = []  # The keys of which the store must learn.
        self.ended: list[int] = []  # The batches whose reservations must end.

    def remember(self, newest: Iterable[bytes]) -> None:
        """Know the newest events that were delivered before, by their keys, the newest first."""
        hashes = [key[TIME_BYTES:] for key in newest]
        for start in range(0, len(hashes), self._size):
            self._recent.appendleft(dict.fromkeys(hashes[start : start + self._size]))

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
    ) -> dict[int, Claim]:
        """Decide which events of batches are sent; this changes nothing.

        Others have reserved hashes, by the IDs of their runs. The store has the keys `delivered`.
        """
        claims = dict[int, Claim]()
        taken: set[bytes] = set()  # The hashes of earlier batches.
        met = (*(one.keys() for one in self._recent), self._underway, taken, others.keys())
        for number, conversions in batches.items():
            mine = _by_hash(keys[number])
            claim = Claim([*conversions], [], [], mine)
            is_new = delivered.isdisjoint(keys[number]) and all(map(mine.keys().isdisjoint, met))
            # Most events are new, which sets find out in a third of the time.
            if len(mine) < len(conversions) or not is_new:
                claim = Claim([], [], [], {})
                for conversion, key in zip(conversions, keys[number], strict=True):
                    hashed = key[TIME_BYTES:]
                    recent = next((one for one in self._recent if hashed in one), {})
                    if recent or key in delivered:
                        claim.sent.append(conversion)
                        if _differs(conversion, recent.get(hashed)):
                            claim = claim._replace(conflicts=claim.conflicts + 1)
                    elif hashed in self._underway or hashed in taken or hashed in claim.keys:
                        claim.waiting.append(conversion)
                    elif hashed in others:
                        claim.waiting.append(conversion)
                        claim = claim._replace(other_run=others[hashed])
                    else:
                        claim.mine.append(conversion)
                        claim.keys[hashed] = key
            claims[number] = claim
            taken.update(claim.keys)
        return claims

    def reserve(self, claims: Mapping[int, Claim]) -> None:
        """Note that the store has saved the reservations of batches."""
        for number, claim in claims.items():
            if claim.keys:
                self._reserved[number] = claim.keys
                self._underway.update(claim.keys)
                found = [fingerprint(conversion.event) for conversion in claim.mine]
                self._fingerprints[number] = dict(zip(claim.keys, found, strict=True))

    @property
    def reserved(self) -> list[bytes]:
        """The keys of all events that the run has reserved, and that have no outcome."""
        return [key for keys in self._reserved.values() for key in keys.values()]

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed; the last ones end its reservation."""
        reserved, fingerprints = self._reserved.pop(number), self._fingerprints.pop(number)
        is_whole = len(confirmed) == len(reserved)  # Usually.
        done = reserved if is_whole else _by_hash(self.keys_of(confirmed))
        self._recent[-1].update(fingerprints if is_whole else {h: fingerprints[h] for h in done})
        if len(self._recent[-1]) >= self._size:
            self._recent.append({})
        self.confirmed += done.values()
        self._underway.difference_update(reserved if is_last else done)
        if is_last:
            self.ended.append(number)
        else:
            self._reserved[number] = {h: key for h, key in reserved.items() if h not in done}
            self._fingerprints[number] = fingerprints


def _differs(conversion: Conversion, known: int | None) -> bool:
    return known is not None and known != fingerprint(conversion.event)


def _by_hash(keys: Iterable[bytes]) -> dict[bytes, bytes]:
    return {key[TIME_BYTES:]: key for key in keys}
