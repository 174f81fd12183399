"""Dify apps and knowledge bases in LangChain: models, workflows, stores, retrievers, tools, ...

Each name is imported when it is first used, so that `import langchain_dify` costs nothing::

    from langchain_dify import ChatDify

    model = ChatDify(api_key="app-...", user="ann")
    answer = model.invoke("Which planet has most moons?")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_api.errors import DifyError as DifyError
    from langchain_dify.chat_history import DifyChatMessageHistory as DifyChatMessageHistory
    from langchain_dify.chat_models import ChatDify as ChatDify
    from langchain_dify.documents import citations as citations
    from langchain_dify.llms import DifyLLM as DifyLLM
    from langchain_dify.retrievers import DifyRetriever as DifyRetriever
    from langchain_dify.toolkits import DifyToolkit as DifyToolkit
    from langchain_dify.tools import DifyTool as DifyTool
    from langchain_dify.vectorstores import DifyVectorStore as DifyVectorStore
    from langchain_dify.workflows import DifyWorkflow as DifyWorkflow

_MODULES = {
    "ChatDify": "langchain_dify.chat_models",
    "DifyChatMessageHistory": "langchain_dify.chat_history",
    "DifyError": "dify_api.errors",
    "DifyLLM": "langchain_dify.llms",
    "DifyRetriever": "langchain_dify.retrievers",
    "DifyTool": "langchain_dify.tools",
    "DifyToolkit": "langchain_dify.toolkits",
    "DifyVectorStore": "langchain_dify.vectorstores",
    "DifyWorkflow": "langchain_dify.workflows",
    "citations": "langchain_dify.documents",
}

__all__ = [
    "ChatDify",
    "DifyChatMessageHistory",
    "DifyError",
    "DifyLLM",
    "DifyRetriever",
    "DifyTool",
    "DifyToolkit",
    "DifyVectorStore",
    "DifyWorkflow",
    "citations",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
