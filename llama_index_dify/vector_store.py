"""A knowledge base as the vector store of an ingestion pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode, QueryBundle, TransformComponent
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from dify_api.endpoints.knowledge import SearchMethod
from llama_index_dify._calls.source_documents import document_id, node_sources

if TYPE_CHECKING:
    from llama_index_dify.index import DifyIndex as DifyIndex


_METHODS: dict[VectorStoreQueryMode, SearchMethod | None] = {
    VectorStoreQueryMode.DEFAULT: None,
    VectorStoreQueryMode.HYBRID: "hybrid_search",
    VectorStoreQueryMode.SPARSE: "full_text_search",
    VectorStoreQueryMode.TEXT_SEARCH: "full_text_search",
}


class EmbedInDify(TransformComponent):
    """The last transformation of a pipeline: leaves the embedding to Dify.

    A pipeline hands to its vector store only nodes that have an embedding; this gives them an
    empty one.
    """

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Mark nodes as embedded."""
        for node in nodes:
            node.embedding = []
        return nodes


class DifyVectorStore(BasePydanticVectorStore):
    """A knowledge base as the sink of an `IngestionPipeline`, with a docstore or without.

    `DifyIndex.vector_store` makes it. Documents that a pipeline has not split go to Dify whole.

    Args:
        index: The index over the knowledge base.

    Example:
        >>> pipeline = IngestionPipeline(
        ...     transformations=[SentenceSplitter(), EmbedInDify()],
        ...     docstore=SimpleDocumentStore(),
        ...     vector_store=DifyIndex(name="Planets").vector_store,
        ...     docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        ... )
        >>> nodes = pipeline.run(documents=documents)
    """

    stores_text: bool = True
    is_embedding_query: bool = False

    _index: DifyIndex = PrivateAttr()
    _added: set[str] = PrivateAttr(default_factory=set)
    """Documents that were written since they were deleted last: nodes are added to them."""

    def __init__(self, index: DifyIndex) -> None:
        super().__init__(stores_text=True)
        self._index = index

    @classmethod
    def class_name(cls) -> str:
        """The name of the class."""
        return "DifyVectorStore"

    @property
    def client(self) -> Any:
        """The client of the knowledge base."""
        return self._index._connection.client

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Write the nodes of documents, in place of what the knowledge base holds of these.

        Args:
            nodes: They become the segments of their documents. More nodes of a document that was
                added before are added to it, until it is deleted.
            **kwargs: Ignored.
        """
        new, more = self._divided(nodes)
        self._index._writer.write(node_sources(new))
        self._index._writer.insert(node_sources(more))
        return [node.node_id for node in nodes]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add` for asyncio."""
        new, more = self._divided(nodes)
        await self._index._writer.awrite(node_sources(new))
        await self._index._writer.ainsert(node_sources(more))
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete a document with its segments; one that there is not is skipped."""
        self._added.discard(ref_doc_id)
        self._index.delete_ref_doc(ref_doc_id)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete` for asyncio."""
        self._added.discard(ref_doc_id)
        await self._index.adelete_ref_doc(ref_doc_id)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find nodes by the text of a query.

        Raises:
            ValueError: For a query without text, or one that Dify cannot answer: among given
                nodes, or in a mode such as MMR.
        """
        retriever = self._index.as_retriever(**_settings(query))
        return _result(retriever._retrieve(_bundle(query)))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query` for asyncio."""
        retriever = self._index.as_retriever(**_settings(query))
        return _result(await retriever._aretrieve(_bundle(query)))

    def _divided(self, nodes: Sequence[BaseNode]) -> tuple[list[BaseNode], list[BaseNode]]:
        """The nodes of documents that are written now, and more nodes of others."""
        more = [node for node in nodes if document_id(node) in self._added]
        new = [node for node in nodes if document_id(node) not in self._added]
        self._added.update(document_id(node) for node in new)
        return new, more


def _settings(query: VectorStoreQuery) -> dict[str, Any]:
    """The arguments of the retriever for a query."""
    if query.doc_ids or query.node_ids:
        raise ValueError("Dify cannot search among given nodes or documents; use filters")
    if query.mode not in _METHODS:
        raise ValueError(f"Dify has no search like VectorStoreQueryMode.{query.mode.name}")
    return {
        "similarity_top_k": query.similarity_top_k,
        "filters": query.filters,
        "search_method": _METHODS[query.mode],
    }


def _bundle(query: VectorStoreQuery) -> QueryBundle:
    if not query.query_str:
        raise ValueError(
            "Dify searches by the text of a query, not by an embedding: give query_str"
        )
    return QueryBundle(query.query_str)


def _result(found: Any) -> VectorStoreQueryResult:
    return VectorStoreQueryResult(
        nodes=[one.node for one in found],
        similarities=[one.score or 0.0 for one in found],
        ids=[one.node.node_id for one in found],
    )
