"""Runs the sandbox: the application on a port of this machine, in its own thread."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from typing_extensions import Self
from uvicorn.protocols.http.h11_impl import H11Protocol

from target_liveintent.sandbox.app import ABORT, App
from target_liveintent.sandbox.contract import SCHEMAS, Contract
from target_liveintent.sandbox.store import Store

_HOST = "127.0.0.1"
"""Where the sandbox listens; other machines cannot reach it."""
_CUSTOMER_ID: str = SCHEMAS["CustomerId"]["pattern"]


class Sandbox(Store):
    """A local Conversions API, started by `with` and stopped when the block ends.

        with Sandbox() as sandbox:
            ...  # send events to f"{sandbox.url}/conversions/a-1b2c"
            assert sandbox.stats.accepted == 3

    What arrived stays readable after the block, and the sandbox can be started again.

    Args:
        port: Port to listen on; 0 takes a free one.
        customer_id: The only customer ID that it knows.
        auth_token: The only token that it accepts.
        clock: Returns the time in Unix seconds, from which the age of events is measured.

    Raises:
        ValueError: If the customer ID is malformed.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        customer_id: str = "a-1b2c",
        auth_token: str = "sandbox-token",  # noqa: S107 - made up
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the options without starting the server."""
        if not re.fullmatch(_CUSTOMER_ID, customer_id):
            msg = f"customer ID {customer_id!r} does not match {_CUSTOMER_ID}"
            raise ValueError(msg)
        super().__init__()
        self._port = port
        self._contract = Contract(customer_id=customer_id, auth_token=auth_token)
        self._clock = clock
        self._url: str | None = None

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            OSError: If the port is taken.
        """
        # Bound here and not by uvicorn, which would exit the process if the port is taken. The
        # second socket has found out that its protocol is TCP, which the first one does not name.
        # Otherwise, asyncio would leave Nagle's algorithm on, which delays answers by some 40 ms.
        bound = socket.create_server((_HOST, self._port), backlog=128)
        listener = socket.socket(fileno=bound.detach())
        app = App(self._contract, self, self._clock, lambda: self._server.should_exit)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app.asgi,
                http=_Protocol,
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
        # A connection that a client opens before the server runs waits for it.
        self._thread.start()
        self._url = f"http://{_HOST}:{listener.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop within a second or two, after answering the requests in progress."""
        self._url = None
        self._server.should_exit = True
        self._thread.join(timeout=5)

    @property
    def url(self) -> str:
        """Address of the running sandbox, without a trailing slash."""
        if self._url is None:
            msg = "the sandbox is not running"
            raise RuntimeError(msg)
        return self._url


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol, which also gives the application a way to abort the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application = self.app

        async def abortable(scope: Any, receive: Any, send: Any) -> None:
            scope[ABORT] = self.transport.abort
            await application(scope, receive, send)

        self.app = abortable
