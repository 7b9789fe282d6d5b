"""Computes the JSON that the page shows: filtered batches and events, without e-mail addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from target_liveintent.sandbox.answers import Outcome
from target_liveintent.sandbox.masking import mask_addresses
from target_liveintent.sandbox.rules import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_liveintent.sandbox.fault_queue import FaultQueue
    from target_liveintent.sandbox.store import LoggedRequest, ReceivedEvent, Store

_MAX_TEXT = 80
"""Most characters to show of a value."""
_MAX_EXACT = 2**53
"""Beyond this, a browser's numbers are not exact."""
_IDENTIFIERS = ("md5", "sha2", "ip", "idfa", "aaid")


class QueryError(ValueError):
    """A query is invalid; the message says where and why."""


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batches and events to show, and how many of each.

    `batch_outcome` and `batch_limit` select batches; the other fields select events. `request` is
    the number of a request, and `search` is a text that the JSON of an event contains.
    """

    batch_outcome: Outcome | None = None
    batch_limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 10
    outcome: Outcome | None = None
    source: Literal["web", "app", "offline", "other"] | None = None
    pixel: int | None = None
    request: int | None = None
    search: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 25


def parse_query(parameters: Mapping[str, str]) -> Query:
    """Return the query in the parameters of a URL; empty parameters count as missing.

    Raises:
        QueryError: If any parameter is invalid.
    """
    given = {name: value for name, value in parameters.items() if value}
    try:
        return msgspec.convert(given, Query, strict=False)
    except msgspec.ValidationError as error:
        raise QueryError(str(error)) from error


def version(store: Store, faults: FaultQueue) -> str:
    """Return a text that changes whenever the page has something new to show."""
    return f"{store.version}.{faults.version}"


def snapshot(store: Store, faults: FaultQueue, query: Query) -> bytes:
    """Return everything that the page shows except single events, as JSON."""
    stats, received, requests = store.stats, store.received, store.requests
    batches = [r for r in requests if query.batch_outcome in (None, r.outcome)]
    events = _select(received, query)
    return _encode_masked(
        {
            "stats": stats,
            "pixels": store.pixels,
            "batches": {
                "count": len(batches),
                "kept": len(requests),
                "rows": [_batch_row(batch) for batch in batches[: -query.batch_limit - 1 : -1]],
            },
            "events": {
                "count": len(events),
                "kept": len(received),
                "rows": [_event_row(event) for event in events[: -query.limit - 1 : -1]],
            },
            "faults": faults.active,
        }
    )


def one_event(store: Store, number: int) -> bytes | None:
    """Return a complete event and its request, as JSON; None if the event is not kept."""
    received = next((kept for kept in store.received if kept.number == number), None)
    if received is None:
        return None
    request = next((kept for kept in store.requests if kept.number == received.request), None)
    return _encode_masked(
        {
            **_event_row(received),
            # Formatted here, because a browser would change how the numbers are written.
            "json": msgspec.json.format(received.body, indent=2).decode(),
            "batch": _batch_row(request) if request else None,
        }
    )


def _select(events: list[ReceivedEvent], query: Query) -> list[ReceivedEvent]:
    # One pass for each filter: there may be many events, and most filters are not set.
    if query.outcome is not None:
        events = [event for event in events if event.outcome is query.outcome]
    if query.source is not None:
        events = [event for event in events if event.source == query.source]
    if query.pixel is not None:
        events = [event for event in events if event.pixel_id == query.pixel]
    if query.request is not None:
        events = [event for event in events if event.request == query.request]
    if query.search:
        part = msgspec.json.encode(query.search)[1:-1]
        events = [event for event in events if part in event.body]
    return events


def _batch_row(request: LoggedRequest) -> dict[str, Any]:
    return {
        "number": request.number,
        "received_at": request.received_at,
        "latency": request.latency,
        "status": request.status,
        "outcome": request.outcome,
        "events": request.events,
        "problems": [
            {**msgspec.to_builtins(problem), "event_id": _displayable(problem.event_id)}
            for problem in request.problems
        ],
    }


def _event_row(received: ReceivedEvent) -> dict[str, Any]:
    event = received.event

    def at(*path: str) -> Any:
        return _displayable(lookup(event, path))

    identified = [name for name in _IDENTIFIERS if lookup(event, ("userData", name)) is not None]
    if lookup(event, ("decisionId",)) is not None:
        identified.append("decisionId")
    return {
        "number": received.number,
        "request": received.request,
        "index": received.index,
        "outcome": received.outcome,
        "id": at("eventId"),
        "time": at("eventTime"),
        "source": at("source"),
        "pixel": at("pixelId"),
        "order": at("purchaseData", "orderId"),
        "value": at("purchaseData", "value"),
        "currency": at("purchaseData", "currency"),
        "identified": identified,
    }


def _displayable(value: Any) -> Any:
    """Return a value of any type as a number, a text, or None, which a browser can show."""
    if value is None or (type(value) in (int, float) and abs(value) < _MAX_EXACT):
        return value
    # Mask before shortening: otherwise the first half of an address could remain.
    text = mask_addresses(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _encode_masked(content: object) -> bytes:
    return mask_addresses(msgspec.json.encode(content).decode()).encode()
