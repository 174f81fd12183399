"""`Dify` and `DifyCompletion`: the eight endpoints, and where each thing of an answer is found."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, TextBlock
from llama_index.core.llms.custom import CustomLLM

from dify_api.errors import (
    CompletionRequestError,
    ConnectionFailedError,
    DifyError,
    StreamInterruptedError,
    UnauthorizedError,
    WrongAppTypeError,
)
from dify_local import LocalDify
from llama_index_dify import (
    Dify,
    DifyChatEngine,
    DifyCompletion,
    DifyQueryEngine,
    DifyRetriever,
    DifyTool,
    DifyToolSpec,
    DifyWorkflow,
    source_nodes,
)
from tests.llama_index_dify.support import (
    IDS,
    STREAMING_WAYS,
    USAGE,
    WAYS,
    Way,
    message,
    message_end,
    streaming,
    text_of,
)

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
every_stream = pytest.mark.parametrize("way", STREAMING_WAYS.values(), ids=STREAMING_WAYS)


@every_way
async def test_answer(way: Way, llm: Dify) -> None:
    responses = await way(llm, "Which planet has most moons?")
    last = responses[-1]
    assert "Saturn has the most moons" in text_of(last)
    assert isinstance(last.raw, Mapping)
    usage = last.raw["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert last.additional_kwargs[name] == usage[name]
    for name in ("conversation_id", "message_id", "task_id"):
        assert last.additional_kwargs[name] == last.raw[name]
    sources = source_nodes(last)
    assert [node.node_id for node in sources] == [
        resource["segment_id"] for resource in last.raw["retriever_resources"]
    ]
    assert sources[0].metadata["document_name"] == "saturn.md"


@every_way
async def test_completion_app(way: Way, completion_llm: DifyCompletion) -> None:
    last = (await way(completion_llm, "/echo one two"))[-1]
    assert text_of(last) == "one two"
    assert last.additional_kwargs["total_tokens"] > 0
    assert "conversation_id" not in last.additional_kwargs


@every_stream
async def test_text_accumulates_and_deltas_are_what_is_new(way: Way, llm: Dify) -> None:
    responses = await way(llm, "/echo one two three")
    so_far = ""
    for response in responses:
        so_far += response.delta or ""
        assert text_of(response) == so_far
    assert so_far == "one two three"
    assert [response.delta for response in responses] == ["one ", "two ", "three", ""]
    assert all(response.raw is None for response in responses[:-1])
    # An aborted stream can be resumed or stopped: the first response tells where it is.
    assert responses[0].additional_kwargs["conversation_id"]
    assert responses[0].additional_kwargs["task_id"] == responses[-1].additional_kwargs["task_id"]


@pytest.mark.parametrize("app", ["agent-chat", "advanced-chat", "agent"])
async def test_other_apps(app: str, local: LocalDify) -> None:
    llm = Dify(api_key=local.keys[app], base_url=local.base_url)
    for way in WAYS.values():
        assert text_of((await way(llm, "/echo well met"))[-1]) == "well met"


def test_exactly_one_text_block(llm: Dify) -> None:
    for response in llm.stream_chat([ChatMessage("/echo one two")]):
        assert [b.block_type for b in response.message.blocks].count("text") == 1
    assert [b.block_type for b in response.message.blocks] == ["thinking", "text"]
    assert response.message.additional_kwargs == {}


@every_stream
async def test_the_last_response_has_the_right_text(way: Way) -> None:
    """A moderator replaced what had been streamed."""
    replace = {"event": "message_replace", **IDS, "answer": "I cannot say that."}
    with streaming(message("Bad "), message("words"), replace, message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url)
        responses = await way(llm, "Hello")
    assert [response.delta for response in responses] == ["Bad ", "words", ""]
    assert text_of(responses[1]) == "Bad words"
    assert text_of(responses[-1]) == "I cannot say that."


@every_stream
async def test_the_last_response_brings_what_was_not_streamed(way: Way) -> None:
    finished = {
        "event": "workflow_finished",
        **IDS,
        "workflow_run_id": "run",
        "data": {"id": "run", "status": "succeeded", "outputs": {"answer": "One two three"}},
    }
    started = {"event": "workflow_started", **IDS, "workflow_run_id": "run", "data": {"id": "run"}}
    with streaming(started, message("One "), finished, message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url)
        responses = await way(llm, "Hello")
    assert [response.delta for response in responses] == ["One ", "two three"]
    assert text_of(responses[-1]) == "One two three"
    assert responses[-1].additional_kwargs["workflow_run_id"] == "run"


@every_way
async def test_usage_is_counted_once(way: Way, llm: Dify) -> None:
    """Fact 1 and 4: CustomLLM's own endpoints call each other and count twice or three times."""
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    last = (await way(llm, "/echo one two three"))[-1]
    usage = last.raw["usage"]  # type: ignore[index]  # typed Any by the framework
    assert len(counter.llm_token_counts) == 1
    assert counter.prompt_llm_token_count == usage["prompt_tokens"]
    assert counter.completion_llm_token_count == usage["completion_tokens"]


