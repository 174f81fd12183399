"""The calls of both clients that answer: streams, and runs that pause or go on without us."""

from __future__ import annotations

import abc
import contextlib
from functools import partial

from dify_api._runs.flows import arun, run
from dify_api._runs.recovery import answered
from dify_api._runs.resumption import FormValues, Paused, paused_run, resumption
from dify_api._transport.base_client import BaseClient
from dify_api._transport.calls import AsyncCalls, Calls
from dify_api._transport.pools import require_asyncio
from dify_api._transport.started_runs import AsyncStartedRun, StartedRun, checked_start
from dify_api._transport.streams import AsyncEventStream, EventStream
from dify_api.answers.answer import Answer
from dify_api.errors import WorkflowPausedError
from dify_api.operation import Operation


class RunCalls(BaseClient, abc.ABC):
    """Those of `DifyClient`."""

    @property
    @abc.abstractmethod
    def _calls(self) -> Calls: ...

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
            while stream.next_steps():
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
        return run(self._calls, paused_run(workflow_run_id, user))


class AsyncRunCalls(BaseClient, abc.ABC):
    """Those of `AsyncDifyClient`."""

    @property
    @abc.abstractmethod
    def _calls(self) -> AsyncCalls: ...

    def stream(self, operation: Operation[Answer]) -> AsyncEventStream:
        """Make a call that answers, to iterate its events as they come.

        The request goes out when the stream is entered; leaving it early stops the run.
        """
        plan = partial(answered, operation=operation, recover=self.connection.recover)
        return AsyncEventStream(operation, self.connection, self._calls, plan)

    async def resume(self, paused: Paused, values: FormValues, *, user: str) -> Answer:
        """`DifyClient.resume`, awaited."""
        require_asyncio()
        async with self.resume_stream(paused, values, user=user) as stream:
            while await stream.next_steps():
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
        return await arun(self._calls, paused_run(workflow_run_id, user))
