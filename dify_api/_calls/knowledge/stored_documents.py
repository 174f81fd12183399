"""Documents of a knowledge base read back: their text, segments and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dify_api._calls.knowledge.document_metadata import original_metadata, values_of
from dify_api._calls.knowledge.indexing import patiently
from dify_api._calls.knowledge.pages import every_item
from dify_api._runs.flows import Flow
from dify_api.endpoints import documents, segments
from dify_api.endpoints.segments import Segment
from dify_api.errors import NotFoundError


@dataclass(frozen=True)
class StoredDocument:
    """A document as it is in the knowledge base.

    Attributes:
        source_id: Its id in the source.
        document_id: Its id in Dify.
        metadata: As they were given.
        segments: What it was split into, in order.
    """

    source_id: str
    document_id: str
    metadata: dict[str, Any]
    segments: list[Segment]

    @property
    def text(self) -> str:
        """The text of its segments, what one shares with the next left out."""
        return "".join(_without_overlap([segment.content for segment in self.segments]))


def stored_document(
    dataset_id: str, source_id: str, document_id: str
) -> Flow[StoredDocument | None]:
    """Read a document; None where it is no more."""
    try:
        document = yield from patiently(documents.get(dataset_id, document_id, metadata="only"))
        found = yield from all_segments(dataset_id, document_id)
    except NotFoundError:
        return None
    metadata = original_metadata(values_of(document.doc_metadata)) or {}
    return StoredDocument(source_id, document_id, metadata, found)


def all_segments(dataset_id: str, document_id: str) -> Flow[list[Segment]]:
    """The segments of a document, in order."""
    found = yield from every_item(segments.list_segments(dataset_id, document_id, limit=100))
    return sorted(found, key=lambda segment: segment.position or 0)


def _without_overlap(texts: list[str]) -> Iterator[str]:
    yield from texts[:1]
    for before, text in pairwise(texts):
        shared = _shared(before, text)
        yield text[shared:] if shared else f"\n{text}"


def _shared(before: str, text: str) -> int:
    """How many characters the end of one text shares with the beginning of the next."""
    longest = min(len(before), len(text))
    return next((n for n in range(longest, 3, -1) if before.endswith(text[:n])), 0)
