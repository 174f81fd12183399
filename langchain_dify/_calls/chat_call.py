"""What a call of `ChatDify` sends, and what becomes of its answer: worked out before any I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from dify_api._calls.chat_call import ChatOptions, planned_marks, prepare_chat
from dify_api._calls.conversation import Instructions
from dify_api._calls.input_message import Marks
from dify_api._calls.tool_calling import (
    structure_instructions,
    tool_choice_of,
    tool_demand,
    tool_instructions,
)
from dify_api._runs.flows import Flow
from dify_api._transport.streams import AsyncEventStream, EventStream
from dify_api.answers._tool_calls import ToolCallReader
from dify_api.answers.answer import Answer
from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.operation import Operation
from langchain_dify._answers.chunks import AnswerChunks, AnswerSource
from langchain_dify._answers.text import TextFilter
from langchain_dify._answers.tracing import NodeTracer, anode_tracer, node_tracer
from langchain_dify._calls.input_messages import input_messages
from langchain_dify._calls.structured_output import schema_of
from langchain_dify._human_input.streams import (
    AsyncInterruptingStream,
    InterruptingStream,
    aanswering,
    answering,
    text_before,
)
from langchain_dify._names import HumanInput


@dataclass
class ChatCall:
    """One call: what is sent, and what becomes of its answer.

    Attributes:
        messages: Oldest first.
        options: How the app is called.
        instructions: What is asked of the app's model beside the messages.
        text_filter: What is done to the answer's text.
        model: Name of the app as a model.
    """

    messages: Sequence[BaseMessage]
    options: ChatOptions
    instructions: Instructions
    text_filter: TextFilter
    model: str
    _marks: Marks | None = None

    def prepare(self) -> Flow[Operation[Answer]]:
        """The calls that stand before the message, and the message itself."""
        messages = input_messages(self.messages)
        call = yield from prepare_chat(messages, self.options, self.instructions)
        self._marks = call.marks
        return call.operation

    def answering(
        self, client: DifyClient, human_input: HumanInput, app: str
    ) -> EventStream | InterruptingStream:
        """The stream of the answer."""
        return answering(client, self.prepare(), human_input, app, self.options.user)

    def aanswering(
        self, client: AsyncDifyClient, human_input: HumanInput, app: str
    ) -> Awaitable[AsyncEventStream | AsyncInterruptingStream]:
        """`answering` for asyncio."""
        return aanswering(client, self.prepare(), human_input, app, self.options.user)

    def tracer(self, run_manager: CallbackManagerForLLMRun | None) -> NodeTracer:
        """What traces the answer below the model's run."""
        return node_tracer(run_manager, self.model, self.options.user)

    def atracer(self, run_manager: AsyncCallbackManagerForLLMRun | None) -> NodeTracer:
        """`tracer` for asyncio."""
        return anode_tracer(run_manager, self.model, self.options.user)

    def begin(self, source: AnswerSource) -> tuple[AnswerChunks, list[ChatGenerationChunk]]:
        """What makes the chunks of the answer, and those of what was streamed of it before."""
        marks = self._marks
        if marks is None:  # it was asked for when the node was executed before
            messages = input_messages(self.messages)
            marks = planned_marks(messages, self.options, self.instructions)
        chunks = AnswerChunks(source, marks, self.text_filter, self.model)
        return chunks, chunks.seen(text_before(source))


def plan_call(
    messages: Sequence[BaseMessage],
    options: ChatOptions,
    arguments: Mapping[str, Any],
    stop: Sequence[str],
    reasoning: bool,
    model: str,
) -> ChatCall:
    """Plan a call.

    Args:
        messages: Oldest first.
        options: How the app is called.
        arguments: `tools`, `tool_choice` and `response_format` of the call.
        stop: Sequences to cut the answer at.
        reasoning: Whether `<think>` text is reasoning.
        model: Name of the app as a model.

    Raises:
        ValueError: If `tool_choice` names no tool, or the response format is none.
    """
    instructions, reader = _asked(arguments) if arguments else (_NOTHING, None)
    is_filtered = reasoning or stop or reader
    text_filter = TextFilter(reasoning, stop, reader) if is_filtered else _PLAIN
    return ChatCall(messages, options, instructions, text_filter, model)


# Of most calls: neither is changed by what it serves.
_NOTHING = Instructions()
_PLAIN = TextFilter()


def _asked(
    arguments: Mapping[str, Any],
) -> tuple[Instructions, Callable[[], ToolCallReader] | None]:
    """What is asked of the app's model, and what makes a reader of the tool calls that it makes."""
    offer, demands = "", []
    reader: Callable[[], ToolCallReader] | None = None
    tools = arguments.get("tools") or []
    choice = tool_choice_of(arguments.get("tool_choice"), tools)
    if tools and choice != "none":
        offer = tool_instructions(tools)
        demands.append(tool_demand(choice))
        reader = partial(ToolCallReader, [tool["function"]["name"] for tool in tools])
    if schema := schema_of(arguments.get("response_format")):
        demands.append(structure_instructions(schema))
    return Instructions(offer, "\n\n".join(demand for demand in demands if demand)), reader
