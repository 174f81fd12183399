"""The connection of adapters that are no pydantic classes."""

from __future__ import annotations

from typing import ClassVar

from dify_api._calls.connected_model import KNOWLEDGE_KEY_VARIABLES, ConnectedModel
from dify_api.connection import Connection


class Connected(ConnectedModel, Connection, defer_build=False):
    """The connection of adapters that are no pydantic classes."""


class KnowledgeConnected(Connected):
    """The same to the knowledge bases, which have keys of their own."""

    key_variables: ClassVar[tuple[str, ...]] = KNOWLEDGE_KEY_VARIABLES
