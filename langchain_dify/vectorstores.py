"""A Dify knowledge base as a vector store that embeds by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from pydantic import SecretStr
from typing_extensions import Self, Unpack

from dify_api._calls.concurrent_flows import arun_all, run_all
from dify_api._calls.knowledge.document_metadata import ID_FIELD, original_metadata
from dify_api._calls.knowledge.ingestion import aingest, ingest
from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api._calls.knowledge.stored_documents import StoredDocument, stored_document
from dify_api._calls.knowledge.writing_options import (
    KnowledgeOptions,
    Writing,
    progress_of,
    split_options,
)
from dify_api._calls.metadata_conditions import on_fields
from dify_api._calls.retrieval import KnowledgeSearch, LongQuery, checked_long_query
from dify_api._runs.flows import Flow, arun, run
from dify_api.endpoints.knowledge import MetadataFilteringConditions, RerankingModel, SearchMethod
from dify_api.models import RetrieverResource
from langchain_dify._calls.metadata_filter import MetadataFilter, filtering_conditions
from langchain_dify._calls.source_documents import document_sources, file_sources
from langchain_dify._connected import LangChainKnowledge
from langchain_dify._connection import unknown_argument
from langchain_dify.documents import documents_from_resources

Found = list[tuple[Document, float | None]]

_OF_A_SEARCH = ("filter", "score_threshold")
_OTHER_NAMES = {"metadata_filter": "filter", "filters": "filter", "top_k": "k"}


class DifyVectorStore(VectorStore):
    """A Dify knowledge base that LangChain writes and searches; Dify splits and embeds.

    Each document becomes one of the knowledge base, its metadata become Dify's metadata fields,
    and its id stays its own: adding a document under an id that there is replaces it, or does
    nothing where text and metadata are the same. So a run that was interrupted can be repeated,
    and `langchain_core.indexing.index` with a record manager writes what has changed. Documents
    without an id get one that their text and metadata decide.

    What the knowledge base holds is read once, before the first change: let one process write it
    at a time.

    Args:
        dataset_id: The knowledge base: the UUID in its address.
        name: In place of it the name of a knowledge base, which is made where there is none.
        api_key: Key of the knowledge API ("dataset-..."), not of an app. Default:
            `DIFY_DATASET_API_KEY`, else `DIFY_API_KEY`.
        search_method: "semantic_search", "full_text_search", "hybrid_search" or
            "keyword_search". Default: as the knowledge base is set up; so for the next two.
        reranking_model: Model that reorders what was found.
        weights: Weights of keyword and vector search, as Dify's reference has them.
        long_query: What to do with a query of more than 250 characters, which servers refuse:
            "error", or "truncate" it after the last word that fits.
        show_progress: Whether to show a progress bar (of tqdm).
        **options: How to write: `process_rule` (how Dify splits; default: automatic),
            `indexing_technique` ("high_quality" or "economy", of a new knowledge base), `doc_form`,
            `doc_language`, `embedding_model` and `embedding_model_provider`, `retrieval_model`;
            `wait` (default True: until what was added can be found), `indexing_timeout` (600
            seconds without progress), `max_concurrency` (4 documents at a time). How the server
            is reached: `base_url`, `timeout`, `max_retries`, ... as in `DifyRetriever`.

    Raises:
        ValueError: If there is no key or no knowledge base, or an option cannot have its value.
        TypeError: For an option that there is not.

    Example:
        >>> store = DifyVectorStore(name="Planets", api_key="dataset-...")
        >>> store.add_documents([Document("Saturn has 146 moons.", metadata={"year": 2023})])
        ['8e2f0c...']
        >>> store.similarity_search("Saturn's moons", k=1, filter={"year": {">": 2000}})
        [Document(id='8e2f0c...', metadata={'year': 2023}, page_content='Saturn has 146 moons.')]
    """

    def __init__(
        self,
        dataset_id: str | None = None,
        *,
        name: str | None = None,
        api_key: SecretStr | str | None = None,
        search_method: SearchMethod | None = None,
        reranking_model: RerankingModel | Mapping[str, str] | None = None,
        weights: Mapping[str, Any] | None = None,
        long_query: LongQuery = "error",
        show_progress: bool = False,
        **options: Unpack[KnowledgeOptions],
    ) -> None:
        writing, connection = split_options(options)
        self._writing = Writing(dataset_id, name, writing)
        self._connection = LangChainKnowledge.of(api_key, **connection)
        self._settings: dict[str, Any] = {
            "search_method": search_method,
            "reranking_model": reranking_model,
            "weights": weights,
        }
        self._long_query: LongQuery = checked_long_query(long_query)
        self._progress = progress_of(show_progress)
        self._search: KnowledgeSearch | None = None

    @property
    def dataset_id(self) -> str | None:
        """The knowledge base; None as long as it was not looked up by its name."""
        return self._writing.base.dataset_id

    def add_documents(self, documents: Sequence[Document], **kwargs: Any) -> list[str]:
        """Write documents into the knowledge base.

        Args:
            documents: Their metadata may hold anything: what Dify has no field for is kept as
                JSON text. One without text cannot be found, and is not written.
            **kwargs: `ids`, in place of the documents' own.

        Returns:
            The ids, in the order of the documents.

        Raises:
            IndexingError: If the server could not index some; the others were.
            DifyError: If a request fails; calling again goes on where it was.
            ValueError: If the number of ids is another, or metadata have a name that no field of
                Dify's can have.
        """
        sources = document_sources(documents, kwargs.get("ids"))
        self._ingest(sources)
        return [source.id for source in sources]

    async def aadd_documents(self, documents: Sequence[Document], **kwargs: Any) -> list[str]:
        """`add_documents` for asyncio."""
        sources = document_sources(documents, kwargs.get("ids"))
        await self._aingest(sources)
        return [source.id for source in sources]

    def add_files(
        self,
        files: Iterable[str | Path],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Write files, which Dify reads: PDF, Word, Markdown and whatever else it knows.

        Args:
            files: Their paths. They are sent as they are read, of whatever size.
            metadatas: The metadata of each.
            ids: Their ids. Default: their paths.

        Raises:
            FileTooLargeError: If a file is larger than the server takes.
            UnsupportedFileTypeError: If the server does not take files of this type.
            DifyError: As in `add_documents`.
        """
        sources = file_sources([Path(file) for file in files], metadatas, ids)
        self._ingest(sources)
        return [source.id for source in sources]

    async def aadd_files(
        self,
        files: Iterable[str | Path],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """`add_files` for asyncio."""
        sources = file_sources([Path(file) for file in files], metadatas, ids)
        await self._aingest(sources)
        return [source.id for source in sources]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents; ids that there are not are skipped.

        Raises:
            ValueError: If there are no `ids`: all documents are not deleted at once.
        """
        client, count = self._connection.client, self._writing.max_concurrency
        run_all(client, run(client, self._deletions(ids)), max_concurrency=count)
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """`delete` for asyncio."""
        client, count = self._connection.async_client, self._writing.max_concurrency
        await arun_all(client, await arun(client, self._deletions(ids)), max_concurrency=count)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids; those that there are not are left out.

        Their text is put together from what Dify has split it into.
        """
        client, count = self._connection.client, self._writing.max_concurrency
        flows = run(client, self._readings(ids))
        return _stored(run_all(client, flows, max_concurrency=count))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """`get_by_ids` for asyncio."""
        client, count = self._connection.async_client, self._writing.max_concurrency
        flows = await arun(client, self._readings(ids))
        return _stored(await arun_all(client, flows, max_concurrency=count))

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Find passages, best first.

        Args:
            query: What to find.
            k: Passages at most.
            **kwargs: `filter`, conditions on the metadata as in `DifyRetriever`
                (`{"topic": "moons", "year": {">": 1900}}`); `score_threshold`, 0 to 1.

        Returns:
            Passages with the id and the metadata that their document was added with, and nothing
            else. What others wrote into the knowledge base looks as `DifyRetriever` shows it.

        Raises:
            ValueError: If the query is too long, or a filter is one that Dify lacks.
            DifyError: If the search does not succeed.
        """
        found = run(self._connection.client, self._find(query, k, kwargs))
        return [document for document, _ in found]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """`similarity_search` for asyncio."""
        found = await arun(self._connection.async_client, self._find(query, k, kwargs))
        return [document for document, _ in found]

    def similarity_search_with_score(  # the base class names no arguments
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search`, with Dify's relevance (0 to 1, higher is better).

        Keyword search has none: 0.
        """
        found = run(self._connection.client, self._find(query, k, kwargs))
        return [(document, score or 0.0) for document, score in found]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` for asyncio."""
        found = await arun(self._connection.async_client, self._find(query, k, kwargs))
        return [(document, score or 0.0) for document, score in found]

    def max_marginal_relevance_search(self, *args: Any, **kwargs: Any) -> list[Document]:
        """Not to be had: Dify gives no embeddings away.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "Dify gives no embeddings away, which this needs: give DifyVectorStore a "
            "reranking_model, or let a document compressor choose"
        )

    @classmethod
    def from_documents(
        cls, documents: Sequence[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> Self:
        """Make a store, and add documents.

        Args:
            documents: The documents.
            embedding: Ignored: Dify embeds.
            **kwargs: Arguments of the class, and `ids`.

        Example:
            >>> store = DifyVectorStore.from_documents(documents, name="Planets")
        """
        ids = kwargs.pop("ids", None)
        store = cls(**kwargs)
        store.add_documents(documents, ids=ids)
        return store

    @classmethod
    async def afrom_documents(
        cls, documents: Sequence[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> Self:
        """`from_documents` for asyncio."""
        ids = kwargs.pop("ids", None)
        store = cls(**kwargs)
        await store.aadd_documents(documents, ids=ids)
        return store

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store, and add texts; see `from_documents`."""
        store = cls(**kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_texts` for asyncio."""
        store = cls(**kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda score: score  # it is Dify's relevance already

    def _ingest(self, sources: Sequence[SourceDocument]) -> None:
        ingest(
            self._connection.client,
            self._writing.base,
            sources,
            wait=self._writing.wait,
            max_concurrency=self._writing.max_concurrency,
            progress=self._progress,
        )

    async def _aingest(self, sources: Sequence[SourceDocument]) -> None:
        await aingest(
            self._connection.async_client,
            self._writing.base,
            sources,
            wait=self._writing.wait,
            max_concurrency=self._writing.max_concurrency,
            progress=self._progress,
        )

    def _find(self, query: str, k: int, given: Mapping[str, Any]) -> Flow[Found]:
        for unknown in given.keys() - set(_OF_A_SEARCH):
            raise TypeError(
                unknown_argument("A search", unknown, ("k", *_OF_A_SEARCH), _OTHER_NAMES)
            )
        conditions = _conditions(given.get("filter"))
        if self._search is None:
            dataset_id = yield from self._writing.base.found()
            self._search = KnowledgeSearch(
                dataset_id, long_query=self._long_query, **self._settings
            )
        found = yield from self._search.retrieve(
            query,
            top_k=k,
            score_threshold=given.get("score_threshold"),
            metadata_filtering_conditions=conditions,
        )
        return [(_passage(resource), resource.score) for resource in found]

    def _deletions(self, ids: Sequence[str] | None) -> Flow[list[Flow[bool]]]:
        if ids is None or isinstance(ids, str):
            raise ValueError("ids must be a list of those to delete; all are not deleted at once")
        yield from self._writing.base.catalogue()
        return [self._writing.base.delete(source_id) for source_id in dict.fromkeys(ids)]

    def _readings(self, ids: Sequence[str]) -> Flow[list[Flow[StoredDocument | None]]]:
        dataset_id = yield from self._writing.base.found()
        catalogue = yield from self._writing.base.catalogue()
        known = [found for source_id in ids if (found := catalogue.get(source_id)) is not None]
        return [stored_document(dataset_id, found.source_id, found.document_id) for found in known]


def _conditions(given: MetadataFilter) -> MetadataFilteringConditions | None:
    """The conditions of a filter on the fields that hold the metadata."""
    conditions = filtering_conditions(given)
    return None if conditions is None else on_fields(conditions)


def _passage(resource: RetrieverResource) -> Document:
    values = resource.doc_metadata or {}
    metadata = original_metadata(values, resource.segment_position)
    if metadata is None:  # written by others
        return documents_from_resources([resource])[0]
    return Document(id=str(values[ID_FIELD]), page_content=resource.content, metadata=metadata)


def _stored(found: Sequence[StoredDocument | None]) -> list[Document]:
    return [
        Document(id=document.source_id, page_content=document.text, metadata=document.metadata)
        for document in found
        if document is not None
    ]
