"""What the store asks of a database: transactions that are lists of steps, and queries.

A transaction is data, not code, so a database far away gets all of its steps at once.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError, RunError, StorageError
from target_liveintent.store.layout import VERSION, Row, Step

_T = TypeVar("_T")
_STOP_SECONDS = 0.5
"""Seconds for which a run that was told to stop still waits for another try."""
_SILENT_SECONDS = 1.0
"""Seconds of a wait after which the log says what is waited for."""
LOCK_SECONDS = 30.0
_LOCK_MILLISECONDS = 200
"""How long a database waits for a lock at a time, so that a signal can end the wait."""
_PAGE = 1_000
"""How many rows are read at once."""
_NEWER = "a newer version of target-liveintent wrote the store. Upgrade target-liveintent"

Answers = list[list[Row]]
Then = Callable[[Answers], Sequence[Step]]


class Waiting:
    """Waits between attempts, says for what, and waits no longer when the run must stop.

    `has_ended` says whether nothing is waited for any more, because the run has waited in vain.
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

    def begin(self) -> None:
        """Note that nothing is waited for yet."""
        self._began = self._clock.monotonic()
        self._has_warned = False

    def again(self, reason: str, most: float, pause: float) -> bool:
        """Wait some seconds before the next try; return False after `most` seconds in all."""
        waited = self._clock.monotonic() - self._began
        most = min(most, _STOP_SECONDS) if self._is_stopped() else most
        if waited >= most or self.has_ended:
            return False
        if waited >= _SILENT_SECONDS and not self._has_warned:
            self._has_warned = True
            self._warn(f"{reason}; the run waits for up to {most:.0f} seconds")
        self._sleep(pause)
        return True


class Database(abc.ABC):
    """A database with the tables of the store, of which messages speak by a `name`.

    All methods raise a `StorageError` if it cannot be used; constructors raise a
    `ConfigurationError` if another setting is needed. `is_new`: no run had used it before.
    """

    _errors: tuple[type[Exception], ...]
    _find_tables: str
    _lock: Sequence[str]  # Begins a transaction in which only one run creates the tables.
    _creation: Sequence[str]
    _foreign: str  # What is wrong with tables of another program.

    def __init__(self, name: str, waiting: Waiting) -> None:
        self._name = name
        self.waiting = waiting
        self._lock_milliseconds = _LOCK_MILLISECONDS
        self.is_new = self._is_open = False

    def _open(self, *, reads_only: bool) -> None:
        try:
            self.is_new = not self._retried(self._has_tables)
            if not reads_only:
                self._retried(self._prepare)
            self._is_open = True
        except BaseException:
            self.close()
            raise

    def _has_tables(self) -> bool:
        """Return whether the tables exist; refuse those of others."""
        names = {name for (name,) in self._do(Step(self._find_tables))}
        if not names:
            return False
        if "store" in names:
            match self._do(Step("SELECT * FROM store LIMIT 2")):
                case [(int(version),)] if version <= VERSION:
                    return True
                case [(int(),)]:
                    raise self._refusal(_NEWER)
        raise self._refusal(self._foreign)

    def _prepare(self) -> None:
        if self.is_new:
            for sql in self._lock:
                self._do(Step(sql))
            if not self._has_tables():  # Unless another run was faster.
                for sql in self._creation:
                    self._do(Step(sql))
            self._do(Step("COMMIT"))

    def transact(
        self, steps: Sequence[Step], then: Then | None = None, *, durable: bool = False
    ) -> Answers:
        """Do all steps, or none, and return the rows that each answers with.

        Given the answers, `then` returns more steps, whose own are lost. It is called again if the
        transaction is done again. A durable one survives a power cut, and so do all before it.
        """
        return self._retried(lambda: self._transact(steps, then, durable=durable))

    def read(self, sql: str, *how: Any) -> list[Row]:
        """Return the rows of a query, which has the same parts as a step; nothing stays locked."""
        return self._retried(lambda: self._do(Step(sql, *how)))

    def pages(self, sql: str, after: Sequence[Any], *values: Any) -> Iterator[Row]:
        """Yield the rows of a sorted query, also while runs write; its first columns sort it.

        Those come after the values `after`, which are the first of the query's.
        """
        while page := self.read(f"{sql} LIMIT {_PAGE}", [*after, *values]):
            yield from page
            after = page[-1][: len(after)]

    def _retried(self, work: Callable[[], _T]) -> _T:
        """Do something, and again after a failure that may pass: a COMMIT's answer can be lost."""
        self.waiting.begin()
        while True:
            try:
                return work()
            except self._errors as error:
                self._roll_back()
                wait, failure = self._wait_after(error), self._failure(error)
            except BaseException:
                self._roll_back()
                raise
            if wait is None or not self.waiting.again(*wait):
                raise failure

    @abc.abstractmethod
    def _transact(self, steps: Sequence[Step], then: Then | None, *, durable: bool) -> Answers: ...
    @abc.abstractmethod
    def _do(self, step: Step) -> list[Row]: ...
    @abc.abstractmethod
    def _roll_back(self) -> None: ...
    @abc.abstractmethod
    def _wait_after(self, error: Any) -> tuple[str, float, float] | None:
        """Return the arguments of `Waiting.again` if an error may pass; otherwise None."""

    @abc.abstractmethod
    def _words(self, error: Any) -> str:
        """Describe an error in words for users, without secrets."""

    def _failure(self, error: Any) -> RunError:
        """Return the error that ends the run: about a setting if the store never opened."""
        if not self._is_open and self._wait_after(error) is None:
            return self._refusal(self._words(error))
        return StorageError(f"{self._name} cannot be used: {self._words(error)}")

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name} cannot be used: {why}")

    def free_reserve(self) -> None:  # noqa: B027 (only a file has one)
        """Give a reserved part of the disk back, if there is one."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""
