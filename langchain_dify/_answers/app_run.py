"""An app's answer inside of a tool, as the run of a chat model below the tool's run.

So it reaches whatever listens to the models inside of tools: LangGraph's "messages" stream,
`astream_events`, usage counters, tracers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    AsyncCallbackManagerForToolRun,
    CallbackManagerForLLMRun,
    CallbackManagerForToolRun,
)
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from dify_api.answers.events import AgentThoughtEvent, Event
from langchain_dify._answers.chunks import AnswerChunks, AnswerSource
from langchain_dify._answers.text import TextFilter
from langchain_dify._answers.tracing import NodeTracer, anode_tracer, node_tracer
from langchain_dify._answers.workflow_progress import node_progress
from langchain_dify._human_input.streams import text_before
from langchain_dify._names import MODEL_PROVIDER

Write = Callable[[Any], None] | None


class AppRun:
    """Tells listeners of an answer while it comes; does nothing where nobody listens.

    Args:
        source: The stream that is read.
        run: The model's run; None where nobody listens.
        tracer: Traces the nodes below it.
        write: Writes into LangGraph's "custom" stream, if there is one.
        labels: What is said with everything that is written.
    """

    def __init__(
        self,
        source: AnswerSource,
        run: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        tracer: NodeTracer,
        write: Write,
        labels: Mapping[str, Any],
    ) -> None:
        # Without marks: no conversation is continued from a tool's answer.
        self._chunks = AnswerChunks(source, {}, TextFilter(), labels["tool_name"])
        self._run = run
        self._tracer = tracer
        self._write = write
        self._labels = labels

    def take(self, event: Event, text: str) -> None:
        """Tell of an event."""
        self._write_progress(event)
        if self._is_heard:
            self._tell(self._chunks.take(event, text))
        if not text:
            self._tracer.take(event)

    async def atake(self, event: Event, text: str) -> None:
        """`take` for asyncio."""
        self._write_progress(event)
        if self._is_heard:
            await self._atell(self._chunks.take(event, text))
        if not text:
            await self._tracer.atake(event)

    def begin(self, before: str) -> None:
        """Tell that the answer goes on after a text."""
        if self._is_heard:
            self._tell(self._chunks.seen(before))

    async def abegin(self, before: str) -> None:
        """`begin` for asyncio."""
        if self._is_heard:
            await self._atell(self._chunks.seen(before))

    def finish(self) -> None:
        """Tell of what ends the answer."""
        if self._is_heard:
            self._tell(self._chunks.finish())

    async def afinish(self) -> None:
        """`finish` for asyncio."""
        if self._is_heard:
            await self._atell(self._chunks.finish())

    def result(self) -> LLMResult:
        """The whole answer."""
        message = self._chunks.message()
        message.id = self._id
        return LLMResult(generations=[[ChatGeneration(message=message)]])

    def _tell(self, chunks: list[ChatGenerationChunk]) -> None:
        for chunk in self._named(chunks):
            self._tracer.tell(chunk)
            if isinstance(self._run, CallbackManagerForLLMRun):
                self._run.on_llm_new_token(chunk.text, chunk=chunk)

    async def _atell(self, chunks: list[ChatGenerationChunk]) -> None:
        for chunk in self._named(chunks):
            await self._tracer.atell(chunk)
            if isinstance(self._run, AsyncCallbackManagerForLLMRun):
                await self._run.on_llm_new_token(chunk.text, chunk=chunk)

    def _named(self, chunks: list[ChatGenerationChunk]) -> list[ChatGenerationChunk]:
        for chunk in chunks:
            chunk.message.id = self._id
        return chunks

    @property
    def _is_heard(self) -> bool:
        return self._run is not None or self._write is not None

    @property
    def _id(self) -> str | None:
        """One for all chunks, as langchain-core names them: workflows' answers have none."""
        return f"lc_run--{self._run.run_id}" if self._run else None

    def _write_progress(self, event: Event) -> None:
        if self._write is None:
            return
        if isinstance(event, AgentThoughtEvent):
            data: dict[str, Any] | None = event.model_dump(mode="json", exclude_none=True)
        else:
            data = node_progress(event)
        if data is not None:
            data.pop("event", None)
            self._write({**self._labels, "event": event.event, "data": data})


@contextmanager
def app_run(
    tool_run: CallbackManagerForToolRun | None,
    source: AnswerSource,
    question: str,
    labels: Mapping[str, Any],
    write: Write,
    user: str,
) -> Iterator[AppRun]:
    """What tells of an answer below a tool's run, until the end of the block.

    Args:
        tool_run: The tool's run.
        source: The stream that is read.
        question: What the app is asked.
        labels: `tool_name` and `tool_call_id`.
        write: Writes into LangGraph's "custom" stream, if there is one.
        user: The end user, whose name no run tells.
    """
    run = None
    if tool_run is not None and tool_run.inheritable_handlers:
        manager = tool_run.get_child()
        manager.add_metadata(_metadata(labels), inherit=False)
        [run] = manager.on_chat_model_start(**_start(question, labels))
    try:
        with node_tracer(run, labels["tool_name"], user) as tracer:
            told = AppRun(source, run, tracer, write, labels)
            told.begin(text_before(source))
            yield told
            tracer.finish(source)
            told.finish()
        if run is not None:
            run.on_llm_end(told.result())
    except BaseException as error:
        if run is not None:
            run.on_llm_error(error, response=LLMResult(generations=[]))
        raise


@asynccontextmanager
async def aapp_run(
    tool_run: AsyncCallbackManagerForToolRun | None,
    source: AnswerSource,
    question: str,
    labels: Mapping[str, Any],
    write: Write,
    user: str,
) -> AsyncIterator[AppRun]:
    """`app_run` for asyncio."""
    run = None
    if tool_run is not None and tool_run.inheritable_handlers:
        manager = tool_run.get_child()
        manager.add_metadata(_metadata(labels), inherit=False)
        [run] = await manager.on_chat_model_start(**_start(question, labels))
    try:
        async with anode_tracer(run, labels["tool_name"], user) as tracer:
            told = AppRun(source, run, tracer, write, labels)
            await told.abegin(text_before(source))
            yield told
            await tracer.afinish(source)
            await told.afinish()
        if run is not None:
            await run.on_llm_end(told.result())
    except BaseException as error:
        if run is not None:
            await run.on_llm_error(error, response=LLMResult(generations=[]))
        raise


def _metadata(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ls_provider": MODEL_PROVIDER,
        "ls_model_name": labels["tool_name"],
        "ls_model_type": "chat",
    }


def _start(question: str, labels: Mapping[str, Any]) -> dict[str, Any]:
    name = labels["tool_name"]
    return {
        "serialized": {"name": name, "id": ["dify", name]},
        "messages": [[HumanMessage(question)]],
        "name": name,
        "invocation_params": {"_type": MODEL_PROVIDER, "model_name": name},
        "options": {},
    }
