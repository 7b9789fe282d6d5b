"""The state of a request's events after the answer, in the terms of the table of outcomes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from target_liveintent.delivery.outcome_table import PartState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_liveintent.conversions.event_model import Conversion, Rejection
    from target_liveintent.delivery.batch import BatchDelivery, BatchResult, Request


class _Places(NamedTuple):
    """The IDs of the events by their place, with a separate set for each part that waits."""

    delivered: set[str]
    rejected: set[str]
    held: set[str]  # Refused events, with or without a proof that they are bad.
    waiting: list[set[str]]

    @property
    def all(self) -> list[set[str]]:
        return [place for place in (*self[:3], *self.waiting) if place]


def part_state(request: Request, results: Iterable[BatchResult]) -> PartState | None:
    """Return the state of a request's events; None if an event is in several places or in none.

    Args:
        request: A request whose answer the machine has just taken.
        results: The results that the machine has returned since then.
    """
    events = {event.event_id for event in request.conversions}
    places = _places_of(request.delivery, results, events)
    if sorted(itertools.chain.from_iterable(places.all)) != sorted(events):
        return None
    if places.waiting:
        has_failed = request.delivery.result.failure is not None
        return _state_of_waiting(places, has_failed=has_failed)
    if places.delivered and places.rejected:
        return PartState.PARTLY_DELIVERED
    states = {
        PartState.DELIVERED: places.delivered,
        PartState.REJECTED: places.rejected,
        PartState.UNPROVEN: places.held,
    }
    return next((state for state, place in states.items() if place == events), None)


def _places_of(
    delivery: BatchDelivery, results: Iterable[BatchResult], events: set[str]
) -> _Places:
    given = [delivery.result, *(result for result in results if result is not delivery.result)]
    own = [result for result in given if result.batch is delivery.result.batch]
    reasons = {
        rejection.event_id: rejection.reason
        for result in own
        for rejection in result.undelivered
        if rejection.event_id in events
    }
    proven = {event_id for event_id, reason in reasons.items() if reason == "refused_by_api"}
    parts = [events.intersection(_ids(part.events)) for part in delivery.parts]
    return _Places(
        delivered=events & {event_id for result in own for event_id in _ids(result.delivered)},
        rejected=reasons.keys() - proven,
        held=events.intersection(_ids(delivery.refused)) | proven,
        waiting=[part for part in parts if part],
    )


def _ids(events: Iterable[Conversion | Rejection]) -> set[str]:
    return {event.event_id for event in events}


def _state_of_waiting(places: _Places, *, has_failed: bool) -> PartState | None:
    if places.delivered or places.rejected or places.held:
        return None
    if has_failed:
        return PartState.WITHOUT_OUTCOME
    return {1: PartState.WAITING, 2: PartState.HALVED}.get(len(places.waiting))
