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

from target_liveintent.conversions import DAY, Conversion
from target_liveintent.privacy import scrub
from target_liveintent.settings import Settings
from target_liveintent.store.database import Row, Step
from target_liveintent.store.layout import EVENT, RESERVATION

TIME_BYTES = 5
"""The bytes of a key that hold a Unix time, in seconds: when the event expires."""
HASH_BYTES = 11
"""The bytes of a key that hold the hash."""
KEPT = 30 * DAY
"""Seconds for which a key stays after its event has expired, in case the clock is wrong."""
LAPSE = 30
"""Seconds after which the reservations of a run lapse that does not renew them: it has died."""
_RECENT = 50_000
"""Events whose hashes are kept in memory: they are known whatever else changes in a record. Of
older ones, the key must be found in the store, and it begins with a time."""
_LEAST_REMOVED = 200
"""Expired keys that are removed with the events of a transaction: the pause stays short."""

_OF_OTHERS = (
    "SELECT reservation.hashes, run.id FROM reservation JOIN run ON run.number = reservation.run"
    # (A time further ahead was written before the clock was set back.)
    " WHERE run.number <> ? AND run.alive_until BETWEEN {now} AND {now} + ?"
)
_KNOWN = "SELECT key FROM event WHERE key IN ({rows})"
_KNOWN_OF_RUN = "SELECT key FROM event WHERE run = ? AND key IN ({rows})"
_EXPIRE = (
    "DELETE FROM event WHERE key IN (SELECT key FROM event WHERE key < ? ORDER BY key LIMIT ?)"
)
_NEWEST = "SELECT key FROM event ORDER BY key DESC LIMIT ?"


class LedgerAccount(NamedTuple):
    """Whose events a ledger is asked about.

    Attributes:
        customer_id: The setting.
        host: The name of the API's host, without a port.
    """

    customer_id: str
    host: str


def account_of(settings: Settings) -> LedgerAccount:
    """Return whose events a run sends."""
    return LedgerAccount(settings.customer_id, settings.api_host)


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


class Keyed(NamedTuple):
    """An event of a batch with its key: when it expires, and a hash of what identifies it."""

    batch: int
    key: bytes
    hash: bytes
    conversion: Conversion


