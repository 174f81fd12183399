"""Failures of the connection -> errors of this package."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from dify_api.connection import DifyConnection
from dify_api.errors import ConnectionFailedError, DifyError, RequestTimeoutError
from dify_api.operation import Operation


def broken_connection(error: Exception) -> Exception:
    """Return an error of the connection, or of what came over it, without the key.

    Raises:
        Exception: `error` itself, if it is anything else.
    """
    aiohttp = sys.modules.get("aiohttp")
    # httpx-aiohttp lets those of aiohttp's errors through that have no match in httpx.
    foreign = aiohttp is not None and isinstance(error, aiohttp.ClientError)
    if not foreign and not isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError):
        raise error
    hide_key(error)
    return error


@contextlib.contextmanager
def connection_errors(operation: Operation[object], connection: DifyConnection) -> Iterator[None]:
    """Turn what the HTTP libraries raise inside the block into errors of this package.

    Raises:
        ConnectionFailedError: Instead of theirs.
    """
    try:
        yield
    except Exception as error:
        raise connection_failure(broken_connection(error), operation, connection) from error


def connection_failure(
    error: Exception, operation: Operation[object], connection: DifyConnection
) -> DifyError:
    """The error that a failed exchange means, before any reply was read."""
    reason = str(error) or type(error).__name__
    if timed_out(error):
        failure: ConnectionFailedError = RequestTimeoutError(
            f"no reply within {connection.limits.read} s",
            operation=operation.name,
            hint="Raise timeout, or stream: a streaming server sends a ping every 10 s.",
        )
    else:
        failure = ConnectionFailedError(
            f"cannot reach {connection.base_url}: {reason}",
            operation=operation.name,
            hint="Check base_url (DIFY_BASE_URL), the network and that the server is up.",
        )
    failure.sent = not _never_sent(error)
    return failure


def timed_out(error: Exception) -> bool:
    """Whether the server took the request and did not answer in time."""
    if not isinstance(error, httpx.TimeoutException) or _never_sent(error):
        return False
    aiohttp = sys.modules.get("aiohttp")
    cause = error.__cause__
    # httpx-aiohttp calls a lost connection a time-out too.
    lost = aiohttp is not None and isinstance(cause, aiohttp.ClientConnectionError)
    return not lost or isinstance(cause, asyncio.TimeoutError)


def _never_sent(error: Exception) -> bool:
    """Whether the connection failed before a byte of the request can have left."""
    cause = error.__cause__
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is not None and isinstance(cause, aiohttp.ClientError | TimeoutError):
        # httpx-aiohttp reports a lost connection as ConnectTimeout: only the cause tells.
        return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError
    )


def hide_key(error: BaseException) -> None:
    """Take the key out of an error of the HTTP libraries, for reporters that show all they find.

    It is in the request that an httpx error carries, in the request's headers that an aiohttp
    error does, and in the local variables of the frames that either came through.
    """
    request = getattr(error, "_request", None)
    if isinstance(request, httpx.Request):
        request.headers.pop("Authorization", None)
    aiohttp = sys.modules.get("aiohttp")
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        if aiohttp is not None and isinstance(link, aiohttp.ClientResponseError):
            _take_headers(link, aiohttp.RequestInfo)
        link = link.__cause__ or link.__context__


def _take_headers(error: Any, request_info: Callable[..., object]) -> None:
    """Errors of aiohttp about a reply show the headers that were sent, also by their repr."""
    sent = error.request_info
    error.request_info = request_info(sent.url, sent.method, {}, sent.real_url)
    error.args = (error.request_info, error.history)
