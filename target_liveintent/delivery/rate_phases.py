"""The phases of the rate, and what the API's answers change in each of them.

| phase | the API's answers | rate | next phase |
|---|---|---|---|
| open | throttled | times 0.45, held | search |
| open | throttled too often | times 0.6 | search |
| reopened | throttled | times 0.75, held | near |
| reopened | throttled too often | times 0.6 | near |
| search | throttled | times 0.45, held | search |
| search | throttled too often | times 0.6 | search |
| search | accepted | climbs | near |
| search | standstill over | unlimited | reopened |
| near | throttled | times 0.75, held | near |
| near | throttled too often | times 0.6 | near |
| near | accepted | climbs | near |
| near | accepted again | climbs | climb |
| near | standstill over | unlimited | reopened |
| near | mixed | that of the probe | probe |
| climb | throttled | times 0.91, held | climb |
| climb | throttled too often | times 0.6 | climb |
| climb | accepted | climbs | climb |
| climb | accepted again | climbs | climb |
| climb | standstill over | unlimited | open |
| climb | mixed | that of the probe | probe |
| probe | accepted | stays | probe |
| probe | accepted again | stays | probe |
| probe | probe accepted | times 0.6 | climb |
| probe | probe throttled | times 0.91 | climb |
| probe | probe void | stays | climb |

After "probe throttled", the factor multiplies the rate before the probe. In all other rows, it
multiplies the present rate, or an estimate if no limit is known. After "probe accepted", the
present rate is the rate of the probe, up to four times the rate before it. `RatePhase`, `RateEvent`
and `RateChange` explain the words of the table. `TRANSITIONS` is this table as data: a test
compares them.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

CUT_RATIO = 0.91
"""If the limit is known, a cut multiplies the rate by this factor. The best rate is just below the
limit, so the cut is small."""

SEARCH_CUT_RATIO = 0.45
"""If the limit may be anywhere below the throttled rate, a cut multiplies the rate by this factor.
So a low limit is found with few requests."""

NEAR_CUT_RATIO = 0.75
"""After a request was accepted in a search, a cut multiplies the rate by this factor, because the
limit is near."""

EXCESS_CUT_RATIO = 0.6
"""After a probe that shows that throttling is random, the rate of the probe is multiplied by this
factor. The rate is multiplied by it again whenever too many requests are throttled while throttling
is random: then there is also a limit, and nothing is known about its height."""


class RatePhase(enum.Enum):
    """What is known of the limit."""

    OPEN = "open"  # No limit is known.
    REOPENED = "reopened"  # No limit is known, because a standstill in a search is over.
    SEARCH = "search"  # There is a limit, anywhere below the throttled rate.
    NEAR = "near"  # A request was accepted in the search, so the limit is near.
    CLIMB = "climb"  # The limit is known; the rate climbs to it, rests there, and climbs on.
    PROBE = "probe"  # Some faster requests show whether throttling depends on the rate.


class RateEvent(enum.Enum):
    """What the answer to a request shows. The request started after the last change of the rate.

    A request is *throttled* if its answer says that requests come too fast, or is another fault
    with a `Retry-After`. A request also counts as throttled if no answer came in time, if this
    machine could not make it, or if it is the fifth or a later failure in a row.
    """

    ACCEPTED = "accepted"
    ACCEPTED_AGAIN = "accepted again"  # It is at least the second since the last cut.
    THROTTLED = "throttled"
    THROTTLED_TOO_OFTEN = "throttled too often"  # Throttling is random, but too frequent now.
    MIXED = "mixed"  # Four to eight of the last ten requests are throttled, and a probe begins.
    PROBE_ACCEPTED = "probe accepted"  # The API accepted at least half of the share before.
    PROBE_THROTTLED = "probe throttled"  # The API accepted less than half of the share before.
    PROBE_VOID = "probe void"  # A `Retry-After` or a long standstill came during the probe.
    STANDSTILL_OVER = "standstill over"  # The request is the first one accepted after a standstill.


class RateChange(enum.Enum):
    """A change of the rate. The value is the word for the change in the table."""

    STAY = "stays"
    CUT = "held"  # Multiply the rate by the factor, and hold it until a request is accepted.
    RESTART = ""  # Multiply the rate by the factor, and climb from there at once.
    PROBE = "that of the probe"  # Take the rate of the probe.
    BEGIN_CLIMB = "climbs"  # Climb from now on, unless the rate climbs already.
    FORGET = "unlimited"  # Forget the limit.


class Transition(NamedTuple):
    """What follows an event in a phase: the last two columns of the table.

    Attributes:
        change: How the rate changes.
        next_phase: The phase after the event.
        ratio: The factor that multiplies the rate; 1 if the table has none.
    """

    change: RateChange
    next_phase: RatePhase
    ratio: float = 1.0


def _cut(ratio: float, next_phase: RatePhase) -> Transition:
    return Transition(RateChange.CUT, next_phase, ratio)


def _restart(ratio: float, next_phase: RatePhase) -> Transition:
    return Transition(RateChange.RESTART, next_phase, ratio)


def _probe(next_phase: RatePhase) -> Transition:
    return Transition(RateChange.PROBE, next_phase)


def _climb(next_phase: RatePhase) -> Transition:
    return Transition(RateChange.BEGIN_CLIMB, next_phase)


def _stay(next_phase: RatePhase) -> Transition:
    return Transition(RateChange.STAY, next_phase)


def _forget(next_phase: RatePhase) -> Transition:
    return Transition(RateChange.FORGET, next_phase)


_P, _E = RatePhase, RateEvent
TRANSITIONS: dict[tuple[RatePhase, RateEvent], Transition] = {
    (_P.OPEN, _E.THROTTLED): _cut(SEARCH_CUT_RATIO, _P.SEARCH),
    (_P.OPEN, _E.THROTTLED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.SEARCH),
    (_P.REOPENED, _E.THROTTLED): _cut(NEAR_CUT_RATIO, _P.NEAR),
    (_P.REOPENED, _E.THROTTLED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.NEAR),
    (_P.SEARCH, _E.THROTTLED): _cut(SEARCH_CUT_RATIO, _P.SEARCH),
    (_P.SEARCH, _E.THROTTLED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.SEARCH),
    (_P.SEARCH, _E.ACCEPTED): _climb(_P.NEAR),
    (_P.SEARCH, _E.STANDSTILL_OVER): _forget(_P.REOPENED),
    (_P.NEAR, _E.THROTTLED): _cut(NEAR_CUT_RATIO, _P.NEAR),
    (_P.NEAR, _E.THROTTLED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.NEAR),
    (_P.NEAR, _E.ACCEPTED): _climb(_P.NEAR),
    (_P.NEAR, _E.ACCEPTED_AGAIN): _climb(_P.CLIMB),
    (_P.NEAR, _E.STANDSTILL_OVER): _forget(_P.REOPENED),
    (_P.NEAR, _E.MIXED): _probe(_P.PROBE),
    (_P.CLIMB, _E.THROTTLED): _cut(CUT_RATIO, _P.CLIMB),
    (_P.CLIMB, _E.THROTTLED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.CLIMB),
    (_P.CLIMB, _E.ACCEPTED): _climb(_P.CLIMB),
    (_P.CLIMB, _E.ACCEPTED_AGAIN): _climb(_P.CLIMB),
    (_P.CLIMB, _E.STANDSTILL_OVER): _forget(_P.OPEN),
    (_P.CLIMB, _E.MIXED): _probe(_P.PROBE),
    (_P.PROBE, _E.ACCEPTED): _stay(_P.PROBE),
    (_P.PROBE, _E.ACCEPTED_AGAIN): _stay(_P.PROBE),
    (_P.PROBE, _E.PROBE_ACCEPTED): _restart(EXCESS_CUT_RATIO, _P.CLIMB),
    (_P.PROBE, _E.PROBE_THROTTLED): _restart(CUT_RATIO, _P.CLIMB),
    (_P.PROBE, _E.PROBE_VOID): _stay(_P.CLIMB),
}
