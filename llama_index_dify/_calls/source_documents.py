"""LlamaIndex's documents and nodes as documents of a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.schema import BaseNode, Document, MetadataMode

from dify_api._calls.knowledge.source_documents import SourceDocument, document_name, shortened


def document_source(document: BaseNode) -> SourceDocument:
    """A whole document, which Dify splits."""
    text = document.get_content(metadata_mode=MetadataMode.NONE)
    return SourceDocument(
        id=document.node_id,
        name=document_name(document.metadata, text),
        text=text,
        metadata=dict(document.metadata),
    )


def file_source(
    file: Path, source_id: str | None, metadata: dict[str, Any] | None
) -> SourceDocument:
    """A file, which Dify reads and splits."""
    return SourceDocument(
        id=source_id or str(file),
        name=shortened(file.name),
        file=file,
        metadata={"file_path": str(file)} if metadata is None else dict(metadata),
    )


def node_sources(nodes: Sequence[BaseNode]) -> list[SourceDocument]:
    """Nodes as the segments of the documents that they are of; documents among them whole.

    Metadata are a document's in Dify, those that all its nodes share. The others, by which one
    cannot filter, are kept for each segment.
    """
    by_document: dict[str, list[BaseNode]] = {}
    for node in nodes:
        by_document.setdefault(document_id(node), []).append(node)
    return [_of_nodes(source_id, several) for source_id, several in by_document.items()]


def document_id(node: BaseNode) -> str:
    """The id of the document that a node is of; its own where it is of none."""
    return node.ref_doc_id or node.node_id


def _of_nodes(source_id: str, nodes: list[BaseNode]) -> SourceDocument:
    if len(nodes) == 1 and isinstance(nodes[0], Document):
        return document_source(nodes[0])
    with_text = {
        text: node
        for node in nodes
        if (text := node.get_content(metadata_mode=MetadataMode.NONE)).strip()
    }
    shared = _shared([node.metadata for node in nodes])
    return SourceDocument(
        id=source_id,
        name=document_name(shared, next(iter(with_text), "")),
        segments=tuple(with_text),
        metadata=shared,
        segment_metadata=tuple(
            {name: value for name, value in node.metadata.items() if name not in shared}
            for node in with_text.values()
        ),
    )


def _shared(several: list[dict[str, Any]]) -> dict[str, Any]:
    first, *others = several
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }
