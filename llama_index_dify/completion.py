"""`DifyCompletion`: a completion app as a completion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage

from dify_api import completion
from dify_api._calls.attachments import Attachment, references
from dify_api._calls.chat_call import AppCall
from dify_api._calls.trace_session import trace_session_of
from dify_api._calls.transcript import write_out
from dify_api._runs.flows import Flow
from llama_index_dify._base import CALL_ARGUMENTS, DifyModel, check_call_arguments
from llama_index_dify._calls.input_messages import input_messages
from llama_index_dify._calls.resumed_call import ReadyCall


class DifyCompletion(DifyModel, defer_build=False):
    """A completion app as a LlamaIndex LLM.

    The prompt becomes one of the app's variables. `chat` writes its messages out as one prompt:
    completion apps keep no conversations.

    Calls take `user`, `inputs`, `files` (entries of Dify's `files`), `stop`, `trace_id` and
    `reasoning` as keyword arguments.

    Args:
        api_key: Key of the app. Default: `DIFY_API_KEY`.
        base_url: Address of the API. Default: `DIFY_BASE_URL`, else Dify's cloud.
        user: The end user. Default: `DIFY_USER`, else "llama-index".
        prompt_input: Variable of the app that takes the prompt. Default: "query".
        inputs: Values of the app's other variables.
        reasoning: Whether reasoning is kept out of the text.
        stop: Sequences at which an answer ends; they are enforced here.
        trace_id: Your trace id, for Dify's own tracing.
        response_mode: "streaming" (default) or "blocking", for `complete` and `chat`.
        timeout, max_retries, default_headers, proxy, verify, http_client, ...: See the fields of
            `dify_api.connection.DifyConnection`.

    Example:
        >>> llm = DifyCompletion(api_key="app-...")
        >>> llm.complete("A haiku about Saturn").text
        'Rings of ice and dust ...'
    """

    prompt_input: str = "query"
    """Variable of the app that takes the prompt."""

    @classmethod
    def class_name(cls) -> str:
        """Name of the class."""
        return "DifyCompletion"

    def _chat_call(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> Flow[ReadyCall]:
        read = input_messages(messages)
        if self.messages_to_prompt in (None, messages_to_prompt):
            prompt = write_out(read)
        else:
            prompt = self.messages_to_prompt(messages)
        files = [file for message in read for file in message.attachments()]
        return self._call(prompt, files, options)

    def _completion_call(self, prompt: str, options: Mapping[str, Any]) -> Flow[ReadyCall]:
        return self._call(prompt, [], options)

    def _call(
        self, prompt: str, attached: Sequence[Attachment], options: Mapping[str, Any]
    ) -> Flow[ReadyCall]:
        check_call_arguments(options, CALL_ARGUMENTS, type(self))
        if not prompt.strip():
            raise ValueError("the prompt must not be empty: say what to ask the app")
        return self._prepare(prompt, attached, options)

    def _prepare(
        self, prompt: str, attached: Sequence[Attachment], options: Mapping[str, Any]
    ) -> Flow[ReadyCall]:
        user = self._user(options)
        uploaded = yield from references(attached, user)
        return AppCall(
            completion.send_message(
                {**self._merged_inputs(options), self.prompt_input: prompt},
                user=user,
                files=[*(options.get("files") or ()), *uploaded],
                response_mode=self.response_mode,
                trace_id=self._trace_id(options),
            ).traced(trace_session_id=trace_session_of(options, self.trace_session_id))
        )
