"""The two clients: `send` an operation for its result, `stream` it for its events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import cached_property, partial
from typing import Any, TypeVar, cast

import httpx

from dify_api._replies import error_from_reply, is_json, is_readable, older_call, result_from_reply
from dify_api._runs.flows import arun, run
from dify_api._runs.recovery import answered
from dify_api._runs.resumption import FormValues, Paused, paused_run, resumption
from dify_api._transport.base_client import BaseClient, logged_failure
from dify_api._transport.deadlines import Due, due_in, limit, read_whole, within
from dify_api._transport.failures import connection_errors
from dify_api._transport.pools import (
    notice_closed_connections,
    require_asyncio,
    shared_async_client,
    shared_client,
)
from dify_api._transport.requests import build_request
from dify_api._transport.retry import async_retrying, retrying
from dify_api._transport.started_runs import AsyncStartedRun, StartedRun, checked_start
from dify_api._transport.streams import AsyncCalls, AsyncEventStream, Calls, EventStream, Keep
from dify_api.answers.answer import Answer
from dify_api.endpoints.pages import Page, in_order, next_page
from dify_api.errors import DifyError, WorkflowPausedError
from dify_api.operation import Operation

T = TypeVar("T")
ItemT = TypeVar("ItemT")

_STOP_TIME = 3.0  # seconds: a courtesy call


class DifyClient(BaseClient):
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
                for _ in stream.steps():
                    pass
            return cast("T", stream.answer)
        return retrying(operation, self.connection)(lambda: self._fetch(operation))

    def stream(self, operation: Operation[Answer]) -> EventStream:
        """Make a call that answers, to iterate its events as they come.

        The request goes out when the stream is entered; leaving it early stops the run.
        """
        plan = partial(answered, operation=operation, recover=self.connection.recover)
        return EventStream(operation, self.connection, self._calls, plan)

    def resume(self, paused: Paused, values: FormValues, *, user: str) -> Answer:
        """Fill the forms of a paused run and go on with its answer.

        Args:
            paused: The `WorkflowPausedError`, its `answer`, or the id of the run, which is enough
                after a restart.
            values: `{form: {...}}`, each form by its `node_id`, its `node_title` where no other
                form has it, or its `form_token`; or the values of the only form. A form's values
                are those of its inputs, and the chosen button under "action": see `Form`.
            user: The end user who began the run, and in whose name the forms are filled.

        Returns:
            The answer, with what preceded the pause.

        Raises:
            ValueError: If a form is unknown or filled wrongly; nothing was submitted then.
            WorkflowPausedError: If the run waits for a human again.
            HumanInputFormExpiredError: If a form was not filled in time.
            DifyError: If it does not succeed.

        Example:
            >>> try:
            ...     answer = client.send(workflows.run({"draft": "..."}, user="ann"))
            ... except WorkflowPausedError as paused:
            ...     answer = client.resume(paused, {"comment": "Fine", "action": "approve"},
            ...                            user="ann")
        """
        with self.resume_stream(paused, values, user=user) as stream:
            for _ in stream.steps():
                pass
        return stream.answer

    def resume_stream(self, paused: Paused, values: FormValues, *, user: str) -> EventStream:
        """`resume`, to iterate the events that follow the pause as they come.

        Leaving it early stops the run; a form that was submitted stays so.

        Raises:
            ValueError: If a form is unknown or filled wrongly; of a run id, on entering it.
        """
        operation, plan, before = resumption(paused, values, user, recover=self.connection.recover)
        return EventStream(operation, self.connection, self._calls, plan, before)

    def start(self, operation: Operation[Answer]) -> StartedRun:
        """Begin a run of a workflow or chatflow app, and leave it as soon as its id is known.

        Servers since 1.13 go on with it; older ones too, and tell its outputs, not its events.

        Raises:
            ValueError: If the call begins no answer, or names no user.
            DifyError: If it is refused, or ends before it tells its run.
        """
        with self.stream(checked_start(operation)) as stream:
            for _ in stream.steps():
                if stream.answer.workflow_run_id:
                    stream.detach()
                    break
        return self._started(stream.answer, operation.user or "")

    def attach(self, workflow_run_id: str, *, user: str) -> StartedRun:
        """Come back to a run that goes on, by nothing but its id; no request is made yet.

        Raises:
            ValueError: If the id is no UUID, or `user` is empty.
        """
        return self._started(Answer(workflow_run_id=workflow_run_id), user)

    def _started(self, begun: Answer, user: str) -> StartedRun:
        return StartedRun(begun, user, self.connection, self._calls)

    def paused_run(self, workflow_run_id: str, *, user: str) -> WorkflowPausedError:
        """Find the pause of a run again, by nothing but its id.

        Returns:
            The pause, as the call would have raised it: its `forms`, and the `answer` so far.

        Raises:
            NotPausedError: If the run does not wait for a human.
            NotFoundError: If it is unknown, or another user's or app's.
        """
        return run(self, paused_run(workflow_run_id, user))

    @cached_property
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

    def _open(self, operation: Operation[Any]) -> httpx.Response:
        return retrying(operation, self.connection)(
            lambda: self._attempt(
                operation, self.connection.limits, due_in(self._time_for(operation))
            )
        )

    def _attempt(
        self, operation: Operation[Any], timeout: httpx.Timeout, due: Due
    ) -> httpx.Response:
        connection = self.connection
        client = connection.http_client or shared_client(connection)
        with operation.opened() as opened, connection_errors(operation, connection):
            request = build_request(client, connection, opened, timeout)
            limit(request, due)
            response = client.send(request, stream=True, follow_redirects=False)
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

    def _stop(self, operation: Operation[Answer], task_id: str) -> None:
        """Best effort: whatever goes wrong here is not what the caller left the stream for."""
        with contextlib.suppress(DifyError):
            stop = self._stop_request(operation, task_id)
            self._attempt(stop, httpx.Timeout(_STOP_TIME), due_in(_STOP_TIME)).close()

    def _delete(self, operation: Operation[Answer], conversation_id: str) -> None:
        """Best effort: the answer is what counts."""
        with logged_failure("deleting a conversation"):
            self.send(self._delete_request(operation, conversation_id))


class AsyncDifyClient(BaseClient):
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
            async with (
                self.stream(cast("Operation[Answer]", operation)) as stream,
                contextlib.aclosing(stream.steps()) as steps,
            ):
                async for _ in steps:
                    pass
            return cast("T", stream.answer)
        attempts = async_retrying(operation, self.connection)
        return await attempts(self._fetch, operation)

    def stream(self, operation: Operation[Answer]) -> AsyncEventStream:
        """Make a call that answers, to iterate its events as they come.

        The request goes out when the stream is entered; leaving it early stops the run.
        """
        plan = partial(answered, operation=operation, recover=self.connection.recover)
        return AsyncEventStream(operation, self.connection, self._calls, plan)

    async def resume(self, paused: Paused, values: FormValues, *, user: str) -> Answer:
        """`DifyClient.resume`, awaited."""
        require_asyncio()
        async with (
            self.resume_stream(paused, values, user=user) as stream,
            contextlib.aclosing(stream.steps()) as steps,
        ):
            async for _ in steps:
                pass
        return stream.answer

    def resume_stream(self, paused: Paused, values: FormValues, *, user: str) -> AsyncEventStream:
        """`DifyClient.resume_stream` for asyncio."""
        operation, plan, before = resumption(paused, values, user, recover=self.connection.recover)
        return AsyncEventStream(operation, self.connection, self._calls, plan, before)

    async def start(self, operation: Operation[Answer]) -> AsyncStartedRun:
        """`DifyClient.start`, awaited."""
        require_asyncio()
        async with (
            self.stream(checked_start(operation)) as stream,
            contextlib.aclosing(stream.steps()) as steps,
        ):
            async for _ in steps:
                if stream.answer.workflow_run_id:
                    stream.detach()
                    break
        return self._started(stream.answer, operation.user or "")

    def attach(self, workflow_run_id: str, *, user: str) -> AsyncStartedRun:
        """`DifyClient.attach` for asyncio."""
        return self._started(Answer(workflow_run_id=workflow_run_id), user)

    def _started(self, begun: Answer, user: str) -> AsyncStartedRun:
        return AsyncStartedRun(begun, user, self.connection, self._calls)

    async def paused_run(self, workflow_run_id: str, *, user: str) -> WorkflowPausedError:
        """`DifyClient.paused_run`, awaited."""
        return await arun(self, paused_run(workflow_run_id, user))

    @cached_property
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
        with connection_errors(operation, self.connection):
            async with within(time):
                response = await self._attempt(operation, self.connection.limits, time)
                try:
                    body = await response.aread()
                finally:
                    await response.aclose()
        return result_from_reply(operation, response.status_code, response.headers, body)

    async def _open(self, operation: Operation[Any], keep: Keep | None = None) -> httpx.Response:
        limits, time = self.connection.limits, self._time_for(operation)

        async def attempt() -> httpx.Response:
            attempted = self._attempt(operation, limits, time)
            return await (keep(attempted) if keep else attempted)

        return await async_retrying(operation, self.connection)(attempt)

    async def _attempt(
        self, operation: Operation[Any], timeout: httpx.Timeout, time: float | None
    ) -> httpx.Response:
        connection = self.connection
        await notice_closed_connections()
        client = connection.http_async_client or shared_async_client(connection)
        with operation.opened() as opened, connection_errors(operation, connection):
            request = build_request(client, connection, opened, timeout)
            async with within(time):
                response = await client.send(request, stream=True, follow_redirects=False)
                if response.status_code < 300 and is_readable(response.headers):
                    return response
                try:
                    body = await response.aread()
                finally:
                    await response.aclose()
        if older := older_call(operation, response.status_code, response.headers):
            return await self._attempt(older, timeout, time)
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
