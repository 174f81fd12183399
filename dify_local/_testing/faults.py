"""Things that go wrong on request, for tests of clients; `LocalDify.fault` lists the kinds."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_JUNK = (
    b": a comment\n\n",
    b"data: {not json}\n\n",
    b"data:\n\n",
    b'event: surprise\ndata: {"event":"surprise","value":1}\n\n',
    b"\xff\xfe\x00 bytes\n\n",
    b"id: 7\nretry: 10\n\n",
    b'data: {"event":"message_unknown","answer":null}\n\n',
)


class _Cut(BaseException):
    """Ends the handling of a request: the response has ended before its time, on purpose.

    Like a cancellation it is nothing that could be handled, answered or reported on the way out.
    """


@dataclass
class Fault:
    """A fault and how often it still happens.

    Attributes:
        kind: What goes wrong.
        options: Details.
        path: Only requests whose path contains this.
        remaining: How many requests it will still happen to.
        happened: How many requests it has happened to.
    """

    kind: str
    options: dict[str, Any]
    path: str | None
    remaining: int
    happened: int = field(default=0)

    def matches(self, path: str) -> bool:
        """Tell whether a request is concerned."""
        if self.path is None:
            return not path.endswith("/stop")
        return self.path in path


@dataclass
class _Exchange:
    """A request and response that a fault is about to spoil."""

    scope: Scope
    receive: Receive
    send: Send
    options: dict[str, Any]

    async def until_disconnect(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def abort(self) -> None:
        transport = self.scope["transport"]
        connection = transport.get_extra_info("socket")
        # With no time to linger the peer sees a reset, not an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Faults:
    """The faults of a server; `add` and `clear` are safe from any thread."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, kind: str, *, times: int, path: str | None, **options: object) -> Fault:
        """Plan a fault.

        Raises:
            ValueError: There is no such kind, it has no such option, a number is too small, or it
                would never happen.
        """
        if times < 1:
            raise ValueError(f"A fault happens to at least one request, not to {times}")
        if kind not in _KINDS:
            raise ValueError(f"No fault {kind!r}; there are {', '.join(_KINDS)}")
        defaults = _KINDS[kind][1]
        unknown = set(options) - set(defaults)
        if unknown:
            raise ValueError(f"Fault {kind!r} has no option {', '.join(sorted(unknown))}")
        for name, value in options.items():
            least = 1 if name in _COUNTED else 0
            if isinstance(value, (int, float)) and not value >= least:
                raise ValueError(f"Fault {kind!r}: {name} is {least} or more, not {value}")
        fault = Fault(kind, {**defaults, **options}, path, times)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()

    def _next(self, path: str) -> Fault | None:
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(path)), None)
            if fault:
                fault.remaining -= 1
                fault.happened += 1
                if not fault.remaining:
                    self._faults.remove(fault)
            return fault

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an application that behaves like another, faults apart."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            fault = self._next(scope["path"]) if scope["type"] == "http" else None
            if fault is None:
                await app(scope, receive, send)
                return
            spoil = _KINDS[fault.kind][0]
            exchange = _Exchange(scope, receive, send, fault.options)
            try:
                await spoil(app, exchange)
            except _Cut:
                return

        return faulty


async def _status(app: ASGIApp, exchange: _Exchange) -> None:
    options = exchange.options
    status, body = options["status"], options["body"]
    content_type = "text/html" if options["html"] else "application/json"
    if options["html"]:
        body = body or f"<html><head><title>{status}</title></head><body>{status}</body></html>"
    elif body is None:
        body = {"code": _code(status), "message": f"Fault {status}", "status": status}
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {"content-type": content_type, **(options["headers"] or {})}
    headers["content-length"] = str(len(content))
    raw = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]
    await exchange.send({"type": "http.response.start", "status": status, "headers": raw})
    await exchange.send({"type": "http.response.body", "body": content, "more_body": False})


def _code(status: int) -> str:
    codes = {400: "invalid_param", 401: "unauthorized", 404: "not_found", 429: "rate_limit_error"}
    return codes.get(status, "internal_server_error")


async def _delay(app: ASGIApp, exchange: _Exchange) -> None:
    await asyncio.sleep(exchange.options["seconds"])
    await app(exchange.scope, exchange.receive, exchange.send)


async def _slow_headers(app: ASGIApp, exchange: _Exchange) -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(exchange.options["seconds"])
        await exchange.send(message)

    await app(exchange.scope, exchange.receive, send)


