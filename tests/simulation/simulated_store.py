"""The store of a history: the real one, on SQLite in memory, with power cuts and full disks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from simulated_delivery import Signals
from simulated_feed import event_key
from simulated_plan import Ending

from target_liveintent.errors import StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.store.database import Answers, Decision, Waiting
from target_liveintent.store.layout import Step
from target_liveintent.store.ledger import Claim
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.sqlite import IN_MEMORY, SqliteStore

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulated_delivery import SimulatedClock
    from simulated_feed import Key
    from simulation import Checks

    from target_liveintent.conversions.event_model import Conversion, Rejection

_Decision = TypeVar("_Decision", bound=Decision)
LetterName = tuple[str, str]
"""What identifies a dead letter: stream and event ID."""
MOST_SAVEPOINTS = 20
"""Points to which a crash may go back. Each one makes all later transactions slower."""


class Letter(NamedTuple):
    """A dead letter, by the place of its record."""

    place: int
    reason: str


class Kept:
    """What the store must have, from what it was told.

    Attributes:
        confirmed: The events that the API has confirmed, each with the run that sent it.
        letters: The dead letters that are there.
        places: The records whose dead letters are there, or were there until their event had a
            newer one, or was delivered.
    """

    def __init__(self) -> None:
        self.confirmed: dict[Key, str] = {}
        self.letters: dict[LetterName, Letter] = {}
        self.places: set[int] = set()

    def copy(self) -> Kept:
        """Return another one, which changes by itself."""
        other = Kept()
        other.confirmed |= self.confirmed
        other.letters |= self.letters
        other.places |= self.places
        return other

    def take(self, name: LetterName, letter: Letter | None) -> None:
        """Note a dead letter, or that the letter is deleted because LiveIntent has the event."""
        if letter is None:
            self.letters.pop(name, None)
        else:
            self.letters[name] = letter
            self.places.add(letter.place)


class SimulatedDatabase(SqliteStore):
    """A database of which a crash, as bad as a power cut, loses what is not durable.

    Each transaction of a run that may be killed is a savepoint. One that is durable ends them all;
    a crash goes back to any of those that are left.

    Attributes:
        kept: What its tables must have.
        told_events: The confirmed events of which the present run has told it since the last
            transaction.
        told_letters: The same of dead letters.
        is_durable: Whether the last transaction was durable.
        is_unwritable: Whether the disk is full, or the store is gone.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(IN_MEMORY, clock, Waiting(clock))
        self.kept = Kept()
        self._before: list[Kept] = []  # What was kept before each of the savepoints.
        self.start("", Signals(Ending()), lambda: None, None, goes=False)

    def start(
        self,
        run_id: str,
        signals: Signals,
        wait: Callable[[], None],
        full_after: int | None,
        *,
        goes: bool,
    ) -> None:
        """Note that a run opens the store.

        Args:
            run_id: The run.
            signals: The signals that it gets.
            wait: Lets the time of a transaction pass.
            full_after: Dead letters after which the disk is full; None for never.
            goes: Whether nothing at all can be written from then on.
        """
        self._run_id = run_id
        self._signals = signals
        self._wait = wait
        self._most_letters = None if full_after is None else len(self.kept.letters) + full_after
        self._goes = goes
        self.is_durable = True
        self.is_unwritable = self.waiting.has_ended = False
        self.told_events: list[Key] = []
        self.told_letters: list[tuple[LetterName, Letter | None]] = []

    def transact(self, steps: Sequence[Step]) -> Answers:
        """Do all steps, or none. A signal may come before that, and after it."""
        with self._savepoint(durable=True) as done:
            done.extend(steps)
            return [self._do(step) for step in steps]

    def ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], _Decision]
    ) -> _Decision:
        """Do questions and changes, or none. A signal may come before that, and after it."""
        with self._savepoint(durable=False) as done:
            decision = decide([self._do(step) for step in questions])
            for step in decision.changes:
                self._do(step)
            done.extend(decision.changes)
            return decision

    @contextlib.contextmanager
    def _savepoint(self, *, durable: bool) -> Iterator[list[Step]]:
        """Begin a transaction, whose steps are put into the list, and end it."""
        self._signals.step()
        name = f"transaction_{len(self._before)}"
        self._db.execute(f"SAVEPOINT {name}")
        steps: list[Step] = []
        try:
            yield steps
            self._refuse_if_full()
        except BaseException:
            self._db.execute(f"ROLLBACK TO {name}")
            self._db.execute(f"RELEASE {name}")
            raise
        before = self.kept
        if any(step.sql.startswith("INSERT INTO event ") for step in steps):
            self._keep()  # Others only reserve events.
        self.is_durable = durable
        if durable or not self._signals.may_kill:
            self._db.execute("COMMIT")
            self._before.clear()
        elif len(self._before) < MOST_SAVEPOINTS:
            self._before.append(before)
        else:  # The last one takes this one in.
            self._db.execute(f"RELEASE {name}")
        self._wait()
        self._signals.step()

    def _refuse_if_full(self) -> None:
        if self._most_letters is None:
            return
        is_full = self.count("dead_letter") > self._most_letters
        is_gone = self._goes and (is_full or self.is_unwritable)
        self.is_unwritable |= is_full
        if is_full or is_gone:
            raise StorageError("it is gone" if is_gone else "it is full")

    def _keep(self) -> None:
        """Note that what the run has told was written; on a full disk, dead letters were not."""
        if not (self.told_events or self.told_letters):
            return
        self.kept = self.kept.copy()
        self.kept.confirmed |= dict.fromkeys(self.told_events, self._run_id)
        self.told_events.clear()
        if not self.is_unwritable:
            for name, letter in self.told_letters:
                self.kept.take(name, letter)
            self.told_letters.clear()

    def crash(self, rng: random.Random) -> None:
        """Lose some of the last transactions that are not durable, or none."""
        left = rng.randint(0, len(self._before))
        if left < len(self._before):
            self._db.execute(f"ROLLBACK TO transaction_{left}")
            self.kept = self._before[left]
        if self._before:
            self._db.execute("COMMIT")
        self._before.clear()

    # What the tables have

    def count(self, table: str) -> int:
        ((rows,),) = self._db.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
        return int(rows)

    @property
    def reserved(self) -> set[int]:
        """The batches of the present run of which events are reserved."""
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


