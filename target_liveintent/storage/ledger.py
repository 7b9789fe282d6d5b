"""The ledger: remembers across runs which events were delivered, so that none is sent twice.

Events come again after a crash between sending and STATE, after a canary, or from a tap that
repeats its last row in each run; some come twice in a run, and some in two runs at the same time.
The ledger keeps a key of each event that was confirmed until the event has expired; after that, the
API refuses it anyway. Before events are sent, a run *claims* them, so that no other run sends them
as well; it gives a claim back when the batch of the events has its outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion
from target_liveintent.errors import StorageError
from target_liveintent.storage.ledger_store import (
    HASH_BYTES,
    TIME_BYTES,
    Exchange,
    Found,
    LedgerStore,
)

_RECENT = 50_000
"""Events of which the hashes are kept in memory: they are known whatever else changes in a record.
Of older ones, the key must be found in the store, and it begins with a time."""
_RENEWED_AFTER = 5.0
"""Seconds after which a run renews its claims."""


class LedgerAccount(NamedTuple):
    """Whose events a ledger is asked about.

    Attributes:
        customer_id: The setting.
        host: The name of the API's host, without a port.
    """

    customer_id: str
    host: str

    @property
    def digest(self) -> bytes:
        """What stands for the account in a ledger."""
        return self.hash().digest()

    def hash(self) -> blake2b:
        """Return what the hashes of the account's events begin with."""
        return blake2b("\0".join(self).encode(), digest_size=HASH_BYTES)


class Claim(NamedTuple):
    """What the ledger says of the events of a batch.

    Attributes:
        mine: Those that this run must send now.
        waiting: Those that are on their way already, in this run or in another one. Their outcome
            is not known yet: ask again.
        sent: How many were delivered before.
        other_run: A run that has claimed some of `waiting`, if it is not this one.
    """

    mine: list[Conversion]
    waiting: list[Conversion]
    sent: int
    other_run: str | None = None


