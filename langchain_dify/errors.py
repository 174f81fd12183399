"""Errors that are both Dify's and LangChain's.

What `ChatDify` and `DifyLLM` raise is the class of `dify_api.errors` that names the failure and,
where langchain-core has one, its class of the same meaning: `except UnauthorizedError` and
`except ModelAuthenticationError` both catch a wrong key, and LangChain's middlewares know what
may be retried.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import TYPE_CHECKING, cast

from langchain_core import exceptions

from dify_api import errors
from dify_api.errors import DifyError

if TYPE_CHECKING:
    from langchain_core.tools import ToolException

_MEANINGS: dict[type, str] = {
    errors.DifyError: "ModelError",
    errors.ConnectionFailedError: "ModelConnectionError",
    errors.RequestTimeoutError: "ModelTimeoutError",
    errors.StreamInterruptedError: "ModelConnectionError",
    errors.StatusError: "ModelInvalidRequestError",
    errors.UnauthorizedError: "ModelAuthenticationError",
    errors.ForbiddenError: "ModelPermissionDeniedError",
    errors.NotFoundError: "ModelNotFoundError",
    errors.RateLimitError: "ModelRateLimitError",
    errors.ServerError: "ModelAPIError",
}
"""An error means what its nearest base here does. Names: older langchain-cores lack the classes."""

_CONTEXT_OVERFLOW = re.compile(
    r"context[_ ]length|context window|maximum context|too many tokens|exceeds? the .*token",
    re.IGNORECASE,
)


class _ModelErrors:
    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, DifyError):
            raise as_model_error(error).with_traceback(error.__traceback__) from error.__cause__


model_errors = _ModelErrors()
"""`with model_errors:` raises a `DifyError` of the block as what it is in LangChain too."""


def as_model_error(error: DifyError) -> DifyError:
    """The same error as an instance of langchain-core's class too, where there is one.

    Example:
        >>> error = as_model_error(UnauthorizedError("Access token is invalid", status=401))
        >>> isinstance(error, ModelAuthenticationError), isinstance(error, UnauthorizedError)
        (True, True)
    """
    meaning = _meaning(error)
    if meaning is None or isinstance(error, meaning):
        return error
    return _restore(type(error), meaning, error.message, vars(error))


def tool_error(error: DifyError) -> ToolException:
    """What a tool raises: a pause stays the `WorkflowPausedError` with its forms besides.

    Example:
        >>> error = tool_error(WorkflowPausedError("The run waits for a human"))
        >>> isinstance(error, ToolException), isinstance(error, WorkflowPausedError)
        (True, True)
    """
    from langchain_core.tools import ToolException  # which a model need not wait for

    if not isinstance(error, errors.WorkflowPausedError):
        return ToolException(str(error))
    paused = _restore(type(error), ToolException, error.message, vars(error))
    paused.args = (str(error),)  # what `handle_tool_error=True` tells the model
    return cast("ToolException", paused)


def _meaning(error: DifyError) -> type[Exception] | None:
    names = [_MEANINGS[kind] for kind in type(error).__mro__ if kind in _MEANINGS]
    if isinstance(error, errors.StatusError) and _CONTEXT_OVERFLOW.search(error.message or ""):
        names.insert(0, "ContextOverflowError")
    known = (getattr(exceptions, name, None) for name in names)
    return next((meaning for meaning in known if meaning is not None), None)


_classes: dict[tuple[type[DifyError], type[Exception]], type[DifyError]] = {}


def _combined(kind: type[DifyError], meaning: type[Exception]) -> type[DifyError]:
    if (kind, meaning) not in _classes:
        _classes.setdefault((kind, meaning), _combine(kind, meaning))
    return _classes[kind, meaning]


def _combine(kind: type[DifyError], meaning: type[Exception]) -> type[DifyError]:
    def reduce(self: DifyError) -> tuple[object, ...]:
        return (_restore, (kind, meaning, self.message, vars(self)))

    members = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__reduce__": reduce,
        "is_retryable": property(lambda self: self.retryable),
    }
    return cast("type[DifyError]", type(kind.__name__, (kind, meaning), members))


def _restore(
    kind: type[DifyError], meaning: type[Exception], message: str, state: dict[str, object]
) -> DifyError:
    combined = _combined(kind, meaning)
    error = combined.__new__(combined, message)
    Exception.__init__(error, message)
    vars(error).update(state)
    return error
