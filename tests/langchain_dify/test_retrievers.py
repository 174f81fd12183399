from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, RunnablePassthrough
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from dify_api.errors import InvalidParamError, NotFoundError, UnauthorizedError
from dify_local import LocalDify
from langchain_dify import DifyRetriever
from tests.support.cassettes import Exchange, all_exchanges, exchange
from tests.support.replay import Received, ReplayServer, Reply

QUERY = "Which planet has the most moons?"
RECORDED = [
    e
    for e in all_exchanges()
    if "retrieve" in e.name and e.path.endswith("/retrieve") and e.status == 200
]


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def retriever_of(server: LocalDify, **settings: Any) -> DifyRetriever:
    return DifyRetriever(
        api_key=server.dataset_key,
        base_url=server.base_url,
        dataset_id=server.dataset_id,
        **settings,
    )


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def local(self, server: LocalDify) -> None:
        self.server = server

    @property
    def retriever_constructor(self) -> type[DifyRetriever]:
        return DifyRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {
            "api_key": self.server.dataset_key,
            "base_url": self.server.base_url,
            "dataset_id": self.server.dataset_id,
        }

    @property
    def retriever_query_example(self) -> str:
        return QUERY


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda e: e.name)
async def test_recorded_search(recorded: Exchange) -> None:
    records = json.loads(recorded.body)["records"]
    dataset_id = recorded.path.split("/")[2]
    with ReplayServer(lambda _: recorded.reply()) as server:
        retriever = DifyRetriever(
            api_key="dataset-key", base_url=server.base_url, dataset_id=dataset_id
        )
        documents = retriever.invoke("moons")
        assert documents == await retriever.ainvoke("moons")
    assert len(documents) == len(records)
    for document, record in zip(documents, records, strict=True):
        segment = record["segment"]
        assert document.id == segment["id"]
        assert segment["content"] in document.page_content
        assert document.metadata.get("score") == record["score"]
        name = segment["document"]["name"]
        wanted = {
            "source": name,
            "title": name,
            "document_name": name,
            "document_id": segment["document_id"],
            "dataset_id": dataset_id,
        }
        assert wanted.items() <= document.metadata.items()


async def test_documents(server: LocalDify) -> None:
    retriever = retriever_of(server, k=2)
    documents = retriever.invoke(QUERY)
    assert len(documents) == 2
    assert all(isinstance(document, Document) for document in documents)
    assert "moons" in documents[0].page_content
    assert documents[0].metadata["source"] == "saturn.md"
    assert documents[0].metadata["dataset_name"] == "Solar System"
    assert [document.metadata["position"] for document in documents] == [1, 2]
    scores = [document.metadata["score"] for document in documents]
    assert scores == sorted(scores, reverse=True)
    assert ids(await retriever.ainvoke(QUERY)) == ids(documents)


def test_settings_are_sent_whole(server: LocalDify) -> None:
    retriever = retriever_of(
        server,
        k=3,
        score_threshold=0.2,
        search_method="hybrid_search",
        reranking_model={
            "reranking_provider_name": "langgenius/cohere/cohere",
            "reranking_model_name": "rerank-v3.5",
        },
        weights={"weight_type": "customized"},
        metadata_filter={
            "logical_operator": "and",
            "conditions": [{"name": "author", "comparison_operator": "is", "value": "Ann"}],
        },
    )
    retriever.invoke(QUERY)
    assert server.requests[-1].json["retrieval_model"] == {
        "search_method": "hybrid_search",
        "top_k": 3,
        "score_threshold": 0.2,
        "score_threshold_enabled": True,
        "reranking_enable": True,
        "reranking_mode": "reranking_model",
        "reranking_model": {
            "reranking_provider_name": "langgenius/cohere/cohere",
            "reranking_model_name": "rerank-v3.5",
        },
        "weights": {"weight_type": "customized"},
        "metadata_filtering_conditions": {
            "logical_operator": "and",
            "conditions": [{"name": "author", "comparison_operator": "is", "value": "Ann"}],
        },
    }


def test_without_settings_the_knowledge_base_decides(server: LocalDify) -> None:
    assert retriever_of(server).invoke(QUERY)
    [request] = server.requests
    assert "retrieval_model" not in request.json


def test_knowledge_base_is_asked_for_its_own_settings_once(server: LocalDify) -> None:
    retriever = retriever_of(server)
    assert [len(retriever.invoke(QUERY, k=k)) for k in (1, 2, 3)] == [1, 2, 3]
    assert [request.method for request in server.requests] == ["GET", "POST", "POST", "POST"]


def test_settings_of_a_call(server: LocalDify) -> None:
    retriever = retriever_of(server, k=5)
    assert len(retriever.invoke(QUERY)) == 5
    best = retriever.invoke(QUERY)[0].metadata["score"]
    assert len(retriever.invoke(QUERY, score_threshold=best)) == 1
    assert ids(retriever.bind(k=1).invoke(QUERY)) == ids(retriever.invoke(QUERY, k=1))
    configurable = retriever.configurable_fields(k=ConfigurableField(id="k"))
    assert len(configurable.with_config(configurable={"k": 2}).invoke(QUERY)) == 2


