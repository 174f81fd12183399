"""What servers tell about documents."""

from __future__ import annotations

from typing import Any, Literal

from dify_api.endpoints.document_settings import ProcessRule
from dify_api.models import Items, Model, Timestamp

DisplayStatus = Literal[
    "queuing", "indexing", "paused", "error", "available", "disabled", "archived"
]
StatusAction = Literal["enable", "disable", "archive", "un_archive"]


class DocumentMetadata(Model):
    """The value of a metadata field on a document."""

    id: str | None = None
    """Of the field; "built-in" for those that a server fills itself."""
    name: str = ""
    type: str | None = None
    """string, number or time."""
    value: Any = None
    """Text, a number, or seconds since 1970 for a time."""


class Document(Model):
    """A document of a knowledge base. Lists leave out what `get` tells besides."""

    id: str = ""
    position: int | None = None
    """Place in the knowledge base, from 1."""
    name: str = ""
    data_source_type: str | None = None
    """upload_file (texts too), local_file, notion_import, website_crawl, ..."""
    data_source_info: dict[str, Any] | None = None
    data_source_detail_dict: dict[str, Any] | None = None
    """With the `upload_file`: its name, size, type."""
    dataset_process_rule_id: str | None = None
    dataset_process_rule: ProcessRule | None = None
    """The latest of the knowledge base."""
    document_process_rule: ProcessRule | None = None
    """By which the document was split."""
    created_from: str | None = None
    """api, web or rag-pipeline."""
    created_by: str | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    tokens: int | None = None
    word_count: int | None = None
    """Characters."""
    hit_count: int | None = None
    indexing_status: str | None = None
    """waiting, parsing, cleaning, splitting, indexing, completed, error or paused."""
    indexing_latency: float | None = None
    """Seconds."""
    completed_at: Timestamp | None = None
    error: str | None = None
    """Why it could not be indexed."""
    enabled: bool | None = None
    disabled_at: Timestamp | None = None
    disabled_by: str | None = None
    archived: bool | None = None
    display_status: str | None = None
    """queuing, indexing, paused, error, available, disabled or archived."""
    doc_form: str | None = None
    """text_model, hierarchical_model or qa_model."""
    doc_language: str | None = None
    doc_type: str | None = None
    doc_metadata: Items[DocumentMetadata] = []
    segment_count: int | None = None
    average_segment_length: float | None = None
    """Characters."""
    summary_index_status: str | None = None
    need_summary: bool | None = None


class DocumentBatch(Model):
    """A document that is being indexed."""

    document: Document = Document()
    batch: str = ""
    """For `indexing_status`."""


class IndexingProgress(Model):
    """How far the indexing of a document is."""

    id: str = ""
    """Of the document."""
    indexing_status: str | None = None
    """waiting, parsing, cleaning, splitting, indexing, completed, error or paused."""
    error: str | None = None
    error_code: str | None = None
    completed_segments: int | None = None
    total_segments: int | None = None
    processing_started_at: Timestamp | None = None
    parsing_completed_at: Timestamp | None = None
    cleaning_completed_at: Timestamp | None = None
    splitting_completed_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    paused_at: Timestamp | None = None
    stopped_at: Timestamp | None = None


class DocumentDownload(Model):
    """Where the file of a document is."""

    url: str = ""
    """Signed and short-lived; any HTTP client gets it, without the key."""
    download_url: str | None = None
    """The same as an attachment; servers before 1.14."""
