"""The proxy on the way to a server: the connection's own, else that of the environment."""

from __future__ import annotations

import base64
import contextlib
import os
import urllib.request
from urllib.parse import unquote, urlsplit

from dify_api.connection import DifyConnection, check_proxy

_VARIABLES = (
    *(f"{name}_proxy" for name in ("http", "https", "all", "no")),
    *(f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)

Environment = tuple[str | None, ...]

_environment: Environment | None = None


def environment() -> Environment:
    """What the environment says of the way to servers, as it was looked at last.

    Not at each call, which would cost as much as the rest of its preparation.
    """
    global _environment
    seen = _environment
    if seen is None:
        seen = _environment = tuple(os.environ.get(name) for name in _VARIABLES)
    return seen


def forget_environment() -> None:
    """Have it looked at by the next call: somebody may set what one that failed has missed."""
    global _environment
    _environment = None


def proxy_of(connection: DifyConnection) -> str | None:
    """URL of the proxy to the server of `connection`, which may hold credentials.

    Raises:
        ValueError: If the environment names something that is no proxy.
    """
    if connection.proxy:
        return _with_scheme(connection.proxy)
    proxy = _proxy_of_environment(connection.base_url)
    if proxy is None:
        return None
    try:
        return _with_scheme(check_proxy(proxy))
    except ValueError as error:
        raise ValueError(
            f"HTTP_PROXY, HTTPS_PROXY or ALL_PROXY of the environment: {error}"
        ) from None


def shown_proxy_of(connection: DifyConnection) -> str | None:
    """`proxy_of` without credentials; None where clients of the caller's own know the way."""
    if connection.http_client is not None or connection.http_async_client is not None:
        return None
    with contextlib.suppress(ValueError):
        if proxy := proxy_of(connection):
            return without_credentials(proxy)
    return None


def without_credentials(proxy: str) -> str:
    """The URL of a proxy as it may be shown."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def credentials_header(proxy: str) -> dict[str, str]:
    """The header by which a proxy is told the user and password of its URL, if it has any."""
    parts = urlsplit(proxy)
    if not (parts.username or parts.password):
        return {}
    both = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_of_environment(base_url: str) -> str | None:
    parts = urlsplit(base_url)
    # NO_PROXY names hosts, with or without their port.
    names = (parts.hostname or "", parts.netloc)
    if any(urllib.request.proxy_bypass(name) for name in names):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    return proxy.strip() or None
