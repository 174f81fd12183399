"""The app behind a tool: asked as a model is, so that its events, spans and tokens are counted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.settings import Settings
from llama_index.core.workflow import Context
from pydantic import PrivateAttr
from typing_extensions import Self

from dify_api._calls.app_tool import result_text
from dify_api._calls.chat_call import AppCall
from dify_api._calls.connected import Connected
from dify_api._runs.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.answers.events import Event
from dify_api.connection import DifyConnection
from llama_index_dify._answers.responses import ChatResponses, CompletionResponses
from llama_index_dify._base import DifyModel
from llama_index_dify._calls.resumed_call import ReadyCall, ResumedCall
from llama_index_dify.events import DifyEvent, DifyTextEvent
from llama_index_dify.open_streams import aclose, close, opened
from llama_index_dify.tool_events import DifyToolProgressEvent, DifyToolStreamEvent

Response = ChatResponse | CompletionResponse
Tell = Callable[[DifyEvent], None]


class DifyApp(DifyModel, defer_build=False):
    """An app of any mode that is asked one thing, which was prepared before."""

    _call: ReadyCall = PrivateAttr()
    _on_event: Tell | None = PrivateAttr(default=None)
    _is_eager: bool = PrivateAttr(default=False)
    _answer: Answer | None = PrivateAttr(default=None)

    @classmethod
    def over(
        cls,
        connection: Connected,
        user: str,
        model_name: str,
        callback_manager: CallbackManager | None,
    ) -> Self:
        """The app on behalf of a user.

        Raises:
            ValueError: If there is no key.
        """
        options = {name: getattr(connection, name) for name in DifyConnection.model_fields}
        app = cls(**{**options, "api_key": connection.key}, user=user, model_name=model_name)
        app.callback_manager = callback_manager or Settings.callback_manager
        return app

    @property
    def whole_answer(self) -> Answer:
        """What the app answered.

        Raises:
            RuntimeError: If it has not been asked, or not to the end.
        """
        if self._answer is None:
            raise RuntimeError("the app has not answered yet: read its stream to the end")
        return self._answer

    @classmethod
    def class_name(cls) -> str:
        """Name of the class."""
        return "DifyApp"

    def answer(self, question: str | None, call: ReadyCall, tell: Tell | None = None) -> Response:
        """Ask.

        Args:
            question: What the user says, of apps that chat; None for others.
            call: The call.
            tell: Told what goes on.
        """
        self._call, self._on_event = call, tell
        response: Response
        if question is None:
            response = self.complete(_prompt(call), formatted=True)
        else:
            response = self.chat([ChatMessage(question)])
        return response

    async def aanswer(
        self, question: str | None, call: ReadyCall, tell: Tell | None = None
    ) -> Response:
        """`answer` for asyncio."""
        self._call, self._on_event = call, tell
        response: Response
        if question is None:
            response = await self.acomplete(_prompt(call), formatted=True)
        else:
            response = await self.achat([ChatMessage(question)])
        return response

    async def astream_answer(
        self, question: str | None, call: ReadyCall, progress: Progress
    ) -> Response:
        """`aanswer`, telling `progress` what goes on."""
        self._call, self._on_event = call, progress.tell
        responses: AsyncGenerator[Response, None]
        with opened() as streams:
            if question is None:
                responses = await self.astream_complete(_prompt(call), formatted=True)
            else:
                responses = await self.astream_chat([ChatMessage(question)])
        try:
            last = await anext(responses)
            progress.take(last.delta)
            async for last in responses:
                progress.take(last.delta)
        finally:
            await aclose((*streams, responses))
        return last

    def stream_events(self, call: ReadyCall) -> Generator[DifyEvent, None, None]:
        """Ask an app that does not chat; what goes on, and the text as it comes."""
        heard = self._listen(call)
        with opened() as streams:
            responses = self.stream_complete(_prompt(call), formatted=True)
        try:
            for response in responses:
                yield from _told(heard, response)
        finally:
            close((*streams, responses))

    async def astream_events(self, call: ReadyCall) -> AsyncGenerator[DifyEvent, None]:
        """`stream_events` for asyncio."""
        heard = self._listen(call)
        with opened() as streams:
            responses = await self.astream_complete(_prompt(call), formatted=True)
        try:
            async for response in responses:
                for event in _told(heard, response):
                    yield event
        finally:
            await aclose((*streams, responses))

    def _listen(self, call: ReadyCall) -> deque[DifyEvent]:
        """Collect what goes on; the stream then has a response for each event."""
        heard: deque[DifyEvent] = deque()
        self._call, self._on_event, self._is_eager = call, heard.append, True
        return heard

    def _chat_call(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> Flow[ReadyCall]:
        return _prepared(self._call)

    def _completion_call(self, prompt: str, options: Mapping[str, Any]) -> Flow[ReadyCall]:
        return _prepared(self._call)

    def _chat_responses(self, options: Mapping[str, Any]) -> ChatResponses:
        responses = _ChatResults(self.reasoning, self.base_url, user=self.user)
        responses.on_event, responses.on_answer = self._on_event, self._take_answer
        return responses

    def _completion_responses(self, options: Mapping[str, Any]) -> CompletionResponses:
        responses = _CompletionResults(self.reasoning, user=self.user)
        responses.on_event, responses.on_answer = self._on_event, self._take_answer
        responses.is_eager = self._is_eager
        return responses

    def _take_answer(self, answer: Answer) -> None:
        self._answer = answer


if TYPE_CHECKING:
    from llama_index.core.agent.workflow.agent_context import AgentContext


@dataclass(frozen=True)
class ToldByRun:
    """What a run says about the calls of its tools.

    Attributes:
        user: The end user.
        inputs: Values of variables of its apps.
    """

    user: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)


async def told_by_run(context: Context[Any] | AgentContext | None) -> ToldByRun:
    """Read `dify_user` and `dify_inputs` from a run's store, or from its `state`.

    Raises:
        ValueError: If one cannot have the value given.
    """
    if context is None:
        return ToldByRun()
    state = await context.store.get("state", default=None)
    kept = state if isinstance(state, Mapping) else {}
    user = await context.store.get("dify_user", default=None) or kept.get("dify_user")
    inputs = await context.store.get("dify_inputs", default=None) or kept.get("dify_inputs")
    if user is not None and not (isinstance(user, str) and user.strip()):
        raise ValueError("dify_user must be the name of an end user, a text that is not blank")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ValueError(
            f"dify_inputs must be a dict of the values of variables, not {type(inputs).__name__}"
        )
    return ToldByRun(user, inputs or {})


class Progress:
    """What goes on in a call, written into the run's stream of events.

    Args:
        context: The run of the workflow.
        tool_name: The tool.
    """

    def __init__(self, context: Context[Any], tool_name: str) -> None:
        self._context = context
        self._call = {"tool_name": tool_name, "call_id": uuid4().hex}

    def take(self, delta: str | None) -> None:
        """Tell what is new of the answer's text."""
        if delta:
            self._context.write_event_to_stream(DifyToolStreamEvent(delta=delta, **self._call))

    def tell(self, event: DifyEvent) -> None:
        """Tell what goes on inside the app."""
        self._context.write_event_to_stream(DifyToolProgressEvent(event=event, **self._call))


