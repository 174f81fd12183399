"""Reads each request once, notes it in the journal with its answer, and hands it on unchanged."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_local._protocol.values import JsonObject
from dify_local._testing.journal import Journal, RecordedFile, RecordedRequest

_log = logging.getLogger("dify_local.requests")


class Recorder:
    """Notes requests, and logs a line for each when it has been answered.

    Args:
        app: What answers.
        journal: Where they are noted.
        apps: The apps by their keys.
    """

    def __init__(self, app: ASGIApp, journal: Journal, apps: Mapping[str, object]) -> None:
        self.app = app
        self.journal = journal
        self.apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request and answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        body = await _read(receive)
        request = await _recorded(scope, body)
        self.journal.add_request(request)

        async def note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        try:
            await self.app(scope, _again(body, receive), note_status)
        finally:
            request.seconds = round(time.monotonic() - began, 6)
            if _log.isEnabledFor(logging.INFO):
                _log.info("%s", self._line(request))

    def _line(self, request: RecordedRequest) -> str:
        """Return what is logged: neither the key nor who asked."""
        app = self.apps.get(request.key or "")
        name = getattr(app, "name", "-")
        seconds = request.seconds or 0.0
        return f"{request.method} {request.path} {name} {request.status or 'cut'} {seconds:.3f} s"


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _recorded(scope: Scope, body: bytes) -> RecordedRequest:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    _, _, key = headers.pop("authorization", "").partition(" ")
    content_type = headers.get("content-type", "")
    request = RecordedRequest(
        scope["method"],
        scope["path"],
        dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
        _parsed(content_type, body),
        key or None,
        headers,
    )
    if content_type.startswith("multipart/form-data"):
        await _note_parts(request, scope, body)
    return request


def _parsed(content_type: str, body: bytes) -> JsonObject | None:
    if not content_type.startswith("application/json"):
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


async def _note_parts(request: RecordedRequest, scope: Scope, body: bytes) -> None:
    async def nothing_more() -> Message:
        return {"type": "http.disconnect"}

    try:
        async with Request(scope, _again(body, nothing_more)).form() as form:
            request.form = {}
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    filename, kind = value.filename or "", value.content_type or ""
                    file = RecordedFile(name, filename, kind, await value.read())
                    request.files.append(file)
                else:
                    request.form[name] = value
    except MultiPartException:
        return  # no multipart body, whatever its header says; the answer will tell
