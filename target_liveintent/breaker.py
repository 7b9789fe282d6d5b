"""Tells a run that the API refuses as a whole from one that holds bad events.

A wrong pixel ID makes the API refuse every batch, and halving would "isolate" every event of it. So
refusals in a row are counted over all threads. After a few, requests take turns, so that many
threads do not run ahead of the verdict; after many, the run ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from target_liveintent.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Hashable

SUSPICIOUS = 8
"""Refusals in a row after which requests take turns."""
MAX_REFUSALS = 90
"""Refusals in a row that end the run. With those in flight when turns begin: under 100 requests."""
MAX_LETTERS = 30
"""Events refused in a row, in batches of which nothing was accepted, that end the run."""


class Breaker:
    """Counts refusals in a row. Shared by all threads; a turn is taken by a batch.

    Attributes:
        acceptances: Requests that the API took so far.
    """

    def __init__(self) -> None:
        """Start without suspicion."""
        self._changed = threading.Condition()
        self.acceptances = 0
        self._refusals = 0
        self._letters = 0
        self._prober: Hashable | None = None
        self._verdict: str | None = None

    def wait_for_turn(self, batch: Hashable) -> None:
        """Wait while there is suspicion and another batch is trying.

        Raises:
            RefusedError: If the run is over.
        """
        with self._changed:
            while self._suspicious and self._prober not in {None, batch} and not self._verdict:
                self._changed.wait()
            if self._verdict:
                raise RefusedError(self._verdict)
            if self._suspicious:
                self._prober = batch

    @property
    def _suspicious(self) -> bool:
        return self._refusals >= SUSPICIOUS

    def accepted(self) -> None:
        """The API took something: refusals before it are about the events."""
        with self._changed:
            self.acceptances += 1
            self._refusals = self._letters = 0
            self._prober = None
            self._changed.notify_all()

    def refused(self, said: str, *, proven: bool) -> None:
        """The API refused a request.

        Args:
            said: What it said, for the verdict.
            proven: Whether it took anything since the batch is being delivered.

        Raises:
            RefusedError: When that was one too many.
        """
        with self._changed:
            self._refusals += 1
            if self._refusals >= MAX_REFUSALS and not proven:
                self._trip(f"{self._refusals} requests", said)

    def isolated(self, said: str) -> None:
        """An event was found bad, and nothing was accepted since its batch is being delivered.

        Args:
            said: What the API said, for the verdict.

        Raises:
            RefusedError: When that was one too many.
        """
        with self._changed:
            self._letters += 1
            if self._letters >= MAX_LETTERS:
                self._trip(f"{self._letters} single events", said)

    def done(self, batch: Hashable) -> None:
        """A batch is finished and gives up its turn."""
        with self._changed:
            if self._prober == batch:
                self._prober = None
                self._changed.notify_all()

    def _trip(self, what: str, said: str) -> None:
        self._verdict = refused_as_a_whole(f"the API refused {what} in a row", said)
        self._changed.notify_all()
        raise RefusedError(self._verdict)


def refused_as_a_whole(what: str, said: str) -> str:
    """The line that explains a run in which the API takes nothing."""
    return (
        f"{what} ({said}). Not the events but the settings may be wrong: check pixel_id and"
        " customer_id. Nothing was dead-lettered for it, and the next run sends the events again"
    )
