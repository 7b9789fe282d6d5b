"""Plays one history: the runs of a target, one after another, until the tap's output is delivered.

Everything is decided by a seed: what the tap sends, what the API answers, when a run is stopped or
killed. There are no threads, no files and no waits. What is real is what decides: `Run` with its
batches, state gate and counts, the store, and the delivery machine with its pace. FoundationDB and
TigerBeetle test in this way.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any, cast

from simulated_api import SimulatedApi
from simulated_delivery import (
    KilledError,
    Signals,
    SimulatedClock,
    SimulatedDelivery,
    WatchedMachine,
)
from simulated_feed import Feed, Record, State
from simulated_plan import Ending, Plan, plan_of
from simulated_store import SimulatedDatabase, WatchedStore
from simulation_facts import Facts, RunFacts, ViolationError, require
from simulation_outcomes import EndChecks, OutcomeChecks
from simulation_requests import RequestChecks

from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.pool import most_batches
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.errors import RunError
from target_liveintent.run.kinds import kind_of_run
from target_liveintent.run.run import Run, RunParts
from target_liveintent.store.opening import run_store_in

if TYPE_CHECKING:
    from simulated_feed import Message

LASTING_FAULTS = frozenset({"answers", "limit", "poison"})
"""The faults that the last run of a history meets as well."""
ENDED_BY_RECORDS = frozenset({"AllRefusedError", "TooManyRejectedError"})
"""How runs may end because of their records, if many of those are bad."""
TICK = 1.0
"""The most seconds between two looks at what is due, while the tap sends nothing."""


class Checks:
    """All checks of a history, and the facts that they know."""

    def __init__(
        self, plan: Plan, feed: Feed, api: SimulatedApi, database: SimulatedDatabase
    ) -> None:
        self.facts = Facts(plan, feed, api, database)
        self.requests = RequestChecks(self.facts)
        self.outcomes = OutcomeChecks(self.facts)
        self.end = EndChecks(self.facts)

    @property
    def run(self) -> RunFacts:
        return self.facts.run

    def run_started(self, run_id: str, now: float) -> None:
        """Start with a new run, which goes on after the last STATE."""
        self.facts.run = RunFacts(run_id, self.facts.covered, now)


class History:
    """One history, from its plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = random.Random(f"history {plan.seed}")  # noqa: S311 (a seed, not secrecy)
        self._feed = Feed(plan)
        self._api = SimulatedApi(plan, self._feed)
        self._clock = SimulatedClock()
        self.database = SimulatedDatabase(self._clock)
        self._checks = Checks(plan, self._feed, self._api, self.database)
        self._runs = 0
        self._stopped = False
        self._reads = True  # Until SIGTERM, or as many events are sent as `limit` says.

    def play(self) -> tuple[list[str], int, float]:
        """Play it to its end; return how each run ended, the requests, and the simulated time.

        Raises:
            ViolationError: If a rule is broken.
        """
        endings: list[str] = []
        requests = 0
        for ending in [*self._plan.endings, Ending(), Ending()]:
            self._api.heals = len(endings) > len(self._plan.endings)
            endings.append(self._play_run(ending))
            requests += self._checks.run.requests
            if endings[-1] == "done":
                break
            self._clock.now += self._rng.choice((0.0, 60.0, 3_600.0))
        if self._api.heals and not LASTING_FAULTS & self._plan.faults:
            rule = "a run after the end of all faults delivers the rest"
            require(endings[-1] in {"done", *ENDED_BY_RECORDS}, rule, endings)
        return endings, requests, self._clock.now

    def _play_run(self, ending: Ending) -> str:
        """Play one run, and return how it ended."""
        signals = Signals(ending)
        self._stopped = False
        self._reads = True
        self._runs += 1
        run_id = f"run-{self._runs}"
        self._checks.run_started(run_id, self._clock.now)
        try:
            delivery = self._delivery(signals)
            run = Run(self._plan.settings, self._parts(run_id, delivery, signals))
            signals.on_stop = lambda: self._stop(run)
            return self._process(run, delivery, signals)
        except KilledError:
            self.database.crash(self._rng)
            return "killed"

    def _delivery(self, signals: Signals) -> SimulatedDelivery:
        """Make what `delivery_of` makes, but without chance, threads and sockets."""
        plan, settings = self._plan, self._plan.settings
        most = settings.max_concurrent_requests
        per_minute = settings.max_requests_per_minute
        pace = Pace(most, per_minute=per_minute, jitter=self._rng.random)
        batches = most_batches(most, settings.batch_size_rows)
        machine = WatchedMachine(self._checks, settings.delivery, pace, Refusals(), batches)
        descriptors = 256 if self._api.heals else plan.descriptors
        return SimulatedDelivery(
            machine, self._api, self._clock, signals, self._checks, most, descriptors
        )

    def _parts(self, run_id: str, delivery: SimulatedDelivery, signals: Signals) -> RunParts:
        plan, database = self._plan, self.database

        def write_state(text: str) -> None:
            signals.step()
            self._checks.outcomes.state_written(text)
            signals.step()

        def wait() -> None:
            if plan.store_seconds:
                delivery.pass_time(plan.store_seconds)

        full_after = None if self._api.heals else plan.full_after
        database.start(run_id, signals, wait, full_after, goes=plan.store_goes)
        store = run_store_in(
            database, plan.settings, run_id, self._clock, send_again=plan.send_again
        )
        return RunParts(
            clock=self._clock,
            delivery=cast("Any", delivery),
            outcomes=WatchedStore(store, database, self._checks),
            kind=kind_of_run(plan.settings.limit),
            stop_reading=self._stop_reading,
            write_state=write_state,
        )

    def _stop_reading(self) -> None:
        self._reads = False

    def _stop(self, run: Run) -> None:
        """Do what the target does at SIGTERM."""
        if not self._stopped:
            self._stopped = True
            self._reads = False
            self._checks.run.signalled_at = self._clock.now
            run.request_stop()

    def _process(self, run: Run, delivery: SimulatedDelivery, signals: Signals) -> str:
        """Do what `TargetLiveIntent.process` does."""
        reader = _Reader(self._feed.after(self._checks.facts.state))
        try:
            for message in reader.messages:
                self._wait_for_message(run, delivery)
                signals.step()
                if not self._reads:
                    break
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

    def _wait_for_message(self, run: Run, delivery: SimulatedDelivery) -> None:
        left = self._plan.gap and self._rng.uniform(0, self._plan.gap)
        while left > 0 and self._reads:
            delivery.pass_time(min(left, TICK))
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
            end.failed(second, run.counts, clock.now)
        end.over(run.counts, clock.now)


class _Reader:
    """What was read: the number of records until now, and the last STATE."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.read_to: int | None = None
        self.last_state: str | None = None

    def note(self, message: Message) -> None:
        if isinstance(message, Record):
            self.read_to = message.place + 1
        else:
            self.last_state = message.text


def play(seed: int) -> tuple[list[str], int, float]:
    """Play the history of a seed; see `History.play`."""
    history = History(plan_of(seed))
    with contextlib.closing(history.database):
        return history.play()


def violation_in(seed: int) -> str | None:
    """Play the history of a seed; return the rule that was broken, and what was found."""
    try:
        play(seed)
    except ViolationError as violation:
        return str(violation)
    return None
