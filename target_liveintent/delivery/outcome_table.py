"""The table of outcomes: for each answer, what happens to the events of the request.

    answer (`Verdict`), part (`PartKind`), faults (`Faults`)  →  `Action`, next state of the part

`action_for` looks a situation up, and `AnswerActions` runs the method of the action. The table in
the documentation is generated from the same rows. The simulator compares each answer with the rows.

A *part* has events of a batch that are sent together. At first, a batch is usually one part. If a
part is *halved*, its two halves replace it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from target_liveintent.delivery.api import REFUSALS, REPEATED, Verdict


class PartKind(enum.Enum):
    """The kind of a part before its request.

    A part is a *left half* if the API refused it together with its right half, which has several
    events. If the API then accepts all of the left half, the bad event is in the right half.
    """

    EVENT = "one event"
    EVENTS = "several events"
    LEFT_EVENT = "one event, the left half of a refused part"
    LEFT_EVENTS = "several events, the left half of a refused part"


class Faults(enum.Enum):
    """What is known about the faults of a part after its request.

    A fault is an answer after which the same events are sent again. The first fault of a part
    counts. A later one counts if the API accepted a request that was made after the previous fault
    of this part. An answer that requests come too fast (408, 425, 429, 503) counts as a quarter. A
    request that this machine could not make does not count.
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


class PartState(enum.Enum):
    """Where the events of a part are after the action."""

    DELIVERED = enum.auto()  # All events are delivered.
    PARTLY_DELIVERED = enum.auto()  # Some events are delivered, the other events are dead letters.
    REJECTED = enum.auto()  # The events are dead letters.
    UNPROVEN = enum.auto()  # The event is kept until a proof that it is bad, or the input's end.
    HALVED = enum.auto()  # The events wait in two parts.
    WAITING = enum.auto()  # The events wait in the same part.
    WITHOUT_OUTCOME = enum.auto()  # The next run sends the events.


class Action(enum.Enum):
    """What the machine does with a part: words for the documentation, and the part's next state."""

    DELIVER = "All events are delivered and confirmed.", PartState.DELIVERED
    DELIVER_AND_HALVE_RIGHT = (
        "All events are delivered and confirmed. The right half has the bad event: it is halved.",
        PartState.DELIVERED,
    )
    DELIVER_PROCESSED = (
        "The processed events are delivered. The rest become dead letters (`not_processed`).",
        PartState.PARTLY_DELIVERED,
    )
    REJECT_UNCONFIRMED = "All events become dead letters (`unconfirmed`).", PartState.REJECTED
    HALVE_REFUSED = "It is halved, and the left half is sent next.", PartState.HALVED
    HALVE_TOO_LARGE = "It is halved. No event is at fault.", PartState.HALVED
    HOLD_REFUSED = (
        (
            "It becomes a dead letter (`refused_by_api`) when the API accepts a later request, or"
            " when the input ends."
        ),
        PartState.UNPROVEN,
    )
    RETRY_AT_ONCE = "It is sent again at once.", PartState.WAITING
    RETRY = "It is sent again after other batches.", PartState.WAITING
    RETRY_LAST = (
        "It is sent again after the rest of its batch, and after a second for each fault.",
        PartState.WAITING,
    )
    HALVE_FAULTY = "It is halved, to find the event on which the API fails.", PartState.HALVED
    REJECT_FAULTY = "The event becomes a dead letter (`api_error`).", PartState.REJECTED
    REJECT_LAST_EVENTS = (
        "The events that are left become dead letters (`api_error`).",
        PartState.REJECTED,
    )
    END_RUN = "The run ends.", PartState.WITHOUT_OUTCOME
    END_RUN_IN_OUTAGE = (
        "The run ends. The next run sends the events.",
        PartState.WITHOUT_OUTCOME,
    )

    def __init__(self, words: str, state: PartState) -> None:
        self.words = words
        self.state = state


class Parts(NamedTuple):
    """The kinds of parts that a row is about, and words for these kinds."""

    words: str
    kinds: tuple[PartKind, ...]


class Row(NamedTuple):
    """One row of the table: an action, and the situations in which it is taken."""

    verdicts: set[Verdict]
    parts: Parts
    action: Action
    faults: set[Faults] = {Faults.FEW}  # noqa: RUF012

    def situations(self) -> Iterator[tuple[Verdict, PartKind, Faults]]:
        """Return the situations that the row is about."""
        return product(self.verdicts, self.parts.kinds, self.faults)


_ANY = Parts("", tuple(PartKind))
_ONE = Parts("one event", (PartKind.EVENT, PartKind.LEFT_EVENT))
_SEVERAL = Parts("several events", (PartKind.EVENTS, PartKind.LEFT_EVENTS))
_LEFT_HALF = Parts("the left half of a refused part", (PartKind.LEFT_EVENT, PartKind.LEFT_EVENTS))
_OTHER = Parts("any other part", (PartKind.EVENT, PartKind.EVENTS))
_ENDINGS = {Verdict.DENIED, Verdict.UNKNOWN, Verdict.UNREACHABLE}
_FAULT = {Verdict.LIMITED, Verdict.FAULT}

OUTCOME_TABLE = (
    Row({Verdict.ACCEPTED}, _LEFT_HALF, Action.DELIVER_AND_HALVE_RIGHT),
    Row({Verdict.ACCEPTED}, _OTHER, Action.DELIVER),
    Row({Verdict.PARTLY}, _SEVERAL, Action.DELIVER_PROCESSED),
    Row({Verdict.UNCONFIRMED}, _ANY, Action.REJECT_UNCONFIRMED),
    Row({Verdict.REFUSED}, _SEVERAL, Action.HALVE_REFUSED),
    Row({Verdict.TOO_LARGE}, _SEVERAL, Action.HALVE_TOO_LARGE),
    Row(REFUSALS, _ONE, Action.HOLD_REFUSED),
    Row({Verdict.ROTATED}, _ANY, Action.RETRY_AT_ONCE),
    Row(_ENDINGS, _ANY, Action.END_RUN),
    Row(REPEATED, _ANY, Action.RETRY, {Faults.FEW}),
    Row(_FAULT, _ANY, Action.RETRY_LAST, {Faults.SOME}),
    Row(_FAULT, _ONE, Action.RETRY_LAST, {Faults.LATE}),
    Row(_FAULT, _SEVERAL, Action.HALVE_FAULTY, {Faults.LATE, Faults.TEN}),
    Row(_FAULT, _ONE, Action.REJECT_FAULTY, {Faults.TEN}),
    Row(REPEATED, _ONE, Action.REJECT_LAST_EVENTS, {Faults.LAST_EVENTS}),
    Row(REPEATED, _ANY, Action.END_RUN_IN_OUTAGE, {Faults.OUTAGE}),
)
_ACTIONS = {situation: row.action for row in OUTCOME_TABLE for situation in row.situations()}


def action_for(verdict: Verdict, part: PartKind, faults: Faults) -> Action:
    """Return what to do with a part after its request."""
    return _ACTIONS[verdict, part, faults]
