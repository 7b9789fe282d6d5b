"""What the store needs from a database: transactions, which are lists of steps, and queries.

Because a transaction is a list and not a function, a database on another machine gets all of its
steps in one or two messages.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError, RunError, StorageError
from target_liveintent.store.layout import LAYOUT_VERSION, SqlRow, Step

_STOP_SECONDS = 0.5
"""After a signal, a run repeats a failed attempt for at most this number of seconds."""
_SILENT_SECONDS = 5.0
"""After this number of seconds, the log says why the run waits."""
LOCK_SECONDS = 30.0
"""Seconds for which a run waits for a lock of another program."""
_LOCK_MILLISECONDS = 200
"""For how long one attempt waits for a lock. Python handles a signal only between two attempts."""
_PAGE = 1_000
"""How many rows are read at once."""
_OTHER_LAYOUT = (
    "a newer version of target-liveintent wrote the store, or a version that was never released."
    " Upgrade target-liveintent, or set store to another place"
)


def damaged(what: str) -> StorageError:
    """Return the error for a store whose content cannot be read."""
    return StorageError(
        f"the store is damaged: {what} in it cannot be read. Restore the store, or move it away:"
        " then the next run creates a new one"
    )


Answers = list[list[SqlRow]]
"""The rows that the database returned for each step of a list."""


class Decision(Protocol):
    """What a run decides within a transaction: how it changes the database."""

    @property
    def changes(self) -> Sequence[Step]:
        """The steps that make the changes."""


_Result = TypeVar("_Result")
DecisionT = TypeVar("DecisionT", bound=Decision)


class Wait(NamedTuple):
    """Why an attempt failed, and for how long to repeat it."""

    reason: str
    most_seconds: float  # After this time in all, the failure is final.
    pause_seconds: float  # The time between two attempts.


class Attempts:
    """Waits between attempts, and logs why. After a signal, the wait ends earlier.

    `has_ended` says that a wait ended without success, so the run must not wait again.
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
        """Note that the first attempt begins now."""
        self._began = self._clock.monotonic()
        self._has_warned = False

    def again(self, wait: Wait) -> bool:
        """Pause before the next attempt; return False if no attempt may follow."""
        waited = self._clock.monotonic() - self._began
        most_seconds = wait.most_seconds
        if self._is_stopped():
            most_seconds = min(most_seconds, _STOP_SECONDS)
        if waited >= most_seconds or self.has_ended:
            self.has_ended = True
            return False
        if waited >= _SILENT_SECONDS and not self._has_warned:
            self._has_warned = True
            self._warn(f"{wait.reason}; the run waits for up to {most_seconds:.0f} seconds")
        self._sleep(wait.pause_seconds)
        return True


class Database(abc.ABC):
    """A database with the tables of the store. Messages call it by a `name`.

    All methods raise a `StorageError` if the database cannot be used; constructors raise a
    `ConfigurationError` if a setting is wrong.

    Attributes:
        attempts: Waits between attempts.
        is_new: Whether the database had no tables when it was opened.
        was_empty_file: Whether the file of the store existed but had no content.
    """

    _errors: tuple[type[Exception], ...]
    _find_tables: str
    _lock: Sequence[str]  # Begins a transaction in which no other run can create the tables.
    _creation: Sequence[str]
    _foreign: str  # The message if the tables are those of another program.

    def __init__(self, name: str, attempts: Attempts) -> None:
        self._name = name
        self.attempts = attempts
        attempts.has_ended = False  # (It may be from a wait for another database.)
        self._lock_milliseconds = _LOCK_MILLISECONDS
        self.is_new = self.was_empty_file = self._is_open = False

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
        """Return whether the tables exist; raise an error if they are those of another program."""
        names = {name for (name,) in self._do(Step(self._find_tables))}
        if not names:
            return False
        if "store" in names:
            match self._do(Step("SELECT * FROM store LIMIT 2")):
                case [(int(version),)] if version == LAYOUT_VERSION:
                    return True
                case [(int(),)]:
                    raise self._refusal(_OTHER_LAYOUT)
        raise self._refusal(self._foreign)

    def _prepare(self) -> None:
        if self.is_new:
            for sql in self._lock:
                self._do(Step(sql))
            if not self._has_tables():  # (Another run may have been faster.)
                for sql in self._creation:
                    self._do(Step(sql))
            self._do(Step("COMMIT"))

    def transact(self, steps: Sequence[Step]) -> Answers:
        """Do all steps in one transaction, or none of them; return the rows of each step.

        This and all earlier transactions survive a power cut and a crash of the server.
        """
        return self._retried(lambda: self._transact(steps))

    def ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], DecisionT]
    ) -> DecisionT:
        """Ask, decide by the answers, and do the changes of the decision, all in one transaction.

        If the transaction must be repeated, `decide` is called again; the last decision counts. The
        changes survive a crash of this process or of the server. A power cut on the machine of this
        process may undo them.
        """
        return self._retried(lambda: self._ask_and_change(questions, decide))

    def ask(self, step: Step) -> list[SqlRow]:
        """Return the rows of a query; nothing stays locked."""
        return self._retried(lambda: self._do(step))

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[SqlRow]:
        """Return the rows of a query with `?` for each value; nothing stays locked."""
        return self.ask(Step(sql, values))

    def pages(self, sql: str, after: Sequence[Any], *values: Any) -> Iterator[SqlRow]:
        """Yield the rows of a sorted query; runs may write meanwhile.

        Args:
            sql: A query that is sorted by its first columns. Its first `?` stand for values of
                these columns; the query returns the rows after these values.
            after: The values after which the first page begins.
            values: The values for all further `?`.
        """
        while page := self.read(f"{sql} LIMIT {_PAGE}", [*after, *values]):
            yield from page
            after = page[-1][: len(after)]

    def _retried(self, work: Callable[[], _Result]) -> _Result:
        """Call `work`, and call it again after a failure that may be temporary.

        A transaction may be made twice, because the answer to its COMMIT can be lost.
        """
        self.attempts.begin()
        while True:
            try:
                return work()
            except self._errors as error:
                self._roll_back()
                wait, failure = self._wait_after(error), self._failure(error)
            except BaseException:
                self._roll_back()
                raise
            may_repeat = False if wait is None else self.attempts.again(wait)
            if not may_repeat:
                raise failure

    @abc.abstractmethod
    def _transact(self, steps: Sequence[Step]) -> Answers: ...
    @abc.abstractmethod
    def _ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], DecisionT]
    ) -> DecisionT: ...
    @abc.abstractmethod
    def _do(self, step: Step) -> list[SqlRow]: ...
    @abc.abstractmethod
    def _roll_back(self) -> None: ...
    @abc.abstractmethod
    def _wait_after(self, error: Any) -> Wait | None:
        """Return how to wait until the cause of an error is gone; None if waiting does not help."""

    @abc.abstractmethod
    def _words(self, error: Any) -> str:
        """Describe an error in words for users, without secrets."""

    def _failure(self, error: Any) -> RunError:
        """Return the error that ends the run.

        It is a `ConfigurationError` if the store was never open and waiting does not help, and
        otherwise a `StorageError`.
        """
        if not self._is_open and self._wait_after(error) is None:
            return self._refusal(self._words(error))
        return StorageError(f"{self._name} cannot be used: {self._words(error)}")

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name} cannot be used: {why}")

    def free_spare_space(self) -> None:  # noqa: B027 (only a file has this space)
        """Free the disk space that was set aside for the case that the disk becomes full."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""
