"""A run of a Dify app as traces: its nodes and tools as runs below the model's own run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from dify_api.answers.events import Event
from dify_api.errors import DifyError
from langchain_dify._answers.chunks import AnswerSource
from langchain_dify._answers.node_runs import Calls, NodeRuns
from langchain_dify._answers.replacement import MESSAGE_REPLACE, replacement_of
from langchain_dify._answers.run_facts import add_run_facts

RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun
_Manager = TypeVar("_Manager", CallbackManager, AsyncCallbackManager)
_RunManager = TypeVar("_RunManager", CallbackManagerForLLMRun, AsyncCallbackManagerForLLMRun)

CURRENT_RUN: ContextVar[RunManager | None] = ContextVar("dify_run", default=None)
"""The model's run, where langchain-core does not hand it to `_stream`."""


class NodeTracer:
    """Traces the events of an answer, sync or async; does nothing where nobody listens."""

    def __init__(self, runs: NodeRuns | None, above: BaseRunManager | None) -> None:
        self._runs = runs
        self._above = above

    def take(self, event: Event) -> None:
        """Trace an event."""
        if self._runs is not None:
            _make(self._runs.take(event))

    async def atake(self, event: Event) -> None:
        """Trace an event, for asyncio."""
        if self._runs is not None:
            await _amake(self._runs.take(event))

    def tell(self, chunk: GenerationChunk | ChatGenerationChunk) -> None:
        """Tell listeners of a chunk that replaces those before it."""
        if (mark := _announced(chunk)) and self._runs is not None:
            _make(self._runs.replace(mark))

    async def atell(self, chunk: GenerationChunk | ChatGenerationChunk) -> None:
        """`tell` for asyncio."""
        if (mark := _announced(chunk)) and self._runs is not None:
            await _amake(self._runs.replace(mark))

    def finish(self, source: AnswerSource) -> None:
        """Trace the answer as far as it has come: its ids, usage and price."""
        if self._above is not None and self._above.handlers:
            add_run_facts(self._above, source.answer)
        if self._runs is not None:
            _make(self._runs.finish(source.answer))

    async def afinish(self, source: AnswerSource) -> None:
        """`finish` for asyncio."""
        if self._above is not None and self._above.handlers:
            add_run_facts(self._above, source.answer)
        if self._runs is not None:
            await _amake(self._runs.finish(source.answer))

    def close(self, error: BaseException | None = None) -> None:
        """End the runs that are open."""
        self._add_partial(error)
        if self._runs is not None:
            _make(self._runs.close(error))

    async def aclose(self, error: BaseException | None = None) -> None:
        """End the runs that are open, for asyncio."""
        self._add_partial(error)
        if self._runs is not None:
            await _amake(self._runs.close(error))

    def _add_partial(self, error: BaseException | None) -> None:
        if self._above is not None and isinstance(error, DifyError) and error.answer is not None:
            add_run_facts(self._above, error.answer)


def _announced(chunk: GenerationChunk | ChatGenerationChunk) -> Mapping[str, Any] | None:
    """The mark of a chunk that replaces; it is written into LangGraph's "custom" stream first."""
    message = chunk.message if isinstance(chunk, ChatGenerationChunk) else chunk
    mark = (
        replacement_of(message) if isinstance(message, AIMessageChunk | GenerationChunk) else None
    )
    # Lacking it still, while another thread imports LangGraph.
    get_stream_writer = getattr(sys.modules.get("langgraph.config"), "get_stream_writer", None)
    if mark and get_stream_writer is not None:
        with suppress(RuntimeError, LookupError):  # outside of a graph
            get_stream_writer()({"event": MESSAGE_REPLACE, **mark})
    return mark


