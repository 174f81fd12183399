"""LangChain's messages as the input of a request: their texts, files and anchors."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from dify_api._calls.attachments import Attachment
from dify_api._calls.input_message import Anchor, InputMessage, Role
from dify_api.endpoints.files import FileType, type_of

_FILE_BLOCKS: dict[str, FileType] = {"image": "image", "audio": "audio", "video": "video"}
_SILENT_BLOCKS = ("text", "reasoning", "tool_call", "invalid_tool_call", "text-plain")


def input_messages(messages: Sequence[BaseMessage]) -> list[InputMessage]:
    """Read the messages of a call, oldest first."""
    return [_input_message(message) for message in messages]


def _input_message(message: BaseMessage) -> InputMessage:
    # The commonest first: to say that it is none of theirs takes pydantic's classes longest.
    if isinstance(message, HumanMessage) and isinstance(message.content, str):
        return InputMessage("user", message.content)
    if isinstance(message, AIMessage):
        anchor = Anchor.read(message.response_metadata, message.id)
        return InputMessage("assistant", _assistant_text(message), anchor)
    return InputMessage(
        _role(message),
        _text(message),
        name=message.name if isinstance(message, ToolMessage) else None,
        attachments=partial(_attachments, message),
    )


def _role(message: BaseMessage) -> Role:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, ToolMessage | FunctionMessage):
        return "tool"
    if isinstance(message, ChatMessage):
        return "system" if message.role in ("system", "developer") else "user"
    return "user"


def _assistant_text(message: AIMessage) -> str:
    """What an assistant said, with its calls in the form that tool calls are asked for."""
    calls = [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]
    called = json.dumps({"tool_calls": calls}, ensure_ascii=False) if calls else ""
    return "\n".join(text for text in (_text(message), called) if text)


def _text(message: BaseMessage) -> str:
    """The text of a message, plain-text documents included."""
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type") == "text":
            parts.append(str(block.get("text", "")))
        elif block.get("type") == "text-plain" and block.get("text"):
            title = block.get("title")
            parts.append(f"{title}\n{block['text']}" if title else str(block["text"]))
    return "\n".join(part for part in parts if part)


def _attachments(message: BaseMessage) -> list[Attachment]:
    """The files of a message, in any of LangChain's notations.

    Raises:
        ValueError: If a block is neither text nor a file, or its data cannot be read.
    """
    if isinstance(message.content, str) or isinstance(message, SystemMessage):
        return []
    read = [_attachment(dict(block)) for block in message.content_blocks]
    return [attachment for attachment in read if attachment is not None]


def _attachment(block: dict[str, Any]) -> Attachment | None:
    kind = block["type"]
    if kind == "text-plain" and not block.get("text"):
        kind = "file"
        block = {"mime_type": "text/plain", **block}
    if kind in _SILENT_BLOCKS:
        return None
    if kind not in (*_FILE_BLOCKS, "file"):
        shown = block.get("value") if kind == "non_standard" else block
        described = shown.get("type", "unknown") if isinstance(shown, dict) else "unknown"
        raise ValueError(
            f"a content block of type {described!r} cannot be sent to a Dify app: use text, "
            "image, audio, video or file blocks"
        )
    url, data, file_id = block.get("url"), block.get("base64"), block.get("file_id")
    mime_type = block.get("mime_type") or _guess_type(url)
    extras = block.get("extras") or {}
    name = block.get("filename") or block.get("name") or extras.get("filename")
    sort = _FILE_BLOCKS.get(kind) or type_of("", mime_type, "document")
    if isinstance(url, str) and url.startswith("data:"):
        header, _, data = url.partition(",")
        mime_type, url = header[5:].partition(";")[0] or mime_type, None
    if data is not None:
        return Attachment(sort, content=_decode(data, kind), mime_type=mime_type, name=name)
    if url:
        return Attachment(sort, url=url, mime_type=mime_type, name=name)
    if file_id:
        return Attachment(sort, file_id=file_id, mime_type=mime_type, name=name)
    raise ValueError(f"a block of type {kind!r} needs url, base64 or file_id")


def _decode(data: str | bytes, kind: str) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the data of a block of type {kind!r} is not base64") from None


def _guess_type(url: str | None) -> str | None:
    return mimetypes.guess_type(urlsplit(url).path)[0] if url else None
