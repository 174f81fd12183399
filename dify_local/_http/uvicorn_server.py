"""uvicorn, fitted to a server that lives in a thread and whose connections can break."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_START_TIMEOUT = 30.0
_TURNS = 100


class TransportProtocol(H11Protocol):
    """Shows the transport to the application, because some faults happen below HTTP."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # narrower, as uvicorn's own is
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "transport": transport}, receive, send)

        self.app = with_transport


class ThreadedServer(uvicorn.Server):
    """A uvicorn server that another thread can wait for and close."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run_until_closed(self, listener: socket.socket) -> None:
        """Serve until `close` is called, and tell the thread that waits how it began."""
        try:
            asyncio.run(self._serve_until_closed(listener))
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            self._error = error
        finally:
            self._ready.set()

    async def _serve_until_closed(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        await self.serve(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        # Waiting for an event, not polling, makes closing immediate.
        await self._closing.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        # Cut connections and their requests need a few turns of the loop; uvicorn would sleep.
        for _ in range(_TURNS):
            if not (self.server_state.connections or self.server_state.tasks):
                break
            await asyncio.sleep(0)
        for task in self.server_state.tasks:
            task.cancel()
        await super().shutdown(sockets)

    def wait_until_ready(self) -> None:
        """Wait until the server answers.

        Raises:
            TimeoutError: It does not answer in time.
        """
        if not self._ready.wait(_START_TIMEOUT):
            raise TimeoutError(f"The server did not start within {_START_TIMEOUT} s")
        if self._error:
            raise self._error

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the thread of the server, and wait for it."""

        async def called() -> None:
            function()

        if self._loop and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(called(), self._loop).result(_START_TIMEOUT)

    def close(self) -> None:
        """End serving, from any thread."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._closing.set)
