"""Where the events of a request are after its answer, as the table of outcomes names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_liveintent.delivery.outcome_table import PartState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_liveintent.delivery.batch import BatchResult, Request


def part_state(request: Request, results: Iterable[BatchResult]) -> PartState | None:
    """Return where the events of a request are; None if they are at several places at once.

    Args:
        request: A request whose answer the machine has just taken.
        results: The results that the machine has returned since then.
    """
    delivery = request.delivery
    given = [delivery.result, *(result for result in results if result is not delivery.result)]
    own = [result for result in given if result.batch is delivery.result.batch]
    events = {event.event_id for event in request.conversions}
    delivered = {event.event_id for result in own for event in result.delivered} & events
    reasons = {one.event_id: one.reason for result in own for one in result.undelivered}
    rejected = reasons.keys() & events
    waiting = [events.intersection(one.event_id for one in part.events) for part in delivery.parts]
    waiting = [part for part in waiting if part]
    held = events.intersection(one.event_id for one in delivery.refused)
    held |= {event_id for event_id in rejected if reasons[event_id] == "refused_by_api"}
    settled = {
        PartState.UNPROVEN: held,
        PartState.DELIVERED: delivered,
        PartState.REJECTED: rejected - held,
    }
    at_places = [place for place in (*settled.values(), *waiting) if place]
    is_each_once = sorted(name for place in at_places for name in place) == sorted(events)
    if not is_each_once or (waiting and any(settled.values())):
        return None
    if delivered and rejected:
        return PartState.PARTLY_DELIVERED
    if not waiting:
        return next((state for state, place in settled.items() if place == events), None)
    if delivery.result.failure is not None:
        return PartState.WITHOUT_OUTCOME
    return {1: PartState.WAITING, 2: PartState.HALVED}.get(len(at_places))
