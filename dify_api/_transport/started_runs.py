"""Runs that were started and left, to come back to later: from this process or another."""

from __future__ import annotations

import contextlib
from functools import partial

from dify_api._runs.recovery import answered, attached
from dify_api._transport.calls import AsyncCalls, Calls
from dify_api._transport.stops import note_stop
from dify_api._transport.streams import AsyncEventStream, EventStream
from dify_api.answers.answer import Answer
from dify_api.connection import DifyConnection
from dify_api.endpoints import chat, workflows
from dify_api.operation import Operation, require

_OF_RUNS = (workflows.STOP_PATH, chat.STOP_PATH)


def checked_start(operation: Operation[Answer]) -> Operation[Answer]:
    """The call, if it is one that can be left and come back to.

    Raises:
        ValueError: If it is not.
    """
    if operation.method != "POST" or operation.stop_path not in _OF_RUNS or not operation.user:
        raise ValueError("start begins a run: workflows.run(...), or chat.send_message(...)")
    return operation


class _StartedRun:
    """What is known of a run, and the pure steps around its calls."""

    def __init__(self, begun: Answer, user: str, connection: DifyConnection) -> None:
        self.workflow_run_id: str = begun.workflow_run_id or ""
        """The run: with the user, it is enough to come back from another process."""
        self.task_id = begun.task_id
        """Its task, which older servers need to stop it; None where it is not known."""
        self.conversation_id = begun.conversation_id
        """The conversation that a chatflow's run is a turn of."""
        self.message_id = begun.message_id
        """The message that a chatflow's run answers with."""
        self._begun = begun
        self._user = require(user, "user", "name the end user who began the run")
        self._connection = connection
        self._events = workflows.events(self.workflow_run_id, user=user)
        self._plan = partial(
            attached,
            run_id=self.workflow_run_id,
            user=user,
            recover=connection.recover,
        )
        # The first events of a snapshot tell the task.
        self._look = workflows.events(self.workflow_run_id, user=user, include_state_snapshot=True)
        self._looking = partial(answered, operation=self._look, recover=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_run_id!r})"

    def _stop_request(self, told: Answer) -> Operation[None] | None:
        """The call that stops the run; None where it has ended, or its task is not told."""
        if told.task_id in (None, self.workflow_run_id) or told.finish_reason is not None:
            return None
        note_stop(self.workflow_run_id)  # the end of the run names no task
        stop = chat.stop if told.message_id else workflows.stop
        return stop(told.task_id or "", user=self._user)


class StartedRun(_StartedRun):
    """A run that goes on by itself: `client.start(operation)`, `client.attach(run_id, user=...)`.

    Example:
        >>> run = client.start(workflows.run({"topic": "Saturn"}, user="ann"))
        >>> run.workflow_run_id, run.wait().outputs
        ('5f2d3f0e-...', {'moons': 146})
    """

    def __init__(self, begun: Answer, user: str, connection: DifyConnection, calls: Calls) -> None:
        super().__init__(begun, user, connection)
        self._calls = calls

    def wait(self) -> Answer:
        """Wait for the end of the run, and return its answer.

        Raises:
            WorkflowPausedError: If the run waits for a human.
            DifyError: If it does not succeed, or is unknown.
        """
        with self.stream() as stream:
            while stream.next_steps():
                pass
        return stream.answer

    def stream(self) -> EventStream:
        """Follow the run, to iterate its events from now on; leaving leaves it as it is."""
        return EventStream(self._events, self._connection, self._calls, self._plan, self._begun)

    def stop(self) -> None:
        """Stop the run; one that has ended stays so.

        Raises:
            DifyError: If the server cannot be reached, or the run is unknown.
        """
        request = self._stop_request(self._begun)
        if request is None:
            request = self._stop_request(self._told())
        if request is not None:
            self._calls.send(request)

    def _told(self) -> Answer:
        with EventStream(self._look, self._connection, self._calls, self._looking) as stream:
            for _ in stream:
                if stream.task_id is not None:
                    break
        return stream.answer


class AsyncStartedRun(_StartedRun):
    """`StartedRun` for asyncio."""

    def __init__(
        self, begun: Answer, user: str, connection: DifyConnection, calls: AsyncCalls
    ) -> None:
        super().__init__(begun, user, connection)
        self._calls = calls

    async def wait(self) -> Answer:
        """Wait for the end of the run, and return its answer."""
        async with self.stream() as stream:
            while await stream.next_steps():
                pass
        return stream.answer

    def stream(self) -> AsyncEventStream:
        """Follow the run, to iterate its events from now on; leaving leaves it as it is."""
        return AsyncEventStream(
            self._events, self._connection, self._calls, self._plan, self._begun
        )

    async def stop(self) -> None:
        """Stop the run; one that has ended stays so."""
        request = self._stop_request(self._begun)
        if request is None:
            request = self._stop_request(await self._told())
        if request is not None:
            await self._calls.send(request)

    async def _told(self) -> Answer:
        stream = AsyncEventStream(self._look, self._connection, self._calls, self._looking)
        async with stream, contextlib.aclosing(stream.steps()) as steps:
            async for _ in steps:
                if stream.task_id is not None:
                    break
        return stream.answer