class Ledger:
    """What a run remembers of the ledger, and the steps by which it asks and tells the store.

    Args:
        account: Events of another account have other keys.
        run: The number of the run in the store.
        send_again: Whether events that other runs delivered are sent once more.
        newest: The answer to `newest`.
    """

    def __init__(
        self,
        account: LedgerAccount,
        run: int,
        newest: Iterable[Row],
        *,
        send_again: bool = False,
    ) -> None:
        self._account = blake2b("\0".join(account).encode(), digest_size=HASH_BYTES)
        self._run = run
        self._send_again = send_again
        # The hashes of recent events. The older ones are dropped at once when there are too many.
        self._recent: set[bytes] = set()
        self._less_recent = set() if send_again else {key[TIME_BYTES:] for (key,) in newest}
        self._reserved: dict[int, list[bytes]] = {}  # The keys of what has no outcome, by batch.
        self._underway: set[bytes] = set()  # Their hashes.
        # What the store must learn next.
        self._confirmed: list[bytes] = []
        self._ended: list[Row] = []  # The keys of reservations.

    @property
    def has_news(self) -> bool:
        """Whether the store must learn something."""
        return bool(self._confirmed or self._ended)

    @staticmethod
    def newest() -> Step:
        """Return the query for the newest events."""
        return Step(_NEWEST, [_RECENT])

    # Asking

    def keyed(self, batches: Mapping[int, Sequence[Conversion]]) -> list[Keyed]:
        """Return the events of batches with their keys."""
        stream, pixel_id = None, None
        found = []
        for number, conversions in batches.items():
            for conversion in conversions:
                if conversion.stream != stream or conversion.pixel_id != pixel_id:
                    stream, pixel_id = conversion.stream, conversion.pixel_id
                    common = self._account.copy()
                    # (A dead letter of a stream whose name holds an address has another name.)
                    common.update(f"\0{pixel_id}\0{scrub(stream)}\0".encode(errors="replace"))
                digest = common.copy()
                digest.update(conversion.event_id.encode(errors="replace"))
                hashed = digest.digest()
                key = conversion.expires_at.to_bytes(TIME_BYTES, "big") + hashed
                found.append(Keyed(number, key, hashed, conversion))
        return found

    def questions(self, keys: Iterable[bytes]) -> list[Step]:
        """Return the queries for the reservations of other runs, and for what was delivered."""
        return [Step(_OF_OTHERS, [self._run, 2 * LAPSE]), self.delivered(keys)]

    def delivered(self, keys: Iterable[bytes]) -> Step:
        """Return the query for events that were delivered: to send again, only those of the run."""
        rows = [(key,) for key in keys]
        if self._send_again:
            return Step(_KNOWN_OF_RUN, [self._run], rows, ["BYTES"])
        return Step(_KNOWN, (), rows, ["BYTES"])

    def divide(
        self, events: Sequence[Keyed], others: Mapping[bytes, str], delivered: Collection[bytes]
    ) -> tuple[dict[int, Claim], dict[int, list[bytes]]]:
        """Decide which events are sent. This changes nothing; see `reserve`.

        Args:
            events: The events of batches.
            others: The hashes that other runs have reserved, each with the ID of a run.
            delivered: The keys that the store has.

        Returns:
            What is known of each batch, and the keys of those of its events that are sent.
        """
        claims: dict[int, Claim] = {}
        reserved: dict[int, list[bytes]] = {}
        mine: set[bytes] = set()
        underway, recent, less_recent = self._underway, self._recent, self._less_recent
        for number, key, hashed, conversion in events:
            claim = claims.get(number) or claims.setdefault(number, Claim([], [], []))
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
                reserved.setdefault(number, []).append(key)
        return claims, reserved

    def reservations(self, reserved: Mapping[int, Sequence[bytes]]) -> Step:
        """Return the step that reserves events."""
        rows = [
            (self._run, number, b"".join([key[TIME_BYTES:] for key in keys]))
            for number, keys in reserved.items()
        ]
        return RESERVATION.put(rows)

    def reserve(self, reserved: Mapping[int, list[bytes]]) -> None:
        """Note that the store has taken reservations."""
        self._reserved |= reserved
        for keys in reserved.values():
            self._underway.update([key[TIME_BYTES:] for key in keys])

    def own_keys(self) -> list[bytes]:
        """Return the keys of all events that the run has reserved, and that have no outcome."""
        return [key for keys in self._reserved.values() for key in keys]

    # Telling

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed.

        Args:
            number: The number of the batch.
            confirmed: The events.
            is_last: Whether the batch has its outcome. Its reservation ends then.
        """
        reserved = self._reserved.pop(number)
        # (Usually these are all events of the batch, and their keys are known.)
        is_all = len(confirmed) == len(reserved)
        keys = reserved if is_all else [one.key for one in self.keyed({number: confirmed})]
        hashes = [key[TIME_BYTES:] for key in keys]
        if len(self._recent) >= _RECENT:
            self._less_recent, self._recent = self._recent, set()
        self._recent.update(hashes)
        self._confirmed += keys
        if is_last:
            self._ended.append((self._run, number))
            hashes = [key[TIME_BYTES:] for key in reserved]
        else:
            done = set(keys)
            self._reserved[number] = [key for key in reserved if key not in done]
        self._underway.difference_update(hashes)

    def news(self, now: float) -> list[Step]:
        """Return the steps that tell the store what is new; `told` follows if they succeed."""
        steps = []
        if self._confirmed:
            rows = [(key, self._run) for key in dict.fromkeys(self._confirmed)]
            before = max(0, int(now) - KEPT).to_bytes(TIME_BYTES, "big")
            steps += [
                EVENT.put(rows, keeps_old=not self._send_again),
                # However wrong the clock is, a run of which nothing is accepted removes nothing.
                Step(_EXPIRE, [before, max(_LEAST_REMOVED, 2 * len(rows))]),
            ]
        if self._ended:
            steps.append(RESERVATION.remove(self._ended))
        return steps

    def told(self) -> None:
        """Note that the store has taken the news."""
        self._confirmed, self._ended = [], []


def reserved_by_others(rows: Iterable[Row]) -> dict[bytes, str]:
    """Return the hashes that other runs have reserved, each with the ID of a run."""
    return {
        hashes[start : start + HASH_BYTES]: run_id
        for hashes, run_id in rows
        for start in range(0, len(hashes), HASH_BYTES)
    }


def event_key(conversion: Conversion) -> tuple[int, str, str]:
    """Return what identifies an event among all events of an account."""
    return conversion.pixel_id, conversion.stream, conversion.event_id
