"""Reads each request once, notes it in the journal, and hands it on unchanged."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_local._protocol.values import JsonObject
from dify_local._testing.journal import Journal, RecordedRequest


class Recorder:
    """Notes requests.

    Args:
        app: What answers.
        journal: Where they are noted.
    """

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self.app = app
        self.journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request and answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        self.journal.add_request(_recorded(scope, body))
        given = False

        async def receive_again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, receive_again, send)


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _recorded(scope: Scope, body: bytes) -> RecordedRequest:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    _, _, key = headers.pop("authorization", "").partition(" ")
    return RecordedRequest(
        scope["method"],
        scope["path"],
        dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
        _parsed(headers.get("content-type", ""), body),
        key or None,
        headers,
    )


def _parsed(content_type: str, body: bytes) -> JsonObject | None:
    if not content_type.startswith("application/json"):
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
