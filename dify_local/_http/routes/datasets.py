"""The knowledge base: listing it and retrieving from it, with a dataset key."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.payloads import DatasetListQuery, HitTestingPayload, RetrievalModel
from dify_local._http.requests import json_body, require_dataset_key, service_of
from dify_local._http.responses import json_response
from dify_local._protocol.errors import not_found
from dify_local._protocol.values import JsonObject, stable_id
from dify_local._runs.usage import count_tokens
from dify_local._storage.knowledge import Hit, Knowledge

_TOP_K = 3
_ACCOUNT_ID = stable_id("account")


async def list_datasets(request: Request) -> Response:
    """`GET /datasets`."""
    require_dataset_key(request)
    query = DatasetListQuery.model_validate(dict(request.query_params))
    knowledge = service_of(request).knowledge
    wanted = (query.keyword or "").lower() in knowledge.name.lower()
    data = [_dataset(knowledge)] if wanted and query.page == 1 else []
    return json_response(
        {
            "data": data,
            "has_more": False,
            "limit": query.limit,
            "total": int(wanted),
            "page": query.page,
        }
    )


async def show_dataset(request: Request) -> Response:
    """`GET /datasets/{dataset_id}`."""
    return json_response(_dataset(_knowledge(request)))


async def retrieve(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/retrieve`, also known as `/hit-testing`."""
    knowledge = _knowledge(request)
    payload = HitTestingPayload.model_validate(await json_body(request))
    model = payload.retrieval_model
    hits = knowledge.retrieve(
        payload.query,
        top_k=model.top_k if model else _TOP_K,
        score_threshold=_threshold(model),
    )
    no_score = model is not None and model.search_method == "keyword_search"
    records = [_record(knowledge, hit, no_score=no_score) for hit in hits]
    return json_response({"query": {"content": payload.query}, "records": records})


def _threshold(model: RetrievalModel | None) -> float:
    if model is None or not model.score_threshold_enabled:
        return 0.0
    return model.score_threshold or 0.0


def _knowledge(request: Request) -> Knowledge:
    require_dataset_key(request)
    knowledge = service_of(request).knowledge
    if str(request.path_params["dataset_id"]) != knowledge.id:
        raise not_found("Dataset not found.")
    return knowledge


def _record(knowledge: Knowledge, hit: Hit, *, no_score: bool) -> JsonObject:
    segment = hit.segment
    time = knowledge.created_at
    return {
        "segment": {
            "id": segment.id,
            "position": segment.position,
            "document_id": segment.document.id,
            "content": segment.content,
            "sign_content": None,
            "answer": None,
            "word_count": len(segment.content),
            "tokens": count_tokens(segment.content),
            "keywords": [],
            "index_node_id": stable_id("node", segment.id),
            "index_node_hash": segment.index_node_hash,
            "hit_count": segment.hit_count,
            "enabled": True,
            "disabled_at": None,
            "disabled_by": None,
            "status": "completed",
            "created_by": _ACCOUNT_ID,
            "created_at": time,
            "indexing_at": time,
            "completed_at": time,
            "error": None,
            "stopped_at": None,
            "document": {
                "id": segment.document.id,
                "data_source_type": "upload_file",
                "name": segment.document.name,
                "doc_type": None,
                "doc_metadata": None,
            },
        },
        "child_chunks": [],
        "score": None if no_score else hit.score,
        "tsne_position": None,
        "files": [],
        "summary": None,
    }


def _dataset(knowledge: Knowledge) -> JsonObject:
    documents = len(knowledge.documents)
    return {
        "id": knowledge.id,
        "name": knowledge.name,
        "description": f"Documents about {knowledge.name}",
        "provider": "vendor",
        "permission": "all_team_members",
        "data_source_type": "upload_file",
        "indexing_technique": "economy",
        "app_count": 5,
        "document_count": documents,
        "word_count": knowledge.word_count(),
        "created_by": _ACCOUNT_ID,
        "author_name": "Dify Local",
        "created_at": knowledge.created_at,
        "updated_by": _ACCOUNT_ID,
        "updated_at": knowledge.created_at,
        "embedding_model": None,
        "embedding_model_provider": None,
        "embedding_available": True,
        "retrieval_model_dict": {
            "search_method": "full_text_search",
            "reranking_enable": False,
            "reranking_mode": None,
            "reranking_model": {"reranking_provider_name": None, "reranking_model_name": None},
            "weights": None,
            "top_k": _TOP_K,
            "score_threshold_enabled": False,
            "score_threshold": None,
        },
        "summary_index_setting": dict.fromkeys(
            ("enable", "model_name", "model_provider_name", "summary_prompt")
        ),
        "tags": [],
        "doc_form": "text_model",
        "external_knowledge_info": dict.fromkeys(
            (
                "external_knowledge_id",
                "external_knowledge_api_id",
                "external_knowledge_api_name",
                "external_knowledge_api_endpoint",
            )
        ),
        "external_retrieval_model": {
            "top_k": _TOP_K,
            "score_threshold": None,
            "score_threshold_enabled": False,
        },
        "doc_metadata": [],
        "built_in_field_enabled": False,
        "pipeline_id": None,
        "runtime_mode": "general",
        "chunk_structure": None,
        "icon_info": dict.fromkeys(("icon_type", "icon", "icon_background", "icon_url")),
        "is_published": False,
        "total_documents": documents,
        "total_available_documents": documents,
        "enable_api": True,
        "is_multimodal": False,
        "maintainer": _ACCOUNT_ID,
    }


routes = [
    Route("/datasets", list_datasets),
    Route("/datasets/{dataset_id:uuid}", show_dataset),
    Route("/datasets/{dataset_id:uuid}/retrieve", retrieve, methods=["POST"]),
    Route("/datasets/{dataset_id:uuid}/hit-testing", retrieve, methods=["POST"]),
]
