"""Runs the sandbox: the application on a loopback port, in its own thread."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from target_liveintent.sandbox.app import App
from target_liveintent.sandbox.contract import Contract
from target_liveintent.sandbox.fault_queue import FaultQueue
from target_liveintent.sandbox.faults import parse_faults
from target_liveintent.sandbox.rules import SCHEMAS
from target_liveintent.sandbox.store import LoggedRequest, Stats, Store, decode_events
from target_liveintent.sandbox.transport import AbortableProtocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from target_liveintent.sandbox.answers import Event

_CUSTOMER_ID: str = SCHEMAS["CustomerId"]["pattern"]
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0


class Sandbox:
    """A local Conversions API, started by `with` and stopped when the block ends.

        with Sandbox() as sandbox:
            ...  # send events to f"{sandbox.url}/conversions/a-1b2c"
            assert sandbox.stats.accepted == 3

    What arrived stays readable after the block, and the sandbox can be started again.

    Args:
        host: Loopback address to listen on.
        port: Port to listen on; 0 takes a free one.
        customer_id: The only customer ID that it knows.
        auth_token: The only token that it accepts.
        clock: Returns the time in Unix seconds, from which the age of events is measured.
        seed: Makes faults with a probability affect the same requests in every run.
        echo_values: Whether error messages repeat the offending value.
        max_events: Most accepted events to keep, and most others. Counts stay exact beyond it.
        max_requests: Most accepted requests to keep, and most others.

    Raises:
        ValueError: If the host is not a loopback address or the customer ID is malformed.
    """

    def __init__(  # noqa: PLR0913 - options, by keyword
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        customer_id: str = "a-1b2c",
        auth_token: str = "sandbox-token",  # noqa: S107 - made up
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        echo_values: bool = True,
        max_events: int = 20_000,
        max_requests: int = 2_000,
    ) -> None:
        """Check the options without starting the server."""
        self._address = _loopback(host)
        if not re.fullmatch(_CUSTOMER_ID, customer_id):
            msg = f"customer ID {customer_id!r} does not match {_CUSTOMER_ID}"
            raise ValueError(msg)
        self._port = port
        self._clock = clock
        self._contract = Contract(
            customer_id=customer_id, auth_token=auth_token, echo_values=echo_values
        )
        self._faults = FaultQueue(seed)
        self._store = Store(max_events=max_events, max_requests=max_requests)
        self._running: _ServerThread | None = None

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            OSError: If the port is taken.
        """
        app = App(self._contract, self._faults, self._store, self._clock)
        self._running = _ServerThread(app, self._address, self._port)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop within a second or two, after answering the requests in progress."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    @property
    def url(self) -> str:
        """Address of the running sandbox, without a trailing slash."""
        if self._running is None:
            msg = "the sandbox is not running"
            raise RuntimeError(msg)
        return self._running.url

    @property
    def events(self) -> list[Event]:
        """The newest `max_events` accepted events as they arrived, oldest first."""
        return decode_events(self._store.accepted)

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests to the API that are kept, oldest first."""
        return self._store.requests

    @property
    def stats(self) -> Stats:
        """Counts since the start or the last reset."""
        return self._store.stats

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The faults that are still active, each with the times that are left."""
        return self._faults.descriptions

    def add_faults(self, *faults: dict[str, Any]) -> None:
        """Script faults, each described by a JSON object as in POST /faults.

        Raises:
            FaultError: If any description is invalid; none of the faults is added then.
        """
        self._faults.add(parse_faults(list(faults)))

    def reset(self) -> None:
        """Remove everything that arrived, and all faults."""
        self._store.reset()
        self._faults.clear()


class _ServerThread:
    """A server in its own thread; it accepts connections as soon as this object exists."""

    def __init__(self, app: App, address: str, port: int) -> None:
        # Bound here and not by uvicorn, which would exit the process if the port is taken.
        listener = _listen(address, port)
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{listener.getsockname()[1]}"
        self._server = _Server(app)
        self._thread = threading.Thread(
            target=self._server.run,
            args=([listener],),
            name="liveintent-sandbox",
            daemon=True,  # a sandbox that is never stopped must not keep the process alive
        )
        self._thread.start()
        if not self._server.started_event.wait(_START_SECONDS):
            listener.close()
            msg = "the sandbox did not start"
            raise RuntimeError(msg)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)


class _Server(uvicorn.Server):
    """uvicorn's server, extended to signal its start and to notify the application of its end."""

    def __init__(self, app: App) -> None:
        super().__init__(
            uvicorn.Config(
                app.asgi,
                http=AbortableProtocol,
                ws="none",
                loop="asyncio",  # behaves the same whether or not uvloop is installed
                lifespan="off",
                access_log=False,
                log_config=None,  # does not change the logging of the process
                log_level="error",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self.started_event = threading.Event()
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_event.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.close()
        await super().shutdown(sockets)


def _loopback(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    msg = (
        f"host {host!r} is not a loopback address, but the sandbox listens only on this machine:"
        " use an address such as 127.0.0.1"
    )
    raise ValueError(msg)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Not socket.create_server: its sockets do not name TCP as their protocol, so asyncio leaves
    # Nagle's algorithm on, which delays the body of an answer by some 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere, the option would let two sandboxes share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
