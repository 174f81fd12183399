"""What apps have done in a node, and what humans were asked there, in an order that is kept.

LangGraph knows the tasks and the interrupts of a node by their number. Where a node calls several
apps at once, as LangGraph's `ToolNode` does, they may come in another order when the node is
executed again. So each record says whose it is, and whoever comes first reads the records of the
others too: none is taken for another's, and no form gets the answer that was meant for another.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Generator, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_dify._human_input.graph import (
    AsyncKeeper,
    Keeper,
    Record,
    execution_of,
    interrupt,
)

Steps = Generator[Record | None, Record, Any]
"""Yields a record to keep, or None for an outcome that is not known yet; is sent what is kept."""

_CALLER = "caller"
_QUESTION = "question"
_SCHEMA = "response_schema"


class NodeLog:
    """The records of one execution of a node. One at a time reads on, or adds one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._async_lock = asyncio.Lock()
        self._outcomes: dict[str, deque[Record]] = defaultdict(deque)
        self._replies: dict[str, deque[Any]] = defaultdict(deque)
        self._interrupted: BaseException | None = None
        self._going: dict[AsyncKeeper, asyncio.Task[Any] | None] = {}

    def begin(self, config: RunnableConfig, caller: str) -> Record | Keeper:
        """What a caller's next step came to; or, if it is to be done now, what keeps that."""
        with self._lock:
            return self._read(config, self._outcome(caller))  # type: ignore[no-any-return]  # of a generator

    def ask(
        self, config: RunnableConfig, caller: str, question: Record, schema: Mapping[str, Any]
    ) -> Any:
        """The reply to a question.

        Raises:
            GraphInterrupt: If there is none yet, to this question or to an earlier one.
        """
        with self._lock:
            return self._read(config, self._reply(caller, question, schema))

    async def abegin(self, config: RunnableConfig, caller: str) -> Record | AsyncKeeper:
        """`begin` for asyncio."""
        async with self._async_lock:
            begun = await self._aread(config, self._outcome(caller))
        if isinstance(begun, AsyncKeeper):
            self._going[begun] = asyncio.current_task()
        return begun  # type: ignore[no-any-return]  # of a generator

    async def aask(
        self, config: RunnableConfig, caller: str, question: Record, schema: Mapping[str, Any]
    ) -> Any:
        """`ask` for asyncio. The interrupt ends the node, so what goes on in it is awaited."""
        current = asyncio.current_task()
        others = [
            keeper.settled
            for keeper, task in self._going.items()
            if task is not current and not keeper.settled.done()
        ]
        if others:
            await asyncio.wait(others)
        async with self._async_lock:
            return await self._aread(config, self._reply(caller, question, schema))

    def _read(self, config: RunnableConfig, steps: Steps) -> Any:
        try:
            known = next(steps)
            while True:
                keeper = Keeper()
                kept = keeper.begin(config)
                if kept is None:
                    if known is None:
                        return keeper
                    kept = known
                    keeper.keep(kept)
                known = steps.send(kept)
        except StopIteration as end:
            return end.value

    async def _aread(self, config: RunnableConfig, steps: Steps) -> Any:
        try:
            known = next(steps)
            while True:
                keeper = AsyncKeeper()
                kept = await keeper.begin(config)
                if kept is None:
                    if known is None:
                        return keeper
                    kept = known
                    await keeper.keep(kept)
                known = steps.send(kept)
        except StopIteration as end:
            return end.value

    def _outcome(self, caller: str) -> Steps:
        while not self._outcomes[caller]:
            self._stay_interrupted()
            self._take((yield None))
        return self._outcomes[caller].popleft()

    def _reply(self, caller: str, question: Record, schema: Mapping[str, Any]) -> Steps:
        while not self._replies[caller]:
            self._stay_interrupted()
            asked = {_CALLER: caller, _QUESTION: question, _SCHEMA: dict(schema)}
            self._take((yield asked))
        return self._replies[caller].popleft()

    def _take(self, record: Record) -> None:
        if _QUESTION not in record:
            self._outcomes[record[_CALLER]].append(record)
            return
        try:
            reply = interrupt(record[_QUESTION], record[_SCHEMA])
        except BaseException as error:
            self._interrupted = error
            raise
        self._replies[record[_CALLER]].append(reply)

    def _stay_interrupted(self) -> None:
        """Nothing begins in a node that ends, and its first question stays its first."""
        if self._interrupted is not None:
            raise self._interrupted


def outcome(caller: str, facts: Mapping[str, Any]) -> Record:
    """A record of what a caller's step came to."""
    return {_CALLER: caller, **facts}


_LOGS: dict[int, NodeLog] = {}
_LOGS_LOCK = threading.Lock()


def log_of(config: RunnableConfig) -> NodeLog:
    """The log of the node that is being executed."""
    execution = execution_of(config)
    if execution is None:  # a LangGraph built otherwise: calls at once come in the order they come
        return NodeLog()
    with _LOGS_LOCK:
        if id(execution) not in _LOGS:
            _LOGS[id(execution)] = NodeLog()
            weakref.finalize(execution, _LOGS.pop, id(execution), None)
        return _LOGS[id(execution)]
