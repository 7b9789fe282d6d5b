"""The sandbox's HTTP routes: the API, what arrived, the faults, and the page."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from target_liveintent.sandbox import page
from target_liveintent.sandbox.contract import Contract, Outcome
from target_liveintent.sandbox.store import Store

JSON = "application/json"
ABORT = "liveintent.sandbox.abort"
"""The key of an ASGI scope under which the server puts a function that aborts the connection."""
_TICK = 0.1  # seconds between two looks at whether the server stops, during a scripted latency


class App:
    """The sandbox as an ASGI application, `asgi`.

    The clock returns Unix seconds. If the server stops (`is_stopping`), scripted latencies end.
    """

    def __init__(
        self,
        contract: Contract,
        store: Store,
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        """Set up the routes."""
        self._contract = contract
        self._store = store
        self._clock = clock
        self._is_stopping = is_stopping
        self.asgi = Starlette(
            routes=[
                Route("/conversions/{customer_id}", self._receive, methods=["POST"]),
                Route("/{customer_id}/events", self._receive, methods=["POST"]),
                Route("/stats", self._show_stats),
                Route("/events", self._list_events),
                Route("/events", self._reset, methods=["DELETE"]),
                Route("/faults", self._list_faults),
                Route("/faults", self._add_faults, methods=["POST"]),
                Route("/faults", self._remove_faults, methods=["DELETE"]),
                Route("/faults/{number:int}", self._remove_faults, methods=["DELETE"]),
                Route("/", self._show_page),
                Route("/batches/{number:int}", self._show_batch),
                Route("/static/{name}", self._send_file),
            ],
            exception_handlers={HTTPException: _error_response},
        )

    async def _receive(self, request: Request) -> Response:
        now = self._clock()
        try:
            body = await request.body()
        except ClientDisconnect:
            return _Drop()
        customer_id = request.path_params["customer_id"]
        authorization = request.headers.get("Authorization")
        regular, items = self._contract.answer(customer_id, authorization, body, now=now)
        answer, delay = self._store.apply_faults(items, regular)
        for _ in range(int(delay / _TICK)):
            if not self._is_stopping():
                await asyncio.sleep(_TICK)
        await asyncio.sleep(delay % _TICK)
        self._store.add(items, answer, body=body, received_at=now)
        if answer.status is None:
            return _Drop()
        return Response(answer.body, answer.status, answer.headers, JSON if answer.body else None)

    async def _show_stats(self, _: Request) -> Response:
        return _json(self._store.stats)

    async def _list_events(self, request: Request) -> Response:
        query = msgspec.structs.replace(_query(request), outcome=Outcome.ACCEPTED)
        events = [item.event for item in page.matching_items(self._store, query)]
        return _json({"total": self._store.stats.accepted, "events": events})

    async def _reset(self, _: Request) -> Response:
        self._store.reset()
        return Response(status_code=204)

    async def _list_faults(self, _: Request) -> Response:
        return _json({"faults": self._store.faults})

    async def _add_faults(self, request: Request) -> Response:
        # A page of another site can make a browser post plain text here, but not JSON.
        content_type = request.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() != JSON:
            raise HTTPException(415, f"Content-Type must be {JSON}")
        try:
            self._store.add_faults(*msgspec.json.decode(await request.body(), type=list))
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, str(error)) from error
        return await self._list_faults(request)

    async def _remove_faults(self, request: Request) -> Response:
        self._store.remove_faults(request.path_params.get("number"))
        return Response(status_code=204)

    async def _show_page(self, request: Request) -> Response:
        context = page.index_values(self._store, _query(request))
        context["customer_id"] = self._contract.customer_id
        return page.response(request, "index.html", context)

    async def _show_batch(self, request: Request) -> Response:
        number = request.path_params["number"]
        found = next((one for one in self._store.requests if one.number == number), None)
        if found is None:
            raise HTTPException(404, "the sandbox has no such batch, or no longer has it")
        return page.response(request, "batch.html", {"batch": found})

    async def _send_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in page.STATIC:
            raise HTTPException(404)
        return Response(page.STATIC[name], media_type=mimetypes.guess_type(name)[0])


class _Drop(Response):
    """Closes the client's connection without an answer, for which ASGI has no message."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Abort the connection, then wait until uvicorn notices: it then expects no response."""
        scope[ABORT]()
        while (await receive())["type"] != "http.disconnect":
            pass


def _query(request: Request) -> page.Query:
    """Return the query of a URL; empty parameters count as missing."""
    given = {name: value for name, value in request.query_params.items() if value}
    try:
        return msgspec.convert(given, page.Query, strict=False)
    except msgspec.ValidationError as error:
        raise HTTPException(422, str(error)) from error


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=JSON)


async def _error_response(_: Request, error: Any) -> Response:
    return _json({"error": error.detail}, error.status_code)
