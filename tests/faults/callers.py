"""Everything that asks a Dify server: each public class, each of its ways, sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import langchain_dify as lc
import llama_index_dify as li
from dify_api import AsyncDifyClient, DifyClient, chat
from dify_api._calls.app_tool import AppTool
from dify_api.errors import DifyError
from langchain_dify.workflows import WorkflowOutputs

ID = "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10"
_TOOL = AppTool("chat", "app", "An app.")
_ASK = chat.send_message("Hello", user="ann")

Asks = Literal["message", "run", "search"]
ALL_ASKS: tuple[Asks, ...] = ("message", "run", "search")
Options = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """One way to ask.

    Attributes:
        name: As the tables call it.
        asks: What it asks for: a message, a workflow's run, passages.
        call: Asks for the whole, and returns its text.
        stream: Asks for the pieces of the text, and yields them.
    """

    name: str
    asks: Asks
    call: Callable[[Options], Any] | None = None
    stream: Callable[[Options], Any] | None = None
    is_async: bool = False

    def text(self, options: Options) -> Any:
        """The whole text: an awaitable if the caller is async."""
        if self.call is not None:
            return self.call(options)
        assert self.stream is not None
        pieces = self.stream(options)
        return _ajoined(pieces) if self.is_async else joined(list(pieces))


async def _ajoined(pieces: AsyncIterator[str]) -> str:
    return joined([piece async for piece in pieces])


# --- dify_api -----------------------------------------------------------------------------------


def _client_stream(options: Options) -> Iterator[str]:
    with DifyClient(**options).stream(_ASK) as stream:
        for _, text in stream.steps():
            yield text


async def _async_client_stream(options: Options) -> AsyncIterator[str]:
    async with AsyncDifyClient(**options).stream(_ASK) as stream:
        async with aclosing(stream.steps()) as steps:
            async for _, text in steps:
                yield text


async def _async_client(options: Options) -> str:
    return (await AsyncDifyClient(**options).send(_ASK)).text


# --- LangChain ----------------------------------------------------------------------------------


async def _text_of(awaited: Awaitable[Any]) -> str:
    answer = await awaited
    return getattr(answer, "text", answer)


async def _atexts(chunks: AsyncIterator[Any]) -> AsyncIterator[str]:
    async with aclosing(chunks):  # type: ignore[type-var]  # a generator, whatever its type says
        async for chunk in chunks:
            yield getattr(chunk, "text", chunk)


def _texts(chunks: Iterator[Any]) -> Iterator[str]:
    for chunk in chunks:
        yield getattr(chunk, "text", chunk)


def _workflow(options: Options) -> lc.DifyWorkflow:
    return lc.DifyWorkflow(workflow_id=ID, **options)


class Outputs(str):
    """A workflow's outputs, which come last, and in place of all text before."""

    __slots__ = ()


def joined(pieces: list[str]) -> str:
    """The text that pieces make."""
    if pieces and isinstance(pieces[-1], Outputs):
        return str(pieces[-1])
    return "".join(pieces)


def _run_stream(options: Options) -> Iterator[str]:
    for chunk in _workflow(options).stream({}):
        yield _progress(chunk)


async def _run_astream(options: Options) -> AsyncIterator[str]:
    async with aclosing(_workflow(options).astream({})) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            yield _progress(chunk)


def _progress(chunk: dict[str, Any]) -> str:
    text: str = chunk.get("text", "")
    return Outputs(text) if isinstance(chunk, WorkflowOutputs) else text


def _lc_retriever(options: Options) -> lc.DifyRetriever:
    return lc.DifyRetriever(dataset_id=ID, **options)


async def _lc_asearch(options: Options) -> str:
    return "".join([d.page_content for d in await _lc_retriever(options).ainvoke("moons")])


def _lc_tool(options: Options) -> lc.DifyTool:
    return lc.DifyTool(app_tool=_TOOL, **options)


# --- LlamaIndex ---------------------------------------------------------------------------------


