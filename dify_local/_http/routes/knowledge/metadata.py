"""Metadata: the fields of a knowledge base, and the values of its documents."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import deleted, json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    DocumentMetadataOperation,
    MetadataArgs,
    MetadataOperationData,
    MetadataUpdatePayload,
)
from dify_local._http.routes.knowledge.shapes import BUILT_IN_FIELDS, shown_field
from dify_local._protocol.errors import invalid_param, not_found
from dify_local._protocol.values import JsonObject, now
from dify_local._storage.knowledge.records import Dataset, Document, MetadataField
from dify_local._storage.knowledge.writing import built_in_values

_SUCCESS = {"result": "success"}
_BUILT_IN_NAMES = {str(field["name"]) for field in BUILT_IN_FIELDS}
_BUILT_IN_ID = "built-in"


async def create_field(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/metadata`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(MetadataArgs)
    _require_new_name(call, dataset, payload.name)
    field = MetadataField(dataset.id, payload.name, payload.type)
    call.tables.save_metadata_field(field)
    return json_response(shown_field(field), 201)


async def list_fields(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/metadata`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    documents = call.tables.documents(dataset.id)
    fields: list[JsonObject] = [
        {
            "id": field.id,
            "name": field.name,
            "type": field.type,
            "count": sum(field.name in document.doc_metadata for document in documents),
        }
        for field in call.tables.metadata_fields(dataset.id)
    ]
    enabled = dataset.built_in_field_enabled
    return json_response({"doc_metadata": fields, "built_in_field_enabled": enabled})


async def update_field(request: Request) -> Response:
    """`PATCH /datasets/{dataset_id}/metadata/{metadata_id}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(MetadataUpdatePayload)
    _require_new_name(call, dataset, payload.name)
    field = _field(call, dataset, call.path("metadata_id"))
    if field is None:
        raise invalid_param("3 validation errors for DatasetMetadataResponse")
    old_name, field.name = field.name, payload.name
    with call.tables.store.transaction():
        call.tables.save_metadata_field(field)
        for document in call.tables.documents(dataset.id):
            if old_name in document.doc_metadata:
                document.doc_metadata[field.name] = document.doc_metadata.pop(old_name)
                call.tables.save_document(document)
    return json_response(shown_field(field))


async def delete_field(request: Request) -> Response:
    """`DELETE /datasets/{dataset_id}/metadata/{metadata_id}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    field = _field(call, dataset, call.path("metadata_id"))
    if field:
        with call.tables.store.transaction():
            call.tables.delete_metadata_field(field)
            for document in call.tables.documents(dataset.id):
                if document.doc_metadata.pop(field.name, None) is not None:
                    call.tables.save_document(document)
    return deleted(call.service.release)


async def list_built_in(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/metadata/built-in`."""
    call = knowledge_call(request)
    if "dataset_id" in request.path_params:
        call.dataset()
    return json_response({"fields": BUILT_IN_FIELDS})


async def switch_built_in(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/metadata/built-in/{action}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    action = call.path("action")
    if action in {"enable", "disable"}:
        dataset.built_in_field_enabled = action == "enable"
        dataset.updated_at = now()
        with call.tables.store.transaction():
            call.tables.save_dataset(dataset)
            for document in call.tables.documents(dataset.id):
                _switch(document, enabled=dataset.built_in_field_enabled)
                call.tables.save_document(document)
    return json_response(_SUCCESS)


def _switch(document: Document, *, enabled: bool) -> None:
    if enabled:
        document.doc_metadata.update(built_in_values(document))
    else:
        for name in _BUILT_IN_NAMES:
            document.doc_metadata.pop(name, None)


async def update_documents(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/documents/metadata`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(MetadataOperationData)
    with call.tables.store.transaction():
        for operation in payload.operation_data:
            _update_document(call, dataset, operation)
    return json_response(_SUCCESS)


def _update_document(
    call: KnowledgeCall, dataset: Dataset, operation: DocumentMetadataOperation
) -> None:
    document = call.tables.document(dataset.id, operation.document_id)
    if document is None:
        raise not_found("Document not found.")
    values = dict(document.doc_metadata) if operation.partial_update else {}
    for given in operation.metadata_list:
        if given.id == _BUILT_IN_ID:
            continue
        field = _field(call, dataset, given.id)
        if field is None:
            raise not_found("Metadata not found.")
        values[field.name] = given.value
    if dataset.built_in_field_enabled:
        values.update(built_in_values(document))
    document.doc_metadata = values
    document.updated_at = now()
    call.tables.save_document(document)


def _field(call: KnowledgeCall, dataset: Dataset, field_id: str) -> MetadataField | None:
    fields = call.tables.metadata_fields(dataset.id)
    return next((field for field in fields if field.id == field_id), None)


def _require_new_name(call: KnowledgeCall, dataset: Dataset, name: str) -> None:
    if len(name) > 255:
        raise invalid_param("Metadata name cannot exceed 255 characters.")
    if any(field.name == name for field in call.tables.metadata_fields(dataset.id)):
        raise invalid_param("Metadata name already exists.")
    if name in _BUILT_IN_NAMES:
        raise invalid_param("Metadata name already exists in Built-in fields.")


_METADATA = "/datasets/{dataset_id:uuid}/metadata"

routes = [
    Route(_METADATA, create_field, methods=["POST"]),
    Route(_METADATA, list_fields),
    Route(f"{_METADATA}/{{metadata_id:uuid}}", update_field, methods=["PATCH"]),
    Route(f"{_METADATA}/{{metadata_id:uuid}}", delete_field, methods=["DELETE"]),
    Route(f"{_METADATA}/built-in", list_built_in),
    Route("/datasets/metadata/built-in", list_built_in),
    Route(f"{_METADATA}/built-in/{{action}}", switch_built_in, methods=["POST"]),
    Route("/datasets/{dataset_id:uuid}/documents/metadata", update_documents, methods=["POST"]),
]
