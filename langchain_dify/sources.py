"""The passages that an answer was drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation

from dify_api.models import RetrieverResource, decode
from langchain_dify.documents import documents_from_resources


def citations(message: BaseMessage | Generation) -> list[Document]:
    """The passages that an answer was drawn from, in the order of its citations.

    Args:
        message: An answer of `ChatDify` (merged, if it was streamed; or out of any store), or a
            generation of `DifyLLM`.

    Returns:
        One document for each `retriever_resources` entry; see `documents_from_resources`. Empty
        where the answer cites nothing.

    Example:
        >>> document = citations(model.invoke("Which planet has most moons?"))[0]
        >>> document.metadata["source"], document.page_content
        ('saturn.md', 'Saturn has the most moons of any planet ...')
    """
    return documents_from_resources(resources(message))


def resources(message: BaseMessage | Generation) -> list[RetrieverResource]:
    """The citations of an answer as Dify's records."""
    if isinstance(message, BaseMessage):
        facts: Mapping[str, Any] = message.response_metadata
    else:
        facts = message.generation_info or {}
    found = facts.get("retriever_resources")
    if not isinstance(found, Sequence):
        return []
    return decode(list[RetrieverResource], list(found))
