"""Serves the sandbox over HTTP on a port of this machine, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope, Send
from typing_extensions import Self

from target_liveintent.sandbox import state_page
from target_liveintent.sandbox.contract import Contract
from target_liveintent.sandbox.store import Store

_HOST = "127.0.0.1"
"""The address on which the sandbox listens; other machines cannot reach this address."""
_JSON = "application/json"
_TICK = 0.1  # seconds after which a scripted latency checks again whether the server stops


class _Query(msgspec.Struct, forbid_unknown_fields=True):
    """The query of GET /events: how many events to list, and a text that their JSON contains."""

    limit: Annotated[int, msgspec.Meta(ge=1)] = 10
    search: str = ""


class Sandbox(Store):
    """A local Conversions API, started by `with` and stopped when the block ends.

        with Sandbox() as sandbox:
            ...  # send events to f"{sandbox.url}/conversions/a-1b2c"
            assert sandbox.stats.accepted == 3

    The requests stay readable after the block, and the sandbox can be started again. Port 0 means
    any free port. `clock` returns the Unix time at which the ages of events are computed.
    """

    url: str

    def __init__(
        self,
        *,
        port: int = 0,
        customer_id: str = "a-1b2c",
        auth_token: str = "sandbox-token",  # noqa: S107 - made up
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create a sandbox without requests; `with` starts the server."""
        super().__init__()
        self._port = port
        self._contract = Contract(customer_id=customer_id, auth_token=auth_token)
        self._clock = clock

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            OSError: If the port is taken.
        """
        # The port is bound here, because uvicorn would exit the process if the port is taken. The
        # second socket object knows that its protocol is TCP; the first one does not, so asyncio
        # would leave Nagle's algorithm on, which delays answers by about 40 ms.
        bound = socket.create_server((_HOST, self._port), backlog=128)
        listener = socket.socket(fileno=bound.detach())
        app = Starlette(routes=self._routes(), exception_handlers={HTTPException: _error_response})
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",  # Behaves the same whether or not uvloop is installed.
                lifespan="off",
                access_log=False,
                log_config=None,  # Does not change the logging of the process.
                log_level="error",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run,
            args=([listener],),
            name="liveintent-sandbox",
            daemon=True,  # A sandbox that is never stopped must not keep the process alive.
        )
        # If a client connects before the server runs, the connection waits for the server.
        self._thread.start()
        self.url = f"http://{_HOST}:{listener.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        """Answer the requests in progress, and stop the server within a second or two."""
        self._server.should_exit = True
        self._thread.join(timeout=5)

    def _routes(self) -> list[Route | Mount]:
        return [
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
            Mount("/static", StaticFiles(packages=[("target_liveintent.sandbox", "static")])),
        ]

    async def _receive(self, request: Request) -> Response:
        now = self._clock()
        try:
            body = await request.body()
        except ClientDisconnect:
            return _Drop()
        customer_id = request.path_params["customer_id"]
        authorization = request.headers.get("Authorization")
        regular, items = self._contract.answer(customer_id, authorization, body, now=now)
        answer, delay = self.apply_faults(items, regular)
        for _ in range(int(delay / _TICK)):
            if not self._server.should_exit:
                await asyncio.sleep(_TICK)
        await asyncio.sleep(delay % _TICK)
        self.add(items, answer, body=body, received_at=now)
        if answer.status is None:
            return _Drop()
        return Response(answer.body, answer.status, answer.headers, _JSON if answer.body else None)

    async def _show_stats(self, _: Request) -> Response:
        return _json(self.stats)

    async def _list_events(self, request: Request) -> Response:
        try:
            query = msgspec.convert(dict(request.query_params), _Query, strict=False)
        except msgspec.ValidationError as error:
            raise HTTPException(422, str(error)) from error
        part = query.search.encode()
        newest = (one for kept in reversed(self.requests) for one in reversed(kept.accepted))
        found = (one for one in newest if part in msgspec.json.encode(one))
        return _json({"total": self.stats.accepted, "events": list(islice(found, query.limit))})

    async def _reset(self, _: Request) -> Response:
        self.reset()
        return Response(status_code=204)

    async def _list_faults(self, _: Request) -> Response:
        return _json({"faults": self.faults})

    async def _add_faults(self, request: Request) -> Response:
        # A page of another site can make a browser post plain text here, but not JSON.
        content_type = request.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() != _JSON:
            raise HTTPException(415, f"Content-Type must be {_JSON}")
        try:
            self.add_faults(*msgspec.json.decode(await request.body(), type=list))
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, str(error)) from error
        return await self._list_faults(request)

    async def _remove_faults(self, request: Request) -> Response:
        self.remove_faults(request.path_params.get("number"))
        return Response(status_code=204)

    async def _show_page(self, request: Request) -> Response:
        return state_page.index(request, self, self._contract.customer_id)

    async def _show_batch(self, request: Request) -> Response:
        number = request.path_params["number"]
        batch = next((batch for batch in self.requests if batch.number == number), None)
        if batch is None:
            raise HTTPException(404, "the sandbox has no such batch, or no longer has it")
        return state_page.response(request, "batch.html", {"batch": batch})


class _Drop(Response):
    """Closes the connection to the client without an answer; ASGI has no message for this."""

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:  # noqa: ARG002
        """Abort the connection, and wait until uvicorn notices this and expects no response."""
        receive.__self__.transport.abort()  # `receive` is a method of uvicorn's request.
        while (await receive())["type"] != "http.disconnect":
            pass


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=_JSON)


async def _error_response(_: Request, error: Any) -> Response:
    return _json({"error": error.detail}, error.status_code)
