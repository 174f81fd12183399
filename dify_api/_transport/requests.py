"""An operation -> an HTTP request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast
from urllib.parse import urlsplit

import httpx
from typing_extensions import TypedDict

from dify_api._httpx import AsyncHTTPClient, HTTPClient, shared_library
from dify_api._transport.stops import note_stop
from dify_api._version import __version__
from dify_api.connection import DifyConnection
from dify_api.operation import Operation


def build_request(
    connection: DifyConnection,
    operation: Operation[object],
    timeouts: Mapping[str, float | None],
    own: HTTPClient | AsyncHTTPClient | None,
) -> httpx.Request:
    """The request for an operation whose file is open.

    Made here, so that no variable of a frame that a failure comes through shows its headers.

    Args:
        connection: How the server is reached.
        operation: The call.
        timeouts: Limits of its steps, in the object that they may change in.
        own: The caller's client, which adds what it was made with; None for the shared ones,
            see `plain_request`.
    """
    if operation.stops is not None:
        note_stop(operation.stops)
    if operation.json is None:
        operation = operation.as_sent()
    for name, text in {**operation.query, **(operation.form or {})}.items():
        _check_text(name, text)
    body = _body(operation)
    headers = _headers(connection, operation)
    address = connection.base_url + operation.path
    params = _params(operation) if operation.query else None
    method, extensions = operation.method, {"timeout": timeouts}
    library = shared_library()
    request: httpx.Request
    if own is not None:
        client = cast("httpx.Client | httpx.AsyncClient", own)
        request = client.build_request(
            method, address, headers=headers, params=params, extensions=extensions, **body
        )
    else:
        url = _url(library, address)
        request = library.Request(
            method, url, headers=headers, params=params, extensions=extensions, **body
        )
    request.headers["authorization"] = f"Bearer {connection.key.get_secret_value()}"
    return request


@dataclass(frozen=True, repr=False)
class PlainRequest:
    """A request with nothing of httpx's, as the shared connections send it.

    Attributes:
        method: HTTP method.
        url: Address and query.
        headers: All of them, names in lower case; "host" and those that tell the length may be
            missing.
        content: The body, whole or in pieces; None for none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | Iterable[bytes] | AsyncIterable[bytes] | None

    @property
    def path(self) -> str:
        """The path, without the query."""
        return urlsplit(self.url).path

    @property
    def target(self) -> str:
        """The path with the query, as the first line of a request has it."""
        return _target(self.url)


@lru_cache(maxsize=256)
def _target(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def plain_request(connection: DifyConnection, operation: Operation[object]) -> PlainRequest:
    """`build_request` for the shared connections, which want no objects of httpx's."""
    if operation.json is None:  # queries, forms and files are httpx's to write
        return _plain(build_request(connection, operation, {}, None))
    if operation.stops is not None:
        note_stop(operation.stops)
    address = _address(shared_library(), connection.base_url + operation.path)
    content = _json_body(operation, operation.json)
    # Last: what fails before has no header among the variables of its frames.
    headers = _headers(connection, operation)
    headers["authorization"] = f"Bearer {connection.key.get_secret_value()}"
    return PlainRequest(operation.method, address, headers, content)


def _plain(request: httpx.Request) -> PlainRequest:
    headers = {name.decode().lower(): text.decode() for name, text in request.headers.raw}
    is_whole = isinstance(request.stream, shared_library().ByteStream)
    content = (request.read() or None) if is_whole else request.stream
    return PlainRequest(request.method, str(request.url), headers, content)


@lru_cache(maxsize=256)
def _url(library: ModuleType, address: str) -> httpx.URL:
    """An address, read once: that takes a tenth of the time of a short call."""
    url: httpx.URL = library.URL(address)
    return url


@lru_cache(maxsize=256)
def _address(library: ModuleType, address: str) -> str:
    return str(_url(library, address))


def _headers(connection: DifyConnection, operation: Operation[object]) -> dict[str, str]:
    headers = {
        "accept": "*/*",
        "accept-encoding": "identity",  # gzip would hold streams back
        "user-agent": f"dify-adapters/{__version__} ({connection.adapter})",
    }
    for more in (connection.default_headers, operation.headers):
        if more:
            headers.update((name.lower(), text) for name, text in more.items())
    if operation.json is not None:
        headers["content-type"] = "application/json"
    return headers


class _Body(TypedDict, total=False):
    content: bytes
    data: Mapping[str, str]
    files: dict[str, tuple[str, bytes | IO[bytes], str]]


def _body(operation: Operation[object]) -> _Body:
    body: _Body = {}
    if operation.json is not None:
        body["content"] = _json_body(operation, operation.json)
    if operation.form is not None:
        body["data"] = operation.form
    if operation.file is not None:
        part = operation.file
        if isinstance(part.content, Path):
            raise TypeError("a path must be opened first: with operation.opened() as ...")
        body["files"] = {"file": (part.name, part.content, part.mime_type)}
    return body


def _params(operation: Operation[object]) -> dict[str, str | list[str]]:
    return {
        name: _query_value(value) for name, value in operation.query.items() if value is not None
    }


def _json_body(operation: Operation[object], fields: Mapping[str, Any]) -> bytes:
    """JSON as httpx writes it; escaped where the text has halves of surrogate pairs."""
    # As `as_sent` has it: a copy of the whole operation is half of the cost of a request.
    body = {**fields, **operation.identity}
    try:
        return _PLAIN.encode(body).encode()
    except UnicodeEncodeError:
        return _ESCAPED.encode(body).encode()


_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_ESCAPED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False)


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
