"""Recorded exchanges instead of an app: what was asked before is answered as it was then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable

from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_local._protocol.errors import ApiError
from dify_local._protocol.values import JsonObject
from dify_local._testing.cassettes import RecordedExchange, json_object
from dify_local._testing.journal import Journal

_TASK = re.compile(rb'"task_id": ?"([^"]+)"')


class Recordings:
    """The recorded exchanges that a server replays, by API key.

    Args:
        journal: Where clients that leave a stream are noted.
        token_delay: Seconds before each event of a stream.
    """

    def __init__(self, journal: Journal, token_delay: float = 0.0) -> None:
        self._journal = journal
        self._token_delay = token_delay
        self._exchanges: dict[str, list[RecordedExchange]] = {}

    def add(self, key: str, exchanges: Iterable[RecordedExchange]) -> None:
        """Replay some exchanges to whoever comes with a key."""
        self._exchanges.setdefault(key, []).extend(exchanges)

    def clear(self) -> None:
        """Replay nothing any more."""
        self._exchanges.clear()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an application that answers what was recorded, and leaves the rest to another."""

        async def replaying(scope: Scope, receive: Receive, send: Send) -> None:
            key = Headers(scope=scope).get("authorization", "").partition(" ")[2]
            exchanges = self._exchanges.get(key)
            if not exchanges:
                await app(scope, receive, send)
                return
            # The recorder hands the whole body on as one message.
            message = await receive()
            response = self._response(scope, message.get("body", b""), exchanges)
            await (response or app)(scope, _first(message, receive), send)

        async def answering(scope: Scope, receive: Receive, send: Send) -> None:
            await (replaying if scope["type"] == "http" else app)(scope, receive, send)

        return answering

    def _response(
        self, scope: Scope, body: bytes, exchanges: list[RecordedExchange]
    ) -> Response | None:
        method, path = scope["method"], scope["path"].removeprefix("/v1")
        there = [e for e in exchanges if (e.method, e.path) == (method, path)]
        query = dict(QueryParams(scope["query_string"]))
        fitting = [e for e in there if _fits(e, json_object(body), query)]
        if fitting:
            # In the order they were recorded; the last again and again.
            exchange = next((e for e in fitting if not e.used), fitting[-1])
            exchange.used += 1
            return self._recorded(exchange)
        generating = [e for e in exchanges if e.generates]
        if any(e.path == path for e in generating) and method == "POST":
            return _refusal(generating)
        return None

    def _recorded(self, exchange: RecordedExchange) -> Response:
        if exchange.streams:
            response: Response = StreamingResponse(self._frames(exchange.body), exchange.status)
        else:
            response = Response(exchange.body, exchange.status)
        length = [item for item in response.raw_headers if item[0] == b"content-length"]
        response.raw_headers = length + [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in exchange.headers
        ]
        return response

    async def _frames(self, body: bytes) -> AsyncIterator[bytes]:
        try:
            for frame in re.findall(rb".+?(?:\n\n|\Z)", body, re.DOTALL):
                await asyncio.sleep(self._token_delay)
                yield frame
        except (asyncio.CancelledError, GeneratorExit):
            task = _TASK.search(body)
            self._journal.add_disconnect(task[1].decode() if task else "")
            raise


def _first(message: Message, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return message

    return receive_again


def _fits(exchange: RecordedExchange, json: JsonObject, query: dict[str, str]) -> bool:
    """Tell whether a request asks what was asked: whoever asks, with whatever else beside it."""
    if exchange.generates:
        return _asked(exchange.json) == _asked(json)
    return all(
        exchange.query.get(name, value) == value for name, value in query.items() if name != "user"
    )


def _asked(json: JsonObject) -> tuple[object, object, object]:
    streaming = json.get("response_mode") == "streaming"
    return json.get("query") or "", json.get("inputs") or {}, streaming


def _refusal(generating: list[RecordedExchange]) -> Response:
    asked = "; ".join(
        f"{query!r} with {inputs!r}, {'streaming' if streaming else 'blocking'}"
        for query, inputs, streaming in map(_asked, [exchange.json for exchange in generating])
    )
    error = ApiError(404, "not_recorded", f"No recording answers this. Recorded is: {asked}")
    return JSONResponse(error.body(), error.status)
