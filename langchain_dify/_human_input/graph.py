"""What LangGraph offers to a node: results that are kept for it, and interrupts.

A node is executed again, from its start, when an interrupt in it is answered. A `task` called in
it is not: its result stands in the checkpoint. So a task here does nothing but wait for what the
node itself does, and keep it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

Record = dict[str, Any]
"""What is kept: JSON."""

# Keys of the config of a running node, as every LangGraph since 0.3 has them.
_CALL = "__pregel_call"
_CHECKPOINTER = "__pregel_checkpointer"
_RUNTIME = "__pregel_runtime"

_HIDDEN = "langsmith:hidden"
_THREAD = "dify-kept"


_OLDEST = (1, 2, 16)  # older ones do what a subgraph has done again when it is resumed


class NotKeptError(RuntimeError):
    """The node did not come to a result."""


def node_config() -> RunnableConfig | None:
    """The config of the node that is being executed, if its graph can be resumed.

    Raises:
        RuntimeError: If LangGraph is too old.
    """
    # Lacking it still, while another thread imports LangGraph.
    get_config = getattr(sys.modules.get("langgraph.config"), "get_config", None)
    if get_config is None:
        return None
    try:
        config: RunnableConfig = get_config()
    except RuntimeError:  # outside of a graph; in asyncio before Python 3.11
        return None
    known = _known(config)
    if not known.get(_CHECKPOINTER) or _CALL not in known:
        return None
    _require_langgraph()
    return config


def _known(config: RunnableConfig) -> dict[str, Any]:
    return config.get("configurable", {})


@cache
def _require_langgraph() -> None:
    installed = version("langgraph")
    if tuple(int(number) for number in re.findall(r"\d+", installed)[:3]) < _OLDEST:
        raise RuntimeError(
            f'human_input="interrupt" needs LangGraph {".".join(map(str, _OLDEST))} or newer, not '
            f'{installed}: pip install "dify-adapters[langgraph]"'
        )


def execution_of(config: RunnableConfig) -> object:
    """What stands for this one execution of the node, to which a weak reference can be made."""
    with suppress(AttributeError, TypeError, ValueError):
        [reference] = _known(config)[_CALL].args
        node = reference()
        weakref.ref(node)
        return node
    return None


def attempt_of(config: RunnableConfig) -> int:
    """How often the node has been tried in this execution, from 1."""
    info = getattr(_known(config).get(_RUNTIME), "execution_info", None)
    return getattr(info, "node_attempt", 1)


def interrupt(value: Record, response_schema: Mapping[str, Any]) -> Any:
    """Interrupt the graph, or return what it was resumed with.

    Raises:
        GraphInterrupt: If it was not resumed with an answer to this yet.
    """
    from langgraph.types import interrupt

    if "response_schema" in inspect.signature(interrupt).parameters:  # langgraph 1.2 and later
        return interrupt(value, response_schema=dict(response_schema))
    return interrupt(value)


class Keeper:
    """Keeps one result of the node, unless it was kept when the node was executed before.

    Args:
        note: Told what is kept.
    """

    def __init__(self, note: Callable[[Record], None]) -> None:
        self._note = note
        self._result: Future[Record] = Future()
        self._kept: Future[Record]

    def begin(self, config: RunnableConfig) -> Record | None:
        """What was kept before; None if the node is to do it now, and to `keep` it."""
        began = threading.Event()

        def dify_run() -> Record:
            began.set()
            return self._result.result()

        async def in_loop() -> Record:
            began.set()
            return await asyncio.wrap_future(self._result)

        in_loop.__name__ = dify_run.__name__  # by which it is found again
        self._kept = _call(config, in_loop if _is_in_loop(config) else dify_run)
        self._kept.add_done_callback(lambda _: began.set())
        began.wait()
        return self._kept.result() if self._kept.done() else None

    def keep(self, result: Record) -> None:
        """Keep what the node has done."""
        if not self._result.done():
            self._note(result)
            self._result.set_result(result)
            self._kept.result()

    def give_up(self) -> None:
        """Keep nothing: the node failed, or was left."""
        if not self._result.done():
            self._result.set_exception(NotKeptError("nothing to keep"))


class AsyncKeeper:
    """`Keeper` for asyncio.

    Attributes:
        settled: Done when the node has come to its result, or failed.
    """

    def __init__(self, note: Callable[[Record], None]) -> None:
        loop = asyncio.get_running_loop()
        self._note = note
        self.settled: asyncio.Future[None] = loop.create_future()
        self._result: asyncio.Future[Record] = loop.create_future()
        self._kept: asyncio.Future[Record]

    async def begin(self, config: RunnableConfig) -> Record | None:
        """What was kept before; None if the node is to do it now, and to `keep` it."""
        began = asyncio.Event()

        async def dify_run() -> Record:
            began.set()
            return await self._result

        self._kept = _call(config, dify_run)
        self._kept.add_done_callback(lambda _: began.set())
        try:
            await began.wait()
        except asyncio.CancelledError:
            self.give_up()
            raise
        return self._kept.result() if self._kept.done() else None

    async def keep(self, result: Record) -> None:
        """Keep what the node has done."""
        if not self._result.done():
            self._note(result)
            self._result.set_result(result)
            try:
                await self._kept
            finally:
                self._settle()

    def give_up(self) -> None:
        """Keep nothing: the node failed, or was left."""
        if not self._result.done():
            self._kept.add_done_callback(lambda kept: kept.cancelled() or kept.exception())
            self._result.set_exception(NotKeptError("nothing to keep"))
            self._result.exception()  # looked at
        self._settle()

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)


def _call(config: RunnableConfig, function: Callable[[], Any]) -> Any:
    """Call a function as a task of the node."""
    from langgraph.func import task

    inside, node = _set_aside(config)
    with set_config_context(inside) as context:
        called = context.run(task(function))
    called.add_done_callback(partial(_hold, node))
    return called


def _hold(_node: object, _called: object) -> None:
    """Keep the node's task alive, of which LangGraph has a weak reference, until then."""


def _is_in_loop(config: RunnableConfig) -> bool:
    """Whether the graph runs in an event loop; the node itself may be in a thread all the same."""
    return "loop" in getattr(_known(config)[_CALL], "keywords", {})


def _set_aside(config: RunnableConfig) -> tuple[RunnableConfig, object]:
    """The config by which tasks are in no stream and no trace, and take no worker of the graph.

    They are no steps of the user's, and only wait: as many nodes as there are workers would wait
    for ever. With a LangGraph that is built otherwise than is known here they are as any tasks.
    """
    call = _known(config)[_CALL]
    try:
        [reference] = call.args
        node = reference()
        tags = [*(node.config.get("tags") or []), _HIDDEN]
        node = dataclasses.replace(node, config={**node.config, "tags": tags})
        call = partial(call.func, weakref.ref(node), **{**call.keywords, "submit": lambda: _start})
    except (AttributeError, TypeError, ValueError):
        return config, None
    return {**config, "configurable": {**_known(config), _CALL: call}}, node


_OF_WORKERS = {"__name__", "__cancel_on_exit__", "__reraise_on_exit__", "__next_tick__"}


def _start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a function in the event loop, or in a thread of its own."""
    known = {name: value for name, value in kwargs.items() if name not in _OF_WORKERS}
    if inspect.iscoroutinefunction(function):
        return asyncio.ensure_future(function(*args, **known))
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(function(*args, **known))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            done.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name=_THREAD, daemon=True).start()
    return done
