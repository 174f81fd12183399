"""What both clients share: their connection, and the pure steps around the exchange."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import cached_property
from types import NoneType
from typing import Any, cast

from pydantic import SecretStr
from typing_extensions import Self, Unpack

from dify_api.answers.answer import Answer
from dify_api.connection import Connection, ConnectionOptions, DifyConnection
from dify_api.errors import DifyError
from dify_api.operation import Operation

_log = logging.getLogger("dify_api.client")


@contextlib.contextmanager
def logged_failure(what: str) -> Iterator[None]:
    """Log a failure of the block instead of raising it."""
    try:
        yield
    except DifyError as error:
        _log.warning("%s failed: %s", what, error)


class BaseClient:
    """What both clients share: their connection, and the pure steps around the exchange."""

    def __init__(
        self, api_key: SecretStr | str | None = None, **options: Unpack[ConnectionOptions]
    ) -> None:
        self.connection: DifyConnection = Connection.of(api_key, **options)

    @classmethod
    def over(cls, connection: DifyConnection) -> Self:
        """A client over a connection that there is: that of an adapter.

        Raises:
            ValueError: If it has no key.
        """
        connection.key  # noqa: B018  # raises where there is none
        client = cls.__new__(cls)
        client.connection = connection
        return client

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.connection.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            f"{type(self).__name__} holds an API key and connections and cannot be pickled: "
            "make one where it is used"
        )

    @cached_property
    def fingerprint(self) -> str:
        """Names the app without giving the key away: `app_id`, else a hash of URL and key."""
        return self.connection.app

    def _time_for(self, operation: Operation[Any]) -> float | None:
        """Seconds for an exchange as a whole; an upload lasts as long as it goes on."""
        return None if operation.file else self.connection.progress_timeout

    def _stop_request(self, operation: Operation[Answer], task_id: str) -> Operation[None]:
        stop_path = cast("str", operation.stop_path).format(task_id=task_id)
        return Operation(
            "POST",
            stop_path,
            NoneType,
            json={},
            user=operation.user,
            repeatable=True,
            stops=task_id,
        )

    def _delete_request(
        self, operation: Operation[Answer], conversation_id: str
    ) -> Operation[None]:
        path = cast("str", operation.delete_path).format(conversation_id=conversation_id)
        # Nobody else knows the conversation: to delete it twice does no harm.
        return Operation("DELETE", path, NoneType, json={}, user=operation.user, repeatable=True)
