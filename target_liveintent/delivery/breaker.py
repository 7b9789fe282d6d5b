"""Tells a run that the API refuses as a whole from one that holds bad events.

A wrong pixel ID makes the API refuse every batch, and halving would "isolate" every event of it. So
refusals in a row are counted over all threads. After a few, requests take turns, so that many
threads do not run ahead of the verdict; after many, the run ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from target_liveintent.errors import AllRefusedError

if TYPE_CHECKING:
    from collections.abc import Hashable

SUSPICIOUS = 8
"""Refusals in a row after which requests take turns."""
MAX_REFUSALS = 80
"""Refusals in a row that end the run. With those in flight when turns begin: under 100 requests."""
MAX_LETTERS = 22
"""Events found bad in a row that end the run."""


class Breaker:
    """Counts refusals in a row. Shared by all threads; a turn is taken by a batch."""

    def __init__(self) -> None:
        """Start without suspicion."""
        self._changed = threading.Condition()
        self._asked = 0
        # For each refusal, and each event found bad, how many requests had been made when it came,
        # since the last acceptance that says something of it.
        self._refused: list[int] = []
        self._isolated: list[int] = []
        self._prober: Hashable | None = None
        self._verdict: str | None = None

    def wait_for_turn(self, batch: Hashable) -> int:
        """Wait while there is suspicion and another batch is trying.

        Returns:
            A number for the request that is about to be made.

        Raises:
            AllRefusedError: If the run is over.
        """
        with self._changed:
            while self._suspicious and self._prober not in {None, batch} and not self._verdict:
                self._changed.wait()
            if self._verdict:
                raise AllRefusedError(self._verdict)
            if self._suspicious:
                self._prober = batch
            self._asked += 1
            return self._asked

    @property
    def _suspicious(self) -> bool:
        return len(self._refused) >= SUSPICIOUS

    def accepted(self, request: int) -> None:
        """The API took something: refusals that came before it was asked are about the events.

        Args:
            request: Its number. An answer may come late, and requests overtake each other: it tells
                nothing of refusals that came after it was made.
        """
        with self._changed:
            self._refused = [asked for asked in self._refused if asked >= request]
            self._isolated = [asked for asked in self._isolated if asked >= request]
            if not self._suspicious:
                self._prober = None
                self._changed.notify_all()

    def refused(self, said: str) -> None:
        """The API refused a request.

        Args:
            said: What the API said, for the verdict.

        Raises:
            AllRefusedError: When that was one too many.
        """
        with self._changed:
            self._refused.append(self._asked)
            if len(self._refused) >= MAX_REFUSALS:
                self._trip(f"{len(self._refused)} requests", said)

    def isolated(self, said: str) -> None:
        """An event was found bad.

        Args:
            said: What the API said, for the verdict.

        Raises:
            AllRefusedError: When that was one too many.
        """
        with self._changed:
            self._isolated.append(self._asked)
            if len(self._isolated) >= MAX_LETTERS:
                self._trip(f"{len(self._isolated)} single events", said)

    def done(self, batch: Hashable) -> None:
        """A batch is finished and gives up its turn."""
        with self._changed:
            if self._prober == batch:
                self._prober = None
                self._changed.notify_all()

    def _trip(self, what: str, said: str) -> None:
        self._verdict = refused_as_a_whole(f"the API refused {what} in a row", said)
        self._changed.notify_all()
        raise AllRefusedError(self._verdict)


def refused_as_a_whole(what: str, said: str) -> str:
    """The line that explains a run in which the API takes nothing."""
    return (
        f"{what} ({said}). Not the events but the settings may be wrong: check pixel_id and"
        " customer_id. The next run sends again what was not delivered and has no dead letter; of a"
        " replay, keep the file and pipe it in again"
    )
