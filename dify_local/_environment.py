"""Code that reads its app from the environment runs offline, too: a local one fills the gap."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dify_local.server import LocalDify

_TOKEN_DELAY = 0.01


@contextmanager
def app_from_environment(app: str = "chat", *, tools: Sequence[str] = ()) -> Iterator[None]:
    """Keep the app that `DIFY_API_KEY` names; without one, serve a local app and name that.

    While the block runs, `DIFY_BASE_URL` and `DIFY_API_KEY` name an app either way, so what is in
    it is written as for an app of your own.

    Args:
        app: Which local app: chat, completion, agent-chat, advanced-chat, workflow, agent,
            planner (follows a prompt's instructions about tools and schemas) or greeter.
        tools: Local apps whose keys `DIFY_TOOL_API_KEYS` names, with commas between.

    Raises:
        KeyError: If there is no such local app.
        RuntimeError: If `DIFY_API_KEY` is set, tools are asked for, and `DIFY_TOOL_API_KEYS` is
            not set.

    Example:
        >>> with app_from_environment("chat"):
        ...     print(ChatDify().invoke("Which planet has the most moons?").text)
        According to the document on Saturn: Saturn has the most moons of any planet: ...
    """
    if os.environ.get("DIFY_API_KEY"):
        if tools:
            _require("DIFY_TOOL_API_KEYS", beside="DIFY_API_KEY")
        yield
        return
    with LocalDify(token_delay=_TOKEN_DELAY) as server:
        variables = {"DIFY_BASE_URL": server.base_url, "DIFY_API_KEY": server.keys[app]}
        if tools:
            variables["DIFY_TOOL_API_KEYS"] = ",".join(server.keys[tool] for tool in tools)
        with _environment(variables):
            yield


@contextmanager
def dataset_from_environment() -> Iterator[None]:
    """Keep the knowledge base that the environment names; without one, serve a local one.

    While the block runs, `DIFY_BASE_URL`, `DIFY_DATASET_API_KEY` and `DIFY_DATASET_ID` name a
    knowledge base either way.

    Raises:
        RuntimeError: If `DIFY_DATASET_API_KEY` is set and `DIFY_DATASET_ID` is not.
    """
    if os.environ.get("DIFY_DATASET_API_KEY"):
        _require("DIFY_DATASET_ID", beside="DIFY_DATASET_API_KEY")
        yield
        return
    with LocalDify(token_delay=_TOKEN_DELAY) as server:
        variables = {
            "DIFY_BASE_URL": server.base_url,
            "DIFY_DATASET_API_KEY": server.dataset_key,
            "DIFY_DATASET_ID": server.dataset_id,
        }
        with _environment(variables):
            yield


def _require(variable: str, *, beside: str) -> None:
    if not os.environ.get(variable):
        raise RuntimeError(f"{beside} is set: set {variable}, too")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
