"""Searches of one knowledge base, as both adapters' retrievers make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_api._calls.flows import Flow
from dify_api.endpoints import knowledge
from dify_api.errors import StatusError
from dify_api.models import RetrieverResource
from dify_api.operation import require_uuid


class KnowledgeSearch:
    """Searches of one knowledge base; what is not set is as the knowledge base has it.

    The server takes its settings whole or not at all: one that is given alone would put out
    all others. Therefore the knowledge base is asked for its own, once, before the first search
    that changes some of them but not the search method.

    Args:
        dataset_id: The knowledge base.
        **settings: Fields of `knowledge.RetrievalModel`; None for those to leave alone.

    Raises:
        ValueError: If the id is no UUID, or a setting cannot have the value given.

    Example:
        >>> search = KnowledgeSearch(dataset_id, top_k=2)
        >>> [found.content for found in run(client, search.retrieve("Saturn's moons"))]
        ['Saturn has 146 moons ...', 'Titan ...']
    """

    def __init__(self, dataset_id: str, **settings: Any) -> None:
        self.dataset_id = require_uuid(dataset_id, "dataset_id")
        self.settings = {name: value for name, value in settings.items() if value is not None}
        knowledge.RetrievalModel.model_validate(self.settings)
        self._dataset: knowledge.Dataset | None = None

    def retrieve(self, query: str, **settings: Any) -> Flow[list[RetrieverResource]]:
        """Find the passages for a query of up to 250 characters, best first.

        Args:
            query: What to find.
            **settings: Settings of this search alone, as in the constructor.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        changed = {**self.settings, **given}
        model = None
        if changed:
            if self._dataset is None and "search_method" not in changed:
                self._dataset = yield from _look_up(self.dataset_id)
            model = self._completed(changed)
        result: knowledge.RetrieveResult = yield knowledge.retrieve(
            self.dataset_id, query, retrieval_model=model
        )
        name = self._dataset.name if self._dataset else ""
        return result.resources(self.dataset_id, name or None)

    def _completed(self, changed: Mapping[str, Any]) -> Mapping[str, Any]:
        own = self._dataset.retrieval_model_dict if self._dataset else None
        model: dict[str, Any] = own.model_dump(exclude_none=True) if own else {}
        if "score_threshold" in changed:
            model["score_threshold_enabled"] = True
        if "reranking_model" in changed:
            model.update(reranking_enable=True, reranking_mode="reranking_model")
        elif not model.get("reranking_enable"):
            model.pop("reranking_model", None)  # its names are empty then
        return {**model, **changed}


def _look_up(dataset_id: str) -> Flow[knowledge.Dataset]:
    try:
        dataset: knowledge.Dataset = yield knowledge.dataset(dataset_id)
    except StatusError as error:
        if error.status not in (404, 405):  # servers before 1.0.0 do not tell
            raise
        return knowledge.Dataset()
    return dataset
