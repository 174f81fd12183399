"""Segments of a document: added, listed, changed, deleted."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.requests import json_body
from dify_local._http.responses import deleted, json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    SegmentCreatePayload,
    SegmentListQuery,
    SegmentUpdateArgs,
    SegmentUpdatePayload,
)
from dify_local._http.routes.knowledge.shapes import page_of, shown_segment
from dify_local._protocol.errors import invalid_param, not_found
from dify_local._protocol.values import now
from dify_local._storage.knowledge.records import ACCOUNT_ID, Document, Segment
from dify_local._storage.knowledge.splitting import count_tokens
from dify_local._storage.knowledge.writing import child_chunks, new_segment


async def create(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/documents/{document_id}/segments`."""
    call = knowledge_call(request)
    document = call.document(call.dataset())
    if document.indexing_status != "completed":
        raise not_found("Document is not completed.")
    if not document.enabled:
        raise not_found("Document is disabled.")
    try:
        payload = SegmentCreatePayload.model_validate(await json_body(request))
    except ValidationError as error:
        # Dify lets this one out by another door: without code and status.
        return json_response({"error": str(error)}, 400)
    segments = call.tables.segments(document.id)
    position = max((segment.position for segment in segments), default=0)
    made = []
    for given in payload.segments:
        if not given.content.strip():
            return json_response({"error": "Content is empty"}, 400)
        if document.doc_form == "qa_model" and not given.answer:
            raise invalid_param("Answer is required")
        position += 1
        segment = new_segment(document, position, given.content, given.answer)
        segment.keywords = given.keywords or []
        made.append(segment)
    with call.tables.store.transaction():
        for segment in made:
            for chunk in child_chunks(document, segment):
                call.tables.save_child(chunk)
            _save(call, document, segment)
    shown = [shown_segment(call.tables, segment) for segment in made]
    return json_response({"data": shown, "doc_form": document.doc_form})


async def list_segments(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/documents/{document_id}/segments`."""
    call = knowledge_call(request)
    document = call.document(call.dataset())
    query = call.query(SegmentListQuery, "status")
    keyword = (query.keyword or "").lower()
    found = [
        segment
        for segment in call.tables.segments(document.id)
        if keyword in segment.content.lower()
        and (not query.status or segment.status in query.status)
    ]
    data, has_more = page_of(found, query.page, query.limit)
    return json_response(
        {
            "data": [shown_segment(call.tables, segment) for segment in data],
            "doc_form": document.doc_form,
            "total": len(found),
            "has_more": has_more,
            "limit": query.limit,
            "page": query.page,
        }
    )


async def show(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}`."""
    call = knowledge_call(request)
    document = call.document(call.dataset())
    return _shown(call, document, call.segment(document))


async def update(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}`."""
    call = knowledge_call(request)
    document = call.document(call.dataset())
    segment = call.segment(document)
    given = (await call.payload(SegmentUpdatePayload)).segment
    _change(call, document, segment, given)
    return _shown(call, document, segment)


def _change(
    call: KnowledgeCall, document: Document, segment: Segment, given: SegmentUpdateArgs
) -> None:
    if given.enabled is False:
        if not segment.enabled:
            raise invalid_param("Segment is already disabled.")
        segment.enabled, segment.disabled_at = False, now()
        _save(call, document, segment)
        return
    if not segment.enabled and not given.enabled:
        raise invalid_param("Can't update disabled segment")
    if document.doc_form == "qa_model" and given.content and not given.answer:
        raise invalid_param("Answer is required")
    same_text = given.content == segment.content
    if given.keywords is not None and same_text:
        segment.keywords = given.keywords
    segment.enabled, segment.disabled_at = True, None
    segment.content = given.content or segment.content
    segment.answer = given.answer or segment.answer
    segment.tokens = count_tokens(f"{segment.content} {segment.answer or ''}")
    segment.updated_at = segment.indexing_at = now()
    segment.updated_by = ACCOUNT_ID
    with call.tables.store.transaction():
        if given.regenerate_child_chunks:
            for old in call.tables.children(segment.id):
                call.tables.delete_child(old)
            for new in child_chunks(document, segment):
                call.tables.save_child(new)
        _save(call, document, segment)


async def delete(request: Request) -> Response:
    """`DELETE /datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}`."""
    call = knowledge_call(request)
    document = call.document(call.dataset())
    segment = call.segment(document)
    with call.tables.store.transaction():
        call.tables.delete_segments([segment])
        _count_words(call, document)
    return deleted(call.service.release)


def _save(call: KnowledgeCall, document: Document, segment: Segment) -> None:
    with call.tables.store.transaction():
        call.tables.save_segment(segment, document.title)
        _count_words(call, document)


def _count_words(call: KnowledgeCall, document: Document) -> None:
    segments = call.tables.segments(document.id)
    document.word_count = sum(segment.word_count for segment in segments)
    call.tables.save_document(document)


def _shown(call: KnowledgeCall, document: Document, segment: Segment) -> Response:
    shown = shown_segment(call.tables, segment)
    return json_response({"data": shown, "doc_form": document.doc_form})


_SEGMENTS = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/segments"
_SEGMENT = f"{_SEGMENTS}/{{segment_id:uuid}}"

routes = [
    Route(_SEGMENTS, create, methods=["POST"]),
    Route(_SEGMENTS, list_segments),
    Route(_SEGMENT, show),
    Route(_SEGMENT, update, methods=["POST"]),
    Route(_SEGMENT, delete, methods=["DELETE"]),
]
