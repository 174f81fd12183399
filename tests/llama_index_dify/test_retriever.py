"""`DifyRetriever` against the local server, and on recorded replies."""

from __future__ import annotations

import asyncio
import copy
import pickle

import httpx
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from dify_api.errors import DifyError, NotFoundError, UnauthorizedError
from dify_local import LocalDify
from llama_index_dify.retriever import DifyRetriever
from tests.support.cassettes import exchange
from tests.support.replay import ReplayServer

_QUESTION = "Which moons does Saturn have?"
_SOME_ID = "00000000-0000-4000-8000-000000000000"


def _retriever(local: LocalDify, **options: object) -> DifyRetriever:
    return DifyRetriever(
        local.dataset_id,
        api_key=local.dataset_key,
        base_url=local.base_url,
        **options,  # type: ignore[arg-type]
    )


async def test_sync_and_async_find_the_same_passages(local: LocalDify) -> None:
    retriever = _retriever(local)
    found = await asyncio.to_thread(retriever.retrieve, _QUESTION)
    assert "Saturn" in found[0].text
    assert found == sorted(found, key=lambda node: -(node.score or 0))
    again = await retriever.aretrieve(QueryBundle(_QUESTION))
    assert [(n.node_id, n.score) for n in again] == [(n.node_id, n.score) for n in found]


def test_several_segments_of_one_document_stay_several_nodes(local: LocalDify) -> None:
    found = _retriever(local, similarity_top_k=3).retrieve("Saturn Titan rings")
    assert len(found) == 3
    assert {n.metadata["document_name"] for n in found} == {"saturn.md"}
    assert len({n.node_id for n in found}) == 3
    assert len({n.node.ref_doc_id for n in found}) == 1


def test_nothing_set_sends_nothing_but_the_query(local: LocalDify) -> None:
    _retriever(local).retrieve(_QUESTION)
    [request] = local.requests
    assert request.path == f"/v1/datasets/{local.dataset_id}/retrieve"
    assert request.json == {"query": _QUESTION}
    assert request.key == local.dataset_key


def test_a_single_setting_keeps_the_knowledge_bases_others(local: LocalDify) -> None:
    retriever = _retriever(local, similarity_top_k=1, score_threshold=0.1)
    assert len(retriever.retrieve(_QUESTION)) == 1
    retriever.retrieve(_QUESTION)
    asked, first, second = local.requests  # the settings are asked for once
    assert (asked.method, asked.path) == ("GET", f"/v1/datasets/{local.dataset_id}")
    assert first.json["retrieval_model"] == {
        "search_method": "full_text_search",
        "top_k": 1,
        "score_threshold": 0.1,
        "score_threshold_enabled": True,
        "reranking_enable": False,
    }
    assert second.json == first.json


def test_all_settings_reach_the_server(local: LocalDify) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="language", value="en")])
    _retriever(
        local,
        similarity_top_k=2,
        search_method="hybrid_search",
        reranking_model={
            "reranking_provider_name": "langgenius/cohere/cohere",
            "reranking_model_name": "rerank-v3.5",
        },
        filters=filters,
    ).retrieve(_QUESTION)
    [request] = local.requests
    assert request.json["retrieval_model"] == {
        "search_method": "hybrid_search",
        "top_k": 2,
        "score_threshold_enabled": False,
        "reranking_enable": True,
        "reranking_mode": "reranking_model",
        "reranking_model": {
            "reranking_provider_name": "langgenius/cohere/cohere",
            "reranking_model_name": "rerank-v3.5",
        },
        "metadata_filtering_conditions": {
            "logical_operator": "and",
            "conditions": [{"name": "language", "comparison_operator": "is", "value": "en"}],
        },
    }


