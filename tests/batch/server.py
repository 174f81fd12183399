"""A local server on which a share of the generations fails, and which counts those that begin."""

from __future__ import annotations

import random
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_local import LocalDify

FAULTS = (
    ("status", {"status": 429}),
    ("status", {"status": 429, "headers": {"Retry-After": "1"}}),
    ("status", {"status": 500}),
    ("status", {"status": 503, "html": True}),
    ("drop", {"after_bytes": 0}),
    ("drop", {"after_bytes": 400}),
    ("close", {"after_events": 0}),
    ("close", {"after_events": 3}),
)
"""Refusals, failures, and streams that break before or after their first event."""

_GENERATIONS = ("/chat-messages", "/completion-messages", "/workflows/run")


class FaultyDify(LocalDify):
    """A server that spoils a share of the generations.

    Args:
        database: File of its database.
        share: Which, from 0 to 1.
        token_delay: Seconds before each token.
    """

    def __init__(self, database: Path, share: float = 0.0, token_delay: float = 0.0) -> None:
        super().__init__(database=database, token_delay=token_delay)
        self.database = database
        self.share = share
        self.spoiled = 0
        self._random = random.Random(7)

    def _config(self, address: str) -> uvicorn.Config:
        config = super()._config(address)
        assert callable(config.app)
        config.app = self._spoiling(config.app)
        return config

    def _spoiling(self, app: ASGIApp) -> ASGIApp:
        async def spoiling(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if path.endswith(_GENERATIONS) and self._random.random() < self.share:
                kind, options = self._random.choice(FAULTS)
                self.fault(kind, path=path, **options)
                self.spoiled += 1
            await app(scope, receive, send)

        return spoiling

    def generations(self) -> Counter[str]:
        """How many generations have begun, by the question (of a workflow its text)."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            return generations_in(connection)


def generations_in(connection: sqlite3.Connection) -> Counter[str]:
    """How many generations a database has, by the question."""
    found = Counter[str]()
    for table, place in (("messages", "$.query"), ("runs", "$.inputs.text")):
        rows = connection.execute(f"SELECT body ->> '{place}' FROM {table}")
        found.update(query for (query,) in rows if query)
    return found


def main() -> None:
    """Serve until stdin is closed: DATABASE SHARE TOKEN_DELAY."""
    database, share, delay = sys.argv[1:]
    with FaultyDify(Path(database), float(share), float(delay)) as server:
        print(server.base_url, server.keys["chat"], flush=True)
        sys.stdin.read()
        print(server.spoiled, flush=True)


if __name__ == "__main__":
    main()
