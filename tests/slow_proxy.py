"""A TCP proxy on loopback that adds the delay of a distant server."""

import asyncio
import threading
from typing import Any

from typing_extensions import Self


class SlowProxy:
    """Forwards bytes to a port of this machine, with a delay of `seconds` per round trip.

    Each direction has half of the delay. The proxy counts round trips: a new round trip begins when
    the client sends bytes after the server has sent bytes.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self.port = 0
        self.round_trips = 0
        self._target = port
        self._delay = seconds / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client_in: Any, client_out: Any) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._target)
        self._is_answered = True
        try:
            await asyncio.gather(
                self._pass_on(client_in, server_out, asks=True),
                self._pass_on(server_in, client_out, asks=False),
            )
        finally:
            server_out.close()
            client_out.close()

    async def _pass_on(self, source: Any, sink: Any, *, asks: bool) -> None:
        while data := await source.read(1_000_000):
            self.round_trips += asks and self._is_answered
            self._is_answered = not asks
            self._loop.call_later(self._delay, sink.write, data)
        self._loop.call_later(self._delay, sink.close)
