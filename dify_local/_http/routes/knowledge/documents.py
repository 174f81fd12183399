"""Documents: made of a text or a file, changed, listed, deleted."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import deleted, json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    DocumentListQuery,
    DocumentSettings,
    DocumentTextCreatePayload,
    DocumentTextUpdate,
    KnowledgeConfig,
    ProcessRule,
)
from dify_local._http.routes.knowledge.shapes import (
    document_metadata,
    page_of,
    shown_document,
    shown_progress,
    whole_document,
)
from dify_local._protocol.errors import ApiError, invalid_param, not_found
from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge.records import (
    EMBEDDING_MODEL,
    EMBEDDING_PROVIDER,
    Dataset,
    Document,
)

# Which display status a filter means; what is unknown filters nothing.
_STATUS = {
    "queuing": "queuing",
    "indexing": "indexing",
    "paused": "paused",
    "error": "error",
    "available": "available",
    "completed": "available",
    "disabled": "disabled",
    "archived": "archived",
}


async def create_by_text(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/document/create-by-text`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(DocumentTextCreatePayload)
    KnowledgeConfig.model_validate(payload.model_dump(exclude_none=True, include=_CONFIG))
    rule = process_rule(payload.process_rule)
    take_settings(dataset, payload)
    document = call.service.writer.create(
        dataset,
        payload.name,
        call.service.writer.keep_text(payload.name, payload.text),
        doc_form=payload.doc_form,
        doc_language=payload.doc_language,
        process_rule=rule,
    )
    return indexed(call, document)


async def update_by_text(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/documents/{document_id}/update-by-text`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(DocumentTextUpdate)
    document = call.document(dataset, "Document not found")
    rule = process_rule(payload.process_rule)
    if payload.text is None and rule is None:
        raise invalid_param("Data source or Process rule is required")
    file = None
    if payload.text is not None:
        require_available(document)
        file = call.service.writer.keep_text(str(payload.name), payload.text)
    call.service.writer.update(
        dataset,
        document,
        name=payload.name,
        file=file,
        doc_form=payload.doc_form,
        doc_language=payload.doc_language,
        process_rule=rule,
    )
    return indexed(call, document)


_CONFIG = {"indexing_technique", "name", "text"}


def process_rule(given: ProcessRule | None) -> JsonObject | None:
    """Return a process rule as it is kept, or None where none was given.

    Raises:
        ApiError: It has a mode that needs rules, and none.
    """
    if given is None:
        return None
    if given.mode == "automatic":
        return {"mode": "automatic"}
    if given.rules is None or given.rules.segmentation is None:
        raise invalid_param("Process rule rules is required")
    return {"mode": given.mode, "rules": given.rules.model_dump()}


def take_settings(dataset: Dataset, settings: DocumentSettings) -> None:
    """Let a dataset take over what its first document says about it."""
    dataset.indexing_technique = dataset.indexing_technique or settings.indexing_technique
    if dataset.has_vectors and dataset.embedding_model is None:
        dataset.embedding_model = settings.embedding_model or EMBEDDING_MODEL
        dataset.embedding_model_provider = settings.embedding_model_provider or EMBEDDING_PROVIDER
    if settings.retrieval_model and dataset.retrieval_model is None:
        dataset.retrieval_model = settings.retrieval_model.model_dump(
            exclude={"metadata_filtering_conditions"}
        )


def require_available(document: Document) -> None:
    """Refuse a document that cannot be changed now."""
    if not document.available:
        raise invalid_param("Document is not available")


def indexed(call: KnowledgeCall, document: Document) -> Response:
    """Return what creating and updating answer, and begin to index the document."""
    call.service.index(document)
    shown = shown_document(call.tables, document)
    return json_response({"document": shown, "batch": document.batch})


async def list_documents(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/documents`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    query = call.query(DocumentListQuery)
    keyword = (query.keyword or "").lower()
    status = _STATUS.get(query.status or "")
    found = [
        document
        for document in reversed(call.tables.documents(dataset.id))
        if keyword in document.name.lower() and status in {None, document.display_status}
    ]
    data, has_more = page_of(found, query.page, query.limit)
    return json_response(
        {
            "data": [shown_document(call.tables, document) for document in data],
            "has_more": has_more and query.limit > 0,
            "limit": query.limit,
            "total": len(found),
            "page": query.page,
        }
    )


async def show(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/documents/{document_id}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    document = call.document(dataset)
    which = request.query_params.get("metadata", "all")
    if which not in {"all", "only", "without"}:
        raise ApiError(400, "invalid_metadata", f"Invalid metadata value: {which}")
    metadata: dict[str, Any] = document_metadata(call.tables, document)
    if which == "only":
        return json_response({"id": document.id, **metadata})
    shown = whole_document(call.tables, dataset, document)
    if which == "without":
        shown = {key: value for key, value in shown.items() if key not in metadata}
    return json_response(shown)


async def delete(request: Request) -> Response:
    """`DELETE /datasets/{dataset_id}/documents/{document_id}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    document = call.document(dataset, "Document Not Exists.")
    if document.archived:
        raise ApiError(403, "archived_document_immutable", "The archived document is not editable.")
    with call.tables.store.transaction():
        call.tables.delete_document(document)
    return deleted(call.service.release)


async def indexing_status(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/documents/{batch}/indexing-status`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    documents = call.tables.batch(dataset.id, call.path("batch"))
    if not documents:
        raise not_found("Documents not found.")
    release = call.service.release
    return json_response(
        {"data": [shown_progress(call.tables, document, release) for document in documents]}
    )


_DATASET = "/datasets/{dataset_id:uuid}"
_DOCUMENT = f"{_DATASET}/documents/{{document_id:uuid}}"

routes = [
    Route(f"{_DATASET}/document/create-by-text", create_by_text, methods=["POST"]),
    Route(f"{_DATASET}/document/create_by_text", create_by_text, methods=["POST"]),
    Route(f"{_DOCUMENT}/update-by-text", update_by_text, methods=["POST"]),
    Route(f"{_DOCUMENT}/update_by_text", update_by_text, methods=["POST"]),
    Route(f"{_DATASET}/documents", list_documents),
    Route(f"{_DATASET}/documents/{{batch}}/indexing-status", indexing_status),
    Route(_DOCUMENT, show),
    Route(_DOCUMENT, delete, methods=["DELETE"]),
]
