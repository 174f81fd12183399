"""Dify apps and knowledge bases in LlamaIndex: models, engines, indexes, retrievers, tools.

Names are imported when they are first used, so that importing the package costs no more than
LlamaIndex's core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_index_dify._answers.records import conversation_id as conversation_id
    from llama_index_dify._answers.records import source_nodes as source_nodes
    from llama_index_dify.agent import DifyAgent as DifyAgent
    from llama_index_dify.chat_engine import DifyChatEngine as DifyChatEngine
    from llama_index_dify.chat_stream import (
        DifyStreamingChatResponse as DifyStreamingChatResponse,
    )
    from llama_index_dify.completion import DifyCompletion as DifyCompletion
    from llama_index_dify.human_input import DifyHumanResponseEvent as DifyHumanResponseEvent
    from llama_index_dify.human_input import DifyInputRequiredEvent as DifyInputRequiredEvent
    from llama_index_dify.index import DifyIndex as DifyIndex
    from llama_index_dify.model import Dify as Dify
    from llama_index_dify.nodes import nodes_from_resources as nodes_from_resources
    from llama_index_dify.open_streams import opened as opened
    from llama_index_dify.query_engine import DifyQueryEngine as DifyQueryEngine
    from llama_index_dify.query_responses import (
        AsyncDifyStreamingResponse as AsyncDifyStreamingResponse,
    )
    from llama_index_dify.query_responses import DifyResponse as DifyResponse
    from llama_index_dify.query_responses import DifyStreamingResponse as DifyStreamingResponse
    from llama_index_dify.retriever import DifyRetriever as DifyRetriever
    from llama_index_dify.tool_events import DifyToolProgressEvent as DifyToolProgressEvent
    from llama_index_dify.tool_events import DifyToolStreamEvent as DifyToolStreamEvent
    from llama_index_dify.tool_spec import DifyToolSpec as DifyToolSpec
    from llama_index_dify.tools import DifyTool as DifyTool
    from llama_index_dify.vector_store import DifyVectorStore as DifyVectorStore
    from llama_index_dify.vector_store import EmbedInDify as EmbedInDify
    from llama_index_dify.workflow import DifyWorkflow as DifyWorkflow
    from llama_index_dify.workflow_response import DifyWorkflowResponse as DifyWorkflowResponse
    from llama_index_dify.workflow_run import DifyWorkflowRun as DifyWorkflowRun

_PLACES = {
    "AsyncDifyStreamingResponse": "query_responses",
    "Dify": "model",
    "DifyAgent": "agent",
    "DifyChatEngine": "chat_engine",
    "DifyCompletion": "completion",
    "DifyHumanResponseEvent": "human_input",
    "DifyIndex": "index",
    "DifyInputRequiredEvent": "human_input",
    "DifyQueryEngine": "query_engine",
    "DifyResponse": "query_responses",
    "DifyRetriever": "retriever",
    "DifyStreamingChatResponse": "chat_stream",
    "DifyStreamingResponse": "query_responses",
    "DifyTool": "tools",
    "DifyToolProgressEvent": "tool_events",
    "DifyToolSpec": "tool_spec",
    "DifyToolStreamEvent": "tool_events",
    "DifyVectorStore": "vector_store",
    "EmbedInDify": "vector_store",
    "DifyWorkflow": "workflow",
    "DifyWorkflowResponse": "workflow_response",
    "DifyWorkflowRun": "workflow_run",
    "conversation_id": "_answers.records",
    "nodes_from_resources": "nodes",
    "opened": "open_streams",
    "source_nodes": "_answers.records",
}

__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]  # names are lazy


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Whole, before a module in it is asked for: threads that come first by different names would
    # otherwise wait for each other's imports, which Python ends by a failure of one.
    import_module("llama_index.core")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
