"""The recorded exchanges: what was asked, and what a real server answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_SENT_ON = {"host", "content-length", "connection", "user-agent", "accept-encoding"}


@dataclass
class Recording:
    """One exchange.

    Attributes:
        release: Such as `1.16.0`.
        name: Name of its file.
        app: The app of its key, with `-` in its name; empty where there was no app's key.
        path: Path without `/v1`, as it was sent.
        body: The JSON of the request; None where it had none, or another body.
        content: The body of the request.
        reply: The body of the answer.
    """

    release: str
    name: str
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    content: bytes
    status: int
    reply_headers: dict[str, str]
    reply: bytes

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip()

    @property
    def app(self) -> str:
        return self.key.removeprefix("app-").replace("_", "-") if "app-" in self.key else ""

    @property
    def body(self) -> Any:
        return json_of(self.content)

    @property
    def document(self) -> Any:
        """The JSON of the answer, or None."""
        return None if self.streamed else json_of(self.reply)

    @property
    def streamed(self) -> bool:
        return self.reply_headers.get("content-type", "").startswith("text/event-stream")

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_of(self.reply)


def json_of(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream; a ping has no data, what is broken off is left out."""
    found: list[dict[str, Any]] = []
    for frame in body.split(b"\n\n"):
        if frame.startswith(b"event: ping"):
            found.append({"event": "ping"})
        elif isinstance(event := json_of(frame.removeprefix(b"data:")), dict):
            found.append(event)
    return found


def read(directory: Path) -> Iterator[Recording]:
    """The recordings of a directory like `cassettes/dify-1.16.0`, by name."""
    release = directory.name.removeprefix("dify-").removesuffix("-main")
    for path in sorted(directory.glob("*.yaml")):
        interactions = yaml.load(path.read_text(encoding="utf-8"), _LOADER)["interactions"]
        for interaction in interactions[:1]:
            yield _recording(release, path.stem, interaction)


def _recording(release: str, name: str, interaction: dict[str, Any]) -> Recording:
    request, response = interaction["request"], interaction["response"]
    address = urlsplit(request["uri"])
    headers = {key.lower(): values[0] for key, values in request["headers"].items()}
    return Recording(
        release,
        name,
        request["method"],
        address.path.removeprefix("/v1"),
        parse_qsl(address.query, keep_blank_values=True),
        {key: value for key, value in headers.items() if key not in _NOT_SENT_ON},
        _bytes(request.get("body")),
        response["status"]["code"],
        {key.lower(): values[0] for key, values in response["headers"].items()},
        _bytes(response["body"]["string"]),
    )


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return str(body or "").encode(errors="surrogatepass")
