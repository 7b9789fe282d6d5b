"""What the page shows: what arrived, filtered, as plain values without e-mail addresses. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from target_liveintent.sandbox.answers import Outcome  # noqa: TC001 - msgspec looks it up
from target_liveintent.sandbox.masking import masked
from target_liveintent.sandbox.rules import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_liveintent.sandbox.fault_queue import FaultQueue
    from target_liveintent.sandbox.store import Arrival, RequestRecord, Store

_MAX_TEXT = 80
_MAX_EXACT = 2**53  # beyond, a browser's numbers are not exact
_IDENTIFIERS = ("md5", "sha2", "ip", "idfa", "aaid")


class QueryError(ValueError):
    """A query is not as it must be; the message says where and how."""


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to show: batches by outcome, events by the rest, and how many of each.

    `request` is the number of a request, `search` a text in the event's JSON.
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
    """Return the query that a URL's parameters describe; empty ones say nothing.

    Raises:
        QueryError: If any of them is not as it must be.
    """
    given = {name: value for name, value in parameters.items() if value}
    try:
        return msgspec.convert(given, Query, strict=False)
    except msgspec.ValidationError as error:
        raise QueryError(str(error)) from error


def version(store: Store, faults: FaultQueue) -> str:
    """Return a text that changes with what there is to show."""
    return f"{store.version}.{faults.version}"


def snapshot(store: Store, faults: FaultQueue, query: Query) -> bytes:
    """Return all that the page shows but single events, as JSON."""
    stats, arrivals, requests = store.stats, store.arrivals, store.requests
    batches = [r for r in requests if query.batch_outcome in (None, r.outcome)]
    events = _found(arrivals, query)
    return _safe(
        {
            "stats": stats,
            "pixels": store.pixels,
            "batches": {
                "count": len(batches),
                "kept": len(requests),
                "rows": [_batch(record) for record in batches[: -query.batch_limit - 1 : -1]],
            },
            "events": {
                "count": len(events),
                "kept": len(arrivals),
                "rows": [_event(arrival) for arrival in events[: -query.limit - 1 : -1]],
            },
            "faults": faults.scripted,
        }
    )


def one_event(store: Store, number: int) -> bytes | None:
    """Return an event in full, as JSON, with its request; None where it is not kept."""
    arrival = next((kept for kept in store.arrivals if kept.number == number), None)
    if arrival is None:
        return None
    request = next((kept for kept in store.requests if kept.number == arrival.request), None)
    return _safe(
        {
            **_event(arrival),
            # Laid out here: a browser would not keep the numbers as they came.
            "json": msgspec.json.format(arrival.body, indent=2).decode(),
            "batch": _batch(request) if request else None,
        }
    )


def _found(arrivals: list[Arrival], query: Query) -> list[Arrival]:
    # One filter after the other: most of them are not set, and there may be many events.
    if query.outcome is not None:
        arrivals = [arrival for arrival in arrivals if arrival.outcome is query.outcome]
    if query.source is not None:
        arrivals = [arrival for arrival in arrivals if arrival.source == query.source]
    if query.pixel is not None:
        arrivals = [arrival for arrival in arrivals if arrival.pixel_id == query.pixel]
    if query.request is not None:
        arrivals = [arrival for arrival in arrivals if arrival.request == query.request]
    if query.search:
        part = msgspec.json.encode(query.search)[1:-1]
        arrivals = [arrival for arrival in arrivals if part in arrival.body]
    return arrivals


def _batch(record: RequestRecord) -> dict[str, Any]:
    return {
        "number": record.number,
        "received_at": record.received_at,
        "latency": record.latency,
        "status": record.status,
        "outcome": record.outcome,
        "events": record.events,
        "problems": [
            {**msgspec.to_builtins(problem), "event_id": _shown(problem.event_id)}
            for problem in record.problems
        ],
    }


def _event(arrival: Arrival) -> dict[str, Any]:
    event = arrival.event

    def at(*path: str) -> Any:
        return _shown(lookup(event, path))

    identified = [name for name in _IDENTIFIERS if lookup(event, ("userData", name)) is not None]
    if lookup(event, ("decisionId",)) is not None:
        identified.append("decisionId")
    return {
        "number": arrival.number,
        "request": arrival.request,
        "index": arrival.index,
        "outcome": arrival.outcome,
        "id": at("eventId"),
        "time": at("eventTime"),
        "source": at("source"),
        "pixel": at("pixelId"),
        "order": at("purchaseData", "orderId"),
        "value": at("purchaseData", "value"),
        "currency": at("purchaseData", "currency"),
        "identified": identified,
    }


def _shown(value: Any) -> Any:
    """Return what a browser can show of a value of any kind: a number, text, or None."""
    if value is None or (type(value) in (int, float) and abs(value) < _MAX_EXACT):
        return value
    # Cut after it is masked: the first half of an address must not be left.
    text = masked(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _safe(content: object) -> bytes:
    return masked(msgspec.json.encode(content).decode()).encode()
