"""Registers how `content_blocks` shows messages of the provider "dify", by importing this module.

What reads the blocks is imported when they are first asked for: a model need not wait for it.
"""

from __future__ import annotations

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock

from langchain_dify._names import MODEL_PROVIDER


def _blocks(message: AIMessage | AIMessageChunk) -> list[ContentBlock]:
    from langchain_dify._answers.content_blocks import answer_blocks

    return answer_blocks(message)


register_translator(MODEL_PROVIDER, _blocks, _blocks)
