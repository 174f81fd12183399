"""Recorded exchanges, as VCR keeps them in cassettes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from dify_local._protocol.values import JsonObject

# Of the connection that was recorded, not of the answer.
_DROPPED = {"connection", "content-length", "date", "transfer-encoding"}
_GENERATION = ("/completion-messages", "/chat-messages", "/workflows/run")


@dataclass
class RecordedExchange:
    """A request that was recorded, and its answer.

    Attributes:
        method: HTTP method.
        path: Path behind the `/v1` of the base URL.
        query: Query parameters.
        json: The JSON object of the request.
        status: HTTP status of the answer.
        headers: Its headers, with names in lower case.
        body: Its bytes.
        used: How often it has been replayed.
    """

    method: str
    path: str
    query: dict[str, str]
    json: JsonObject
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    used: int = 0

    @property
    def generates(self) -> bool:
        """Tell whether it asks an app something."""
        return self.method == "POST" and self.path in _GENERATION

    @property
    def streams(self) -> bool:
        """Tell whether the answer is a stream of events."""
        return ("content-type", "text/event-stream") in [
            (name, value.partition(";")[0]) for name, value in self.headers
        ]


def load_cassettes(path: str | Path) -> list[RecordedExchange]:
    """Return the exchanges of a cassette, or of all those in a folder by their names.

    Raises:
        FileNotFoundError: There is no such file or folder, or no cassette in it.
        ValueError: A file is no cassette.
        ImportError: PyYAML is not installed.
    """
    path = Path(path)
    kinds = {".yaml", ".yml", ".json"}
    inside = sorted(file for file in path.rglob("*") if file.suffix in kinds)
    files = inside if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"No cassettes in {path}")
    return [exchange for file in files for exchange in _exchanges(file)]


def _exchanges(file: Path) -> list[RecordedExchange]:
    try:
        import yaml  # type: ignore[import-untyped] # its types are a package of their own
    except ImportError as error:
        raise ImportError(
            'Reading cassettes needs PyYAML: pip install "dify-adapters[local]"'
        ) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Every cassette in JSON is YAML, too.
        recorded = yaml.load(file.read_bytes(), Loader=loader)  # noqa: S506 - the safe one
        return [_exchange(interaction) for interaction in recorded["interactions"]]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"{file} is no cassette: {type(error).__name__}: {problem}") from error


def _exchange(interaction: JsonObject) -> RecordedExchange:
    request, response = interaction["request"], interaction["response"]
    address = urlsplit(request["uri"])
    body = response["body"]["string"]
    headers = [
        (name.lower(), value)
        for name, values in (response.get("headers") or {}).items()
        for value in ([values] if isinstance(values, str) else values)
        if name.lower() not in _DROPPED
    ]
    return RecordedExchange(
        request["method"],
        address.path.rpartition("/v1")[2],
        dict(parse_qsl(address.query, keep_blank_values=True)),
        json_object(request.get("body")),
        response["status"]["code"],
        headers,
        body.encode() if isinstance(body, str) else body or b"",
    )


def json_object(text: str | bytes | None) -> JsonObject:
    """Return the JSON object of a body; an empty one if it is none."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
