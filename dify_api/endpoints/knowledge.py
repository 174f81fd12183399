"""Knowledge bases, with a dataset key: make them, list them, change them, search them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal

from dify_api.endpoints.metadata import MetadataField
from dify_api.endpoints.pages import Page, numbered
from dify_api.endpoints.retrieval import ComparisonOperator as ComparisonOperator
from dify_api.endpoints.retrieval import IndexingTechnique as IndexingTechnique
from dify_api.endpoints.retrieval import KeywordSetting as KeywordSetting
from dify_api.endpoints.retrieval import MetadataCondition as MetadataCondition
from dify_api.endpoints.retrieval import (
    MetadataFilteringConditions as MetadataFilteringConditions,
)
from dify_api.endpoints.retrieval import RerankingModel as RerankingModel
from dify_api.endpoints.retrieval import RetrievalModel as RetrievalModel
from dify_api.endpoints.retrieval import RetrieveRecord as RetrieveRecord
from dify_api.endpoints.retrieval import RetrieveResult as RetrieveResult
from dify_api.endpoints.retrieval import SearchMethod as SearchMethod
from dify_api.endpoints.retrieval import VectorSetting as VectorSetting
from dify_api.endpoints.retrieval import Weights as Weights
from dify_api.endpoints.retrieval import embedding_fields, retrieval_settings
from dify_api.endpoints.segments import ChildChunk as ChildChunk
from dify_api.endpoints.segments import Segment as Segment
from dify_api.endpoints.segments import SegmentDocument as SegmentDocument
from dify_api.endpoints.tags import Tag
from dify_api.models import Items, Model, Timestamp
from dify_api.operation import (
    Operation,
    path,
    require,
    require_length,
    require_some,
    require_uuid,
    require_uuids,
    without_none,
)

ModelType = Literal["llm", "text-embedding", "rerank", "speech2text", "tts", "moderation"]

Permission = Literal["only_me", "all_team_members", "partial_members"]


class SummaryIndexSetting(Model):
    """Whether and how segments are summed up, to be found by their summaries (1.12.0)."""

    enable: bool | None = None
    model_name: str | None = None
    model_provider_name: str | None = None
    summary_prompt: str | None = None


class ExternalKnowledgeInfo(Model):
    """Where an external knowledge base is."""

    external_knowledge_id: str | None = None
    external_knowledge_api_id: str | None = None
    external_knowledge_api_name: str | None = None
    external_knowledge_api_endpoint: str | None = None


class ExternalRetrievalModel(Model):
    """How an external knowledge base is searched."""

    top_k: int | None = None
    score_threshold: float | None = None
    score_threshold_enabled: bool | None = None


class Dataset(Model):
    """A knowledge base."""

    id: str = ""
    name: str = ""
    description: str | None = None
    provider: str | None = None
    """vendor or external."""
    permission: str | None = None
    """only_me, all_team_members or partial_members."""
    data_source_type: str | None = None
    indexing_technique: str | None = None
    """high_quality or economy."""
    app_count: int | None = None
    document_count: int | None = None
    word_count: int | None = None
    created_by: str | None = None
    author_name: str | None = None
    created_at: Timestamp | None = None
    updated_by: str | None = None
    updated_at: Timestamp | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    embedding_available: bool | None = None
    retrieval_model_dict: RetrievalModel | None = None
    """How it is searched unless told otherwise."""
    summary_index_setting: SummaryIndexSetting | None = None
    tags: Items[Tag] = []
    doc_form: str | None = None
    """text_model, hierarchical_model or qa_model."""
    external_knowledge_info: ExternalKnowledgeInfo | None = None
    external_retrieval_model: ExternalRetrievalModel | None = None
    doc_metadata: Items[MetadataField] = []
    built_in_field_enabled: bool | None = None
    pipeline_id: str | None = None
    """Of the pipeline that processes its documents, if one does."""
    runtime_mode: str | None = None
    """general or rag_pipeline."""
    is_published: bool | None = None
    total_documents: int | None = None
    total_available_documents: int | None = None
    """Documents that are enabled."""
    enable_api: bool | None = None
    partial_member_list: Items[str] = []
    """Accounts that may use it, where `permission` is partial_members."""


class AvailableModel(Model):
    """A model that a workspace can use."""

    model: str = ""
    model_type: str | None = None
    features: Items[str] = []
    deprecated: bool | None = None
    status: str | None = None


class ModelProvider(Model):
    """A provider of models."""

    provider: str = ""
    status: str | None = None
    models: Items[AvailableModel] = []


def datasets(
    *,
    keyword: str | None = None,
    tag_ids: Sequence[str] | None = None,
    include_all: bool | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Operation[Page[Dataset]]:
    """List the knowledge bases of a workspace (`GET /datasets`).

    Args:
        keyword: Text to find in their names.
        tag_ids: Only those with these tags (1.12.1 refuses any).
        include_all: All of the workspace; only for its owner's key.
        page: Number of the page, from 1.
        limit: Knowledge bases on a page, 1 to 100. Default: the server's, 20.

    Raises:
        ValueError: If a number is out of bounds.

    Example:
        >>> {dataset.name: dataset.id for dataset in client.iterate(datasets())}
        {'Planets': '7f24e7c4-...'}
    """
    return Operation(
        "GET",
        "/datasets",
        Page[Dataset],
        query={
            "keyword": keyword,
            "tag_ids": list(tag_ids) if tag_ids else None,
            "include_all": include_all,
            **numbered(page, limit),
        },
        repeatable=True,
        page="page",
    )


def dataset(dataset_id: str) -> Operation[Dataset]:
    """Look up a knowledge base (`GET /datasets/{dataset_id}`; servers since about 1.4.0).

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    return Operation("GET", _path(dataset_id), Dataset, repeatable=True)


