"""The steps of an exchange: how long each may take, and what their failures are called."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

from urllib3.exceptions import HTTPError

from dify_api._transport.deadlines import TIME_IS_UP, Limit

T = TypeVar("T")
Step = Literal["Connect", "Write", "Read"]
Timeouts = Mapping[str, float | None]
"""Seconds for "connect", "write" and "read", or a `Limit`; looked at anew for each of them."""


class ExchangeError(Exception):
    """A failed exchange.

    Attributes:
        kind: The name that httpx has for it, such as "ReadTimeout".
        cause: What the socket said, if it was the socket.
    """

    def __init__(self, kind: str, reason: str, cause: Exception | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.cause = cause


_NAMES = {"Connect": "connect", "Write": "write", "Read": "read"}


def seconds_for(timeouts: Timeouts, step: Step) -> float | None:
    """How long a step may take that begins now; None for no limit.

    Raises:
        ExchangeError: If the time is up.
    """
    timeout = timeouts.get(_NAMES[step])
    if not isinstance(timeout, Limit):
        return timeout
    seconds = timeout.left()
    if seconds <= 0:
        raise ExchangeError(f"{step}Timeout", TIME_IS_UP)
    return seconds


BROKEN = (OSError, http.client.HTTPException, HTTPError)
"""What the libraries below raise."""


def made(step: Step, call: Callable[[], T]) -> T:
    """What a step returns.

    Raises:
        ExchangeError: For what the libraries below raise, whose errors hold the connection, and
            with it what was sent.
    """
    try:
        return call()
    except BROKEN as error:
        failure = failure_of(step, error)
    raise failure


def failure_of(step: Step, error: Exception) -> ExchangeError:
    """The failure that an error of the libraries below means."""
    cause = error.__cause__ if isinstance(error, HTTPError) else error
    reason = str(cause or error)
    if isinstance(cause, TimeoutError):
        return ExchangeError(f"{step}Timeout", reason, cause)
    if isinstance(cause, OSError) and not isinstance(cause, http.client.HTTPException):
        return ExchangeError(f"{step}Error", reason, cause)
    if step == "Connect":
        return ExchangeError("ConnectError", reason)
    return ExchangeError("RemoteProtocolError", reason or type(error).__name__)
