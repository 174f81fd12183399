"""A run of a workflow app: read to its end, followed, left and come back to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from typing import Any

from dify_api._runs.resumption import FormValues
from dify_api.answers.events import NodeExecution
from llama_index_dify._calls.resumed_call import AttachedCall, ReadyCall, ResumedCall, Resumption
from llama_index_dify._tool_app import DifyApp
from llama_index_dify.events import DifyEvent, DifyNodeFinishedEvent
from llama_index_dify.workflow_response import DifyWorkflowResponse, DifyWorkflowResponseEvent


class DifyWorkflowRun:
    """A run that goes on by itself: `DifyWorkflow.start(...)`, or `DifyWorkflow.attach(run_id)`.

    Servers since 1.13 tell its events; older ones its outputs alone.

    Attributes:
        workflow_run_id: The run: with the end user, it is enough to come back in another process.

    Raises (from all methods):
        WorkflowPausedError: If the run waits for a human: `resume` goes on.
        DifyError: If the run does not succeed, or is unknown.

    Example:
        >>> run = report.start({"text": "Saturn"})
        >>> later = report.attach(run.workflow_run_id)  # in another process, perhaps
        >>> later.wait().outputs  # or: (await later).outputs
        {'text': 'Saturn is the sixth planet ...'}
    """

    def __init__(self, app: DifyApp, workflow_run_id: str) -> None:
        self._app = app
        self.workflow_run_id = workflow_run_id

    def __repr__(self) -> str:
        return f"DifyWorkflowRun({self.workflow_run_id!r})"

    def wait(self) -> DifyWorkflowResponse:
        """Wait for the end of the run. For asyncio, await the run itself."""
        return response_to(self._app, self._attached)

    def __await__(self) -> Generator[Any, None, DifyWorkflowResponse]:
        return aresponse_to(self._app, self._attached).__await__()

    def stream(self) -> Generator[DifyEvent, None, None]:
        """Iterate what goes on from now, as `DifyWorkflow.stream` does; leaving leaves the run."""
        return events_of(self._app, self._attached)

    def astream(self) -> AsyncGenerator[DifyEvent, None]:
        """`stream` for asyncio."""
        return aevents_of(self._app, self._attached)

    def stop(self) -> None:
        """Stop the run; one that has ended stays so."""
        self._app.client.attach(self.workflow_run_id, user=self._app.user).stop()

    async def astop(self) -> None:
        """`stop` for asyncio."""
        await self._app.async_client.attach(self.workflow_run_id, user=self._app.user).stop()

    def resume(self, values: FormValues) -> DifyWorkflowResponse:
        """Fill the forms that the run waits for, and wait for its end.

        Args:
            values: `{form: {...}}`, each form by its `node_id`, its `node_title` or its
                `form_token`; or the values of the only form.

        Raises:
            ValueError: If a form is unknown or filled wrongly.
        """
        return response_to(self._app, self._resumed(values))

    async def aresume(self, values: FormValues) -> DifyWorkflowResponse:
        """`resume` for asyncio."""
        return await aresponse_to(self._app, self._resumed(values))

    @property
    def _attached(self) -> AttachedCall:
        return AttachedCall(self.workflow_run_id, self._app.user)

    def _resumed(self, values: FormValues) -> ResumedCall:
        return ResumedCall(Resumption(self.workflow_run_id, values), self._app.user)


def response_to(app: DifyApp, call: ReadyCall) -> DifyWorkflowResponse:
    """Make a call and read what it answers."""
    told: list[DifyEvent] = []
    app.answer(None, call, told.append)
    return DifyWorkflowResponse.of(app.whole_answer, ended_nodes(told))


async def aresponse_to(app: DifyApp, call: ReadyCall) -> DifyWorkflowResponse:
    """`response_to` for asyncio."""
    told: list[DifyEvent] = []
    await app.aanswer(None, call, told.append)
    return DifyWorkflowResponse.of(app.whole_answer, ended_nodes(told))


def events_of(app: DifyApp, call: ReadyCall) -> Generator[DifyEvent, None, None]:
    """Make a call and iterate its events; the last is the response."""
    told: list[DifyEvent] = []
    for event in app.stream_events(call):
        told.append(event)
        yield event
    response = DifyWorkflowResponse.of(app.whole_answer, ended_nodes(told))
    yield DifyWorkflowResponseEvent(response=response)


async def aevents_of(app: DifyApp, call: ReadyCall) -> AsyncGenerator[DifyEvent, None]:
    """`events_of` for asyncio."""
    told: list[DifyEvent] = []
    async with aclosing(app.astream_events(call)) as events:
        async for event in events:
            told.append(event)
            yield event
    response = DifyWorkflowResponse.of(app.whole_answer, ended_nodes(told))
    yield DifyWorkflowResponseEvent(response=response)


def ended_nodes(events: Sequence[DifyEvent]) -> list[NodeExecution]:
    """The nodes that events tell the end of."""
    return [event.node for event in events if isinstance(event, DifyNodeFinishedEvent)]
