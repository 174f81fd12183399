"""An operation -> the arguments of an HTTP request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import httpx
from typing_extensions import Required, TypedDict

from dify_api._transport.stops import note_stop
from dify_api._version import __version__
from dify_api.connection import DifyConnection
from dify_api.operation import Operation


class RequestArguments(TypedDict, total=False):
    """Arguments of `httpx.Client.build_request`."""

    method: Required[str]
    url: Required[str]
    headers: httpx.Headers
    timeout: httpx.Timeout
    params: dict[str, str | list[str]]
    content: bytes
    data: Mapping[str, str]
    files: dict[str, tuple[str, bytes | IO[bytes], str]]


def request_arguments(
    connection: DifyConnection, operation: Operation[object], timeout: httpx.Timeout
) -> RequestArguments:
    """The arguments of `httpx.Client.build_request` for an operation whose file is open."""
    operation = operation.as_sent()
    headers = httpx.Headers(
        {
            "Accept-Encoding": "identity",  # gzip would hold streams back
            "User-Agent": f"dify-adapters/{__version__} ({connection.adapter})",
        }
    )
    headers.update(connection.default_headers)
    headers.update(operation.headers)
    arguments: RequestArguments = {
        "method": operation.method,
        "url": connection.base_url + operation.path,
        "headers": headers,
        "timeout": timeout,
    }
    for name, text in {**operation.query, **(operation.form or {})}.items():
        _check_text(name, text)
    if operation.query:
        arguments["params"] = {
            name: _query_value(value)
            for name, value in operation.query.items()
            if value is not None
        }
    if operation.json is not None:
        headers["Content-Type"] = "application/json"
        arguments["content"] = _json(operation.json)
    if operation.form is not None:
        arguments["data"] = operation.form
    if operation.file is not None:
        part = operation.file
        if isinstance(part.content, Path):
            raise TypeError("a path must be opened first: with operation.opened() as ...")
        arguments["files"] = {"file": (part.name, part.content, part.mime_type)}
    return arguments


def build_request(
    client: httpx.Client | httpx.AsyncClient,
    connection: DifyConnection,
    operation: Operation[object],
    timeout: httpx.Timeout,
) -> httpx.Request:
    """The request for an operation whose file is open.

    Made here, so that no variable of a frame that a failure comes through shows its headers.
    """
    if operation.stops is not None:
        note_stop(operation.stops)
    request = client.build_request(**request_arguments(connection, operation, timeout))
    request.headers["Authorization"] = f"Bearer {connection.key.get_secret_value()}"
    return request


def _json(body: Mapping[str, Any]) -> bytes:
    """JSON as httpx writes it; escaped where the text has halves of surrogate pairs."""
    try:
        return _dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _dumps(body, ensure_ascii=True).encode()


def _dumps(body: Mapping[str, Any], *, ensure_ascii: bool) -> str:
    return json.dumps(body, ensure_ascii=ensure_ascii, separators=(",", ":"), allow_nan=False)


def _check_text(name: str, text: object) -> None:
    """Refuse what a URL or a form cannot hold.

    Raises:
        ValueError: If it is half of a surrogate pair; the message names the field.
    """
    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half of a surrogate pair, which is no text") from None


def _query_value(value: str | int | bool | Sequence[str]) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else list(value)
