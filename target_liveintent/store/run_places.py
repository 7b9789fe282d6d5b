"""Where the events of one run are, and when a run first read each of them.

An event that an earlier run read counts on the day of that run: its dead letter, or its row in the
table `waiting`, tells the day when the event is reserved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from target_liveintent.conversions.event_model import Conversion
from target_liveintent.store.deduplication import TIME_BYTES, Claim, Deduplicator
from target_liveintent.store.layout import UNCOUNTED, WAITING_EVENT, SqlRow, Step
from target_liveintent.store.places import PlaceCounts
from target_liveintent.store.waiting import (
    Owner,
    WaitingEvent,
    amounts_text,
    waiting_events,
    waiting_steps,
)


class RunPlaces:
    """Counts the events of a run by their places, and keeps which of them wait.

    `arrived` are the hashes of events that arrived before and that the run sends once more.

    Attributes:
        counts: The events that arrived, and the records that were left out.
        has_waiting: Whether the store may have waiting events; True until the store answers.
        reservations: The rows of the reserved batches that are not done, by their numbers.
    """

    def __init__(
        self, owner: Owner, run: int, deduplicator: Deduplicator, arrived: frozenset[bytes]
    ) -> None:
        self.counts = PlaceCounts(owner, run)
        self.has_waiting = True
        self.reservations: dict[int, SqlRow] = {}
        self._owner, self._run, self._deduplicator = owner, run, deduplicator
        self._arrived = arrived
        self._first_read: dict[bytes, float] = {}  # By hash, of events that an earlier run read.
        self._without_outcome: dict[bytes, WaitingEvent] = {}  # They wait when the run ends.
        self._no_longer_waiting: list[bytes] = []  # The hashes of events that do not wait any more.
        # The hashes, reasons and times of reading of records whose events may wait.
        self._left_out: list[tuple[bytes, str, float]] = []

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self.counts or self._no_longer_waiting or self._left_out)

    # Reservations

    def reservation(
        self, number: int, claim: Claim, with_letters: Collection[bytes], now: float
    ) -> SqlRow:
        """Return the row of the reservation of a batch.

        Args:
            number: The number of the batch.
            claim: The events to reserve.
            with_letters: The hashes of events that have a dead letter: these events never count as
                waiting.
            now: The present Unix time.
        """
        elsewhere = {*with_letters, *(claim.keys.keys() & self._arrived)}
        amounts = amounts_text(zip(claim.keys, claim.mine, strict=True), elsewhere)
        return self._run, number, b"".join(claim.keys.values()), int(now), amounts

    def reserve(
        self, rows: Iterable[SqlRow], claims: Iterable[Claim], dates: Mapping[bytes, float]
    ) -> None:
        """Note the reservations of claims; `dates` says when earlier runs read events, by hash."""
        self.reservations |= {row[1]: row for row in rows}
        for claim in claims:
            known = dates.keys() & claim.keys.keys()
            self._first_read |= {hashed: dates[hashed] for hashed in known}
            self._first_read |= dict.fromkeys(claim.keys.keys() & self._arrived, UNCOUNTED)
            if self.has_waiting:
                self._no_longer_waiting += self._hashes(claim.sent)

    def end_batch(self, number: int, left: Collection[bytes] = ()) -> None:
        """Note that a batch is done; its events with the hashes in `left` have no outcome."""
        *_, keys, read_at, amounts = self.reservations.pop(number)
        if left:
            self._without_outcome |= {
                event.hash: event
                for event in waiting_events(keys, read_at, amounts)
                if event.hash in left
            }

    # Outcomes

    def arrive(self, conversions: Sequence[Conversion], read_at: float) -> None:
        """Count delivered events of a batch that the run read at a Unix time."""
        rest = conversions
        if self._first_read or self.has_waiting:
            hashes = self._hashes(conversions)
            self._no_longer_waiting += hashes
            rest = []
            for conversion, hashed in zip(conversions, hashes, strict=True):
                first_read = self._first_read.pop(hashed, None)
                if first_read is None:
                    rest.append(conversion)
                else:
                    self.counts.count_arrived(first_read, [conversion.event])
        self.counts.count_arrived(read_at, [conversion.event for conversion in rest])

    def note_letter(self, hashed: bytes, read_at: float) -> float:
        """Note that an event gets a dead letter; return when a run first read its record."""
        self._without_outcome.pop(hashed, None)
        self._no_longer_waiting.append(hashed)
        first_read = self._first_read.pop(hashed, read_at)
        has_arrived = hashed in self._arrived or self._deduplicator.remembers(hashed)
        return UNCOUNTED if has_arrived else first_read

    def note_left_out(self, reason: str, read_at: float, hashed: bytes = b"") -> None:
        """Note a record that is not sent and gets no dead letter; maybe its event waits."""
        if hashed and self.has_waiting:
            self._left_out.append((hashed, reason, read_at))
        else:
            self.counts.count_left_out(reason, read_at)

    @property
    def hashes_left_out(self) -> list[bytes]:
        """The hashes of records that were left out, if their events may wait."""
        return [hashed for hashed, *_ in self._left_out]

    def date_left_out(self, waiting: Mapping[bytes, int]) -> None:
        """Count these records, given when the events that wait were read, by hash."""
        for hashed, reason, read_at in self._left_out:
            self.counts.count_left_out(reason, waiting.get(hashed, read_at))
        self._no_longer_waiting += waiting
        self._left_out.clear()

    def _hashes(self, conversions: Sequence[Conversion]) -> list[bytes]:
        return [key[TIME_BYTES:] for key in self._deduplicator.keys_of(conversions)]

    # What a transaction writes

    def steps(self) -> list[Step]:
        """Return the steps that write the counts, and delete what does not wait any more."""
        gone = [(hashed,) for hashed in self._no_longer_waiting] if self.has_waiting else []
        return [self.counts.step(), WAITING_EVENT.remove(gone)]

    def note_written(self) -> None:
        """Note that the store has made these steps."""
        self.counts.note_written()
        self._no_longer_waiting.clear()

    def last_steps(self) -> list[Step]:
        """Return the steps that write, at the end of the run, which events wait from now on.

        These steps delete events again that have been delivered meanwhile.
        """
        for number, left in self._deduplicator.reserved.items():
            self.end_batch(number, left)
        return waiting_steps([(self._owner, event) for event in self._without_outcome.values()])
