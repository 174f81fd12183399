"""The app that an example asks: yours where the environment names one, else a local one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class App:
    """Where an app is and the key that opens it."""

    base_url: str
    api_key: str


@contextmanager
def chat_app(name: str = "chat") -> Iterator[App]:
    """Yield the app of `DIFY_BASE_URL` and `DIFY_API_KEY`, or a local one while the block runs.

    Args:
        name: Which of the local server's apps: chat, completion, agent-chat, advanced-chat,
            workflow or agent.
    """
    key = os.environ.get("DIFY_API_KEY")
    if key:
        yield App(os.environ.get("DIFY_BASE_URL", "https://api.dify.ai/v1"), key)
        return
    from dify_local import LocalDify

    with LocalDify(token_delay=0.01) as server:
        yield App(server.base_url, server.keys[name])
