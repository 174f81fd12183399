"""What an index writes into its knowledge base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dify_api._calls.concurrent_flows import arun_all, run_all
from dify_api._calls.knowledge.indexing import Indexing
from dify_api._calls.knowledge.ingestion import aingest, ingest
from dify_api._calls.knowledge.segment_changes import append_missing, delete_segment
from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api._calls.knowledge.stored_documents import StoredDocument, stored_document
from dify_api._calls.knowledge.writing_options import Writing, progress_of
from dify_api._runs.flows import Flow, arun, run
from llama_index_dify._connected import LlamaIndexKnowledge


class IndexWriter:
    """Writes a knowledge base; each method with its twin for asyncio.

    Args:
        connection: To the server.
        dataset_id: The knowledge base, or None.
        name: Its name, or None.
        options: Of `WritingOptions`.
        show_progress: Whether to show progress bars.
    """

    def __init__(
        self,
        connection: LlamaIndexKnowledge,
        dataset_id: str | None,
        name: str | None,
        options: Mapping[str, Any],
        show_progress: bool,
    ) -> None:
        self._connection = connection
        writing = Writing(dataset_id, name, options, same_content=True)
        self.base = writing.base
        self._several: dict[str, Any] = {"max_concurrency": writing.max_concurrency}
        self._ingestion = {
            **self._several,
            "wait": writing.wait,
            "progress": progress_of(show_progress),
        }

    def dataset_id(self) -> str:
        """The id of the knowledge base, which is made where there is none of its name."""
        return run(self._connection.client, self.base.found())

    def source_ids(self) -> list[str]:
        """The ids of the documents."""
        return run(self._connection.client, self.base.catalogue()).source_ids()

    def write(self, sources: Sequence[SourceDocument]) -> list[SourceDocument]:
        """Bring documents into the knowledge base; those that were new or had changed."""
        return ingest(self._connection.client, self.base, sources, **self._ingestion)

    async def awrite(self, sources: Sequence[SourceDocument]) -> list[SourceDocument]:
        """`write` for asyncio."""
        return await aingest(self._connection.async_client, self.base, sources, **self._ingestion)

    def insert(self, sources: Sequence[SourceDocument]) -> None:
        """Bring documents into the knowledge base; segments are added to those that there are."""
        new, flows = run(self._connection.client, self._insertion(sources))
        self.write(new)
        run_all(self._connection.client, flows, **self._several)

    async def ainsert(self, sources: Sequence[SourceDocument]) -> None:
        """`insert` for asyncio."""
        new, flows = await arun(self._connection.async_client, self._insertion(sources))
        await self.awrite(new)
        await arun_all(self._connection.async_client, flows, **self._several)

    def delete(self, source_ids: Iterable[str]) -> None:
        """Delete documents."""
        run(self._connection.client, self.base.catalogue())
        flows = [self.base.delete(source_id) for source_id in source_ids]
        run_all(self._connection.client, flows, **self._several)

    async def adelete(self, source_ids: Iterable[str]) -> None:
        """`delete` for asyncio."""
        await arun(self._connection.async_client, self.base.catalogue())
        flows = [self.base.delete(source_id) for source_id in source_ids]
        await arun_all(self._connection.async_client, flows, **self._several)

    def delete_others(self, kept: Iterable[str]) -> None:
        """Delete the documents whose ids are not among these."""
        catalogue = run(self._connection.client, self.base.catalogue())
        self.delete(_without(catalogue.source_ids(), kept))

    async def adelete_others(self, kept: Iterable[str]) -> None:
        """`delete_others` for asyncio."""
        catalogue = await arun(self._connection.async_client, self.base.catalogue())
        await self.adelete(_without(catalogue.source_ids(), kept))

    def delete_node(self, node_id: str, source_id: str | None, text: str | None) -> None:
        """Delete a segment, found by its id or, where there is one, by its text."""
        run(self._connection.client, self._segment_deletion(node_id, source_id, text))

    async def adelete_node(self, node_id: str, source_id: str | None, text: str | None) -> None:
        """`delete_node` for asyncio."""
        await arun(self._connection.async_client, self._segment_deletion(node_id, source_id, text))

    def stored(self) -> list[StoredDocument]:
        """The documents as they are in the knowledge base."""
        client = self._connection.client
        dataset_id, catalogue = self.dataset_id(), run(client, self.base.catalogue())
        flows = [
            stored_document(dataset_id, known.source_id, known.document_id) for known in catalogue
        ]
        found = run_all(client, flows, **self._several)
        return [stored for stored in found if stored is not None]

    def _insertion(
        self, sources: Sequence[SourceDocument]
    ) -> Flow[tuple[list[SourceDocument], list[Flow[int]]]]:
        """What is to be written whole, and the additions to documents that there are."""
        dataset_id = yield from self.base.found()
        catalogue = yield from self.base.catalogue()
        new, additions = [], []
        for source in sources:
            known = catalogue.get(source.id)
            if known is None or known.failed or not source.segments:
                new.append(source)
            elif not known.has_content_of(source):
                additions.append(
                    append_missing(
                        dataset_id,
                        Indexing(source.id, known.document_id),
                        source.segments,
                        timeout=self.base.indexing_timeout,
                    )
                )
        return new, additions

    def _segment_deletion(
        self, node_id: str, source_id: str | None, text: str | None
    ) -> Flow[bool]:
        dataset_id = yield from self.base.found()
        catalogue = yield from self.base.catalogue()
        return (yield from delete_segment(dataset_id, catalogue, source_id, node_id, text))


def _without(source_ids: Sequence[str], kept: Iterable[str]) -> list[str]:
    stay = set(kept)
    return [source_id for source_id in source_ids if source_id not in stay]
