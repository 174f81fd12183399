"""Passages of Dify's knowledge as documents: an answer's citations, a search's records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation

from dify_api._calls.knowledge.document_metadata import HASH_FIELD, ID_FIELD, original_metadata
from dify_api.models import RetrieverResource, decode

_NOT_METADATA = {"content", "doc_metadata", "segment_id"}


def documents_from_resources(resources: Iterable[RetrieverResource]) -> list[Document]:
    """Turn citations into documents, one for each passage, in their order.

    Args:
        resources: `Answer.retriever_resources`, or `RetrieveResult.resources(dataset_id)`.

    Returns:
        Documents whose `id` is the segment's and whose metadata hold `source` and `title` (the
        document's name), `score` (0 to 1; absent for keyword search), `position`, `dataset_id`,
        `dataset_name`, `document_id`, `document_name`, whatever else Dify tells of the passage,
        and the metadata of the document it is from. Of a document that `DifyVectorStore` has
        written these are as they were given, with its id as `external_id`.

    Example:
        >>> document = documents_from_resources(answer.retriever_resources)[0]
        >>> document.metadata["source"], document.metadata["score"]
        ('saturn.md', 0.81)
    """
    return [_document(resource) for resource in resources]


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


def _document(resource: RetrieverResource) -> Document:
    own: dict[str, Any] = {
        name: value
        for name in RetrieverResource.model_fields
        if name not in _NOT_METADATA and (value := getattr(resource, name)) is not None
    }
    name = resource.document_name or resource.title
    if name:
        own.update(source=name, title=resource.title or name)
    values = resource.doc_metadata or {}
    original = original_metadata(values, resource.segment_position)
    if original is not None:
        own.update({key: values[key] for key in (ID_FIELD, HASH_FIELD) if key in values})
        own.update({key: original[key] for key in ("source", "title") if key in original})
        values = original
    return Document(id=resource.identity, page_content=resource.content, metadata={**values, **own})