def _question() -> list[Any]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage("Hello")]


def _deltas(responses: Iterator[Any]) -> Iterator[str]:
    for response in responses:
        yield response.delta or ""


async def _adeltas(awaited: Awaitable[AsyncIterator[Any]]) -> AsyncIterator[str]:
    responses = await awaited
    async with aclosing(responses):  # type: ignore[type-var]
        async for response in responses:
            yield response.delta or ""


async def _achat(options: Options) -> str:
    return (await li.Dify(**options).achat(_question())).message.content or ""


def _li_tool_text(output: Any) -> str:
    """The content; what failed is raised, as nobody who reads only the text would notice it."""
    if output.is_error:
        raise output.exception
    return output.content


async def _li_atool(options: Options) -> str:
    return _li_tool_text(await li.DifyTool(_TOOL, **options).acall(query="Hello"))


async def _aquery(options: Options) -> str:
    return str(await li.DifyQueryEngine(**options).aquery("Hello"))


def _query_stream(options: Options) -> Iterator[str]:
    yield from li.DifyQueryEngine(streaming=True, **options).query("Hello").response_gen


async def _query_astream(options: Options) -> AsyncIterator[str]:
    response = await li.DifyQueryEngine(streaming=True, **options).aquery("Hello")
    async with aclosing(response.response_gen) as pieces:
        async for piece in pieces:
            yield piece


async def _engine_achat(options: Options) -> str:
    return str(await _engine(options).achat("Hello"))


def _engine(options: Options) -> li.DifyChatEngine:
    return li.DifyChatEngine(li.Dify(**options))


def _engine_stream(options: Options) -> Iterator[str]:
    yield from _engine(options).stream_chat("Hello").response_gen


async def _engine_astream(options: Options) -> AsyncIterator[str]:
    async with await _engine(options).astream_chat("Hello") as response:
        async for piece in response.async_response_gen():
            yield piece


def _li_search(options: Options) -> str:
    return "".join(n.text for n in li.DifyRetriever(ID, **options).retrieve("moons"))


async def _li_asearch(options: Options) -> str:
    return "".join([n.text for n in await li.DifyRetriever(ID, **options).aretrieve("moons")])


async def _acomplete(options: Options) -> str:
    return (await li.DifyCompletion(**options).acomplete("Hello")).text


async def _ainvoke_run(options: Options) -> str:
    return (await _workflow(options).ainvoke({})).get("text", "")


def _li_workflow(options: Options) -> li.DifyWorkflow:
    return li.DifyWorkflow(workflow_id=ID, **options)


async def _arun(options: Options) -> str:
    return (await _li_workflow(options).arun({})).outputs.get("text", "")


