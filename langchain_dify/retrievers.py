"""A Dify knowledge base as a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from dify_api._calls.connected_model import KNOWLEDGE_KEY_VARIABLES
from dify_api._calls.retrieval import KnowledgeSearch, LongQuery
from dify_api._runs.flows import Flow, arun, run
from dify_api.endpoints.knowledge import MetadataFilteringConditions, RerankingModel, SearchMethod
from dify_api.models import RetrieverResource
from dify_api.operation import require_uuid
from langchain_dify._calls.metadata_filter import MetadataFilter, filtering_conditions
from langchain_dify._connection import LangChainConnection, unknown_argument
from langchain_dify.documents import documents_from_resources

_OTHER_NAMES = {
    "top_k": "k",
    "similarity_top_k": "k",
    "filter": "metadata_filter",
    "filters": "metadata_filter",
    "search_type": "search_method",
    "search_kwargs": "k, score_threshold or metadata_filter",
}


class DifyRetriever(LangChainConnection, BaseRetriever, defer_build=False):
    """Retrieves passages of a Dify knowledge base (`POST /datasets/{dataset_id}/retrieve`).

    Whatever is left out is searched as the knowledge base itself is set up. Documents come best
    first; see `documents_from_resources` for what is in them. `invoke` and `ainvoke` take `k`,
    `score_threshold` and `metadata_filter` for one search.

    Raises:
        ValueError: If there is no key, a setting cannot have the value given, or a query is too
            long.
        DifyError: If a search does not succeed.

    Example:
        >>> retriever = DifyRetriever(api_key="dataset-...", dataset_id="7f24e7c4-...", k=3)
        >>> [document.metadata["source"] for document in retriever.invoke("Saturn's moons")]
        ['saturn.md', 'titan.md', 'rings.md']
        >>> retriever.invoke("Saturn's moons", k=1)
        [Document(id='...', metadata={...}, page_content='Saturn has 146 moons ...')]
        >>> retriever.invoke("moons", metadata_filter={"topic": "moons", "year": {">": 1900}})
    """

    model_config = ConfigDict(extra="forbid")

    key_variables: ClassVar[tuple[str, ...]] = KNOWLEDGE_KEY_VARIABLES
    """`api_key` is one of the knowledge API ("dataset-..."), not of an app. Default:
    `DIFY_DATASET_API_KEY`, else `DIFY_API_KEY`."""
    other_names: ClassVar[Mapping[str, str]] = _OTHER_NAMES
    dataset_id: str
    """The knowledge base: the UUID in its address."""
    k: int | None = Field(default=None, ge=1)
    """Documents at most."""
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """Lowest relevance, 0 to 1."""
    search_method: SearchMethod | None = None
    """"semantic_search", "full_text_search", "hybrid_search" or "keyword_search"."""
    reranking_model: RerankingModel | None = None
    """Model that reorders what was found: `reranking_provider_name`, `reranking_model_name`."""
    weights: Mapping[str, Any] | None = None
    """Weights of keyword and vector search, as Dify's reference has them."""
    metadata_filter: MetadataFilteringConditions | Mapping[str, Any] | None = None
    """Conditions on the documents' metadata (servers since 1.1.0), all of which must hold: values
    by name (`{"topic": "moons"}`), a list for any of several, a dict for another of Dify's
    operators (`{"year": {"≥": 1900}, "seen": {"before": datetime(...)}}`). Or as Dify's reference
    has them: `{"logical_operator": "or", "conditions": [{"name": ..., "comparison_operator": ...,
    "value": ...}]}`. What servers would drop, to search everything, is refused."""
    long_query: LongQuery = "error"
    """What to do with a query of more than 250 characters, which servers refuse: "error", or
    "truncate" it after the last word that fits."""

    _search: KnowledgeSearch | None = PrivateAttr(default=None)
    """Remembers the settings of the knowledge base itself, once they were asked for."""

    @field_validator("dataset_id")
    @classmethod
    def _check_dataset_id(cls, value: str) -> str:
        return require_uuid(value, "dataset_id")

    @field_validator("metadata_filter", mode="before")
    @classmethod
    def _check_metadata_filter(cls, value: MetadataFilter) -> MetadataFilteringConditions | None:
        return filtering_conditions(value)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        score_threshold: float | None = None,
        metadata_filter: MetadataFilter = None,
        **unknown: Any,
    ) -> list[Document]:
        _check_call(k, score_threshold, unknown)
        flow = self._retrieve(query, k, score_threshold, metadata_filter)
        return documents_from_resources(run(self.client, flow))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        score_threshold: float | None = None,
        metadata_filter: MetadataFilter = None,
        **unknown: Any,
    ) -> list[Document]:
        _check_call(k, score_threshold, unknown)
        flow = self._retrieve(query, k, score_threshold, metadata_filter)
        return documents_from_resources(await arun(self.async_client, flow))

    def _retrieve(
        self,
        query: str,
        k: int | None,
        score_threshold: float | None,
        metadata_filter: MetadataFilter,
    ) -> Flow[list[RetrieverResource]]:
        if self._search is None or self._search.dataset_id != self.dataset_id:
            self._search = KnowledgeSearch(self.dataset_id)
        self._search.long_query = self.long_query
        conditions = filtering_conditions(metadata_filter) or filtering_conditions(
            self.metadata_filter
        )
        return self._search.retrieve(
            query,
            top_k=k or self.k,
            score_threshold=self.score_threshold if score_threshold is None else score_threshold,
            search_method=self.search_method,
            reranking_model=self.reranking_model,
            weights=self.weights,
            metadata_filtering_conditions=conditions,
        )


def _check_call(k: object, score_threshold: object, unknown: Mapping[str, object]) -> None:
    """Refuse what a search cannot be made with."""
    if unknown:
        known = ("k", "score_threshold", "metadata_filter")
        raise TypeError(unknown_argument("A search", next(iter(unknown)), known, _OTHER_NAMES))
    if k is not None and not (isinstance(k, int) and k >= 1):
        raise ValueError(f"k must be a number of documents, 1 or more, not {k!r}")
    if score_threshold is not None and not (
        isinstance(score_threshold, int | float) and 0 <= score_threshold <= 1
    ):
        raise ValueError(f"score_threshold must be a number from 0 to 1, not {score_threshold!r}")
