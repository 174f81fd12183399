"""Changes of single segments of a document that is there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dify_api._calls.knowledge.catalogue import Catalogue
from dify_api._calls.knowledge.indexing import Indexing, patiently, raise_failures, until_indexed
from dify_api._calls.knowledge.stored_documents import all_segments
from dify_api._runs.flows import Flow
from dify_api.endpoints import segments
from dify_api.errors import NotFoundError

_AT_ONCE = 20
"""Segments in a request: the server embeds them before it answers."""


def append_missing(
    dataset_id: str, indexing: Indexing, texts: Sequence[str], *, timeout: float | None
) -> Flow[int]:
    """Add the texts that a document does not hold as segments yet, at its end.

    Args:
        dataset_id: The knowledge base.
        indexing: The document, which is waited for: servers add to none that is not indexed.
        texts: The segments' texts.
        timeout: Seconds without progress; None for no limit.

    Returns:
        How many were added.
    """
    failure = yield from until_indexed(dataset_id, indexing, timeout=timeout)
    raise_failures({indexing.source_id: failure} if failure else {})
    there = yield from all_segments(dataset_id, indexing.document_id)
    known = {_comparable(segment.content) for segment in there}
    missing = [text for text in texts if _comparable(text) not in known]
    for start in range(0, len(missing), _AT_ONCE):
        part = missing[start : start + _AT_ONCE]
        yield from patiently(segments.create(dataset_id, indexing.document_id, part))
    return len(missing)


def delete_segment(
    dataset_id: str, catalogue: Catalogue, source_id: str | None, segment_id: str, text: str | None
) -> Flow[bool]:
    """Delete a segment.

    Args:
        dataset_id: The knowledge base.
        catalogue: Its documents.
        source_id: The document that it is of; None to look through all.
        segment_id: Its Dify id.
        text: Its text, to find it by where its id is none of Dify's.

    Returns:
        Whether there was one.
    """
    known = [found for found in catalogue if source_id in (None, found.source_id)]
    for found in known:
        try:
            if text is not None:
                there = yield from all_segments(dataset_id, found.document_id)
                same = [part.id for part in there if _comparable(part.content) == _comparable(text)]
                if not same:
                    continue
                segment_id = same[0]
            yield from patiently(segments.delete(dataset_id, found.document_id, segment_id))
        except NotFoundError:
            continue
        return True
    return False


def _comparable(text: str) -> str:
    """The text without what servers clean away: blanks, and punctuation before it."""
    return " ".join(re.sub(r"^[\s.,。,]+", "", text).split())
