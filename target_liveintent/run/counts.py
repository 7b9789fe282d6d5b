"""Counts by fate: what the run's last lines say, and whether too many records were rejected."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from typing import TYPE_CHECKING

from target_liveintent.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOME = 10
"""Events from which on a column that is always empty looks like a mistake."""
_FEW = 100
"""Records below which no percentage is judged."""


@dataclasses.dataclass
class StreamCounts:
    """The records of one stream by fate; `read` is the sum of the others once all is settled.

    Attributes:
        read: Records that came; one that several maps use counts once for each.
        filtered: Dropped by the user's map.
        unmapped: Of streams that no map names.
        not_replayed: Dead letters that a replay does not send by itself, by reason.
        delivered: Processed by the API.
        dropped: Not to be sent, by reason: `no_consent`, `suppressed`, `already_sent`.
        rejected: Dead letters by reason.
        left_out: Columns that were left out of events, by column: `value` where it could not be
            used, `value empty` where it said nothing.
    """

    read: int = 0
    filtered: int = 0
    unmapped: int = 0
    delivered: int = 0
    not_replayed: Counter[str] = dataclasses.field(default_factory=Counter)
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def unsettled(self) -> int:
        """Records whose fate is not known: none after a run that ended well."""
        settled = self.filtered + self.unmapped + self.delivered
        others = (self.not_replayed, self.dropped, self.rejected)
        return self.read - settled - sum(counter.total() for counter in others)

    @property
    def always_empty(self) -> list[str]:
        """Columns of the map that said nothing in any delivered event, if those are many."""
        return [
            name.removesuffix(" empty")
            for name, count in self.left_out.items()
            if name.endswith(" empty") and count >= self.delivered >= _SOME
        ]

    def add(self, other: StreamCounts) -> None:
        """Add another stream's counts."""
        for name in ("read", "filtered", "unmapped", "delivered"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.not_replayed.update(other.not_replayed)
        self.dropped.update(other.dropped)
        self.rejected.update(other.rejected)
        self.left_out.update(other.left_out)


class RunCounts:
    """The counts of a run."""

    def __init__(self, *, dry_run: bool = False, seconds: float = 0.0) -> None:
        """Start the clock, at the seconds that have passed already."""
        self.streams: dict[str, StreamCounts] = {}
        self.requests = 0
        self.retries = 0
        self.dry_run = dry_run
        self._started = time.monotonic() - seconds

    def of(self, stream: str) -> StreamCounts:
        """The counts of one stream."""
        counts = self.streams.get(stream)
        if counts is None:
            counts = self.streams[stream] = StreamCounts()
        return counts

    def add(self, other: RunCounts) -> None:
        """Add what another run did."""
        self.requests += other.requests
        self.retries += other.retries
        for stream, counts in other.streams.items():
            self.of(stream).add(counts)

    @property
    def total(self) -> StreamCounts:
        """The counts of all streams."""
        total = StreamCounts()
        for counts in self.streams.values():
            total.add(counts)
        return total

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self._started

    def too_many_rejected(self, percent: int) -> str | None:
        """Why the run must fail, if more than this share of its records became dead letters."""
        total = self.total
        wanted = total.read - total.filtered - total.unmapped
        wanted -= total.not_replayed.total() + total.dropped.total()
        bad = Counter({r: n for r, n in total.rejected.items() if REASONS[r].counts})
        if wanted < _FEW or bad.total() * 100 <= wanted * percent:
            return None
        reason, most = bad.most_common(1)[0]
        return (
            f"{bad.total()} of {wanted} records became dead letters, more than"
            f" max_dead_letter_percent ({percent}) allows; {most} of them {reason}:"
            f" {REASONS[reason].meaning}"
        )

    def lines(self) -> Iterator[str]:
        """The summary: a line a stream, then the total."""
        for stream, counts in self.streams.items():
            yield f"{stream}: {self._words(counts)}"
        total = self.total
        yield (
            f"total: {self._words(total)}; {self.requests} requests, {self.retries} retries,"
            f" {self.seconds:.1f} s"
        )

    def advice(self, dead_letter_path: str) -> Iterator[str]:
        """What was not sent and what to do about it: a line a reason, then where the letters are.

        Args:
            dead_letter_path: The setting.
        """
        for stream, counts in self.streams.items():
            for column in counts.always_empty:
                yield (
                    f"{stream}: {column} is empty in all events; --explain says how it is filled,"
                    " and which names are misspelled"
                )
        total = self.total
        for reason, count in (total.rejected + total.dropped).most_common():
            yield f"{reason} {count}: {REASONS[reason].meaning}"
        if total.not_replayed and not self.dry_run:
            yield f"{_not_replayed(total)}: kept in {dead_letter_path}"
        if total.rejected and not self.dry_run:
            yield (
                f"dead letters are in {dead_letter_path}; the documentation (operations) says how"
                " to send them again"
            )

    def _words(self, counts: StreamCounts) -> str:
        would = "would be " if self.dry_run else ""
        parts = [
            f"read {counts.read}",
            f"filtered {counts.filtered}",
            f"unmapped {counts.unmapped}",
            f"{would}delivered {counts.delivered}",
            f"{would}dead-lettered {counts.rejected.total()}{_in_brackets(counts.rejected)}",
        ]
        if counts.dropped:
            parts.append(f"dropped {counts.dropped.total()}{_in_brackets(counts.dropped)}")
        if counts.not_replayed:
            parts.append(_not_replayed(counts))
        if counts.unsettled:
            parts.append(f"not settled {counts.unsettled}")
        words = ", ".join(parts)
        if counts.left_out:
            words += f"; left out{_in_brackets(counts.left_out)}"
        return words


def _not_replayed(counts: StreamCounts) -> str:
    return f"not replayed {counts.not_replayed.total()}{_in_brackets(counts.not_replayed)}"


def _in_brackets(counter: Counter[str]) -> str:
    if not counter:
        return ""
    return " (" + ", ".join(f"{name} {count}" for name, count in counter.most_common()) + ")"
