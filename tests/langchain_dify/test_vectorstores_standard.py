from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from dify_api import DifyClient, knowledge
from dify_local import LocalDify
from langchain_dify import DifyVectorStore


class TestStandard(VectorStoreIntegrationTests):
    """All of the suite: nothing of it is something that Dify cannot have."""

    @pytest.fixture
    def vectorstore(self, server: LocalDify) -> Iterator[DifyVectorStore]:  # type: ignore[override]
        store = DifyVectorStore(
            name="Standard", api_key=server.dataset_key, base_url=server.base_url
        )
        yield store
        if store.dataset_id is not None:
            client = DifyClient(server.dataset_key, base_url=server.base_url)
            client.send(knowledge.delete(store.dataset_id))
