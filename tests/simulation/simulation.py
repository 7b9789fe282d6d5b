"""Plays one history: runs of the target until the output of the tap is delivered.

A seed decides everything: what the tap sends, what the API answers, when a run is stopped, killed
or suspended, when the database crashes, and whether another run reads the same input at the same
time. A history uses no files and no real waits, and only one process runs at a time. The parts that
make decisions are real: `Run` with its batches, state gate and counts, the store, and the delivery
machine with its pace. FoundationDB and TigerBeetle are tested in the same way.
"""

from __future__ import annotations

import contextlib
import random

from simulated_api import SimulatedApi
from simulated_feed import Feed
from simulated_plan import Betrayals, Ending, Plan, plan_of
from simulated_process import Checks, RunProcess, Surroundings
from simulated_store import SimulatedDatabase
from simulated_time import SimulatedClock, World
from simulation_facts import ViolationError, require

LASTING_FAULTS = frozenset({"answers", "limit", "poison"})
"""The faults that do not end before the last run of a history."""
ENDED_BY_RECORDS = frozenset({"AllRefusedError", "TooManyRejectedError"})
"""The exceptions that may end a run because many of its records are bad."""


class History:
    """A history with its plan."""

    def __init__(self, plan: Plan) -> None:
        rng = random.Random(f"history {plan.seed}")  # noqa: S311 (a seed, not secrecy)
        feed, world = Feed(plan), World()
        self._plan = plan
        self._api = SimulatedApi(plan, feed)
        self.database = SimulatedDatabase(SimulatedClock(world), plan)
        self._all = Surroundings(plan, rng, feed, self._api, world, self.database, [], set())
        self._checks = Checks(self._all)
        self._endings: list[str] = []

    def play(self) -> tuple[list[str], int, float]:
        """Play the history; return how each run ended, and the numbers of requests and seconds.

        Raises:
            ViolationError: If a rule is broken.
        """
        plan, world = self._plan, self._all.world
        others = [*plan.endings, Ending(), Ending()]
        self._play_first(others.pop(0)._replace(happenings=plan.betrayals.happenings))
        while others and self._endings[-1] != "done":
            world.now += self._all.rng.choice((0.0, 60.0, 3_600.0))
            ending = others.pop(0)
            if not others:
                self._heal()
            self._play_alone(ending)
        if self._api.heals and not LASTING_FAULTS & plan.faults:
            rule = "a run after the end of all faults delivers the rest"
            require(self._endings[-1] in {"done", *ENDED_BY_RECORDS}, rule, self._endings)
        return self._endings, sum(run.requests for run in self._all.runs), world.now

    def _heal(self) -> None:
        """End all faults except the lasting ones, so that the last run can deliver the rest."""
        self._api.heals = True
        self.database.server.betrayals = Betrayals()

    def _play_first(self, ending: Ending) -> None:
        """Play the first run, perhaps together with another run that has its own STATE."""
        betrayals, world = self._plan.betrayals, self._all.world
        beside = betrayals.beside
        if beside is None or self._plan.send_again:  # Both runs would send all events.
            self._play_alone(ending)
            return

        def play_other() -> None:
            world.sleep_until(world.now + betrayals.beside_after)
            RunProcess(self._all, Checks(self._all), "run-beside", beside).play()

        process = RunProcess(self._all, self._checks, "run-0", ending)
        world.together(lambda: self._endings.append(process.play()), play_other)

    def _play_alone(self, ending: Ending) -> None:
        """Play a run alone; if the run is killed, the power fails after it."""
        run_id = f"run-{len(self._endings)}"
        self._endings.append(RunProcess(self._all, self._checks, run_id, ending).play())
        if self._endings[-1] == "killed":
            self.database.crash()


def play(seed: int) -> tuple[list[str], int, float]:
    """Play the history of a seed, and return the result of `History.play`."""
    history = History(plan_of(seed))
    with contextlib.closing(history.database):
        return history.play()


def violation_in(seed: int) -> str | None:
    """Play the history of a seed; return a message about a broken rule, or None."""
    try:
        play(seed)
    except ViolationError as violation:
        return str(violation)
    return None
