"""What a memory adds to the messages that it keeps: facts, retrieved passages, fixed text."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage, ContentBlock, MessageRole
from llama_index.core.memory import (
    BaseMemory,
    ChatMemoryBuffer,
    ChatSummaryMemoryBuffer,
    Memory,
)


def adds_text(memory: BaseMemory) -> bool:
    """Whether `get` may say more than `get_all`. Buffers only leave out or sum up."""
    if isinstance(memory, Memory):
        return bool(memory.memory_blocks)
    return not isinstance(memory, ChatMemoryBuffer | ChatSummaryMemoryBuffer)


def with_memory_text(got: Sequence[ChatMessage], kept: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages that a memory keeps, below the text that it adds, as system text.

    A memory puts its text into a system message, or in front of the newest user message that it
    keeps, which the conversation has had already.

    Args:
        got: As `memory.get` gives them.
        kept: As `memory.get_all` gives them.
    """
    known = {(message.role, message.content) for message in kept}
    of_system = [message for message in got if message.role == MessageRole.SYSTEM]
    added = [
        ChatMessage(role=MessageRole.SYSTEM, blocks=_addition(message, kept))
        for message in got
        if message.role != MessageRole.SYSTEM and (message.role, message.content) not in known
    ]
    if of_system:
        kept = [message for message in kept if message.role != MessageRole.SYSTEM]
    return [*of_system, *added, *kept]


def _addition(message: ChatMessage, kept: Sequence[ChatMessage]) -> list[ContentBlock]:
    """The blocks of a message that stand before those of the message that is kept."""
    for original in reversed(kept):
        count = len(original.blocks)
        if original.role == message.role and message.blocks[-count:] == original.blocks:
            return message.blocks[:-count]
    return message.blocks
