"""Plays every order of the steps of two runs, with at most one fault between any two steps.

The simulator samples histories of whole runs. This module plays a smaller system completely: the
real `RunStore` of two runs that share two events, on SQLite in memory. A path is a list of choices.
Each choice is the next step of a run, or a fault. The search does not continue from a state that it
has seen before. A run that waits for another run makes no step until the other run makes a step, or
time passes. So each path ends.
"""

from __future__ import annotations

import contextlib
import copy
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from simulation_facts import LAPSE_SECONDS, ViolationError, require

from target_liveintent.clock import Clock
from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import Conversion, event_of
from target_liveintent.errors import StorageError
from target_liveintent.store.database import Answers, Attempts, Wait
from target_liveintent.store.dead_letters import keys_of
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.opening import run_store_in
from target_liveintent.store.sqlite import IN_MEMORY, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from target_liveintent.store.database import DecisionT
    from target_liveintent.store.layout import Step

EPOCH = 1_800_000_000
LAPSE = LAPSE_SECONDS + 1
"""Seconds after which a reservation has certainly expired."""
SETTINGS = settings_of({"customer_id": "a-1b2c", "auth_token": "a-token", "pixel_id": 1})
Choice = tuple[str, int]
"""What happens next, with the number of the run, or with the number of lost transactions."""
_Result = TypeVar("_Result")


def event(event_id: str) -> Conversion:
    """Return an event with this ID."""
    values = {"event_time": EPOCH, "pixel_id": 1, "source": "web", "event_id": event_id}
    return Conversion("orders", event_of(values), EPOCH + 86_400, {"order_id": event_id})


EVENTS = {event_id: event(event_id) for event_id in "ab"}
KEYS = {
    key: name
    for name, one in EVENTS.items()
    for key in Deduplicator(SETTINGS.account).keys_of([one])
}
"""The IDs of the events, by their keys in the store."""


class Scenario(NamedTuple):
    """What two runs do.

    Attributes:
        reads: For each run, the IDs of the events that it reads, as one text.
        replays: Whether the second run is a replay, so that each of its events has a dead letter.
        refused: The IDs of the events that the API refuses.
    """

    reads: tuple[str, str]
    replays: bool = False
    refused: str = ""


SCENARIOS = {
    "two runs": Scenario(("ab", "ab")),
    "two runs, of which one reads a part": Scenario(("ab", "b"), refused="a"),
    "a run and a replay": Scenario(("ab", "ab"), replays=True, refused="b"),
}


class StillClock(Clock):
    """A clock whose time, `now`, changes only when the search sets it."""

    now = 0.0

    def time(self) -> float:
        return EPOCH + self.now

    def monotonic(self) -> float:
        return self.now

    def since_boot(self) -> float:
        return self.now


class Disk:
    """The content of the tables before each transaction that is not durable yet."""

    def __init__(self) -> None:
        self.before: list[Hashable] = []


