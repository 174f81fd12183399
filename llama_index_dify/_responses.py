"""An `Answer` as LlamaIndex's responses, each thing in the place where its readers look.

* `raw`: a mapping of everything that Dify said; `raw["usage"]` is what token counters read.
* `additional_kwargs` of the response (not of the message, see `records`): the token counts and
  the ids, for tracers and for callers.
* `message.blocks`: one `TextBlock`; before it a `ThinkingBlock` with the reasoning, if any, and
  the record by which a later call continues the conversation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from dify_api.answers.answer import Answer
from dify_api.answers.events import Event
from dify_api.models import AnswerFile, RetrieverResource
from llama_index_dify._records import DifyChatMessage, Origin, record

_NOT_RAW = {"text", "streamed_text", "reasoning"}
_IDS = ("conversation_id", "message_id", "task_id", "workflow_run_id")


def raw(answer: Answer) -> dict[str, Any]:
    """What Dify said beside the text, as JSON values."""
    return answer.model_dump(mode="json", exclude=_NOT_RAW)


def additional_kwargs(answer: Answer) -> dict[str, Any]:
    """Token counts and ids, as far as the answer has them."""
    usage = answer.usage
    counts = (
        {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
        if usage
        else {}
    )
    return {**counts, **ids(answer)}


def ids(source: Answer | Event) -> dict[str, str]:
    """The ids that an answer or an event has."""
    found = {name: getattr(source, name, None) for name in _IDS}
    return {name: value for name, value in found.items() if value is not None}


def completion_response(answer: Answer, text: str, delta: str | None) -> CompletionResponse:
    """The whole answer to a prompt; `delta` is None unless it ends a stream."""
    return CompletionResponse(
        text=text, delta=delta, raw=raw(answer), additional_kwargs=additional_kwargs(answer)
    )


def chat_response(
    answer: Answer,
    text: str,
    delta: str | None,
    origin: Origin,
    *,
    thinking: str = "",
    content_blocks: bool = False,
) -> ChatResponse:
    """The whole answer to a message; `delta` is None unless it ends a stream.

    Args:
        answer: The answer.
        text: Its text, without reasoning where that is kept apart.
        delta: What the text has beyond what was streamed.
        origin: Where it comes from.
        thinking: The reasoning.
        content_blocks: Whether citations, tool calls and files become blocks.
    """
    message = answer_message(answer, text, origin, thinking=thinking, content_blocks=content_blocks)
    return ChatResponse(
        message=message, delta=delta, raw=raw(answer), additional_kwargs=additional_kwargs(answer)
    )


def answer_message(
    answer: Answer,
    text: str,
    origin: Origin,
    *,
    thinking: str = "",
    content_blocks: bool = False,
) -> DifyChatMessage:
    """The answer as a message of the history; see `chat_response`."""
    # Thinking comes first, as in other integrations: the one for Gemini repeats whatever stands
    # before a block without content.
    blocks: list[ContentBlock] = [
        ThinkingBlock(content=thinking or None, additional_information=record(answer, origin)),
        TextBlock(text=text),
    ]
    if content_blocks:
        blocks += _tool_calls(answer)
        blocks += _files(answer, origin.base_url)
        blocks += [_citation(resource) for resource in answer.retriever_resources]
    return DifyChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


def _citation(resource: RetrieverResource) -> CitationBlock:
    numbers = {
        name: value
        for name in ("position", "segment_position", "page", "word_count", "hit_count")
        if (value := getattr(resource, name)) is not None
    }
    return CitationBlock(
        cited_content=TextBlock(text=resource.content),
        source=resource.segment_id or resource.document_id or "",
        title=resource.document_name or resource.title or "",
        additional_location_info=numbers,
    )


def _tool_calls(answer: Answer) -> Iterator[ToolCallBlock]:
    """The tools that an agent called on the server, each call of a thought under its name."""
    for thought in answer.agent_thoughts:
        names = [name for name in (thought.tool or "").split(";") if name]
        given = _json_object(thought.tool_input)
        for name in names:
            own = given.get(name)
            yield ToolCallBlock(
                tool_call_id=thought.id,
                tool_name=name,
                tool_kwargs=own if isinstance(own, dict) else given,
            )


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _files(answer: Answer, base_url: str) -> Iterator[ContentBlock]:
    for file in answer.files:
        url = file.url or file.remote_url
        if url:
            yield _file(file, urljoin(base_url, url))


def _file(file: AnswerFile, url: str) -> ContentBlock:
    if file.type == "image":
        return ImageBlock(url=url, image_mimetype=file.mime_type)
    if file.type == "audio":
        return AudioBlock(url=url, format=(file.extension or "").lstrip(".") or None)
    if file.type == "video":
        return VideoBlock(url=url, video_mimetype=file.mime_type)
    return DocumentBlock(url=url, title=file.filename, document_mimetype=file.mime_type)
