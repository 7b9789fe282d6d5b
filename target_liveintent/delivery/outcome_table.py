"""The table of what becomes of the events of a request, as data: the machine runs it.

    answer (`Verdict`), part (`PartKind`), faults (`Faults`)  →  action, next state of the part

`action_for` looks a situation up, and the machine runs the method of the action (machine.py). The
documentation's table is generated from the same rows, and the simulator checks each answer by them.

A *part* is the events of a batch that are sent together. At first a batch is one part. *Halved*
means that the halves of a part take its place.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from target_liveintent.delivery.api import Verdict


class PartKind(enum.Enum):
    """What a part is before its request.

    It is a *left half* if the API refused it together with its right half, which has several
    events. If the API then accepts all of the left half, the bad event is in the right half.
    """

    EVENT = "one event"
    EVENTS = "several events"
    LEFT_EVENT = "one event, the left half of a refused part"
    LEFT_EVENTS = "several events, the left half of a refused part"


class Faults(enum.Enum):
    """What is known about the faults of a part after its request.

    A fault is an answer after which the same events are sent again. It counts if the API accepted
    another request since the fault before it. A 429 or 503 counts as a quarter, and the lack of a
    file descriptor as none.
    """

    FEW = "fewer than one"
    SOME = "at least one"
    TEN = "ten"
    LATE = (
        "at most three batches are left at the end of the input, and the API accepted nothing for a"
        " quarter of `max_retry_seconds`"
    )
    LAST_EVENTS = (
        "the API accepted nothing for `max_retry_seconds`, only single events are left, and each of"
        " them got a fault before the API accepted another request"
    )
    OUTAGE = "the API accepted nothing for `max_retry_seconds`, or asks to wait longer"


class Action(enum.Enum):
    """What the machine does with a part after its request, in words for the documentation."""

    DELIVER = "All events are delivered and confirmed."
    DELIVER_AND_HALVE_RIGHT = (
        "All events are delivered and confirmed. The right half has the bad event, so it is halved"
        " at once, and not sent as a whole."
    )
    DELIVER_UNNAMED = (
        "The events that the answer does not name are delivered. Those that it names become dead"
        " letters (`not_processed`)."
    )
    REJECT_UNCONFIRMED = "All events become dead letters (`unconfirmed`)."
    HALVE_REFUSED = "It is halved, and the left half is sent next."
    HALVE_TOO_LARGE = "It is halved. No event is at fault."
    HOLD_REFUSED = (
        "The event is refused. It becomes a dead letter (`refused_by_api`) when the API accepts a"
        " request that is made later, or at the end of the input."
    )
    RETRY_AT_ONCE = "It is sent again at once."
    RETRY = "It is sent again, after other batches."
    RETRY_LAST = (
        "It is sent again, after the other parts of its batch, and not before a second for each"
        " fault that counts has passed."
    )
    HALVE_FAULTY = "It is halved, to find the event on which the API fails."
    REJECT_FAULTY = "The event becomes a dead letter (`api_error`)."
    REJECT_LAST_EVENTS = "The events that are left become dead letters (`api_error`)."
    END_RUN = "The run ends."
    END_RUN_IN_OUTAGE = "The run ends. The next run sends the events."


class PartState(enum.Enum):
    """Where the events of a part are after the action."""

    DELIVERED = enum.auto()  # All of them.
    PARTLY_DELIVERED = enum.auto()  # The others are dead letters.
    REJECTED = enum.auto()  # They are dead letters.
    UNPROVEN = enum.auto()  # The event is held until the proof that it is bad.
    HALVED = enum.auto()  # They wait in two parts.
    WAITING = enum.auto()  # They wait in the same part.
    WITHOUT_OUTCOME = enum.auto()  # The next run sends them.


class Parts(NamedTuple):
    """Kinds of parts for which a row is, and the words for them."""

    words: str
    kinds: tuple[PartKind, ...]


class Row(NamedTuple):
    """One row of the table."""

    verdicts: tuple[Verdict, ...]
    parts: Parts
    faults: tuple[Faults, ...]
    action: Action
    state: PartState

    def situations(self) -> Iterator[tuple[Verdict, PartKind, Faults]]:
        """Return what the row is for."""
        return product(self.verdicts, self.parts.kinds, self.faults)


_ANY = Parts("", tuple(PartKind))
_ONE = Parts("one event", (PartKind.EVENT, PartKind.LEFT_EVENT))
_SEVERAL = Parts("several events", (PartKind.EVENTS, PartKind.LEFT_EVENTS))
_LEFT_HALF = Parts("the left half of a refused part", (PartKind.LEFT_EVENT, PartKind.LEFT_EVENTS))
_OTHER = Parts("any other part", (PartKind.EVENT, PartKind.EVENTS))
_NO_FAULTS = (Faults.FEW,)
_FAULT = (Verdict.LIMITED, Verdict.FAULT)
_FAULT_OR_STARVED = (*_FAULT, Verdict.STARVED)

OUTCOME_TABLE = (
    Row(
        (Verdict.ACCEPTED,),
        _LEFT_HALF,
        _NO_FAULTS,
        Action.DELIVER_AND_HALVE_RIGHT,
        PartState.DELIVERED,
    ),
    Row((Verdict.ACCEPTED,), _OTHER, _NO_FAULTS, Action.DELIVER, PartState.DELIVERED),
    Row(
        (Verdict.PARTLY,),
        _SEVERAL,
        _NO_FAULTS,
        Action.DELIVER_UNNAMED,
        PartState.PARTLY_DELIVERED,
    ),
    Row((Verdict.UNCONFIRMED,), _ANY, _NO_FAULTS, Action.REJECT_UNCONFIRMED, PartState.REJECTED),
    Row((Verdict.REFUSED,), _SEVERAL, _NO_FAULTS, Action.HALVE_REFUSED, PartState.HALVED),
    Row((Verdict.TOO_LARGE,), _SEVERAL, _NO_FAULTS, Action.HALVE_TOO_LARGE, PartState.HALVED),
    Row(
        (Verdict.REFUSED, Verdict.TOO_LARGE),
        _ONE,
        _NO_FAULTS,
        Action.HOLD_REFUSED,
        PartState.UNPROVEN,
    ),
    Row((Verdict.ROTATED,), _ANY, _NO_FAULTS, Action.RETRY_AT_ONCE, PartState.WAITING),
    Row(_FAULT_OR_STARVED, _ANY, (Faults.FEW,), Action.RETRY, PartState.WAITING),
    Row(_FAULT, _ANY, (Faults.SOME,), Action.RETRY_LAST, PartState.WAITING),
    Row(_FAULT, _ONE, (Faults.LATE,), Action.RETRY_LAST, PartState.WAITING),
    Row(_FAULT, _SEVERAL, (Faults.TEN, Faults.LATE), Action.HALVE_FAULTY, PartState.HALVED),
    Row(_FAULT, _ONE, (Faults.TEN,), Action.REJECT_FAULTY, PartState.REJECTED),
    Row(
        _FAULT_OR_STARVED,
        _ONE,
        (Faults.LAST_EVENTS,),
        Action.REJECT_LAST_EVENTS,
        PartState.REJECTED,
    ),
    Row(
        _FAULT_OR_STARVED,
        _ANY,
        (Faults.OUTAGE,),
        Action.END_RUN_IN_OUTAGE,
        PartState.WITHOUT_OUTCOME,
    ),
    Row(
        (Verdict.DENIED, Verdict.UNKNOWN, Verdict.UNREACHABLE),
        _ANY,
        _NO_FAULTS,
        Action.END_RUN,
        PartState.WITHOUT_OUTCOME,
    ),
)
_ACTIONS = {situation: row.action for row in OUTCOME_TABLE for situation in row.situations()}


def action_for(verdict: Verdict, part: PartKind, faults: Faults) -> Action:
    """Return what to do with a part after its request."""
    return _ACTIONS[verdict, part, faults]
