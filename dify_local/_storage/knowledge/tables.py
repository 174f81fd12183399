"""The tables of the knowledge bases: records in, records out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeVar

from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge.records import (
    ChildChunk,
    Dataset,
    Document,
    MetadataField,
    Segment,
)
from dify_local._storage.knowledge.words import search_terms, words
from dify_local._storage.store import Store, body, dump

_SCHEMA = """
CREATE TABLE IF NOT EXISTS datasets (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, dataset_id TEXT NOT NULL,
    batch TEXT NOT NULL, available INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS documents_by_dataset ON documents (dataset_id, sequence);
CREATE TABLE IF NOT EXISTS segments (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, dataset_id TEXT NOT NULL,
    document_id TEXT NOT NULL, position INTEGER NOT NULL, enabled INTEGER NOT NULL,
    hit_count INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS segments_by_document ON segments (document_id, position);
CREATE TABLE IF NOT EXISTS child_chunks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, segment_id TEXT NOT NULL,
    position INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS child_chunks_by_segment ON child_chunks (segment_id, position);
CREATE TABLE IF NOT EXISTS metadata_fields (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, dataset_id TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tags (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tag_bindings (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, tag_id TEXT NOT NULL, dataset_id TEXT NOT NULL,
    UNIQUE (tag_id, dataset_id));
CREATE VIRTUAL TABLE IF NOT EXISTS segment_index USING fts5(
    title, words, tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE IF NOT EXISTS segment_words USING fts5vocab(segment_index, row);
"""

Record = TypeVar("Record", Dataset, Document, Segment, ChildChunk, MetadataField)


def _record(kind: type[Record], row: sqlite3.Row) -> Record:
    return kind(**body(row))


def _segment(row: sqlite3.Row) -> Segment:
    segment = _record(Segment, row)
    segment.hit_count = row["hit_count"]
    return segment


class Tables:
    """The records of all knowledge bases, and the full-text index of their segments.

    Args:
        store: The database of the server.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        store.run_script(_SCHEMA)

    # Datasets

    def datasets(self) -> list[Dataset]:
        """Return all datasets, newest last."""
        rows = self.store.rows("SELECT body FROM datasets ORDER BY sequence")
        return [_record(Dataset, row) for row in rows]

    def dataset(self, dataset_id: str) -> Dataset | None:
        """Return a dataset by id."""
        row = self.store.row("SELECT body FROM datasets WHERE id = ?", dataset_id)
        return _record(Dataset, row) if row else None

    def save_dataset(self, dataset: Dataset) -> None:
        """Add a dataset, or keep its change."""
        self.store.execute(
            "INSERT INTO datasets (id, name, body) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body",
            dataset.id, dataset.name, dump(vars(dataset)),
        )  # fmt: skip

    def delete_dataset(self, dataset_id: str) -> None:
        """Forget a dataset with all that is in it."""
        with self.store.transaction():
            for document in self.documents(dataset_id):
                self.delete_document(document)
            for table in ("metadata_fields", "tag_bindings"):
                self.store.execute(f"DELETE FROM {table} WHERE dataset_id = ?", dataset_id)  # noqa: S608
            self.store.execute("DELETE FROM datasets WHERE id = ?", dataset_id)

    # Documents

    def documents(self, dataset_id: str) -> list[Document]:
        """Return the documents of a dataset, oldest first."""
        rows = self.store.rows(
            "SELECT body FROM documents WHERE dataset_id = ? ORDER BY sequence", dataset_id
        )
        return [_record(Document, row) for row in rows]

    def has_documents(self, dataset_id: str) -> bool:
        """Tell whether there is a document in a dataset."""
        return (
            self.store.row("SELECT 1 FROM documents WHERE dataset_id = ? LIMIT 1", dataset_id)
            is not None
        )

    def document(self, dataset_id: str, document_id: str) -> Document | None:
        """Return a document of a dataset by id."""
        row = self.store.row(
            "SELECT body FROM documents WHERE id = ? AND dataset_id = ?", document_id, dataset_id
        )
        return _record(Document, row) if row else None

    def batch(self, dataset_id: str, batch: str) -> list[Document]:
        """Return the documents of a batch."""
        rows = self.store.rows(
            "SELECT body FROM documents WHERE dataset_id = ? AND batch = ? ORDER BY sequence",
            dataset_id, batch,
        )  # fmt: skip
        return [_record(Document, row) for row in rows]

    def unfinished(self) -> list[Document]:
        """Return the documents whose indexing has not come to its end."""
        rows = self.store.rows(
            "SELECT body FROM documents WHERE available = 0 "
            "AND json_extract(body, '$.indexing_status') NOT IN ('completed', 'error') "
            "ORDER BY sequence"
        )
        return [_record(Document, row) for row in rows]

    def save_document(self, document: Document) -> None:
        """Add a document, or keep its change."""
        self.store.execute(
            "INSERT INTO documents (id, dataset_id, batch, available, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET available = excluded.available, body = excluded.body",
            document.id, document.dataset_id, document.batch, document.available,
            dump(vars(document)),
        )  # fmt: skip

    def delete_document(self, document: Document) -> None:
        """Forget a document with its segments and its file."""
        self.delete_segments(self.segments(document.id))
        self.store.execute("DELETE FROM documents WHERE id = ?", document.id)
        if document.upload_file:
            self.store.execute("DELETE FROM files WHERE id = ?", document.upload_file["id"])

    # Segments

    def segments(self, document_id: str) -> list[Segment]:
        """Return the segments of a document in order."""
        rows = self.store.rows(
            "SELECT hit_count, body FROM segments WHERE document_id = ? ORDER BY position",
            document_id,
        )
        return [_segment(row) for row in rows]

    def contents(self, document_id: str) -> tuple[str, ...]:
        """Return the texts of a document's segments in order."""
        rows = self.store.rows(
            "SELECT json_extract(body, '$.content') AS content FROM segments "
            "WHERE document_id = ? ORDER BY position",
            document_id,
        )
        return tuple(str(row["content"]) for row in rows)

    def segment_count(self, document_id: str) -> int:
        """Return how many segments a document has."""
        row = self.store.row(
            "SELECT count(*) AS n FROM segments WHERE document_id = ?", document_id
        )
        return int(row["n"]) if row else 0

    def hit_count(self, document_id: str) -> int:
        """Return how often segments of a document were retrieved."""
        row = self.store.row(
            "SELECT coalesce(sum(hit_count), 0) AS n FROM segments WHERE document_id = ?",
            document_id,
        )
        return int(row["n"]) if row else 0

    def segment(self, document_id: str, segment_id: str) -> Segment | None:
        """Return a segment of a document by id."""
        row = self.store.row(
            "SELECT hit_count, body FROM segments WHERE id = ? AND document_id = ?",
            segment_id, document_id,
        )  # fmt: skip
        return _segment(row) if row else None

    def save_segment(self, segment: Segment, title: str) -> None:
        """Add a segment, or keep its change, and index it.

        Args:
            segment: The segment.
            title: That of its document, which counts when it is searched.
        """
        record = dict(vars(segment))
        del record["hit_count"]
        self.store.execute(
            "INSERT INTO segments (id, dataset_id, document_id, position, enabled, body) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "position = excluded.position, enabled = excluded.enabled, body = excluded.body",
            segment.id, segment.dataset_id, segment.document_id, segment.position,
            segment.enabled, dump(record),
        )  # fmt: skip
        self._index(segment, title)

    def _index(self, segment: Segment, title: str) -> None:
        row = self.store.row("SELECT sequence FROM segments WHERE id = ?", segment.id)
        assert row is not None  # noqa: S101 - it was written just now
        texts = [segment.content, segment.answer or "", *(segment.keywords or [])]
        texts += [chunk.content for chunk in self.children(segment.id)]
        self.store.execute("DELETE FROM segment_index WHERE rowid = ?", row["sequence"])
        self.store.execute(
            "INSERT INTO segment_index (rowid, title, words) VALUES (?, ?, ?)",
            row["sequence"], " ".join(words(title)), " ".join(search_terms(" ".join(texts))),
        )  # fmt: skip

    def delete_segments(self, segments: Iterable[Segment]) -> None:
        """Forget segments with their child chunks."""
        for segment in segments:
            self.store.execute("DELETE FROM child_chunks WHERE segment_id = ?", segment.id)
            self.store.execute(
                "DELETE FROM segment_index WHERE rowid = "
                "(SELECT sequence FROM segments WHERE id = ?)",
                segment.id,
            )
            self.store.execute("DELETE FROM segments WHERE id = ?", segment.id)

    def count_hits(self, segments: Iterable[Segment]) -> None:
        """Note that segments were retrieved."""
        for segment in segments:
            segment.hit_count += 1
            self.store.execute(
                "UPDATE segments SET hit_count = hit_count + 1 WHERE id = ?", segment.id
            )

    # Child chunks

    def children(self, segment_id: str) -> list[ChildChunk]:
        """Return the child chunks of a segment in order."""
        rows = self.store.rows(
            "SELECT body FROM child_chunks WHERE segment_id = ? ORDER BY position", segment_id
        )
        return [_record(ChildChunk, row) for row in rows]

    def child(self, segment_id: str, child_chunk_id: str) -> ChildChunk | None:
        """Return a child chunk of a segment by id."""
        row = self.store.row(
            "SELECT body FROM child_chunks WHERE id = ? AND segment_id = ?",
            child_chunk_id, segment_id,
        )  # fmt: skip
        return _record(ChildChunk, row) if row else None

    def save_child(self, chunk: ChildChunk) -> None:
        """Add a child chunk, or keep its change; save its segment then, too, to index it."""
        self.store.execute(
            "INSERT INTO child_chunks (id, segment_id, position, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET position = excluded.position, body = excluded.body",
            chunk.id, chunk.segment_id, chunk.position, dump(vars(chunk)),
        )  # fmt: skip

    def delete_child(self, chunk: ChildChunk) -> None:
        """Forget a child chunk; save its segment then, too, to index it."""
        self.store.execute("DELETE FROM child_chunks WHERE id = ?", chunk.id)

    # Metadata fields

    def metadata_fields(self, dataset_id: str) -> list[MetadataField]:
        """Return the metadata fields of a dataset, oldest first."""
        rows = self.store.rows(
            "SELECT body FROM metadata_fields WHERE dataset_id = ? ORDER BY sequence", dataset_id
        )
        return [_record(MetadataField, row) for row in rows]

    def save_metadata_field(self, field: MetadataField) -> None:
        """Add a metadata field, or keep its new name."""
        self.store.execute(
            "INSERT INTO metadata_fields (id, dataset_id, body) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            field.id, field.dataset_id, dump(vars(field)),
        )  # fmt: skip

    def delete_metadata_field(self, field: MetadataField) -> None:
        """Forget a metadata field; the documents' values are another matter."""
        self.store.execute("DELETE FROM metadata_fields WHERE id = ?", field.id)

    # Tags

    def tags_of(self, dataset_id: str) -> list[JsonObject]:
        """Return id and name of the tags of a dataset."""
        rows = self.store.rows(
            "SELECT t.id, t.name FROM tags t JOIN tag_bindings b ON b.tag_id = t.id "
            "WHERE b.dataset_id = ? ORDER BY t.sequence DESC",
            dataset_id,
        )
        return [{"id": row["id"], "name": row["name"]} for row in rows]

    def tags(self) -> list[JsonObject]:
        """Return id and name of all tags, newest first."""
        rows = self.store.rows("SELECT id, name FROM tags ORDER BY sequence DESC")
        return [{"id": row["id"], "name": row["name"]} for row in rows]

    def save_tag(self, tag_id: str, name: str) -> None:
        """Add a tag, or keep its new name."""
        self.store.execute(
            "INSERT INTO tags (id, name) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            tag_id, name,
        )  # fmt: skip

    def delete_tag(self, tag_id: str) -> None:
        """Forget a tag, also at the datasets that have it."""
        self.store.execute("DELETE FROM tag_bindings WHERE tag_id = ?", tag_id)
        self.store.execute("DELETE FROM tags WHERE id = ?", tag_id)

    def bind_tag(self, tag_id: str, dataset_id: str) -> None:
        """Give a dataset a tag that there is."""
        self.store.execute(
            "INSERT OR IGNORE INTO tag_bindings (tag_id, dataset_id) "
            "SELECT id, ? FROM tags WHERE id = ?",
            dataset_id, tag_id,
        )  # fmt: skip

    def unbind_tag(self, tag_id: str, dataset_id: str) -> None:
        """Take a tag from a dataset."""
        self.store.execute(
            "DELETE FROM tag_bindings WHERE tag_id = ? AND dataset_id = ?", tag_id, dataset_id
        )

    def bindings_of(self, tag_id: str) -> int:
        """Return how many datasets have a tag."""
        row = self.store.row("SELECT count(*) AS n FROM tag_bindings WHERE tag_id = ?", tag_id)
        return int(row["n"]) if row else 0
