"""The phases of a run, and which phase may follow which."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """What a run is doing; the value says it in words."""

    READING = "reading"
    """Records come in."""
    ENDING = "ending"
    """The input is at its end, or a signal has stopped it; what was read is sent."""
    FAILED = "failed"
    """The run has failed, but delivery and the store still work. What was read is sent."""
    GIVEN_UP = "given up"
    """Delivery or the store has failed. Nothing more is sent; only known results are kept."""
    CLOSED = "closed"
    """The reservations of the run are over."""


NEXT_PHASES = {
    Phase.READING: {Phase.ENDING, Phase.FAILED, Phase.GIVEN_UP},
    Phase.ENDING: {Phase.FAILED, Phase.GIVEN_UP, Phase.CLOSED},
    Phase.FAILED: {Phase.GIVEN_UP, Phase.CLOSED},
    Phase.GIVEN_UP: {Phase.CLOSED},
    Phase.CLOSED: set[Phase](),
}
"""The phases that may follow each phase."""
SENDS = frozenset({Phase.READING, Phase.ENDING, Phase.FAILED})
"""The phases in which events are sent, and outcomes are written as they come."""
HAS_FAILED = frozenset({Phase.FAILED, Phase.GIVEN_UP})
"""The phases after a failure."""


def next_phase(now: Phase, then: Phase) -> Phase:
    """Return the phase that a run enters.

    Raises:
        ValueError: If the phase cannot follow the present one, which is a bug.
    """
    if then not in NEXT_PHASES[now]:
        msg = f"a run that is {now.value} cannot become {then.value}"
        raise ValueError(msg)
    return then
