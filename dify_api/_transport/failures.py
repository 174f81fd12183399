"""Failures of the connection -> errors of this package."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import sys
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

from dify_api._httpx import http_errors
from dify_api._replies import PROXY_CREDENTIALS_HINT
from dify_api._transport.deadlines import TIME_IS_UP
from dify_api._transport.proxies import forget_environment, shown_proxy_of
from dify_api.connection import DifyConnection
from dify_api.errors import (
    ConnectionFailedError,
    DifyError,
    ProxyAuthenticationError,
    RequestTimeoutError,
    TLSFailedError,
)
from dify_api.operation import Operation


def broken_connection(error: Exception) -> Exception:
    """Return an error of the connection, or of what came over it, without the key.

    Raises:
        Exception: `error` itself, if it is anything else.
    """
    # Those that have no match in httpx, and those that come through it as they are: frames that
    # follow a GOAWAY, while a body is read.
    known = (
        *http_errors("HTTPError", "InvalidURL"),
        OSError,
        *_kinds("aiohttp", "ClientError"),
        *_kinds("h2.exceptions", "H2Error"),
    )
    if not isinstance(error, known):
        raise error
    hide_key(error)
    return error


def _kinds(module: str, *names: str) -> tuple[type[Any], ...]:
    """The classes of these names, of a library that is in use.

    One that another thread is importing may lack them still.
    """
    found = [getattr(sys.modules.get(module), name, None) for name in names]
    return tuple(kind for kind in found if kind is not None)


class ignored_failures(contextlib.AbstractContextManager[None]):  # noqa: N801 - as `suppress`
    """Ignore failures of the connection, and `others`, inside the block."""

    def __init__(self, *others: type[BaseException]) -> None:
        self._others = others

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        # Asked for only now: most blocks end without.
        return error is not None and isinstance(
            error, (*http_errors("HTTPError"), OSError, *self._others)
        )


def connection_errors(
    operation: Operation[object], connection: DifyConnection
) -> contextlib.AbstractContextManager[None]:
    """Turn what the HTTP libraries raise inside the block into errors of this package.

    Raises:
        ConnectionFailedError: Instead of theirs.
    """
    return _ConnectionErrors(operation, connection)


class _ConnectionErrors(contextlib.AbstractContextManager[None]):
    """A class, for `contextlib.contextmanager` brings cut tracebacks back."""

    def __init__(self, operation: Operation[object], connection: DifyConnection) -> None:
        self._operation = operation
        self._connection = connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            cause = broken_connection(error)
            raise connection_failure(cause, self._operation, self._connection) from cause
        if error is not None:  # a cancellation has come through frames that hold the headers
            hide_key(error)
            raise error


def connection_failure(
    error: Exception, operation: Operation[object], connection: DifyConnection
) -> DifyError:
    """The error that a failed exchange means, before any reply was read."""
    reason = _QUERY.sub(r"\1", str(error)) or type(error).__name__
    proxy = shown_proxy_of(connection)
    server = f"{connection.base_url} through the proxy {proxy}" if proxy else connection.base_url
    failure: ConnectionFailedError
    if TIME_IS_UP in reason:
        failure = RequestTimeoutError(
            f"no whole reply within {connection.progress_timeout} s",
            hint="progress_timeout says how long it may take.",
        )
    elif timed_out(error):
        failure = RequestTimeoutError(
            f"no reply within {connection.limits.read} s", hint=_hint_on_silence(operation)
        )
    elif _is_of_tls(error):
        failure = TLSFailedError(
            f"no TLS connection to {server}: {reason}",
            hint="Give the server's certificate authority in verify (a file, a folder or an "
            "ssl.SSLContext), and check that base_url has the right scheme and port.",
        )
    elif _TUNNEL_WANTS_CREDENTIALS in reason:
        failure = ProxyAuthenticationError(
            f"cannot reach {server}: {reason}", hint=PROXY_CREDENTIALS_HINT
        )
    elif _never_sent(error):
        failure = ConnectionFailedError(
            f"cannot reach {server}: {reason}", hint=_HINT_ON_PROXY if proxy else _HINT_ON_SERVER
        )
    else:
        failure = ConnectionFailedError(
            f"the connection to {server} broke before the whole reply: {reason}",
            hint="The server may have taken the request, and go on with it."
            if operation.generates
            else None,
        )
    failure.operation = operation.name
    failure.sent = not _never_sent(error)
    if not failure.sent:
        forget_environment()
    return failure


_TUNNEL_WANTS_CREDENTIALS = "failed: 407"
_HINT_ON_SERVER = "Check base_url (DIFY_BASE_URL), the network and that the server is up."
_HINT_ON_PROXY = (
    "Check the proxy (proxy, or HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of the environment; NO_PROXY "
    "names hosts that need none) and base_url (DIFY_BASE_URL)."
)

_QUERY = re.compile(r"(https?://[^\s'\"?]*)\?[^\s'\"]*")
"""An address with a query, which may name an end user."""


def _hint_on_silence(operation: Operation[object]) -> str:
    if not operation.generates:
        return "Raise timeout."
    if (operation.json or {}).get("response_mode") == "blocking":
        return "Raise timeout, or stream: a streaming server sends a ping every 10 s."
    return "Raise timeout: some servers send nothing before the first token."


def _is_of_tls(error: BaseException) -> bool:
    """Whether a connection failed by its certificate, or because the other side speaks no TLS."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLError | ssl.CertificateError):
            return True
        link = link.__cause__ or link.__context__
    return False


def timed_out(error: Exception) -> bool:
    """Whether the server took the request and did not answer in time."""
    if not isinstance(error, http_errors("TimeoutException")) or _never_sent(error):
        return False
    cause = error.__cause__
    # httpx-aiohttp, of a client of the caller's own, calls a lost connection a time-out too.
    lost = isinstance(cause, _kinds("aiohttp", "ClientConnectionError"))
    return not lost or isinstance(cause, asyncio.TimeoutError)


def _never_sent(error: Exception) -> bool:
    """Whether the connection failed before a byte of the request can have left."""
    cause = error.__cause__
    if isinstance(cause, _kinds("aiohttp", "ClientError")):
        # httpx-aiohttp reports a lost connection as ConnectTimeout: only the cause tells.
        never_sent = ("ClientConnectorError", "ConnectionTimeoutError", "ClientHttpProxyError")
        return isinstance(cause, _kinds("aiohttp", *never_sent))
    never = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "InvalidURL")
    return isinstance(error, http_errors(*never, "UnsupportedProtocol"))


def hide_key(error: BaseException) -> None:
    """Take the key out of an error of the HTTP libraries, for reporters that show all they find.

    It is in the request that an httpx error carries, in the request's headers that an aiohttp
    error does, and in the local variables of the frames that either came through. The end user is
    in the query of addresses that errors show.
    """
    headers = getattr(getattr(error, "_request", None), "headers", None)
    if isinstance(headers, MutableMapping):
        headers.pop("Authorization", None)
    with_headers = _kinds("aiohttp", "ClientResponseError")
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link.args = tuple(
            _QUERY.sub(r"\1", text) if isinstance(text, str) else text for text in link.args
        )
        if isinstance(link, with_headers):
            _take_headers(link)
        link = link.__cause__ or link.__context__


def _take_headers(error: Any) -> None:
    """Errors of aiohttp about a reply show the headers that were sent, also by their repr."""
    sent = error.request_info
    url = sent.url.with_query(None)
    error.request_info = type(sent)(url, sent.method, {}, url)
    error.args = (error.request_info, error.history)
