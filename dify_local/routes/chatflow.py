"""Chatflows."""

from __future__ import annotations
from starlette.responses import Response
from dify_local.calls import Call
from dify_local.errors import ApiError
from dify_local.payloads import ChatRequestPayload


async def answer(call: Call, payload: ChatRequestPayload, *, streaming: bool) -> Response:
    raise ApiError(500, "internal_server_error", "not yet")
