"""The two clients: `send` an operation for its result, `stream` it for its events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, TypeVar, cast

import httpx

from dify_api._replies import error_from_reply, is_json, is_readable, older_call, result_from_reply
from dify_api._transport.base_client import logged_failure
from dify_api._transport.calls import AsyncCalls, Calls
from dify_api._transport.deadlines import Due, due_in, read_whole, within
from dify_api._transport.failures import connection_errors
from dify_api._transport.interrupted import AsyncLeave, Leave, Wait, leave_unanswered
from dify_api._transport.pieces import AsyncReply, Reply
from dify_api._transport.pools import (
    asend,
    require_asyncio,
    send,
)
from dify_api._transport.retry import aretried, retried
from dify_api._transport.run_calls import AsyncRunCalls, RunCalls
from dify_api.answers.answer import Answer
from dify_api.endpoints.pages import Page, in_order, next_page
from dify_api.errors import DifyError
from dify_api.operation import Operation

T = TypeVar("T")
ItemT = TypeVar("ItemT")

_STOP_TIME = 3.0  # seconds: a courtesy call


class DifyClient(RunCalls):
    """A client of one app (or, with a dataset key, of the knowledge bases).

    It is cheap to make: connections are opened at the first request and shared by all clients
    of the same server. Safe to use from several threads.

    Args:
        api_key: App key ("app-...") or dataset key ("dataset-..."). Default: `DIFY_API_KEY`.
        **options: Address, limits, headers, proxy, TLS, your own HTTP client: the fields of
            `DifyConnection`.

    Raises:
        ValueError: If there is no key, or an option cannot have its value.
        TypeError: For an option that there is not.

    Example:
        >>> from dify_api import DifyClient, chat
        >>> client = DifyClient("app-...")
        >>> client.send(chat.send_message("Hello", user="ann")).text
        'Hi!'
    """

    def send(self, operation: Operation[T]) -> T:
        """Make a call and return its result; a streamed answer is read to its end.

        Raises:
            DifyError: If it does not succeed; see `dify_api.errors`.
        """
        if operation.generates:
            with self.stream(cast("Operation[Answer]", operation)) as stream:
                while stream.next_steps():
                    pass
            return cast("T", stream.answer)
        return retried(operation, self.connection, lambda: self._fetch(operation))

    @property
    def _calls(self) -> Calls:
        return Calls(self._open, self.send, self._stop, self._delete)

    def stream_bytes(self, operation: Operation[bytes]) -> Iterator[bytes]:
        """Make a call that returns a file or speech, to iterate its bytes as they come.

        Raises:
            DifyError: If it does not succeed.
        """
        response = self._open(operation)
        try:
            with connection_errors(operation, self.connection):
                if is_json(response.headers):
                    yield result_from_reply(
                        operation, response.status_code, response.headers, response.read()
                    )
                else:
                    yield from response.iter_bytes()
        finally:
            response.close()

    def iterate(self, operation: Operation[Page[ItemT]]) -> Iterator[ItemT]:
        """Iterate the items of a list across its pages, each page asked for when needed.

        Example:
            >>> for conversation in client.iterate(conversations.list_conversations(user="ann")):
            ...     print(conversation.name)
        """
        following: Operation[Page[ItemT]] | None = operation
        before: list[ItemT] = []
        while following is not None:
            page = self.send(following)
            if page.data == before:
                return  # a server that knows no pages of this list (segments, 0.15.3)
            before = page.data
            yield from in_order(following, page)
            following = next_page(following, page)

    def _fetch(self, operation: Operation[T]) -> T:
        """One attempt at a call, up to the end of its body."""
        due = due_in(self._time_for(operation))
        response = self._attempt(operation, self.connection.limits, due)
        try:
            with connection_errors(operation, self.connection):
                body = read_whole(response, due)
                return result_from_reply(operation, response.status_code, response.headers, body)
        finally:
            response.close()

    def _open(self, operation: Operation[Any]) -> Reply:
        limits, time = self.connection.limits, self._time_for(operation)
        return retried(
            operation,
            self.connection,
            lambda: self._attempt(operation, limits, due_in(time)),
        )

    def _attempt(self, operation: Operation[Any], timeout: httpx.Timeout, due: Due) -> Reply:
        connection = self.connection
        with operation.opened() as opened, connection_errors(operation, connection):
            leave: Leave | None = None
            if operation.stop_path is not None:
                leave = partial(self._leave_unanswered, operation)
            response = send(connection, opened, timeout, due, leave)
            if response.status_code < 300 and is_readable(response.headers):
                return response
            try:
                body = read_whole(response, due)
            finally:
                response.close()
        if older := older_call(operation, response.status_code, response.headers):
            return self._attempt(older, timeout, due)
        raise error_from_reply(
            response.status_code,
            response.headers,
            body,
            operation=operation.name,
            advice=self.connection.advice,
        )

    def _leave_unanswered(
        self, operation: Operation[Answer], timeouts: dict[str, float | None], wait: Wait
    ) -> None:
        leave_unanswered(self.stream(operation), operation, timeouts, wait)

    def _stop(self, operation: Operation[Answer], task_id: str) -> None:
        """Best effort: whatever goes wrong here is not what the caller left the stream for."""
        with contextlib.suppress(DifyError):
            stop = self._stop_request(operation, task_id)
            self._attempt(stop, httpx.Timeout(_STOP_TIME), due_in(_STOP_TIME)).close()

    def _delete(self, operation: Operation[Answer], conversation_id: str) -> None:
        """Best effort: the answer is what counts."""
        with logged_failure("deleting a conversation"):
            self.send(self._delete_request(operation, conversation_id))


class AsyncDifyClient(AsyncRunCalls):
    """`DifyClient` for asyncio: the same operations, awaited.

    Connections are shared by all clients of the same server within one event loop, and closed
    with it.

    Args:
        api_key: App key ("app-...") or dataset key ("dataset-..."). Default: `DIFY_API_KEY`.
        **options: Address, limits, headers, proxy, TLS, your own HTTP client: the fields of
            `DifyConnection`.

    Raises:
        ValueError: If there is no key, or an option cannot have its value.
        TypeError: For an option that there is not.

    Example:
        >>> async with AsyncDifyClient("app-...").stream(chat.send_message("Hi", user="ann")) as s:
        ...     async for event in s:
        ...         print(event.event)
    """

    async def send(self, operation: Operation[T]) -> T:
        """Make a call and return its result; a streamed answer is read to its end.

        Raises:
            DifyError: If it does not succeed; see `dify_api.errors`.
        """
        require_asyncio()
        if operation.generates:
            async with self.stream(cast("Operation[Answer]", operation)) as stream:
                while await stream.next_steps():
                    pass
            return cast("T", stream.answer)
        return await aretried(operation, self.connection, lambda: self._fetch(operation))

    @property
    def _calls(self) -> AsyncCalls:
        return AsyncCalls(self._open, self.send, self._stop, self._delete)

    async def stream_bytes(self, operation: Operation[bytes]) -> AsyncIterator[bytes]:
        """Make a call that returns a file or speech, to iterate its bytes as they come.

        Raises:
            DifyError: If it does not succeed.
        """
        response = await self._open(operation)
        try:
            with connection_errors(operation, self.connection):
                if is_json(response.headers):
                    yield result_from_reply(
                        operation, response.status_code, response.headers, await response.aread()
                    )
                else:
                    async for piece in response.aiter_bytes():
                        yield piece
        finally:
            await response.aclose()

    async def iterate(self, operation: Operation[Page[ItemT]]) -> AsyncIterator[ItemT]:
        """Iterate the items of a list across its pages, each page asked for when needed."""
        following: Operation[Page[ItemT]] | None = operation
        before: list[ItemT] = []
        while following is not None:
            page = await self.send(following)
            if page.data == before:
                return  # a server that knows no pages of this list (segments, 0.15.3)
            before = page.data
            for item in in_order(following, page):
                yield item
            following = next_page(following, page)

    async def _fetch(self, operation: Operation[T]) -> T:
        """One attempt at a call, up to the end of its body."""
        time = self._time_for(operation)
        with connection_errors(operation, self.connection), within(time):
            response = await self._attempt(operation, self.connection.limits, time)
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        return result_from_reply(operation, response.status_code, response.headers, body)

    async def _open(self, operation: Operation[Any], leave: AsyncLeave | None = None) -> AsyncReply:
        limits, time = self.connection.limits, self._time_for(operation)
        return await aretried(
            operation,
            self.connection,
            lambda: self._attempt(operation, limits, time, leave),
        )

    async def _attempt(
        self,
        operation: Operation[Any],
        timeout: httpx.Timeout,
        time: float | None,
        leave: AsyncLeave | None = None,
    ) -> AsyncReply:
        connection = self.connection
        with (
            operation.opened() as opened,
            connection_errors(operation, connection),
            within(time),
        ):
            response = await asend(connection, opened, timeout, leave)
            if response.status_code < 300 and is_readable(response.headers):
                return response
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        if older := older_call(operation, response.status_code, response.headers):
            return await self._attempt(older, timeout, time, leave)
        raise error_from_reply(
            response.status_code,
            response.headers,
            body,
            operation=operation.name,
            advice=self.connection.advice,
        )

    async def _stop(self, operation: Operation[Answer], task_id: str) -> None:
        """Best effort: whatever goes wrong here is not what the caller left the stream for."""
        with contextlib.suppress(DifyError):
            stop = self._stop_request(operation, task_id)
            response = await self._attempt(stop, httpx.Timeout(_STOP_TIME), _STOP_TIME)
            await response.aclose()

    async def _delete(self, operation: Operation[Answer], conversation_id: str) -> None:
        """Best effort: the answer is what counts."""
        with logged_failure("deleting a conversation"):
            await self.send(self._delete_request(operation, conversation_id))
