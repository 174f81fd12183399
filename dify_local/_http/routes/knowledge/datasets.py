"""Knowledge bases: made, listed, changed, deleted."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import deleted, json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    DatasetCreatePayload,
    DatasetListQuery,
    DatasetUpdatePayload,
    RetrievalModel,
)
from dify_local._http.routes.knowledge.shapes import page_of, shown_dataset
from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._protocol.values import JsonObject, now
from dify_local._storage.knowledge.records import EMBEDDING_MODEL, EMBEDDING_PROVIDER, Dataset

_FILTERS = {"metadata_filtering_conditions"}


async def create(request: Request) -> Response:
    """`POST /datasets`."""
    call = knowledge_call(request)
    payload = await call.payload(DatasetCreatePayload)
    if any(dataset.name == payload.name for dataset in call.tables.datasets()):
        raise ApiError(
            409,
            "dataset_name_duplicate",
            "The dataset name already exists. Please modify your dataset name.",
        )
    if payload.external_knowledge_api_id:
        raise invalid_param("api template not found")
    dataset = Dataset(
        name=payload.name,
        description=payload.description,
        provider=payload.provider,
        permission=payload.permission or "only_me",
        indexing_technique=payload.indexing_technique,
        retrieval_model=_settings(payload.retrieval_model),
        summary_index_setting=payload.summary_index_setting,
    )
    if payload.indexing_technique == "high_quality":
        dataset.embedding_model = payload.embedding_model or EMBEDDING_MODEL
        dataset.embedding_model_provider = payload.embedding_model_provider or EMBEDDING_PROVIDER
    call.tables.save_dataset(dataset)
    return json_response(_shown(call, dataset))


async def list_datasets(request: Request) -> Response:
    """`GET /datasets`."""
    call = knowledge_call(request)
    # Before 1.16 one tag reads as a text, which is no list: 400.
    lists = ("tag_ids",) if call.service.release.since(1, 16) else ()
    query = call.query(DatasetListQuery, *lists)
    keyword = (query.keyword or "").lower()
    wanted = set(query.tag_ids)
    found = [
        dataset
        for dataset in reversed(call.tables.datasets())
        if keyword in dataset.name.lower()
        and wanted <= {tag["id"] for tag in call.tables.tags_of(dataset.id)}
    ]
    data, has_more = page_of(found, query.page, query.limit)
    return json_response(
        {
            "data": [{**_shown(call, one), "embedding_available": True} for one in data],
            "has_more": has_more and query.limit > 0,
            "limit": query.limit,
            "total": len(found),
            "page": query.page,
        }
    )


async def show(request: Request) -> Response:
    """`GET /datasets/{dataset_id}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    shown = {**_shown(call, dataset), "embedding_available": True}
    if not dataset.has_vectors:
        shown["retrieval_model_dict"]["search_method"] = "keyword_search"
    return json_response(_with_members(shown, dataset))


async def update(request: Request) -> Response:
    """`PATCH /datasets/{dataset_id}`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(DatasetUpdatePayload)
    others = [one for one in call.tables.datasets() if one.id != dataset.id]
    if payload.name and any(one.name == payload.name for one in others):
        raise invalid_param("Dataset name already exists")
    given: dict[str, Any] = payload.model_dump(exclude_none=True, exclude={"retrieval_model"})
    for name, value in given.items():
        if hasattr(dataset, name):
            setattr(dataset, name, value)
    if payload.retrieval_model:
        dataset.retrieval_model = _settings(payload.retrieval_model)
    if dataset.has_vectors and dataset.embedding_model is None:
        dataset.embedding_model, dataset.embedding_model_provider = (
            EMBEDDING_MODEL,
            EMBEDDING_PROVIDER,
        )
    dataset.updated_at = now()
    call.tables.save_dataset(dataset)
    shown = {**_shown(call, dataset), "partial_member_list": dataset.partial_member_list}
    return json_response(shown)


async def delete(request: Request) -> Response:
    """`DELETE /datasets/{dataset_id}`."""
    call = knowledge_call(request)
    call.tables.delete_dataset(call.dataset().id)
    return deleted(call.service.release)


def _shown(call: KnowledgeCall, dataset: Dataset) -> JsonObject:
    return shown_dataset(call.tables, dataset, call.service.release)


def _with_members(shown: JsonObject, dataset: Dataset) -> JsonObject:
    if dataset.permission != "partial_members":
        return shown
    return {**shown, "partial_member_list": dataset.partial_member_list}


def _settings(model: RetrievalModel | None) -> JsonObject | None:
    return model.model_dump(exclude=_FILTERS) if model else None


routes = [
    Route("/datasets", list_datasets),
    Route("/datasets", create, methods=["POST"]),
    Route("/datasets/{dataset_id:uuid}", show),
    Route("/datasets/{dataset_id:uuid}", update, methods=["PATCH"]),
    Route("/datasets/{dataset_id:uuid}", delete, methods=["DELETE"]),
]