@contextmanager
def node_tracer(run_manager: BaseRunManager | None, model: str, user: str) -> Iterator[NodeTracer]:
    """What traces an answer below a run; runs open at the end are ended.

    Args:
        run_manager: Of the run above. Default: the model's run that `current_run` names.
        model: Name of the app as a model.
        user: The end user, whose name no run tells.
    """
    above = run_manager or CURRENT_RUN.get()
    tracer = NodeTracer(_runs_below(above, CallbackManager, model, user), above)
    try:
        yield tracer
    except BaseException as error:
        tracer.close(error)
        raise
    tracer.close()


class anode_tracer:  # noqa: N801 - used like `node_tracer`
    """`node_tracer` for asyncio.

    A class, for asyncio may close a generator in it before the one that uses it at a loop's end.
    """

    def __init__(self, run_manager: BaseRunManager | None, model: str, user: str) -> None:
        above = run_manager or CURRENT_RUN.get()
        self._tracer = NodeTracer(_runs_below(above, AsyncCallbackManager, model, user), above)

    async def __aenter__(self) -> NodeTracer:
        return self._tracer

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._tracer.aclose(error)


def _make(calls: Calls) -> None:
    with suppress(StopIteration):
        result = next(calls)
        while True:
            result = calls.send(result)


async def _amake(calls: Calls) -> None:
    with suppress(StopIteration):
        result = await next(calls)
        while True:
            result = await calls.send(result)


@contextmanager
def current_run(run_manager: RunManager | None) -> Iterator[None]:
    """Make a model's run known to `_stream`, which langchain-core does not hand it to."""
    token = CURRENT_RUN.set(run_manager)
    try:
        yield
    finally:
        CURRENT_RUN.reset(token)


def known_run(
    model: BaseChatModel,
    manager_type: type[_Manager],
    run_type: type[_RunManager],
    config: RunnableConfig | None,
) -> tuple[RunnableConfig, _RunManager | None]:
    """Decide the model's run before langchain-core makes it, so that it is known.

    Returns:
        The config to call langchain-core with, and the run; none that matters where nobody
        listens.
    """
    config = ensure_config(config)
    # The handlers of the environment are made once, here: langchain-core finds them in the config.
    shared = manager_type.configure(config.get("callbacks"))
    if not shared.inheritable_handlers:
        # In a handler of another run, or in a task that one began, `_stream` would find that run.
        nobody = run_type.get_noop_manager() if CURRENT_RUN.get() else None
        return config, nobody
    # The same tags and metadata as langchain-core gives the run, which it hands on to those below.
    manager = manager_type.configure(
        shared,
        model.callbacks,
        model.verbose,
        config.get("tags"),
        model.tags,
        config.get("metadata"),
        model.metadata,
    )
    run_id = config.get("run_id") or uuid4()
    run = run_type(
        run_id=run_id,
        handlers=manager.handlers,
        inheritable_handlers=manager.inheritable_handlers,
        parent_run_id=manager.parent_run_id,
        tags=manager.tags,
        inheritable_tags=manager.inheritable_tags,
        metadata=manager.metadata,
        inheritable_metadata=manager.inheritable_metadata,
    )
    return {**config, "callbacks": shared, "run_id": run_id}, run


def _runs_below(
    run_manager: BaseRunManager | None,
    kind: type[CallbackManager] | type[AsyncCallbackManager],
    model: str,
    user: str,
) -> NodeRuns | None:
    if run_manager is None or not run_manager.inheritable_handlers:
        return None
    # What langchain-core tells of the model, the nodes below it are not.
    metadata = {
        name: value
        for name, value in run_manager.inheritable_metadata.items()
        if not name.startswith("ls_")
    }
    manager = kind(
        handlers=list(run_manager.inheritable_handlers),
        inheritable_handlers=list(run_manager.inheritable_handlers),
        parent_run_id=run_manager.run_id,
        inheritable_tags=list(run_manager.inheritable_tags),
        inheritable_metadata=dict(metadata),
        tags=list(run_manager.inheritable_tags),
        metadata=dict(metadata),
    )
    is_model = isinstance(run_manager, CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun)
    return NodeRuns(manager, run_manager.run_id, model, user, is_model=is_model)