async def test_query_that_is_too_long(server: LocalDify) -> None:
    long = "Which planet has the most moons? " * 8
    with pytest.raises(ValueError, match=r'264.*long_query="truncate"'):
        retriever_of(server).invoke(long)
    with pytest.raises(ValueError, match="264"):
        await retriever_of(server).ainvoke(long)
    with pytest.raises(ValidationError, match="long_query"):
        retriever_of(server, long_query="cut")
    assert server.requests == []
    assert retriever_of(server, long_query="truncate").invoke(long)
    assert await retriever_of(server, long_query="truncate").ainvoke(long)
    for request in server.requests:
        assert long.startswith(request.json["query"])
        assert 230 < len(request.json["query"]) <= 250


class EconomyBase:
    """A knowledge base without vectors, made by API, as 1.16.1 answers for it."""

    def __init__(self, telling: bool = True) -> None:
        self.telling = telling

    def reply(self, request: Received) -> Reply:
        if request.method == "GET":
            return (
                exchange("dify-1.16.1/pipe_dataset_get").reply()
                if self.telling
                else Reply(405, {"content-type": "application/json"}, [b"{}"])
            )
        settings = request.json.get("retrieval_model", {"search_method": "semantic_search"})
        found = settings["search_method"] == "keyword_search"
        name = "0.15.3/ds_retrieve_economy" if found else "1.16.1/retrieve_economy_query_only"
        return exchange(f"dify-{name}").reply()


async def test_economy_base_is_searched_by_its_own_settings() -> None:
    with ReplayServer(EconomyBase().reply) as server:
        for is_async in (False, True):
            server.requests.clear()
            retriever = DifyRetriever(
                api_key="dataset-key",
                base_url=server.base_url,
                dataset_id="9bbbf72e-a290-471d-95e2-b92ac891ab76",
            )
            for _ in range(2):
                found = await retriever.ainvoke("kiwi") if is_async else retriever.invoke("kiwi")
                assert "Kiwi" in found[0].page_content
            assert [r.method for r in server.requests] == ["POST", "GET", "POST", "POST"]
            settings = server.requests[-1].json["retrieval_model"]
            assert (settings["search_method"], settings["top_k"]) == ("keyword_search", 3)
            assert retriever.invoke("kiwi", k=1)
            assert server.requests[-1].json["retrieval_model"]["top_k"] == 1


async def test_first_searches_of_an_economy_base_at_once() -> None:
    with ReplayServer(EconomyBase().reply) as server:
        retriever = DifyRetriever(
            api_key="dataset-key",
            base_url=server.base_url,
            dataset_id="9bbbf72e-a290-471d-95e2-b92ac891ab76",
        )
        for found in await asyncio.gather(*(retriever.ainvoke("kiwi") for _ in range(5))):
            assert "Kiwi" in found[0].page_content


def test_economy_base_of_a_server_that_does_not_tell_its_settings() -> None:
    with ReplayServer(EconomyBase(telling=False).reply) as server:
        retriever = DifyRetriever(
            api_key="dataset-key",
            base_url=server.base_url,
            dataset_id="9bbbf72e-a290-471d-95e2-b92ac891ab76",
        )
        for _ in range(2):
            with pytest.raises(InvalidParamError, match="does not exist"):
                retriever.invoke("kiwi")
        assert [r.method for r in server.requests] == ["POST", "GET", "POST"]
        assert retriever.model_copy(update={"search_method": "keyword_search"}).invoke("kiwi")


def test_in_a_chain(server: LocalDify) -> None:
    chain = RunnablePassthrough() | retriever_of(server, k=1) | (lambda found: found[0].id)
    assert chain.invoke(QUERY) == retriever_of(server, k=1).invoke(QUERY)[0].id


def test_misuse_is_told(server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    monkeypatch.delenv("DIFY_DATASET_API_KEY", raising=False)
    with pytest.raises(ValidationError, match="no API key"):
        DifyRetriever(dataset_id=server.dataset_id)
    with pytest.raises(ValidationError, match="dataset_id must be a UUID"):
        DifyRetriever(api_key="dataset-x", dataset_id="Planets")
    with pytest.raises(ValidationError, match="top_k"):
        retriever_of(server, top_k=1)
    with pytest.raises(ValidationError):
        retriever_of(server, k=0)
    with pytest.raises(ValidationError):
        retriever_of(server, search_method="magic")
    other = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(NotFoundError):
        retriever_of(server).model_copy(update={"dataset_id": other}).invoke(QUERY)
    app_key = {"api_key": server.keys["chat"], "base_url": server.base_url}
    with pytest.raises(UnauthorizedError, match="dataset-"):
        DifyRetriever(dataset_id=server.dataset_id, **app_key).invoke(QUERY)


def test_key_of_the_environment(server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", "app-not-this-one")
    monkeypatch.setenv("DIFY_DATASET_API_KEY", server.dataset_key)
    monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
    assert DifyRetriever(dataset_id=server.dataset_id, k=1).invoke(QUERY)


def test_key_is_nowhere(server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    retriever = retriever_of(server, k=1)
    found = ids(retriever.invoke(QUERY))
    pickled = pickle.dumps(retriever)
    assert server.dataset_key not in f"{retriever!r} {retriever.model_dump()}"
    assert server.dataset_key.encode() not in pickled
    monkeypatch.setenv("DIFY_DATASET_API_KEY", server.dataset_key)
    assert ids(pickle.loads(pickled).invoke(QUERY)) == found
    monkeypatch.delenv("DIFY_DATASET_API_KEY")
    assert ids(copy.deepcopy(retriever).invoke(QUERY)) == found
