"""Where events are now: arrived, waiting, replayable, lost or left out.

A run counts the events that arrived and the records that it leaves out, and writes these counts in
the transaction that writes the outcomes. What waits and what can be replayed is counted from the
rows that the store has. When a dead letter is deleted, a count remains, which contains no ID.
"""
# ruff: noqa: S608 (The parts of the queries are constants and numbers.)

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from typing import NamedTuple

from target_liveintent.conversions.amounts import amounts_of
from target_liveintent.conversions.event_model import Event, LetterKey
from target_liveintent.reasons import BEYOND_REPAIR
from target_liveintent.settings import Account
from target_liveintent.store.database import Database
from target_liveintent.store.dead_letters import hashes_in
from target_liveintent.store.layout import DEAD_LETTER, PLACE_COUNT, SqlRow, Step
from target_liveintent.store.waiting import Owner, WaitingEvent, left_by_killed_runs

ARRIVED, WAITING, REPLAYABLE, LOST, LEFT_OUT = PLACES = (
    "arrived",
    "waiting",
    "replayable",
    "lost",
    "left_out",
)
"""The places of events. `left_out` are records that the map or a rule does not send."""
NO_OUTCOME = "no_outcome"
"""The reason of events that wait, or that waited until they were too old."""
QUARTER_SECONDS = 900
"""Counts are kept by quarter of an hour: a day begins at such a time in each time zone."""
_KEPT_SECONDS = 400 * 86_400
"""How long counts are kept."""
LEFT_OUT_REASONS = frozenset({"filtered", "unmapped", "deleted", "no_consent", "suppressed"})
_MOVED_AT_ONCE = 150
"""How many dead letters a statement counts. Older releases of SQLite accept 999 values."""
_WRITER_BITS = 47
_digits = Context(prec=100)


class PlaceRow(NamedTuple):
    """How many events of one kind are in one place.

    Attributes:
        read_at: The Unix time of the start of the quarter of an hour in which a run first read
            these events.
        place: One of `PLACES`.
        reason: The code of the reason, `NO_OUTCOME` for `waiting`, and empty for `arrived`.
        currency: The ISO 4217 code; empty for events without a value or without a currency.
        events: The number of events; for `left_out`, of records.
        value: The exact sum of the values of events that have a currency.
        until: The Unix time at which the first of these events that wait or can be replayed becomes
            too old; None for other places, and if no event has a usable time.
        is_kept: Whether the store has dead letters of these events.
    """

    read_at: int
    place: str
    reason: str
    currency: str
    events: int
    value: Decimal
    until: int | None = None
    is_kept: bool = False


class _PlaceKind(NamedTuple):
    """What the events of one count have in common: see `PlaceRow`."""

    read_at: int
    place: str
    reason: str
    currency: str


def quarter_of(unix_time: float) -> int:
    """Return the Unix time at which the quarter of an hour of a Unix time begins."""
    return int(unix_time // QUARTER_SECONDS) * QUARTER_SECONDS


class PlaceCounts:
    """Counts the events that arrived in a run, and the records that it left out.

    A transaction writes the totals of the run. So a transaction that is made twice, because the
    answer to its COMMIT was lost, changes nothing.
    """

    def __init__(self, owner: Owner, writer: int) -> None:
        self._common = (*owner, writer)
        self._totals: dict[_PlaceKind, tuple[int, Decimal]] = {}
        self._changed: set[_PlaceKind] = set()

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self._changed)

    def count_arrived(self, read_at: float, events: Sequence[Event]) -> None:
        """Count events that LiveIntent has; `read_at` is when a run first read them (Unix time)."""
        quarter, without_value = quarter_of(read_at), len(events)
        for currency, amount in amounts_of(events).items():
            if currency:
                without_value -= amount.conversions
                kind = _PlaceKind(quarter, ARRIVED, "", currency)
                self._add(kind, amount.conversions, amount.total)
        if without_value:
            self._add(_PlaceKind(quarter, ARRIVED, "", ""), without_value, Decimal(0))

    def count_left_out(self, reason: str, read_at: float) -> None:
        """Count a record that is not sent and gets no dead letter, if its reason counts."""
        if reason in LEFT_OUT_REASONS:
            self._add(_PlaceKind(quarter_of(read_at), LEFT_OUT, reason, ""), 1, Decimal(0))

    def _add(self, kind: _PlaceKind, events: int, value: Decimal) -> None:
        before, total = self._totals.get(kind, (0, Decimal(0)))
        self._totals[kind] = before + events, _digits.add(total, value)
        self._changed.add(kind)

    def step(self) -> Step:
        """Return the step that writes the totals that have changed."""
        return PLACE_COUNT.put([self._row(kind) for kind in sorted(self._changed)])

    def _row(self, kind: _PlaceKind) -> SqlRow:
        events, value = self._totals[kind]
        return kind.read_at, *self._common, *kind[1:], events, str(value)

    def note_written(self) -> None:
        """Note that the store has the totals."""
        self._changed.clear()


# Dead letters

_PLACE_COLUMNS = ", ".join(PLACE_COUNT.columns)
_LETTER_KEY = ", ".join(LetterKey._fields)
_FIRST_QUARTER = f"first_read / {QUARTER_SECONDS} * {QUARTER_SECONDS}"


