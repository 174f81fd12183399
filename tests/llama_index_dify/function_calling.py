"""A model that calls functions by a script: one call, and then what the tool said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection


class ScriptedLLM(FunctionCallingLLM):
    """Calls a tool once with fixed arguments, then repeats the result."""

    tool_name: str
    arguments: dict[str, Any]
    more_calls: list[dict[str, Any]] = []
    """Made at the same time."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, is_function_calling_model=True)

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any
    ) -> dict[str, Any]:
        return {"messages": [*(chat_history or []), *([user_msg] if user_msg else [])]}

    def chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:
        if messages[-1].role == MessageRole.TOOL:
            content = f"The tool says: {messages[-1].content}"
            return _answer(ChatMessage(role=MessageRole.ASSISTANT, content=content))
        calls = [{"name": self.tool_name, "arguments": self.arguments}, *self.more_calls]
        message = ChatMessage(role=MessageRole.ASSISTANT, additional_kwargs={"tool_calls": calls})
        return _answer(message)

    async def achat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:
        return self.chat(messages)

    async def astream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponseAsyncGen:
        async def stream() -> ChatResponseAsyncGen:
            yield self.chat(messages)

        return stream()

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **_: Any
    ) -> list[ToolSelection]:
        return [
            ToolSelection(tool_id=str(at), tool_name=call["name"], tool_kwargs=call["arguments"])
            for at, call in enumerate(response.message.additional_kwargs.get("tool_calls", []), 1)
        ]

    def _not_needed(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    complete = acomplete = stream_chat = stream_complete = astream_complete = _not_needed


def _answer(message: ChatMessage) -> ChatResponse:
    return ChatResponse(message=message, delta=message.content)
