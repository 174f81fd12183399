from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField, Runnable
from pydantic import ValidationError

from dify_api.errors import DifyError
from dify_local import LocalDify
from langchain_dify import ChatDify

Models = Callable[..., ChatDify]
QUESTION = "Which planet has the most moons?"


def ways(model: Any, question: Any, **kwargs: Any) -> list[Callable[[], Awaitable[Any]]]:
    async def invoke() -> Any:
        return model.invoke(question, **kwargs)

    async def stream() -> Any:
        return reduce(add, list(model.stream(question, **kwargs)))

    async def ainvoke() -> Any:
        return await model.ainvoke(question, **kwargs)

    async def astream() -> Any:
        return reduce(add, [chunk async for chunk in model.astream(question, **kwargs)])

    return [invoke, stream, ainvoke, astream]


# What a message holds -------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat", "agent"])
async def test_four_ways_one_answer(app: str, chat: Models) -> None:
    messages = [await way() for way in ways(chat(app), QUESTION)]
    for message in messages:
        assert "274 moons" in message.content
        facts = message.response_metadata
        assert facts["model_provider"] == facts["model_name"] == "dify"
        assert facts["finish_reason"] == "stop"
        assert message.id
        assert facts["conversation_id"] != message.id
        assert facts["task_id"]
        usage = message.usage_metadata
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
        assert Decimal(facts["total_price"]) == Decimal(facts["usage"]["total_price"]) > 0
        assert facts["currency"] == "USD"
        assert [r["position"] for r in facts["retriever_resources"]][:2] == [1, 2]
    assert len({message.content for message in messages}) == 1
    assert len({message.response_metadata["conversation_id"] for message in messages}) == 4


