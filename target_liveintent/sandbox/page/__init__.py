"""The page that shows what arrived, and the data that it requests.

The page is static, and it treats everything that arrived as hostile: the script inserts text only
as text, and the content security policy below lets the page load nothing but its own files.
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

POLL_SECONDS = 0.25
"""Seconds between two checks for changes, and so the shortest time between two notifications."""

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
    """The routes of the page.

    Args:
        store: What arrived.
        faults: The scripted faults.
        customer_id: Part of the path that the page shows for sending events.
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
            Route("/", self._send_index),
            Route("/page/{name}", self._send_file),
            Route("/look", self._send_snapshot),
            Route("/look/changes", self._stream_changes),
            Route("/look/events/{number:int}", self._send_event),
        ]

    async def _send_index(self, _: Request) -> Response:
        return Response(self._index, headers=HEADERS, media_type="text/html")

    async def _send_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        return Response(_CONTENT[name], headers=HEADERS, media_type=_FILES[name])

    async def _send_snapshot(self, request: Request) -> Response:
        try:
            query = parse_query(request.query_params)
        except QueryError as error:
            raise HTTPException(422, str(error)) from error
        found = snapshot(self._store, self._faults, query)
        return Response(found, headers=HEADERS, media_type=JSON)

    async def _send_event(self, request: Request) -> Response:
        found = one_event(self._store, request.path_params["number"])
        if found is None:
            raise HTTPException(404, "the sandbox has no such event, or no longer has it")
        return Response(found, headers=HEADERS, media_type=JSON)

    async def _stream_changes(self, _: Request) -> Response:
        return StreamingResponse(self._changes(), headers=HEADERS, media_type="text/event-stream")

    async def _changes(self) -> AsyncIterator[str]:
        # Milliseconds before a browser reconnects; its default is longer.
        yield "retry: 1000\n\n"
        sent = None
        while not self._closing.is_set():
            current = version(self._store, self._faults)
            if current != sent:
                yield f"data: {current}\n\n"
                sent = current
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), POLL_SECONDS)
