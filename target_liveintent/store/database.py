"""What the store asks of a database: transactions that are lists of steps, and queries.

A transaction is data, not code, so a database far away gets all of its steps at once. The SQL of a
step is the same for each database. It has `?` for a value, and these words, for which each database
has its own text:

`{now}`      the Unix time by the clock that all runs share
`{rows}`     the rows of the step, after INSERT INTO … (…), or between brackets after IN
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError, StorageError

Row = tuple[Any, ...]
_T = TypeVar("_T")
_STOP_SECONDS = 0.5
"""Seconds for which a run that was told to stop still waits for another try."""
_ANSWER_SECONDS = 1.5
"""Seconds for which such a run waits for an answer."""
_SILENT_SECONDS = 1.0
"""Seconds of a wait after which the log says what is waited for."""
_LOCK_MILLISECONDS, _LAST_MILLISECONDS = 500, 100
"""How long a database waits for a lock at a time, so that a signal can end the wait; and how long
after a wait in vain."""


class Step(NamedTuple):
    """A statement. Its answer has the rows that it returns.

    Attributes:
        sql: The statement.
        values: The values for `?`.
        rows: Any number of rows, for `{rows}`; None for a statement without this word.
        types: The types of their columns: those of the layout.
    """

    sql: str
    values: Sequence[Any] = ()
    rows: Sequence[Row] | None = None
    types: Sequence[str] = ()


Answers = list[list[Row]]
Then = Callable[[Answers], Sequence[Step]]


class Waiting:
    """Says what is waited for, and ends the wait of a run that was told to stop.

    Args:
        clock: Measures the wait.
        sleep: Waits between two tries.
        is_stopped: Returns whether the run was told to stop; then nothing is waited for.
        warn: Takes a message when a wait takes longer.

    Attributes:
        reason: What is waited for at this moment, as a clause; empty if nothing is.
        has_ended: Whether nothing is waited for any more, because the run has waited in vain.
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
        self.has_ended = False
        self.begin()

    def begin(self) -> None:
        """Note the first try of something, or its end: nothing is waited for yet, or any more."""
        self._began = self._clock.monotonic()
        self._has_warned = False
        self.reason = ""

    def again(self, reason: str, most: float, pause: float) -> bool:
        """Wait before the next try; return False if it is not worth it any more.

        Args:
            reason: What is waited for, as a clause.
            most: The most seconds that are waited, in all.
            pause: The seconds until the next try.
        """
        waited = self._clock.monotonic() - self._began
        most = min(most, _STOP_SECONDS) if self._is_stopped() else most
        if waited >= most or self.has_ended:
            return False
        self.reason = reason
        if waited >= _SILENT_SECONDS and not self._has_warned:
            self._has_warned = True
            self._warn(f"{reason}; the run waits for up to {most:.0f} seconds")
        self._sleep(pause)
        return True

    @property
    def is_over(self) -> bool:
        """Whether the run was told to stop, and has waited for an answer for long enough."""
        has_waited = self._clock.monotonic() - self._began >= _ANSWER_SECONDS
        return has_waited and (self._is_stopped() or self.has_ended)


class Database(abc.ABC):
    """A database with the tables of the store.

    All methods raise a `StorageError` if the database cannot be used.

    Args:
        waiting: How it waits for other programs, and for a database that is gone.

    Attributes:
        waiting: The same.
        is_new: Whether it is open for reading only, and has no tables: no run has used it yet.
    """

    _errors: tuple[type[Exception], ...]
    """What its statements raise."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self._lock_milliseconds = _LOCK_MILLISECONDS
        self.is_new = False

    def wait_no_more(self) -> None:
        """Let each further transaction fail that would have to wait, and soon if for a lock."""
        self.waiting.has_ended = True
        self._lock_milliseconds = _LAST_MILLISECONDS

    def transact(
        self, steps: Sequence[Step], then: Then | None = None, *, durable: bool = False
    ) -> Answers:
        """Do all steps, or none, and return the answer of each.

        Args:
            steps: The steps.
            then: Returns more steps of the transaction, given the answers; they answer nothing. It
                is called again if the transaction must be done again.
            durable: Whether the transaction, and all before it, survive a power cut.
        """
        return self._retried(lambda: self._transact(steps, then, durable=durable))

    def read(self, sql: str, *how: Any) -> list[Row]:
        """Return the rows of a query, which has the same parts as a step; nothing stays locked."""
        return self._retried(lambda: self._do(Step(sql, *how)))

    def _retried(self, work: Callable[[], _T]) -> _T:
        """Do something; after a failure that may pass, wait and do it again.

        What is done must be the same when it is done twice: the answer to a COMMIT can be lost.
        """
        tries = 0
        self.waiting.begin()
        try:
            while True:
                try:
                    return work()
                except self._errors as error:
                    wait = self._wait_after(error, tries)
                    if wait is None or not self.waiting.again(*wait):
                        raise self._failure(error) from None
                tries += 1
        finally:
            self.waiting.begin()

    @abc.abstractmethod
    def _transact(self, steps: Sequence[Step], then: Then | None, *, durable: bool) -> Answers:
        """Do all steps, or none, as `transact` does, but only once."""

    @abc.abstractmethod
    def _do(self, step: Step) -> list[Row]:
        """Do one step, and return its rows."""

    @abc.abstractmethod
    def _wait_after(self, error: Any, tries: int) -> tuple[str, float, float] | None:
        """Return what `Waiting.again` takes, after a failure that may pass.

        Args:
            error: The failure.
            tries: How many tries had failed before it.
        """

    @abc.abstractmethod
    def _failure(self, error: Any) -> ConfigurationError | StorageError:
        """Return what ends the run."""

    def free_reserve(self) -> None:  # noqa: B027 (only a file has one)
        """Give a reserved part of the disk back, if there is one."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""
