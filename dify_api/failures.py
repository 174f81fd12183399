"""Failures of the connection -> errors of this package."""

from __future__ import annotations

import sys

import httpx

from dify_api.errors import ConnectionFailedError, DifyError, RequestTimeoutError
from dify_api.operation import Operation
from dify_api.settings import Settings


def connection_failure(
    error: httpx.HTTPError | httpx.InvalidURL | OSError,
    operation: Operation[object],
    settings: Settings,
) -> DifyError:
    """The error that a failed exchange means, before any reply was read."""
    hide_key(error)
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException) and not _never_sent(error):
        failure: ConnectionFailedError = RequestTimeoutError(
            f"no reply within {settings.timeout.read} s",
            operation=operation.name,
            hint="Raise timeout, or stream: a streaming server sends a ping every 10 s.",
        )
    else:
        failure = ConnectionFailedError(
            f"cannot reach {settings.base_url}: {reason}",
            operation=operation.name,
            hint="Check base_url (DIFY_BASE_URL), the network and that the server is up.",
        )
    failure.sent = not _never_sent(error)
    return failure


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

    It is in the request that an httpx error carries, and in the local variables of the frames
    that it came through.
    """
    request = getattr(error, "_request", None)
    if isinstance(request, httpx.Request):
        request.headers.pop("Authorization", None)
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
