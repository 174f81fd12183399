"""The knowledge base that the apps answer from: the one over the folder of documents."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge.records import Document, Hit
from dify_local._storage.knowledge.search import Query, find, retrieve
from dify_local._storage.knowledge.tables import Tables


@dataclass(frozen=True)
class Knowledge:
    """A knowledge base, as the apps know it.

    Attributes:
        tables: Where all knowledge bases are kept.
        id: Which one.
        name: Its name.
    """

    tables: Tables
    id: str
    name: str

    @property
    def documents(self) -> list[Document]:
        """Return its documents, oldest first."""
        return self.tables.documents(self.id)

    def titles(self) -> list[str]:
        """Return what its documents are about, in words."""
        rows = self.tables.store.rows(
            "SELECT json_extract(body, '$.title') AS title FROM documents WHERE dataset_id = ?",
            self.id,
        )
        return [str(row["title"]) for row in rows]

    def retrieve(self, query: str, *, top_k: int = 3) -> list[Hit]:
        """Return the segments with the words of a query, best first.

        Args:
            query: Free text; words too common to mean anything are left out.
            top_k: How many to return at most.
        """
        return retrieve(self.tables, Query(self.id, query, "full_text_search", top_k))

    def find(self, query: str, *, top_k: int) -> list[Hit]:
        """Return segments as `retrieve` does, without counting them as hit."""
        return find(self.tables, Query(self.id, query, "full_text_search", top_k))

    def weight(self, word: str) -> float:
        """Return how much a word tells: rare words tell more."""
        row = self.tables.store.row(
            "SELECT (SELECT count(*) FROM segments) AS segments, "
            "(SELECT doc FROM segment_words WHERE term = ?) AS with_word",
            word,
        )
        assert row is not None  # noqa: S101 - a row of two counts
        return math.log(1 + row["segments"] / (1 + (row["with_word"] or 0)))

    def knows(self, word: str) -> bool:
        """Tell whether a word is anywhere in the documents."""
        return self.tables.store.row("SELECT 1 FROM segment_words WHERE term = ?", word) is not None

    def citation(self, hit: Hit, position: int, retriever_from: str) -> JsonObject:
        """Return one entry of `retriever_resources`.

        Args:
            hit: What was retrieved.
            position: Place in the list, from 1.
            retriever_from: `api` for completion, chat and agent apps, `workflow` for chatflows.
        """
        segment, document = hit.segment, hit.document
        in_workflow = retriever_from == "workflow"
        return {
            "position": position,
            "dataset_id": self.id,
            "dataset_name": self.name,
            "document_id": document.id,
            "document_name": document.name,
            "data_source_type": document.data_source_type,
            "segment_id": segment.id,
            "retriever_from": retriever_from,
            "score": hit.score,
            "hit_count": segment.hit_count if in_workflow else None,
            "word_count": segment.word_count if in_workflow else None,
            "segment_position": segment.position if in_workflow else None,
            "index_node_hash": segment.index_node_hash if in_workflow else None,
            "content": segment.content,
            "page": None,
            "doc_metadata": document.doc_metadata or None,
            "title": None,
            "files": None,
            "summary": None,
        }

    def citations(self, hits: Iterable[Hit], retriever_from: str = "api") -> list[JsonObject]:
        """Return `retriever_resources` for some hits."""
        return [
            self.citation(hit, position, retriever_from)
            for position, hit in enumerate(hits, start=1)
        ]
