"""Distinguishes an API that refuses everything from one that refuses only bad events.

With a wrong pixel ID the API refuses every batch, and halving the batches would find every event
bad. So the breaker counts refusals in a row, over all threads. After a few, batches take turns, so
that many threads do not run ahead of the answers; after many, the run ends.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

from target_liveintent.errors import AllRefusedError

SUSPICIOUS = 8
"""Refusals in a row after which batches take turns."""
MAX_REFUSALS = 80
"""Refusals in a row that end the run: with the requests in flight then, fewer than 100 requests."""
MAX_ISOLATED = 22
"""Events found bad in a row that end the run."""


class Breaker:
    """Counts refusals in a row. All threads share it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked = 0
        # For each refusal, and each event found bad, the number of requests made until then. An
        # accepted request removes the entries that are older than itself.
        self._refused: list[int] = []
        self._isolated: list[int] = []
        self._prober: Hashable | None = None
        self._ended: str | None = None

    def wait_for_turn(self, batch: Hashable) -> int:
        """Wait while another batch has the turn; return the number of the request to make.

        Raises:
            AllRefusedError: If the run is over.
        """
        with self._changed:
            while (request := self.try_turn(batch)) is None:
                self._changed.wait()
            return request

    def try_turn(self, batch: Hashable) -> int | None:
        """Take the turn, as `wait_for_turn` does; return None instead of waiting."""
        with self._changed:
            if self._ended:
                raise AllRefusedError(self._ended)
            if len(self._refused) >= SUSPICIOUS:
                if self._prober not in {None, batch}:
                    return None
                self._prober = batch
            self._asked += 1
            return self._asked

    def accepted(self, request: int) -> None:
        """Note that the API accepted a request: refusals that came before it are of bad events.

        Args:
            request: The number of the request. Its answer may come late, as requests overtake each
                other: it proves nothing about refusals that came after the request was made.
        """
        with self._changed:
            for refusals in (self._refused, self._isolated):
                refusals[:] = [asked for asked in refusals if asked >= request]
            if len(self._refused) < SUSPICIOUS:
                self._prober = None
                self._changed.notify_all()

    def refused(self, detail: str) -> None:
        """Count a refused request; raise `AllRefusedError` if that makes too many in a row."""
        self._count(self._refused, MAX_REFUSALS, "requests", detail)

    def isolated(self, detail: str) -> None:
        """Count an event found bad; raise `AllRefusedError` if that makes too many in a row."""
        self._count(self._isolated, MAX_ISOLATED, "single events", detail)

    def _count(self, refusals: list[int], most: int, kind: str, detail: str) -> None:
        with self._changed:
            refusals.append(self._asked)
            if len(refusals) < most:
                return
            what = f"{len(refusals)} {kind}"
            self._ended = refused_as_a_whole(f"the API refused {what} in a row", detail)
            self._changed.notify_all()
            raise AllRefusedError(self._ended)

    def done(self, batch: Hashable) -> None:
        """Let a finished batch give up its turn."""
        with self._changed:
            if self._prober == batch:
                self._prober = None
                self._changed.notify_all()


def refused_as_a_whole(what: str, detail: str) -> str:
    """Return the line that explains why nothing is accepted: what happened, what the API said."""
    return (
        f"{what} ({detail}). Not the events but the settings may be wrong: check pixel_id and"
        " customer_id. The next run sends again what was not delivered and has no dead letter; of a"
        " replay, keep the file and pipe it in again"
    )
