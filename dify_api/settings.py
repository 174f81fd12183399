"""What a client knows about its server: address, key, headers, limits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from typing_extensions import Required, TypedDict

from dify_api.operation import Operation

DEFAULT_BASE_URL = "https://api.dify.ai/v1"
DEFAULT_TIMEOUT = httpx.Timeout(60.0, connect=10.0, pool=None)
"""Seconds. Reading: six of the pings that a living server sends every ten seconds."""
DEFAULT_PROGRESS_TIMEOUT = 600.0
"""Seconds that an answer may bring nothing but pings."""


class RequestArguments(TypedDict, total=False):
    """Arguments of `httpx.Client.build_request`."""

    method: Required[str]
    url: Required[str]
    headers: httpx.Headers
    timeout: httpx.Timeout
    params: dict[str, str | list[str]]
    json: Mapping[str, Any]
    data: Mapping[str, str]
    files: dict[str, tuple[str, bytes | IO[bytes], str]]


@dataclass(frozen=True)
class Settings:
    """Address, key and limits of a client. Its repr shows no key.

    Attributes:
        base_url: Without a trailing slash.
        api_key: App key or dataset key.
        timeout: Limits of one network operation, in seconds.
        progress_timeout: Seconds that an answer may bring nothing but pings; None for no limit.
        max_retries: Further attempts of what may be repeated.
        headers: Sent with every request.
        proxy: URL of a proxy; None for that of the environment.
        verify: Whether the server's certificate is checked.
    """

    base_url: str
    api_key: SecretStr
    timeout: httpx.Timeout
    progress_timeout: float | None = DEFAULT_PROGRESS_TIMEOUT
    max_retries: int = 2
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    verify: bool = True

    @classmethod
    def resolve(
        cls,
        api_key: SecretStr | str | None,
        base_url: str | None,
        timeout: httpx.Timeout | float | None,
        progress_timeout: float | None,
        max_retries: int,
        headers: Mapping[str, str] | None,
        proxy: str | None,
        verify: bool,
    ) -> Settings:
        """Fill what is not given from the environment, and refuse what cannot work.

        Raises:
            ValueError: For a missing key or a base URL that is none.
        """
        if isinstance(timeout, int | float):
            timeout = httpx.Timeout(timeout, pool=None)
        return cls(
            base_url=check_base_url(base_url or os.environ.get("DIFY_BASE_URL")),
            api_key=check_api_key(api_key or os.environ.get("DIFY_API_KEY")),
            timeout=timeout or DEFAULT_TIMEOUT,
            progress_timeout=progress_timeout,
            max_retries=max_retries,
            headers=dict(headers or {}),
            proxy=proxy,
            verify=verify,
        )

    @property
    def fingerprint(self) -> str:
        """Names the app without giving its key away."""
        return fingerprint(self.base_url, self.api_key)

    def request(self, operation: Operation[object]) -> RequestArguments:
        """The arguments of `httpx.Client.build_request` for an operation."""
        headers = httpx.Headers({"Accept-Encoding": "identity"})  # gzip would hold streams back
        headers.update(self.headers)
        arguments: RequestArguments = {
            "method": operation.method,
            "url": self.base_url + operation.path,
            "headers": headers,
            "timeout": self.timeout,
        }
        if operation.query:
            arguments["params"] = {
                name: _query_value(value)
                for name, value in operation.query.items()
                if value is not None
            }
        if operation.json is not None:
            arguments["json"] = operation.json
        if operation.form is not None:
            arguments["data"] = operation.form
        if operation.file is not None:
            part = operation.file
            content = part.content
            opened = content.read_bytes() if isinstance(content, Path) else content
            arguments["files"] = {"file": (part.name, opened, part.mime_type)}
        return arguments

    def authorize(self, request: httpx.Request) -> httpx.Request:
        """Give a request the key: last, so that no variable but the request's headers holds it."""
        request.headers["Authorization"] = f"Bearer {self.api_key.get_secret_value()}"
        return request

    def for_stop(self) -> Settings:
        """The same with the short limits of a courtesy call."""
        return replace(self, timeout=httpx.Timeout(3.0), max_retries=0)


def _query_value(value: str | int | bool | Sequence[str]) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else list(value)


def check_base_url(base_url: str | None) -> str:
    """The base URL without its trailing slash; Dify's cloud where none is given.

    Raises:
        ValueError: If it is not an http(s) URL.
    """
    url = (base_url or DEFAULT_BASE_URL).strip().rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # no address, or no port, has this form
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(
            f'base_url must be a URL such as "https://dify.example.com/v1", not {base_url!r}'
        )
    if parts.username or parts.password:
        raise ValueError(
            "base_url must not hold a user name or password: they would be sent in place of the "
            "API key; give what a gateway wants in default_headers"
        )
    return url


def check_api_key(api_key: SecretStr | str | None) -> SecretStr:
    """The key as a secret.

    Raises:
        ValueError: If there is none, or it cannot be sent in a header.
    """
    secret = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key or "")
    text = secret.get_secret_value().strip()
    if not text:
        raise ValueError(
            "no API key: pass api_key=... or set DIFY_API_KEY (in Dify: the app's API Access page)"
        )
    if not text.isascii() or not text.isprintable():
        raise ValueError("the API key holds characters that no key has: copy it again")
    return SecretStr(text)


def fingerprint(base_url: str, api_key: SecretStr) -> str:
    """A short hash of base URL and key: names an app without giving its key away."""
    text = f"{base_url.rstrip('/')}\n{api_key.get_secret_value()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
