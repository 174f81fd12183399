"""What may be tried again, and how long to wait. The trying itself is tenacity's.

Reads are repeated on connection errors, time-outs, 429 and 5xx. A generation is repeated only
while nothing can have started: Dify knows no idempotency key, so that a second request is a
second message and a second bill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dify_api.connection import DifyConnection
from dify_api.errors import AnswerError, ConnectionFailedError, DifyError, RateLimitError
from dify_api.knowledge_errors import KnowledgeRateLimitError
from dify_api.operation import Operation

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState, Retrying

LONGEST_WAIT = 60.0
"""Seconds; a longer `Retry-After` is cut to it, and to the read timeout."""


def may_repeat(operation: Operation[Any], error: BaseException) -> bool:
    """Whether `operation` may be made again after `error`.

    Args:
        operation: The call that failed.
        error: How it failed, before any event of an answer was read.
    """
    if not isinstance(error, DifyError) or isinstance(error, AnswerError):
        return False
    if isinstance(error, KnowledgeRateLimitError):
        return False  # it lasts for a minute, and each attempt counts
    if operation.repeatable:
        return error.retryable
    if isinstance(error, ConnectionFailedError):
        return error.retryable and not error.sent
    return isinstance(error, RateLimitError)


def wait_seconds(state: RetryCallState, longest: float = LONGEST_WAIT) -> float:
    """What the server asked for, else 0.5, 1, 2, ... seconds with jitter.

    Args:
        state: Tenacity's, after an attempt that failed.
        longest: Seconds to which a longer `Retry-After` is cut.
    """
    from tenacity import wait_random_exponential

    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, DifyError) and error.retry_after is not None:
        return min(error.retry_after, longest)
    return wait_random_exponential(multiplier=1, max=longest / 2)(state)


def retrying(operation: Operation[Any], connection: DifyConnection) -> Retrying:
    """A tenacity controller for a sync call."""
    import tenacity

    return tenacity.Retrying(**_policy(operation, connection))


def async_retrying(operation: Operation[Any], connection: DifyConnection) -> AsyncRetrying:
    """A tenacity controller for an async call."""
    import tenacity

    return tenacity.AsyncRetrying(**_policy(operation, connection))


def _policy(operation: Operation[Any], connection: DifyConnection) -> dict[str, Any]:
    import tenacity

    # Who waits for an answer for 5 seconds does not wait for an attempt at one for 60.
    longest = min(LONGEST_WAIT, connection.limits.read or LONGEST_WAIT)
    return {
        "stop": tenacity.stop_after_attempt(connection.max_retries + 1),
        "wait": lambda state: wait_seconds(state, longest),
        "retry": tenacity.retry_if_exception(lambda error: may_repeat(operation, error)),
        "reraise": True,
    }
