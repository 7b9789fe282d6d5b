"""What the last lines of a stopped run say: what stopped it, what it waited for, and what to do."""

from __future__ import annotations

import signal

from target_liveintent.singer.standard_io import StateOutput
from target_liveintent.store import RunStore


def stopped_by(signum: int) -> str:
    """Return which signal stopped a run."""
    return f"stopped by {signal.Signals(signum).name}"


def afterwards(*, is_replay: bool) -> str:
    """Return what to do, or what happens next, after a stopped run."""
    if is_replay:  # It has no STATE.
        return "run the replay again to send the rest"
    return "the next run continues from the last STATE"


def what_waits(output: StateOutput, store: RunStore | None) -> str:
    """Return what keeps a stopped run from ending, as a clause."""
    if output.waiting:
        return "no program has read STATE from standard output"
    if store is not None and store.database.waiting.reason:
        return store.database.waiting.reason
    return "the cause is unknown"
