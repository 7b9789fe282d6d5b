"""The process of a run, which handles the messages of the tap in the same way as the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from simulated_delivery import SimulatedDelivery, WatchedMachine
from simulated_feed import Record, State
from simulated_store import WatchedStore
from simulated_time import KilledError, Signals, SimulatedClock, World
from simulation_facts import Facts, RunFacts, ViolationError
from simulation_outcomes import EndChecks, OutcomeChecks
from simulation_requests import RequestChecks

from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.pool import most_batches
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.errors import RunError, StorageError
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.kinds import kind_of_run
from target_liveintent.run.run import Run, RunParts
from target_liveintent.store.database import Attempts
from target_liveintent.store.opening import run_store_in

if TYPE_CHECKING:
    import random

    from simulated_api import SimulatedApi
    from simulated_feed import Feed, Message
    from simulated_plan import Ending, Plan
    from simulated_store import SimulatedDatabase

TICK = 1.0
"""The maximum number of seconds between two calls of `Run.tick` while the tap sends nothing."""


class Surroundings(NamedTuple):
    """The objects that all processes of a history share."""

    plan: Plan
    rng: random.Random
    feed: Feed
    api: SimulatedApi
    world: World
    database: SimulatedDatabase
    runs: list[RunFacts]  # Of all runs, the oldest first.
    accepted: set[int]  # Events that the API accepted in a clear answer, in any run.


class Checks:
    """All checks of consecutive runs, each of which continues after the last STATE."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.facts = Facts(surroundings)
        self.requests = RequestChecks(self.facts)
        self.outcomes = OutcomeChecks(self.facts)
        self.end = EndChecks(self.facts)

    @property
    def run(self) -> RunFacts:
        return self.facts.run


class RunProcess:
    """The process of one run."""

    def __init__(
        self, surroundings: Surroundings, checks: Checks, run_id: str, ending: Ending
    ) -> None:
        self._all = surroundings
        self._plan = surroundings.plan
        self._checks = checks
        self._ending = ending
        self._clock = SimulatedClock(surroundings.world)
        self._signals = Signals(ending, self._clock)
        self._run_id = run_id
        self._stopped = False
        self._reads = True  # Until SIGTERM, or as many events are sent as `limit` says.

    def play(self) -> str:
        """Play the run; return "done", "stopped", "killed", or the name of its exception."""
        self._delivery = self._make_delivery()
        self._database = self._connect()
        self._checks.facts.begin(self._run_id, self._clock.now, self._signals, self._database)
        try:
            run = Run(self._plan.settings.run, self._parts())
            self._signals.on_stop = lambda: self._stop(run)
            return self._process(run)
        except KilledError:
            return "killed"
        except StorageError as failure:  # The store could not be opened.
            self._checks.end.failed(failure, RunCounts(), self._clock.now)
            return "StorageError"
        finally:
            self._database.end()
            self._checks.run.reserved.clear()

    def _make_delivery(self) -> SimulatedDelivery:
        """Return the same parts as `delivery_of`, but without chance, threads and sockets."""
        plan, settings, api = self._plan, self._plan.settings, self._all.api
        most = settings.max_concurrent_requests
        per_minute = settings.max_requests_per_minute
        pace = Pace(most, per_minute=per_minute, jitter=self._all.rng.random)
        batches = most_batches(most, settings.batch_size_rows)
        machine = WatchedMachine(self._checks, settings.delivery, pace, Refusals(), batches)
        descriptors = 256 if api.heals else plan.descriptors
        return SimulatedDelivery(
            machine, api, self._clock, self._signals, self._checks, most, descriptors
        )

    def _connect(self) -> SimulatedDatabase:
        attempts = Attempts(self._clock, self._wait, lambda: self._stopped)
        database = self._all.database.connect(
            self._run_id, self._signals, self._clock, attempts, self._wait
        )
        if not self._all.api.heals:
            database.fill_after(self._plan.full_after, goes=self._plan.store_goes)
        return database

    def _wait(self, seconds: float) -> None:
        if seconds:
            self._checks.run.waited += seconds
            self._delivery.pass_time(seconds)

    def _parts(self) -> RunParts:
        plan, database, signals = self._plan, self._database, self._signals

        def write_state(text: str) -> None:
            signals.step()
            self._checks.outcomes.state_written(text)
            signals.step()

        store = run_store_in(
            database, plan.settings.storage, self._run_id, self._clock, send_again=plan.send_again
        )
        return RunParts(
            clock=self._clock,
            delivery=cast("Any", self._delivery),
            outcomes=WatchedStore(store, database, self._checks),
            kind=kind_of_run(plan.settings.limit),
            stop_reading=self._stop_reading,
            write_state=write_state,
        )

    def _stop_reading(self) -> None:
        self._reads = False

    def _stop(self, run: Run) -> None:
        """Stop the run in the same way as the target does after SIGTERM."""
        if not self._stopped:
            self._stopped = True
            self._reads = False
            self._checks.run.signalled_at = self._clock.now
            run.request_stop()

    def _process(self, run: Run) -> str:
        """Process the messages in the same way as `TargetLiveIntent.process`."""
        reader = _Reader(self._all.feed.after(self._checks.facts.state))
        try:
            for message in reader.messages:
                self._wait_for_message(run)
                self._signals.step()
                if not self._reads:
                    break
                self._database.maybe_crash()
                reader.note(message)
                self._take(run, message)
                run.tick()
            self._checks.run.is_ending = True
            run.finish()
        except ViolationError:
            raise
        except Exception as failure:  # noqa: BLE001 (judged by the checks)
            self._abandon(run, failure)
            return type(failure).__name__
        read_to = reader.read_to if reader.read_to is not None else self._checks.run.first
        self._checks.end.over(run.counts, self._clock.now)
        self._checks.end.well(run.counts, read_to, reader.last_state)
        return "stopped" if self._stopped else "done"

    def _wait_for_message(self, run: Run) -> None:
        left = self._plan.gap and self._all.rng.uniform(0, self._plan.gap)
        while left > 0 and self._reads:
            self._delivery.pass_time(min(left, TICK))
            left -= TICK
            run.tick()

    def _take(self, run: Run, message: Message) -> None:
        if isinstance(message, State):
            run.gate.hold(message.text)
            return
        self._checks.run.read += 1
        run.counts.of(message.stream).read += 1
        run.take(message.stream, message.result)

    def _abandon(self, run: Run, failure: Exception) -> None:
        end, clock = self._checks.end, self._clock
        end.failed(failure, run.counts, clock.now)
        try:
            run.abandon(failure)
        except RunError as second:  # The target logs it; the user must fix the first one.
            hidden = second.__context__
            while hidden is not None:  # `Run.abandon` may fail again at its end.
                if isinstance(hidden, ViolationError):
                    raise hidden from None
                hidden = hidden.__context__
            end.failed(second, run.counts, clock.now)
        end.over(run.counts, clock.now)


class _Reader:
    """The messages, with the number of records read so far and the last STATE."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.read_to: int | None = None
        self.last_state: str | None = None

    def note(self, message: Message) -> None:
        if isinstance(message, Record):
            self.read_to = message.place + 1
        else:
            self.last_state = message.text
