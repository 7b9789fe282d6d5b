"""The sandbox's routes: the API's own, and those to look at what arrived and to script faults."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from target_liveintent.sandbox.answers import JSON
from target_liveintent.sandbox.contract import Call, Contract, is_json
from target_liveintent.sandbox.faults import FaultError, parse_faults
from target_liveintent.sandbox.rules import OPENAPI
from target_liveintent.sandbox.store import RequestRecord, Store
from target_liveintent.sandbox.transport import ConnectionDrop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_liveintent.sandbox.script import FaultQueue

DEFAULT_LIMIT = 100
"""How many events or requests are listed where the query does not say."""

_PAGE = (files(__package__) / "page.html").read_text(encoding="utf-8")

_Listed = TypeVar("_Listed")


class App:
    """The sandbox as an ASGI application, `asgi`.

    Args:
        contract: What is answered to events, faults aside.
        faults: The scripted faults.
        store: Where what arrives is kept.
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
        self._page = _PAGE.replace("{{customer_id}}", contract.customer_id)
        self.asgi = Starlette(
            routes=[
                Route("/conversions/{customer_id}", self._receive, methods=["POST"]),
                Route("/{customer_id}/events", self._receive, methods=["POST"]),
                Route("/", self._show_page),
                Route("/openapi.json", self._show_openapi),
                Route("/stats", self._show_stats),
                Route("/requests", self._list_requests),
                Route("/events", self._list_events),
                Route("/events", self._reset, methods=["DELETE"]),
                Route("/faults", self._list_faults),
                Route("/faults", self._add_faults, methods=["POST"]),
                Route("/faults", self._clear_faults, methods=["DELETE"]),
            ],
            exception_handlers={HTTPException: _explain},
        )

    def close(self) -> None:
        """End scripted latencies at once: the server stops."""
        self._closing.set()

    async def _receive(self, request: Request) -> Response:
        now = self._clock()
        started = time.perf_counter()
        try:
            body = await request.body()
        except ClientDisconnect:
            return ConnectionDrop()
        call = Call(
            customer_id=request.path_params["customer_id"],
            body=body,
            authorization=request.headers.get("Authorization"),
            content_type=request.headers.get("Content-Type"),
        )
        judgement = self._contract.judge(call, now)
        plan = self._faults.plan(judgement.answer.accepted)
        if plan.seconds:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), plan.seconds)
        answer = plan.terminal.answer(judgement.answer) if plan.terminal else judgement.answer
        record = RequestRecord(
            received_at=now,
            latency=time.perf_counter() - started,
            status=answer.status,
            outcome=answer.outcome,
            events=judgement.size,
            event_ids=judgement.event_ids,
            reasons=answer.reasons,
        )
        self._store.record(record, answer.accepted)
        if answer.status is None:
            return ConnectionDrop()
        return Response(answer.body, answer.status, answer.headers, answer.media_type)

    async def _show_page(self, _: Request) -> Response:
        return HTMLResponse(self._page)

    async def _show_openapi(self, _: Request) -> Response:
        return Response(OPENAPI, media_type=JSON)

    async def _show_stats(self, _: Request) -> Response:
        return _json(self._store.stats)

    async def _list_events(self, request: Request) -> Response:
        events, event_id = self._store.events, request.query_params.get("event_id")
        if event_id is None:
            return _listing(request, "events", events, count=self._store.stats.accepted)
        return _listing(request, "events", [e for e in events if e["eventId"] == event_id])

    async def _list_requests(self, request: Request) -> Response:
        requests, event_id = self._store.requests, request.query_params.get("event_id")
        if event_id is None:
            return _listing(request, "requests", requests, count=self._store.stats.requests)
        return _listing(request, "requests", [r for r in requests if event_id in r.event_ids])

    async def _reset(self, _: Request) -> Response:
        self._store.reset()
        self._faults.clear()
        return Response(status_code=204)

    async def _list_faults(self, _: Request) -> Response:
        faults = self._faults.described
        return _json({"count": len(faults), "faults": faults})

    async def _add_faults(self, request: Request) -> Response:
        # A page of another site can make a browser post plain text here, but not JSON.
        if not is_json(request.headers.get("Content-Type")):
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


def _listing(
    request: Request, name: str, found: Sequence[_Listed], *, count: int | None = None
) -> Response:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch("[0-9]{1,9}", text):
        raise HTTPException(422, f"limit: must be a whole number of up to 9 digits, got {text!r}")
    newest_first = found[::-1][: int(text)]
    return _json({"count": len(found) if count is None else count, name: newest_first})


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type=JSON)


async def _explain(_: Request, error: Any) -> Response:
    answer = _json({"error": error.detail})
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer
