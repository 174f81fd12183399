"""The limit: loops that read the bytes, cut them into events and parse each one's JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import httpx

from benchmarks.answers import DATASET, QUESTION

_HEADERS = {"Authorization": "Bearer app-benchmark", "Accept-Encoding": "identity"}


def _body(response_mode: str) -> dict[str, object]:
    return {"inputs": {}, "query": QUESTION, "response_mode": response_mode, "user": "benchmark"}


class Httpx:
    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/chat-messages"
        self._client = httpx.Client(headers=_HEADERS, timeout=60)
        self._async_client = httpx.AsyncClient(
            headers=_HEADERS, timeout=60, limits=httpx.Limits(max_connections=None)
        )

    def stream(self) -> Iterator[str]:
        rest = b""
        with self._client.stream("POST", self._url, json=_body("streaming")) as response:
            for piece in response.iter_raw():
                *frames, rest = (rest + piece).split(b"\n\n")
                for frame in frames:
                    event = json.loads(frame[6:])
                    if event["event"] == "message":
                        yield event["answer"]

    async def astream(self) -> AsyncIterator[str]:
        rest = b""
        request = self._async_client.stream("POST", self._url, json=_body("streaming"))
        async with request as response:
            async for piece in response.aiter_raw():
                *frames, rest = (rest + piece).split(b"\n\n")
                for frame in frames:
                    event = json.loads(frame[6:])
                    if event["event"] == "message":
                        yield event["answer"]

    def invoke(self) -> str:
        reply = self._client.post(self._url, json=_body("blocking"))
        return str(json.loads(reply.content)["answer"])

    async def ainvoke(self) -> str:
        reply = await self._async_client.post(self._url, json=_body("blocking"))
        return str(json.loads(reply.content)["answer"])

    def construct(self) -> httpx.Client:
        return httpx.Client(headers=_HEADERS, timeout=60)


class HttpxSearch:
    """A search in a knowledge base."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/datasets/{DATASET}/retrieve"
        self._client = httpx.Client(headers=_HEADERS, timeout=60)

    def invoke(self) -> str:
        reply = self._client.post(self._url, json={"query": QUESTION})
        records = json.loads(reply.content)["records"]
        return "".join(record["segment"]["content"] for record in records)


class Aiohttp:
    def __init__(self, base_url: str) -> None:
        import aiohttp

        self._url = f"{base_url}/chat-messages"
        self._session = aiohttp.ClientSession(
            headers=_HEADERS,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def astream(self) -> AsyncIterator[str]:
        rest = b""
        async with self._session.post(self._url, json=_body("streaming")) as response:
            async for piece in response.content.iter_any():
                *frames, rest = (rest + piece).split(b"\n\n")
                for frame in frames:
                    event = json.loads(frame[6:])
                    if event["event"] == "message":
                        yield event["answer"]

    async def ainvoke(self) -> str:
        async with self._session.post(self._url, json=_body("blocking")) as reply:
            return str(json.loads(await reply.read())["answer"])
