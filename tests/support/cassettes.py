"""The recorded exchanges in `cassettes/`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.replay import Reply, in_pieces

ROOT = Path(__file__).parents[2] / "cassettes"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange, read when it is needed."""

    file: Path

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.stem}"

    @cached_property
    def recorded(self) -> dict[str, Any]:
        with self.file.open("rb") as opened:
            return yaml.load(opened, Loader=_Loader)["interactions"][0]  # safe loader

    @property
    def method(self) -> str:
        return self.recorded["request"]["method"]

    @property
    def path(self) -> str:
        """Without the "/v1" of the base URL and without the query."""
        return urlsplit(self.recorded["request"]["uri"]).path.removeprefix("/v1")

    @property
    def request_json(self) -> Any:
        body = self.recorded["request"]["body"]
        try:
            return json.loads(body) if body else None
        except ValueError:
            return None

    @property
    def status(self) -> int:
        return self.recorded["response"]["status"]["code"]

    @property
    def headers(self) -> dict[str, str]:
        return {k.lower(): v[0] for k, v in self.recorded["response"]["headers"].items()}

    @property
    def body(self) -> bytes:
        body = self.recorded["response"]["body"]["string"]
        return body if isinstance(body, bytes) else body.encode()

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def reply(self, seed: int = 0, longest: int = 40) -> Reply:
        """The recorded reply, for a `ReplayServer`, in random pieces."""
        return Reply(self.status, self.headers, in_pieces(self.body, seed, longest))


@cache
def all_exchanges() -> list[Exchange]:
    return [Exchange(file) for file in sorted(ROOT.glob("dify-*/*.yaml"))]


@cache
def exchange(name: str) -> Exchange:
    """The exchange named "dify-RELEASE/NAME"."""
    return Exchange(ROOT / f"{name}.yaml")
