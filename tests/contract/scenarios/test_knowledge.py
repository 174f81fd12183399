"""What users do with knowledge bases, step by step, against every release that was recorded."""

from __future__ import annotations

import pytest

from dify_api import documents, knowledge
from dify_api.endpoints.pages import Page
from dify_api.errors import NotFoundError
from dify_api.operation import Operation
from tests.contract.scenarios.conftest import Scenario

UNKNOWN = "00000000-0000-0000-0000-000000000001"


async def test_knowledge(scenario: Scenario) -> None:
    page = await scenario.send("dataset", knowledge.datasets(limit=5))
    assert all(dataset.id and dataset.name for dataset in page.data)
    if not scenario.dataset_id:
        pytest.skip("no knowledge base to search: set DIFY_RECORD_DATASET_ID")
    (searched,) = [found for found in page.data if found.id == scenario.dataset_id] or [None]
    # An economy one without settings of its own refuses the default, a search by meaning.
    is_economy = searched is not None and searched.indexing_technique == "economy"
    model = knowledge.RetrievalModel(
        top_k=2, **({"search_method": "keyword_search"} if is_economy else {})
    )
    retrieve = knowledge.retrieve(scenario.dataset_id, "rings", retrieval_model=model)
    found = await scenario.send("dataset", retrieve)
    assert found.query
    assert found.records
    for record in found.records:
        assert record.segment.content
        assert record.segment.document.name
        assert record.score is None or record.score >= 0


async def test_dataset(scenario: Scenario) -> None:
    scenario.since("1.4.0", "GET /datasets/{dataset_id}")
    dataset = await scenario.send("dataset", knowledge.dataset(scenario.dataset_id))
    assert dataset.id
    assert dataset.created_at is not None
    with pytest.raises(NotFoundError):
        await scenario.send("dataset", knowledge.retrieve(UNKNOWN, "rings"))


async def test_knowledge_by_meaning(scenario: Scenario) -> None:
    """A knowledge base with an embedding model and settings of its own, filled and searched."""
    scenario.since("1.4.0", "models of a knowledge base")
    providers = await scenario.send("dataset", knowledge.models("text-embedding"))
    if not providers.data:
        pytest.skip("the workspace has no embedding model")
    provider = providers.data[0]
    create = knowledge.create(
        "Recorded by meaning",
        indexing_technique="high_quality",
        embedding_model=provider.models[0].model,
        embedding_model_provider=provider.provider,
        retrieval_model=knowledge.RetrievalModel(search_method="semantic_search", top_k=2),
    )
    created = await scenario.send("dataset", create)
    assert created.indexing_technique == "high_quality"
    assert created.embedding_model
    write = documents.create_by_text(
        created.id, "rings", "Saturn has rings of ice.", indexing_technique="high_quality"
    )
    batch = await scenario.send("dataset", write)
    indexing = documents.indexing_status(created.id, batch.batch)
    while any(d.indexing_status != "completed" for d in await _progress(scenario, indexing)):
        await scenario.rest()
    retrieve = knowledge.retrieve(created.id, "What is round Saturn?")
    (best, *_) = (await scenario.send("dataset", retrieve)).records
    assert best.segment.content
    assert best.score is not None
    assert await scenario.send("dataset", knowledge.delete(created.id)) is None


async def _progress(
    scenario: Scenario, operation: Operation[Page[documents.IndexingProgress]]
) -> list[documents.IndexingProgress]:
    progress = (await scenario.send("dataset", operation)).data
    assert not [document.error for document in progress if document.error]
    return progress
