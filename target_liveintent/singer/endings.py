"""What the last lines of a stopped run say: what stopped it, what it waited for, and what to do."""

from __future__ import annotations

import signal

from target_liveintent.run import RunCounts
from target_liveintent.singer.replay_command import ReplayCommand
from target_liveintent.singer.standard_io import StateOutput
from target_liveintent.storage import EventLedger


def stopped_by(signum: int) -> str:
    """Return which signal stopped a run."""
    return f"stopped by {signal.Signals(signum).name}"


def afterwards(counts: RunCounts, replay: ReplayCommand | None) -> str:
    """Return what to do, or what happens next, after a stopped run."""
    if replay is not None:
        return "run the replay again to send the rest"
    if counts.is_replay:  # It has no STATE.
        return "keep the file of dead letters, and pipe it into the target again"
    return "the next run continues from the last STATE"


def what_waits(output: StateOutput, ledger: EventLedger | None) -> str:
    """Return what keeps a stopped run from ending, as a clause."""
    if output.waiting:
        return "no program has read STATE from standard output"
    if ledger is not None and ledger.waits_for:
        return ledger.waits_for
    return "the cause is unknown"
