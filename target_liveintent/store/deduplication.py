"""Recognizes events that were sent before, and reserves the events that a run sends now.

The same event can come again: after a crash between sending and STATE, after a run with the setting
`limit`, from a tap that repeats rows, or in two runs at the same time. So a run reserves events
before it sends them, and the reservation lasts until their batch has its outcome. The store keeps
the keys of confirmed events until the events are too old for the API.
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
"""The first bytes of a key are the Unix time, in seconds, at which the event expires."""
HASH_BYTES = 11
"""The other bytes of a key are a hash of what identifies the event."""
KEY_BYTES = TIME_BYTES + HASH_BYTES
RECENT = 15_000
"""A run keeps the hashes of at least this number of recent events in memory. It recognizes these
events even if their time or source has changed. It recognizes older events only by their whole
keys in the store, which contain a time."""
_PARTS = 6
"""The recent hashes are in this many full parts, and in one part that grows. When this part is
full, the run forgets the oldest part. (A dict for 2,500 hashes takes half the memory of one for
2,800.)"""


class Claim(NamedTuple):
    """What a run does with the events of a batch."""

    mine: list[Conversion]  # Events that this run must send now.
    waiting: list[Conversion]  # Events that this or another run is sending: claim them again.
    sent: list[Conversion]  # Events that were sent before.
    keys: dict[bytes, bytes]  # The keys of `mine` by their hashes, in the same order.
    other_run: str | None = None  # The ID of another run that has reserved one of `waiting`.
    conflicts: int = 0  # How many of `sent` differ from what this run sent with the same IDs.


class Deduplicator:
    """Decides which events a run sends, from what it remembers and what the store says.

    Args:
        newest: The keys of the newest events that were delivered before, the newest first.
    """

    def __init__(self, account: Account, newest: Iterable[bytes] = ()) -> None:
        self._account = blake2b("\0".join(account).encode(), digest_size=HASH_BYTES)
        # The hashes of recent events with their fingerprints, in parts of this size, the newest
        # last. If another run delivered an event, its fingerprint is not known (None).
        self._size = math.ceil(RECENT / _PARTS)
        self._recent = deque([dict[bytes, int | None]()], maxlen=_PARTS + 1)
        hashes = [key[TIME_BYTES:] for key in newest]
        for start in range(0, len(hashes), self._size):
            self._recent.appendleft(dict.fromkeys(hashes[start : start + self._size]))
        # The events that are reserved and have no outcome, by batch and hash.
        self._reserved: dict[int, dict[bytes, bytes]] = {}  # The keys of these events.
        self._fingerprints: dict[int, dict[bytes, int]] = {}
        self._underway: set[bytes] = set()  # The hashes of all these events.

    def keys_of(self, conversions: Iterable[Conversion]) -> list[bytes]:
        """Return the keys of events: when each expires, and a hash of what identifies it.

        No version of the program may change the bytes of a key: otherwise, the first run of this
        version sends events again.
        """
        stream, pixel_id = None, None
        keys = []
        for conversion in conversions:
            event = conversion.event
            if conversion.stream != stream or event.pixel_id != pixel_id:
                stream, pixel_id = conversion.stream, event.pixel_id
                common = self._common_hash(stream, pixel_id)
            hashed = common.copy()
            hashed.update(event.event_id.encode())
            keys.append(conversion.expires_at.to_bytes(TIME_BYTES, "big") + hashed.digest())
        return keys

    def hash_of(self, stream: str, pixel_id: int, event_id: str) -> bytes:
        """Return the hash of what identifies an event, as in its key."""
        hashed = self._common_hash(stream, pixel_id)
        hashed.update(event_id.encode(errors="replace"))
        return hashed.digest()

    def _common_hash(self, stream: str, pixel_id: int) -> blake2b:
        hashed = self._account.copy()
        # (A dead letter, and so a replay, has the name of the stream without addresses.)
        hashed.update(f"\0{pixel_id}\0{scrub(stream)}\0".encode(errors="replace"))
        return hashed

    def divide(
        self,
        batches: Mapping[int, Sequence[Conversion]],
        keys: Mapping[int, Sequence[bytes]],
        others: Mapping[bytes, str],
        delivered: set[bytes],
    ) -> dict[int, Claim]:
        """Decide which events of batches are sent; this changes nothing.

        Args:
            batches: The events of each batch, by its number.
            keys: The keys of these events.
            others: The hashes of events that other runs have reserved, with the IDs of these runs.
            delivered: The keys of the events that were delivered, according to the store.
        """
        claims = dict[int, Claim]()
        taken: set[bytes] = set()  # The hashes of events that earlier batches reserve.
        for number, conversions in batches.items():
            batch_keys = keys[number]
            hashes = _by_hash(batch_keys)
            recent = [part.keys() for part in self._recent]
            known = (*recent, self._underway, taken, others.keys())
            # Most batches have only new events. A check with sets takes a third of the time of a
            # check of each event.
            is_new = delivered.isdisjoint(batch_keys) and all(map(hashes.keys().isdisjoint, known))
            if is_new and len(hashes) == len(conversions):
                claims[number] = Claim([*conversions], [], [], hashes)
            else:
                claims[number] = self._divide_one_by_one(
                    zip(conversions, batch_keys, strict=True), taken, others, delivered
                )
            taken.update(claims[number].keys)
        return claims

    def _divide_one_by_one(
        self,
        events: Iterable[tuple[Conversion, bytes]],
        taken: set[bytes],
        others: Mapping[bytes, str],
        delivered: set[bytes],
    ) -> Claim:
        """Decide which events of a batch are sent; each event comes with its key."""
        claim = Claim([], [], [], {})
        other_run, conflicts = None, 0
        for conversion, key in events:
            hashed = key[TIME_BYTES:]
            recent = self._recent_with(hashed)
            if recent is not None or key in delivered:
                claim.sent.append(conversion)
                if recent is not None and _differs(conversion, recent[hashed]):
                    conflicts += 1
            elif hashed in self._underway or hashed in taken or hashed in claim.keys:
                claim.waiting.append(conversion)
            elif hashed in others:
                claim.waiting.append(conversion)
                other_run = others[hashed]
            else:
                claim.mine.append(conversion)
                claim.keys[hashed] = key
        return claim._replace(other_run=other_run, conflicts=conflicts)

    def _recent_with(self, hashed: bytes) -> dict[bytes, int | None] | None:
        """Return the part of the recent hashes that has this hash; None if no part has it."""
        return next((recent for recent in self._recent if hashed in recent), None)

    def remembers(self, hashed: bytes) -> bool:
        """Return whether an event with this hash is one of the newest that were delivered."""
        return self._recent_with(hashed) is not None

    def reserve(self, claims: Mapping[int, Claim]) -> None:
        """Note that the store has saved the reservations of batches."""
        for number, claim in claims.items():
            if claim.keys:
                self._reserved[number] = claim.keys
                self._underway.update(claim.keys)
                fingerprints = [fingerprint(conversion.event) for conversion in claim.mine]
                self._fingerprints[number] = dict(zip(claim.keys, fingerprints, strict=True))

    @property
    def reserved(self) -> Mapping[int, Mapping[bytes, bytes]]:
        """The keys of all events that the run has reserved and that have no outcome.

        They are in a mapping by batch, and in each batch by hash.
        """
        return self._reserved

    def confirm(
        self, number: int, confirmed: Sequence[Conversion], *, is_last: bool
    ) -> Iterable[bytes]:
        """Remember the events of a batch that the API has confirmed, and return their keys.

        With `is_last`, the batch is finished, and its reservation ends.
        """
        reserved, fingerprints = self._reserved.pop(number), self._fingerprints.pop(number)
        is_whole = len(confirmed) == len(reserved)  # Usually.
        done = reserved if is_whole else _by_hash(self.keys_of(confirmed))
        self._remember(fingerprints if is_whole else {h: fingerprints[h] for h in done})
        self._underway.difference_update(reserved if is_last else done)
        if not is_last:
            self._reserved[number] = {h: key for h, key in reserved.items() if h not in done}
            self._fingerprints[number] = fingerprints
        return done.values()

    def _remember(self, fingerprints: Mapping[bytes, int]) -> None:
        """Remember the hashes of events with their fingerprints; forget the oldest ones."""
        self._recent[-1].update(fingerprints)
        if len(self._recent[-1]) >= self._size:
            self._recent.append({})


def _differs(conversion: Conversion, known: int | None) -> bool:
    return known is not None and known != fingerprint(conversion.event)


def _by_hash(keys: Iterable[bytes]) -> dict[bytes, bytes]:
    return {key[TIME_BYTES:]: key for key in keys}
