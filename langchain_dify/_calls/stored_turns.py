"""Turns that the server keeps, as the messages they were: without what was written around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall

from dify_api._calls.input_message import Marks
from dify_api._calls.tool_calling import read_instructions
from dify_api._calls.transcript import read_results, without_transcript
from dify_api.answers._tool_calls import Call, ToolCallReader
from dify_api.endpoints.messages import Message
from dify_api.models import RetrieverResource, as_json
from langchain_dify._answers.text import TextFilter
from langchain_dify._answers.tool_calls import invalid_calls, valid_calls
from langchain_dify._names import MODEL_PROVIDER


class StoredTurns:
    """Reads the turns of a conversation, oldest first.

    A turn tells of earlier ones which tools were on offer and which calls wait for results.

    Args:
        conversation_id: The conversation.
        marks: What its answers are marked with.
    """

    def __init__(self, conversation_id: str, marks: Marks) -> None:
        self._conversation_id = conversation_id
        self._marks = marks
        self._tools: set[str] = set()
        self._waiting: list[ToolCall] = []

    def messages(self, newest_first: Iterable[Message]) -> list[BaseMessage]:
        """The messages of all turns."""
        oldest_first = reversed(list(newest_first))
        return [side for turn in oldest_first for side in (*self._asked(turn), self._answer(turn))]

    def _asked(self, turn: Message) -> Iterator[BaseMessage]:
        """What was sent: results of tools, and what the user said."""
        query, names = read_instructions(without_transcript(turn.query), self._tools)
        self._tools.update(names)
        results, said = read_results(query) if self._waiting else ([], query)
        for number, (name, text) in enumerate(results):
            call_id = self._take_call(name) or f"{turn.id}-result-{number}"
            yield ToolMessage(
                text, tool_call_id=call_id, name=name, id=f"{turn.id}-result-{number}"
            )
        self._waiting = []
        if said or not results:
            yield HumanMessage(
                said, id=f"{turn.id}-query", additional_kwargs=_files(turn, of_user=True)
            )

    def _take_call(self, name: str | None) -> str | None:
        """Id of the call that a result is of."""
        call = next((call for call in self._waiting if name in (None, call["name"])), None)
        if call is None:
            return None
        self._waiting.remove(call)
        return call["id"]

    def _answer(self, turn: Message) -> AIMessage:
        text = turn.answer or "".join(t.answer or "" for t in turn.agent_thoughts)
        calls: list[Call] = []
        if self._tools:
            reader = partial(ToolCallReader, sorted(self._tools))
            text, _, calls = TextFilter(reader=reader).whole(text)
        # Ids that are the same at each reading.
        calls = [replace(call, id=f"{turn.id}-call-{at}") for at, call in enumerate(calls)]
        self._waiting = valid_calls(calls)
        return AIMessage(
            text,
            id=turn.id,
            tool_calls=valid_calls(calls),
            invalid_tool_calls=invalid_calls(calls),
            response_metadata={
                "model_provider": MODEL_PROVIDER,
                "conversation_id": turn.conversation_id or self._conversation_id,
                **self._marks,
                **_facts(turn),
                **_files(turn, of_user=False),
            },
            usage_metadata=_usage(turn),
        )


def _facts(message: Message) -> dict[str, object]:
    """What answers carry in their metadata too, as far as the server keeps it."""
    facts = {
        "created_at": message.created_at.isoformat() if message.created_at else None,
        "retriever_resources": [_citation(found) for found in message.retriever_resources],
        "status": message.status if message.status != "normal" else None,
        "error": message.error,
        "total_price": str(message.total_price) if message.total_price is not None else None,
        "currency": message.currency,
    }
    return {name: value for name, value in facts.items() if value}


def _citation(resource: RetrieverResource) -> dict[str, object]:
    """A citation as answers carry it, without the ids that are new at each reading."""
    facts = as_json(resource)
    return {name: fact for name, fact in facts.items() if name not in ("id", "message_id")}


def _files(message: Message, *, of_user: bool) -> dict[str, object]:
    files = [f for f in message.message_files if (f.belongs_to == "user") == of_user]
    return {"files": [as_json(file) for file in files]} if files else {}


def _usage(message: Message) -> UsageMetadata | None:
    """Token counts, which servers tell since 1.16.0."""
    if message.message_tokens is None or message.answer_tokens is None:
        return None
    return UsageMetadata(
        input_tokens=message.message_tokens,
        output_tokens=message.answer_tokens,
        total_tokens=message.message_tokens + message.answer_tokens,
    )
