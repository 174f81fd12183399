"""LlamaIndex's messages as the input of a request: their texts, files and anchors."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePath

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    VideoBlock,
)

from dify_api._calls.attachments import Attachment
from dify_api._calls.input_message import InputMessage, Role
from dify_api.endpoints.files import FileType, is_url, type_of
from llama_index_dify._answers.records import anchor

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def input_messages(messages: Sequence[ChatMessage]) -> list[InputMessage]:
    """Read the messages of a call, oldest first."""
    return [_input_message(message, _ROLES[message.role]) for message in messages]


def _input_message(message: ChatMessage, role: Role) -> InputMessage:
    return InputMessage(
        role,
        "\n".join(_texts(message.blocks)),
        anchor(message) if role == "assistant" else None,
        message.additional_kwargs.get("name"),
        partial(_attachments, message),
    )


def _attachments(message: ChatMessage) -> list[Attachment]:
    """The files of a message; an answer's own files are not sent back."""
    return [] if _ROLES[message.role] == "assistant" else list(_files(message.blocks))


def _texts(blocks: Iterable[ContentBlock]) -> Iterator[str]:
    """Text blocks, and citable ones under their titles. Thinking and tool calls are no text."""
    for block in blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif isinstance(block, CitableBlock):
            text = "\n".join(_texts(block.content))
            if text:
                yield f"{block.title} ({block.source}):\n{text}"


def _files(blocks: Iterable[ContentBlock]) -> Iterator[Attachment]:
    for block in blocks:
        if isinstance(block, TextBlock):  # first: pydantic is slow to say what a block is not
            continue
        if isinstance(block, CitableBlock):
            yield from _files(block.content)
        elif isinstance(block, ImageBlock):
            yield _attachment(block, "image", block.image_mimetype)
        elif isinstance(block, AudioBlock):
            yield _attachment(block, "audio", f"audio/{block.format}" if block.format else None)
        elif isinstance(block, VideoBlock):
            yield _attachment(block, "video", block.video_mimetype)
        elif isinstance(block, DocumentBlock):
            kind = type_of("", block.document_mimetype, "document")
            yield _attachment(block, kind, block.document_mimetype)


def _attachment(
    block: ImageBlock | AudioBlock | VideoBlock | DocumentBlock,
    kind: FileType,
    mime_type: str | None,
) -> Attachment:
    """A public address goes as it is, anything else is uploaded.

    Raises:
        ValueError: If the block is empty.
    """
    url = str(block.url) if block.url else None
    if url and is_url(url):
        return Attachment(kind, url=url)
    content = _content(block)
    name = _name(block)
    mime_type = mime_type or (name and mimetypes.guess_type(name)[0]) or _guess(content)
    return Attachment(kind, content=content, mime_type=mime_type, name=name)


def _content(block: ImageBlock | AudioBlock | VideoBlock | DocumentBlock) -> bytes:
    if isinstance(block, ImageBlock):
        file = block.resolve_image()
    elif isinstance(block, AudioBlock):
        file = block.resolve_audio()
    elif isinstance(block, VideoBlock):
        file = block.resolve_video()
    else:
        file = block.resolve_document()
    content = file.read()
    if not isinstance(content, bytes):
        raise ValueError(f"a {block.block_type} block must hold bytes")
    return content


def _name(block: ImageBlock | AudioBlock | VideoBlock | DocumentBlock) -> str | None:
    """A file name with a suffix, by which Dify tells what a file is; None where there is none."""
    names = [block.title] if isinstance(block, DocumentBlock) else []
    names += [PurePath(str(block.path)).name] if block.path else []
    return next((name for name in names if name and PurePath(name).suffix), None)


def _guess(content: bytes) -> str | None:
    """Text, the one kind of file that has no marks of its own; None for anything else."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return "text/plain"
