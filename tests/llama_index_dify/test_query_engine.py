"""`DifyQueryEngine` against the local server, and on recorded replies."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from typing import Any

import pytest
from llama_index.core.base.base_selector import (
    BaseSelector,
    MultiSelection,
    SelectorResult,
    SingleSelection,
)
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.query import QueryEndEvent, QueryStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.tools import QueryEngineTool, ToolMetadata

from dify_api.errors import CompletionRequestError, DifyError
from dify_local import LocalDify
from llama_index_dify import (
    AsyncDifyStreamingResponse,
    Dify,
    DifyChatEngine,
    DifyCompletion,
    DifyQueryEngine,
    DifyResponse,
    DifyStreamingResponse,
)
from tests.support.cassettes import exchange
from tests.support.replay import ReplayServer

_QUESTION = "Which moons does Saturn have?"


def _engine(local: LocalDify, app: str = "chat", **options: Any) -> DifyQueryEngine:
    return DifyQueryEngine(api_key=local.keys[app], base_url=local.base_url, **options)


def _completion_engine(local: LocalDify, **options: Any) -> DifyQueryEngine:
    llm = DifyCompletion(api_key=local.keys["completion"], base_url=local.base_url)
    return DifyQueryEngine(llm, **options)


async def _four_ways(
    make: Any, question: str
) -> list[tuple[str | None, list[NodeWithScore], dict[str, Any] | None, Any]]:
    """What `query`, `aquery` and both on streams make of a question."""
    plain, streaming = make(), make(streaming=True)
    results = []
    for response in (await asyncio.to_thread(plain.query, question), await plain.aquery(question)):
        assert type(response) is DifyResponse
        results.append(response)
    stream = await asyncio.to_thread(streaming.query, question)
    assert type(stream) is DifyStreamingResponse
    assert stream.source_nodes == []
    text = await asyncio.to_thread(lambda: "".join(stream.response_gen))
    assert text == str(stream)
    results.append(stream.get_response())
    astream = await streaming.aquery(question)
    assert type(astream) is AsyncDifyStreamingResponse
    assert astream.source_nodes == []
    text = "".join([token async for token in astream.response_gen])
    assert text == str(astream)
    results.append(await astream.get_response())
    return [(r.response, r.source_nodes, r.metadata, r.raw) for r in results]


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat", "completion"])
async def test_text_sources_and_metadata_in_all_four_ways(local: LocalDify, app: str) -> None:
    def make(**options: Any) -> DifyQueryEngine:
        if app == "completion":
            return _completion_engine(local, **options)
        return _engine(local, app, **options)

    results = await _four_ways(make, _QUESTION)
    for text, sources, metadata, raw in results:
        assert text is not None
        assert "Saturn" in text
        assert text == results[0][0]
        assert [s.node_id for s in sources] == [s.node_id for s in results[0][1]]
        assert sources
        assert metadata == {s.node_id: s.node.metadata for s in sources}
        assert raw["usage"]["total_tokens"] > 0
        assert raw["message_id"]


async def test_each_query_is_a_conversation_of_its_own(local: LocalDify) -> None:
    engine = _engine(local)
    first, second = await engine.aquery(_QUESTION), await engine.aquery("And the largest of them?")
    assert isinstance(first, DifyResponse)
    assert isinstance(second, DifyResponse)
    assert first.raw is not None
    assert second.raw is not None
    assert first.raw["conversation_id"] != second.raw["conversation_id"]
    continued = _engine(local, conversation_id=first.raw["conversation_id"])
    third = await continued.aquery("And the largest of them?")
    assert isinstance(third, DifyResponse)
    assert third.raw is not None
    assert third.raw["conversation_id"] == first.raw["conversation_id"]
    assert "Titan" in str(third)


class _First(BaseNodePostprocessor):
    """Keeps the first node, and the query that it is asked with."""

    queries: list[str] = []

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None
        self.queries.append(query_bundle.query_str)
        return nodes[:1]


async def test_node_postprocessors_are_applied_to_the_sources(local: LocalDify) -> None:
    first = _First()

    def make(**options: Any) -> DifyQueryEngine:
        cutoff = SimilarityPostprocessor(similarity_cutoff=0.0)
        return _engine(local, node_postprocessors=[cutoff, first], **options)

    for _, sources, metadata, _ in await _four_ways(make, _QUESTION):
        assert len(sources) == 1
        assert metadata == {sources[0].node_id: sources[0].node.metadata}
    assert first.queries == [_QUESTION] * 4


# Events ----------------------------------


async def test_query_and_llm_events_and_tokens_once_each(local: LocalDify) -> None:
    for streaming in (False, True):
        debug = LlamaDebugHandler(print_trace_on_end=False)
        counter = TokenCountingHandler(tokenizer=str.split)
        manager = CallbackManager([debug, counter])
        engine = _engine(local, streaming=streaming, callback_manager=manager)
        response = engine.query(_QUESTION)
        if isinstance(response, DifyStreamingResponse):
            response = response.get_response()
        assert isinstance(response, DifyResponse)
        [[start, end]] = debug.get_event_pairs(CBEventType.QUERY)
        assert start.payload["query_str"] == _QUESTION
        assert end.payload["response"].source_nodes == response.source_nodes
        assert len(debug.get_event_pairs(CBEventType.LLM)) == 1
        assert response.raw is not None
        assert counter.total_llm_token_count == response.raw["usage"]["total_tokens"]


class _Queries(BaseEventHandler):
    events: list[Any] = []

    @classmethod
    def class_name(cls) -> str:
        return "_Queries"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, QueryStartEvent | QueryEndEvent):
            self.events.append(event)


async def test_query_end_event_holds_the_response_itself(local: LocalDify) -> None:
    handler = _Queries()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(handler)
    try:
        responses = [
            await _engine(local, streaming=streaming).aquery(_QUESTION)
            for streaming in (False, True)
        ]
    finally:
        dispatcher.event_handlers.remove(handler)
    ends = [event for event in handler.events if isinstance(event, QueryEndEvent)]
    assert [type(end.response) for end in ends] == [DifyResponse, AsyncDifyStreamingResponse]
    assert ends[0].response is responses[0]
    assert ends[1].response is responses[1]


def test_the_llms_own_callback_manager_is_kept(local: LocalDify) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = Dify(
        api_key=local.keys["chat"],
        base_url=local.base_url,
        callback_manager=CallbackManager([debug]),
    )
    DifyQueryEngine(llm).query(_QUESTION)
    assert len(debug.get_event_pairs(CBEventType.QUERY)) == 1
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1


# In LlamaIndex's own engines ----------------------------------


def _tool(engine: DifyQueryEngine, name: str = "planets") -> QueryEngineTool:
    return QueryEngineTool.from_defaults(engine, name=name, description="Knows planets.")


async def test_in_a_query_engine_tool(local: LocalDify) -> None:
    output = await _tool(_engine(local)).acall(input=_QUESTION)
    assert "Saturn" in output.content
    assert output.raw_output.source_nodes
    assert output.content == _tool(_engine(local)).call(_QUESTION).content


async def test_a_streaming_engine_in_an_async_tool_returns(local: LocalDify) -> None:
    """`QueryEngineTool.acall` calls `str()` on the response, inside the event loop."""
    call = _tool(_engine(local, streaming=True)).acall(input=_QUESTION)
    output = await asyncio.wait_for(call, 10)
    assert "Saturn" in output.content


async def test_str_of_a_running_stream_says_what_to_do(local: LocalDify) -> None:
    response = await _engine(local, streaming=True).aquery("/tokens 5")
    assert isinstance(response, AsyncDifyStreamingResponse)
    await anext(response.response_gen)
    with pytest.raises(RuntimeError, match="await get_response"):
        str(response)
    assert (await response.get_response()).response == str(response)
    assert str(response).split() == ["t0xx", "t1xx", "t2xx", "t3xx", "t4xx"]


class _All(BaseSelector):
    """Selects the first engine, or every one."""

    def __init__(self, several: bool) -> None:
        self.several = several

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None:
        pass

    def _select(self, choices: Any, query: QueryBundle) -> SelectorResult:
        count = len(choices) if self.several else 1
        return MultiSelection(
            selections=[SingleSelection(index=i, reason="asked to") for i in range(count)]
        )

    async def _aselect(self, choices: Any, query: QueryBundle) -> SelectorResult:
        return self._select(choices, query)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_router_over_two_engines_in_async_returns(
    local: LocalDify, several: bool, streaming: bool
) -> None:
    tools = [
        _tool(_engine(local, streaming=streaming), "chat"),
        _tool(_completion_engine(local, streaming=streaming), "completion"),
    ]
    router = RouterQueryEngine(_All(several), tools, llm=MockLLM())
    response = await asyncio.wait_for(router.aquery(_QUESTION), 10)
    if isinstance(response, AsyncDifyStreamingResponse):
        await response.get_response()
    assert len(response.source_nodes) >= (6 if several else 3)
    assert response.metadata is not None
    assert response.metadata["selector_result"].inds == ([0, 1] if several else [0])
    if not several:  # the late metadata stand beside what the router has noted
        assert response.source_nodes[0].node_id in response.metadata
    assert len(local.requests) == (2 if several else 1)


class _Questions(BaseQuestionGenerator):
    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None:
        pass

    def generate(self, tools: Any, query: QueryBundle) -> list[SubQuestion]:
        return [
            SubQuestion(sub_question=f"Which moons does {planet} have?", tool_name="planets")
            for planet in ("Saturn", "Jupiter")
        ]

    async def agenerate(self, tools: Any, query: QueryBundle) -> list[SubQuestion]:
        return self.generate(tools, query)


@pytest.mark.parametrize("streaming", [False, True])
async def test_in_a_sub_question_query_engine(local: LocalDify, streaming: bool) -> None:
    tool = QueryEngineTool(
        _engine(local, streaming=streaming), ToolMetadata("Knows planets.", "planets")
    )
    engine = SubQuestionQueryEngine(
        _Questions(), get_response_synthesizer(llm=MockLLM()), [tool], verbose=False, use_async=True
    )
    query = "Compare the moons of Saturn and Jupiter"
    for response in (
        await asyncio.wait_for(engine.aquery(query), 10),
        await asyncio.wait_for(asyncio.to_thread(engine.query, query), 10),
    ):
        # The mock repeats its prompt, which holds both answers; sources are those of both.
        assert "Sub question: Which moons does Saturn have?\nResponse: According" in str(response)
        names = {s.metadata.get("document_name") for s in response.source_nodes}
        assert {"saturn.md", "jupiter.md"} <= names


# Streams that go wrong, or are left ----------------------------------


async def test_a_failure_midway_keeps_the_tokens_and_raises(local: LocalDify) -> None:
    stream = _engine(local, streaming=True).query("/fail mid")
    assert isinstance(stream, DifyStreamingResponse)
    tokens: list[str] = []
    with pytest.raises(CompletionRequestError) as failure:
        tokens.extend(stream.response_gen)
    assert stream.response_txt == "one two three "
    assert failure.value.answer is not None
    assert failure.value.answer.text == "one two three "
    astream = await _engine(local, streaming=True).aquery("/fail mid")
    assert isinstance(astream, AsyncDifyStreamingResponse)
    with pytest.raises(CompletionRequestError):
        async for token in astream.response_gen:
            tokens.append(token)  # noqa: PERF401  # a comprehension would lose them
    assert tokens[-3:] == ["one ", "two ", "three "]
    assert str(astream) == "one two three "
    with pytest.raises(CompletionRequestError):
        await _engine(local).aquery("/fail mid")


async def test_a_moderators_replacement_is_the_response(local: LocalDify) -> None:
    def make(**options: Any) -> DifyQueryEngine:
        return _engine(local, **options)

    for engine in (make(), make(streaming=True)):
        response = await asyncio.to_thread(engine.query, "/replace Something kind.")
        if isinstance(response, DifyStreamingResponse):
            response = await asyncio.to_thread(response.get_response)
        assert str(response) == "Something kind."
    astream = await make(streaming=True).aquery("/replace Something kind.")
    assert isinstance(astream, AsyncDifyStreamingResponse)
    assert str(await astream.get_response()) == "Something kind."


def test_printing_the_stream(local: LocalDify, capsys: pytest.CaptureFixture[str]) -> None:
    stream = _engine(local, streaming=True).query("/echo Hello there")
    assert isinstance(stream, DifyStreamingResponse)
    stream.print_response_stream()
    assert capsys.readouterr().out == "Hello there"
    assert str(stream) == "Hello there"


def test_leaving_the_loop_stops_the_app_at_once(local: LocalDify) -> None:
    gc.disable()  # not even a collection may be needed
    try:
        response: Any = _engine(local, streaming=True).query("/hang 3")
        for _ in response.response_gen:
            break
        response.response_gen.close()
        local.wait_for_stop()
        assert response.response_txt == "t0xx "
        local.clear()
        for _ in _engine(local, streaming=True).query("/hang 3").response_gen:  # type: ignore[union-attr]
            break
        local.wait_for_stop()
    finally:
        gc.enable()


async def test_closing_and_cancelling_stop_the_app(local: LocalDify) -> None:
    response = await _engine(local, streaming=True).aquery("/hang 3")
    assert isinstance(response, AsyncDifyStreamingResponse)
    await anext(response.response_gen)
    await response.response_gen.aclose()
    assert local.stopped  # when aclose returns, not a turn of the loop later
    local.clear()

    arrived = asyncio.Event()

    async def read() -> None:
        response = await _engine(local, streaming=True).aquery("/hang 3")
        async for _ in response.response_gen:  # type: ignore[union-attr]
            arrived.set()

    task = asyncio.create_task(read())
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(local.wait_for_stop)


def test_a_break_stops_the_app_though_the_response_is_still_held(local: LocalDify) -> None:
    response: Any = _engine(local, streaming=True).query("/hang 3")
    for _ in response.response_gen:
        break
    local.wait_for_stop()
    assert str(response) == "t0xx "
    assert list(response.response_gen) == []


def test_tokens_may_be_read_one_by_one(local: LocalDify) -> None:
    response: Any = _engine(local, streaming=True).query("/echo one two three")
    assert [next(response.response_gen), next(response.response_gen)] == ["one ", "two "]
    assert list(response.response_gen) == ["three"]
    assert response.raw["usage"]


async def test_an_async_break_stops_the_app_though_the_response_is_still_held(
    local: LocalDify,
) -> None:
    response: Any = await _engine(local, streaming=True).aquery("/hang 3")
    async for _ in response.response_gen:
        break
    await asyncio.to_thread(local.wait_for_stop)
    while not response.ended:  # noqa: ASYNC110  # the server heard of it before we are told so
        await asyncio.sleep(0.001)
    assert str(response) == "t0xx "
    assert [token async for token in response.response_gen] == []


def test_the_end_of_an_event_loop_stops_the_app(
    local: LocalDify, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop closes all its generators at once, not one after the other."""

    async def leave() -> None:
        response: Any = await _engine(local, streaming=True).aquery("/hang 3")
        async for _ in response.response_gen:
            break
        raise KeyError("the consumer's own")

    with pytest.raises(KeyError):
        asyncio.run(leave())
    local.wait_for_stop()
    assert not [record.message for record in caplog.records if record.name == "asyncio"]


