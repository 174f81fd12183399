"""The retriever of an index: its filters are on the metadata that documents were given."""

from __future__ import annotations

from inspect import signature
from typing import Any

from dify_api._calls.metadata_conditions import on_fields
from dify_api.endpoints.knowledge import MetadataFilteringConditions
from llama_index_dify._calls.filters import Filters
from llama_index_dify._connected import LlamaIndexKnowledge
from llama_index_dify.retriever import DifyRetriever

RETRIEVER_ARGUMENTS = frozenset(signature(DifyRetriever.__init__).parameters) - {
    "self",
    "dataset_id",
    "api_key",
    "options",
}


class IndexRetriever(DifyRetriever):
    """`DifyRetriever` over the connection of an index."""

    def __init__(self, dataset_id: str, connection: LlamaIndexKnowledge, **settings: Any) -> None:
        unknown = settings.keys() - RETRIEVER_ARGUMENTS
        if unknown:
            raise TypeError(
                f"a retriever takes no {', '.join(sorted(unknown))}; it takes "
                f"{', '.join(sorted(RETRIEVER_ARGUMENTS))}"
            )
        super().__init__(dataset_id, api_key=connection.key, **settings)
        self._connection = connection

    @staticmethod
    def _conditions(filters: Filters | None) -> MetadataFilteringConditions | None:
        conditions = DifyRetriever._conditions(filters)
        return None if conditions is None else on_fields(conditions)
