"""The connection of LlamaIndex's classes."""

from __future__ import annotations

from typing import ClassVar

from dify_api._advice import Advice
from dify_api._calls.connected_model import ConnectedModel

ADAPTER = "llama_index_dify"
ADVICE = Advice(
    app_type="Use Dify, DifyChatEngine or DifyQueryEngine for chat, agent and chatflow apps, "
    "DifyCompletion for completion apps, DifyWorkflow for workflow apps; DifyTool.from_app "
    "takes any app.",
    missing_input=" to the class or the call.",
    lost_conversation='start a new conversation, which Dify does by itself with on_fork="new".',
    paused="DifyChatEngine.resume(values) or, elsewhere, client.resume(error, values, user=...) "
    "fills them, and goes on with the answer.",
)


class LlamaIndexConnection(ConnectedModel, defer_build=True):
    """A base of the pydantic classes: the connection's fields, and its two clients."""

    adapter: ClassVar[str] = ADAPTER
    advice: ClassVar[Advice] = ADVICE
