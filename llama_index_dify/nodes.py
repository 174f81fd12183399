"""Passages of Dify's knowledge as nodes: an answer's citations, a search's records."""

from __future__ import annotations

import json
from collections.abc import Iterable

from llama_index.core.schema import (
    NodeRelationship,
    NodeWithScore,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from dify_api._calls.knowledge.document_metadata import HASH_FIELD, ID_FIELD, original_metadata
from dify_api.models import RetrieverResource

_NOT_METADATA = {"content", "doc_metadata", "score", "position", "hit_count"}
"""Also what one search tells and the next tells otherwise: LlamaIndex takes nodes for the same
(to fuse searches, or to store a node once) by a hash of all their metadata."""
_FOR_READERS = {"dataset_name", "document_name", "title", "page", "summary"}
"""Of Dify's own fields, those that tell a model something; a document's own metadata do, too."""


def nodes_from_resources(resources: Iterable[RetrieverResource]) -> list[NodeWithScore]:
    """Turn citations into nodes, one for each passage, in their order.

    A node is named by its segment, so several segments of one document stay several nodes. Its
    metadata are flat; ids and counts are hidden from the texts that models read. The score is
    the node's and not among them, so that the same passage is the same node in every search.

    Args:
        resources: `Answer.retriever_resources`, or `RetrieveResult.resources(dataset_id)`.

    Returns:
        Nodes with Dify's relevance (0 to 1; None for keyword search), whose source is the
        document where that is known. Their metadata hold `title` (else the document's name),
        `document_name`, the ids, whatever else Dify tells of the passage, and the
        metadata of the document it is from. Of a document that `DifyIndex` has written these are
        as they were given, and its own id is the source's.

    Example:
        >>> nodes = nodes_from_resources(answer.retriever_resources)
        >>> nodes[0].score, nodes[0].metadata["document_name"]
        (0.81, 'saturn.md')
    """
    return [NodeWithScore(node=_node(resource), score=resource.score) for resource in resources]


def _node(resource: RetrieverResource) -> TextNode:
    own = {
        name: _flat(value)
        for name in RetrieverResource.model_fields
        if name not in _NOT_METADATA and (value := getattr(resource, name)) is not None
    }
    values = resource.doc_metadata or {}
    of_document = original_metadata(values, resource.segment_position)
    if of_document is None:
        of_document = {name: _flat(value) for name, value in values.items() if value is not None}
    else:
        own.update({key: values[key] for key in (ID_FIELD, HASH_FIELD) if key in values})
    hidden = [name for name in own if name not in _FOR_READERS]
    name = resource.document_name or resource.title
    if name:
        own["title"] = resource.title or name
    if own.get("title") == resource.document_name:
        hidden.append("title")  # nothing that is to be read twice
    node = TextNode(
        id_=resource.identity,
        text=resource.content,
        metadata={**of_document, **own},
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=list(hidden),
    )
    if source_id := values.get(ID_FIELD) or resource.document_id:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(
            node_id=str(source_id),
            node_type=ObjectType.DOCUMENT,
            metadata={"document_name": resource.document_name} if resource.document_name else {},
        )
    return node


def _flat(value: object) -> str | int | float:
    """A value that every vector store takes; what is nested becomes JSON text."""
    if isinstance(value, str | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