def test_usage_that_is_missing_breaks_nothing() -> None:
    """0.15.3 and others send none now and then; counters then count for themselves."""
    end = {"event": "message_end", **IDS, "metadata": {}}
    counter = TokenCountingHandler(tokenizer=str.split)
    with streaming(message("one two"), end) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url)
        llm.callback_manager = CallbackManager([counter])
        response = llm.chat([ChatMessage("Hello")])
    assert response.raw["usage"] is None
    assert counter.completion_llm_token_count > 0


def test_prices_stay_exact() -> None:
    with streaming(message("Hi"), message_end()) as server:
        response = Dify(api_key="app-test", base_url=server.base_url).complete("Hello")
    assert response.raw is not None
    assert response.raw["usage"]["total_price"] == USAGE["total_price"]


def test_endpoints_are_native_and_async_ones_are_coroutines() -> None:
    """Facts 1 and 2: none is inherited from CustomLLM, and none is an async generator function."""
    for model in (Dify, DifyCompletion):
        for name in WAYS:
            endpoint = getattr(model, name)
            assert endpoint is not getattr(CustomLLM, name, None)
            assert not inspect.isasyncgenfunction(endpoint)


@every_way
async def test_failure_mid_stream(way: Way, llm: Dify) -> None:
    with pytest.raises(CompletionRequestError) as raised:
        await way(llm, "/fail mid")
    assert raised.value.code == "completion_request_error"
    assert raised.value.answer is not None
    assert raised.value.answer.text == "one two three "


def test_no_token_is_lost_when_the_run_fails(llm: Dify) -> None:
    tokens = []
    with pytest.raises(DifyError):
        for response in llm.stream_chat([ChatMessage("/fail mid")]):
            tokens.append(response.delta)  # noqa: PERF401  # a comprehension would lose them
    assert tokens == ["one ", "two ", "three "]


@every_way
async def test_interrupted_stream(way: Way) -> None:
    with streaming(message("half an ans"), ending="cut") as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, max_retries=0)
        with pytest.raises(StreamInterruptedError) as raised:
            await way(llm, "Hello")
    assert raised.value.answer is not None
    assert raised.value.answer.text == "half an ans"


