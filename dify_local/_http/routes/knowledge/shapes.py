"""Knowledge records as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge import Tables
from dify_local._storage.knowledge.records import (
    ACCOUNT_ID,
    ACCOUNT_NAME,
    ChildChunk,
    Dataset,
    Document,
    Hit,
    MetadataField,
    ScoredChild,
    Segment,
)

BUILT_IN_FIELDS: list[JsonObject] = [
    {"name": "document_name", "type": "string"},
    {"name": "uploader", "type": "string"},
    {"name": "upload_date", "type": "time"},
    {"name": "last_update_date", "type": "time"},
    {"name": "source", "type": "string"},
]
_NO_SETTINGS: JsonObject = {
    "search_method": "semantic_search",
    "reranking_enable": False,
    "reranking_mode": None,
    "reranking_model": {"reranking_provider_name": "", "reranking_model_name": ""},
    "weights": None,
    "top_k": 2,
    "score_threshold_enabled": False,
    "score_threshold": None,
}
_SUMMARY_SETTINGS = ("enable", "model_name", "model_provider_name", "summary_prompt")
_EXTERNAL = (
    "external_knowledge_id",
    "external_knowledge_api_id",
    "external_knowledge_api_name",
    "external_knowledge_api_endpoint",
)
Item = TypeVar("Item")
_PIPELINE_ICON = {
    "icon_type": "emoji",
    "icon": "📙",
    "icon_background": "#FFF4ED",
    "icon_url": "",
}
_ICON = ("icon_type", "icon", "icon_background", "icon_url")


def page_of(items: Sequence[Item], page: int, limit: int) -> tuple[list[Item], bool]:
    """Return one page of a list, and whether there is more; a limit of 0 gives one item."""
    size = max(1, min(limit, 100))
    start = (page - 1) * size
    return list(items[start : start + size]), start + size < len(items)


def shown_dataset(tables: Tables, dataset: Dataset, release: Release) -> JsonObject:
    """Return a dataset as create, list and update show it."""
    documents = tables.documents(dataset.id)
    settings = {**_NO_SETTINGS, **(dataset.retrieval_model or {})}
    shown: JsonObject = {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description,
        "provider": dataset.provider,
        "permission": dataset.permission,
        "data_source_type": dataset.data_source_type,
        "indexing_technique": dataset.indexing_technique,
        "app_count": dataset.app_count,
        "document_count": len(documents),
        "word_count": sum(document.word_count or 0 for document in documents),
        "created_by": ACCOUNT_ID,
        "author_name": ACCOUNT_NAME,
        "created_at": dataset.created_at,
        "updated_by": None if dataset.pipeline_id else ACCOUNT_ID,
        "updated_at": dataset.updated_at,
        "embedding_model": dataset.embedding_model,
        "embedding_model_provider": dataset.embedding_model_provider,
        "embedding_available": None,
        "retrieval_model_dict": {key: settings[key] for key in _NO_SETTINGS},
        "summary_index_setting": {
            **dict.fromkeys(_SUMMARY_SETTINGS),
            **(dataset.summary_index_setting or {}),
        },
        "tags": [{**tag, "type": "knowledge"} for tag in tables.tags_of(dataset.id)],
        "doc_form": dataset.doc_form,
        "external_knowledge_info": dict.fromkeys(_EXTERNAL),
        "external_retrieval_model": _external_settings(dataset),
        "doc_metadata": _fields(tables, dataset),
        "built_in_field_enabled": dataset.built_in_field_enabled,
        "pipeline_id": dataset.pipeline_id,
        "runtime_mode": "rag_pipeline" if dataset.pipeline_id else "general",
        "chunk_structure": dataset.doc_form if dataset.pipeline_id else None,
        "icon_info": _PIPELINE_ICON if dataset.pipeline_id else dict.fromkeys(_ICON),
        "is_published": dataset.pipeline_id is not None,
        "total_documents": len(documents),
        "total_available_documents": sum(document.available for document in documents),
        "enable_api": dataset.enable_api,
        "is_multimodal": False,
    }
    return {**shown, "maintainer": ACCOUNT_ID} if release.since(1, 16) else shown


def _external_settings(dataset: Dataset) -> JsonObject:
    settings = dataset.retrieval_model
    if settings is None:
        return {"top_k": 2, "score_threshold": 0.0, "score_threshold_enabled": None}
    return {
        key: settings.get(key) for key in ("top_k", "score_threshold", "score_threshold_enabled")
    }


def _fields(tables: Tables, dataset: Dataset) -> list[JsonObject]:
    fields = [
        {"id": field.id, "name": field.name, "type": field.type}
        for field in tables.metadata_fields(dataset.id)
    ]
    if dataset.built_in_field_enabled:
        fields += [{"id": "built-in", **field} for field in BUILT_IN_FIELDS]
    return fields


def shown_document(tables: Tables, document: Document) -> JsonObject:
    """Return a document as create, list and update show it."""
    file = document.upload_file
    rule = document.process_rule if file else None
    return {
        "id": document.id,
        "position": document.position,
        "data_source_type": document.data_source_type,
        "data_source_info": {"upload_file_id": file["id"]} if file else document.data_source_info,
        "data_source_detail_dict": {"upload_file": file} if file else {},
        "dataset_process_rule_id": rule["id"] if rule else None,
        "name": document.name,
        "created_from": document.created_from,
        "created_by": ACCOUNT_ID,
        "created_at": int(document.created_at),
        "tokens": document.tokens,
        "indexing_status": document.indexing_status,
        "error": document.error,
        **_switches(document),
        "display_status": document.display_status,
        "word_count": document.word_count,
        "hit_count": tables.hit_count(document.id),
        "doc_form": document.doc_form,
        "doc_metadata": shown_metadata(tables, document),
        "summary_index_status": None,
        "need_summary": False,
    }


def whole_document(tables: Tables, dataset: Dataset, document: Document) -> JsonObject:
    """Return a document as it is shown alone."""
    file = document.upload_file
    pipeline = document.created_from == "rag-pipeline"
    rule = None if pipeline else document.process_rule
    count = tables.segment_count(document.id)
    latest = dataset.process_rule or {"mode": "automatic", "rules": {}}
    return {
        "id": document.id,
        "position": document.position,
        "data_source_type": document.data_source_type,
        "data_source_info": {"upload_file": file} if file else {},
        "dataset_process_rule_id": rule["id"] if rule else None,
        "dataset_process_rule": {"mode": latest["mode"], "rules": latest["rules"]},
        "document_process_rule": (
            {
                "id": rule["id"],
                "dataset_id": dataset.id,
                "mode": rule["mode"],
                "rules": rule["rules"],
            }
            if rule
            else {}
        ),
        "name": document.name,
        "created_from": document.created_from,
        "created_by": ACCOUNT_ID,
        "created_at": int(document.created_at),
        "tokens": document.tokens,
        "indexing_status": document.indexing_status,
        "completed_at": document.moments.get("completed_at"),
        "updated_at": int(document.updated_at),
        "indexing_latency": document.indexing_latency,
        "error": document.error,
        **_switches(document),
        **document_metadata(tables, document),
        "segment_count": count,
        "average_segment_length": (document.word_count or 0) // count if count else 0,
        "hit_count": tables.hit_count(document.id),
        "display_status": document.display_status,
        "doc_form": document.doc_form,
        "doc_language": document.doc_language,
        "summary_index_status": None,
        "need_summary": False,
    }


def document_metadata(tables: Tables, document: Document) -> JsonObject:
    """Return the metadata of a document as it is shown alone."""
    return {"doc_type": None, "doc_metadata": shown_metadata(tables, document) or None}


def _switches(document: Document) -> JsonObject:
    return {
        "enabled": document.enabled,
        "disabled_at": document.disabled_at,
        "disabled_by": None if document.enabled else ACCOUNT_ID,
        "archived": document.archived,
    }


def shown_metadata(tables: Tables, document: Document) -> list[JsonObject]:
    """Return the metadata of a document as a list of fields with their values."""
    values = document.doc_metadata
    shown = [
        {"id": field.id, "name": field.name, "type": field.type, "value": values[field.name]}
        for field in tables.metadata_fields(document.dataset_id)
        if field.name in values
    ]
    for field in BUILT_IN_FIELDS:
        if field["name"] in values:
            value = values[field["name"]]
            text = str(value) if field["type"] == "time" else value
            shown.append({"id": "built-in", **field, "value": text})
    return shown


def shown_progress(tables: Tables, document: Document, release: Release) -> JsonObject:
    """Return the indexing status of a document."""
    shown = _progress(tables, document)
    if release.since(1, 16, 1):
        shown |= dict.fromkeys(("error_code", "estimated_vector_space_mb", "vector_space_limit_mb"))
    return shown


def _progress(tables: Tables, document: Document) -> JsonObject:
    count = tables.segment_count(document.id) if document.indexing_status == "completed" else 0
    moments = document.moments
    return {
        "id": document.id,
        "indexing_status": document.indexing_status,
        "processing_started_at": moments.get("processing_started_at"),
        "parsing_completed_at": moments.get("parsing_completed_at"),
        "cleaning_completed_at": moments.get("cleaning_completed_at"),
        "splitting_completed_at": moments.get("splitting_completed_at"),
        "completed_at": moments.get("completed_at"),
        "paused_at": moments.get("paused_at"),
        "error": document.error,
        "stopped_at": moments.get("stopped_at"),
        "completed_segments": count,
        "total_segments": count,
    }


def shown_segment(tables: Tables, segment: Segment) -> JsonObject:
    """Return a segment as its own endpoints show it."""
    return {
        **_segment(segment),
        "updated_at": segment.updated_at,
        "updated_by": segment.updated_by,
        "child_chunks": [shown_child(chunk) for chunk in tables.children(segment.id)],
        "attachments": [],
        "summary": None,
    }


def _segment(segment: Segment) -> JsonObject:
    return {
        "id": segment.id,
        "position": segment.position,
        "document_id": segment.document_id,
        "content": segment.content,
        "sign_content": segment.content,
        "answer": segment.answer,
        "word_count": segment.word_count,
        "tokens": segment.tokens,
        "keywords": segment.keywords,
        "index_node_id": segment.index_node_id,
        "index_node_hash": segment.index_node_hash,
        "hit_count": segment.hit_count,
        "enabled": segment.enabled,
        "disabled_at": segment.disabled_at,
        "disabled_by": None if segment.enabled else ACCOUNT_ID,
        "status": segment.status,
        "created_by": ACCOUNT_ID,
        "created_at": segment.created_at,
        "indexing_at": segment.indexing_at,
        "completed_at": segment.indexing_at,
        "error": None,
        "stopped_at": None,
    }


def shown_child(chunk: ChildChunk) -> JsonObject:
    """Return a child chunk."""
    return {
        "id": chunk.id,
        "segment_id": chunk.segment_id,
        "content": chunk.content,
        "position": chunk.position,
        "word_count": len(chunk.content),
        "type": chunk.type,
        "created_at": chunk.created_at,
        "updated_at": chunk.updated_at,
    }


def shown_record(hit: Hit) -> JsonObject:
    """Return a retrieved segment."""
    document = hit.document
    return {
        "segment": {
            **_segment(hit.segment),
            "sign_content": None,
            "keywords": hit.segment.keywords or [],
            "document": {
                "id": document.id,
                "data_source_type": document.data_source_type,
                "name": document.name,
                "doc_type": None,
                "doc_metadata": document.doc_metadata or None,
            },
        },
        "child_chunks": [_scored_child(child) for child in hit.child_chunks],
        "score": hit.score,
        "tsne_position": None,
        "files": [],
        "summary": None,
    }


def _scored_child(child: ScoredChild) -> JsonObject:
    chunk = child.chunk
    return {
        "id": chunk.id,
        "content": chunk.content,
        "position": chunk.position,
        "score": child.score,
    }


def shown_field(field: MetadataField) -> JsonObject:
    """Return a metadata field as create and update show it."""
    return {"id": field.id, "type": field.type, "name": field.name}
