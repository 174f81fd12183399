"""Many documents into a knowledge base: what changed is written, then waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dify_api._calls.concurrent_flows import arun_all, run_all
from dify_api._calls.knowledge.indexing import raise_failures
from dify_api._calls.knowledge.knowledge_base import KnowledgeBase
from dify_api._calls.knowledge.progress import Progress, silent
from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api._runs.flows import arun, run
from dify_api.client import AsyncDifyClient, DifyClient


def ingest(
    client: DifyClient,
    base: KnowledgeBase,
    sources: Sequence[SourceDocument],
    *,
    wait: bool = True,
    max_concurrency: int = 4,
    progress: Progress = silent,
) -> list[SourceDocument]:
    """Bring documents into a knowledge base; those that it has already are left alone.

    Args:
        client: With a dataset key.
        base: The knowledge base.
        sources: The documents.
        wait: Whether to wait until they are indexed, and can be found.
        max_concurrency: How many are written at a time.
        progress: Shows how far it is.

    Returns:
        Those that had to be written.

    Raises:
        IndexingError: If some could not be indexed; the others were.
        DifyError: If a request fails; call it again to go on.
        ValueError: If metadata have a name that no field can have.
    """
    changed = run(client, base.changed(sources))
    with progress("Writing documents", len(changed)) as finished:
        written = run_all(
            client,
            [base.write(source) for source in changed],
            max_concurrency=max_concurrency,
            finished=finished,
        )
    if wait:
        awaited = {part.source_id: part for part in run(client, base.pending(sources))}
        awaited.update({part.source_id: part for part in written if part is not None})
        with progress("Indexing documents", len(awaited)) as finished:
            outcomes = run_all(
                client,
                [base.wait(part) for part in awaited.values()],
                max_concurrency=max_concurrency,
                finished=finished,
            )
        raise_failures({source_id: failure for source_id, failure in outcomes if failure})
    return changed


async def aingest(
    client: AsyncDifyClient,
    base: KnowledgeBase,
    sources: Sequence[SourceDocument],
    *,
    wait: bool = True,
    max_concurrency: int = 4,
    progress: Progress = silent,
) -> list[SourceDocument]:
    """`ingest` for asyncio."""
    for source in sources:
        if source.file is not None:
            await asyncio.to_thread(getattr, source, "full_hash")  # reads the file
    changed = await arun(client, base.changed(sources))
    with progress("Writing documents", len(changed)) as finished:
        written = await arun_all(
            client,
            [base.write(source) for source in changed],
            max_concurrency=max_concurrency,
            finished=finished,
        )
    if wait:
        awaited = {part.source_id: part for part in await arun(client, base.pending(sources))}
        awaited.update({part.source_id: part for part in written if part is not None})
        with progress("Indexing documents", len(awaited)) as finished:
            outcomes = await arun_all(
                client,
                [base.wait(part) for part in awaited.values()],
                max_concurrency=max_concurrency,
                finished=finished,
            )
        raise_failures({source_id: failure for source_id, failure in outcomes if failure})
    return changed
