"""What the store asks of a database: transactions that are lists of steps, and reading queries.

A transaction is data, not code, so a database far away gets all of its steps at once and answers
in one round trip. The SQL of a step is the same for each database. It has `?` for a value, and
these words, for which each database has its own text:

`{now}`      the Unix time by the clock that all runs share
`{values}`   the rows of a `ForEach`, after INSERT INTO … (…)
`{given}`    the same between brackets, after IN
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import StorageError

Row = tuple[Any, ...]
_STOP_SECONDS = 0.5
"""Seconds for which a run that was told to stop still waits, in all."""
_SILENT_SECONDS = 1.0
"""Seconds of a wait after which the log says what is waited for."""


class Step(NamedTuple):
    """A statement with its values. The answer has the rows that it returns."""

    sql: str
    values: Sequence[Any] = ()


class ForEach(NamedTuple):
    """A statement that inserts or deletes many rows. The answer has no rows.

    Attributes:
        sql: A statement with `{values}` or `{given}`.
        types: The types of the columns of `rows`, as PostgreSQL names them.
        rows: Returns the rows, for each try anew. No two of them may insert the same key.
        table: The table of a DELETE, which does nothing if the table is empty. Then the rows need
            not be made.
    """

    sql: str
    types: Sequence[str]
    rows: Callable[[], Sequence[Row]]
    table: str = ""


class Find(NamedTuple):
    """A query for many values of one column. The answer has the rows that it finds.

    Attributes:
        sql: A query that ends in `IN ({given})`.
        type: The type of the column, as PostgreSQL names it.
        keys: The values.
        values: The values for the `?` in the query.
    """

    sql: str
    type: str
    keys: Sequence[Any]
    values: Sequence[Any] = ()


AnyStep = Step | ForEach | Find


class NoSpaceError(StorageError):
    """The disk of the store is full."""


class Waiting:
    """Says what is waited for, and ends the wait of a run that was told to stop.

    Args:
        clock: Measures the wait.
        sleep: Waits between two tries.
        is_stopped: Returns whether the run was told to stop; then nothing is waited for.
        warn: Takes a message when a wait takes longer.

    Attributes:
        reason: What is waited for at this moment, as a clause; empty if nothing is.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
        is_stopped: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._is_stopped = is_stopped
        self._warn = warn
        self._began: float | None = None
        self._has_warned = False
        self._stopped_at: float | None = None
        self._has_ended = False
        self.reason = ""

    def again(self, reason: str, most: float, pause: float) -> bool:
        """Wait before the next try; return False if it is not worth it any more.

        Args:
            reason: What is waited for, as a clause.
            most: The most seconds that are waited.
            pause: The seconds until the next try.
        """
        now = self._clock.monotonic()
        self._began = now if self._began is None else self._began
        if self._is_stopped():
            self._stopped_at = now if self._stopped_at is None else self._stopped_at
            most = min(most, self._stopped_at - self._began + _STOP_SECONDS)
        if now - self._began >= most or self._has_ended:
            return False
        self.reason = reason
        if now - self._began >= _SILENT_SECONDS and not self._has_warned:
            self._has_warned = True
            self._warn(f"{reason}; the run waits for up to {most:.0f} seconds")
        self._sleep(pause)
        return True

    def end(self) -> None:
        """Wait for nothing any more: a run that has waited in vain does not wait once more."""
        self._has_ended = True

    def over(self) -> None:
        """Note that nothing is waited for any more."""
        self._began, self._has_warned, self.reason = None, False, ""


class Database(abc.ABC):
    """A database with the tables of the store.

    Args:
        waiting: How it waits for other programs, and for a database that is gone.

    Attributes:
        is_new: Whether it is open for reading only, and has no tables: no run has used it yet.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.is_new = False

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        return self._waiting.reason

    def wait_no_more(self) -> None:
        """Let each further transaction fail that would have to wait."""
        self._waiting.end()

    @abc.abstractmethod
    def transact(
        self,
        steps: Sequence[AnyStep],
        then: Callable[[list[list[Row]]], Sequence[AnyStep]] | None = None,
        *,
        durable: bool = False,
    ) -> list[list[Row]]:
        """Do all steps, or none, and return the answer of each.

        Args:
            steps: The steps.
            then: Returns more steps of the transaction, given the answers; they answer nothing.
            durable: Whether the transaction, and all before it, survive a power cut.

        Raises:
            StorageError: If that is not possible.
        """

    @abc.abstractmethod
    def read(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Return the rows of a query; nothing is locked while they are read.

        Raises:
            StorageError: If that is not possible.
        """

    @abc.abstractmethod
    def find(self, query: Find) -> list[Row]:
        """Return the rows of a query for many values.

        Raises:
            StorageError: If that is not possible.
        """

    def free_reserve(self) -> bool:
        """Give a reserved part of the disk back; return whether there was one."""
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""
