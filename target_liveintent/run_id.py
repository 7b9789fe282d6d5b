"""The ID of a run: it appears in the log, in dead letters, in the report and in the ledger."""

from __future__ import annotations

import secrets
import uuid

from target_liveintent.clock import SYSTEM_CLOCK, Clock


def new_run_id(clock: Clock = SYSTEM_CLOCK) -> str:
    """Return a new ID, such as `019abf6e-3f1c-7cc2-8d4e-5f0a9b1c2d3e`.

    It is a UUID of version 7 (RFC 9562): it begins with the time in milliseconds, so the IDs of
    later runs sort behind those of earlier ones.
    """
    milliseconds = int(clock.time() * 1000) & (1 << 48) - 1
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 7 << 76  # The version.
    number = number & ~(0b11 << 62) | 0b10 << 62  # The variant.
    return str(uuid.UUID(int=number))


def run_named(run_id: str) -> str:
    """Return what the last line of a log ends in."""
    return f" (run {run_id})"
