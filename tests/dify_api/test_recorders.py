"""What the suites of others put in place of the wire: vcrpy, and a client with a transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import vcr

from dify_api import AsyncDifyClient, DifyClient, application, chat, files
from dify_api.operation import Operation
from tests.support.replay import ReplayServer, Reply

Send = Callable[..., Awaitable[Any]]

EVENTS = (
    b'data: {"event": "message", "answer": "Hi", "message_id": "m", "task_id": "t"}\n\n'
    b'data: {"event": "message_end", "message_id": "m", "task_id": "t"}\n\n'
)
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}


async def sync_send(operation: Operation[Any], **options: Any) -> Any:
    return DifyClient("app-secret", max_retries=0, **options).send(operation)


async def async_send(operation: Operation[Any], **options: Any) -> Any:
    return await AsyncDifyClient("app-secret", max_retries=0, **options).send(operation)


@pytest.mark.parametrize("send", [sync_send, async_send])
@pytest.mark.parametrize(
    ("operation", "headers", "body"),
    [
        (application.info(), JSON, b'{"name": "Planets"}'),
        (chat.send_message("Hello", user="ann"), SSE, EVENTS),
        (chat.send_message("Hello " * 20_000, user="ann"), SSE, EVENTS),
        (files.upload(b"x" * 100_000, name="a.txt", user="ann"), JSON, b'{"id": "f"}'),
    ],
    ids=["a read", "a stream", "a long question", "a file"],
)
async def test_vcrpy_records_and_replays(
    send: Send, operation: Operation[Any], headers: dict[str, str], body: bytes, tmp_path: Path
) -> None:
    recorder = vcr.VCR(cassette_library_dir=str(tmp_path), filter_headers=["authorization"])
    with ReplayServer(lambda _: Reply(200, headers, [body])) as server:
        with recorder.use_cassette("call.yaml"):
            recorded = await send(operation, base_url=server.base_url)
        assert len(server.requests) == 1
    with recorder.use_cassette("call.yaml") as cassette:
        assert await send(operation, base_url=server.base_url) == recorded
        assert cassette.all_played
    assert "app-secret" not in (tmp_path / "call.yaml").read_text()


async def test_a_client_with_a_transport_of_ones_own() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer app-secret"
        return httpx.Response(200, headers=SSE, content=EVENTS)

    transport, hello = httpx.MockTransport(answer), chat.send_message("Hello", user="ann")
    with httpx.Client(transport=transport) as client:
        assert (await sync_send(hello, http_client=client)).text == "Hi"
    async with httpx.AsyncClient(transport=transport) as async_client:
        assert (await async_send(hello, http_async_client=async_client)).text == "Hi"


async def test_who_instruments_aiohttp_sees_async_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenTelemetry's instrumentation does."""
    traced: list[str] = []

    async def note(_: object, __: object, told: aiohttp.TraceRequestStartParams) -> None:
        traced.append(told.url.path)

    def instrumented(session: Any, *args: Any, **options: Any) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(note)
        plain(session, *args, trace_configs=[trace], **options)

    plain = aiohttp.ClientSession.__init__
    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    with ReplayServer(lambda _: Reply(200, SSE, [EVENTS])) as server:
        hello = chat.send_message("Hello", user="ann")
        assert (await async_send(hello, base_url=server.base_url)).text == "Hi"
    assert traced == ["/v1/chat-messages"]
