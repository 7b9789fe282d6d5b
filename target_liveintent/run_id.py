"""The ID of a run: it appears in the log, in dead letters, in the report and in the ledger."""

from __future__ import annotations

import secrets
import uuid

from target_liveintent.clock import SYSTEM_CLOCK, Clock


def new_run_id(clock: Clock = SYSTEM_CLOCK) -> str:
    """Return a new ID, such as `019abf6e-3f1c-7cc2-8d4e-5f0a9b1c2d3e`.

    It is a UUID of version 7 (RFC 9562): it begins with the time in milliseconds and a fraction of
    one, so the IDs of later runs sort behind those of earlier ones.
    """
    ticks = int(clock.time() * 1000 * (1 << 12)) & (1 << 60) - 1  # 4096 a millisecond.
    milliseconds, fraction = divmod(ticks, 1 << 12)
    number = milliseconds << 80 | 7 << 76 | fraction << 64  # 7 is the version,
    number |= 0b10 << 62 | secrets.randbits(62)  # and 0b10 the variant.
    return str(uuid.UUID(int=number))


def run_named(run_id: str) -> str:
    """Return the end of the last line of a log, which names the run."""
    return f" (run {run_id})"
