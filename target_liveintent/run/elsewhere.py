"""What a run cannot send now, because another one has claimed it in the ledger."""

from __future__ import annotations

from typing import NamedTuple


class Elsewhere(NamedTuple):
    """What waits because another run has claimed it in the ledger.

    Attributes:
        events: How many events wait.
        run_id: The other run, or one of them.
        since: Since when, in monotonic seconds.
    """

    events: int
    run_id: str
    since: float
