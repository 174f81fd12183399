"""An answer as LangChain's standard content blocks.

`content` of an answer stays a plain string. What else an answer holds travels beside it, as plain
JSON that any store keeps, and `message.content_blocks` shows it: reasoning, tools that the app's
own agent called, the text with its citations, files, speech. `block_translator`
registers that view.
"""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.content import Citation, ContentBlock

from dify_api.answers.events import AgentThoughtEvent
from dify_api.endpoints.audio import type_of_speech
from dify_api.models import RetrieverResource
from langchain_dify._answers.replacement import TEXT_INDEX, replacement_of, streamed_text
from langchain_dify.documents import resources


class ServerTools:
    """The calls of the app's own agent, as blocks, each as soon as it is known.

    A thought is sent several times, with more in it each time.
    """

    def __init__(self) -> None:
        self._called: set[str | None] = set()
        self._returned: set[str | None] = set()

    def take(self, thought: AgentThoughtEvent) -> list[dict[str, Any]]:
        """The blocks that a thought adds to those of its earlier states."""
        names = [name for name in (thought.tool or "").split(";") if name]
        blocks: list[dict[str, Any]] = []
        known = thought.tool_input or thought.observation
        if names and known and thought.id not in self._called:
            self._called.add(thought.id)
            given = _json_object(thought.tool_input)
            for call_id, name in _ids(thought.id, names):
                args = given.get(name, given)
                if not isinstance(args, dict):
                    args = {"input": args}
                blocks.append(_indexed("server_tool_call", call_id, name=name, args=args))
                blocks[-1]["id"] = call_id
        if names and thought.observation and thought.id not in self._returned:
            self._returned.add(thought.id)
            outputs = _json_object(thought.observation)
            for call_id, name in _ids(thought.id, names):
                output = outputs.get(name, thought.observation)
                result = _indexed("server_tool_result", call_id, tool_call_id=call_id)
                blocks.append({**result, "status": "success", "output": output})
        return blocks


def answer_blocks(message: AIMessage) -> list[ContentBlock]:
    """The content blocks of a message of ours.

    Raises:
        NotImplementedError: If its content is a list already; langchain-core then reads it.
    """
    if not isinstance(message.content, str):
        raise NotImplementedError
    kept = message.additional_kwargs
    blocks: list[dict[str, Any]] = []
    if kept.get("reasoning_content"):
        blocks.append(_indexed("reasoning", "reasoning", reasoning=kept["reasoning_content"]))
    blocks += [dict(block) for block in kept.get("server_tools") or []]
    cited = [_citation(resource) for resource in resources(message)]
    replaces = isinstance(message, AIMessageChunk) and replacement_of(message)
    if message.content or cited or replaces:
        text: dict[str, Any] = {"type": "text", "text": message.content}
        if isinstance(message, AIMessageChunk):  # all text of a stream merges into one block
            text["text"] = streamed_text(message, message.content)
            text["index"] = TEXT_INDEX
        blocks.append({**text, "annotations": cited} if cited else text)
    blocks += _call_blocks(message)
    blocks += [_file_block(file) for file in message.response_metadata.get("files") or []]
    if kept.get("speech"):
        blocks.append(_speech_block(kept["speech"]))
    return cast("list[ContentBlock]", blocks)


def _call_blocks(message: AIMessage) -> list[dict[str, Any]]:
    if isinstance(message, AIMessageChunk) and message.chunk_position != "last":
        return [{**chunk, "type": "tool_call_chunk"} for chunk in message.tool_call_chunks]
    calls: list[dict[str, Any]] = [{**call, "type": "tool_call"} for call in message.tool_calls]
    if isinstance(message, AIMessageChunk):  # langchain-core adds those of whole messages
        calls += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return calls


def _citation(resource: RetrieverResource) -> Citation:
    extras = resource.model_dump(
        mode="json", exclude_none=True, exclude={"content", "document_name", "segment_id"}
    )
    citation = Citation(type="citation", cited_text=resource.content, extras=extras)
    if resource.segment_id:
        citation["id"] = resource.segment_id
    if resource.document_name or resource.title:
        citation["title"] = resource.document_name or resource.title or ""
    return citation


def _file_block(file: Mapping[str, Any]) -> dict[str, Any]:
    kind = file["type"] if file.get("type") in ("image", "audio", "video") else "file"
    name = str(file.get("id") or file.get("related_id") or file.get("url"))
    url = file.get("url") or file.get("remote_url")
    mime_type = file.get("mime_type") or mimetypes.guess_type(str(file.get("filename")))[0]
    extras = {key: value for key, value in file.items() if key not in ("url", "mime_type")}
    fields = {"id": file.get("id"), "url": url, "mime_type": mime_type, "extras": extras}
    return _indexed(kind, name, **{key: value for key, value in fields.items() if value})


def _speech_block(pieces: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """The pieces as one: their base64 cannot just be joined, for it is padded."""
    audio = b"".join(base64.b64decode(piece["base64"]) for piece in pieces)
    encoded = base64.b64encode(audio).decode()
    return _indexed("audio", "speech", base64=encoded, mime_type=type_of_speech(audio))


def _indexed(kind: str, key: str, /, **fields: Any) -> dict[str, Any]:
    """A block with an index of its own, without which v1 streams merge neighbours of a type."""
    return {"type": kind, "index": f"lc_dify_{kind}_{key}", **fields}


def _ids(thought_id: str | None, names: list[str]) -> list[tuple[str, str]]:
    if len(names) == 1:
        return [(str(thought_id), names[0])]
    return [(f"{thought_id}_{number}", name) for number, name in enumerate(names)]


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {"input": text}
    return value if isinstance(value, dict) else {"input": value}
