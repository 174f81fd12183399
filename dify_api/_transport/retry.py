"""What may be tried again, and how long to wait. The trying itself is tenacity's.

Reads are repeated on connection errors, time-outs, 429 and 5xx. A generation is repeated only
while nothing can have started: Dify knows no idempotency key, so that a second request is a
second message and a second bill.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dify_api.connection import DifyConnection
from dify_api.errors import AnswerError, ConnectionFailedError, DifyError, RateLimitError
from dify_api.knowledge_errors import KnowledgeRateLimitError
from dify_api.operation import Operation

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

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


def retried(operation: Operation[Any], connection: DifyConnection, attempt: Callable[[], T]) -> T:
    """What an attempt at a sync call returns, the first or a later one.

    Raises:
        DifyError: If the last one fails, or one after which the call may not be made again.
    """
    try:
        return attempt()  # tenacity costs a tenth of a millisecond, and most calls need none
    except DifyError as error:
        if not connection.max_retries or not may_repeat(operation, error):
            raise
        failures = [error]

    import tenacity

    def attempt_again() -> T:
        if failures:
            raise failures.pop()
        return attempt()

    return tenacity.Retrying(**_policy(operation, connection))(attempt_again)


async def aretried(
    operation: Operation[Any], connection: DifyConnection, attempt: Callable[[], Awaitable[T]]
) -> T:
    """`retried` for asyncio."""
    try:
        return await attempt()
    except DifyError as error:
        if not connection.max_retries or not may_repeat(operation, error):
            raise
        failures = [error]

    import tenacity

    async def attempt_again() -> T:
        if failures:
            raise failures.pop()
        return await attempt()

    return await tenacity.AsyncRetrying(**_policy(operation, connection))(attempt_again)


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
