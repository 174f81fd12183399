"""Server-sent events as Dify writes them, and the response that sends them.

A frame is `data: {json}` and a blank line; a ping is `event: ping` and a blank line, without data.
There are no ids, no retry lines and no end marker: the body simply ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dify_local._protocol.events import PING, EventSource
from dify_local._protocol.values import JsonObject, compact_json, spaced_json

PING_FRAME: Final = b"event: ping\n\n"


def frame(event: JsonObject, *, spaced: bool = False) -> bytes:
    r"""Return the bytes of one event.

    Args:
        event: The event.
        spaced: Write ASCII with spaces after separators, as servers did before 1.8.1.

    Example:
        >>> frame({"event": "message", "answer": "Hi"})
        b'data: {"event":"message","answer":"Hi"}\n\n'
    """
    if event is PING:
        return PING_FRAME
    text = spaced_json(event) if spaced else compact_json(event)
    return b"data: " + text.encode() + b"\n\n"


class EventStream(Response):
    """A streaming response: one event per chunk, its headers sent with the first event.

    Args:
        events: The events; closed when the response ends, however it ends.
        on_disconnect: Called when the client leaves before the last event.
        cache_control: What caches on the way are told, if anything.
        spaced: How events are written; see `frame`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: EventSource,
        on_disconnect: Callable[[], None],
        *,
        cache_control: str | None = None,
        spaced: bool = False,
    ) -> None:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        if cache_control:
            headers["cache-control"] = cache_control
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self.events = events
        self.spaced = spaced
        self.on_disconnect = on_disconnect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and notice when the client leaves."""
        streaming = asyncio.create_task(self._stream(send, scope["transport"]))
        leaving = asyncio.create_task(_disconnection(receive))
        try:
            await asyncio.wait({streaming, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not streaming.done():
                self.on_disconnect()
        finally:
            leaving.cancel()
            streaming.cancel()
            with suppress(asyncio.CancelledError):
                await streaming

    async def _stream(self, send: Send, transport: asyncio.Transport) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        started = False
        async with aclosing(self.events) as events:
            async for event in events:
                if not started:
                    started = True
                    await send(start)
                if transport.is_closing():
                    await asyncio.sleep(0)  # until the loop tells that the client has left
                body = frame(event, spaced=self.spaced)
                await send({"type": "http.response.body", "body": body, "more_body": True})
        if not started:
            await send(start)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
