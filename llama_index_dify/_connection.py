"""The connection of LlamaIndex's classes."""

from __future__ import annotations

from typing import ClassVar

from dify_api._calls.connected import Connected, ConnectedModel, KnowledgeConnected

ADAPTER = "llama_index_dify"


class LlamaIndexConnection(ConnectedModel):
    """A base of the pydantic classes: the connection's fields, and its two clients."""

    adapter: ClassVar[str] = ADAPTER


class LlamaIndexConnected(Connected):
    """The connection of a class that is no pydantic model."""

    adapter: ClassVar[str] = ADAPTER


class LlamaIndexKnowledge(KnowledgeConnected):
    """The same to the knowledge bases."""

    adapter: ClassVar[str] = ADAPTER