def test_settings_of_an_old_server_are_the_defaults() -> None:
    """0.15.3 does not show one knowledge base: 405."""
    shown, found = (
        exchange("dify-0.15.3/ds_get"),
        exchange("dify-0.15.3/ds_retrieve_semantic_search"),
    )
    with ReplayServer(lambda r: (found if r.method == "POST" else shown).reply()) as replay:
        retriever = DifyRetriever(
            _SOME_ID, api_key="dataset-key", base_url=replay.base_url, similarity_top_k=2
        )
        assert retriever.retrieve("Which apple is sour?")
        assert replay.requests[-1].json["retrieval_model"] == {
            "search_method": "semantic_search",
            "top_k": 2,
            "score_threshold_enabled": False,
            "reranking_enable": False,
        }


def test_failures_are_difys(local: LocalDify) -> None:
    with pytest.raises(NotFoundError, match="Dataset not found"):
        DifyRetriever(_SOME_ID, api_key=local.dataset_key, base_url=local.base_url).retrieve("x")
    with pytest.raises(UnauthorizedError):
        DifyRetriever(local.dataset_id, api_key="wrong", base_url=local.base_url).retrieve("x")
    with pytest.raises(ValueError, match="query must not be empty"):
        _retriever(local).retrieve("")


def test_what_cannot_work_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    monkeypatch.delenv("DIFY_DATASET_API_KEY", raising=False)
    with pytest.raises(ValueError, match="no API key"):
        DifyRetriever(_SOME_ID)
    with pytest.raises(ValueError, match="UUID"):
        DifyRetriever("planets", api_key="dataset-key")
    with pytest.raises(ValueError, match="search_method"):
        DifyRetriever(_SOME_ID, api_key="dataset-key", search_method="magic")  # type: ignore[arg-type]


async def test_a_reply_in_single_bytes(local: LocalDify) -> None:
    recorded = exchange("dify-1.16.0/s_retrieve")
    with ReplayServer(lambda _: recorded.reply(longest=1)) as replay:
        retriever = DifyRetriever(_SOME_ID, api_key="dataset-key", base_url=replay.base_url)
        found = await retriever.aretrieve("moons")
    assert [n.text for n in found] == [r["segment"]["content"] for r in recorded.json["records"]]


def test_retries_what_may_pass(local: LocalDify) -> None:
    local.fault("status", status=503, times=1)
    assert _retriever(local).retrieve(_QUESTION)
    assert len(local.requests) == 2
    local.fault("status", status=503, times=1)
    with pytest.raises(DifyError):
        _retriever(local, max_retries=0).retrieve(_QUESTION)


def test_retrieve_events_are_emitted(local: LocalDify) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    _retriever(local, callback_manager=CallbackManager([debug])).retrieve(_QUESTION)
    [[start, end]] = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert start.payload["query_str"] == _QUESTION
    assert "Saturn" in end.payload["nodes"][0].text


def test_in_a_retriever_query_engine(local: LocalDify) -> None:
    engine = RetrieverQueryEngine.from_args(_retriever(local, similarity_top_k=3), llm=MockLLM())
    response = engine.query(_QUESTION)
    assert len(response.source_nodes) == 3
    # The mock repeats its prompt, which tells models the document and hides the ids.
    assert "document_name: saturn.md" in str(response)
    assert response.source_nodes[0].node_id not in str(response)


async def test_in_a_fusion_retriever(local: LocalDify) -> None:
    fusion = QueryFusionRetriever(
        [
            _retriever(local, similarity_top_k=3),
            _retriever(local, similarity_top_k=3, search_method="keyword_search"),
        ],
        llm=MockLLM(),
        num_queries=1,
        mode="reciprocal_rerank",  # type: ignore[arg-type]
        similarity_top_k=10,
    )
    found = await fusion.aretrieve("Saturn Titan rings")
    assert [n.metadata["document_name"] for n in found] == ["saturn.md"] * 3
    assert len({n.node_id for n in found}) == 3
    # Each was found twice, and its two ranks add up: rank r, from 0, scores 1 / (60 + r).
    assert [n.score for n in found] == pytest.approx([2 / 60, 2 / 61, 2 / 62])


def test_successive_event_loops(local: LocalDify) -> None:
    retriever = _retriever(local)
    first = asyncio.run(retriever.aretrieve(_QUESTION))
    assert asyncio.run(retriever.aretrieve(_QUESTION))[0].node_id == first[0].node_id


