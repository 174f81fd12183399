"""How calls show in LlamaIndex's spans and events.

The end user of a call stands there as a hash, and a stream that is left early ends: it is no
error, as it is to LlamaIndex, that a reader has read enough.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar, cast
from uuid import uuid4

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import (
    DISPATCHER_SPAN_DECORATED_ATTR,
    active_instrument_tags,
)
from llama_index_instrumentation.events.span import SpanDropEvent
from llama_index_instrumentation.span import active_span_id
from typing_extensions import Self

from dify_api._calls.end_user import shown_user
from llama_index_dify.open_streams import OpenStream, aclose, are_running, close, opened, remember

dispatcher = get_dispatcher(__name__)

Method = TypeVar("Method", bound=Callable[..., Any])


class HiddenUser(str):
    """An end user, shown as a hash by whatever takes it for a text.

    Attributes:
        name: The user's name.
    """

    name: str

    @classmethod
    def of(cls, name: str) -> HiddenUser:
        """Hide a user's name."""
        hidden = cls(shown_user(name))
        hidden.name = name
        return hidden


def user_of(options: Mapping[str, Any], default: str) -> str:
    """The end user of a call.

    Args:
        options: Its keyword arguments.
        default: Who it is where they name nobody.
    """
    user = options.get("user") or default
    return user.name if isinstance(user, HiddenUser) else cast("str", user)


def waiting_errors() -> tuple[type[Exception], ...]:
    """What ends a step of a workflow that waits for an event: no failure."""
    try:
        from workflows.runtime.types.results import WaitingForEvent
    except ImportError:
        return ()
    return (WaitingForEvent,)


@dataclass(frozen=True)
class _Waits:
    """What the span of a call has as its result where its step waits for an event."""

    error: BaseException = field(repr=False)


class _Span:
    """The span of a call, as `dispatcher.span` makes it, except that it takes the arguments.

    LlamaIndex's own works out the signature of the bound method at each call. This one does not
    fail where a workflow's step waits.

    Args:
        instance: Whose method is called.
        name: The method's.
        arguments: Those of the call.

    Attributes:
        result: What the call returns.
    """

    __slots__ = ("_arguments", "_id", "_instance", "_token", "result")

    def __init__(self, instance: object, name: str, arguments: inspect.BoundArguments) -> None:
        self._id = f"{type(instance).__name__}.{name}-{uuid4()}"
        self._instance, self._arguments = instance, arguments
        self.result: object = None

    def __enter__(self) -> Self:
        token = self._token = active_span_id.set(self._id)
        dispatcher.span_enter(
            id_=self._id,
            bound_args=self._arguments,
            instance=self._instance,
            parent_id=None if token.old_value is Token.MISSING else token.old_value,
            tags=active_instrument_tags.get(),
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        known: Any = {
            "id_": self._id,
            "bound_args": self._arguments,
            "instance": self._instance,
        }
        if error is None:
            dispatcher.span_exit(**known, result=self.result)
        elif isinstance(error, waiting_errors()):
            dispatcher.span_exit(**known, result=_Waits(error))
        else:
            dispatcher.event(SpanDropEvent(span_id=self._id, err_str=str(error)))
            dispatcher.span_drop(**known, err=error)
        active_span_id.reset(self._token)


def span(method: Method) -> Method:
    """Have calls of an async method be spans, which do not fail where a workflow's step waits."""
    signature = _signature_when_bound(method)

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _Span(self, method.__name__, signature.bind(*args, **kwargs)) as span:
            span.result = await method(self, *args, **kwargs)
        return span.result

    return cast("Method", _marked(call))


def traced(method: Method) -> Method:
    """Have calls of a method be spans, without the name of the end user.

    Outermost, where LlamaIndex would put its own span around the method.
    """
    signature, name = _signature_when_bound(method), method.__name__

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = _private(kwargs)
        with opened() as streams, _Span(self, name, signature.bind(*args, **kwargs)) as span:
            result = span.result = method(self, *args, **kwargs)
        return _leavable(result, streams) if isinstance(result, Generator) else result

    @functools.wraps(method)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = _private(kwargs)
        with opened() as streams, _Span(self, name, signature.bind(*args, **kwargs)) as span:
            result = span.result = await method(self, *args, **kwargs)
        return _aleavable(result, streams) if isinstance(result, AsyncGenerator) else result

    return cast("Method", _marked(acall if inspect.iscoroutinefunction(method) else call))


def _signature_when_bound(method: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(method)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _marked(call: Callable[..., Any]) -> Any:
    """The method, so that LlamaIndex makes no span of its own around it."""
    setattr(call, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return call


def _private(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    user = kwargs.get("user")
    if isinstance(user, str) and not isinstance(user, HiddenUser):
        return {**kwargs, "user": HiddenUser.of(user)}
    return {**kwargs}


# Leaving closes the app's own stream first: then LlamaIndex's, around it, ends as at its end.


def _leavable(responses: OpenStream, streams: Sequence[OpenStream]) -> Generator[Any, None, None]:
    for stream in streams:
        remember(stream)
    return _left(cast("Generator[Any, None, None]", responses), streams)


def _left(
    responses: Generator[Any, None, None], streams: Sequence[OpenStream]
) -> Generator[Any, None, None]:
    try:
        for response in responses:  # noqa: UP028 - "yield from" would leave the responses too
            yield response
    except GeneratorExit:
        close(streams)
        for _ in responses:
            pass
        raise


def _aleavable(
    responses: AsyncGenerator[Any, None], streams: Sequence[OpenStream]
) -> AsyncGenerator[Any, None]:
    for stream in streams:
        remember(stream)
    return _aleft(responses, streams)


async def _aleft(
    responses: AsyncGenerator[Any, None], streams: Sequence[OpenStream]
) -> AsyncGenerator[Any, None]:
    try:
        async for response in responses:
            yield response
    except GeneratorExit:
        await aclose(streams)
        if not are_running(streams):
            async for _ in responses:
                pass
        raise