# Recorded answers, and what cannot work ----------------------------------


@pytest.mark.parametrize(
    "name",
    ["dify-0.15.3/chat_stream", "dify-0.15.3/chatflow_stream", "dify-0.15.3/file_chat_stream"],
)
async def test_recorded_citations(name: str) -> None:
    recorded = exchange(name)
    events = [
        line.removeprefix(b"data: ")
        for line in recorded.body.split(b"\n")
        if b"message_end" in line
    ]

    resources = json.loads(events[0])["metadata"]["retriever_resources"]
    with ReplayServer(lambda _: recorded.reply(seed=7)) as replay:

        def make(**options: Any) -> DifyQueryEngine:
            return DifyQueryEngine(api_key="app-key", base_url=replay.base_url, **options)

        for _, sources, _, _ in await _four_ways(make, "moons"):
            assert [s.node_id for s in sources] == [r["segment_id"] for r in resources]
            assert [s.score for s in sources] == [r["score"] for r in resources]


def test_a_wrong_key_and_wrong_arguments(local: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DifyError, match="401"):
        DifyQueryEngine(api_key="app-wrong", base_url=local.base_url).query(_QUESTION)
    llm = Dify(api_key="app-key")
    with pytest.raises(ValueError, match="base_url"):
        DifyQueryEngine(llm, base_url=local.base_url)
    completion = DifyCompletion(api_key="app-key")
    with pytest.raises(ValueError, match="conversation"):
        DifyQueryEngine(completion, conversation_id="c1")
    assert "app-key" not in repr(vars(DifyQueryEngine(llm)))


