"""One call of an app as a tool: asked, gone on with after a pause, in the conversation it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.workflow import Context

from dify_api._calls.app_tool import AppTool
from dify_api._calls.chat_call import AppCall
from dify_api._runs.flows import Flow, arun, run
from dify_api._transport.turns import Turns
from dify_api.answers.answer import Answer
from dify_api.errors import ConversationNotFoundError, WorkflowPausedError
from llama_index_dify._calls.resumed_call import ReadyCall, ResumedCall, Resumption
from llama_index_dify._context_store import KeptConversation
from llama_index_dify._human_input.waiting import answered
from llama_index_dify._tool_app import DifyApp, Progress, ToldByRun

_TURNS = Turns(interval=0.0, what="the conversation of this tool")
"""A conversation begins with its first answer, for which others of its `Context` wait."""


@dataclass(frozen=True)
class AppToolCall:
    """A call.

    Attributes:
        tool: What the app is and takes.
        app: The app, on behalf of the end user.
        arguments: As an agent's model gives them.
        of_run: What the run says about its calls.
        context: The run; None where there is none.
    """

    tool: AppTool
    app: DifyApp
    arguments: Mapping[str, Any]
    of_run: ToldByRun = field(default_factory=ToldByRun)
    context: Context[Any] | None = None

    def answer(self) -> Answer:
        """Ask the app.

        Raises:
            pydantic.ValidationError: If an argument does not fit.
            DifyError: If the app does not answer.
        """
        self.app.answer(self._question, run(self.app.client, self._prepare(None)))
        return self.app.whole_answer

    async def aanswer(self) -> Answer:
        """`answer` for asyncio, and within a run."""
        if self.context is None:
            return await self._ask(None)
        conversation = KeptConversation(self.context, self.tool.name, self.app.app, self.app.user)

        async def make(resumption: Resumption | None) -> Answer:
            if not self.tool.remembers:
                return await self._ask(resumption)
            return await self._ask_in(conversation, resumption)

        asked = [conversation.name, self.arguments]
        return await answered(self.context, make, app=self.tool.name, asked=asked)

    async def _ask_in(
        self, conversation: KeptConversation, resumption: Resumption | None
    ) -> Answer:
        """Ask in a conversation that is kept; in a new one where that is gone."""
        place = (conversation.name, str(id(self.context.store if self.context else None)))
        turn = await _TURNS.atake(place, self.app.turn_timeout)
        try:
            try:
                answer = await self._ask(resumption, await conversation.id())
            except ConversationNotFoundError:
                answer = await self._ask(resumption)
            except WorkflowPausedError as paused:
                await conversation.follow(paused.answer.conversation_id if paused.answer else None)
                raise
            await conversation.follow(answer.conversation_id)
            return answer
        finally:
            turn.leave()

    async def _ask(
        self, resumption: Resumption | None, conversation_id: str | None = None
    ) -> Answer:
        call: ReadyCall
        if resumption is None:
            call = await arun(self.app.async_client, self._prepare(conversation_id))
        else:
            call = ResumedCall(resumption, self.app.user)
        if self.context is None:
            await self.app.aanswer(self._question, call)
        else:
            progress = Progress(self.context, self.tool.name)
            await self.app.astream_answer(self._question, call, progress)
        return self.app.whole_answer

    def _prepare(self, conversation_id: str | None) -> Flow[AppCall]:
        """Check the arguments, upload the files among them, and make the call.

        Not those for which the run has values.
        """
        tool = self.tool.with_inputs(self.of_run.inputs)
        of_run = tool.inputs.keys() - self.tool.inputs.keys()
        given = {name: value for name, value in self.arguments.items() if name not in of_run}
        operation = yield from tool.prepare(
            given, user=self.app.user, conversation_id=conversation_id
        )
        return AppCall(operation.traced(self.app.trace_id, self.app.trace_session_id))

    @property
    def _question(self) -> str | None:
        """What the user says, of apps that chat."""
        asks = self.tool.query_argument if self.tool.mode != "completion" else None
        return str(self.arguments.get(asks)) if asks else None
