"""The page to look at what arrived, and what it asks for.

It is static, and whatever arrived is hostile to it: the script puts text into it as text, and
the policy below lets it load and do nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from target_liveintent.sandbox.answers import JSON
from target_liveintent.sandbox.page_data import (
    QueryError,
    one_event,
    parse_query,
    snapshot,
    version,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from target_liveintent.sandbox.fault_queue import FaultQueue
    from target_liveintent.sandbox.store import Store

BEAT = 0.25
"""Seconds between two looks at whether something changed: the page is told so often at most."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_FILES = {
    "style.css": "text/css",
    "main.js": "text/javascript",
    "dom.js": "text/javascript",
    "events.js": "text/javascript",
    "batches.js": "text/javascript",
    "faults.js": "text/javascript",
}
_CONTENT = {name: (files(__package__) / name).read_bytes() for name in _FILES}
_INDEX = (files(__package__) / "index.html").read_text(encoding="utf-8")


class Page:
    """The page's routes.

    Args:
        store: What arrived.
        faults: The scripted faults.
        customer_id: To show where to send to.
        closing: Set when the server stops.
    """

    def __init__(
        self, store: Store, faults: FaultQueue, customer_id: str, closing: asyncio.Event
    ) -> None:
        """Set up the routes."""
        self._store = store
        self._faults = faults
        self._index = _INDEX.replace("{{customer_id}}", customer_id)
        self._closing = closing
        self.routes = [
            Route("/", self._show),
            Route("/page/{name}", self._show_file),
            Route("/look", self._look),
            Route("/look/changes", self._tell_of_changes),
            Route("/look/events/{number:int}", self._look_at_event),
        ]

    async def _show(self, _: Request) -> Response:
        return Response(self._index, headers=HEADERS, media_type="text/html")

    async def _show_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        return Response(_CONTENT[name], headers=HEADERS, media_type=_FILES[name])

    async def _look(self, request: Request) -> Response:
        try:
            query = parse_query(request.query_params)
        except QueryError as error:
            raise HTTPException(422, str(error)) from error
        found = snapshot(self._store, self._faults, query)
        return Response(found, headers=HEADERS, media_type=JSON)

    async def _look_at_event(self, request: Request) -> Response:
        found = one_event(self._store, request.path_params["number"])
        if found is None:
            raise HTTPException(404, "this event is not kept, or no longer")
        return Response(found, headers=HEADERS, media_type=JSON)

    async def _tell_of_changes(self, _: Request) -> Response:
        return StreamingResponse(self._changes(), headers=HEADERS, media_type="text/event-stream")

    async def _changes(self) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"  # when the connection is lost; a browser's own wait is longer
        told = None
        while not self._closing.is_set():
            now = version(self._store, self._faults)
            if now != told:
                yield f"data: {now}\n\n"
                told = now
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), BEAT)
