"""Waiting: for a server that indexes in the background, and for limits of requests to pass."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dify_api._runs.flows import Flow, Pause
from dify_api.endpoints import documents
from dify_api.endpoints.documents import IndexingProgress
from dify_api.errors import BadRequestError, RateLimitError
from dify_api.knowledge_errors import IndexingError
from dify_api.operation import Operation

T = TypeVar("T")

FAILED = ("error", "paused")
"""States in which indexing does not go on by itself."""
_LIMITED = (10.0, 20.0, 30.0, 60.0, 60.0, 60.0)
"""Seconds; the cloud counts the requests of the last minute."""
_LOCKED = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Indexing:
    """A document whose indexing may be awaited.

    Attributes:
        source_id: The id that it has in its source.
        document_id: The id that it has in Dify.
        batch: For `indexing_status`; None for a document that an earlier run has written.
    """

    source_id: str
    document_id: str
    batch: str | None = None


def patiently(operation: Operation[T]) -> Generator[Operation[Any] | Pause, Any, T]:
    """Make a call, again and again while a limit of requests or another change forbids it.

    Raises:
        DifyError: If it still does after some minutes, or the call fails otherwise.
    """
    limited, locked = iter(_LIMITED), iter(_LOCKED)
    while True:
        try:
            result: T = yield operation
        except RateLimitError as error:
            seconds = next(limited, None)
            if seconds is None:
                raise
            seconds = seconds if error.retry_after is None else error.retry_after
        except BadRequestError as error:
            seconds = next(locked, None)
            if seconds is None or "operation is running" not in error.message:
                raise
        else:
            return result
        yield Pause(seconds)


def until_indexed(
    dataset_id: str, indexing: Indexing, *, timeout: float | None
) -> Flow[str | None]:
    """Ask how far a document is, less and less often, until the server has indexed it.

    Args:
        dataset_id: The knowledge base.
        indexing: The document.
        timeout: Seconds without progress; None for no limit.

    Returns:
        Why it could not be indexed; None where it was.
    """
    waited, before = 0.0, None
    for seconds in _pauses():
        progress = yield from _progress(dataset_id, indexing)
        state = progress.indexing_status
        if state == "completed":
            return None
        if state in FAILED or progress.stopped_at:
            return progress.error or f"its indexing is {state}"
        step = (state, progress.completed_segments)
        waited = waited + seconds if step == before else seconds
        before = step
        if timeout is not None and waited > timeout:
            return f"no progress for {timeout:g} seconds; it is {state or 'waiting'}"
        yield Pause(seconds)
    raise AssertionError("pauses have no end")


def raise_failures(failures: Mapping[str, str]) -> None:
    """Raise what could not be indexed.

    Raises:
        IndexingError: If there is something; names the first and holds them all.
    """
    if not failures:
        return
    source_id, reason = next(iter(failures.items()))
    others = f" (and {len(failures) - 1} more, see errors)" if len(failures) > 1 else ""
    error = IndexingError(f"{source_id!r} could not be indexed: {reason}{others}")
    error.errors = dict(failures)
    raise error


def _progress(dataset_id: str, indexing: Indexing) -> Flow[IndexingProgress]:
    if indexing.batch is None:
        document = yield from patiently(
            documents.get(dataset_id, indexing.document_id, metadata="without")
        )
        return IndexingProgress(indexing_status=document.indexing_status, error=document.error)
    page = yield from patiently(documents.indexing_status(dataset_id, indexing.batch))
    of_document = [part for part in page.data if part.id == indexing.document_id]
    return next(iter(of_document or page.data), IndexingProgress())


def _pauses() -> Iterator[float]:
    seconds = 0.1
    while True:
        yield seconds
        seconds = min(seconds * 1.5, _LONGEST_PAUSE)
