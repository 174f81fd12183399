"""The recorded exchanges in `cassettes/`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.replay import Reply, in_pieces

ROOT = Path(__file__).parents[2] / "cassettes"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What tests are chosen by, as vcrpy writes it: to parse two thousand files takes seconds.
_REQUEST = re.compile(r"^- request:\n    method: (\w+)\n    uri: (\S+)\n", re.MULTILINE)
_STATUS = re.compile(r"^  response:\n    status:\n      code: (\d+)\n", re.MULTILINE)
_CONTENT_TYPE = re.compile(r"^      content-type:\n      - (.+)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange, parsed when it is needed."""

    file: Path

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.stem}"

    @cached_property
    def recorded(self) -> dict[str, Any]:
        return yaml.load(self._text, Loader=_Loader)["interactions"][0]  # safe loader

    @cached_property
    def _text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def method(self) -> str:
        return _found(_REQUEST, self._text)[1]

    @cached_property
    def path(self) -> str:
        """Without the "/v1" of the base URL and without the query."""
        return urlsplit(_found(_REQUEST, self._text)[2]).path.removeprefix("/v1")

    @property
    def request_json(self) -> Any:
        body = self.recorded["request"]["body"]
        try:
            return json.loads(body) if body else None
        except ValueError:
            return None

    @cached_property
    def status(self) -> int:
        return int(_found(_STATUS, self._text)[1])

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

    @cached_property
    def is_stream(self) -> bool:
        kind = _CONTENT_TYPE.search(self._text, _found(_STATUS, self._text).end())
        return kind is not None and kind[1].startswith("text/event-stream")

    def reply(self, seed: int = 0, longest: int = 40) -> Reply:
        """The recorded reply, for a `ReplayServer`, in random pieces."""
        return Reply(self.status, self.headers, in_pieces(self.body, seed, longest))


def _found(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.search(text)
    assert found, f"not as vcrpy writes it: {text[:200]}"
    return found


@cache
def all_exchanges() -> list[Exchange]:
    return [Exchange(file) for file in sorted(ROOT.glob("dify-*/*.yaml"))]


@cache
def exchange(name: str) -> Exchange:
    """The exchange named "dify-RELEASE/NAME"."""
    return Exchange(ROOT / f"{name}.yaml")