class _ChatResults(ChatResponses):
    def _whole(self, answer: Answer, text: str, thinking: str, delta: str | None) -> ChatResponse:
        return super()._whole(answer, result_text(answer), thinking, delta)


class _CompletionResults(CompletionResponses):
    is_eager = False
    """Whether each event has a response, so that a stream can tell it at once."""

    def note(self, event: Event) -> CompletionResponse | None:
        response = super().note(event)
        return self._respond(event, "") if response is None and self.is_eager else response

    def _whole(
        self, answer: Answer, text: str, thinking: str, delta: str | None
    ) -> CompletionResponse:
        return super()._whole(answer, result_text(answer), thinking, delta)


def _told(heard: deque[DifyEvent], response: CompletionResponse) -> Iterator[DifyEvent]:
    while heard:
        yield heard.popleft()
    if response.delta:
        yield DifyTextEvent(delta=response.delta)


def _prepared(call: ReadyCall) -> Flow[ReadyCall]:
    yield from ()
    return call


def _prompt(call: ReadyCall) -> str:
    """What an app that does not chat is asked with: inputs, or what its forms are filled with."""
    given: object
    if isinstance(call, AppCall):
        given = (call.operation.json or {}).get("inputs")
    elif isinstance(call, ResumedCall):
        given = dict(call.resumption.values)
    else:
        given = {"workflow_run_id": call.workflow_run_id}
    return json.dumps(given, ensure_ascii=False, default=str)
