"""The real store of a run, on SQLite in memory, with simulated crashes and full disks.

This store simulates both databases. As with PostgreSQL, the server may crash while runs continue,
and the connection of a run may break.
"""

from __future__ import annotations

import contextlib
import copy
import math
import random
import sqlite3
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from simulated_feed import event_key

from target_liveintent.errors import StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.store.database import Answers, Attempts, Decision, Wait
from target_liveintent.store.deduplication import Claim
from target_liveintent.store.layout import Step
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.sqlite import IN_MEMORY, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulated_feed import Key
    from simulated_plan import Plan
    from simulated_process import Checks
    from simulated_time import Signals, SimulatedClock

    from target_liveintent.conversions.event_model import Conversion, Rejection

_Result = TypeVar("_Result")
_Decision = TypeVar("_Decision", bound=Decision)
LetterName = tuple[str, str]
"""The stream and the event ID of a dead letter, which identify it."""
MOST_SAVEPOINTS = 20
"""The maximum number of savepoints. Each savepoint makes all later transactions slower."""

RETRY_SECONDS = 60.0
"""The seconds for which a run tries to reach the server again."""
PAUSE = 0.5
"""The seconds between two attempts to reach the server."""


class Letter(NamedTuple):
    """A dead letter: the place of its record, and the reason."""

    place: int
    reason: str


class Kept:
    """The content that the store must have, according to the calls of its methods.

    Attributes:
        confirmed: The events that the API has confirmed, each with the run that sent it.
        letters: The dead letters in the store.
        places: The places of all records whose dead letters are, or ever were, in the store.
    """

    def __init__(self) -> None:
        self.confirmed: dict[Key, str] = {}
        self.letters: dict[LetterName, Letter] = {}
        self.places: set[int] = set()

    def copy(self) -> Kept:
        """Return an independent copy."""
        other = Kept()
        other.confirmed |= self.confirmed
        other.letters |= self.letters
        other.places |= self.places
        return other

    def take(self, name: LetterName, letter: Letter | None) -> None:
        """Add a dead letter; None deletes the letter, because LiveIntent has the event."""
        if letter is None:
            self.letters.pop(name, None)
        else:
            self.letters[name] = letter
            self.places.add(letter.place)


class ConnectionLostError(sqlite3.OperationalError):
    """The connection to the database broke; the transaction may be done or not."""


class Transaction:
    """A transaction, which the run repeats until it gets the answer.

    Attributes:
        copies: How many attempts have written to the tables.
        has_answer: Whether the answer is on its way to the run, or has arrived.
    """

    def __init__(self, database: SimulatedDatabase) -> None:
        self._database = database
        self.copies = 0
        self.has_answer = False

    def lose(self) -> None:
        """Lose the rows of one attempt."""
        self.copies -= 1
        self._database.loses |= self.has_answer and not self.copies


class Written(NamedTuple):
    """Transactions that a crash loses together."""

    before: Kept  # The content of the tables before these transactions.
    transactions: list[Transaction]


class Server:
    """The server of the database, with its disk.

    If a crash may happen, each transaction is a savepoint. A durable transaction releases all
    savepoints. A crash rolls back to one of the remaining savepoints. Each transaction of
    PostgreSQL is durable, but after a failover, the new server may lack some transactions.

    Attributes:
        kept: The content that the tables must have.
        is_postgres: Whether the server is PostgreSQL, which does not end with a run's process.
        has_lost: Whether the server has lost transactions of runs that continue.
    """

    def __init__(self, plan: Plan) -> None:
        self.kept = Kept()
        self.is_postgres = plan.betrayals.crash_share > 0
        self.has_lost = False
        self.betrayals = plan.betrayals
        self.store_seconds = plan.store_seconds
        self.rng = random.Random(f"server {plan.seed}")  # noqa: S311 (a seed, not secrecy)
        self.connected: list[SimulatedDatabase] = []
        self.written: list[Written] = []  # By transactions that are not durable.

    def crash(self, db: sqlite3.Connection) -> bool:
        """Lose some of the last transactions that are not durable; return False if none is lost."""
        left = self.rng.randint(0, len(self.written))
        lost = self.written[left:]
        if lost:
            db.execute(f"ROLLBACK TO transaction_{left}")
            self.kept = lost[0].before
        self.commit(db)
        for written in lost:
            for transaction in written.transactions:
                transaction.lose()
        for database in self.connected:
            database.is_connected = False
        return bool(lost)

    def commit(self, db: sqlite3.Connection) -> None:
        """Make all transactions durable."""
        if self.written:
            db.execute("COMMIT")
            self.written.clear()


