"""The fields of a connection, with its two clients: a base of the adapters' pydantic classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import field_serializer, field_validator

from dify_api._calls.end_user import is_shown_user, shown_user
from dify_api._lazy import LazyModule
from dify_api.connection import DifyConnection

if TYPE_CHECKING:
    from dify_api import client
    from dify_api.client import AsyncDifyClient, DifyClient
else:
    client = LazyModule("dify_api.client")  # which a class need not wait for

KNOWLEDGE_KEY_VARIABLES = ("DIFY_DATASET_API_KEY", "DIFY_API_KEY")


class ConnectedModel(DifyConnection, defer_build=True):
    """A base of the adapters' pydantic classes: the connection's fields, and its two clients.

    Its schema, and that of every base between it and a class that objects are made of, is not
    built: pydantic is told so by `defer_build`, and by `defer_build=False` at the class itself,
    which threads could otherwise build at once.

    In the repr and in dumps a hash stands in the place of `user`, which is refused as a user.
    """

    @field_validator("user", check_fields=False)
    @classmethod
    def _is_user(cls, user: str) -> str:
        if is_shown_user(user):
            raise ValueError("user is the hash that a dump holds in its place: give the user too")
        return user

    @field_serializer("user", check_fields=False)
    def _user_as_hash(self, user: str) -> str:
        return shown_user(user)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, shown_user(value) if name == "user" else value

    @property
    def client(self) -> DifyClient:
        """A client of the app. It is cheap: the connections behind it are shared.

        Raises:
            ValueError: If there is no key.
        """
        return client.DifyClient.over(self)

    @property
    def async_client(self) -> AsyncDifyClient:
        """A client of the app for asyncio.

        Raises:
            ValueError: If there is no key.
        """
        return client.AsyncDifyClient.over(self)
