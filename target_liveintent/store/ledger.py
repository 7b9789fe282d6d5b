"""The ledger: which events were delivered, by which run, and which events a run is sending now.

Events come again after a crash between sending and STATE, after a canary, or from a tap that
repeats its last row in each run; some come twice in a run, and some in two runs at the same time.
The store keeps a key of each event that was confirmed until the event has expired; after that, the
API refuses it anyway. Before events are sent, a run reserves them, so that no other run sends them
as well; a reservation ends when its batch has its outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from target_liveintent.conversions import Conversion
from target_liveintent.privacy import scrub
from target_liveintent.settings import Account

TIME_BYTES = 5
"""The bytes of a key that hold a Unix time, in seconds: when the event expires."""
HASH_BYTES = 11
"""The bytes of a key that hold the hash."""
RECENT = 50_000
"""How many events have their hashes in memory, so that they are recognized whatever else changes in
a record. The keys of older events, which begin with a time, must be found in the store."""


class Claim(NamedTuple):
    """What the ledger says of the events of a batch.

    Attributes:
        mine: Those that this run must send now.
        waiting: Those that are on their way already, in this run or in another one. Their outcome
            is not known yet: ask again.
        sent: Those that were delivered before.
        other_run: A run that has reserved some of `waiting`, if it is not this one.
    """

    mine: list[Conversion]
    waiting: list[Conversion]
    sent: list[Conversion]
    other_run: str | None = None


class Division(NamedTuple):
    """Which events of some batches are sent, and which are not.

    Attributes:
        claims: What is known of each batch.
        reserved: The keys of those of its events that are sent, if there are any.
    """

    claims: dict[int, Claim]
    reserved: dict[int, list[bytes]]


class Ledger:
    """Decides which events a run sends, from what it remembers and what the store says.

    Args:
        account: Events of another account have other keys.

    Attributes:
        confirmed: The keys of events that the API has confirmed: the store must learn them.
        ended: The numbers of batches that have their outcome: their reservations must end.
    """

    def __init__(self, account: Account) -> None:
        self._account = blake2b("\0".join(account).encode(), digest_size=HASH_BYTES)
        # The hashes of recent events. The older ones are dropped at once when there are too many.
        self._recent: set[bytes] = set()
        self._less_recent: set[bytes] = set()
        self._reserved: dict[int, list[bytes]] = {}  # The keys of what has no outcome, by batch.
        self._underway: set[bytes] = set()  # Their hashes.
        self.confirmed: list[bytes] = []
        self.ended: list[int] = []

    def remember(self, newest: Iterable[bytes]) -> None:
        """Know the newest events that were delivered before, by their keys."""
        self._less_recent = {key[TIME_BYTES:] for key in newest}

    def keyed(
        self, batches: Mapping[int, Sequence[Conversion]]
    ) -> list[tuple[int, bytes, Conversion]]:
        """Return each event with its batch and its key.

        The key says when the event expires, and then has a hash of what identifies the event.
        """
        stream, pixel_id = None, None
        found = []
        for number, conversions in batches.items():
            for conversion in conversions:
                event = conversion.event
                if conversion.stream != stream or event.pixel_id != pixel_id:
                    stream, pixel_id = conversion.stream, event.pixel_id
                    common = self._account.copy()
                    # (A dead letter of a stream whose name holds an address has another name.)
                    common.update(f"\0{pixel_id}\0{scrub(stream)}\0".encode(errors="replace"))
                hashed = common.copy()
                hashed.update(event.event_id.encode(errors="replace"))
                key = conversion.expires_at.to_bytes(TIME_BYTES, "big") + hashed.digest()
                found.append((number, key, conversion))
        return found

    def divide(
        self,
        events: Iterable[tuple[int, bytes, Conversion]],
        others: Mapping[bytes, str],
        delivered: Collection[bytes],
    ) -> Division:
        """Decide which events are sent. This changes nothing; see `reserve`.

        Args:
            events: The events, as `keyed` returns them.
            others: The hashes that other runs have reserved, each with the ID of a run.
            delivered: The keys that the store has.
        """
        claims: dict[int, Claim] = {}
        reserved: dict[int, list[bytes]] = {}
        mine: set[bytes] = set()
        underway, recent, less_recent = self._underway, self._recent, self._less_recent
        for number, key, conversion in events:
            if number not in claims:
                claims[number], reserved[number] = Claim([], [], []), []
            claim, hashed = claims[number], key[TIME_BYTES:]
            if hashed in recent or hashed in less_recent or key in delivered:
                claim.sent.append(conversion)
            elif hashed in underway or hashed in mine:
                claim.waiting.append(conversion)
            elif hashed in others:
                claim.waiting.append(conversion)
                claims[number] = claim._replace(other_run=others[hashed])
            else:
                mine.add(hashed)
                claim.mine.append(conversion)
                reserved[number].append(key)
        return Division(claims, {number: keys for number, keys in reserved.items() if keys})

    def reserve(self, reserved: Mapping[int, list[bytes]]) -> None:
        """Note that the store has saved reservations."""
        self._reserved |= reserved
        self._underway.update(key[TIME_BYTES:] for keys in reserved.values() for key in keys)

    @property
    def reserved(self) -> list[bytes]:
        """The keys of all events that the run has reserved, and that have no outcome."""
        return [key for keys in self._reserved.values() for key in keys]

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed; the last ones end its reservation."""
        reserved = self._reserved.pop(number)
        # (Usually these are all events of the batch, and their keys are known.)
        is_all = len(confirmed) == len(reserved)
        keys = reserved if is_all else [key for _, key, _ in self.keyed({number: confirmed})]
        if len(self._recent) >= RECENT:
            self._less_recent, self._recent = self._recent, set()
        self._recent.update([key[TIME_BYTES:] for key in keys])
        self.confirmed += keys
        if is_last:
            self.ended.append(number)
            keys = reserved
        else:
            done = set(keys)
            self._reserved[number] = [key for key in reserved if key not in done]
        self._underway.difference_update([key[TIME_BYTES:] for key in keys])