CALLERS = [
    Caller("DifyClient.send", "message", lambda o: DifyClient(**o).send(_ASK).text),
    Caller("DifyClient.stream", "message", stream=_client_stream),
    Caller("AsyncDifyClient.send", "message", _async_client, is_async=True),
    Caller("AsyncDifyClient.stream", "message", stream=_async_client_stream, is_async=True),
    Caller("ChatDify.invoke", "message", lambda o: lc.ChatDify(**o).invoke("Hello").text),
    Caller("ChatDify.stream", "message", stream=lambda o: _texts(lc.ChatDify(**o).stream("Hello"))),
    Caller(
        "ChatDify.ainvoke",
        "message",
        lambda o: _text_of(lc.ChatDify(**o).ainvoke("Hello")),
        is_async=True,
    ),
    Caller(
        "ChatDify.astream",
        "message",
        stream=lambda o: _atexts(lc.ChatDify(**o).astream("Hello")),
        is_async=True,
    ),
    Caller("DifyLLM.invoke", "message", lambda o: lc.DifyLLM(**o).invoke("Hello")),
    Caller("DifyLLM.stream", "message", stream=lambda o: _texts(lc.DifyLLM(**o).stream("Hello"))),
    Caller(
        "DifyLLM.ainvoke",
        "message",
        lambda o: _text_of(lc.DifyLLM(**o).ainvoke("Hello")),
        is_async=True,
    ),
    Caller(
        "DifyLLM.astream",
        "message",
        stream=lambda o: _atexts(lc.DifyLLM(**o).astream("Hello")),
        is_async=True,
    ),
    Caller("DifyWorkflow.invoke", "run", lambda o: _workflow(o).invoke({}).get("text", "")),
    Caller("DifyWorkflow.stream", "run", stream=_run_stream),
    Caller("DifyWorkflow.ainvoke", "run", _ainvoke_run, is_async=True),
    Caller("DifyWorkflow.astream", "run", stream=_run_astream, is_async=True),
    Caller(
        "DifyRetriever.invoke",
        "search",
        lambda o: "".join(d.page_content for d in _lc_retriever(o).invoke("moons")),
    ),
    Caller("DifyRetriever.ainvoke", "search", _lc_asearch, is_async=True),
    Caller("DifyTool.invoke", "message", lambda o: _lc_tool(o).invoke("Hello")),
    Caller(
        "DifyTool.ainvoke",
        "message",
        lambda o: _text_of(_lc_tool(o).ainvoke("Hello")),
        is_async=True,
    ),
    Caller("Dify.chat", "message", lambda o: li.Dify(**o).chat(_question()).message.content),
    Caller(
        "Dify.stream_chat",
        "message",
        stream=lambda o: _deltas(li.Dify(**o).stream_chat(_question())),
    ),
    Caller("Dify.achat", "message", _achat, is_async=True),
    Caller(
        "Dify.astream_chat",
        "message",
        stream=lambda o: _adeltas(li.Dify(**o).astream_chat(_question())),
        is_async=True,
    ),
    Caller(
        "DifyCompletion.complete",
        "message",
        lambda o: li.DifyCompletion(**o).complete("Hello").text,
    ),
    Caller(
        "DifyCompletion.stream_complete",
        "message",
        stream=lambda o: _deltas(li.DifyCompletion(**o).stream_complete("Hello")),
    ),
    Caller("DifyCompletion.acomplete", "message", _acomplete, is_async=True),
    Caller(
        "DifyCompletion.astream_complete",
        "message",
        stream=lambda o: _adeltas(li.DifyCompletion(**o).astream_complete("Hello")),
        is_async=True,
    ),
    Caller(
        "DifyQueryEngine.query", "message", lambda o: str(li.DifyQueryEngine(**o).query("Hello"))
    ),
    Caller("DifyQueryEngine.aquery", "message", _aquery, is_async=True),
    Caller("DifyQueryEngine.query, streaming", "message", stream=_query_stream),
    Caller("DifyQueryEngine.aquery, streaming", "message", stream=_query_astream, is_async=True),
    Caller("DifyChatEngine.chat", "message", lambda o: str(_engine(o).chat("Hello"))),
    Caller("DifyChatEngine.achat", "message", _engine_achat, is_async=True),
    Caller("DifyChatEngine.stream_chat", "message", stream=_engine_stream),
    Caller("DifyChatEngine.astream_chat", "message", stream=_engine_astream, is_async=True),
    Caller("DifyWorkflow.run", "run", lambda o: _li_workflow(o).run({}).outputs.get("text", "")),
    Caller("DifyWorkflow.arun", "run", _arun, is_async=True),
    Caller("DifyRetriever.retrieve", "search", _li_search),
    Caller("DifyRetriever.aretrieve", "search", _li_asearch, is_async=True),
    Caller(
        "DifyTool.call",
        "message",
        lambda o: _li_tool_text(li.DifyTool(_TOOL, **o).call(query="Hello")),
    ),
    Caller("DifyTool.acall", "message", _li_atool, is_async=True),
]


def error_of(raised: BaseException) -> DifyError:
    """The error of the server in what a framework raised."""
    link: BaseException | None = raised
    while link is not None:
        if isinstance(link, DifyError):
            return link
        link = link.__cause__ or link.__context__
    raise raised
