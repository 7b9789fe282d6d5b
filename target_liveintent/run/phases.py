"""The phases of a run, and which phase may follow which."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """What a run is doing; the value is the name of the phase in messages."""

    READING = "reading"
    """The run reads records."""
    ENDING = "ending"
    """The input has ended, or a signal or the setting `limit` has ended the reading. The run sends
    what was read."""
    FAILED = "failed"
    """The run has failed, but delivery and the store still work. The run sends what was read."""
    GIVEN_UP = "given up"
    """Delivery or the store has failed. The run sends nothing more, and notes the known results."""
    CLOSED = "closed"
    """The run has ended its reservations, and does nothing more."""


NEXT_PHASES = {
    Phase.READING: {Phase.ENDING, Phase.FAILED, Phase.GIVEN_UP},
    Phase.ENDING: {Phase.FAILED, Phase.GIVEN_UP, Phase.CLOSED},
    Phase.FAILED: {Phase.GIVEN_UP, Phase.CLOSED},
    Phase.GIVEN_UP: {Phase.CLOSED},
    Phase.CLOSED: set[Phase](),
}
"""For each phase, the phases that may follow it."""
SENDS = frozenset({Phase.READING, Phase.ENDING, Phase.FAILED})
"""The phases in which events are sent, and outcomes are written as they come."""
HAS_FAILED = frozenset({Phase.FAILED, Phase.GIVEN_UP})
"""The phases after a failure."""


def next_phase(now: Phase, then: Phase) -> Phase:
    """Return the phase `then`, if a run may enter it after the phase `now`.

    Raises:
        ValueError: If `then` cannot follow `now`, which is a bug.
    """
    if then not in NEXT_PHASES[now]:
        msg = f"a run that is {now.value} cannot become {then.value}"
        raise ValueError(msg)
    return then