def test_user_inputs_and_image_reach_the_app(local: LocalDify, tmp_path: Any) -> None:
    image = tmp_path / "saturn.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 32)
    engine = _engine(local, "greeter", user="ann", inputs={"name": "Ann", "tone": "warm"})
    engine.query(QueryBundle("Hello", image_path=str(image)))
    upload, asked = local.requests
    assert upload.path == "/v1/files/upload"
    assert asked.json["user"] == "ann"
    assert asked.json["inputs"]["name"] == "Ann"
    assert asked.json["files"][0]["type"] == "image"


def test_copies_and_pickles(local: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _engine(local)
    answer = str(engine.query(_QUESTION))  # with live clients
    assert str(copy.deepcopy(engine).query(_QUESTION)) == answer
    pickled = pickle.dumps(engine)
    assert local.keys["chat"].encode() not in pickled
    monkeypatch.setenv("DIFY_API_KEY", local.keys["chat"])
    assert str(pickle.loads(pickled).query(_QUESTION)) == answer


# One model, several engines ---------------------------------------------------------------------


def test_engines_leave_the_callbacks_of_a_shared_model_alone(local: LocalDify) -> None:
    llm = Dify(api_key=local.keys["chat"], base_url=local.base_url)
    own = llm.callback_manager
    managers = [CallbackManager([TokenCountingHandler(tokenizer=str.split)]) for _ in range(2)]
    DifyQueryEngine(llm, callback_manager=managers[0]).query("/echo one two three")
    DifyChatEngine(llm, callback_manager=managers[1]).chat("/echo one")
    assert llm.callback_manager is own
    counted = [manager.handlers[0] for manager in managers]
    assert [len(handler.llm_token_counts) for handler in counted] == [1, 1]
    assert counted[0].total_llm_token_count > counted[1].total_llm_token_count > 0


@pytest.mark.parametrize("engine", [DifyQueryEngine, DifyChatEngine])
@pytest.mark.parametrize("llm", [MockLLM(), "app-key", object()])
def test_other_models_are_refused(engine: Any, llm: Any) -> None:
    with pytest.raises(TypeError, match=f"{engine.__name__} wants a Dify.*{type(llm).__name__}"):
        engine(llm)


def test_a_completion_app_is_no_chat_engine(local: LocalDify) -> None:
    completion: Any = DifyCompletion(api_key=local.keys["completion"], base_url=local.base_url)
    with pytest.raises(TypeError, match="wants a Dify as its llm, not DifyCompletion"):
        DifyChatEngine(completion)
