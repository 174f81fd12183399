"""The Dify Service API, typed and framework-free.

Operations are values, made by pure functions that are grouped as Dify's reference groups them;
a client sends them::

    from dify_api import DifyClient, chat

    client = DifyClient("app-...")
    answer = client.send(chat.send_message("Which planet has most moons?", user="ann"))
    print(answer.text, answer.usage, answer.retriever_resources)

Names are imported when they are first used, so that a chat does not wait for the knowledge base's.
"""

# No `from __future__ import annotations`: it would take the place of the module `annotations`.
from importlib import import_module
from typing import TYPE_CHECKING

from dify_api._version import __version__ as __version__

if TYPE_CHECKING:
    from dify_api import errors as errors
    from dify_api._calls.input_message import InputMessage as InputMessage
    from dify_api._transport.started_runs import AsyncStartedRun as AsyncStartedRun
    from dify_api._transport.started_runs import StartedRun as StartedRun
    from dify_api.answers import events as events
    from dify_api.answers._builder import AnswerBuilder as AnswerBuilder
    from dify_api.answers.answer import Answer as Answer
    from dify_api.client import AsyncDifyClient as AsyncDifyClient
    from dify_api.client import DifyClient as DifyClient
    from dify_api.endpoints import annotations as annotations
    from dify_api.endpoints import application as application
    from dify_api.endpoints import audio as audio
    from dify_api.endpoints import chat as chat
    from dify_api.endpoints import completion as completion
    from dify_api.endpoints import conversations as conversations
    from dify_api.endpoints import documents as documents
    from dify_api.endpoints import end_users as end_users
    from dify_api.endpoints import feedback as feedback
    from dify_api.endpoints import files as files
    from dify_api.endpoints import human_input as human_input
    from dify_api.endpoints import knowledge as knowledge
    from dify_api.endpoints import messages as messages
    from dify_api.endpoints import metadata as metadata
    from dify_api.endpoints import pipelines as pipelines
    from dify_api.endpoints import segments as segments
    from dify_api.endpoints import tags as tags
    from dify_api.endpoints import workflows as workflows
    from dify_api.errors import DifyError as DifyError
    from dify_api.operation import Operation as Operation

_PLACES = {
    "Answer": "answers.answer",
    "AnswerBuilder": "answers._builder",
    "AsyncDifyClient": "client",
    "AsyncStartedRun": "_transport.started_runs",
    "DifyClient": "client",
    "DifyError": "errors",
    "InputMessage": "_calls.input_message",
    "Operation": "operation",
    "StartedRun": "_transport.started_runs",
}
"""Names, and the modules that they stand in."""

_MODULES = {"errors": "errors", "events": "answers.events"}
"""Modules that are names here themselves; all others are those of `endpoints`."""

__all__ = [
    "Answer",
    "AnswerBuilder",
    "AsyncDifyClient",
    "AsyncStartedRun",
    "DifyClient",
    "DifyError",
    "InputMessage",
    "Operation",
    "StartedRun",
    "__version__",
    "annotations",
    "application",
    "audio",
    "chat",
    "completion",
    "conversations",
    "documents",
    "end_users",
    "errors",
    "events",
    "feedback",
    "files",
    "human_input",
    "knowledge",
    "messages",
    "metadata",
    "pipelines",
    "segments",
    "tags",
    "workflows",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _PLACES:
        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    else:
        value = import_module(f"{__name__}.{_MODULES.get(name, f'endpoints.{name}')}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
