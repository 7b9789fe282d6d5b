"""The ID of a run: it appears in the log, in dead letters, in the report and in the store."""

from __future__ import annotations

import secrets
import uuid

from target_liveintent.clock import SYSTEM_CLOCK, Clock


def new_run_id(clock: Clock = SYSTEM_CLOCK) -> str:
    """Return a new ID, such as `019abf6e-3f1c-7cc2-8d4e-5f0a9b1c2d3e`.

    The ID is a UUID of version 7 (RFC 9562). It begins with the time, to a 4096th of a millisecond,
    so IDs sort in the order in which runs start.
    """
    ticks = int(clock.time() * 1000 * (1 << 12)) & (1 << 60) - 1  # 4096 ticks a millisecond.
    milliseconds, fraction = divmod(ticks, 1 << 12)
    number = milliseconds << 80 | 7 << 76 | fraction << 64  # 7 is the version,
    number |= 0b10 << 62 | secrets.randbits(62)  # and 0b10 the variant.
    return str(uuid.UUID(int=number))


def run_named(run_id: str) -> str:
    """Return the words that name the run at the end of a log line: " (run 019abf6e-…)"."""
    return f" (run {run_id})"
