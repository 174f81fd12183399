"""A turn of a chat engine whose answer is waited for."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.chat_engine.types import AgentChatResponse

from dify_api.errors import WorkflowPausedError
from llama_index_dify._answers.records import source_nodes
from llama_index_dify._chat_turn import ChatTurn
from llama_index_dify.chat_stream import tool_outputs


def chat(turn: ChatTurn) -> AgentChatResponse:
    """Ask, and leave question and answer in the memory, also where the app waits for a person."""
    answer: ChatMessage | None = None
    try:
        turn.begin()
        response = turn.chat()
        answer = response.message
    except WorkflowPausedError as paused:
        answer = turn.paused_message(paused)
        raise
    finally:
        turn.end(answer)
    return _agent_response(response, turn)


async def achat(turn: ChatTurn) -> AgentChatResponse:
    """`chat` for asyncio."""
    answer: ChatMessage | None = None
    try:
        await turn.abegin()
        response = await turn.achat()
        answer = response.message
    except WorkflowPausedError as paused:
        answer = turn.paused_message(paused)
        raise
    finally:
        await turn.aend(answer)
    return _agent_response(response, turn)


def _agent_response(response: ChatResponse, turn: ChatTurn) -> AgentChatResponse:
    nodes = source_nodes(response)
    return AgentChatResponse(
        response=response.message.content or "",
        sources=tool_outputs(turn.question, nodes),
        source_nodes=nodes,
        metadata=response.raw,
    )
