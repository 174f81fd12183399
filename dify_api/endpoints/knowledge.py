"""Knowledge bases, with a dataset key: list them, look one up, retrieve passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dify_api.endpoints.pages import Page
from dify_api.models import Items, Model, RetrieverResource, Timestamp
from dify_api.operation import Operation, path, require, require_uuid, without_none

SearchMethod = Literal["keyword_search", "semantic_search", "full_text_search", "hybrid_search"]

ModelType = Literal["llm", "text-embedding", "rerank", "speech2text", "tts", "moderation"]


class RerankingModel(Model):
    """The model that reorders what was found."""

    reranking_provider_name: str | None = None
    reranking_model_name: str | None = None


class MetadataCondition(Model):
    """A condition on a document's metadata."""

    name: str = ""
    comparison_operator: str = "is"
    """contains, not contains, start with, end with, is, is not, empty, not empty, in, not in,
    =, ≠, >, <, ≥, ≤, before or after."""
    value: str | int | float | list[str] | None = None


class MetadataFilteringConditions(Model):
    """Which documents may be searched."""

    logical_operator: Literal["and", "or"] = "and"
    conditions: list[MetadataCondition] = []


class RetrievalModel(Model):
    """How to search; what is left out has the default that servers have.

    Example:
        >>> RetrievalModel(search_method="hybrid_search", top_k=3, score_threshold=0.5)
    """

    search_method: SearchMethod = "semantic_search"
    top_k: int = 4
    """Passages at most."""
    score_threshold: float | None = None
    """Lowest relevance, 0 to 1; None for any."""
    score_threshold_enabled: bool | None = None
    """Default: whether there is a `score_threshold`."""
    reranking_enable: bool | None = None
    """Default: whether there is a `reranking_model`."""
    reranking_mode: Literal["reranking_model", "weighted_score"] | None = None
    reranking_model: RerankingModel | None = None
    weights: dict[str, Any] | None = None
    """Of keyword and vector search, for "weighted_score"."""
    metadata_filtering_conditions: MetadataFilteringConditions | None = None
    """Servers since 1.1.0."""

    def model_post_init(self, _context: Any, /) -> None:
        """Servers answer 400 or 500 where the two switches are missing."""
        if self.score_threshold_enabled is None:
            self.score_threshold_enabled = self.score_threshold is not None
        if self.reranking_enable is None:
            self.reranking_enable = self.reranking_model is not None


class SegmentDocument(Model):
    """The document that a passage is from."""

    id: str | None = None
    name: str | None = None
    data_source_type: str | None = None
    doc_type: str | None = None
    doc_metadata: dict[str, Any] | None = None


class Segment(Model):
    """A passage of a document."""

    id: str = ""
    position: int | None = None
    """Place in the document, from 1."""
    document_id: str | None = None
    content: str = ""
    sign_content: str | None = None
    """`content` with signed URLs (1.0.0 and later)."""
    answer: str | None = None
    """Of a question-and-answer passage, whose question is `content`."""
    word_count: int | None = None
    tokens: int | None = None
    keywords: list[str] | None = None
    index_node_id: str | None = None
    index_node_hash: str | None = None
    hit_count: int | None = None
    enabled: bool | None = None
    status: str | None = None
    created_by: str | None = None
    created_at: Timestamp | None = None
    disabled_at: Timestamp | None = None
    indexing_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    error: str | None = None
    document: SegmentDocument = SegmentDocument()


class ChildChunk(Model):
    """A part of a passage that matched (0.15.0 and later)."""

    id: str | None = None
    content: str = ""
    position: int | None = None
    score: float | None = None


class RetrieveRecord(Model):
    """A passage that was found."""

    segment: Segment = Segment()
    score: float | None = None
    """Relevance, higher is better; None for keyword search."""
    child_chunks: Items[ChildChunk] = []
    files: Items[dict[str, Any]] = []
    summary: str | None = None
    tsne_position: Any = None


def _query_text(value: object) -> object:
    """1.14.2 sends the text itself, the others an object around it."""
    return value.get("content") if isinstance(value, dict) else value


class RetrieveResult(Model):
    """What a search has found, best first."""

    query: Annotated[str | None, BeforeValidator(_query_text)] = None
    records: Items[RetrieveRecord] = []

    def resources(
        self, dataset_id: str | None = None, dataset_name: str | None = None
    ) -> list[RetrieverResource]:
        """What was found in the form of an answer's citations.

        Args:
            dataset_id: The knowledge base that was searched, which records do not name.
            dataset_name: Its name.

        Example:
            >>> [(found.document_name, found.content) for found in result.resources()]
            [('saturn.md', 'Saturn has 146 moons ...')]
        """
        return [
            _resource(record, position=position, dataset_id=dataset_id, dataset_name=dataset_name)
            for position, record in enumerate(self.records, start=1)
        ]


def _resource(record: RetrieveRecord, **place: Any) -> RetrieverResource:
    segment, document = record.segment, record.segment.document
    content = segment.sign_content or segment.content
    if segment.answer:
        content = f"question:{content} \nanswer:{segment.answer}"  # as citations show it
    return RetrieverResource(
        **place,
        document_id=segment.document_id or document.id,
        document_name=document.name,
        data_source_type=document.data_source_type,
        segment_id=segment.id or None,
        score=record.score,
        content=content,
        hit_count=segment.hit_count,
        word_count=segment.word_count,
        segment_position=segment.position,
        index_node_hash=segment.index_node_hash,
        doc_metadata=document.doc_metadata,
        files=record.files or None,
        summary=record.summary,
    )


class Dataset(Model):
    """A knowledge base."""

    id: str = ""
    name: str = ""
    description: str | None = None
    provider: str | None = None
    """vendor or external."""
    permission: str | None = None
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
    tags: Items[dict[str, Any]] = []
    doc_form: str | None = None
    external_knowledge_info: dict[str, Any] | None = None
    external_retrieval_model: dict[str, Any] | None = None
    doc_metadata: Items[dict[str, Any]] = []
    built_in_field_enabled: bool | None = None


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
            "page": page,
            "limit": limit,
        },
        repeatable=True,
        page="page",
    )


def dataset(dataset_id: str) -> Operation[Dataset]:
    """Look up a knowledge base (`GET /datasets/{dataset_id}`; servers since about 1.4.0).

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    require_uuid(dataset_id, "dataset_id")
    return Operation("GET", path("/datasets/{}", dataset_id), Dataset, repeatable=True)


def retrieve(
    dataset_id: str,
    query: str,
    *,
    retrieval_model: RetrievalModel | Mapping[str, Any] | None = None,
    attachment_ids: Sequence[str] | None = None,
    external_retrieval_model: Mapping[str, Any] | None = None,
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
    require_uuid(dataset_id, "dataset_id")
    if not attachment_ids:
        require(query, "query", "say what to find")
    if retrieval_model is not None:
        retrieval_model = RetrievalModel.model_validate(retrieval_model).model_dump(
            mode="json", exclude_none=True
        )
    return Operation(
        "POST",
        path("/datasets/{}/retrieve", dataset_id),
        RetrieveResult,
        json=without_none(
            {
                "query": query,
                "retrieval_model": retrieval_model,
                "attachment_ids": list(attachment_ids) if attachment_ids else None,
                "external_retrieval_model": external_retrieval_model,
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
