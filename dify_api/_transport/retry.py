"""What may be tried again, and how long to wait. The trying itself is tenacity's.

Reads are repeated on connection errors, time-outs, 429 and 5xx. A generation is repeated only
while nothing can have started: Dify knows no idempotency key, so that a second request is a
second message and a second bill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dify_api.errors import AnswerError, ConnectionFailedError, DifyError, RateLimitError
from dify_api.operation import Operation

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState, Retrying

LONGEST_WAIT = 60.0
"""Seconds; a longer `Retry-After` is cut to it."""


def may_repeat(operation: Operation[Any], error: BaseException) -> bool:
    """Whether `operation` may be made again after `error`.

    Args:
        operation: The call that failed.
        error: How it failed, before any event of an answer was read.
    """
    if not isinstance(error, DifyError) or isinstance(error, AnswerError):
        return False
    if operation.repeatable:
        return error.retryable
    if isinstance(error, ConnectionFailedError):
        return not error.sent
    return isinstance(error, RateLimitError)


def wait_seconds(state: RetryCallState) -> float:
    """What the server asked for, else 0.5, 1, 2, ... seconds with jitter."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, DifyError) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT)
    return wait_random_exponential(multiplier=1, max=LONGEST_WAIT / 2)(state)


def retrying(operation: Operation[Any], max_retries: int) -> Retrying:
    """A tenacity controller for a sync call."""
    import tenacity

    return tenacity.Retrying(**_policy(operation, max_retries))


def async_retrying(operation: Operation[Any], max_retries: int) -> AsyncRetrying:
    """A tenacity controller for an async call."""
    import tenacity

    return tenacity.AsyncRetrying(**_policy(operation, max_retries))


def _policy(operation: Operation[Any], max_retries: int) -> dict[str, Any]:
    import tenacity

    return {
        "stop": tenacity.stop_after_attempt(max_retries + 1),
        "wait": wait_seconds,
        "retry": tenacity.retry_if_exception(lambda error: may_repeat(operation, error)),
        "reraise": True,
    }
