"""What must be true after every step of a history. The first rule that is broken ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation_ends import EndChecks
from simulation_facts import Facts, RunFacts
from simulation_outcomes import OutcomeChecks
from simulation_requests import RequestChecks

if TYPE_CHECKING:
    from simulated_api import SimulatedApi
    from simulated_feed import Feed
    from simulated_plan import Plan
    from simulated_store import SimulatedDatabase


class Checks:
    """All checks of a history.

    Attributes:
        facts: What they know.
    """

    def __init__(
        self, plan: Plan, feed: Feed, api: SimulatedApi, database: SimulatedDatabase
    ) -> None:
        self.facts = Facts(plan, feed, api, database)
        self.requests = RequestChecks(self.facts)
        self.outcomes = OutcomeChecks(self.facts)
        self.end = EndChecks(self.facts)

    @property
    def run(self) -> RunFacts:
        """What is known of the present run."""
        return self.facts.run

    def run_started(self, run_id: str, now: float) -> None:
        """Start with a new run, which goes on after the last STATE."""
        self.facts.run = RunFacts(run_id, self.facts.covered, now)
