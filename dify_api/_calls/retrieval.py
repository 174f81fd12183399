"""Searches of one knowledge base, as both adapters' retrievers make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from dify_api._runs.flows import Flow
from dify_api.endpoints import knowledge
from dify_api.errors import BadRequestError, StatusError
from dify_api.models import RetrieverResource
from dify_api.operation import require_uuid

LongQuery = Literal["error", "truncate"]
"""What to do with a query that is too long for servers."""

LONGEST_QUERY = 250
"""Characters of a query at most, on all releases."""

_BY_VECTORS = (None, "semantic_search", "hybrid_search")


class KnowledgeSearch:
    """Searches of one knowledge base; what is not set is as the knowledge base has it.

    The server takes its settings whole or not at all: one that is given alone would put out
    all others. Therefore the knowledge base is asked for its own, once, before the first search
    that changes some of them but not the search method, or once a server finds no vectors to
    search, as in an economy knowledge base that was made by API.

    Args:
        dataset_id: The knowledge base.
        long_query: What to do with a query of more than 250 characters, which servers refuse.
        **settings: Fields of `knowledge.RetrievalModel`; None for those to leave alone.

    Raises:
        ValueError: If the id is no UUID, or a setting cannot have the value given.

    Example:
        >>> search = KnowledgeSearch(dataset_id, top_k=2)
        >>> [found.content for found in run(client, search.retrieve("Saturn's moons"))]
        ['Saturn has 146 moons ...', 'Titan ...']
    """

    def __init__(
        self, dataset_id: str, *, long_query: LongQuery = "error", **settings: Any
    ) -> None:
        self.long_query: LongQuery = checked_long_query(long_query)
        self.dataset_id = require_uuid(dataset_id, "dataset_id")
        self.settings = {name: value for name, value in settings.items() if value is not None}
        knowledge.RetrievalModel.model_validate(self.settings)
        self._dataset: knowledge.Dataset | None = None
        self._has_vectors = True

    def retrieve(self, query: str, **settings: Any) -> Flow[list[RetrieverResource]]:
        """Find the passages for a query, best first.

        Args:
            query: What to find.
            **settings: Settings of this search alone, as in the constructor.

        Raises:
            ValueError: If the query is too long, with `long_query="error"`.
        """
        query = fitting(query, self.long_query)
        given = {name: value for name, value in settings.items() if value is not None}
        changed = {**self.settings, **given}
        if changed and "search_method" not in changed:
            yield from self._look_up()
        by_vectors = self._has_vectors
        try:
            result = yield from self._search(query, changed)
        except BadRequestError:
            # Servers search by meaning what has no vectors: an economy knowledge base that was
            # made by API, or one without documents.
            dataset = yield from self._looked_up_anew()
            # Not `_has_vectors`, which another search may have learnt of in the meantime.
            if changed or not by_vectors or dataset.retrieval_model_dict is None:
                if dataset.document_count == 0:
                    return []
                raise
            self._has_vectors = False
            result = yield from self._search_again(query, dataset)
        name = self._dataset.name if self._dataset else ""
        return result.resources(self.dataset_id, name or None)

    def _search(self, query: str, changed: Mapping[str, Any]) -> Flow[knowledge.RetrieveResult]:
        model = self._completed(changed) if changed or not self._has_vectors else None
        result: knowledge.RetrieveResult = yield knowledge.retrieve(
            self.dataset_id, query, retrieval_model=model
        )
        return result

    def _search_again(
        self, query: str, dataset: knowledge.Dataset
    ) -> Flow[knowledge.RetrieveResult]:
        try:
            return (yield from self._search(query, {}))
        except BadRequestError:
            if dataset.document_count == 0:
                self._has_vectors = True
                return knowledge.RetrieveResult()
            raise

    def _looked_up_anew(self) -> Flow[knowledge.Dataset]:
        """What the knowledge base is now; servers that did not tell are not asked again."""
        if self._dataset is not None and self._dataset.id:
            self._dataset = None
        yield from self._look_up()
        return self._dataset or knowledge.Dataset()

    def _look_up(self) -> Flow[None]:
        """Ask the knowledge base for its settings, once."""
        if self._dataset is not None:
            return
        try:
            self._dataset = yield knowledge.dataset(self.dataset_id)
        except StatusError as error:
            if error.status not in (404, 405):  # servers before 1.0.0 do not tell
                raise
            self._dataset = knowledge.Dataset()

    def _completed(self, changed: Mapping[str, Any]) -> Mapping[str, Any]:
        dataset = self._dataset or knowledge.Dataset()
        own = dataset.retrieval_model_dict
        model: dict[str, Any] = own.model_dump(exclude_none=True) if own else {}
        if dataset.indexing_technique == "economy" and model.get("search_method") in _BY_VECTORS:
            model["search_method"] = "keyword_search"
        if "score_threshold" in changed:
            model["score_threshold_enabled"] = True
        if "reranking_model" in changed:
            model.update(reranking_enable=True, reranking_mode="reranking_model")
        elif not model.get("reranking_enable"):
            model.pop("reranking_model", None)  # its names are empty then
        return {**model, **changed}


def checked_long_query(long_query: LongQuery) -> LongQuery:
    """The value, if it is one.

    Raises:
        ValueError: For any other value.
    """
    if long_query not in get_args(LongQuery):
        raise ValueError(f'long_query must be "error" or "truncate", not {long_query!r}')
    return long_query


def fitting(query: str, long_query: LongQuery) -> str:
    """The query, or its beginning, up to the last word that fits.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is too long, with `long_query="error"`.
    """
    if not isinstance(query, str):
        raise TypeError(f"a query must be a text, not {type(query).__name__}")
    if len(query) <= LONGEST_QUERY:
        return query
    if long_query == "error":
        raise ValueError(
            f"a query may have up to {LONGEST_QUERY} characters, this one has {len(query)}: "
            'shorten it, or use long_query="truncate"'
        )
    cut = query[: LONGEST_QUERY + 1]
    return (cut.rsplit(None, 1)[0] if len(cut.split()) > 1 else cut)[:LONGEST_QUERY]