class EventLedger(Protocol):
    """What a run uses of a ledger.

    Attributes:
        is_kept: Whether the next run will know what this one delivers.
        waits_for: What the run waits for at this moment, as a clause; empty if for nothing.
    """

    @property
    def is_kept(self) -> bool: ...  # noqa: D102 (above)
    @property
    def waits_for(self) -> str: ...  # noqa: D102

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Claim the events of batches before they are sent, in one round trip.

        Args:
            batches: The events by the number of their batch; no number comes twice in a run, unless
                nothing of the batch was claimed.

        Raises:
            ConfigurationError: If the store cannot be made, and that ends the run.
            StorageError: If it cannot be used, and that ends the run.
        """

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Note which events of a batch the API has confirmed, while others have no outcome yet.

        The next `claim` or `write` makes it durable.
        """

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Note that a batch has its outcome, and which of its events the API confirmed.

        The next `claim` or `write` makes it durable.

        Args:
            number: The number of the batch.
            confirmed: The events; those that `confirm` has noted are not among them.
        """

    def write(self) -> None:
        """Make durable what was noted, and renew the claims of the run if it is time.

        Raises:
            StorageError: If that is not possible, and ends the run.
        """

    def close(self) -> None:
        """Make durable what was noted, and give all claims back."""


class Ledger:
    """The delivered events of an account, in a store. See `EventLedger`.

    Args:
        store: Where they are kept. One that is there is opened at once; another one is made when
            the first event is sent.
        account: Events of another account have other keys.
        clock: Says when claims are renewed.

    Raises:
        ConfigurationError: If the store is not a ledger, or cannot be made.
        StorageError: If it cannot be used.
    """

    def __init__(
        self, store: LedgerStore, account: LedgerAccount, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._store = store
        self._account = account.hash()
        self._clock = clock
        # The hashes of recent events. The older ones are dropped at once when there are too many.
        self._recent: set[bytes] = set()
        self._less_recent: set[bytes] = set()
        self._underway: set[bytes] = set()  # The hashes of the events in `_claims`.
        self._claims: dict[int, list[bytes]] = {}  # The keys that the run has claimed, by batch.
        # What the store must learn next.
        self._confirmed: list[bytes] = []
        self._pixel_ids: set[int] = set()
        self._ended: list[int] = []
        self._renewed_at = clock.monotonic()
        self._has_failed = False
        self._has_lapsed = False
        self._is_open = False
        if store.exists:
            self._open()

    @property
    def is_kept(self) -> bool:
        """Whether the next run will know what this one delivers."""
        return self._store.is_kept

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        return self._store.waits_for

    def _open(self) -> None:
        self._less_recent = set(self._store.open(_RECENT))
        self._is_open = True

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Claim the events of batches before they are sent, in one round trip."""
        if not self._is_open:
            self._open()
        claims: dict[int, Claim] = {}
        wanted: dict[int, dict[bytes, Conversion]] = {}
        for number, conversions in batches.items():
            claims[number], keys = self._look_up(conversions)
            if keys:
                wanted[number] = keys
        if wanted:
            claims |= self._ask(wanted, claims)
        return claims

    def _look_up(self, conversions: Sequence[Conversion]) -> tuple[Claim, dict[bytes, Conversion]]:
        """Return what is known without the store, and what it must be asked about, by key."""
        asked: dict[bytes, Conversion] = {}
        waiting: list[Conversion] = []
        sent = 0
        underway, recent, less_recent = self._underway, self._recent, self._less_recent
        for conversion, key in zip(conversions, self._keys(conversions), strict=True):
            digest = key[TIME_BYTES:]
            if digest in underway:
                waiting.append(conversion)
            elif digest in recent or digest in less_recent:
                sent += 1
            else:
                underway.add(digest)
                asked[key] = conversion
        return Claim([], waiting, sent), asked

    def _ask(
        self, wanted: Mapping[int, Mapping[bytes, Conversion]], claims: Mapping[int, Claim]
    ) -> dict[int, Claim]:
        """Ask the store; return the claims with what it says."""
        is_first = not self._claims
        try:
            known, taken = self._exchange(wanted)
        except BaseException:
            for keys in wanted.values():
                self._underway.difference_update(map(_hash_of, keys))
            raise
        if is_first:
            self._renewed_at = self._clock.monotonic()
        found = {}
        for number, keys in wanted.items():
            free = keys
            _, waiting, sent, other_run = claims[number]
            if known or taken:
                free = {k: c for k, c in keys.items() if k not in known and k not in taken}
                others = [key for key in keys if key in taken and key not in known]
                waiting += [keys[key] for key in others]
                sent += len(keys) - len(free) - len(others)
                other_run = taken[others[0]] if others else None
                self._underway.difference_update(_hash_of(k) for k in keys if k not in free)
            if free:
                self._claims[number] = list(free)
            found[number] = Claim(list(free.values()), waiting, sent, other_run)
        return found

    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        """Return the events that were not delivered before, and write nothing."""
        keys = dict(zip(self._keys(conversions), conversions, strict=True))
        recent = self._recent | self._less_recent
        asked = {key: one for key, one in keys.items() if _hash_of(key) not in recent}
        known = self._store.known(asked) if asked else ()
        return [one for key, one in asked.items() if key not in known]

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Note which events of a batch the API has confirmed, while others have no outcome yet."""
        if not confirmed:
            return
        keys = list(self._keys(confirmed))
        done = set(keys)
        self._claims[number] = [key for key in self._claims[number] if key not in done]
        self._underway.difference_update(map(_hash_of, keys))
        self._note(keys, confirmed)

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Note that a batch has its outcome, and which of its events the API confirmed."""
        keys = self._claims.pop(number)
        self._ended.append(number)
        self._underway.difference_update(map(_hash_of, keys))
        if not confirmed:
            return
        if len(confirmed) < len(keys):
            keys = list(self._keys(confirmed))
        self._note(keys, confirmed)

    def _note(self, keys: list[bytes], confirmed: Sequence[Conversion]) -> None:
        """Note confirmed events for the store, and remember them."""
        if len(self._recent) >= _RECENT:
            self._less_recent, self._recent = self._recent, set()
        self._recent.update(map(_hash_of, keys))
        self._confirmed += keys
        self._pixel_ids.update([conversion.pixel_id for conversion in confirmed])

    def write(self) -> None:
        """Make durable what was noted, and renew the claims of the run if it is time."""
        if self._ended or self._confirmed or self._must_renew or self._has_lapsed:
            self._exchange({})

    @property
    def _must_renew(self) -> bool:
        is_time = self._clock.monotonic() - self._renewed_at >= _RENEWED_AFTER
        return is_time and bool(self._claims)

    def _exchange(
        self, wanted: Mapping[int, Mapping[bytes, Conversion]]
    ) -> tuple[Collection[bytes], Mapping[bytes, str]]:
        """Tell the store what was noted, and ask it; return the known keys, and the taken ones."""
        renews = self._must_renew
        found = self._tell(self._ended, wanted, renews=renews)
        if found.renewed is not None:
            self._has_lapsed |= found.renewed < len(self._claims)
            self._renewed_at = self._clock.monotonic()
        if self._has_lapsed:
            msg = (
                "this run was suspended for so long that its reservations in the ledger expired,"
                " and another run has reserved the same events. This run cannot continue: start"
                " the run again"
            )
            raise StorageError(msg)
        return found.known, found.taken

    def _tell(
        self,
        ended: Sequence[int] | None,
        wanted: Mapping[int, Mapping[bytes, Conversion]],
        *,
        renews: bool,
    ) -> Found:
        """Make an exchange. If that fails, what was noted goes into the next one."""
        self._has_failed = True
        found = self._store.exchange(
            Exchange(sorted(self._confirmed), self._pixel_ids, ended, wanted, renews=renews)
        )
        self._has_failed = False
        self._confirmed, self._pixel_ids, self._ended = [], set(), []
        return found

    def _keys(self, conversions: Iterable[Conversion]) -> Iterable[bytes]:
        """Yield the key of each event: when it expires, and a hash of what identifies it."""
        stream, pixel_id = None, None
        for conversion in conversions:
            if conversion.stream != stream or conversion.pixel_id != pixel_id:
                stream, pixel_id = conversion.stream, conversion.pixel_id
                common = self._account.copy()
                common.update(f"\0{pixel_id}\0{stream}\0".encode(errors="replace"))
            digest = common.copy()
            digest.update(conversion.event_id.encode(errors="replace"))
            yield conversion.expires_at.to_bytes(TIME_BYTES, "big") + digest.digest()

    def close(self) -> None:
        """Make durable what was noted, and give all claims back."""
        failed_before = self._has_failed
        try:
            if self._claims or self._ended or self._confirmed or failed_before:
                self._tell(None, {}, renews=False)
        except StorageError:
            if not failed_before:  # Otherwise it has been said.
                raise
        finally:
            self._claims.clear()
            self._has_failed = False
            self._store.close()


def event_key(conversion: Conversion) -> tuple[int, str, str]:
    """Return what identifies an event among all events of an account."""
    return conversion.pixel_id, conversion.stream, conversion.event_id


def _hash_of(key: bytes) -> bytes:
    return key[TIME_BYTES:]
