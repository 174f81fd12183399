"""A run of a Dify app as traces: its nodes and tools as runs below the model's own run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from typing_extensions import Self

from dify_api.answers.events import Event
from dify_api.errors import DifyError
from langchain_dify._answers.chunks import AnswerSource
from langchain_dify._answers.current_run import CURRENT_RUN, has_listeners
from langchain_dify._answers.node_runs import Calls, NodeRuns
from langchain_dify._answers.replacement import MESSAGE_REPLACE, replacement_of
from langchain_dify._answers.run_facts import add_run_facts


class NodeTracer:
    """Traces the events of an answer, sync or async; does nothing where nobody listens.

    A context manager, which ends the runs that are open at its end.
    """

    def __init__(self, runs: NodeRuns | None, above: BaseRunManager | None) -> None:
        self._runs = runs
        self._above = above

    def take(self, *events: Event) -> None:
        """Trace events."""
        if self._runs is not None:
            for event in events:
                _make(self._runs.take(event))

    async def atake(self, *events: Event) -> None:
        """Trace events, for asyncio."""
        if self._runs is not None:
            for event in events:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._add_partial(error)
        if self._runs is not None:
            _make(self._runs.close(error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
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


_SILENT = NodeTracer(None, None)
"""Serves all calls of which nobody is told."""


def node_tracer(run_manager: BaseRunManager | None, model: str, user: str) -> NodeTracer:
    """What traces an answer below a run; runs open at the end are ended.

    Args:
        run_manager: Of the run above. Default: the model's run that `current_run` names.
        model: Name of the app as a model.
        user: The end user, whose name no run tells.
    """
    return _tracer(run_manager, CallbackManager, model, user)


def anode_tracer(run_manager: BaseRunManager | None, model: str, user: str) -> NodeTracer:
    """`node_tracer` for asyncio."""
    return _tracer(run_manager, AsyncCallbackManager, model, user)


def _tracer(
    run_manager: BaseRunManager | None,
    kind: type[CallbackManager] | type[AsyncCallbackManager],
    model: str,
    user: str,
) -> NodeTracer:
    above = run_manager or CURRENT_RUN.get()
    if above is None or not has_listeners(above):
        return _SILENT
    return NodeTracer(_runs_below(above, kind, model, user), above)


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


def _runs_below(
    run_manager: BaseRunManager,
    kind: type[CallbackManager] | type[AsyncCallbackManager],
    model: str,
    user: str,
) -> NodeRuns | None:
    if not run_manager.inheritable_handlers:
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
