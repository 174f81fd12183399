"""The history of a conversation, read from the server."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from dify_api._calls.transcript import without_transcript
from dify_api.answers._thinking import ThinkSplitter
from dify_api.answers.answer import Answer
from dify_api.endpoints.messages import Message
from llama_index_dify._answers.records import Origin
from llama_index_dify._answers.responses import answer_message, raw


def chat_messages(
    newest_first: Sequence[Message], origin: Origin, *, reasoning: bool = False
) -> list[ChatMessage]:
    """Dify's messages as chat messages, oldest first, citations included.

    Args:
        newest_first: As `client.iterate(messages.list_messages(...))` brings them.
        origin: Where they come from.
        reasoning: Whether `<think>` text is kept out of the answers.
    """
    history: list[ChatMessage] = []
    for message in reversed(newest_first):
        history.append(
            ChatMessage(role=MessageRole.USER, content=without_transcript(message.query))
        )
        if message.answer:  # "" where the run failed or its client left
            answer = Answer(
                text=message.answer,
                conversation_id=message.conversation_id,
                message_id=message.id,
                retriever_resources=message.retriever_resources,
            )
            text, thinking = (
                ThinkSplitter.split(message.answer) if reasoning else (message.answer, "")
            )
            history.append(answer_message(answer, text, origin, raw(answer), thinking=thinking))
    return history