def create(
    name: str,
    *,
    description: str | None = None,
    indexing_technique: IndexingTechnique | None = None,
    permission: Permission | None = None,
    provider: Literal["vendor", "external"] | None = None,
    embedding_model: str | None = None,
    embedding_model_provider: str | None = None,
    retrieval_model: RetrievalModel | Mapping[str, Any] | None = None,
    external_knowledge_api_id: str | None = None,
    external_knowledge_id: str | None = None,
    summary_index_setting: SummaryIndexSetting | Mapping[str, Any] | None = None,
) -> Operation[Dataset]:
    """Make an empty knowledge base (`POST /datasets`).

    Args:
        name: Up to 40 characters, unique in the workspace.
        description: Up to 400 characters.
        indexing_technique: "high_quality" or "economy". Default: that of its first document.
        permission: Who sees it. Default: "only_me".
        provider: "external" for one that another service holds. Default: "vendor".
        embedding_model: For "high_quality". Default: the workspace's; servers take unknown ones
            and fail when they index, `models("text-embedding")` lists what there is.
        embedding_model_provider: Its provider, such as "langgenius/openai/openai".
        retrieval_model: How it is searched unless told otherwise. Without it an economy one must
            be searched with `search_method="keyword_search"`.
        external_knowledge_api_id: The connection to an external service.
        external_knowledge_id: The knowledge base there.
        summary_index_setting: Whether segments are summed up (1.12.0 and later).

    Raises:
        ValueError: If the name is empty or a text too long, an external one lacks its ids, only
            one of the model's names is given, or a setting holds a value that it cannot have.

    Example:
        >>> client.send(create("Planets", indexing_technique="high_quality")).id
        '7f24e7c4-...'
    """
    if provider == "external":
        need = "an external knowledge base needs it"
        require_uuid(external_knowledge_api_id or "", "external_knowledge_api_id")
        require(external_knowledge_id or "", "external_knowledge_id", need)
    fields = {
        "name": _name(name),
        "description": description and require_length(description, "description", 400),
        "indexing_technique": indexing_technique,
        "permission": permission,
        "provider": provider,
        **embedding_fields(embedding_model, embedding_model_provider),
        "retrieval_model": retrieval_settings(retrieval_model),
        "external_knowledge_api_id": external_knowledge_api_id,
        "external_knowledge_id": external_knowledge_id,
        "summary_index_setting": _summaries(summary_index_setting),
    }
    return Operation("POST", "/datasets", Dataset, json=without_none(fields))


