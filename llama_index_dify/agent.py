"""`DifyAgent`: a Dify app as an agent of LlamaIndex's `AgentWorkflow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.agent.workflow import (
    AgentInput,
    AgentOutput,
    AgentStream,
    BaseWorkflowAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool, BaseTool
from llama_index.core.workflow import Context

from dify_api.answers._tool_calls import Call
from dify_api.answers.answer import Answer
from llama_index_dify._agent_turn import AgentTurn
from llama_index_dify._base import check_model
from llama_index_dify._calls.resumed_call import Resumption
from llama_index_dify._context_store import KeptConversation
from llama_index_dify._human_input.waiting import answered
from llama_index_dify._tool_app import told_by_run
from llama_index_dify.model import Dify
from llama_index_dify.open_streams import aclose, opened

if TYPE_CHECKING:  # newer releases have it
    from llama_index.core.agent.workflow.agent_context import AgentContext

_MORE_ATTEMPTS = 2
"""How often the app is asked again in a step, where what it calls cannot be called."""


class DifyAgent(BaseWorkflowAgent):
    """A chat, agent or chatflow app as an agent, alone or among others of an `AgentWorkflow`.

    What the app knows and which tools it has is set in Dify. Tools given here, and hand-offs to
    other agents, are offered to the app's model by prompt: that works as well as the model follows
    instructions. The answer streams as `AgentStream` events; `source_nodes(output)` are its
    citations.

    Each run's `Context` has a conversation of its own with the app, for each agent and end user; it
    survives `Context.to_dict` into another process. The store of the `Context` says for whom:
    `dify_user` is the end user, `dify_inputs` are values of the app's variables. Where a chatflow
    waits for a person, a `DifyInputRequiredEvent` asks in the run's events.

    Args:
        llm: The app.
        name: Name of the agent, by which others hand over to it.
        description: What it is for: others decide by it.
        system_prompt: What the app is told besides what is set in Dify.
        tools: What it may call.
        can_handoff_to: Names of the agents that it may hand over to. Default: all.
        streaming: Whether `AgentStream` events are written.
        **kwargs: As in LlamaIndex's agents.

    Raises:
        TypeError: If `llm` is no `Dify`.

    Example:
        >>> moons = DifyAgent(Dify(api_key="app-..."), name="moons", description="Knows moons.")
        >>> workflow = AgentWorkflow(agents=[front_desk, moons], root_agent="front_desk")
        >>> output = await workflow.run("Which planet has most moons?")
        >>> str(output), len(source_nodes(output))
        ('Saturn, with 274.', 3)
    """

    llm: Dify
    """The app."""

    def __init__(
        self,
        llm: Dify,
        *,
        name: str = "Agent",
        description: str = "An agent that can perform a task",
        system_prompt: str | None = None,
        tools: Sequence[BaseTool | Callable[..., Any]] | None = None,
        can_handoff_to: list[str] | None = None,
        streaming: bool = True,
        **kwargs: Any,
    ) -> None:
        check_model(llm, "DifyAgent", Dify)
        super().__init__(
            llm=llm,
            name=name,
            description=description,
            system_prompt=system_prompt,
            tools=list(tools) if tools is not None else None,
            can_handoff_to=can_handoff_to,
            streaming=streaming,
            **kwargs,
        )

    async def take_step(
        self,
        ctx: AgentContext,
        llm_input: list[ChatMessage],
        tools: Sequence[AsyncBaseTool],
        memory: BaseMemory,
    ) -> AgentOutput:
        """Ask the app; what it puts out is its answer, or calls of tools."""
        scratchpad: list[ChatMessage] = await ctx.store.get(self._scratchpad_key, default=[])
        ctx.write_event_to_stream(
            AgentInput(input=[*llm_input, *scratchpad], current_agent_name=self.name)
        )
        offered = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        output, refused = await self._ask(ctx, [*llm_input, *scratchpad], offered)
        for _ in range(_MORE_ATTEMPTS):
            if output.tool_calls or not refused:
                break
            told = ChatMessage("\n".join(call.error or "" for call in refused))
            scratchpad = [*scratchpad, output.response, told]
            output, refused = await self._ask(ctx, [*llm_input, *scratchpad], offered)
        scratchpad = [*scratchpad, output.response]
        await ctx.store.set(self._scratchpad_key, scratchpad)
        return output

    async def handle_tool_call_results(
        self, ctx: Context[Any], results: list[ToolCallResult], memory: BaseMemory
    ) -> None:
        """Keep what tools returned for the app's next step."""
        scratchpad: list[ChatMessage] = await ctx.store.get(self._scratchpad_key, default=[])
        for result in results:
            about = {"tool_call_id": result.tool_id, "name": result.tool_name}
            scratchpad.append(
                ChatMessage(
                    role=MessageRole.TOOL,
                    blocks=result.tool_output.blocks,
                    additional_kwargs=about,
                )
            )
            if result.return_direct and result.tool_name != "handoff":
                answer = str(result.tool_output.content)
                scratchpad.append(ChatMessage(role=MessageRole.ASSISTANT, content=answer))
                break
        await ctx.store.set(self._scratchpad_key, scratchpad)

    async def finalize(
        self, ctx: Context[Any], output: AgentOutput, memory: BaseMemory
    ) -> AgentOutput:
        """Hand what was said over to the memory of the run."""
        await memory.aput_messages(await ctx.store.get(self._scratchpad_key, default=[]))
        await ctx.store.set(self._scratchpad_key, [])
        return output

    # Details ------------------------------------------------------------------------------------

    @property
    def _scratchpad_key(self) -> str:
        return f"dify_scratchpad {self.name}".replace(".", "_")

    async def _ask(
        self, ctx: AgentContext, messages: list[ChatMessage], tools: list[dict[str, Any]]
    ) -> tuple[AgentOutput, list[Call]]:
        """Ask the app once; what it puts out, and the calls that cannot be made."""
        app = self.llm
        of_run = await told_by_run(ctx)
        user = of_run.user or app.user
        conversation = KeptConversation(ctx, self.name, app.app, user)
        options: dict[str, Any] = {
            "user": user,
            "inputs": of_run.inputs,
            "conversation_id": await conversation.id(),
        }

        async def make(resumption: Resumption | None) -> Answer:
            return await self._answer(ctx, app, tools, messages, options, resumption)

        if isinstance(ctx, Context):
            asked = [conversation.name, [message.content for message in messages]]
            answer = await answered(ctx, make, app=self.name, asked=asked)
        else:
            answer = await make(None)
        await conversation.follow(answer.conversation_id)
        response, calls = app.in_turn(AgentTurn(self.name, tools)).respond(
            messages, answer, options
        )
        valid = [call for call in calls if call.error is None]
        response.message.blocks += [
            ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments)
            for call in valid
        ]
        output = AgentOutput(
            response=response.message,
            tool_calls=[
                ToolSelection(tool_id=call.id, tool_name=call.name, tool_kwargs=call.arguments)
                for call in valid
            ],
            raw=response.raw,
            current_agent_name=self.name,
        )
        return output, [call for call in calls if call.error is not None]

    async def _answer(
        self,
        ctx: AgentContext,
        app: Dify,
        tools: list[dict[str, Any]],
        messages: list[ChatMessage],
        options: dict[str, Any],
        resumption: Resumption | None,
    ) -> Answer:
        """The app's answer; it streams into the run's events."""
        answers: list[Answer] = []
        llm = app.in_turn(AgentTurn(self.name, tools, answers.append))
        if resumption is not None:
            options = {**options, "paused": resumption.paused, "values": resumption.values}
        if not self.streaming:
            await llm.achat(messages, **options)
            return answers[-1]
        with opened() as streams:
            responses = await llm.astream_chat(messages, **options)
        try:
            async for response in responses:
                if ctx.is_running:
                    ctx.write_event_to_stream(
                        AgentStream(
                            delta=response.delta or "",
                            response=response.message.content or "",
                            raw=response.raw,
                            current_agent_name=self.name,
                            thinking_delta=response.additional_kwargs.get("thinking_delta"),
                        )
                    )
        finally:
            await aclose((*streams, responses))
        return answers[-1]
