"""`Dify`: a chat, agent or chatflow app as a chat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from dify_api._calls.chat_call import ChatOptions, prepare_chat
from dify_api._calls.conversation import Memory, OnFork
from dify_api._calls.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.operation import Operation
from llama_index_dify._answers.responses import ChatResponses
from llama_index_dify._base import CALL_ARGUMENTS, DifyModel, check_call_arguments
from llama_index_dify._calls.input_messages import input_messages

_CALL_ARGUMENTS = CALL_ARGUMENTS | {"conversation_id"}


class Dify(DifyModel):
    """A chat, agent or chatflow app as a LlamaIndex LLM.

    The model holds no conversation. Which one a call belongs to is read from its messages: an
    answer of this app to this user names the conversation, and only what follows it is sent.
    So any memory or store of messages is a store of conversations. `memory="client"` switches
    that off, for ReAct agents and for whatever rewinds or edits its history: each call is then
    a conversation of its own with the whole transcript in its query.

    Calls take `conversation_id`, `user`, `inputs` and `files` (entries of Dify's `files`) as
    keyword arguments.

    Args:
        api_key: Key of the app. Default: `DIFY_API_KEY`.
        base_url: Address of the API. Default: `DIFY_BASE_URL`, else Dify's cloud.
        user: The end user. Default: `DIFY_USER`, else "llama-index".
        inputs: Values of the app's variables.
        memory: Who keeps the history: "server" (default) or "client".
        on_fork: What to do where the conversation went on without the history given: "ignore"
            (default), begin a "new" one, or raise an "error".
        system_input: Variable that takes the system text. Default: it goes into the query.
        reasoning: Whether reasoning is kept out of the text.
        content_blocks: Whether an answer's citations, tool calls and files become blocks.
        response_mode: "streaming" (default) or "blocking", for `chat` and `complete`.
        auto_generate_name: Whether the server names new conversations. Default: False.
        timeout, max_retries, default_headers, proxy, verify, http_client, ...: See the fields of
            `dify_api.connection.DifyConnection`.

    Example:
        >>> llm = Dify(api_key="app-...")
        >>> history = [ChatMessage("Which planet has most moons?")]
        >>> response = llm.chat(history)
        >>> response.message.content, response.raw["usage"]["total_tokens"]
        ('Saturn, with 146.', 178)
        >>> history += [response.message, ChatMessage("And which of those is the largest?")]
        >>> llm.chat(history).message.content  # the same conversation
        'Titan.'
    """

    memory: Memory = "server"
    """Who keeps the history: Dify ("server"), or the caller, who resends it ("client")."""
    on_fork: OnFork = "ignore"
    """What to do where the conversation on the server went on without the history given."""
    system_input: str | None = None
    """Variable of the app that takes the system text, on every turn."""
    content_blocks: bool = False
    """Whether citations, tool calls and files of an answer become blocks of its message. Off:
    the integrations for OpenAI, Mistral, Gemini and Ollama refuse such blocks in a history.
    `source_nodes(message)` has the citations either way."""
    auto_generate_name: bool = False
    """Whether the server names a new conversation; up to 1.12.1 that takes a second."""

    _is_chat_model: ClassVar[bool] = True

    @classmethod
    def class_name(cls) -> str:
        """Name of the class."""
        return "Dify"

    def _chat_call(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> Flow[Operation[Answer]]:
        check_call_arguments(options, _CALL_ARGUMENTS, "Dify")
        return prepare_chat(
            input_messages(messages),
            ChatOptions(
                app=self.app,
                user=self._user(options),
                conversation_id=options.get("conversation_id"),
                inputs=self._merged_inputs(options),
                system_input=self.system_input,
                memory=self.memory,
                on_fork=self.on_fork,
                files=options.get("files") or (),
                response_mode=self.response_mode,
                auto_generate_name=self.auto_generate_name,
            ),
        )

    def _completion_call(self, prompt: str, options: Mapping[str, Any]) -> Flow[Operation[Answer]]:
        return self._chat_call([ChatMessage(role=MessageRole.USER, content=prompt)], options)

    def _chat_responses(self, options: Mapping[str, Any]) -> ChatResponses:
        return ChatResponses(self.reasoning, self._origin(options), self.content_blocks)
