"""The model's run, of which langchain-core does not tell `_stream`: below it nodes are traced.

That of `invoke` is left where `_stream` looks; that of `stream` gets its id before its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar
from uuid import uuid4

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun
_Manager = TypeVar("_Manager", CallbackManager, AsyncCallbackManager)
_RunManager = TypeVar("_RunManager", CallbackManagerForLLMRun, AsyncCallbackManagerForLLMRun)

CURRENT_RUN: ContextVar[RunManager | None] = ContextVar("dify_run", default=None)
"""The model's run, where langchain-core does not hand it to `_stream`."""


NOBODYS_RUN = CallbackManagerForLLMRun.get_noop_manager()
"""Handed to `_stream` by `stream` where nobody is told of the run."""
ANOBODYS_RUN = AsyncCallbackManagerForLLMRun.get_noop_manager()
"""The same for asyncio."""


def has_listeners(run_manager: BaseRunManager) -> bool:
    """Whether anybody is told of a run, or of those below it."""
    return bool(run_manager.handlers or run_manager.inheritable_handlers)


def is_untold(run_manager: RunManager | None) -> bool:
    """Whether `_stream` needs no `current_run`: nobody listens to it, nor to one around it."""
    return CURRENT_RUN.get() is None and not (run_manager and has_listeners(run_manager))


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
    nobodys_run: _RunManager,
    config: RunnableConfig | None,
) -> tuple[RunnableConfig, dict[str, _RunManager]]:
    """Decide the model's run just before langchain-core makes it, so that it is known.

    Returns:
        The config to call langchain-core with; and what to hand on to `_stream`: the run as its
        `run_manager`, which is `nobodys_run` where nobody is told of it, and left out where only
        those are that nodes are not told to.
    """
    config = ensure_config(config)
    # The handlers of the environment are made once, here: langchain-core finds them in the config.
    shared = manager_type.configure(config.get("callbacks"))
    if not shared.inheritable_handlers:
        if not (shared.handlers or model.callbacks or model.verbose):
            return config, {"run_manager": nobodys_run}
        # In a handler of another run, or in a task that one began, `_stream` would find that run.
        is_in_another = CURRENT_RUN.get() is not None
        untold = type(nobodys_run).get_noop_manager()
        return config, {"run_manager": untold} if is_in_another else {}
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
    run = type(nobodys_run)(
        run_id=run_id,
        handlers=manager.handlers,
        inheritable_handlers=manager.inheritable_handlers,
        parent_run_id=manager.parent_run_id,
        tags=manager.tags,
        inheritable_tags=manager.inheritable_tags,
        metadata=manager.metadata,
        inheritable_metadata=manager.inheritable_metadata,
    )
    return {**config, "callbacks": shared, "run_id": run_id}, {"run_manager": run}
