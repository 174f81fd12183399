"""The connection of LangChain's classes."""

from __future__ import annotations

from typing import ClassVar

from dify_api._calls.connected import Connected, ConnectedModel
from langchain_dify._installation import warn_if_overwritten

warn_if_overwritten()

ADAPTER = "langchain_dify"


class LangChainConnection(ConnectedModel):
    """A base of the pydantic classes: the connection's fields, and its two clients."""

    adapter: ClassVar[str] = ADAPTER


class LangChainConnected(Connected):
    """The connection of a class that is no pydantic model."""

    adapter: ClassVar[str] = ADAPTER