def test_first_chunk_can_be_stopped_and_last_tells_the_rest(chat: Models) -> None:
    chunks = list(chat().stream(QUESTION))
    first, *middle, last = chunks
    assert {"conversation_id", "task_id", "app", "user"} <= set(first.response_metadata)
    assert not any(set(chunk.response_metadata) - {"model_provider"} for chunk in middle)
    assert last.chunk_position == "last"
    assert last.usage_metadata
    assert [chunk.usage_metadata for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert len({chunk.id for chunk in chunks}) == 1


def test_chunks_share_nothing_that_can_be_changed(chat: Models) -> None:
    chunks = list(chat().stream("/tokens 4"))
    chunks[1].additional_kwargs["mine"] = 1
    chunks[1].tool_calls.append({"name": "x", "args": {}, "id": "1", "type": "tool_call"})
    assert all(not chunk.additional_kwargs for chunk in chunks[2:])
    assert all(not chunk.tool_calls for chunk in chunks[2:])


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat"])
async def test_a_moderated_answer_is_the_replacement_in_every_way(app: str, chat: Models) -> None:
    for way in ways(chat(app), "/replace I cannot say that."):
        assert (await way()).content == "I cannot say that."


# Callbacks ------------------------------------------------------------------------------------


async def test_each_token_reaches_callbacks(chat: Models) -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.tokens.append(token)

    class AsyncTokens(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        async def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.tokens.append(token)

    model = chat()
    handler = Tokens()
    streamed = [c.content for c in model.stream(QUESTION, {"callbacks": [handler]})]
    assert handler.tokens == streamed
    assert len(streamed) > 5
    other = AsyncTokens()
    astreamed = [c.content async for c in model.astream(QUESTION, {"callbacks": [other]})]
    assert other.tokens == astreamed == streamed
    invoked = Tokens()
    chat(streaming=True).invoke(QUESTION, {"callbacks": [invoked]})
    assert invoked.tokens == streamed


async def test_astream_events_v2(chat: Models) -> None:
    kinds = [e["event"] async for e in chat().astream_events(QUESTION, version="v2")]
    assert kinds[0] == "on_chat_model_start"
    assert kinds[-1] == "on_chat_model_end"
    assert kinds.count("on_chat_model_stream") > 5


def test_usage_is_counted_across_apps(chat: Models) -> None:
    counter = UsageMetadataCallbackHandler()
    answers = [chat(app).invoke(QUESTION, {"callbacks": [counter]}) for app in ("chat", "agent")]
    total = sum(answer.usage_metadata["total_tokens"] for answer in answers)
    assert counter.usage_metadata["dify"]["total_tokens"] == total


def test_nodes_do_not_count_twice(chat: Models) -> None:
    counter = UsageMetadataCallbackHandler()
    answer = chat("advanced-chat").invoke(QUESTION, {"callbacks": [counter]})
    counted = counter.usage_metadata["dify"]["total_tokens"]
    assert counted == answer.usage_metadata["total_tokens"]


# stop, leaving early --------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
async def test_stop_cuts_across_chunks_and_stops_the_server(
    app: str, chat: Models, server: LocalDify
) -> None:
    text = "one two three four " + "and so on " * 20_000
    for way in ways(chat(app), f"/echo {text}", stop=["ee fo"]):
        message = await way()
        assert message.content == "one two thr"
        assert message.response_metadata["finish_reason"] == "stop"
        assert server.wait_for_stop()


def test_stop_of_the_model_and_text_that_only_looks_like_it(chat: Models) -> None:
    model = chat(stop=["END"])
    assert model.invoke("/echo a EN b").content == "a EN b"
    assert model.invoke("/echo a EN END b").content == "a EN "
    assert reduce(add, list(model.stream("/echo trailing EN"))).content == "trailing EN"


def test_leaving_a_stream_stops_the_run(chat: Models, server: LocalDify) -> None:
    stream = chat().stream("/tokens 100000")
    task_id = next(stream).response_metadata["task_id"]
    stream.close()
    assert server.wait_for_stop() == task_id


async def test_leaving_an_async_stream_stops_the_run(chat: Models, server: LocalDify) -> None:
    stream = chat().astream("/tokens 100000")
    task_id = (await anext(stream)).response_metadata["task_id"]
    await stream.aclose()
    # langchain-core leaves the inner generator to the event loop, a few ticks later.
    assert await asyncio.to_thread(server.wait_for_stop) == task_id


# Errors ---------------------------------------------------------------------------------------


async def test_a_failure_keeps_the_partial_answer(chat: Models) -> None:
    for way in ways(chat(), "/fail mid"):
        with pytest.raises(DifyError) as caught:
            await way()
        assert caught.value.code == "completion_request_error"
        assert caught.value.answer is not None
        assert caught.value.answer.text


def test_with_fallbacks_and_with_retry(chat: Models, server: LocalDify) -> None:
    fallback = chat().with_fallbacks([chat("agent")], exceptions_to_handle=(DifyError,))
    assert fallback.invoke("/echo hello").content == "hello"
    broken = chat(api_key="app-wrong").with_fallbacks([chat()])
    assert "274" in broken.invoke(QUESTION).content
    server.fault("status", status=500, times=1, path="/chat-messages")
    patient = chat(max_retries=0).with_retry(
        retry_if_exception_type=(DifyError,), wait_exponential_jitter=False, stop_after_attempt=2
    )
    assert patient.invoke("/echo hello").content == "hello"


# Arguments ------------------------------------------------------------------------------------


def test_call_arguments_reach_the_server(chat: Models, server: LocalDify) -> None:
    model = chat(inputs={"tone": "dry", "lang": "en"})
    answer = model.invoke("/echo hi", user="bob", inputs={"lang": "fr"})
    sent = server.requests[-1].json
    assert (sent["user"], sent["inputs"]) == ("bob", {"tone": "dry", "lang": "fr"})
    assert sent["response_mode"] == "streaming"
    assert sent["auto_generate_name"] is False
    conversation_id = answer.response_metadata["conversation_id"]
    model.bind(conversation_id=conversation_id, user="bob").invoke("/echo again")
    assert server.requests[-1].json["conversation_id"] == conversation_id


def test_configurable_fields(chat: Models, server: LocalDify) -> None:
    model = chat().configurable_fields(
        user=ConfigurableField(id="user"), conversation_id=ConfigurableField(id="conversation")
    )
    answer = model.invoke("/echo hi", {"configurable": {"user": "carol"}})
    place = answer.response_metadata["conversation_id"]
    chunks = list(
        model.stream("/echo hi again", {"configurable": {"user": "carol", "conversation": place}})
    )
    sent = server.requests[-1].json
    assert (sent["user"], sent["conversation_id"]) == ("carol", place)
    assert len(chunks) > 2  # the rebuilt model still streams


async def test_call_arguments_that_nobody_knows_are_refused(chat: Models) -> None:
    for way in ways(chat(), "hi", temperature=0, conversaton_id="x"):
        with (
            pytest.warns(UserWarning, match="temperature is ignored"),
            pytest.raises(TypeError, match="knows no call argument 'conversaton_id'"),
        ):
            await way()


@pytest.mark.parametrize(
    "argument",
    [{"temperature": 0.5}, {"max_tokens": 9}, {"model": "gpt"}, {"top_p": 1, "seed": 7}],
    ids=str,
)
async def test_what_the_app_decides_is_ignored_with_a_warning(
    argument: dict[str, Any], chat: Models, server: LocalDify
) -> None:
    says = "is ignored: the Dify app decides it"
    with pytest.warns(UserWarning, match=says):
        chat(**argument)
    for way in ways(chat().bind(**argument), "/echo hi"):
        with pytest.warns(UserWarning, match=says):
            assert (await way()).content == "hi"
    assert not any(argument.keys() & request.json.keys() for request in server.requests)


@pytest.mark.filterwarnings("ignore:max_tokens is ignored")
async def test_a_fallback_of_a_model_with_arguments_of_its_own(chat: Models) -> None:
    class Broken(BaseChatModel):
        """Fails as a provider that is down."""

        _llm_type: ClassVar[str] = "broken"

        def _generate(self, *_: Any, **__: Any) -> Any:
            raise ConnectionError("down")

        def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
            return self.bind(tools=tools, **kwargs)

    safe: Any = Broken().with_fallbacks([chat()])
    for bound in (safe.bind_tools([], strict=True), safe.bind(max_tokens=5), safe):
        for way in ways(bound, "/echo hi", temperature=0):
            with pytest.warns(UserWarning, match="temperature is ignored"):
                assert (await way()).content == "hi"


def test_unknown_fields(chat: Models) -> None:
    with pytest.raises(ValidationError, match="knows no argument 'api_kye'; did you mean api_key"):
        chat(api_kye="x")
    with pytest.warns(UserWarning, match="temperature is ignored: the Dify app decides"):
        chat(temperature=0)


def test_an_empty_query_is_refused_before_any_request(chat: Models, server: LocalDify) -> None:
    with pytest.raises(ValueError, match="query must not be empty"):
        chat().invoke("")
    with pytest.raises(ValueError, match="no message to send"):
        chat().invoke([])
    assert not server.requests


def test_missing_key_and_bad_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    with pytest.raises(ValidationError, match="no API key"):
        ChatDify()
    with pytest.raises(ValidationError, match="base_url must be a URL") as caught:
        ChatDify(api_key="app-secret-key", base_url="dify.example/v1")
    assert "secret" not in str(caught.value)


# Caching, batches, limits ---------------------------------------------------------------------


def test_cache_is_off_unless_asked_for_and_never_shared(chat: Models, server: LocalDify) -> None:
    cache = InMemoryCache()
    first = chat(cache=cache)
    assert first.invoke(QUESTION).content == first.invoke(QUESTION).content
    assert len(server.requests) == 1
    chat("agent", cache=cache).invoke(QUESTION)  # another app, though with the same fields
    chat(cache=cache, user="bob").invoke(QUESTION)
    assert len(server.requests) == 3
    chat().invoke(QUESTION)
    chat().invoke(QUESTION)
    assert len(server.requests) == 5


async def test_batch_and_abatch(chat: Models) -> None:
    questions = [f"/echo number {n}" for n in range(6)]
    texts = [f"number {n}" for n in range(6)]
    model = chat()
    assert [m.content for m in model.batch(questions, {"max_concurrency": 3})] == texts
    assert [m.content for m in await model.abatch(questions, {"max_concurrency": 3})] == texts


def test_rate_limiter_is_asked_once_per_call(chat: Models) -> None:
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

    limiter = Counting()
    model = chat(rate_limiter=limiter)
    model.invoke("/echo a")
    list(model.stream("/echo b"))
    assert limiter.asked == 2


def test_one_model_serves_many_threads(chat: Models) -> None:
    model, found = chat(), {}

    def ask(n: int) -> None:
        found[n] = model.invoke(f"/echo {n}", user=f"user-{n}").content

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: str(n) for n in range(8)}


# The key, copies, pickles ---------------------------------------------------------------------


def test_the_key_is_in_no_repr_dump_or_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", "app-secret")
    model = ChatDify(api_key="app-secret", default_headers={"X-Token": "secret-header"})
    assert "secret" not in repr(model)
    assert "secret" not in str(model.model_dump())
    assert "secret" not in str(model._serialized)
    pickled = pickle.dumps(ChatDify(api_key="app-secret", user="ann"))
    assert b"app-secret" not in pickled
    loaded = pickle.loads(pickled)
    assert loaded.user == "ann"
    assert loaded.api_key.get_secret_value() == "app-secret"


def test_a_pickle_without_a_key_says_so_when_it_is_used(
    chat: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    loaded = pickle.loads(pickle.dumps(chat()))
    with pytest.raises(ValueError, match="no API key"):
        loaded.invoke("hi")


def test_copies_work_and_keep_the_key(chat: Models) -> None:
    import httpx

    with httpx.Client() as client:
        model = chat(http_client=client)
        model.invoke("/echo before")
        for copied in (copy.deepcopy(model), copy.copy(model), model.model_copy()):
            assert copied.http_client is client
            assert copied.invoke("/echo same").content == "same"


def test_a_history_of_plain_messages_is_written_out(chat: Models, server: LocalDify) -> None:
    chat().invoke([HumanMessage("Hello"), AIMessage("Hi!"), HumanMessage("/echo ok")])
    assert server.requests[-1].json["query"] == (
        "The conversation so far:\nUser: Hello\nAssistant: Hi!\n\n/echo ok"
    )


# Cost -----------------------------------------------------------------------------------------


def run_python(code: str) -> str:
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_is_light() -> None:
    listed = "import sys, langchain_dify; print([m for m in sys.modules if m in {0}])"
    assert run_python(listed.format({"langchain_core", "pydantic", "httpx", "dify_api"})) == "[]"
    others = {"langchain", "langgraph", "llama_index", "dify_local", "uvicorn"}
    used = f"from langchain_dify import ChatDify; import sys; print({others} & set(sys.modules))"
    assert run_python(used) == "set()"


def test_making_a_model_builds_no_connection() -> None:
    code = """
import httpx, time
from langchain_dify import ChatDify
def refuse(*args, **kwargs): raise AssertionError("a connection was built")
httpx.create_ssl_context = httpx.Client.__init__ = httpx.AsyncClient.__init__ = refuse
ChatDify(api_key="app-x")
def one_of(number):
    begin = time.process_time()
    for _ in range(number): ChatDify(api_key="app-x")
    return (time.process_time() - begin) / number
print(min(one_of(20) for _ in range(50)) * 1e6)  # the best: the machine has other work, too
"""
    assert float(run_python(code)) < 100  # microseconds


async def test_cancelling_stops_the_run(chat: Models, server: LocalDify) -> None:
    task = asyncio.create_task(chat().ainvoke("/slow 30 3"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    begun = asyncio.Event()

    async def watch() -> None:
        async for _ in chat().astream("/slow 30 3"):
            begun.set()

    watching = asyncio.create_task(watch())
    await begun.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert await asyncio.to_thread(server.wait_for_stop)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_streams_at_once_on_one_model(chat: Models) -> None:
    model = chat()

    async def ask(n: int) -> str:
        return "".join([c.text async for c in model.astream(f"/echo {n}", user=f"user-{n}")])

    assert await asyncio.gather(*(ask(n) for n in range(50))) == [str(n) for n in range(50)]


def test_tokens_are_counted_roughly(chat: Models) -> None:
    assert 2 <= chat().get_num_tokens("How many moons?") <= 10
    assert chat().get_num_tokens_from_messages([HumanMessage("How many moons?")]) > 2


def test_workflow_version_and_trace_id(chat: Models, server: LocalDify) -> None:
    version = "0d6f4c1e-4f0e-4f0c-8a55-0a6c5a3d9f11"
    with pytest.raises(DifyError):  # the local server has no such version
        chat("advanced-chat", workflow_id=version).invoke("/echo hi", trace_id="trace-1")
    sent = server.requests[-1].json
    assert (sent["workflow_id"], sent["trace_id"]) == (version, "trace-1")
