"""A Dify knowledge base as a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from inspect import unwrap
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType
from pydantic import SecretStr
from typing_extensions import Unpack

from dify_api._calls.retrieval import KnowledgeSearch, LongQuery
from dify_api._runs.flows import arun, run
from dify_api.connection import ConnectionOptions
from dify_api.endpoints.knowledge import MetadataFilteringConditions, RerankingModel, SearchMethod
from dify_api.models import RetrieverResource
from llama_index_dify._calls.filters import Filters, filtering_conditions
from llama_index_dify._connected import LlamaIndexKnowledge
from llama_index_dify.nodes import nodes_from_resources


class DifyRetriever(BaseRetriever):
    """Retrieves passages of a Dify knowledge base (`POST /datasets/{dataset_id}/retrieve`).

    Whatever is left out is searched as the knowledge base itself is set up. Passages come best
    first, several of one document as several nodes; see `nodes_from_resources` for what is in
    them. `retrieve` and `aretrieve` take `similarity_top_k`, `score_threshold` and `filters` for
    one search.

    Args:
        dataset_id: The knowledge base: the UUID in its address.
        api_key: Key of the knowledge API ("dataset-..."), not of an app. Default:
            `DIFY_DATASET_API_KEY`, else `DIFY_API_KEY`.
        similarity_top_k: Passages at most.
        score_threshold: Lowest relevance, 0 to 1.
        search_method: "semantic_search", "full_text_search", "hybrid_search" or
            "keyword_search".
        reranking_model: Model that reorders what was found, with `reranking_provider_name`
            and `reranking_model_name`.
        weights: Weights of keyword and vector search, as Dify's reference has them.
        filters: Conditions on the documents' metadata (servers since 1.1.0): LlamaIndex's
            `MetadataFilters`, or Dify's own (`{"logical_operator": "and", "conditions": [{"name":
            ..., "comparison_operator": "start with", "value": ...}]}`), for all its operators.
        long_query: What to do with a query of more than 250 characters, which servers refuse:
            "error" (default), or "truncate" it after the last word that fits.
        callback_manager: Receives the RETRIEVE events. Default: that of `Settings`, once used.
        verbose: As in every retriever.
        **options: Address, limits, headers and so on, as in `Dify`.

    Raises:
        ValueError: If there is no key, an id that is no UUID, or a filter that Dify lacks.

    Example:
        >>> retriever = DifyRetriever(dataset_id, api_key="dataset-...", similarity_top_k=3)
        >>> [(found.score, found.text) for found in retriever.retrieve("Saturn's moons")]
        [(0.81, 'Saturn has 146 moons ...'), ...]
    """

    def __init__(
        self,
        dataset_id: str,
        *,
        api_key: SecretStr | str | None = None,
        similarity_top_k: int | None = None,
        score_threshold: float | None = None,
        search_method: SearchMethod | None = None,
        reranking_model: RerankingModel | Mapping[str, str] | None = None,
        weights: Mapping[str, Any] | None = None,
        filters: Filters | None = None,
        long_query: LongQuery = "error",
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self._search = KnowledgeSearch(
            dataset_id,
            long_query=long_query,
            top_k=similarity_top_k,
            score_threshold=score_threshold,
            search_method=search_method,
            reranking_model=reranking_model,
            weights=weights,
            metadata_filtering_conditions=self._conditions(filters),
        )
        self._of_call: dict[str, Any] = {}
        self._connection = LlamaIndexKnowledge.of(api_key, **options)
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    def retrieve(
        self,
        str_or_query_bundle: QueryType,
        *,
        similarity_top_k: int | None = None,
        score_threshold: float | None = None,
        filters: Filters | None = None,
    ) -> list[NodeWithScore]:
        """Find passages.

        Args:
            str_or_query_bundle: What to find.
            similarity_top_k: As in the constructor, for this search.
            score_threshold: Likewise.
            filters: Likewise.

        Raises:
            DifyError: If the search does not succeed.
            ValueError: If the query is too long, or a setting cannot have the value given.
        """
        search = self._for_call(similarity_top_k, score_threshold, filters)
        # Without its span: this method has one.
        found: list[NodeWithScore] = unwrap(BaseRetriever.retrieve)(search, str_or_query_bundle)
        return found

    async def aretrieve(
        self,
        str_or_query_bundle: QueryType,
        *,
        similarity_top_k: int | None = None,
        score_threshold: float | None = None,
        filters: Filters | None = None,
    ) -> list[NodeWithScore]:
        """`retrieve` for asyncio."""
        search = self._for_call(similarity_top_k, score_threshold, filters)
        found: list[NodeWithScore] = await unwrap(BaseRetriever.aretrieve)(
            search, str_or_query_bundle
        )
        return found

    def _for_call(
        self, top_k: int | None, score_threshold: float | None, filters: Filters | None
    ) -> DifyRetriever:
        """This retriever with the settings of one search."""
        given = {
            "top_k": top_k,
            "score_threshold": score_threshold,
            "metadata_filtering_conditions": self._conditions(filters),
        }
        search = self if all(value is None for value in given.values()) else copy(self)
        if search is not self:
            search._of_call = given
        return search

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        flow = self._search.retrieve(query_bundle.query_str, **self._of_call)
        return _nodes(run(self._connection.client, flow))

    # The name of the parameter is LlamaIndex's: it is passed by keyword.
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        flow = self._search.retrieve(query_bundle.query_str, **self._of_call)
        return _nodes(await arun(self._connection.async_client, flow))

    @staticmethod
    def _conditions(filters: Filters | None) -> MetadataFilteringConditions | None:
        return None if filters is None else filtering_conditions(filters)


def _nodes(found: list[RetrieverResource]) -> list[NodeWithScore]:
    # The name is known after some searches only; a passage must be the same node after all.
    return nodes_from_resources(
        resource.model_copy(update={"dataset_name": None}) for resource in found
    )