class WatchedStore:
    """Passes everything on to the store, and tells the checks what it is told."""

    def __init__(self, store: RunStore, database: SimulatedDatabase, checks: Checks) -> None:
        self._store = store
        self._database = database
        self._outcomes = checks.outcomes

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self._outcomes.all_told()
        claims = self._store.claim(batches)
        for claim in claims.values():
            self._outcomes.told("settle", claim.sent)
            self._has(claim.sent)
        return claims

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        self._outcomes.told("deliver", conversions)
        self._store.deliver(conversions, sent_at)
        self._has(conversions)

    def _has(self, conversions: Sequence[Conversion]) -> None:
        names = ((one.stream, one.event_id) for one in conversions)
        self._database.told_letters += [(name, None) for name in names]

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        self._outcomes.told("confirm", confirmed)
        self._store.confirm(number, confirmed, is_last=is_last)
        self._database.told_events += map(event_key, confirmed)

    def reject(self, rejection: Rejection) -> None:
        self._store.reject(rejection)
        if not REASONS[rejection.reason].letter:
            return
        letter = Letter(int(rejection.columns["order_id"]), rejection.reason)
        self._outcomes.letter_written(letter)
        self._database.told_letters.append(((rejection.stream, rejection.event_id), letter))

    def write(self, *, before_state: bool = False) -> None:
        self._store.write(before_state=before_state)

    def release(self) -> None:
        self._store.release()
