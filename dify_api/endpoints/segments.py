"""Segments, which the interface calls chunks: the passages of a document, and their child chunks.

With a dataset key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal

from dify_api.endpoints.pages import Page, numbered
from dify_api.models import Items, Model, Timestamp
from dify_api.operation import Operation, path, require, require_some, require_uuid

IndexingStatus = Literal[
    "waiting", "parsing", "cleaning", "splitting", "indexing", "completed", "error", "paused"
]


class ChildChunk(Model):
    """A part of a segment, by which it is found in hierarchical documents (0.15.0 and later)."""

    id: str | None = None
    segment_id: str | None = None
    content: str = ""
    position: int | None = None
    """Place in the segment, from 1."""
    word_count: int | None = None
    """Characters."""
    type: str | None = None
    """"automatic", or "customized" where it was written by hand."""
    score: float | None = None
    """Relevance, of what a search has found."""
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class SegmentAttachment(Model):
    """A file of a segment (1.11.0 and later)."""

    id: str | None = None
    name: str | None = None
    size: int | None = None
    """Bytes."""
    extension: str | None = None
    mime_type: str | None = None
    source_url: str | None = None


class SegmentDocument(Model):
    """The document that a passage is from."""

    id: str | None = None
    name: str | None = None
    data_source_type: str | None = None
    doc_type: str | None = None
    doc_metadata: dict[str, Any] | None = None


class Segment(Model):
    """A passage of a document."""

    id: str = ""
    position: int | None = None
    """Place in the document, from 1."""
    document_id: str | None = None
    content: str = ""
    sign_content: str | None = None
    """`content` with signed URLs (1.0.0 and later)."""
    answer: str | None = None
    """Of a question-and-answer passage, whose question is `content`."""
    word_count: int | None = None
    """Characters."""
    tokens: int | None = None
    keywords: list[str] | None = None
    index_node_id: str | None = None
    index_node_hash: str | None = None
    hit_count: int | None = None
    enabled: bool | None = None
    status: str | None = None
    """waiting, indexing, completed, error, re_segment or paused."""
    created_by: str | None = None
    created_at: Timestamp | None = None
    updated_by: str | None = None
    updated_at: Timestamp | None = None
    disabled_by: str | None = None
    disabled_at: Timestamp | None = None
    indexing_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    stopped_at: Timestamp | None = None
    error: str | None = None
    child_chunks: Items[ChildChunk] = []
    attachments: Items[SegmentAttachment] = []
    summary: str | None = None
    doc_form: str | None = None
    """How its document is split; known where one segment was asked for."""
    document: SegmentDocument = SegmentDocument()
    """Of what a search has found; empty elsewhere."""


class NewSegment(Model):
    """A segment to add.

    Example:
        >>> NewSegment(content="Saturn has 146 moons.", keywords=["Saturn", "moons"])
    """

    content: str
    answer: str | None = None
    """Question-and-answer documents need one."""
    keywords: list[str] | None = None
    """By which economy knowledge bases find it. Default: the server's guess."""
    attachment_ids: list[str] | None = None
    """Uploaded files (1.11.0 and later)."""


def create(
    dataset_id: str, document_id: str, segments: Sequence[str | NewSegment | Mapping[str, Any]]
) -> Operation[Page[Segment]]:
    """Add segments (`POST /datasets/{dataset_id}/documents/{document_id}/segments`).

    The document must be indexed and enabled, else a server answers 404.

    Args:
        dataset_id: The knowledge base.
        document_id: The document, at whose end they are added.
        segments: Texts, or segments with keywords and answers.

    Raises:
        ValueError: If an id is no UUID, there is no segment, or one without content.

    Example:
        >>> added = client.send(create(dataset_id, document_id, ["Saturn has 146 moons."]))
        >>> added.data[0].id
        '0ddc56bc-...'
    """
    if isinstance(segments, str) or not segments:
        raise ValueError("segments must be a list with at least one segment")
    return Operation(
        "POST",
        _path(dataset_id, document_id),
        Page[Segment],
        json={"segments": [_new_segment(segment) for segment in segments]},
    )