class Connection(SqliteStore):
    """A connection to a database that loses its newest transactions when the server crashes."""

    def __init__(self, clock: StillClock) -> None:
        super().__init__(IN_MEMORY, clock, Attempts(clock, sleep=lambda _: None))
        self._db.execute("SAVEPOINT empty")
        self.disk = Disk()
        self.loses: bool | None = None  # Whether a COMMIT whose answer is lost is done.
        self.is_broken = False

    def again(self) -> Connection:
        """Return another connection to the same database."""
        other = copy.copy(self)
        other.attempts = Attempts(self.attempts._clock, sleep=lambda _: None)  # noqa: SLF001
        return other

    def empty(self) -> None:
        """Delete all rows of the database."""
        self._db.execute("ROLLBACK TO empty")
        self.disk.before.clear()

    def crash(self, lost: int) -> None:
        """Lose the newest `lost` transactions, which are not durable, and make the rest durable."""
        before = self.disk.before
        if lost:
            self._db.execute(f"ROLLBACK TO transaction_{len(before) - lost}")
        if before:
            self._db.execute("RELEASE transaction_0")
        before.clear()

    def _transact(self, steps: Sequence[Step]) -> Answers:
        return self._commit(lambda: [self._do(step) for step in steps], durable=True)

    def _ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], DecisionT]
    ) -> DecisionT:
        def work() -> DecisionT:
            decision = decide([self._do(step) for step in questions])
            for step in decision.changes:
                self._do(step)
            return decision

        return self._commit(work, durable=False)

    def _commit(self, work: Callable[[], _Result], *, durable: bool) -> _Result:
        if self.is_broken:
            self.is_broken = False
            raise sqlite3.OperationalError
        loses, self.loses = self.loses, None
        before, rows = self.disk.before, self.rows()
        name = f"transaction_{len(before)}"
        self._db.execute(f"SAVEPOINT {name}")
        result = work()
        if loses is False:
            self._db.execute(f"ROLLBACK TO {name}")
            self._db.execute(f"RELEASE {name}")
        elif durable:
            self._db.execute("RELEASE transaction_0")
            before.clear()
        else:
            before.append(rows)
        if loses is not None:
            raise sqlite3.OperationalError
        return result

    def rows(self) -> Hashable:
        """Return the rows of the tables, without the counts of transactions."""
        return tuple(
            tuple(self._db.execute(f"SELECT {columns} ORDER BY 1, 2"))
            for columns in (
                "key, run FROM event",
                "run, batch, keys, amounts FROM reservation",
                "event_id, reason FROM dead_letter",
                "hash, read_at FROM waiting",
                "number, id FROM run",
            )
        )

    def counts(self) -> list[tuple[int, int]]:
        """Return the number of each run with the number of its transactions."""
        return self._db.execute("SELECT number, transactions FROM run").fetchall()

    def ids(self, table: str) -> set[str]:
        """Return the IDs of the events in a table."""
        if table == "dead_letter":
            return {row[0] for row in self._db.execute("SELECT event_id FROM dead_letter")}
        return {KEYS[key] for (key,) in self._db.execute("SELECT key FROM event")}

    def _roll_back(self) -> None:
        """Do nothing, because each transaction ends its own savepoint."""

    def _wait_after(self, error: Exception) -> Wait | None:
        return Wait("the connection is lost", 60.0, 0.0)


