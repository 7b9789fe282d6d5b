"""Plays one history: the runs of a target, until the tap's output is delivered.

Everything is decided by a seed: what the tap sends, what the API answers, when a run is stopped,
killed or suspended, when the database crashes, and whether another run reads the same at the same
time. There are no files and no waits, and one process goes on at a time. What is real is what
decides: `Run` with its batches, state gate and counts, the store, and the delivery machine with its
pace. FoundationDB and TigerBeetle test in this way.
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
"""The faults that the last run of a history meets as well."""
ENDED_BY_RECORDS = frozenset({"AllRefusedError", "TooManyRejectedError"})
"""How runs may end because of their records, if many of those are bad."""


class History:
    """One history, from its plan."""

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
        """Play it to its end; return how each run ended, the requests, and the simulated time.

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
        """End the faults: the last run must deliver the rest."""
        self._api.heals = True
        self.database.server.betrayals = Betrayals()

    def _play_first(self, ending: Ending) -> None:
        """Play the first run, maybe beside another run, which has a STATE of its own."""
        betrayals, world = self._plan.betrayals, self._all.world
        beside = betrayals.beside
        if beside is None or self._plan.send_again:  # Those two would send everything twice.
            self._play_alone(ending)
            return

        def play_other() -> None:
            world.sleep_until(world.now + betrayals.beside_after)
            RunProcess(self._all, Checks(self._all), "run-beside", beside).play()

        process = RunProcess(self._all, self._checks, "run-0", ending)
        world.together(lambda: self._endings.append(process.play()), play_other)

    def _play_alone(self, ending: Ending) -> None:
        """Play a run; if it is killed, the power fails."""
        run_id = f"run-{len(self._endings)}"
        self._endings.append(RunProcess(self._all, self._checks, run_id, ending).play())
        if self._endings[-1] == "killed":
            self.database.crash()


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