def list_segments(
    dataset_id: str,
    document_id: str,
    *,
    keyword: str | None = None,
    status: IndexingStatus | Sequence[IndexingStatus] | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Operation[Page[Segment]]:
    """List segments (`GET /datasets/{dataset_id}/documents/{document_id}/segments`).

    Args:
        dataset_id: The knowledge base.
        document_id: The document.
        keyword: Text to find in them.
        status: Only those in one of these states.
        page: Number of the page, from 1.
        limit: Segments on a page, 1 to 100. Default: the server's, 20.

    Raises:
        ValueError: If an id is no UUID, or a number is out of bounds.
    """
    states = [status] if isinstance(status, str) else list(status or ())
    return Operation(
        "GET",
        _path(dataset_id, document_id),
        Page[Segment],
        query={"keyword": keyword, "status": states or None, **numbered(page, limit)},
        repeatable=True,
        page="page",
    )


def get(dataset_id: str, document_id: str, segment_id: str) -> Operation[Segment]:
    """Look one up (`GET /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}`).

    Servers since about 1.5.0.

    Raises:
        ValueError: If an id is no UUID.
    """
    place = _path(dataset_id, document_id, segment_id)
    return Operation("GET", place, Segment, enveloped=True, repeatable=True)


def update(
    dataset_id: str,
    document_id: str,
    segment_id: str,
    *,
    content: str | None = None,
    answer: str | None = None,
    keywords: Sequence[str] | None = None,
    enabled: bool | None = None,
    regenerate_child_chunks: bool | None = None,
    attachment_ids: Sequence[str] | None = None,
    summary: str | None = None,
) -> Operation[Segment]:
    """Change one (`POST /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}`).

    Args:
        dataset_id: The knowledge base.
        document_id: The document.
        segment_id: The segment.
        content: Its text. Servers keep the old one for "".
        answer: Its answer, in question-and-answer documents.
        keywords: Its keywords, in place of the old ones.
        enabled: Whether it is found. A disabled one can be changed only with True.
        regenerate_child_chunks: Split it into child chunks anew.
        attachment_ids: Uploaded files (1.11.0 and later).
        summary: Its summary (1.12.0 and later).

    Raises:
        ValueError: If an id is no UUID, or nothing is to be changed.
    """
    if content is not None:
        require(content, "content", "servers keep the old text for it; delete the segment instead")
    segment = require_some(
        {
            "content": content,
            "answer": answer,
            "keywords": None if keywords is None else list(keywords),
            "enabled": enabled,
            "regenerate_child_chunks": regenerate_child_chunks,
            "attachment_ids": None if attachment_ids is None else list(attachment_ids),
            "summary": summary,
        },
        "nothing of the segment is changed",
    )
    place = _path(dataset_id, document_id, segment_id)
    return Operation("POST", place, Segment, json={"segment": segment}, enveloped=True)


def delete(dataset_id: str, document_id: str, segment_id: str) -> Operation[None]:
    """Delete one (`DELETE /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}`).

    Raises:
        ValueError: If an id is no UUID.
    """
    return Operation("DELETE", _path(dataset_id, document_id, segment_id), NoneType)


def create_child_chunk(
    dataset_id: str, document_id: str, segment_id: str, content: str
) -> Operation[ChildChunk]:
    """Add a child chunk.

    `POST /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks`;
    servers since about 1.1.0.

    Raises:
        ValueError: If an id is no UUID, or `content` is empty.
    """
    place = f"{_path(dataset_id, document_id, segment_id)}/child_chunks"
    return Operation("POST", place, ChildChunk, json=_child_chunk(content), enveloped=True)


def list_child_chunks(
    dataset_id: str,
    document_id: str,
    segment_id: str,
    *,
    keyword: str | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Operation[Page[ChildChunk]]:
    """List child chunks.

    `GET /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks`;
    servers since about 1.1.0.

    Args:
        dataset_id: The knowledge base.
        document_id: The document.
        segment_id: The segment.
        keyword: Text to find in them.
        page: Number of the page, from 1.
        limit: Child chunks on a page, 1 to 100. Default: the server's, 20.

    Raises:
        ValueError: If an id is no UUID, or a number is out of bounds.
    """
    return Operation(
        "GET",
        f"{_path(dataset_id, document_id, segment_id)}/child_chunks",
        Page[ChildChunk],
        query={"keyword": keyword, **numbered(page, limit)},
        repeatable=True,
        page="page",
    )


def update_child_chunk(
    dataset_id: str, document_id: str, segment_id: str, child_chunk_id: str, content: str
) -> Operation[ChildChunk]:
    """Change a child chunk's text.

    `PATCH
    /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks/{child_chunk_id}`;
    servers since about 1.1.0.

    Raises:
        ValueError: If an id is no UUID, or `content` is empty.
    """
    place = _child_path(dataset_id, document_id, segment_id, child_chunk_id)
    return Operation("PATCH", place, ChildChunk, json=_child_chunk(content), enveloped=True)


def delete_child_chunk(
    dataset_id: str, document_id: str, segment_id: str, child_chunk_id: str
) -> Operation[None]:
    """Delete a child chunk.

    `DELETE
    /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks/{child_chunk_id}`;
    servers since about 1.1.0.

    Raises:
        ValueError: If an id is no UUID.
    """
    place = _child_path(dataset_id, document_id, segment_id, child_chunk_id)
    return Operation("DELETE", place, NoneType)


def _new_segment(given: str | NewSegment | Mapping[str, Any]) -> dict[str, Any]:
    segment = NewSegment.model_validate({"content": given} if isinstance(given, str) else given)
    require(segment.content, "content", "a segment needs a text")
    return segment.model_dump(mode="json", exclude_none=True)


def _child_chunk(content: str) -> dict[str, str]:
    return {"content": require(content, "content", "a child chunk needs a text")}


def _path(dataset_id: str, document_id: str, segment_id: str | None = None) -> str:
    require_uuid(dataset_id, "dataset_id")
    require_uuid(document_id, "document_id")
    place = path("/datasets/{}/documents/{}/segments", dataset_id, document_id)
    if segment_id is None:
        return place
    return f"{place}/{require_uuid(segment_id, 'segment_id')}"


def _child_path(dataset_id: str, document_id: str, segment_id: str, child_chunk_id: str) -> str:
    require_uuid(child_chunk_id, "child_chunk_id")
    return f"{_path(dataset_id, document_id, segment_id)}/child_chunks/{child_chunk_id}"
