"""Retrieval from a knowledge base, also known as hit testing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import HitTestingPayload, RetrievalModel
from dify_local._http.routes.knowledge.shapes import shown_record
from dify_local._protocol.errors import invalid_param
from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge.filters import fulfils
from dify_local._storage.knowledge.records import RERANKING_MODEL, Dataset
from dify_local._storage.knowledge.search import Query, retrieve

_DEFAULT: JsonObject = {
    "search_method": "semantic_search",
    "reranking_enable": False,
    "top_k": 4,
    "score_threshold_enabled": False,
}


async def hit_testing(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/retrieve`, also known as `/hit-testing`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(HitTestingPayload)
    if not payload.query and not payload.attachment_ids:
        raise invalid_param("Query or attachment_ids is required")
    model = payload.retrieval_model or _settings(dataset)
    _check(call, dataset, model)
    hits = []
    if payload.query and (model.search_method != "keyword_search" or dataset.has_keywords):
        hits = retrieve(call.tables, _query(call, dataset, payload.query, model))
    records = [shown_record(hit) for hit in hits]
    if model.search_method == "keyword_search" and not call.service.release.since(1, 16, 1):
        # Older releases give keyword searches no score.
        records = [{**record, "score": None} for record in records]
    return json_response(
        {"query": _shown_query(payload.query, call.service.release), "records": records}
    )


def _settings(dataset: Dataset) -> RetrievalModel:
    return RetrievalModel.model_validate(dataset.retrieval_model or _DEFAULT)


def _check(call: KnowledgeCall, dataset: Dataset, model: RetrievalModel) -> None:
    """Refuse what Dify's vector store refuses: there is no table before the first vector."""
    if model.search_method == "keyword_search":
        return
    if not (dataset.has_vectors and call.tables.has_documents(dataset.id)):
        table = f"embedding_vector_index_{dataset.id.replace('-', '_')}_nod"
        raise invalid_param(f'relation "{table}" does not exist\nLINE 1: ...')
    name = model.reranking_model.reranking_model_name if model.reranking_model else None
    if model.reranking_enable and name not in {None, "", RERANKING_MODEL}:
        raise invalid_param('{"code": 0, "message": "success", "data": []}')


def _query(call: KnowledgeCall, dataset: Dataset, text: str, model: RetrievalModel) -> Query:
    threshold = model.score_threshold if model.score_threshold_enabled else None
    vector = model.weights.vector_setting if model.weights else None
    return Query(
        dataset.id,
        text,
        model.search_method,
        model.top_k,
        threshold or 0.0,
        vector.vector_weight if vector else 1.0,
        _documents(call, dataset, model),
    )


def _documents(call: KnowledgeCall, dataset: Dataset, model: RetrievalModel) -> list[str] | None:
    wanted = model.metadata_filtering_conditions
    if wanted is None or not wanted.conditions:
        return None
    return [
        document.id
        for document in call.tables.documents(dataset.id)
        if fulfils(document.doc_metadata, wanted)
    ]


def _shown_query(text: str, release: Release) -> object:
    # 1.14 shows the bare text, the releases before and after it an object.
    bare = release.since(1, 14) and not release.since(1, 16)
    return text if bare else {"content": text}


_DATASET = "/datasets/{dataset_id:uuid}"

routes = [
    Route(f"{_DATASET}/retrieve", hit_testing, methods=["POST"]),
    Route(f"{_DATASET}/hit-testing", hit_testing, methods=["POST"]),
]