class SimulatedDatabase(SqliteStore):
    """The connection of a run to the database. All runs share one SQLite database in memory.

    Attributes:
        told_events: The confirmed events that the run has passed on since the last transaction.
        told_letters: The dead letters that the run has passed on since the last transaction.
        is_durable: Whether the last transaction that wrote outcomes was durable.
        is_unwritable: Whether the disk is full, or the store is gone.
        has_broken: Whether the connection has ever broken.
        loses: Whether a crash has lost rows that the run had written.
        has_lost: Whether the run can know of this loss, because it has made a transaction since.
        is_asked: Whether the run has checked for losses after its last change.
        kept_then: The content of the tables after the last transaction. A failover may lose this
            transaction while the answer is on its way. Then only the next transaction shows it.
        renewed_at: The true time at which the run last renewed its reservations.
        longest_unrenewed: The longest time for which the run did not renew its reservations.
    """

    def __init__(self, clock: SimulatedClock, plan: Plan) -> None:
        super().__init__(IN_MEMORY, clock, Attempts(clock))
        self.server = Server(plan)

    def connect(
        self,
        run_id: str,
        signals: Signals,
        clock: SimulatedClock,
        attempts: Attempts,
        wait: Callable[[float], None],
    ) -> SimulatedDatabase:
        """Return the connection of a run, with the waits and the signals of the run."""
        database = copy.copy(self)
        database._begin(run_id, signals, clock, attempts, wait)  # noqa: SLF001
        self.server.connected.append(database)
        return database

    def _begin(
        self,
        run_id: str,
        signals: Signals,
        clock: SimulatedClock,
        attempts: Attempts,
        wait: Callable[[float], None],
    ) -> None:
        self._run_id = run_id
        self._signals = signals
        self._clock = clock
        self.attempts = attempts
        self._wait = wait
        self._most_letters = math.inf
        self._goes = False
        self.is_connected = True
        self.is_durable = True
        self.is_unwritable = self.has_broken = self.loses = self.has_lost = False
        self.is_asked = False
        self.kept_then = self.server.kept
        self.told_events: list[Key] = []
        self.told_letters: list[tuple[LetterName, Letter | None]] = []
        self.renewed_at = clock.world.now
        self.longest_unrenewed = 0.0

    def fill_after(self, letters: int | None, *, goes: bool) -> None:
        """Set after how many dead letters the disk is full, and whether the store is then gone."""
        if letters is not None:
            self._most_letters = len(self.server.kept.letters) + letters
            self._goes = goes

    def end(self) -> None:
        """Close the connection, because the process of the run has ended."""
        self.server.connected.remove(self)
        self.is_connected = False

    # Transactions

    def _retried(self, work: Callable[[], _Result]) -> _Result:
        self._made = Transaction(self)
        return super()._retried(work)

    def _transact(self, steps: Sequence[Step]) -> Answers:
        """Do all steps or none. A signal may come before or after the transaction."""
        with self._savepoint(durable=True) as done:
            done.extend(steps)
            return [self._do(step) for step in steps]

    def _ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], _Decision]
    ) -> _Decision:
        """Do all questions and changes or none. A signal may come before or after them."""
        with self._savepoint(durable=False) as done:
            decision = decide([self._do(step) for step in questions])
            for step in decision.changes:
                self._do(step)
            done.extend(decision.changes)
            return decision

    @contextlib.contextmanager
    def _savepoint(self, *, durable: bool) -> Iterator[list[Step]]:
        """Begin and end a transaction; the caller adds the steps to the list that this yields."""
        server, betrayals = self.server, self.server.betrayals
        self._signals.step()
        self._wait(betrayals.seconds_there)
        self._reach_server()
        self.has_lost |= self.loses
        breaks = server.rng.random() < betrayals.broken_share
        name = f"transaction_{len(server.written)}"
        self._db.execute(f"SAVEPOINT {name}")
        steps: list[Step] = []
        try:
            yield steps
            self._refuse_if_full()
            if breaks and server.rng.random() < 0.5:
                self._lose_connection()
        except BaseException:
            self._db.execute(f"ROLLBACK TO {name}")
            self._db.execute(f"RELEASE {name}")
            raise
        self._end(steps, name, durable=durable)
        if breaks:
            self._lose_connection()
        self._made.has_answer = True  # It is on its way.
        self._wait(server.store_seconds + betrayals.seconds_back)
        self._forget(steps)
        self._signals.step()

    def maybe_crash(self) -> None:
        """Crash the server with the probability `crash_share`."""
        server = self.server
        if server.rng.random() < server.betrayals.crash_share:
            server.has_lost |= server.crash(self._db)

    def _reach_server(self) -> None:
        self.maybe_crash()
        if not self.is_connected:
            self.is_connected = True  # The next attempt makes a new connection.
            self._lose_connection()

    def _lose_connection(self) -> None:
        self.has_broken = True
        msg = "the connection is lost"
        raise ConnectionLostError(msg)

    def _end(self, steps: Sequence[Step], name: str, *, durable: bool) -> None:
        """End a transaction, and record what it has written."""
        server, before = self.server, self.server.kept
        self._note_silence()
        if any("alive_until = " in step.sql for step in steps):
            self.renewed_at = self._clock.world.now
        if _writes(steps, "event"):  # Others only reserve events.
            self._keep(steps)
            self.is_durable = durable
        self.kept_then = server.kept
        transaction = self._made
        transaction.copies += 1
        may_lose = self._signals.may_kill or server.is_postgres
        is_on_disk = durable or server.is_postgres
        if (is_on_disk and not server.betrayals.fails_over) or not may_lose:
            self._db.execute("COMMIT")
            server.written.clear()
        elif len(server.written) < MOST_SAVEPOINTS:
            server.written.append(Written(before, [transaction]))
        else:  # The last one takes this one in.
            self._db.execute(f"RELEASE {name}")
            server.written[-1].transactions.append(transaction)

    def _note_silence(self) -> None:
        """Record for how long the run has not renewed its reservations."""
        unrenewed = self._clock.world.now - self.renewed_at
        self.longest_unrenewed = max(self.longest_unrenewed, unrenewed)

    def _refuse_if_full(self) -> None:
        if self._most_letters == math.inf:
            return
        is_full = self.count("dead_letter") > self._most_letters
        is_gone = self._goes and (is_full or self.is_unwritable)
        self.is_unwritable |= is_full
        if is_full or is_gone:
            raise StorageError("it is gone" if is_gone else "it is full")

    def _keep(self, steps: Sequence[Step]) -> None:
        """Record what a transaction wrote; on a full disk, only what was confirmed."""
        if not (self.told_events or self.told_letters):
            return
        kept = self.server.kept = self.server.kept.copy()
        kept.confirmed |= dict.fromkeys(self.told_events, self._run_id)
        if _writes(steps, "dead_letter"):
            for name, letter in self.told_letters:
                kept.take(name, letter)

    def _forget(self, steps: Sequence[Step]) -> None:
        """Forget what the run has passed on, if the run knows that a transaction wrote it.

        (After a failure, the run may save the same events again, so nothing is forgotten.)
        """
        if _writes(steps, "dead_letter"):
            self.told_events.clear()
            self.told_letters.clear()

    @property
    def kept(self) -> Kept:
        """The content that the tables must have."""
        return self.server.kept

    def _roll_back(self) -> None:
        """Do nothing, because each transaction rolls back its own savepoint."""

    def _wait_after(self, error: Exception) -> Wait | None:
        if isinstance(error, ConnectionLostError):
            return Wait("the database cannot be reached", RETRY_SECONDS, PAUSE)
        return super()._wait_after(error)

    def crash(self) -> None:
        """Lose some of the newest transactions, as in a power failure."""
        self.server.crash(self._db)

    # The content of the tables

    def count(self, table: str) -> int:
        ((rows,),) = self._db.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
        return int(rows)

    @property
    def reserved(self) -> set[int]:
        """The numbers of this run's batches that have reserved events."""
        query = "SELECT batch FROM reservation JOIN run ON number = run WHERE id = ?"
        return {batch for (batch,) in self._db.execute(query, [self._run_id])}

    @property
    def letters(self) -> dict[LetterName, Letter]:
        query = (
            "SELECT stream, event_id, json_extract(record, '$.order_id'), reason FROM dead_letter"
        )
        return {
            (stream, event_id): Letter(int(place), reason)
            for stream, event_id, place, reason in self._db.execute(query)
        }


