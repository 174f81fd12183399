"""A connection with its two clients: what every adapter is built on."""

from __future__ import annotations

from typing import ClassVar

from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.connection import Connection, DifyConnection

KNOWLEDGE_KEY_VARIABLES = ("DIFY_DATASET_API_KEY", "DIFY_API_KEY")


class ConnectedModel(DifyConnection):
    """A base of the adapters' pydantic classes: the connection's fields, and its two clients."""

    @property
    def client(self) -> DifyClient:
        """A client of the app. It is cheap: the connections behind it are shared.

        Raises:
            ValueError: If there is no key.
        """
        return DifyClient.over(self)

    @property
    def async_client(self) -> AsyncDifyClient:
        """A client of the app for asyncio.

        Raises:
            ValueError: If there is no key.
        """
        return AsyncDifyClient.over(self)


class Connected(ConnectedModel, Connection):
    """The connection of adapters that are no pydantic classes."""


class KnowledgeConnected(Connected):
    """The same to the knowledge bases, which have keys of their own."""

    key_variables: ClassVar[tuple[str, ...]] = KNOWLEDGE_KEY_VARIABLES
