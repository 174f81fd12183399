"""What langchain-core keeps of a stream until its end: nothing, where it is kept for nobody."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from operator import add
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import chat_models
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks
from langchain_core.tracers.context import collect_runs

from langchain_dify import ChatDify

Models = Callable[..., ChatDify]
QUESTION = "/tokens 60"


class Listener(BaseCallbackHandler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.whole: list[str] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_kwargs: Any) -> None:
        self.chunks.append(chunk)

    def on_llm_end(self, response: LLMResult, **_kwargs: Any) -> None:
        self.whole.append(response.generations[0][0].text)


async def _streamed(model: ChatDify, api: str, **kwargs: Any) -> list[AIMessageChunk]:
    if api == "sync":
        return list(model.stream(QUESTION, **kwargs))
    return [chunk async for chunk in model.astream(QUESTION, **kwargs)]


both = pytest.mark.parametrize("api", ["sync", "async"])


@both
async def test_a_message_that_was_dropped_is_gone(api: str, chat: Models) -> None:
    model, gone, alive = chat(), 0, []
    stream: Any = model.stream(QUESTION) if api == "sync" else model.astream(QUESTION)
    gc.disable()
    try:
        for _ in range(40):
            message = next(stream) if api == "sync" else await anext(stream)
            alive.append(weakref.ref(message))
            del message
        gone = sum(ref() is None for ref in alive)
    finally:
        gc.enable()
    if api == "sync":
        stream.close()
    else:
        await stream.aclose()
    assert gone >= 37  # the first chunk stays, as does the one that was yielded last


@both
@pytest.mark.parametrize("output_version", [None, "v1"])
async def test_messages_are_as_those_that_are_told_of(
    api: str, output_version: Any, chat: Models
) -> None:
    fields = {} if output_version is None else {"output_version": output_version}
    model, listener = chat(**fields), Listener()
    alone = await _streamed(model, api)
    told = await _streamed(model, api, config={"callbacks": [listener]})
    assert len({id(message) for message in alone}) == len(alone)
    assert [message.content for message in alone] == [message.content for message in told]
    assert [message.model_fields_set for message in alone] == [m.model_fields_set for m in told]
    alone[5].tool_calls.append({"name": "mine", "args": {}, "id": "1"})
    alone[5].response_metadata["mine"] = 1
    assert not alone[6].tool_calls
    assert "mine" not in alone[6].response_metadata


@both
async def test_whoever_listens_gets_chunks_of_his_own(api: str, chat: Models) -> None:
    listener = Listener()
    for model, config in (
        (chat(), {"callbacks": [listener]}),
        (chat(callbacks=[listener]), {}),
        (chat().with_config(callbacks=[listener]), {}),
    ):
        listener.chunks.clear()
        messages = await _streamed(model, api, config=config)  # type: ignore[arg-type]
        assert [chunk.message for chunk in listener.chunks] == messages
        assert listener.whole.pop() == "".join(str(message.content) for message in messages)


@both
async def test_who_begins_to_listen_before_the_first_chunk_is_told(api: str, chat: Models) -> None:
    model, text = chat(), ""
    stream: Any = model.stream(QUESTION) if api == "sync" else model.astream(QUESTION)
    with collect_runs() as runs, get_usage_metadata_callback() as usage:
        if api == "sync":
            text = "".join(message.content for message in stream)
        else:
            text = "".join([message.content async for message in stream])
    assert runs.traced_runs[0].outputs is not None
    assert runs.traced_runs[0].outputs["generations"][0][0]["text"] == text
    assert usage.usage_metadata["dify"]["output_tokens"] > 0


@both
@pytest.mark.parametrize("output_version", [None, "v1"])
async def test_what_is_kept_adds_up_to_the_answer(
    api: str, output_version: Any, chat: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """langchain-core merges it at the end, though nobody is told of it."""
    merged: list[Any] = []

    def merge(chunks: list[ChatGenerationChunk]) -> ChatGenerationChunk | None:
        merged.append(merge_chat_generation_chunks(chunks))
        return merged[-1]

    monkeypatch.setattr(chat_models, "merge_chat_generation_chunks", merge)
    fields = {} if output_version is None else {"output_version": output_version}
    messages = await _streamed(chat(**fields), api)
    [generation] = merged
    whole = add(messages[0], messages[1:])  # type: ignore[operator]  # a list will do
    assert generation.message.text == whole.text
    assert len(whole.text.split()) == 60


class _Held(ChatDify):
    """A model that holds all chunks back until the last has come."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield from list(super()._stream(*args, **kwargs))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in [chunk async for chunk in super()._astream(*args, **kwargs)]:
            yield chunk


@both
async def test_a_subclass_may_keep_chunks(api: str, chat: Models) -> None:
    model = chat()
    held = _Held(api_key=model.key, base_url=model.base_url, user="ann")
    alone = [message.content for message in await _streamed(model, api)]
    assert [message.content for message in await _streamed(held, api)] == alone


async def test_chunks_that_are_asked_for_themselves_are_kept(chat: Models) -> None:
    model = chat(streaming=True)
    text = "".join(str(message.content) for message in model.stream(QUESTION))
    assert model.invoke(QUESTION).content == (await model.ainvoke(QUESTION)).content == text
