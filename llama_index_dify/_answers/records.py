"""Where an answer stands in Dify, kept with the chat message that holds it.

A `ThinkingBlock` carries it, in `additional_information["dify"]`: the conversation and message
ids, fingerprints of app and user, and the citations. That is the one place of a `ChatMessage`
that survives every chat store, `Memory` and JSON, and that no model is shown: without content,
the block is passed over by `ChatMessage.content`, by token counts, and by the integrations for
OpenAI, Anthropic, Gemini, Mistral, Ollama and Bedrock alike. `additional_kwargs`, in contrast,
is written into prompts and requests, and citation blocks make several integrations fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.schema import NodeWithScore

from dify_api._calls.input_message import Anchor, Marks
from dify_api.answers.answer import Answer
from dify_api.models import RetrieverResource, decode
from dify_api.operation import without_none
from llama_index_dify.nodes import nodes_from_resources

if TYPE_CHECKING:  # LlamaIndex's agents take long to import
    from llama_index.core.agent.workflow import AgentOutput

_KEY = "dify"
_PAUSED_RUN = "paused_run_id"


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from.

    Attributes:
        marks: What makes an anchor of its ids; none, where it is not to be continued.
        base_url: Address of the API, to which the addresses of files may be relative.
    """

    marks: Marks
    base_url: str


class DifyChatMessage(ChatMessage):
    """An answer of a Dify app: setting its `content` replaces the text and keeps the record.

    LlamaIndex's agents and chat engines set it, and up to 0.14.23 a plain `ChatMessage` of
    several blocks refuses that.
    """

    @property
    def content(self) -> str | None:
        """The text."""
        return super().content

    @content.setter
    def content(self, content: str) -> None:
        others = [block for block in self.blocks if not isinstance(block, TextBlock)]
        # After the thinking, as in every answer.
        at = 1 if others and isinstance(others[0], ThinkingBlock) else 0
        self.blocks = [*others[:at], TextBlock(text=content), *others[at:]]


def record(
    answer: Answer, origin: Origin, retriever_resources: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is kept of an answer, as JSON values, for `ThinkingBlock.additional_information`.

    Args:
        answer: The answer.
        origin: Where it comes from.
        retriever_resources: Its citations as JSON values.
    """
    ids = {"conversation_id": answer.conversation_id, "message_id": answer.message_id}
    waits = bool(answer.forms) and answer.finish_reason is None
    return {
        _KEY: {
            **(ids if origin.marks else {}),
            **({_PAUSED_RUN: answer.workflow_run_id} if waits else {}),
            **origin.marks,
            "retriever_resources": [without_none(cited) for cited in retriever_resources],
        }
    }


def anchor(message: ChatMessage) -> Anchor | None:
    """Where an answer of a Dify app stands; None for any other message."""
    kept = _kept(message)
    return Anchor.read(kept, kept.get("message_id"))


def conversation_id(message: ChatMessage) -> str | None:
    """The Dify conversation that an assistant message belongs to.

    Example:
        >>> conversation_id(llm.chat(messages).message)
        '7719ddd9-4712-4851-8f63-77234b3d88d8'
    """
    found = anchor(message)
    return found.conversation_id if found else None


def paused_run(message: ChatMessage) -> str | None:
    """The run that waits for a person, of an answer that is not whole yet."""
    found = _kept(message).get(_PAUSED_RUN)
    return found if isinstance(found, str) else None


def source_nodes(
    answered: ChatMessage | ChatResponse | CompletionResponse | AgentOutput,
) -> list[NodeWithScore]:
    """The passages that an answer cites, as nodes.

    Args:
        answered: A whole response, the last of a stream, a message, however it was stored, or
            what a `DifyAgent` puts out.

    Example:
        >>> [node.metadata["document_name"] for node in source_nodes(response)]
        ['saturn.md']
    """
    if not isinstance(answered, ChatMessage | ChatResponse | CompletionResponse):
        answered = answered.response
    kept = _kept(answered) if isinstance(answered, ChatMessage) else answered.raw
    resources = kept.get("retriever_resources") if isinstance(kept, Mapping) else None
    return nodes_from_resources(decode(list[RetrieverResource], resources or []))


def _kept(message: ChatMessage) -> dict[str, Any]:
    for block in message.blocks:
        if isinstance(block, ThinkingBlock):
            kept = block.additional_information.get(_KEY)
            if isinstance(kept, dict):
                return kept
    return {}
