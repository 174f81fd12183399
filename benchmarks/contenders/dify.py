"""Clients of Dify: ours and its peers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from benchmarks.answers import QUESTION

KEY = "app-benchmark"
USER = "benchmark"


class DifyApi:
    def __init__(self, base_url: str) -> None:
        from dify_api import AsyncDifyClient, DifyClient, chat

        self._base_url = base_url
        self._client = DifyClient(KEY, base_url=base_url)
        self._async_client = AsyncDifyClient(KEY, base_url=base_url)
        self._question = lambda: chat.send_message(QUESTION, user=USER)

    def stream(self) -> Iterator[str]:
        with self._client.stream(self._question()) as events:
            for event in events:
                if event.event == "message":
                    yield event.answer

    async def astream(self) -> AsyncIterator[str]:
        async with self._async_client.stream(self._question()) as events:
            async for event in events:
                if event.event == "message":
                    yield event.answer

    def invoke(self) -> str:
        return self._client.send(self._question()).text

    async def ainvoke(self) -> str:
        return (await self._async_client.send(self._question())).text

    def construct(self) -> Any:
        return type(self._client)(KEY, base_url=self._base_url)


class DifyClientPython:
    def __init__(self, base_url: str) -> None:
        from dify_client import AsyncClient, Client, models

        self._new = lambda: Client(api_key=KEY, api_base=base_url)
        self._client = self._new()
        self._async_client = AsyncClient(api_key=KEY, api_base=base_url)
        mode = models.ResponseMode
        self._streaming = models.ChatRequest(
            query=QUESTION, user=USER, response_mode=mode.STREAMING
        )
        self._blocking = models.ChatRequest(query=QUESTION, user=USER, response_mode=mode.BLOCKING)

    def stream(self) -> Iterator[str]:
        for event in self._client.chat_messages(self._streaming):
            if event.event == "message":
                yield event.answer

    async def astream(self) -> AsyncIterator[str]:
        async for event in await self._async_client.achat_messages(self._streaming):
            if event.event == "message":
                yield event.answer

    def invoke(self) -> str:
        return str(self._client.chat_messages(self._blocking).answer)

    async def ainvoke(self) -> str:
        return str((await self._async_client.achat_messages(self._blocking)).answer)

    def construct(self) -> Any:
        return self._new()


class DifyApiClient(DifyClientPython):
    def __init__(self, base_url: str) -> None:
        from dify_client import AsyncDifyClient, DifyClient, models

        self._new = lambda: DifyClient(api_key=KEY, api_base=base_url)
        self._client = self._new()
        self._async_client = AsyncDifyClient(api_key=KEY, api_base=base_url)
        mode = models.ResponseMode
        self._streaming = models.ChatRequest(
            query=QUESTION, user=USER, response_mode=mode.STREAMING
        )
        self._blocking = models.ChatRequest(query=QUESTION, user=USER, response_mode=mode.BLOCKING)


class DifyOapi:
    """It hands out the body's bytes; the events are left to its user, here to the raw loop."""

    def __init__(self, base_url: str) -> None:
        from dify_oapi.api.chat.v1.model.chat_request import ChatRequest
        from dify_oapi.api.chat.v1.model.chat_request_body import ChatRequestBody
        from dify_oapi.client import Client
        from dify_oapi.core.model.request_option import RequestOption

        domain = base_url.removesuffix("/v1")  # its paths bring it
        self._new = lambda: Client.builder().domain(domain).build()
        self._chat = self._new().chat.v1.chat
        body = ChatRequestBody.builder().query(QUESTION).inputs({}).user(USER)
        self._request = lambda mode: (
            ChatRequest.builder().request_body(body.response_mode(mode).build()).build()
        )
        self._option = RequestOption.builder().api_key(KEY).build()

    def stream(self) -> Iterator[str]:
        import json

        rest = b""
        for piece in self._chat.chat(self._request("streaming"), self._option, stream=True):
            *frames, rest = (rest + piece).split(b"\n\n")
            for frame in frames:
                event = json.loads(frame[6:])
                if event["event"] == "message":
                    yield event["answer"]

    async def astream(self) -> AsyncIterator[str]:
        import json

        rest = b""
        pieces = await self._chat.achat(self._request("streaming"), self._option, stream=True)
        async for piece in pieces:
            *frames, rest = (rest + piece).split(b"\n\n")
            for frame in frames:
                event = json.loads(frame[6:])
                if event["event"] == "message":
                    yield event["answer"]

    def invoke(self) -> str:
        return str(self._chat.chat(self._request("blocking"), self._option).answer)

    async def ainvoke(self) -> str:
        return str((await self._chat.achat(self._request("blocking"), self._option)).answer)

    def construct(self) -> Any:
        return self._new()