def moved(letters: Sequence[LetterKey], place: str, reason: str | None = None) -> Iterator[Step]:
    """Yield the steps that count dead letters in another place, before a step deletes them.

    Without a `reason`, each keeps its own. If the transaction is made twice, it finds no dead
    letters the second time.
    """
    why, group = ("reason", ", reason") if reason is None else (f"'{reason}'", "")
    # (Somebody may have edited a dead letter so that it names a person in place of an account.)
    counted = [key for key in letters if not hashes_in(f"{key.customer_id} {key.api_host}")]
    for start in range(0, len(counted), _MOVED_AT_ONCE):
        writer = secrets.randbits(_WRITER_BITS)
        sql = (
            f"INSERT INTO place_count ({_PLACE_COLUMNS}) SELECT {_FIRST_QUARTER} AS quarter,"
            f" customer_id, api_host, run_pixel_id, {writer}, '{place}', {why},"
            " coalesce(currency, '') AS coin, count(*), coalesce({sum}(value), 0) FROM dead_letter"
            f" WHERE ({_LETTER_KEY}) IN ({{rows}})"
            f" GROUP BY quarter, customer_id, api_host, run_pixel_id, coin{group}"
            " ON CONFLICT DO NOTHING"
        )
        rows = counted[start : start + _MOVED_AT_ONCE]
        yield Step(sql, (), rows, list(DEAD_LETTER.key.values()))


# What waited until it was too old, and what is old

_WAITED = "FROM waiting WHERE window_end < CAST({now} - ? AS bigint)"


def tidy_up(wait_seconds: int) -> list[Step]:
    """Return the steps that count as lost what waited in vain, and delete old counts.

    Events count as lost `wait_seconds` after they have become too old, in case the clock is wrong.
    """
    writer = secrets.randbits(_WRITER_BITS)
    return [
        Step(
            f"INSERT INTO place_count ({_PLACE_COLUMNS})"
            f" SELECT read_at / {QUARTER_SECONDS} * {QUARTER_SECONDS} AS quarter, customer_id,"
            f" api_host, run_pixel_id, {writer}, '{LOST}', '{NO_OUTCOME}',"
            f" coalesce(currency, '') AS coin, count(*), coalesce({{sum}}(value), 0) {_WAITED}"
            " GROUP BY quarter, customer_id, api_host, run_pixel_id, coin ON CONFLICT DO NOTHING",
            [wait_seconds],
        ),
        Step(f"DELETE {_WAITED}", [wait_seconds]),
        Step("DELETE FROM place_count WHERE read_at < CAST({now} - ? AS bigint)", [_KEPT_SECONDS]),
    ]


# The places of all events

_OF_ACCOUNT = "customer_id = ? AND api_host = ? AND run_pixel_id = ?"
_COUNTED = (
    "SELECT read_at, place, reason, currency, sum(events), {sum}(value) FROM place_count"
    f" WHERE read_at >= ? AND {_OF_ACCOUNT} GROUP BY read_at, place, reason, currency"
)
LETTERS = (
    f"SELECT {_FIRST_QUARTER} AS quarter, reason, coalesce(currency, '') AS coin,"
    " CASE WHEN window_end <= ? THEN 1 ELSE 0 END AS is_closed, count(*),"
    " coalesce({sum}(value), 0), min(window_end) FROM dead_letter"
    f" WHERE {_OF_ACCOUNT} AND first_read >= ? GROUP BY quarter, reason, coin, is_closed"
)
_WAITING_NOW = (
    f"SELECT hash, key, read_at, value, currency FROM waiting WHERE {_OF_ACCOUNT} AND read_at >= ?"
)


def places_in(
    database: Database, account: Account, pixel_id: int | None, since: float, now: float
) -> list[PlaceRow]:
    """Return where the events are that runs of an account and pixel have read since a Unix time.

    Args:
        database: The store.
        account: The account.
        pixel_id: The setting `pixel_id` of the runs; None if it was not set.
        since: The Unix time; the whole quarter of an hour that contains this time counts.
        now: The present Unix time, which decides which windows are closed.

    Raises:
        StorageError: If the store cannot be read.
    """
    owner, first = (*account, pixel_id or 0), quarter_of(since)
    counted = database.read(_COUNTED, [first, *owner])
    letters = database.read(LETTERS, [int(now), *owner, first])
    waiting = [WaitingEvent(*row) for row in database.read(_WAITING_NOW, [*owner, first])]
    known = {event.hash for event in waiting}
    killed = left_by_killed_runs(database, account, pixel_id)
    waiting += [e for e in killed if e.read_at >= first and e.hash not in known]
    return [
        *map(_of_counts, counted),
        *map(_of_letters, letters),
        *(_of_waiting(event, now) for event in waiting),
    ]


def _of_counts(row: SqlRow) -> PlaceRow:
    read_at, place, reason, currency, events, value = row
    return PlaceRow(read_at, place, reason, currency, int(events), Decimal(value))


def _of_letters(row: SqlRow) -> PlaceRow:
    read_at, reason, currency, is_closed, letters, value, window_end = row
    is_lost = bool(is_closed) or reason in BEYOND_REPAIR
    place, until = (LOST, None) if is_lost else (REPLAYABLE, window_end)
    return PlaceRow(read_at, place, reason, currency, letters, Decimal(value), until, is_kept=True)


def _of_waiting(event: WaitingEvent, now: float) -> PlaceRow:
    place, until = (LOST, None) if event.window_end <= now else (WAITING, event.window_end)
    read_at, currency = quarter_of(event.read_at), event.currency or ""
    return PlaceRow(read_at, place, NO_OUTCOME, currency, 1, Decimal(event.value or 0), until)