class Runner:
    """A run that reads events, with the real store.

    Attributes:
        connection: The connection of the run to the database.
        next_step: The name of the next step; None if the run has ended, or was killed.
        sends: When the run sent each event that has no outcome in the store yet.
        is_blocked: Whether the run waits for another run, which has made no step since then.
    """

    def __init__(self, scene: Scene, number: int, reads: str, *, replays: bool = False) -> None:
        self._scene = scene
        self._number = number
        self._rest = [EVENTS[event_id] for event_id in reads]
        if replays:
            account = SETTINGS.account
            self._rest = [
                msgspec.structs.replace(one, letter=keys_of(one, account)[0]) for one in self._rest
            ]
        self._covers = "" if replays else reads
        self._mine: list[Conversion] = []
        self._batches = 0
        self.connection = scene.connection.again()
        self.next_step: str | None = "begin"
        self.sends: dict[str, float] = {}
        self.is_blocked = False

    def step(self) -> None:
        """Make the next step: a transaction, a request, or the writing of a STATE."""
        assert self.next_step is not None
        try:
            self.next_step = getattr(self, f"_{self.next_step}")()
        except StorageError:
            require(self._scene.fault, "a run fails only if something went wrong", self._number)
            self.sends.clear()
            self.next_step = None if self.next_step == "release" else "release"

    def _begin(self) -> str:
        self._store = run_store_in(
            self.connection, SETTINGS.storage, f"run-{self._number}", self._scene.clock
        )
        return "claim"

    def _claim(self) -> str:
        claim = self._store.claim({self._batches: self._rest})[self._batches]
        self._mine, self._rest = claim.mine, claim.waiting
        self.is_blocked = not self._mine and bool(self._rest)
        return "send" if self._mine else "claim" if self._rest else "write"

    def _send(self) -> str:
        """Send the reserved events, but first renew reservations that are too old."""
        if self._scene.clock.now >= self._store.reserved_until:
            self._store.write()
            return "send"
        for one in self._mine:
            self._scene.send(one.event_id, self)
        return "write"

    def _write(self) -> str:
        """Write the answers of the API to the store, if there are any."""
        if self._mine:
            self._note_outcome()
        self._store.write(before_state=not self._rest)
        self.sends.clear()
        return "claim" if self._rest else "publish"

    def _note_outcome(self) -> None:
        refused = self._scene.scenario.refused
        delivered = [one for one in self._mine if one.event_id not in refused]
        now = self._scene.clock.time()
        self._store.note_delivered(delivered, [now] * len(delivered), now)
        self._store.note_confirmed(self._batches, delivered, is_last=True)
        for one in self._mine:
            if one.event_id in refused:
                self._store.note_rejected(one.rejected("refused_by_api", None, None), now)
        self._batches += 1
        self._mine = []

    def _publish(self) -> str:
        """Write a STATE that covers everything that the run has read."""
        self._scene.covered |= set(self._covers)
        return "release"

    def _release(self) -> None:
        self._store.release({})

    def seen(self) -> Hashable:
        """Return everything that decides what this run will do, to recognize equal states."""
        if self.next_step == "begin":
            return "begin"
        store, now = self._store, self._scene.clock.now
        counts = dict(self.connection.counts())
        others = [
            (run, count == counts.get(run), min(now - since, LAPSE))
            for run, (count, since) in store._others._seen.items()  # noqa: SLF001
        ]
        own = store._transactions - counts.get(store.number, -1)  # noqa: SLF001
        ids = ["".join(one.event_id for one in part) for part in (self._mine, self._rest)]
        renewed = min(now + LAPSE - store.reserved_until, 2 * LAPSE)
        sends = frozenset((one, min(now - at, LAPSE)) for one, at in self.sends.items())
        unwritten = bool(store._unwritten)  # noqa: SLF001
        known = (*ids, self._batches, sends, self.is_blocked, unwritten)
        return (self.next_step, self.connection.is_broken, own, renewed, *known, *others)


