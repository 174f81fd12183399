"""What the tests of the local server share: reading streams and recordings."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from dify_local import LocalDify
from dify_local._protocol.release import Release
from dify_local._storage.files import Uploads
from dify_local._storage.knowledge import Knowledge, Tables, Writer, read_folder
from dify_local._storage.store import Store

CASSETTES = Path(__file__).parents[2] / "cassettes"
PING = {"event": "ping"}
Event = dict[str, Any]


@contextmanager
def knowledge_over(folder: Path) -> Iterator[Knowledge]:
    """The knowledge base over a folder, without a server."""
    store = Store(":memory:")
    try:
        writer = Writer(Tables(store), Uploads(store, "http://dify.test", Release("1.16.0")))
        dataset = read_folder(writer, folder)
        yield Knowledge(writer.tables, dataset.id, dataset.name)
    finally:
        store.close()


def pdf(text: str) -> bytes:
    """A small PDF with a line of text, compressed as most are."""
    content = zlib.compress(f"BT /F1 12 Tf 9 9 Td ({text}) Tj ET".encode()).decode("latin-1")
    font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R"
        f"/Resources<</Font<</F1 {font}>>>>>>",
        f"<</Length {len(content)}/Filter/FlateDecode>>stream\n{content}\nendstream",
    ]
    body, places = "%PDF-1.4\n", []
    for number, item in enumerate(objects, start=1):
        places.append(f"{len(body):010} 00000 n \n")
        body += f"{number} 0 obj{item}endobj\n"
    table = f"xref\n0 5\n0000000000 65535 f \n{''.join(places)}"
    return f"{body}{table}trailer<</Size 5/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF".encode(
        "latin-1"
    )


class Caller:
    """Calls one app of a server as one person."""

    def __init__(self, server: LocalDify, app: str, user: str = "ada") -> None:
        self.server = server
        self.user = user
        self.mode = app
        self.client = httpx.Client(
            base_url=server.base_url,
            headers={"Authorization": f"Bearer {server.keys[app]}"},
            verify=False,  # else certificates are read, for plain HTTP
        )

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @property
    def path(self) -> str:
        return {"completion": "/completion-messages", "workflow": "/workflows/run"}.get(
            self.mode, "/chat-messages"
        )

    def body(self, query: str, **more: Any) -> dict[str, Any]:
        name = {"completion": "query", "workflow": "text"}.get(self.mode)
        body: dict[str, Any] = {"inputs": {name: query} if name else {}, "user": self.user}
        if name is None:
            body["query"] = query
        inputs = {**body["inputs"], **more.pop("inputs", {})}
        return {**body, **more, "inputs": inputs}

    def stream(self, query: str, **more: Any) -> list[Event]:
        body = self.body(query, response_mode="streaming", **more)
        response = self.client.post(self.path, json=body)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        return events_of(response.content)

    def ask(self, query: str, **more: Any) -> dict[str, Any]:
        response = self.client.post(self.path, json=self.body(query, **more))
        assert response.status_code == 200, response.text
        return dict(response.json())


def events_of(body: bytes) -> list[Event]:
    frames = body.split(b"\n\n")
    assert frames.pop() == b"", "a stream ends with a blank line"
    return [PING if frame == b"event: ping" else json.loads(frame[6:]) for frame in frames]


def names(events: list[Event]) -> list[str]:
    """The names of events, repetitions left out."""
    found = [event["event"] for event in events]
    return [name for name, before in zip(found, [None, *found], strict=False) if name != before]


def text(events: list[Event], name: str = "message") -> str:
    if name == "text_chunk":
        return "".join(e["data"]["text"] for e in events if e["event"] == name)
    return "".join(event["answer"] for event in events if event["event"] == name)


def last(events: list[Event], name: str) -> Event:
    return [event for event in events if event["event"] == name][-1]


def cassette(name: str) -> tuple[int, bytes]:
    """Status and body of a recording, such as `dify-1.16.0/chat_blocking`."""
    recorded = yaml.safe_load((CASSETTES / f"{name}.yaml").read_text(encoding="utf-8"))
    response = recorded["interactions"][0]["response"]
    body = response["body"]["string"]
    return response["status"]["code"], body if isinstance(body, bytes) else body.encode()
