"""A Dify knowledge base as an index that LlamaIndex fills, and keeps in step with its source."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.chat_engine.types import BaseChatEngine, ChatMode
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.indices.managed.base import BaseManagedIndex
from llama_index.core.ingestion import arun_transformations, run_transformations
from llama_index.core.llms.utils import LLMType
from llama_index.core.schema import BaseNode, Document, MetadataMode, TransformComponent
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.storage.storage_context import StorageContext
from pydantic import SecretStr
from typing_extensions import Self, Unpack

from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api._calls.knowledge.writing_options import KnowledgeOptions, split_options
from llama_index_dify._calls.index_retriever import RETRIEVER_ARGUMENTS, IndexRetriever
from llama_index_dify._calls.index_writer import IndexWriter
from llama_index_dify._calls.source_documents import document_id, file_source, node_sources
from llama_index_dify._connected import LlamaIndexKnowledge
from llama_index_dify.vector_store import DifyVectorStore, EmbedInDify


class DifyIndex(BaseManagedIndex):
    """An index that a Dify knowledge base holds: Dify splits, embeds and searches.

    Each document becomes one of the knowledge base, under its own id; its metadata become Dify's
    metadata fields. Inserting a document under an id that there is replaces it, or does nothing
    where text and metadata are the same, so that a run that was interrupted can be repeated. Give
    documents ids that stay, as `SimpleDirectoryReader(..., filename_as_id=True)` does, for Dify to
    be kept in step with files that change. Nodes that you have split yourself become the segments
    of their document.

    What the knowledge base holds is read once, before the first change: let one process write it
    at a time.

    Args:
        dataset_id: The knowledge base: the UUID in its address.
        name: In place of it the name of a knowledge base, which is made where there is none.
        nodes: Nodes to insert.
        api_key: Key of the knowledge API ("dataset-..."), not of an app. Default:
            `DIFY_DATASET_API_KEY`, else `DIFY_API_KEY`.
        transformations: What documents go through first, such as a splitter; their nodes are
            inserted then. Default: documents go to Dify whole.
        show_progress: Whether to show progress bars (of tqdm).
        storage_context: As in every index; it remembers the nodes that you have inserted.
        callback_manager: As in every index.
        **options: How to write: `process_rule` (how Dify splits; default: automatic),
            `indexing_technique` ("high_quality" or "economy", of a new knowledge base), `doc_form`,
            `doc_language`, `embedding_model` and `embedding_model_provider`, `retrieval_model`;
            `wait` (default True: until what was inserted can be found), `indexing_timeout` (600
            seconds without progress), `max_concurrency` (4 documents at a time). How the server
            is reached: `base_url`, `timeout`, `max_retries`, ... as in `Dify`.

    Raises:
        ValueError: If there is no key or no knowledge base, or an option cannot have its value.
        TypeError: For an option that there is not.

    Example:
        >>> index = DifyIndex.from_documents(documents, name="Planets", show_progress=True)
        >>> index.as_retriever(similarity_top_k=3).retrieve("Saturn's moons")[0].text
        'Saturn has 146 moons ...'
        >>> index.refresh_ref_docs(SimpleDirectoryReader("docs", filename_as_id=True).load_data())
        [False, True, False]
    """

    index_struct_cls = IndexDict

    def __init__(
        self,
        dataset_id: str | None = None,
        *,
        name: str | None = None,
        nodes: Sequence[BaseNode] | None = None,
        api_key: SecretStr | str | None = None,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool = False,
        storage_context: StorageContext | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[KnowledgeOptions],
    ) -> None:
        writing, connection = split_options(options)
        self._connection = LlamaIndexKnowledge.of(api_key, **connection)
        self._writer = IndexWriter(self._connection, dataset_id, name, writing, show_progress)
        self._splits = bool(transformations)
        self._for_engine = False
        super().__init__(
            index_struct=IndexDict(),
            storage_context=storage_context,
            callback_manager=callback_manager,
            # None would load the default splitter, with its tokenizer.
            transformations=transformations or [EmbedInDify()],
            show_progress=show_progress,
        )
        if nodes:
            self.insert_nodes(nodes)

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        storage_context: StorageContext | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make an index of documents; those that the knowledge base has already are left alone.

        Args:
            documents: The documents.
            storage_context: As in the constructor.
            show_progress: Likewise.
            callback_manager: Likewise.
            transformations: Likewise.
            **kwargs: `name` or `dataset_id`, `api_key` and the constructor's other arguments.

        Raises:
            IndexingError: If the server could not index some; the others were.
            DifyError: If a request fails; calling again goes on where it was.
        """
        index = cls(
            storage_context=storage_context,
            show_progress=show_progress,
            callback_manager=callback_manager,
            transformations=transformations,
            **kwargs,
        )
        with index._callback_manager.as_trace("index_construction"):
            index._writer.write(index._sources(documents))
        return index

    @property
    def dataset_id(self) -> str | None:
        """The knowledge base; None as long as it was not looked up by its name."""
        return self._writer.base.dataset_id

    @property
    def vector_store(self) -> DifyVectorStore:
        """What an `IngestionPipeline` takes as its `vector_store`; see `DifyVectorStore`."""
        return DifyVectorStore(self)

    def insert(self, document: Document, **insert_kwargs: Any) -> None:
        """Insert a document, or replace the one of its id.

        Raises:
            IndexingError: If the server could not index it.
            DifyError: If a request fails.
        """
        with self._callback_manager.as_trace("insert"):
            self._writer.write(self._sources([document]))

    async def ainsert(self, document: Document, **insert_kwargs: Any) -> None:
        """`insert` for asyncio."""
        with self._callback_manager.as_trace("ainsert"):
            await self._writer.awrite(await self._asources([document]))

    def insert_file(
        self, file: str | Path, *, id_: str | None = None, metadata: dict[str, Any] | None = None
    ) -> str:
        """Insert a file, which Dify reads: PDF, Word, Markdown and whatever else it knows.

        Args:
            file: Its path. It is sent as it is read, of whatever size.
            id_: Its id. Default: its path.
            metadata: Default: its `file_path`.

        Returns:
            Its id, for `delete_ref_doc`.

        Raises:
            FileTooLargeError: If it is larger than the server takes.
            UnsupportedFileTypeError: If the server does not take files of its type.
            DifyError: As in `insert`.
        """
        source = file_source(Path(file), id_, metadata)
        self._writer.write([source])
        return source.id

    async def ainsert_file(
        self, file: str | Path, *, id_: str | None = None, metadata: dict[str, Any] | None = None
    ) -> str:
        """`insert_file` for asyncio."""
        source = file_source(Path(file), id_, metadata)
        await self._writer.awrite([source])
        return source.id

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Replace the document of this id; the same as `insert`."""
        self.insert(document)

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """`update_ref_doc` for asyncio."""
        await self.ainsert(document)

    def refresh_ref_docs(
        self, documents: Sequence[Document], *, delete_missing: bool = False, **update_kwargs: Any
    ) -> list[bool]:
        """Insert the documents that are new or have changed, in text or metadata.

        Args:
            documents: The documents as they are now.
            delete_missing: Whether to delete those of the knowledge base that are not among
                them. What this package has not written is left alone.
            **update_kwargs: Ignored.

        Returns:
            For each document, whether it was written.
        """
        with self._callback_manager.as_trace("refresh_ref_docs"):
            changed = self._writer.write(self._sources(documents))
            if delete_missing:
                self._writer.delete_others(document.id_ for document in documents)
        return _are_among(documents, changed)

    async def arefresh_ref_docs(
        self, documents: Sequence[Document], *, delete_missing: bool = False, **update_kwargs: Any
    ) -> list[bool]:
        """`refresh_ref_docs` for asyncio."""
        with self._callback_manager.as_trace("arefresh_ref_docs"):
            changed = await self._writer.awrite(await self._asources(documents))
            if delete_missing:
                await self._writer.adelete_others(document.id_ for document in documents)
        return _are_among(documents, changed)

    def delete_ref_doc(
        self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """Delete a document with all that it was split into; one that there is not is skipped."""
        self._writer.delete([ref_doc_id])
        if delete_from_docstore:
            self.docstore.delete_ref_doc(ref_doc_id, raise_error=False)

    async def adelete_ref_doc(
        self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """`delete_ref_doc` for asyncio."""
        await self._writer.adelete([ref_doc_id])
        if delete_from_docstore:
            await self.docstore.adelete_ref_doc(ref_doc_id, raise_error=False)

    def _insert(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        self._writer.insert(node_sources(nodes))

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """Add nodes to their documents, as segments; see `insert_nodes`."""
        with self._callback_manager.as_trace("ainsert_nodes"):
            await self.docstore.async_add_documents(nodes, allow_update=True)
            await self._writer.ainsert(node_sources(nodes))

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """Add nodes to their documents, as segments.

        A document that there is not is made of its nodes; to one that there is those are added
        that it has not. Dify has fields for the metadata of documents alone: those that all given
        nodes of a document share. The others come back with the nodes of a new document, and
        cannot be filtered by.

        Args:
            nodes: Nodes, of any documents. A `Document` among them is split by Dify.
            **insert_kwargs: Ignored.
        """
        super().insert_nodes(nodes)

    def delete_nodes(
        self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """Delete segments; those that there are not are skipped.

        Args:
            node_ids: Ids of nodes that were retrieved, or of nodes that were inserted as long as
                the index's docstore knows them.
            delete_from_docstore: Whether the docstore forgets them.
            **delete_kwargs: `ref_doc_id`, the document of retrieved nodes, without which all
                documents are looked through.
        """
        for node_id in node_ids:
            self._delete_node(node_id, **delete_kwargs)
            if delete_from_docstore:
                self.docstore.delete_document(node_id, raise_error=False)

    async def adelete_nodes(
        self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes` for asyncio."""
        for node_id in node_ids:
            node = await self.docstore.aget_node(node_id, raise_error=False)
            await self._writer.adelete_node(node_id, *_place(node, **delete_kwargs))
            if delete_from_docstore:
                await self.docstore.adelete_document(node_id, raise_error=False)

    def _delete_node(self, node_id: str, **delete_kwargs: Any) -> None:
        node = self.docstore.get_node(node_id, raise_error=False)
        self._writer.delete_node(node_id, *_place(node, **delete_kwargs))

    @property
    def ref_doc_ids(self) -> list[str]:
        """The ids of the documents that this package has written."""
        return self._writer.source_ids()

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """The documents by their ids: their metadata, and the ids of their segments.

        Each is asked for; `ref_doc_ids` tells the ids alone.
        """
        return {
            stored.source_id: RefDocInfo(
                node_ids=[segment.id for segment in stored.segments], metadata=stored.metadata
            )
            for stored in self._writer.stored()
        }

    def as_retriever(self, **kwargs: Any) -> IndexRetriever:
        """A retriever of the knowledge base.

        Args:
            **kwargs: Of `DifyRetriever`: `similarity_top_k`, `score_threshold`, `filters` (on the
                metadata that documents were given), `search_method`, `reranking_model`, `weights`,
                `long_query`, `verbose`, `callback_manager`.

        Raises:
            TypeError: For an argument that there is not.
        """
        if self._for_engine:  # LlamaIndex passes what is for the engine, too
            kwargs = {name: kwargs[name] for name in RETRIEVER_ARGUMENTS & kwargs.keys()}
        kwargs.setdefault("callback_manager", self._callback_manager)
        return IndexRetriever(self._writer.dataset_id(), self._connection, **kwargs)

    def as_query_engine(self, llm: LLMType | None = None, **kwargs: Any) -> BaseQueryEngine:
        """A query engine that retrieves here and lets `llm` answer.

        Args:
            llm: Any model of LlamaIndex's. Default: that of `Settings`.
            **kwargs: Of `as_retriever`, and of `RetrieverQueryEngine.from_args`.
        """
        return super(DifyIndex, self._of_engine()).as_query_engine(llm, **kwargs)

    def as_chat_engine(
        self, chat_mode: ChatMode = ChatMode.BEST, llm: LLMType | None = None, **kwargs: Any
    ) -> BaseChatEngine:
        """A chat engine that retrieves here and lets `llm` answer.

        Args:
            chat_mode: As in every index.
            llm: Any model of LlamaIndex's. Default: that of `Settings`.
            **kwargs: Of `as_retriever`, and of the chat engine.
        """
        return super(DifyIndex, self._of_engine()).as_chat_engine(chat_mode, llm, **kwargs)

    def _of_engine(self) -> Self:
        """This index, whose retriever leaves the arguments of engines to them."""
        index = copy(self)
        index._for_engine = True
        return index

    def _sources(self, documents: Sequence[Document]) -> list[SourceDocument]:
        if not self._splits:
            return node_sources(documents)
        nodes = run_transformations(
            documents, self._transformations, show_progress=self._show_progress, in_place=False
        )
        return node_sources(nodes)

    async def _asources(self, documents: Sequence[Document]) -> list[SourceDocument]:
        if not self._splits:
            return node_sources(documents)
        nodes = await arun_transformations(
            documents, self._transformations, show_progress=self._show_progress, in_place=False
        )
        return node_sources(nodes)


def _place(node: BaseNode | None, ref_doc_id: str | None = None) -> tuple[str | None, str | None]:
    """The document of a node to delete, and the text to find it by, as far as they are known."""
    if node is None:
        return ref_doc_id, None
    return ref_doc_id or document_id(node), node.get_content(metadata_mode=MetadataMode.NONE)


def _are_among(documents: Sequence[Document], changed: Sequence[SourceDocument]) -> list[bool]:
    ids = {source.id for source in changed}
    return [document.id_ in ids for document in documents]
