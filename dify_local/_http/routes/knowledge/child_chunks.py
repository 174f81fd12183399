"""Child chunks of a segment: added, listed, changed, deleted."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import deleted, json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    ChildChunkCreatePayload,
    ChildChunkListQuery,
    ChildChunkUpdatePayload,
)
from dify_local._http.routes.knowledge.shapes import page_of, shown_child
from dify_local._protocol.errors import not_found
from dify_local._protocol.values import now
from dify_local._storage.knowledge.records import ChildChunk, Document, Segment


async def create(request: Request) -> Response:
    """`POST .../segments/{segment_id}/child_chunks`."""
    call, document, segment = _called(request)
    payload = await call.payload(ChildChunkCreatePayload)
    chunks = call.tables.children(segment.id)
    position = max((chunk.position for chunk in chunks), default=0) + 1
    chunk = ChildChunk(segment.id, payload.content, position, "customized")
    _save(call, document, segment, chunk)
    return json_response({"data": shown_child(chunk)})


async def list_chunks(request: Request) -> Response:
    """`GET .../segments/{segment_id}/child_chunks`."""
    call, _, segment = _called(request)
    query = call.query(ChildChunkListQuery)
    keyword = (query.keyword or "").lower()
    found = [
        chunk for chunk in call.tables.children(segment.id) if keyword in chunk.content.lower()
    ]
    data, _ = page_of(found, query.page, query.limit)
    return json_response(
        {
            "data": [shown_child(chunk) for chunk in data],
            "total": len(found),
            "total_pages": -(-len(found) // query.limit),
            "page": query.page,
            "limit": query.limit,
        }
    )


async def update(request: Request) -> Response:
    """`PATCH .../segments/{segment_id}/child_chunks/{child_chunk_id}`."""
    call, document, segment = _called(request)
    chunk = _chunk(call, segment)
    payload = await call.payload(ChildChunkUpdatePayload)
    chunk.content, chunk.type, chunk.updated_at = payload.content, "customized", now()
    _save(call, document, segment, chunk)
    return json_response({"data": shown_child(chunk)})


async def delete(request: Request) -> Response:
    """`DELETE .../segments/{segment_id}/child_chunks/{child_chunk_id}`."""
    call, document, segment = _called(request)
    chunk = _chunk(call, segment)
    with call.tables.store.transaction():
        call.tables.delete_child(chunk)
        call.tables.save_segment(segment, document.title)
    return deleted(call.service.release)


def _called(request: Request) -> tuple[KnowledgeCall, Document, Segment]:
    call = knowledge_call(request)
    document = call.document(call.dataset())
    return call, document, call.segment(document)


def _chunk(call: KnowledgeCall, segment: Segment) -> ChildChunk:
    chunk = call.tables.child(segment.id, call.path("child_chunk_id"))
    if chunk is None:
        raise not_found("Child chunk not found.")
    return chunk


def _save(call: KnowledgeCall, document: Document, segment: Segment, chunk: ChildChunk) -> None:
    with call.tables.store.transaction():
        call.tables.save_child(chunk)
        call.tables.save_segment(segment, document.title)


_CHUNKS = (
    "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}"
    "/segments/{segment_id:uuid}/child_chunks"
)
_CHUNK = f"{_CHUNKS}/{{child_chunk_id:uuid}}"

routes = [
    Route(_CHUNKS, create, methods=["POST"]),
    Route(_CHUNKS, list_chunks),
    Route(_CHUNK, update, methods=["PATCH"]),
    Route(_CHUNK, delete, methods=["DELETE"]),
]