def _writes(steps: Sequence[Step], table: str) -> bool:
    """Return whether a transaction inserts the new rows of a table, even if there are no rows."""
    return any(f"INSERT INTO {table} " in step.sql for step in steps)


class WatchedStore:
    """Passes each call on to the store, and informs the checks about it."""

    def __init__(self, store: RunStore, database: SimulatedDatabase, checks: Checks) -> None:
        self._store = store
        self._database = database
        self._checks = checks
        self._outcomes = checks.outcomes

    @property
    def reserved_until(self) -> float:
        return self._store.reserved_until

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self._database.is_asked = False
        self._outcomes.all_told()
        claims = self._store.claim(batches)
        for number, claim in claims.items():
            self._checks.run.reserved[number] = set(map(event_key, claim.mine))
            self._outcomes.claimed(claim.mine)
            self._outcomes.told("sent", claim.sent)
            self._has(claim.sent)
        return claims

    def note_delivered(
        self, conversions: Sequence[Conversion], sent_at: Sequence[float], read_at: float
    ) -> None:
        self._database.is_asked = False
        self._outcomes.told("deliver", conversions)
        self._store.note_delivered(conversions, sent_at, read_at)
        self._has(conversions)

    def _has(self, conversions: Sequence[Conversion]) -> None:
        names = ((one.stream, one.event_id) for one in conversions)
        self._database.told_letters += [(name, None) for name in names]

    def note_confirmed(
        self,
        number: int,
        confirmed: Sequence[Conversion],
        *,
        is_last: bool,
        has_outcomes: bool = True,
    ) -> None:
        self._database.is_asked = False
        self._outcomes.told("confirm", confirmed)
        self._store.note_confirmed(number, confirmed, is_last=is_last, has_outcomes=has_outcomes)
        self._database.told_events += map(event_key, confirmed)
        if is_last:
            del self._checks.run.reserved[number]

    def note_left_out(self, reason: str) -> None:
        self._store.note_left_out(reason)

    def note_rejected(self, rejection: Rejection, read_at: float) -> None:
        self._database.is_asked = False
        self._store.note_rejected(rejection, read_at)
        if not REASONS[rejection.reason].letter:
            return
        letter = Letter(int(rejection.columns["order_id"]), rejection.reason)
        self._outcomes.letter_written(letter)
        self._database.told_letters.append(((rejection.stream, rejection.event_id), letter))

    def write(self, *, before_state: bool = False) -> None:
        self._store.write(before_state=before_state)
        self._database.is_asked = before_state

    def release(self, unreserved: Mapping[int, Sequence[Conversion]]) -> None:
        self._store.release(unreserved)
