"""The Dify Service API, typed and framework-free.

Operations are values, made by pure functions that are grouped as Dify's reference groups them;
a client sends them::

    from dify_api import DifyClient, chat

    client = DifyClient("app-...")
    answer = client.send(chat.send_message("Which planet has most moons?", user="ann"))
    print(answer.text, answer.usage, answer.retriever_resources)
"""

from dify_api import errors as errors
from dify_api._calls.input_message import InputMessage
from dify_api._transport.started_runs import AsyncStartedRun, StartedRun
from dify_api._version import __version__ as __version__
from dify_api.answers import events as events
from dify_api.answers._builder import AnswerBuilder
from dify_api.answers.answer import Answer
from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.endpoints import (
    annotations,
    application,
    audio,
    chat,
    completion,
    conversations,
    documents,
    end_users,
    feedback,
    files,
    human_input,
    knowledge,
    messages,
    metadata,
    pipelines,
    segments,
    tags,
    workflows,
)
from dify_api.errors import DifyError
from dify_api.operation import Operation

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
