"""The ledger: how many events of a period have arrived, wait, can be replayed, or are lost.

An event belongs to the quarter of an hour in which a run first read it. A ledger does not add up
the figures of runs, so it is also right after a replay, a failed run or a killed run.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal

import msgspec

from target_liveintent.conversions.event_model import DAY
from target_liveintent.store.dead_letters import utc_moment
from target_liveintent.store.places import LEFT_OUT, LOST, PLACES, REPLAYABLE, PlaceRow

PLACE_WORDS = dict(
    zip(PLACES, ("arrived", "waits", "can be replayed", "lost", "left out"), strict=True)
)
"""What the page, the texts and the log call each place."""
NOT_ARRIVED = (REPLAYABLE, LOST)
"""The places of events that should arrive, but that neither arrived nor wait for the next run."""
_digits = Context(prec=100)
"""All sums of amounts have fewer digits, so they are exact."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are in each place. `read` is always computed: the sum of the places.

    Attributes:
        read: The sum of all places.
        arrived: How many events LiveIntent has confirmed.
        waiting: How many events a run read but did not send; the next run sends them.
        replayable: How many events are dead letters whose time window is open.
        lost: How many events cannot be sent any more, or have a dead letter that was deleted.
        left_out: How many records the map or a rule does not send.
        values: The exact sums of the values by place, and then by currency in the order of the
            codes. The code is empty for values without a currency. The values of events that are
            left out are not added up.
        until: When the first event that waits or can be replayed becomes too old.
    """

    read: int = 0
    arrived: int = 0
    waiting: int = 0
    replayable: int = 0
    lost: int = 0
    left_out: int = 0
    values: dict[str, dict[str, Decimal]] = {}
    until: dt.datetime | None = None

    def __post_init__(self) -> None:
        """Add the places up."""
        msgspec.structs.force_setattr(self, "read", sum(getattr(self, place) for place in PLACES))

    @property
    def to_send(self) -> int:
        """How many events should arrive: all but those that are left out."""
        return self.read - self.left_out

    @property
    def words(self) -> str:
        """The sum: "read 3 = arrived 1 + waits 2 + can be replayed 0 + lost 0 + left out 0"."""
        parts = (f"{name} {getattr(self, place):,}" for place, name in PLACE_WORDS.items())
        return f"read {self.read:,} = {' + '.join(parts)}"

    @property
    def not_arrived(self) -> int:
        """How many events can be replayed or are lost."""
        return self.replayable + self.lost


def ledger_of(rows: Iterable[PlaceRow]) -> Ledger:
    """Return the ledger that adds up these rows."""
    counts = dict.fromkeys(PLACES, 0)
    values: dict[str, dict[str, Decimal]] = {place: {} for place in PLACES if place != LEFT_OUT}
    ends = []
    for row in rows:
        counts[row.place] += row.events
        if row.place in values and (row.currency or row.value):
            sums = values[row.place]
            sums[row.currency] = _digits.add(sums.get(row.currency, Decimal(0)), row.value)
        if row.until is not None:
            ends.append(row.until)
    values = {place: dict(sorted(sums.items())) for place, sums in values.items()}
    return Ledger(**counts, values=values, until=utc_moment(min(ends)) if ends else None)


def rows_by_day(rows: Iterable[PlaceRow], zone: dt.tzinfo | None) -> dict[dt.date, list[PlaceRow]]:
    """Return the rows by the day, in this zone, on which a run first read the events."""
    by_time: dict[int, list[PlaceRow]] = {}
    for row in rows:
        by_time.setdefault(row.read_at, []).append(row)
    by_day: dict[dt.date, list[PlaceRow]] = {}
    for read_at, of_time in by_time.items():
        day = dt.datetime.fromtimestamp(read_at, zone).date()
        by_day.setdefault(day, []).extend(of_time)
    return by_day


def of_24_hours(rows: Iterable[PlaceRow], end: float) -> list[PlaceRow]:
    """Return the rows of the quarters of an hour that began in the 24 hours before a Unix time."""
    return [row for row in rows if end - DAY < row.read_at <= end]


def by_place_and_reason(rows: Iterable[PlaceRow]) -> dict[str, dict[str, int]]:
    """Return how many events can be replayed, are lost or left out: by place, then by reason.

    The largest number of a place comes first.
    """
    reasons = {place: Counter[str]() for place in (*NOT_ARRIVED, LEFT_OUT)}
    for row in rows:
        if row.place in reasons:
            reasons[row.place][row.reason] += row.events
    return {place: dict(counts.most_common()) for place, counts in reasons.items()}


def not_arrived_by_reason(rows: Sequence[PlaceRow]) -> dict[str, int]:
    """Return how many events can be replayed or are lost, by reason, the largest number first."""
    reasons = Counter[str]()
    for row in rows:
        if row.place in NOT_ARRIVED:
            reasons[row.reason] += row.events
    return dict(reasons.most_common())
