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
from collections.abc import Callable, Generator, Mapping
from copy import copy
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from dify_api.errors import DifyError
from langchain_dify._human_input.graph import (
    AsyncKeeper,
    Keeper,
    Record,
    attempt_of,
    execution_of,
    interrupt,
)
from langchain_dify._human_input.kept_errors import kept_error, told_error

Steps = Generator[Record | None, Record, Any]
"""Yields a record to keep, or None or `_AGAIN` for an outcome that is not known yet; is sent what
is kept."""

_CALLER = "caller"
_QUESTION = "question"
_SCHEMA = "response_schema"
_FAILURE = "failure"
_NUMBER = "number"
_IS_AGAIN = "is_again"
"""Whether it is of a call that failed when the node was executed before, which ended with that."""
_AFTER = "after"
"""Number of the failure after which the node went on to this."""
_AGAIN: Record = {}
_NOTHING = "nothing"


class NodeLog:
    """The records of one execution of a node. One at a time reads on, or adds one.

    Where LangGraph tries a node again that failed, its numbers go on: the records are read again
    from here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._async_lock = asyncio.Lock()
        self._records: list[Record | None] = []
        """By number; None while nothing is kept."""
        self._position = 0
        self._attempt = 1
        self._given: dict[int, Any] = {}
        """Replies, by the number of the question."""
        self._outcomes: dict[str, deque[Record]] = defaultdict(deque)
        self._replies: dict[str, deque[Any]] = defaultdict(deque)
        self._failed: dict[object, int] = {}
        """The newest failure in each thread or task, while nothing has followed it there."""
        self._interrupted: BaseException | None = None
        """Never raised itself: its frames would hold the execution, and that this log."""
        self._going: dict[AsyncKeeper, asyncio.Task[Any] | None] = {}

    def begin(self, config: RunnableConfig, caller: str) -> Record | Keeper:
        """What a caller's next step came to; or, if it is to be done now, what keeps that.

        Raises:
            DifyError: If it failed, and the node went on after that.
        """
        with self._lock:
            self._begin_attempt(attempt_of(config))
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
            self._begin_attempt(attempt_of(config))
            begun = await self._aread(config, self._outcome(caller))
        if isinstance(begun, AsyncKeeper):
            self._going[begun] = asyncio.current_task()
            begun.settled.add_done_callback(lambda _: self._going.pop(begun, None))
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
                kept = self._read_before()
                if kept is None:
                    number, note = self._next(is_again=known == _AGAIN)
                    keeper = Keeper(note)
                    kept = self._records[number] = keeper.begin(config)
                    if kept is None and not known:
                        return keeper
                    if kept is None:
                        kept = cast("Record", known)
                        keeper.keep(kept)
                known = steps.send(kept)
        except StopIteration as end:
            return end.value

    async def _aread(self, config: RunnableConfig, steps: Steps) -> Any:
        try:
            known = next(steps)
            while True:
                kept = self._read_before()
                if kept is None:
                    number, note = self._next(is_again=known == _AGAIN)
                    keeper = AsyncKeeper(note)
                    kept = self._records[number] = await keeper.begin(config)
                    if kept is None and not known:
                        return keeper
                    if kept is None:
                        kept = cast("Record", known)
                        await keeper.keep(kept)
                known = steps.send(kept)
        except StopIteration as end:
            return end.value

    def _begin_attempt(self, attempt: int) -> None:
        if attempt == self._attempt:
            return
        self._attempt, self._position, self._interrupted = attempt, 0, None
        self._failed.clear()
        self._outcomes.clear()
        self._replies.clear()

    def _read_before(self) -> Record | None:
        """The next record that an earlier attempt has read or kept."""
        while self._position < len(self._records):
            self._position += 1
            if record := self._records[self._position - 1]:
                return record
        return None

    def _next(self, *, is_again: bool) -> tuple[int, Callable[[Record], None]]:
        """Take the next number; return it, and what notes the record that is kept under it."""
        number = len(self._records)
        self._records.append(None)
        self._position = len(self._records)
        after = self._failed.pop(_control(), None)

        def note(record: Record) -> None:
            record |= {_NUMBER: number, _IS_AGAIN: is_again, _AFTER: after}
            self._records[number] = record
            if _FAILURE in record:
                self._failed[_control()] = number

        return number, note

    def _outcome(self, caller: str) -> Steps:
        while True:
            while not self._outcomes[caller]:
                self._stay_interrupted()
                self._take((yield None))
            record = self._outcomes[caller].popleft()
            if _FAILURE in record:
                yield from self._after_failure(record)
            elif _NOTHING not in record:
                return record

    def _after_failure(self, failure: Record) -> Generator[Record | None, Record, None]:
        """Go on to where the failed call was made again, if the node ended with its failure.

        Raises:
            DifyError: If the node went on after it.
        """
        caller, number = failure[_CALLER], failure[_NUMBER]
        later = deque(filter(None, self._records[number + 1 : self._position]))
        while True:
            while not later:
                self._stay_interrupted()
                record = yield _AGAIN
                self._take(record)
                later.append(record)
            record = later.popleft()
            if record[_AFTER] == number:
                self._failed[_control()] = number
                raise told_error(failure[_FAILURE])
            if record[_CALLER] == caller and record[_IS_AGAIN]:
                return

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
        number = self._position - 1
        if number not in self._given:
            try:
                self._given[number] = interrupt(record[_QUESTION], record[_SCHEMA])
            except BaseException as error:
                self._interrupted = copy(error)
                raise
        self._replies[record[_CALLER]].append(self._given[number])

    def _stay_interrupted(self) -> None:
        """Nothing begins in a node that ends, and its first question stays its first."""
        if self._interrupted is not None:
            raise copy(self._interrupted)


def _control() -> object:
    """Stands for the thread or the task that is running, and does not hold it."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident() if task is None else weakref.ref(task)


def failure(caller: str, error: Exception) -> Record:
    """A record of a call that failed: by itself, or by what the node made of it."""
    if isinstance(error, DifyError):
        return {_CALLER: caller, _FAILURE: kept_error(error)}
    return {_CALLER: caller, _NOTHING: True}


def outcome(caller: str, facts: Mapping[str, Any]) -> Record:
    """A record of what a caller's step came to."""
    return {_CALLER: caller, **facts}


_LOGS: dict[int, NodeLog] = {}


def log_of(config: RunnableConfig) -> NodeLog:
    """The log of the node that is being executed."""
    execution = execution_of(config)
    if execution is None:  # a LangGraph built otherwise: calls at once come in the order they come
        return NodeLog()
    new = NodeLog()
    log = _LOGS.setdefault(id(execution), new)
    if log is new:
        weakref.finalize(execution, _LOGS.pop, id(execution), None)
    return log