def update(
    dataset_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    indexing_technique: IndexingTechnique | None = None,
    permission: Permission | None = None,
    partial_member_list: Sequence[str] | None = None,
    embedding_model: str | None = None,
    embedding_model_provider: str | None = None,
    retrieval_model: RetrievalModel | Mapping[str, Any] | None = None,
    external_retrieval_model: ExternalRetrievalModel | Mapping[str, Any] | None = None,
    external_knowledge_id: str | None = None,
    external_knowledge_api_id: str | None = None,
) -> Operation[Dataset]:
    """Change a knowledge base (`PATCH /datasets/{dataset_id}`; servers since about 1.4.0).

    Args:
        dataset_id: The knowledge base.
        name: Up to 40 characters, unique in the workspace.
        description: Up to 400 characters.
        indexing_technique: "high_quality" or "economy"; its documents are indexed anew.
        permission: Who sees it.
        partial_member_list: Ids of the accounts that do, for "partial_members".
        embedding_model: Its documents are indexed anew.
        embedding_model_provider: Its provider, such as "langgenius/openai/openai".
        retrieval_model: How it is searched unless told otherwise.
        external_retrieval_model: The same for an external one.
        external_knowledge_id: The knowledge base at the external service.
        external_knowledge_api_id: The connection to it.

    Raises:
        ValueError: If an id is no UUID, nothing is to be changed, the name is empty or a text too
            long, only one of the model's names is given, or a setting holds a value that it
            cannot have.
    """
    members = None
    if partial_member_list is not None:
        ids = require_uuids(partial_member_list, "partial_member_list")
        members = [{"user_id": user_id} for user_id in ids]
    fields = {
        "name": None if name is None else _name(name),
        "description": description and require_length(description, "description", 400),
        "indexing_technique": indexing_technique,
        "permission": permission,
        "partial_member_list": members,
        **embedding_fields(embedding_model, embedding_model_provider),
        "retrieval_model": retrieval_settings(retrieval_model),
        "external_retrieval_model": _external(external_retrieval_model),
        "external_knowledge_id": external_knowledge_id,
        "external_knowledge_api_id": external_knowledge_api_id,
    }
    body = require_some(fields, "nothing of the knowledge base is changed")
    return Operation("PATCH", _path(dataset_id), Dataset, json=body, repeatable=True)


def delete(dataset_id: str) -> Operation[None]:
    """Delete a knowledge base with its documents (`DELETE /datasets/{dataset_id}`).

    Servers delete it even if apps use it.

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    return Operation("DELETE", _path(dataset_id), NoneType)


def retrieve(
    dataset_id: str,
    query: str,
    *,
    retrieval_model: RetrievalModel | Mapping[str, Any] | None = None,
    attachment_ids: Sequence[str] | None = None,
    external_retrieval_model: ExternalRetrievalModel | Mapping[str, Any] | None = None,
) -> Operation[RetrieveResult]:
    """Search a knowledge base (`POST /datasets/{dataset_id}/retrieve`; servers since 0.10.0).

    Args:
        dataset_id: The knowledge base.
        query: What to find, up to 250 characters.
        retrieval_model: How to search; a mapping is completed by the defaults of
            `RetrievalModel`. Default: the knowledge base's own settings.
        attachment_ids: Uploaded files to search by (1.11.0 and later).
        external_retrieval_model: For external knowledge bases.

    Raises:
        ValueError: If `dataset_id` is no UUID, `query` is empty without attachments, or
            `retrieval_model` holds a value that it cannot have.

    Example:
        >>> found = client.send(retrieve(dataset_id, "Saturn's moons",
        ...                              retrieval_model=RetrievalModel(top_k=2)))
        >>> [(record.score, record.segment.content) for record in found.records]
        [(0.81, 'Saturn has 146 moons ...'), (0.64, 'Titan ...')]
    """
    if not attachment_ids:
        require(query, "query", "say what to find")
    return Operation(
        "POST",
        f"{_path(dataset_id)}/retrieve",
        RetrieveResult,
        json=without_none(
            {
                "query": query,
                "retrieval_model": retrieval_settings(retrieval_model),
                "attachment_ids": list(attachment_ids) if attachment_ids else None,
                "external_retrieval_model": _external(external_retrieval_model),
            }
        ),
        repeatable=True,
    )


def models(model_type: ModelType) -> Operation[Page[ModelProvider]]:
    """List the models of a workspace (`GET /workspaces/current/models/model-types/{model_type}`).

    Servers since about 1.4.0. Their names are those of a `RerankingModel`, and of
    `annotations.enable_reply`.

    Args:
        model_type: "text-embedding", "rerank", "llm", ...

    Example:
        >>> [(p.provider, m.model) for p in client.send(models("rerank")).data for m in p.models]
        [('langgenius/cohere/cohere', 'rerank-v3.5')]
    """
    return Operation(
        "GET",
        path("/workspaces/current/models/model-types/{}", model_type),
        Page[ModelProvider],
        repeatable=True,
    )


def _name(name: str) -> str:
    require(name, "name", "a knowledge base needs a name")
    return require_length(name, "name", 40)


def _external(
    settings: ExternalRetrievalModel | Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    if settings is None:
        return None
    return ExternalRetrievalModel.model_validate(settings).model_dump(exclude_none=True)


def _summaries(settings: SummaryIndexSetting | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if settings is None:
        return None
    return SummaryIndexSetting.model_validate(settings).model_dump(exclude_none=True)


def _path(dataset_id: str) -> str:
    require_uuid(dataset_id, "dataset_id")
    return path("/datasets/{}", dataset_id)
