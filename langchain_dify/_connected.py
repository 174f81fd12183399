"""The connection of LangChain's classes that are no pydantic models."""

from __future__ import annotations

from typing import ClassVar

from dify_api._advice import Advice
from dify_api._calls.connected import Connected, KnowledgeConnected
from langchain_dify._connection import ADAPTER, ADVICE


class LangChainConnected(Connected):
    """The connection of a class that is no pydantic model."""

    adapter: ClassVar[str] = ADAPTER
    advice: ClassVar[Advice] = ADVICE


class LangChainKnowledge(KnowledgeConnected):
    """The same to the knowledge bases."""

    adapter: ClassVar[str] = ADAPTER
    advice: ClassVar[Advice] = ADVICE
