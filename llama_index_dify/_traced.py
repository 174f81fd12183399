"""How calls show in LlamaIndex's spans and events.

The end user of a call stands there as a hash, and a stream that is left early ends: it is no
error, as it is to LlamaIndex, that a reader has read enough.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, TypeVar, cast
from uuid import UUID

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

# For names of spans: `uuid4` asks the system each time, which takes a hundredth of a short call.
_random = Random()  # noqa: S311 - nothing secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

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
    """The span of a call, as `dispatcher.span` makes it, which works out a signature each time.

    It does not fail where a workflow's step waits.

    Args:
        instance: Whose method is called.
        name: The method's.
        arguments: Those of the call.

    Attributes:
        result: What the call returns.
    """

    __slots__ = ("_arguments", "_id", "_instance", "_token", "result")

    def __init__(self, instance: object, name: str, arguments: inspect.BoundArguments) -> None:
        self._id = (
            f"{type(instance).__name__}.{name}-{UUID(int=_random.getrandbits(128), version=4)}"
        )
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


def span(method: Method, shown: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Method:
    """Have calls of a method be spans, which do not fail where a workflow's step waits.

    Args:
        method: The method.
        shown: Makes of keyword arguments those that the method is called with, and that show.
    """
    bind, name = _binder(method), method.__name__

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = shown(kwargs)
        with _Span(self, name, bind(args, kwargs)) as span:
            span.result = method(self, *args, **kwargs)
        return span.result

    @functools.wraps(method)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = shown(kwargs)
        with _Span(self, name, bind(args, kwargs)) as span:
            span.result = await method(self, *args, **kwargs)
        return span.result

    return _marked(method, acall if inspect.iscoroutinefunction(method) else call)


def traced(method: Method) -> Method:
    """Have calls of a method be spans, without the name of the end user.

    Outermost, where LlamaIndex would put its own span around the method.
    """
    return span(method, _private)


def traced_stream(method: Method) -> Method:
    """`traced` for methods that stream."""
    spanned: Any = traced(method)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with opened() as streams:
            responses = spanned(self, *args, **kwargs)
        return _leavable(responses, streams)

    @functools.wraps(method)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        with opened() as streams:
            responses = await spanned(self, *args, **kwargs)
        return _aleavable(responses, streams)

    return _marked(method, acall if inspect.iscoroutinefunction(method) else call)


def _marked(method: Method, call: Callable[..., Any]) -> Method:
    """A call in the method's place, so that LlamaIndex makes no span of its own around it."""
    setattr(call, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return cast("Method", call)


_Binder = Callable[[tuple[Any, ...], dict[str, Any]], inspect.BoundArguments]


def _binder(method: Callable[..., Any]) -> _Binder:
    """What binds the arguments of a method's calls, but for `self`, to its signature."""
    whole = inspect.signature(method)
    parameters = list(whole.parameters.values())[1:]
    signature = whole.replace(parameters=parameters)
    plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = [p.name for p in plain]
    required = sum(p.default is p.empty for p in plain)
    is_plain = all(p in plain or p.kind is p.VAR_KEYWORD for p in parameters)

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        if is_plain and not kwargs and required <= len(args) <= len(names):
            # Written out, for `Signature.bind` takes a hundredth of a short call.
            return inspect.BoundArguments(signature, dict(zip(names, args, strict=False)))
        return signature.bind(*args, **kwargs)

    return bind


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
