"""What the writes of an account know of each other: small files next to the dead letters.

Whether the API accepts events of an account and a pixel, and how many of the last events of a
stream became dead letters. Both hold after a restart, on any machine.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from target_liveintent.run import RunCounts, StreamCounts
from target_liveintent.spark.attempts import Write
from target_liveintent.spark.object_store import ObjectStore

_NOTE = (
    b"The API has accepted events of this account and pixel, so events that it refuses become dead"
    b" letters. Without this file, that is found out again.\n"
)
_RECORDS = 1_000
"""Records of a stream that are judged together, at least."""


class Acceptance:
    """Whether the API has ever accepted events of an account and a pixel.

    Args:
        store: The folder of dead letters.
        account: What stands for the account and the pixel in the name of the file.
    """

    def __init__(self, store: ObjectStore, account: str) -> None:
        self._store = store
        self._name = f"_accepted/{account}"
        self._is_known = False

    def is_known(self) -> bool:
        """Return whether it is known; raises `StorageError` if the storage fails."""
        self._is_known = self._is_known or self._store.exists(self._name)
        return self._is_known

    def note(self) -> None:
        """Note that it has; raises `StorageError` if the storage fails."""
        if not self.is_known():
            self._store.put(self._name, _NOTE)
            self._is_known = True


class _Outcomes(msgspec.Struct):
    """What became of the records of a write."""

    batch: int
    run: str
    read: int
    delivered: int
    rejected: dict[str, int]
    dropped: dict[str, int]


class RecentEvents:
    """The outcomes of the last records of a stream, across its micro-batches.

    Args:
        store: The folder of dead letters.
        write: The write of a micro-batch that has just been done.
        counts: Its counts.

    Attributes:
        counts: The counts of the last 1,000 records or more, with those of the write.
    """

    def __init__(self, store: ObjectStore, write: Write, counts: RunCounts) -> None:
        assert write.batch is not None  # noqa: S101 (only streams have micro-batches)
        self._store = store
        self._name = f"_recent/{write.batch.query}-{write.target}"
        total, number, run = counts.total, write.batch.number, write.batch.run
        # A micro-batch that begins again counts once.
        before = [
            one
            for one in self._load()
            if one.batch < number or (one.batch == number and one.run == run)
        ]
        rejected, dropped = dict(total.rejected), dict(total.dropped)
        now = _Outcomes(number, run, total.read, total.delivered, rejected, dropped)
        self._kept = _newest([*before, now])
        self.counts = RunCounts()
        for one in self._kept:
            self.counts.of("the stream").add(
                StreamCounts(
                    read=one.read,
                    delivered=one.delivered,
                    rejected=Counter(one.rejected),
                    dropped=Counter(one.dropped),
                )
            )

    def _load(self) -> list[_Outcomes]:
        try:
            return msgspec.json.decode(self._store.read(self._name), type=list[_Outcomes])
        except (FileNotFoundError, msgspec.MsgspecError):  # Half of it, from a driver that died.
            return []

    def save(self) -> None:
        """Keep them for the next micro-batch; raises `StorageError` if the storage fails."""
        self._store.put(self._name, msgspec.json.encode(self._kept))


def _newest(outcomes: list[_Outcomes]) -> list[_Outcomes]:
    """Return the last ones that have so many records together that they can be judged."""
    read = 0
    for number, one in enumerate(reversed(outcomes), 1):
        read += one.read
        if read >= _RECORDS:
            return outcomes[-number:]
    return outcomes
