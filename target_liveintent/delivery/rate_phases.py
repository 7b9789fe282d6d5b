"""The phases of the rate, and what the API's answers change in each of them.

| phase | the API's answers | rate | next phase |
|---|---|---|---|
| open | refused | times 0.45, held | search |
| open | refused too often | times 0.6 | search |
| reopened | refused | times 0.75, held | near |
| reopened | refused too often | times 0.6 | near |
| search | refused | times 0.45, held | search |
| search | refused too often | times 0.6 | search |
| search | accepted | climbs | near |
| search | standstill over | unlimited | reopened |
| near | refused | times 0.75, held | near |
| near | refused too often | times 0.6 | near |
| near | accepted | climbs | near |
| near | accepted again | climbs | climb |
| near | standstill over | unlimited | reopened |
| near | mixed | that of the probe | probe |
| climb | refused | times 0.91, held | climb |
| climb | refused too often | times 0.6 | climb |
| climb | accepted | climbs | climb |
| climb | accepted again | climbs | climb |
| climb | standstill over | unlimited | open |
| climb | mixed | that of the probe | probe |
| probe | accepted | stays | probe |
| probe | accepted again | stays | probe |
| probe | probe accepted | times 0.6 | climb |
| probe | probe refused | times 0.91 | climb |
| probe | probe void | stays | climb |

After "probe refused", the factor applies to the rate before the probe; elsewhere, to the present
rate. After "probe accepted", the present rate is that of the probe, up to four times the former.
`TRANSITIONS` is this table as data: a test compares them. `RatePhase` says what a phase is,
`RateEvent` what an answer is, and `RateChange` how the rate changes.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

CUT_RATIO = 0.91
"""The factor of a cut at a known limit. The best rate is just below it, so cuts are small."""

SEARCH_CUT_RATIO = 0.45
"""The factor of a cut while the limit may be anywhere below: few requests find a low limit."""

NEAR_CUT_RATIO = 0.75
"""The factor of a cut in a search in which a request was accepted: the limit is near."""

EXCESS_CUT_RATIO = 0.6
"""The factor of a cut while refusals are random, and after a probe that showed this. If more
requests are refused then, there is also a limit, and nothing is known about its height."""


class RatePhase(enum.Enum):
    """What is known of the limit."""

    OPEN = "open"  # No limit is known.
    REOPENED = "reopened"  # No limit is known after a standstill that began in a search.
    SEARCH = "search"  # There is a limit, anywhere below the refused rate.
    NEAR = "near"  # A search in which a request was accepted: the limit is near.
    CLIMB = "climb"  # The limit is known; the rate climbs to it, rests there, and climbs on.
    PROBE = "probe"  # Some faster requests show whether refusals depend on the rate.


class RateEvent(enum.Enum):
    """What the answer to a request shows. The request started after the last change by a refusal.

    A refusal is an answer that requests came too fast, or the fifth or a later failure in a row.
    """

    ACCEPTED = "accepted"
    ACCEPTED_AGAIN = "accepted again"  # It is the second accepted request since the last cut.
    REFUSED = "refused"
    REFUSED_TOO_OFTEN = "refused too often"  # Refusals are random, but there are too many now.
    MIXED = "mixed"  # Four to eight of the last ten requests were refused.
    PROBE_ACCEPTED = "probe accepted"  # The API accepted half of the former share, or more.
    PROBE_REFUSED = "probe refused"  # The API accepted a smaller share.
    PROBE_VOID = "probe void"  # A `Retry-After` or a long standstill came during the probe.
    STANDSTILL_OVER = "standstill over"  # The request is the first one accepted after a standstill.


class RateChange(enum.Enum):
    """A change of the rate; the value has the words for the change in the table."""

    STAY = "stays"
    CUT = "held"  # Multiply the rate by the factor, and hold it until a request is accepted.
    RESTART = ""  # Multiply the rate by the factor, and climb from there at once.
    PROBE = "that of the probe"  # Take the rate of the probe.
    BEGIN_CLIMB = "climbs"  # Climb from now on, unless the rate climbs already.
    FORGET = "unlimited"  # Forget the limit.


class Transition(NamedTuple):
    """A row of the table: how the rate changes, and the next phase.

    Attributes:
        change: How the rate changes.
        next_phase: The next phase.
        ratio: The factor, for the changes that have one.
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
    (_P.OPEN, _E.REFUSED): _cut(SEARCH_CUT_RATIO, _P.SEARCH),
    (_P.OPEN, _E.REFUSED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.SEARCH),
    (_P.REOPENED, _E.REFUSED): _cut(NEAR_CUT_RATIO, _P.NEAR),
    (_P.REOPENED, _E.REFUSED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.NEAR),
    (_P.SEARCH, _E.REFUSED): _cut(SEARCH_CUT_RATIO, _P.SEARCH),
    (_P.SEARCH, _E.REFUSED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.SEARCH),
    (_P.SEARCH, _E.ACCEPTED): _climb(_P.NEAR),
    (_P.SEARCH, _E.STANDSTILL_OVER): _forget(_P.REOPENED),
    (_P.NEAR, _E.REFUSED): _cut(NEAR_CUT_RATIO, _P.NEAR),
    (_P.NEAR, _E.REFUSED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.NEAR),
    (_P.NEAR, _E.ACCEPTED): _climb(_P.NEAR),
    (_P.NEAR, _E.ACCEPTED_AGAIN): _climb(_P.CLIMB),
    (_P.NEAR, _E.STANDSTILL_OVER): _forget(_P.REOPENED),
    (_P.NEAR, _E.MIXED): _probe(_P.PROBE),
    (_P.CLIMB, _E.REFUSED): _cut(CUT_RATIO, _P.CLIMB),
    (_P.CLIMB, _E.REFUSED_TOO_OFTEN): _restart(EXCESS_CUT_RATIO, _P.CLIMB),
    (_P.CLIMB, _E.ACCEPTED): _climb(_P.CLIMB),
    (_P.CLIMB, _E.ACCEPTED_AGAIN): _climb(_P.CLIMB),
    (_P.CLIMB, _E.STANDSTILL_OVER): _forget(_P.OPEN),
    (_P.CLIMB, _E.MIXED): _probe(_P.PROBE),
    (_P.PROBE, _E.ACCEPTED): _stay(_P.PROBE),
    (_P.PROBE, _E.ACCEPTED_AGAIN): _stay(_P.PROBE),
    (_P.PROBE, _E.PROBE_ACCEPTED): _restart(EXCESS_CUT_RATIO, _P.CLIMB),
    (_P.PROBE, _E.PROBE_REFUSED): _restart(CUT_RATIO, _P.CLIMB),
    (_P.PROBE, _E.PROBE_VOID): _stay(_P.CLIMB),
}
