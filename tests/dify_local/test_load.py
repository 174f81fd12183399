from __future__ import annotations

import asyncio

import aiohttp
import pytest

from dify_local import LocalDify

pytestmark = pytest.mark.slow

STREAMS = 1000


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
async def test_a_thousand_streams_at_once(app: str) -> None:
    body = {"inputs": {}, "query": "/hang 3", "user": "ada", "response_mode": "streaming"}
    with LocalDify() as server:
        headers = {"Authorization": f"Bearer {server.keys[app]}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            arrived = 0
            all_there = asyncio.Event()

            async def one() -> int:
                """Read until three tokens are there, wait for the others, then leave."""
                nonlocal arrived
                tokens = 0
                path = f"{server.base_url}/chat-messages"
                async with session.post(path, json=body) as response:
                    async for line in response.content:
                        tokens += b'"event":"message"' in line
                        if tokens == 3:
                            break
                    arrived += 1
                    if arrived == STREAMS:
                        all_there.set()
                    await asyncio.wait_for(all_there.wait(), 30)
                return tokens

            counts = await asyncio.gather(*(one() for _ in range(STREAMS)))
    assert counts == [3] * STREAMS
