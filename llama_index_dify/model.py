"""`Dify`: a chat, agent or chatflow app as a chat model."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from pydantic import Field, PrivateAttr
from typing_extensions import Self

from dify_api._calls.chat_settings import Memory, OnFork, Transcript
from dify_api._calls.trace_session import trace_session_of
from dify_api._lazy import LazyModule
from llama_index_dify._base import CALL_ARGUMENTS, DifyModel, check_call_arguments

if TYPE_CHECKING:
    from dify_api._calls.chat_call import ChatOptions
    from dify_api._calls.conversation import Instructions
    from dify_api._runs.flows import Flow
    from dify_api.answers._tool_calls import Call
    from dify_api.answers.answer import Answer
    from llama_index_dify._agent_turn import AgentTurn
    from llama_index_dify._answers.responses import ChatResponses
    from llama_index_dify._calls import running
    from llama_index_dify._calls.resumed_call import ReadyCall, ResumedCall
else:
    running = LazyModule("llama_index_dify._calls.running")

CHAT_ARGUMENTS = CALL_ARGUMENTS | {
    "conversation_id",
    "memory",
    "on_fork",
    "paused",
    "values",
    "workflow_id",
}


class Dify(DifyModel, defer_build=False):
    """A chat, agent or chatflow app as a LlamaIndex LLM.

    The model holds no conversation. Which one a call belongs to is read from its messages: an
    answer of this app to this user names the conversation, and only what follows it is sent.
    So any memory or store of messages is a store of conversations. `memory="client"` switches
    that off, for ReAct agents and for whatever rewinds or edits its history: each call is then
    a conversation of its own with the whole transcript in its query.

    Calls take `conversation_id`, `user`, `inputs`, `files` (entries of Dify's `files`), `memory`,
    `on_fork`, `reasoning`, `stop`, `workflow_id` and `trace_id` as keyword arguments. A chatflow
    that paused goes on with the same messages, `paused=` the `WorkflowPausedError` and `values=`
    what its forms are filled with.

    Args:
        api_key: Key of the app. Default: `DIFY_API_KEY`.
        base_url: Address of the API. Default: `DIFY_BASE_URL`, else Dify's cloud.
        user: The end user. Default: `DIFY_USER`, else "llama-index".
        inputs: Values of the app's variables.
        memory: Who keeps the history: "server" (default) or "client".
        on_fork: What to do where the conversation went on without the history given, or was
            deleted: "ignore" (default), begin a "new" one, or raise an "error".
        transcript: Writes out a history, instead of English.
        system_input: Variable that takes the system text. Default: it goes into the query.
        reasoning: Whether reasoning is kept out of the text.
        stop: Sequences at which an answer ends; they are enforced here.
        workflow_id: Published version of a chatflow to run. Default: the newest.
        trace_id: Your trace id, for Dify's own tracing.
        content_blocks: Whether an answer's citations, tool calls, files and speech become blocks.
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
    """Who keeps the history: Dify ("server"), or the caller, who resends it ("client"). "none" is
    "client", and nothing is continued from its answers: see `detached`."""
    on_fork: OnFork = "ignore"
    """What to do where the conversation on the server went on without the history given, or was
    deleted."""
    transcript: Transcript | None = Field(default=None, exclude=True, repr=False)
    """Writes out a history, instead of "The conversation so far: ..." in English: takes the
    messages (`role`, `text`, `name`) that stand before the new ones, without the system text, and
    returns a text. A function of a module can be pickled with the model, a lambda cannot."""
    delete_conversation: bool = False
    """Whether each answer's conversation is deleted after it, with `memory="none"`."""
    system_input: str | None = None
    """Variable of the app that takes the system text, on every turn."""
    content_blocks: bool = False
    """Whether citations, tool calls and files of an answer become blocks of its message. Off:
    the integrations for OpenAI, Mistral, Gemini and Ollama refuse such blocks in a history.
    `source_nodes(message)` has the citations either way."""
    workflow_id: str | None = None
    """Published version of a chatflow to run (servers since 1.7.2); by default the newest."""
    auto_generate_name: bool = False
    """Whether the server names a new conversation; up to 1.12.1 that takes a second."""

    _is_chat_model: ClassVar[bool] = True
    _turn: AgentTurn | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """Name of the class."""
        return "Dify"

    def detached(self, *, delete_conversation: bool = False) -> Self:
        """The same app for side jobs: facts, titles, summaries, steps of an agent, rows of a batch.

        A side job must not write into a user's conversation, and its own conversation is nobody's.
        The copy continues no conversation, whatever the messages say: each call begins a new one
        with everything written out, and nothing is continued from its answers.

        Args:
            delete_conversation: Whether the conversation is deleted on the server after each
                answer, also one that failed or was left. Best effort: a failure is logged.

        Example:
            >>> side = llm.detached(delete_conversation=True)
            >>> facts = FactExtractionMemoryBlock(llm=side)
            >>> agent = ReActAgent(tools=tools, llm=side)
        """
        update = {"memory": "none", "delete_conversation": delete_conversation}
        return self.model_copy(update=update)

    def __getstate__(self) -> dict[Any, Any]:
        pickle.dumps(self.transcript)  # LlamaIndex drops in silence what cannot be pickled
        return super().__getstate__()

    def _chat_call(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> Flow[ReadyCall]:
        check_call_arguments(options, CHAT_ARGUMENTS, type(self))
        chat_options, instructions = self._chat_options(options), self._instructions()
        if (paused := options.get("paused")) is None:
            return running.prepare_chat(
                running.input_messages(messages), chat_options, instructions
            )
        resumption = running.Resumption(paused, options.get("values") or {})
        marks = running.planned_marks(running.input_messages(messages), chat_options, instructions)
        return _ready(running.ResumedCall(resumption, self._user(options), marks))

    def in_turn(self, turn: AgentTurn) -> Self:
        """The same app for a step of an agent."""
        model = self.model_copy()
        model._turn = turn
        return model

    def respond(
        self, messages: Sequence[ChatMessage], answer: Answer, options: Mapping[str, Any]
    ) -> tuple[ChatResponse, list[Call]]:
        """An answer to messages that came before, as a response, and the tool calls in it."""
        responses = self._chat_responses(options)
        responses.marks = running.planned_marks(
            running.input_messages(messages), self._chat_options(options), self._instructions()
        )
        return responses.of_answer(answer), responses.calls

    @property
    def _agent_turn(self) -> AgentTurn | None:
        # `_turn`: to find it takes pydantic's own way a hundredth of a short call, each time.
        return (self.__pydantic_private__ or {}).get("_turn")

    def _instructions(self) -> Instructions:
        turn = self._agent_turn
        return running.Instructions(turn.offer if turn else "")

    def _chat_options(self, options: Mapping[str, Any]) -> ChatOptions:
        turn = self._agent_turn
        return running.ChatOptions(
            apps=turn.app_names(self.app_names) if turn else self.app_names,
            user=self._user(options),
            conversation_id=options.get("conversation_id"),
            inputs=self._merged_inputs(options),
            system_input=self.system_input,
            memory=options.get("memory") or self.memory,
            on_fork=options.get("on_fork") or self.on_fork,
            transcript=self.transcript,
            delete_conversation=self.delete_conversation,
            files=options.get("files") or (),
            response_mode=self.response_mode,
            auto_generate_name=self.auto_generate_name,
            workflow_id=options.get("workflow_id") or self.workflow_id,
            trace_id=self._trace_id(options),
            trace_session_id=trace_session_of(options, self.trace_session_id),
        )

    def _completion_call(self, prompt: str, options: Mapping[str, Any]) -> Flow[ReadyCall]:
        return self._chat_call([ChatMessage(role=MessageRole.USER, content=prompt)], options)

    def _chat_responses(self, options: Mapping[str, Any]) -> ChatResponses:
        responses = running.ChatResponses(
            self._reasons(options),
            self.base_url,
            self.content_blocks,
            self._stops(options),
            user=self._user(options),
        )
        if turn := self._agent_turn:
            responses.reader, responses.on_answer = turn.reader(), turn.on_answer
        return responses


def _ready(call: ResumedCall) -> Flow[ReadyCall]:
    yield from ()
    return call
