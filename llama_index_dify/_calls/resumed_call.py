"""Calls whose run is there already: it paused and goes on, or it went on by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dify_api._calls.chat_call import AppCall
from dify_api._calls.input_message import Marks
from dify_api._runs.resumption import FormValues, Paused, answer_so_far
from dify_api._transport.streams import AsyncEventStream, EventStream
from dify_api.client import AsyncDifyClient, DifyClient


@dataclass(frozen=True)
class Resumption:
    """How a paused run goes on.

    Attributes:
        paused: The `WorkflowPausedError`, its `answer`, or the id of the run.
        values: What its forms are filled with.
    """

    paused: Paused
    values: FormValues

    @property
    def run_id(self) -> str | None:
        """The run that goes on."""
        paused = self.paused
        return paused if isinstance(paused, str) else answer_so_far(paused).workflow_run_id

    @property
    def streamed_text(self) -> str:
        """The text that was streamed before the pause, as far as it is known."""
        return "" if isinstance(self.paused, str) else answer_so_far(self.paused).streamed_text


@dataclass(frozen=True)
class ResumedCall:
    """A resumption that is ready.

    Attributes:
        resumption: How the run goes on.
        user: The end user who began it.
        marks: What the answer is marked with.
    """

    resumption: Resumption
    user: str = field(repr=False)
    marks: Marks = field(default_factory=dict)

    @property
    def streamed_text(self) -> str:
        """The text that was streamed before the pause, as far as it is known."""
        return self.resumption.streamed_text


@dataclass(frozen=True)
class AttachedCall:
    """A run that goes on by itself, and is followed.

    Attributes:
        workflow_run_id: The run.
        user: The end user who began it.
        marks: What the answer is marked with.
    """

    workflow_run_id: str
    user: str = field(repr=False)
    marks: Marks = field(default_factory=dict)

    streamed_text: ClassVar[str] = ""


ReadyCall = AppCall | ResumedCall | AttachedCall


def open_stream(client: DifyClient, call: ReadyCall) -> EventStream:
    """The stream of a call that is ready."""
    if isinstance(call, AppCall):
        return client.stream(call.operation)
    if isinstance(call, AttachedCall):
        return client.attach(call.workflow_run_id, user=call.user).stream()
    going_on = call.resumption
    return client.resume_stream(going_on.paused, going_on.values, user=call.user)


def open_async_stream(client: AsyncDifyClient, call: ReadyCall) -> AsyncEventStream:
    """`open_stream` for asyncio."""
    if isinstance(call, AppCall):
        return client.stream(call.operation)
    if isinstance(call, AttachedCall):
        return client.attach(call.workflow_run_id, user=call.user).stream()
    going_on = call.resumption
    return client.resume_stream(going_on.paused, going_on.values, user=call.user)
