"""How a knowledge base is searched, and what a search has found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dify_api.endpoints.segments import ChildChunk, Segment
from dify_api.models import Items, Model, RetrieverResource
from dify_api.operation import require

SearchMethod = Literal["keyword_search", "semantic_search", "full_text_search", "hybrid_search"]

IndexingTechnique = Literal["high_quality", "economy"]
"""Found by meaning, with an embedding model; or by keywords."""

ComparisonOperator = Literal[
    "contains",
    "not contains",
    "start with",
    "end with",
    "is",
    "is not",
    "empty",
    "not empty",
    "in",
    "not in",
    "=",
    "≠",
    ">",
    "<",
    "≥",
    "≤",
    "before",
    "after",
]


class RerankingModel(Model):
    """The model that reorders what was found."""

    reranking_provider_name: str | None = None
    reranking_model_name: str | None = None


class MetadataCondition(Model):
    """A condition on a document's metadata."""

    name: str = ""
    comparison_operator: ComparisonOperator = "is"
    value: str | int | float | list[str] | None = None


class MetadataFilteringConditions(Model):
    """Which documents may be searched."""

    logical_operator: Literal["and", "or"] = "and"
    conditions: list[MetadataCondition] = []


class VectorSetting(Model):
    """The part of vector search in "weighted_score"."""

    vector_weight: float | None = None
    embedding_provider_name: str | None = None
    embedding_model_name: str | None = None


class KeywordSetting(Model):
    """The part of keyword search in "weighted_score"."""

    keyword_weight: float | None = None


class Weights(Model):
    """Of vector and keyword search; together 1."""

    weight_type: Literal["semantic_first", "keyword_first", "customized"] | None = None
    vector_setting: VectorSetting | None = None
    keyword_setting: KeywordSetting | None = None


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
    weights: Weights | None = None
    """For "weighted_score"."""
    metadata_filtering_conditions: MetadataFilteringConditions | None = None
    """Servers since 1.1.0."""

    def model_post_init(self, _context: Any, /) -> None:
        """Servers answer 400 or 500 where the two switches are missing."""
        if self.score_threshold_enabled is None:
            self.score_threshold_enabled = self.score_threshold is not None
        if self.reranking_enable is None:
            self.reranking_enable = self.reranking_model is not None


def embedding_fields(model: str | None, provider: str | None) -> dict[str, str]:
    """The embedding model of a knowledge base as servers want it.

    Raises:
        ValueError: If one is given without the other, which servers ignore.
    """
    if not model and not provider:
        return {}
    require(model or "", "embedding_model", "it goes with embedding_model_provider")
    require(provider or "", "embedding_model_provider", "it goes with embedding_model")
    return {"embedding_model": str(model), "embedding_model_provider": str(provider)}


def retrieval_settings(
    retrieval_model: RetrievalModel | Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """How to search as servers want it; a mapping is completed by the defaults.

    Raises:
        ValueError: If it holds a value that it cannot have.
    """
    if retrieval_model is None:
        return None
    complete = RetrievalModel.model_validate(retrieval_model)
    return complete.model_dump(mode="json", exclude_none=True)


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