def test_your_own_client_is_used(local: LocalDify) -> None:
    seen: list[str] = []
    with httpx.Client(event_hooks={"request": [lambda r: seen.append(r.url.path)]}) as client:
        assert _retriever(local, http_client=client).retrieve(_QUESTION)
        assert not client.is_closed
    assert seen == [f"/v1/datasets/{local.dataset_id}/retrieve"]


def test_the_key_is_copied_but_never_shown_nor_pickled(
    local: LocalDify, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = _retriever(local)
    retriever.retrieve(_QUESTION)  # with live clients
    assert copy.deepcopy(retriever).retrieve(_QUESTION)
    pickled = pickle.dumps(retriever)
    assert local.dataset_key.encode() not in pickled
    assert local.dataset_key not in repr(vars(retriever))
    monkeypatch.setenv("DIFY_DATASET_API_KEY", local.dataset_key)
    assert pickle.loads(pickled).retrieve(_QUESTION)
    monkeypatch.delenv("DIFY_DATASET_API_KEY")
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    with pytest.raises(ValueError, match="no API key"):
        pickle.loads(pickled).retrieve(_QUESTION)


# One search -------------------------------------------------------------------------------------


async def test_settings_of_one_search(local: LocalDify) -> None:
    retriever = _retriever(local, similarity_top_k=3)
    english = MetadataFilters(filters=[MetadataFilter(key="language", value="en")])
    starts = {"name": "language", "comparison_operator": "start with", "value": "e"}
    spans = SimpleSpanHandler()
    root = get_dispatcher()
    root.add_span_handler(spans)
    try:
        assert len(retriever.retrieve(_QUESTION, similarity_top_k=1)) == 1
        await retriever.aretrieve(_QUESTION, filters=english, score_threshold=0.01)
        await retriever.aretrieve(_QUESTION, filters={"conditions": [starts]})
        assert len(retriever.retrieve("Saturn Titan rings")) == 3
    finally:
        root.span_handlers.remove(spans)
    names = [span.id_.split("-")[0] for span in spans.completed_spans]
    assert names.count("DifyRetriever.retrieve") == names.count("DifyRetriever.aretrieve") == 2
    sent = [r.json["retrieval_model"] for r in local.requests if r.method == "POST"]
    assert [model["top_k"] for model in sent] == [1, 3, 3, 3]
    conditions = [model.get("metadata_filtering_conditions") for model in sent]
    assert conditions[0] is conditions[3] is None
    assert conditions[1]["conditions"][0]["comparison_operator"] == "is"
    assert conditions[2]["conditions"] == [starts]
    assert [model.get("score_threshold") for model in sent] == [None, 0.01, None, None]


@pytest.mark.parametrize("given", ["constructor", "call"])
async def test_filters_that_servers_ignore_send_nothing(given: str, local: LocalDify) -> None:
    bad = MetadataFilters(filters=[MetadataFilter(key="language", value=None)])
    with pytest.raises(ValueError, match="search everything"):
        if given == "constructor":
            _retriever(local, filters=bad)
        else:
            await _retriever(local).aretrieve(_QUESTION, filters=bad)
    assert local.requests == []


async def test_long_queries(local: LocalDify) -> None:
    query = "Saturn " * 40
    for retrieve in (_retriever(local).retrieve, _retriever(local).aretrieve):
        with pytest.raises(ValueError, match=r'280.*long_query="truncate"'):
            found = retrieve(query)
            if not isinstance(found, list):
                await found
    assert local.requests == []
    assert _retriever(local, long_query="truncate").retrieve(query)
    assert await _retriever(local, long_query="truncate").aretrieve("x" * 251 + " y") == []
    assert [r.json["query"][-6:] for r in local.requests] == ["Saturn", "xxxxxx"]
    assert all(len(r.json["query"]) <= 250 for r in local.requests)
    with pytest.raises(ValueError, match="long_query must be"):
        _retriever(local, long_query="cut")
