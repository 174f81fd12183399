"""What the run of an agent or graph tells the tools in it: the end user, inputs, where to write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

USER = "dify_user"
INPUTS = "dify_inputs"


@dataclass(frozen=True)
class RunSettings:
    """What a run tells.

    Attributes:
        user: The end user; None where the run names none.
        inputs: Values of apps' variables.
        write: Writes into LangGraph's "custom" stream; None outside of a graph.
    """

    user: str | None
    inputs: Mapping[str, Any]
    write: Callable[[Any], None] | None


def run_settings(config: RunnableConfig) -> RunSettings:
    """The settings that stand in `config["configurable"]`, else in LangGraph's `context`.

    Raises:
        ValueError: If one cannot have the value given.
    """
    context = _of_graph("langgraph.runtime", "get_runtime", config)
    places = (config.get("configurable"), getattr(context, "context", None))
    user, inputs = _first(places, USER), _first(places, INPUTS)
    if user is not None and not (isinstance(user, str) and user.strip()):
        given = type(user).__name__ if user else "an empty one"
        raise ValueError(f"{USER} must be the name of an end user as text, not {given}")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ValueError(
            f"{INPUTS} must be a dict of the values of variables, not {type(inputs).__name__}"
        )
    write = _of_graph("langgraph.config", "get_stream_writer", config)
    return RunSettings(user, inputs or {}, write)


def _first(places: tuple[object, ...], name: str) -> Any:
    """A context may be a dict, a dataclass or a pydantic model."""
    for place in places:
        value = place.get(name) if isinstance(place, Mapping) else getattr(place, name, None)
        if value is not None:
            return value
    return None


def _of_graph(module: str, function: str, config: RunnableConfig) -> Any:
    """What LangGraph tells of the run, if one of its graphs is running."""
    graph = sys.modules.get(module)
    if graph is None:
        return None
    # Set once more: Python 3.10 does not carry it into tasks.
    with suppress(RuntimeError, LookupError, AttributeError), set_config_context(config) as context:
        return context.run(getattr(graph, function))
    return None
