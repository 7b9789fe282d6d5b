"""The sandbox's HTTP routes: those of the API, and others to inspect events and script faults."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from target_liveintent.sandbox.answers import JSON
from target_liveintent.sandbox.contract import ApiRequest, Contract
from target_liveintent.sandbox.faults import FaultError, parse_faults
from target_liveintent.sandbox.page import Page
from target_liveintent.sandbox.rules import OPENAPI
from target_liveintent.sandbox.store import LoggedRequest, Store, decode_events
from target_liveintent.sandbox.transport import ConnectionDrop

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_liveintent.sandbox.fault_queue import FaultQueue

DEFAULT_LIMIT = 100
"""How many events or requests to list if the query has no `limit`."""


class App:
    """The sandbox as an ASGI application, `asgi`.

    Args:
        contract: Answers requests, apart from faults.
        faults: The scripted faults.
        store: Keeps what arrives.
        clock: Returns the time in Unix seconds.
    """

    def __init__(
        self, contract: Contract, faults: FaultQueue, store: Store, clock: Callable[[], float]
    ) -> None:
        """Set up the routes."""
        self._contract = contract
        self._faults = faults
        self._store = store
        self._clock = clock
        self._closing = asyncio.Event()
        page = Page(store, faults, contract.customer_id, self._closing)
        self.asgi = Starlette(
            routes=[
                Route("/conversions/{customer_id}", self._receive, methods=["POST"]),
                Route("/{customer_id}/events", self._receive, methods=["POST"]),
                *page.routes,
                Route("/openapi.json", self._show_openapi),
                Route("/stats", self._show_stats),
                Route("/requests", self._list_requests),
                Route("/events", self._list_events),
                Route("/events", self._reset, methods=["DELETE"]),
                Route("/faults", self._list_faults),
                Route("/faults", self._add_faults, methods=["POST"]),
                Route("/faults", self._clear_faults, methods=["DELETE"]),
                Route("/faults/{number:int}", self._remove_fault, methods=["DELETE"]),
            ],
            exception_handlers={HTTPException: _error_response},
        )

    def close(self) -> None:
        """End all scripted latencies, because the server is stopping."""
        self._closing.set()

    async def _receive(self, request: Request) -> Response:
        now = self._clock()
        started = time.perf_counter()
        try:
            body = await request.body()
        except ClientDisconnect:
            return ConnectionDrop()
        api_request = ApiRequest(
            customer_id=request.path_params["customer_id"],
            body=body,
            authorization=request.headers.get("Authorization"),
        )
        checked = self._contract.check(api_request, now)
        effect = self._faults.apply(checked.answer.accepted)
        if effect.delay:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), effect.delay)
        answer = effect.fault.answer(checked.answer) if effect.fault else checked.answer
        logged = LoggedRequest(
            received_at=now,
            latency=time.perf_counter() - started,
            status=answer.status,
            outcome=answer.outcome,
            events=None if checked.events is None else len(checked.events),
            reasons=answer.reasons,
            problems=answer.problems,
        )
        self._store.add(logged, checked.events or (), answer.accepted)
        if answer.status is None:
            return ConnectionDrop()
        return Response(answer.body, answer.status, answer.headers, answer.media_type)

    async def _show_openapi(self, _: Request) -> Response:
        return Response(OPENAPI, media_type=JSON)

    async def _show_stats(self, _: Request) -> Response:
        return _json(self._store.stats)

    async def _list_events(self, request: Request) -> Response:
        limit, event_id = _limit(request), request.query_params.get("event_id")
        found, count = self._store.accepted, self._store.stats.accepted
        if event_id is not None:
            part = msgspec.json.encode(event_id)
            found = [e for e in found if part in e.body and e.event["eventId"] == event_id]
            count = len(found)
        return _json({"count": count, "events": decode_events(found[::-1][:limit])})

    async def _list_requests(self, request: Request) -> Response:
        limit, event_id = _limit(request), request.query_params.get("event_id")
        found, count = self._store.requests, self._store.stats.requests
        if event_id is not None:
            found = [r for r in found if event_id in r.event_ids]
            count = len(found)
        return _json({"count": count, "requests": found[::-1][:limit]})

    async def _reset(self, _: Request) -> Response:
        self._store.reset()
        self._faults.clear()
        return Response(status_code=204)

    async def _list_faults(self, _: Request) -> Response:
        faults = self._faults.descriptions
        return _json({"count": len(faults), "faults": faults})

    async def _add_faults(self, request: Request) -> Response:
        # A page of another site can make a browser post plain text here, but not JSON.
        if not _is_json(request.headers.get("Content-Type")):
            raise HTTPException(415, f"Content-Type must be {JSON}")
        try:
            faults = parse_faults(msgspec.json.decode(await request.body()))
        except (FaultError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(422, str(error)) from error
        self._faults.add(faults)
        return await self._list_faults(request)

    async def _clear_faults(self, _: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)

    async def _remove_fault(self, request: Request) -> Response:
        if not self._faults.remove(request.path_params["number"]):
            raise HTTPException(404, "this fault does not exist, or no longer exists")
        return Response(status_code=204)


def _is_json(content_type: str | None) -> bool:
    """Return whether a Content-Type header declares JSON; a missing header does not."""
    return (content_type or "").partition(";")[0].strip().lower() == JSON


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch("[0-9]{1,9}", text):
        raise HTTPException(422, f"limit: must be a whole number of up to 9 digits, got {text!r}")
    return int(text)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type=JSON)


async def _error_response(_: Request, error: Any) -> Response:
    response = _json({"error": error.detail})
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response
