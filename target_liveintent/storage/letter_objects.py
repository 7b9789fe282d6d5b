"""Dead letters in a folder of an object store: a run writes objects, and a replay takes them over.

An object is a Singer stream of its own. A run puts at most one for each `flush_interval_seconds`,
or a few more where megabytes of dead letters come in that time; STATE waits for it.
"""

from __future__ import annotations

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.storage.dead_letters import HEAD
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.object_writer import ObjectWriter

ENDING = ".singer"
"""The ending of the names of objects that hold dead letters."""


class DeadLetterObjects(ObjectWriter):
    """The dead letters of a run.

    Args:
        store: The folder that the setting `dead_letter_path` names.
        run_id: The ID of the run.
        interval: The setting `flush_interval_seconds`.
        clock: Tells the time.
    """

    def __init__(
        self, store: ObjectStore, run_id: str, interval: float, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__(store, HEAD, ENDING, run_id, clock)
        self._interval = interval
        self._unsynced_since: float | None = None

    def write(self, lines: bytes) -> None:
        """Take a dead letter."""
        if self._unsynced_since is None:
            self._unsynced_since = self._clock.monotonic()
        super().write(lines)

    @property
    def is_due(self) -> bool:
        """Whether dead letters have waited for the interval, or none waits."""
        since = self._unsynced_since
        return since is None or self._clock.monotonic() - since >= self._interval

    def sync(self) -> None:
        """Put what was gathered into the store."""
        super().sync()
        self._unsynced_since = None
