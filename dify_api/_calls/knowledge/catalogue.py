"""What a knowledge base holds of a source: its documents by the ids that they have there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dify_api._calls.knowledge.document_metadata import HASH_FIELD, ID_FIELD, values_of
from dify_api._calls.knowledge.indexing import FAILED
from dify_api._calls.knowledge.pages import every_item
from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api._runs.flows import Flow
from dify_api.endpoints import documents
from dify_api.endpoints.documents import Document

_PAGE = 100


@dataclass
class KnownDocument:
    """A document of the knowledge base that is of the source.

    Attributes:
        source_id: Its id in the source.
        document_id: Its id in Dify.
        full_hash: That of the `SourceDocument` that was written.
        status: Its `indexing_status`.
    """

    source_id: str
    document_id: str
    full_hash: str
    status: str | None

    @property
    def failed(self) -> bool:
        """Whether it could not be indexed."""
        return self.status in FAILED

    def has_content_of(self, source: SourceDocument) -> bool:
        """Whether it holds the text of `source`, whatever its metadata are."""
        return not self.failed and self.full_hash.startswith(f"{source.content_hash}-")

    def equals(self, source: SourceDocument) -> bool:
        """Whether it holds the text and the metadata of `source`."""
        return not self.failed and self.full_hash == source.full_hash


class Catalogue:
    """The documents of a knowledge base, read once and kept up to date by who writes.

    A document is written before its metadata, so one without an id of this package may be what
    an interrupted run has left behind.
    """

    def __init__(self) -> None:
        self._known: dict[str, list[KnownDocument]] = {}
        self._by_hash: dict[str, KnownDocument] = {}
        self._unmarked: dict[tuple[str, int | None], list[str]] = {}

    @classmethod
    def of(cls, dataset_id: str) -> Flow[Catalogue]:
        """Read the knowledge base's list of documents, a hundred on a page."""
        catalogue = cls()
        listed = yield from every_item(documents.list_documents(dataset_id, limit=_PAGE))
        for document in listed:
            catalogue._add(document)
        return catalogue

    def __iter__(self) -> Iterator[KnownDocument]:
        return (known for several in list(self._known.values()) for known in several)

    def source_ids(self) -> list[str]:
        """The ids that its documents have in the source."""
        return list(self._known)

    def get(self, source_id: str) -> KnownDocument | None:
        """The document of this id; None where there is none."""
        return next(iter(self._known.get(source_id, [])), None)

    def adopt_equal(self, source: SourceDocument) -> KnownDocument | None:
        """Take a document that equals the source's for it, whatever its id was."""
        known = self._by_hash.get(source.full_hash)
        if known is None or not known.equals(source) or known.source_id not in self._known:
            return None
        self._known.pop(known.source_id)
        known.source_id = source.id
        self.note(known)
        return known

    def note(self, known: KnownDocument) -> None:
        """Remember what was written."""
        self._known[known.source_id] = [known]
        self._by_hash[known.full_hash] = known

    def has_surplus(self, source_id: str) -> bool:
        """Whether there are several documents of an id."""
        return len(self._known.get(source_id, [])) > 1

    def take_surplus(self, source_id: str) -> list[str]:
        """Forget all documents of an id but the first; their Dify ids."""
        surplus = self._known.get(source_id, [])[1:]
        del self._known.get(source_id, [])[1:]
        return [known.document_id for known in surplus]

    def take(self, source_id: str) -> list[str]:
        """Forget the documents of an id; their Dify ids."""
        return [known.document_id for known in self._known.pop(source_id, [])]

    def take_left_behind(self, source: SourceDocument) -> list[str]:
        """Forget a document that an interrupted run has left without metadata; its Dify id."""
        for key in ((source.name, source.size), (source.name, None)):
            if found := self._unmarked.get(key):
                return [found.pop()]
        return []

    def _add(self, document: Document) -> None:
        values = values_of(document.doc_metadata)
        source_id = values.get(ID_FIELD)
        if source_id:
            known = KnownDocument(
                str(source_id),
                document.id,
                str(values.get(HASH_FIELD) or ""),
                document.indexing_status,
            )
            self._known.setdefault(known.source_id, []).append(known)
            self._by_hash[known.full_hash] = known
        elif document.created_from in (None, "api") and not document.archived:
            key = (document.name, _size(document))
            self._unmarked.setdefault(key, []).append(document.id)


def _size(document: Document) -> int | None:
    details: Any = (document.data_source_detail_dict or {}).get("upload_file")
    size = details.get("size") if isinstance(details, dict) else None
    return size if isinstance(size, int) else None
