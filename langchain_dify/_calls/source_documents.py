"""What a vector store is given to write, as documents of a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from dify_api._calls.knowledge.source_documents import (
    SourceDocument,
    document_name,
    shortened,
    stable_id,
)


def document_sources(
    documents: Sequence[Document], ids: Sequence[str | None] | None
) -> list[SourceDocument]:
    """LangChain's documents as they are written; without an id they get a stable one.

    Raises:
        ValueError: If the number of ids is another.
    """
    given = [document.id for document in documents] if ids is None else list(ids)
    if len(given) != len(documents):
        raise ValueError(f"there are {len(given)} ids for {len(documents)} documents")
    return [
        SourceDocument(
            id=source_id or stable_id(document.page_content, document.metadata),
            name=document_name(document.metadata, document.page_content),
            text=document.page_content,
            metadata=dict(document.metadata),
        )
        for document, source_id in zip(documents, given, strict=True)
    ]


def file_sources(
    files: Sequence[Path],
    metadatas: Sequence[dict[str, Any]] | None,
    ids: Sequence[str] | None,
) -> list[SourceDocument]:
    """Files as they are written; their paths are their ids, unless others are given.

    Raises:
        ValueError: If the number of metadata or ids is another.
    """
    for values, name in ((metadatas, "metadatas"), (ids, "ids")):
        if values is not None and len(values) != len(files):
            raise ValueError(f"there are {len(values)} {name} for {len(files)} files")
    return [
        SourceDocument(
            id=ids[place] if ids is not None else str(file),
            name=shortened(file.name),
            file=file,
            metadata=dict(metadatas[place]) if metadatas is not None else {"source": str(file)},
        )
        for place, file in enumerate(files)
    ]
