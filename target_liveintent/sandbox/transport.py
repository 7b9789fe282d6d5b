"""Closes a connection without an answer, for which ASGI has no message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

_EXTENSION = "liveintent.sandbox.abort"


class AbortableProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which also gives the application a way to abort the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Wrap the application."""
        super().__init__(*args, **kwargs)
        application = self.app

        async def abortable(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_EXTENSION] = self.transport.abort
            await application(scope, receive, send)

        self.app = abortable


class ConnectionDrop(Response):
    """Closes the client's connection instead of sending a response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Abort the connection, then wait until uvicorn notices: it then expects no response."""
        abort: Callable[[], None] = scope["extensions"][_EXTENSION]
        abort()
        while (await receive())["type"] != "http.disconnect":
            pass
