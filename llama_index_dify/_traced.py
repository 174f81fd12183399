"""How calls show in LlamaIndex's spans and events.

The end user of a call stands there as a hash, and a stream that is left early ends: it is no
error, as it is to LlamaIndex, that a reader has read enough.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from llama_index_instrumentation import get_dispatcher

from dify_api._calls.end_user import shown_user
from dify_api._calls.signatures import kept_signature
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

    error: Exception = field(repr=False)


def span(method: Method) -> Method:
    """Have calls of an async method be spans, which do not fail where a workflow's step waits."""

    @functools.wraps(method)
    async def quiet(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await method(self, *args, **kwargs)
        except waiting_errors() as error:
            return _Waits(error)

    spanned: Any = dispatcher.span(quiet)

    @functools.wraps(quiet)  # which is marked, so that LlamaIndex makes no span of its own
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await spanned.__get__(self, type(self))(*args, **kwargs)
        if isinstance(result, _Waits):
            raise result.error
        return result

    return cast("Method", call)


def traced(method: Method) -> Method:
    """Have calls of a method be spans, without the name of the end user.

    Outermost, where LlamaIndex would put its own span around the method.
    """
    is_async = inspect.iscoroutinefunction(method)
    kept_signature(method)
    spanned: Any = span(method) if is_async else dispatcher.span(method)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with opened() as streams:
            result = spanned.__get__(self, type(self))(*args, **_private(kwargs))
        return _leavable(result, streams) if isinstance(result, Generator) else result

    @functools.wraps(spanned)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        with opened() as streams:
            result = await spanned.__get__(self, type(self))(*args, **_private(kwargs))
        return _aleavable(result, streams) if isinstance(result, AsyncGenerator) else result

    return cast("Method", acall if is_async else call)


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