async def test_errors_say_what_to_do(local: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    url = local.base_url
    with pytest.raises(UnauthorizedError, match="api_key"):
        Dify(api_key="app-wrong", base_url=url).complete("Hello")
    with pytest.raises(WrongAppTypeError, match="DifyCompletion"):
        Dify(api_key=local.keys["completion"], base_url=url).complete("Hello")
    with pytest.raises(ConnectionFailedError, match="base_url"):
        Dify(api_key="app-test", base_url="http://127.0.0.1:9/v1", max_retries=0).complete("Hello")
    with pytest.raises(ValueError, match="query must not be empty"):
        Dify(api_key="app-test", base_url=url).complete("  ")
    with pytest.raises(ValueError, match="prompt must not be empty"):
        await DifyCompletion(api_key="app-test", base_url=url).acomplete("")
    with pytest.raises(ValueError, match="no message"):
        Dify(api_key="app-test", base_url=url).chat([])
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    with pytest.raises(ValueError, match="DIFY_API_KEY"):
        Dify(base_url=url).complete("Hello")
    with pytest.raises(ValueError, match="base_url"):
        Dify(api_key="app-test", base_url="dify.example.com")


def test_unknown_arguments_are_refused(llm: Dify, completion_llm: DifyCompletion) -> None:
    with pytest.raises(TypeError, match=r"temperature.*set in the Dify app"):
        llm.complete("Hello", temperature=0.5)
    with pytest.raises(TypeError, match="conversation_id"):
        completion_llm.complete("Hello", conversation_id="c")
    with pytest.raises(ValueError, match="tmeout"):
        Dify(api_key="app-test", tmeout=3)  # type: ignore[call-arg]  # the mistake under test


def test_arguments_of_a_call(llm: Dify, local: LocalDify) -> None:
    llm.inputs = {"language": "English", "style": "brief"}
    file = {"type": "image", "transfer_method": "remote_url", "url": "https://example.com/a.png"}
    llm.chat([ChatMessage("/echo hi")], user="bob", inputs={"style": "long"}, files=[file])
    sent = local.requests[-1].json
    assert sent["user"] == "bob"
    assert sent["inputs"] == {"language": "English", "style": "long"}
    assert sent["files"] == [file]
    assert sent["response_mode"] == "streaming"
    assert sent["auto_generate_name"] is False


def test_environment(local: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", local.keys["chat"])
    monkeypatch.setenv("DIFY_BASE_URL", local.base_url + "/")
    monkeypatch.setenv("DIFY_USER", "carol")
    llm = Dify()
    assert llm.base_url == local.base_url
    assert llm.complete("/echo hi").text == "hi"
    assert local.requests[-1].json["user"] == "carol"


def test_blocking(llm: Dify, local: LocalDify) -> None:
    llm.response_mode = "blocking"
    assert llm.complete("/echo one two").text == "one two"
    assert local.requests[-1].json["response_mode"] == "blocking"


def test_prompt_input_and_inputs(completion_llm: DifyCompletion, local: LocalDify) -> None:
    llm = completion_llm.model_copy(
        update={"prompt_input": "topic", "inputs": {"query": "/echo q"}}
    )
    assert llm.complete("Mars").text == "q"
    assert local.requests[-1].json["inputs"] == {"query": "/echo q", "topic": "Mars"}


def test_completion_apps_get_messages_as_one_prompt(
    completion_llm: DifyCompletion, local: LocalDify
) -> None:
    completion_llm.chat([ChatMessage("Be brief.", role="system"), ChatMessage("And Mars?")])
    assert local.requests[-1].json["inputs"]["query"] == "Be brief.\n\nAnd Mars?"
    own = completion_llm.model_copy(update={"messages_to_prompt": lambda messages: "/echo own"})
    assert own.chat([ChatMessage("Hello")]).message.content == "own"


def test_predict_uses_the_system_prompt(local: LocalDify) -> None:
    from llama_index.core.prompts import PromptTemplate

    llm = Dify(
        api_key=local.keys["chat"],
        base_url=local.base_url,
        system_prompt="Be brief.",
        system_input="instructions",
    )
    assert llm.predict(PromptTemplate("/echo {word}"), word="hi") == "hi"
    sent = local.requests[-1].json
    assert (sent["query"], sent["inputs"]) == ("/echo hi", {"instructions": "Be brief."})


# The key and copies -----------------------------------------------------------------------------


@pytest.fixture(params=[Dify, DifyCompletion])
def model(request: pytest.FixtureRequest) -> Any:
    return request.param(
        api_key="app-secret-key",
        base_url="https://dify.example/v1",
        user="ann",
        default_headers={"X-Gate": "header-secret"},
        proxy="http://proxy-user:proxy-secret@127.0.0.1:3128",
        inputs={"language": "English"},
    )


def test_secrets_are_nowhere(model: Dify) -> None:
    """Facts 16 and 18."""
    for text in (
        repr(model),
        str(model),
        str(model.to_dict()),
        model.to_json(),
        model.model_dump_json(),
        str(model.to_payload()),
        repr(model.client),
        repr(model.client.connection),
    ):
        assert "secret" not in text
    assert b"secret-key" not in pickle.dumps(model)
    assert model.to_payload()["model"] == "dify"


def test_to_dict_and_back(model: Dify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", "app-of-environment")
    with pytest.raises(ValueError, match="give the user too"):  # a dump holds its hash
        type(model).from_dict(model.to_dict())
    loaded = type(model).from_dict(model.to_dict(), user=model.user)
    assert loaded.to_dict() == model.to_dict()
    assert loaded.api_key is not None
    assert loaded.api_key.get_secret_value() == "app-of-environment"
    assert type(model).from_json(model.to_json(), user=model.user).inputs == {"language": "English"}


def test_pickle(model: Dify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.to_dict() == model.to_dict()
    with pytest.raises(ValueError, match="DIFY_API_KEY"):
        loaded.complete("Hello")
    key = model.key.get_secret_value()
    monkeypatch.setenv("DIFY_API_KEY", key)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.api_key.get_secret_value() == key


def test_deepcopy_keeps_the_key_and_shares_the_clients(llm: Dify) -> None:
    import httpx

    llm.complete("/echo hi")  # with connections open
    with httpx.Client() as client:
        llm.http_client = client
        copied = copy.deepcopy(llm)
        assert copied.http_client is client
        assert copied.complete("/echo hello").text == "hello"
        assert copied.app == llm.app


def test_two_event_loops(llm: Dify) -> None:
    """Fact 16: async clients belong to a loop."""
    import asyncio

    async def ask() -> str:
        return (await llm.acomplete("/echo hi")).text

    assert [asyncio.run(ask()) for _ in range(2)] == ["hi", "hi"]


def test_thousand_users_on_one_object(llm: Dify) -> None:
    ann = llm.chat([ChatMessage("/echo a")], user="ann")
    bob = llm.chat([ChatMessage("/echo b")], user="bob")
    assert ann.raw["conversation_id"] != bob.raw["conversation_id"]


def test_making_a_model_is_cheap() -> None:
    """No TLS context, no connection: those alone take 25 ms."""
    import timeit

    seconds = min(timeit.repeat(lambda: Dify(api_key="app-test", user="a"), number=50, repeat=5))
    assert seconds / 50 < 0.001


def test_text_block_of_the_last_response_can_be_edited(llm: Dify) -> None:
    """ReAct agents cut "Answer:" off in place."""
    *_, last = llm.stream_chat([ChatMessage("/echo Answer: 42")])
    block = next(b for b in last.message.blocks if isinstance(b, TextBlock))
    block.text = "42"
    assert last.message.content == "42"


# Stop sequences, versions, traces ---------------------------------------------------------------


@every_way
@pytest.mark.parametrize("given", ["constructor", "call"])
async def test_stop_cuts_across_pieces_and_stops_the_app(
    given: str, way: Way, local: LocalDify
) -> None:
    stop = ["ee fo"]
    for kind, app in ((Dify, "chat"), (DifyCompletion, "completion")):
        local.clear()
        options = {"stop": stop} if given == "constructor" else {}
        model = kind(api_key=local.keys[app], base_url=local.base_url, **options)
        asked = model if given == "constructor" else Calling(model, stop=stop)
        text = "one two three four " + "five " * 2000
        responses = await way(asked, f"/echo {text}")
        assert text_of(responses[-1]) == "one two thr"
        assert responses[-1].raw["finish_reason"] == "stop"
        if len(responses) > 1:
            assert "".join(r.delta for r in responses) == "one two thr"
        assert await asyncio.to_thread(local.wait_for_stop)


class Calling:
    """A model whose calls are made with further arguments."""

    def __init__(self, model: Dify | DifyCompletion, **arguments: Any) -> None:
        self._model, self._arguments = model, arguments

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._model, name), **self._arguments)


@every_way
async def test_text_that_only_looks_like_a_stop_sequence_stays(way: Way, llm: Dify) -> None:
    llm.stop = ["END"]
    responses = await way(llm, "/echo the EN D and EN")
    assert text_of(responses[-1]) == "the EN D and EN"
    if len(responses) > 1:
        assert "".join(r.delta for r in responses) == "the EN D and EN"


@every_way
async def test_stop_looks_at_the_answer_not_at_the_thoughts(way: Way, llm: Dify) -> None:
    llm.reasoning = True
    responses = await way(Calling(llm, stop="wonder"), "/think I wonder")
    assert text_of(responses[-1]) == "I have thought about it."


async def test_workflow_id_and_trace_id() -> None:
    """Of the constructor, and of a call, which comes first."""
    with streaming(message("Hi"), message_end()) as server:
        options: dict[str, Any] = {"api_key": "app-test", "base_url": server.base_url}
        given = Dify(**options, workflow_id="v1", trace_id="t1")
        given.chat([ChatMessage("Hello")])
        await given.achat([ChatMessage("Hello")], workflow_id="v2", trace_id="t2")
        DifyCompletion(**options, trace_id="t3").complete("Hello")
        sent = [request.json for request in server.requests]
        assert [body.get("workflow_id") for body in sent] == ["v1", "v2", None]
        assert [body["trace_id"] for body in sent] == ["t1", "t2", "t3"]
    with pytest.raises(TypeError, match="workflow_id"):
        DifyCompletion(**options).complete("Hello", workflow_id="v1")


def test_the_session_of_a_trace(local: LocalDify) -> None:
    """Of the constructor, and of a call, which comes first; checked before the request."""
    options: dict[str, Any] = {"base_url": local.base_url, "trace_session_id": "s1"}
    chat = Dify(api_key=local.keys["chat"], **options)
    chat.chat([ChatMessage("Hello")])
    chat.chat([ChatMessage("Hello")], trace_session_id=" s2 ")
    completion = DifyCompletion(api_key=local.keys["completion"], **options)
    completion.complete("Hello")
    report = DifyWorkflow(api_key=local.keys["workflow"], base_url=local.base_url)
    report.run({"text": "Hello"}, trace_session_id="s4")
    asked = [r for r in local.requests if r.method == "POST"]
    assert [r.headers["x-trace-session-id"] for r in asked] == ["s1", "s2", "s1", "s4"]
    for session in ("", " ", "s" * 201):
        for call in (
            lambda session: chat.chat([ChatMessage("Hello")], trace_session_id=session),
            lambda session: completion.complete("Hello", trace_session_id=session),
            lambda session: report.run({"text": "Hello"}, trace_session_id=session),
        ):
            with pytest.raises(ValueError, match="trace_session_id"):
                call(session)
    assert len([r for r in local.requests if r.method == "POST"]) == 4


def test_a_missing_key_shows_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIFY_API_KEY", "DIFY_DATASET_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    made: list[Callable[[], object]] = [
        Dify,
        DifyCompletion,
        DifyQueryEngine,
        DifyChatEngine.from_defaults,
        DifyTool.from_app,
        lambda: DifyRetriever("5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10"),
        DifyToolSpec([""]).to_tool_list,
    ]
    for make in made:
        with pytest.raises(ValueError, match="no API key: pass api_key="):
            make()
