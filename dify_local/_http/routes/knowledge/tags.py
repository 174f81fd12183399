"""Tags of knowledge bases: made, listed, renamed, deleted, bound and unbound."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import deleted, json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    TagBindingPayload,
    TagCreatePayload,
    TagDeletePayload,
    TagUnbindingPayload,
    TagUpdatePayload,
)
from dify_local._protocol.errors import invalid_param, not_found
from dify_local._protocol.values import JsonObject, new_id


async def list_tags(request: Request) -> Response:
    """`GET /datasets/tags`."""
    call = knowledge_call(request)
    return json_response([_shown(call, tag) for tag in call.tables.tags()])


async def create(request: Request) -> Response:
    """`POST /datasets/tags`."""
    call = knowledge_call(request)
    payload = await call.payload(TagCreatePayload)
    _require_new_name(call, payload.name)
    tag = {"id": new_id(), "name": payload.name}
    call.tables.save_tag(tag["id"], tag["name"])
    return json_response(_shown(call, tag))


async def update(request: Request) -> Response:
    """`PATCH /datasets/tags`."""
    call = knowledge_call(request)
    payload = await call.payload(TagUpdatePayload)
    _require_new_name(call, payload.name)
    _require_tag(call, payload.tag_id)
    call.tables.save_tag(payload.tag_id, payload.name)
    return json_response(_shown(call, {"id": payload.tag_id, "name": payload.name}))


async def delete(request: Request) -> Response:
    """`DELETE /datasets/tags`."""
    call = knowledge_call(request)
    payload = await call.payload(TagDeletePayload)
    _require_tag(call, payload.tag_id)
    with call.tables.store.transaction():
        call.tables.delete_tag(payload.tag_id)
    return deleted(call.service.release)


async def bind(request: Request) -> Response:
    """`POST /datasets/tags/binding`; unknown tags are left out."""
    call = knowledge_call(request)
    payload = await call.payload(TagBindingPayload)
    _require_dataset(call, payload.target_id)
    for tag_id in payload.tag_ids:
        call.tables.bind_tag(tag_id, payload.target_id)
    return deleted(call.service.release)


async def unbind(request: Request) -> Response:
    """`POST /datasets/tags/unbinding`."""
    call = knowledge_call(request)
    payload = await call.payload(TagUnbindingPayload)
    _require_dataset(call, payload.target_id)
    for tag_id in [*payload.tag_ids, payload.tag_id]:
        if tag_id:
            call.tables.unbind_tag(tag_id, payload.target_id)
    return deleted(call.service.release)


async def list_of_dataset(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/tags`."""
    call = knowledge_call(request)
    tags = call.tables.tags_of(call.dataset().id)
    return json_response({"data": tags, "total": len(tags)})


def _shown(call: KnowledgeCall, tag: JsonObject) -> JsonObject:
    return {**tag, "type": "knowledge", "binding_count": str(call.tables.bindings_of(tag["id"]))}


def _require_new_name(call: KnowledgeCall, name: str) -> None:
    if any(tag["name"] == name for tag in call.tables.tags()):
        raise invalid_param("Tag name already exists")


def _require_tag(call: KnowledgeCall, tag_id: str) -> None:
    if not any(tag["id"] == tag_id for tag in call.tables.tags()):
        raise not_found("Tag not found.")


def _require_dataset(call: KnowledgeCall, dataset_id: str) -> None:
    if call.tables.dataset(dataset_id) is None:
        raise not_found("Dataset not found.")


routes = [
    Route("/datasets/tags", list_tags),
    Route("/datasets/tags", create, methods=["POST"]),
    Route("/datasets/tags", update, methods=["PATCH"]),
    Route("/datasets/tags", delete, methods=["DELETE"]),
    Route("/datasets/tags/binding", bind, methods=["POST"]),
    Route("/datasets/tags/unbinding", unbind, methods=["POST"]),
    Route("/datasets/{dataset_id:uuid}/tags", list_of_dataset),
]
