"""The ledger: which events were delivered, by which run, and which events a run is sending now.

Events come again after a crash between sending and STATE, after a canary, or from a tap that
repeats its last row in each run; some come twice in a run, and some in two runs at the same time.
The store keeps a key of each event that was confirmed until the event has expired; after that, the
API refuses it anyway. Before events are sent, a run reserves them, so that no other run sends them
as well; a reservation ends when its event has an outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from target_liveintent.conversions import DAY, Conversion
from target_liveintent.privacy import scrub
from target_liveintent.settings import Settings
from target_liveintent.store.database import AnyStep, Find, ForEach, Row, Step

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

_RESERVE = (
    "INSERT INTO reservation (run, batch, hashes) {values}"
    " ON CONFLICT (run, batch) DO UPDATE SET hashes = excluded.hashes"
)
_RELEASE = "DELETE FROM reservation WHERE (run, batch) IN ({given})"
_OF_OTHERS = (
    "SELECT reservation.hashes, run.id FROM reservation JOIN run ON run.number = reservation.run"
    # (A time further ahead was written before the clock was set back.)
    " WHERE run.number <> ? AND run.alive_until BETWEEN {now} AND {now} + ?"
)
_KNOWN = "SELECT key FROM event WHERE key IN ({given})"
_KNOWN_OF_RUN = "SELECT key FROM event WHERE run = ? AND key IN ({given})"
_NOTE = "INSERT INTO event (key, run) {values} ON CONFLICT (key) DO NOTHING"
_NOTE_AGAIN = (
    "INSERT INTO event (key, run) {values} ON CONFLICT (key) DO UPDATE SET run = excluded.run"
)
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


class Ledger:
    """What a run remembers of the ledger, and the steps by which it asks and tells the store.

    Args:
        account: Events of another account have other keys.
        send_again: Whether events that other runs delivered are sent once more.
    """

    def __init__(self, account: LedgerAccount, *, send_again: bool = False) -> None:
        self._account = blake2b("\0".join(account).encode(), digest_size=HASH_BYTES)
        self._send_again = send_again
        # The hashes of recent events. The older ones are dropped at once when there are too many.
        self._recent: set[bytes] = set()
        self._less_recent: set[bytes] = set()
        self._underway: set[bytes] = set()  # The hashes of the events in `_reserved`.
        self._reserved: dict[int, list[bytes]] = {}  # The keys of the reservations, by batch.
        # What the store must learn next.
        self._confirmed: list[bytes] = []
        self._changed: set[int] = set()  # Batches whose reservation has changed.

    @property
    def has_news(self) -> bool:
        """Whether the store must learn something."""
        return bool(self._confirmed or self._changed)

    @staticmethod
    def newest() -> Step:
        """Return the query for the newest events, which `remember` takes."""
        return Step(_NEWEST, [_RECENT])

    def remember(self, rows: Iterable[Row]) -> None:
        """Take the answer to `newest`."""
        if not self._send_again:
            self._less_recent = {key[TIME_BYTES:] for (key,) in rows}

    # Asking

    def look_up(
        self, batches: Mapping[int, Sequence[Conversion]]
    ) -> tuple[dict[int, Claim], dict[int, dict[bytes, Conversion]]]:
        """Return what is known without the store, and what it must be asked about, by key.

        The events that are asked about count as being on their way until `answer` or `forget`.
        """
        claims: dict[int, Claim] = {}
        wanted: dict[int, dict[bytes, Conversion]] = {}
        underway, recent, less_recent = self._underway, self._recent, self._less_recent
        for number, conversions in batches.items():
            claim = claims[number] = Claim([], [], [])
            asked: dict[bytes, Conversion] = {}
            for conversion, key in zip(conversions, self._keys(conversions), strict=True):
                digest = key[TIME_BYTES:]
                if digest in underway:
                    claim.waiting.append(conversion)
                elif digest in recent or digest in less_recent:
                    claim.sent.append(conversion)
                else:
                    underway.add(digest)
                    asked[key] = conversion
            if asked:
                wanted[number] = asked
        return claims, wanted

    def ask(self, keys: Sequence[bytes], run: int) -> list[AnyStep]:
        """Return the two queries that find out what is known of events; see `answer`."""
        return [Step(_OF_OTHERS, [run, 2 * LAPSE]), self.known(keys, run)]

    def known(self, keys: Sequence[bytes], run: int) -> Find:
        """Return the query for events that were delivered: to send again, only those of a run."""
        if self._send_again:
            return Find(_KNOWN_OF_RUN, "bytea", keys, [run])
        return Find(_KNOWN, "bytea", keys)

    def answer(
        self,
        claims: Mapping[int, Claim],
        wanted: Mapping[int, Mapping[bytes, Conversion]],
        others: Iterable[Row],
        known: Iterable[Row],
    ) -> dict[int, Claim]:
        """Return the claims with what the store says; `reserve` then reserves what is free.

        It may be called again with another answer, if the first transaction was lost.
        """
        taken = _taken(others)
        sent = {key for (key,) in known}
        found = dict(claims)
        for number, asked in wanted.items():
            claim = claims[number]
            waiting, delivered, other_run = [*claim.waiting], [*claim.sent], None
            mine: list[bytes] = []
            for key, conversion in asked.items():
                if key in sent:
                    delivered.append(conversion)
                elif key[TIME_BYTES:] in taken:
                    waiting.append(conversion)
                    other_run = taken[key[TIME_BYTES:]]
                else:
                    mine.append(key)
            self._underway.difference_update([key[TIME_BYTES:] for key in asked])
            self._underway.update([key[TIME_BYTES:] for key in mine])
            self._reserved.pop(number, None)
            if mine:
                self._reserved[number] = mine
            found[number] = Claim([asked[key] for key in mine], waiting, delivered, other_run)
        return found

    def reserve(self, batches: Iterable[int], run: int) -> list[AnyStep]:
        """Return the step that reserves the events of batches after `answer`."""
        rows = [(run, n, self._hashes_of(n)) for n in batches if n in self._reserved]
        return [ForEach(_RESERVE, ("bigint", "bigint", "bytea"), lambda: rows)] if rows else []

    def _hashes_of(self, number: int) -> bytes:
        return b"".join([key[TIME_BYTES:] for key in self._reserved[number]])

    def own_keys(self) -> list[bytes]:
        """Return the keys of all events that the run has reserved."""
        return [key for keys in self._reserved.values() for key in keys]

    def has_lost(self, others: Iterable[Row], known: Iterable[Row]) -> bool:
        """Return whether another run has reserved or sent what this run has reserved."""
        taken = _taken(others)
        return any(known) or any(key[TIME_BYTES:] in taken for key in self.own_keys())

    def forget(self, wanted: Mapping[int, Mapping[bytes, Conversion]]) -> None:
        """Note that the store has not answered."""
        for number, asked in wanted.items():
            self._reserved.pop(number, None)
            self._underway.difference_update([key[TIME_BYTES:] for key in asked])

    # Telling

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed.

        Args:
            number: The number of the batch.
            confirmed: The events.
            is_last: Whether the batch has its outcome; its other reservations end then.
        """
        ended = self._reserved.pop(number)
        # (Usually these are all events of the batch, and their keys are known.)
        keys = ended if len(confirmed) == len(ended) else list(self._keys(confirmed))
        if not is_last:
            done = set(keys)
            self._reserved[number] = [key for key in ended if key not in done]
            ended = keys
        self._underway.difference_update([key[TIME_BYTES:] for key in ended])
        self._changed.add(number)
        if keys:
            if len(self._recent) >= _RECENT:
                self._less_recent, self._recent = self._recent, set()
            self._recent.update([key[TIME_BYTES:] for key in keys])
            self._confirmed += keys

    def news(self, run: int, now: float) -> list[AnyStep]:
        """Return the steps that tell the store what is new; `told` follows if they succeed."""
        steps: list[AnyStep] = []
        if self._confirmed:
            rows = [(key, run) for key in dict.fromkeys(self._confirmed)]
            note = _NOTE_AGAIN if self._send_again else _NOTE
            before = max(0, int(now) - KEPT).to_bytes(TIME_BYTES, "big")
            steps += [
                ForEach(note, ("bytea", "bigint"), lambda: rows),
                # However wrong the clock is, a run of which nothing is accepted removes nothing.
                Step(_EXPIRE, [before, max(_LEAST_REMOVED, 2 * len(rows))]),
            ]
        if self._changed:
            changed = [(run, number) for number in self._changed]
            steps.append(ForEach(_RELEASE, ("bigint", "bigint"), lambda: changed))
            steps += self.reserve(sorted(self._changed), run)  # What is left of them.
        return steps

    def told(self) -> None:
        """Note that the store has taken the news."""
        self._confirmed, self._changed = [], set()

    def _keys(self, conversions: Iterable[Conversion]) -> Iterator[bytes]:
        """Yield the key of each event: when it expires, and a hash of what identifies it."""
        stream, pixel_id = None, None
        for conversion in conversions:
            if conversion.stream != stream or conversion.pixel_id != pixel_id:
                stream, pixel_id = conversion.stream, conversion.pixel_id
                common = self._account.copy()
                # (A dead letter of a stream whose name holds an address has another name.)
                common.update(f"\0{pixel_id}\0{scrub(stream)}\0".encode(errors="replace"))
            digest = common.copy()
            digest.update(conversion.event_id.encode(errors="replace"))
            yield conversion.expires_at.to_bytes(TIME_BYTES, "big") + digest.digest()


def _taken(others: Iterable[Row]) -> dict[bytes, str]:
    """Return the hashes that other runs have reserved, each with the ID of a run."""
    return {
        hashes[start : start + HASH_BYTES]: run_id
        for hashes, run_id in others
        for start in range(0, len(hashes), HASH_BYTES)
    }


def event_key(conversion: Conversion) -> tuple[int, str, str]:
    """Return what identifies an event among all events of an account."""
    return conversion.pixel_id, conversion.stream, conversion.event_id