class Scene:
    """Two runs, the database and the API, after the choices of a path."""

    def __init__(self, scenario: Scenario, connection: Connection) -> None:
        connection.empty()
        self.scenario = scenario
        self.connection = connection
        self.clock = StillClock()
        self.sent: Counter[str] = Counter()
        self.covered: set[str] = set()  # The events before the last STATE.
        self.fault = ""
        if scenario.replays:
            self._write_letters(scenario.reads[1])
        self.runners = [
            Runner(self, 1, scenario.reads[0]),
            Runner(self, 2, scenario.reads[1], replays=scenario.replays),
        ]

    def _write_letters(self, ids: str) -> None:
        store = run_store_in(self.connection.again(), SETTINGS.storage, "run-0", self.clock)
        for event_id in ids:
            store.note_rejected(EVENTS[event_id].rejected("api_error", None, None), 0.0)
        store.release({})

    def send(self, event_id: str, runner: Runner) -> None:
        """Send an event to the API, and check that this is allowed now."""
        if self.fault not in CRASHES:  # They may lose what is reserved.
            since = self.clock.now - LAPSE_SECONDS
            others = [one for one in self.runners if one.sends.get(event_id, since) > since]
            require(not others, "two runs send no event at once", event_id)
        if self.fault not in {*CRASHES, "time passes"}:  # A silent run may have sent it before.
            is_known = event_id in self.connection.ids("event")
            require(not is_known, "what the store knows is not sent again", event_id)
        runner.sends[event_id] = self.clock.now
        self.sent[event_id] += 1

    def choices(self) -> list[Choice]:
        """Return everything that may happen next."""
        alive = [n for n, one in enumerate(self.runners) if one.next_step is not None]
        free = [n for n in alive if not self.runners[n].is_blocked]
        if alive and not free:
            return [("time passes for those who wait", 0)]
        faults = [] if self.fault or not alive else self._faults(alive, free)
        return [*(("step", n) for n in free), *faults]

    def _faults(self, alive: Sequence[int], free: Sequence[int]) -> list[Choice]:
        """Return the faults that may happen next."""
        lost = range(len(self.connection.disk.before) + 1)
        commits = [n for n in free if self.runners[n].next_step not in {"send", "publish"}]
        return [
            *(("the answer to a COMMIT that is done is lost", n) for n in commits),
            *(("the answer to a COMMIT that is not done is lost", n) for n in commits),
            *(("a run is killed", n) for n in alive),
            *(("the server crashes", n) for n in lost),
            *(("the power fails", n) for n in lost),
            ("time passes", 0),
        ]

    def do(self, choice: Choice) -> None:
        """Make one choice happen, and check the state after it."""
        name, number = choice
        if name.startswith("time passes"):
            self.clock.now += LAPSE
            self._unblock()
        elif name in CRASHES:
            self._crash(name, number)
        elif name == "a run is killed":
            self.runners[number].next_step = None
            self.runners[number].sends.clear()
        else:
            runner = self.runners[number]
            if name != "step":
                runner.connection.loses = "not done" not in name
            self._unblock()
            runner.step()
        if name not in {"step", "time passes for those who wait"}:
            self.fault = name.partition(" that is ")[0]
        self.check()

    def _unblock(self) -> None:
        for runner in self.runners:
            runner.is_blocked = False

    def _crash(self, name: str, lost: int) -> None:
        self.connection.crash(lost)
        for runner in self.runners:
            runner.connection.is_broken = runner.next_step is not None
            if name == "the power fails":
                runner.next_step = None
                runner.sends.clear()

    def check(self) -> None:
        """Check the rules that apply to each state."""
        delivered, letters = self.connection.ids("event"), self.connection.ids("dead_letter")
        both = delivered & letters
        require(not both, "a dead letter is gone with the delivery of its event", both)
        missing = self.covered - delivered - letters
        require(not missing, "no STATE is ahead of the store", missing)

    def finish(self) -> None:
        """Play a last run over the rest, and check that nothing is lost or repeated."""
        if not self.fault:
            often = {one for one, times in self.sent.items() if times > 1}
            twice = often - set(self.scenario.refused)
            require(not twice, "if nothing goes wrong, no event is delivered twice", twice)
        rest = [one for one in self.scenario.reads[0] if one not in self.covered]
        self.runners = [Runner(self, 3, "".join(rest))]
        while self.runners[0].next_step is not None:
            self.do(self.choices_at_the_end())
        missing = {one for reads in self.scenario.reads for one in reads if not self.sent[one]}
        require(not missing, "each event is sent", missing)

    def choices_at_the_end(self) -> Choice:
        is_blocked = self.runners[0].is_blocked
        return ("time passes for those who wait" if is_blocked else "step", 0)

    def seen(self) -> Hashable:
        """Return everything that decides what can happen from now on."""
        return (
            *(runner.next_step and runner.seen() for runner in self.runners),
            *(self.connection.rows(), tuple(self.connection.disk.before)),
            *(frozenset(self.sent.items()), frozenset(self.covered), self.fault),
        )


CRASHES = ("the server crashes", "the power fails")


def states_of(scenario: Scenario) -> int:
    """Play all paths of a scenario, and return the number of different states.

    Raises:
        ViolationError: If a rule is broken. The message contains the path.
    """
    seen: set[Hashable] = set()
    paths: list[list[Choice]] = [[]]
    with contextlib.closing(Connection(StillClock())) as connection:
        while paths:
            path = paths.pop()
            try:
                paths += _play(Scene(scenario, connection), path, seen)
            except ViolationError as violation:
                violation.args = (f"{violation}\nafter {path}",)
                raise
    return len(seen)


def _play(scene: Scene, path: list[Choice], seen: set[Hashable]) -> list[list[Choice]]:
    """Play a path, and continue until a known state; return the paths that branch off."""
    branches: list[list[Choice]] = []
    for choice in path:
        scene.do(choice)
    while (state := scene.seen()) not in seen:
        seen.add(state)
        choices = scene.choices()
        if not choices:
            scene.finish()
            break
        branches += [[*path, choice] for choice in choices[1:]]
        path.append(choices[0])
        scene.do(choices[0])
    return branches