async def _drop(app: ASGIApp, exchange: _Exchange) -> None:
    left = exchange.options["after_bytes"]

    async def send_body(body: bytes, more: bool) -> None:
        nonlocal left
        if len(body) <= left and more:
            left -= len(body)
            await _send_body(exchange, body)
            return
        if left:
            await _send_body(exchange, body[:left])
            # What was written must leave before the connection is cut.
            await asyncio.sleep(0.01)
        exchange.abort()
        raise _Cut

    await _through(app, exchange, send_body)


async def _close(app: ASGIApp, exchange: _Exchange) -> None:
    left = exchange.options["after_events"]

    async def send_body(body: bytes, more: bool) -> None:
        nonlocal left
        if left <= 0:
            await _send_body(exchange, b"", more=False)
            raise _Cut
        left -= body.count(b"\n\n")
        await _send_body(exchange, body, more=more)

    await _through(app, exchange, send_body)


async def _silence(app: ASGIApp, exchange: _Exchange) -> None:
    left = exchange.options["after_events"]

    async def send_body(body: bytes, more: bool) -> None:
        nonlocal left
        if left <= 0:
            await exchange.until_disconnect()
            raise _Cut
        left -= body.count(b"\n\n")
        await _send_body(exchange, body, more=more)

    await _through(app, exchange, send_body)


async def _hold_open(app: ASGIApp, exchange: _Exchange) -> None:
    async def send_body(body: bytes, more: bool) -> None:
        if not more:
            try:
                await asyncio.wait_for(exchange.until_disconnect(), exchange.options["seconds"])
            except asyncio.TimeoutError:
                pass
            else:
                raise _Cut
        await _send_body(exchange, body, more=more)

    await _through(app, exchange, send_body)


async def _garbage(app: ASGIApp, exchange: _Exchange) -> None:
    count = 0

    async def send_body(body: bytes, more: bool) -> None:
        nonlocal count
        await _send_body(exchange, body, more=more)
        count += 1
        if more and count % exchange.options["every"] == 0:
            await _send_body(exchange, _JUNK[count % len(_JUNK)])

    await _through(app, exchange, send_body)


async def _coalesce(app: ASGIApp, exchange: _Exchange) -> None:
    held: list[bytes] = []

    async def send_body(body: bytes, more: bool) -> None:
        held.append(body)
        if not more or len(held) >= exchange.options["events"]:
            await _send_body(exchange, b"".join(held), more=more)
            held.clear()

    await _through(app, exchange, send_body)


async def _split(app: ASGIApp, exchange: _Exchange) -> None:
    size = exchange.options["size"]

    async def send_body(body: bytes, more: bool) -> None:
        for start in range(0, len(body), size):
            await _send_body(exchange, body[start : start + size])
            await asyncio.sleep(0)
        if not more:
            await _send_body(exchange, b"", more=False)

    await _through(app, exchange, send_body)


async def _through(
    app: ASGIApp, exchange: _Exchange, send_body: Callable[[bytes, bool], Awaitable[None]]
) -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send_body(message.get("body", b""), message.get("more_body", False))
        elif message["type"] == "http.response.start":
            # The length is no longer true.
            headers = [item for item in message["headers"] if item[0] != b"content-length"]
            await exchange.send({**message, "headers": headers})

    await app(exchange.scope, exchange.receive, send)


async def _send_body(exchange: _Exchange, body: bytes, *, more: bool = True) -> None:
    await exchange.send({"type": "http.response.body", "body": body, "more_body": more})


_Spoil = Callable[[ASGIApp, _Exchange], Awaitable[None]]

# Options that say how many at a time.
_COUNTED = {"every", "events", "size"}

_KINDS: dict[str, tuple[_Spoil, dict[str, Any]]] = {
    "status": (_status, {"status": 500, "body": None, "headers": None, "html": False}),
    "delay": (_delay, {"seconds": 1.0}),
    "slow_headers": (_slow_headers, {"seconds": 1.0}),
    "drop": (_drop, {"after_bytes": 0}),
    "close": (_close, {"after_events": 1}),
    "silence": (_silence, {"after_events": 1}),
    "hold_open": (_hold_open, {"seconds": None}),
    "garbage": (_garbage, {"every": 1}),
    "coalesce": (_coalesce, {"events": 4}),
    "split": (_split, {"size": 1}),
}
