"""What a ledger and its store say to each other: all of it in one round trip."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from target_liveintent.conversions import DAY, Conversion

TIME_BYTES = 5
"""The bytes of a key that hold a Unix time, in seconds: when the event expires."""
HASH_BYTES = 11
"""The bytes of a key that hold the hash."""
KEY_BYTES = TIME_BYTES + HASH_BYTES
LAPSE = 30
"""Seconds after which the claims of a run lapse that does not renew them: it has died."""
FORGOTTEN = DAY
"""Seconds after which claims that have lapsed are removed. Until then, a run that has only stood
still can take them up again if no other run has asked for their events."""
KEPT = 30 * DAY
"""Seconds for which a key stays after its event has expired, in case the clock is wrong."""
_REMOVED_AT_ONCE = 200
"""The most expired keys that are removed with the events of a batch: the pause stays short."""


class Exchange(NamedTuple):
    """What a store does at once, or not at all, in this order.

    Attributes:
        confirmed: The keys of events that the API has accepted, in order.
        pixel_ids: The pixels of these events.
        ended: The batches whose claims are given back; None for all of the run.
        wanted: The events that are to be claimed, by batch and key. Neither what was accepted nor
            what another run has claimed is claimed.
        renews: Whether the claims that the run has already are renewed.
    """

    confirmed: Sequence[bytes]
    pixel_ids: Collection[int]
    ended: Sequence[int] | None
    wanted: Mapping[int, Mapping[bytes, Conversion]]
    renews: bool

    def expired(self, now: float) -> tuple[bytes, int]:
        """Return up to which key those are that may be removed, and how many of them at most."""
        before = max(0, int(now) - KEPT).to_bytes(TIME_BYTES, "big")
        return before, max(_REMOVED_AT_ONCE, 2 * len(self.confirmed))


class Found(NamedTuple):
    """What a store answers.

    Attributes:
        known: Those of the wanted keys that were accepted before.
        taken: Those that another run has claimed, with its ID.
        renewed: How many claims were renewed; None if they were not, or are not kept.
    """

    known: Collection[bytes] = frozenset()
    taken: Mapping[bytes, str] = {}
    renewed: int | None = None


class LedgerStore(Protocol):
    """Keeps the keys and the claims of a ledger for one run.

    Attributes:
        exists: Whether there is something to open already.
        is_kept: Whether what it learns will be there for the next run.
        waits_for: What it waits for at this moment, as a clause; empty if for nothing.
    """

    @property
    def exists(self) -> bool: ...  # noqa: D102 (above)
    @property
    def is_kept(self) -> bool: ...  # noqa: D102
    @property
    def waits_for(self) -> str: ...  # noqa: D102

    def open(self, count: int) -> Iterable[bytes]:
        """Open it, or make it; return the hashes of so many events, those that expire last.

        Raises:
            ConfigurationError: If it is not a ledger, or cannot be made.
            StorageError: If it cannot be used.
        """

    def known(self, asked: Mapping[bytes, Conversion]) -> Collection[bytes]:
        """Return those of the keys that were accepted before; writes nothing."""

    def exchange(self, asked: Exchange) -> Found:
        """Take what is new, and answer; raises a `StorageError` if that is not possible."""

    def close(self) -> None:
        """Close it."""
