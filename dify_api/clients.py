"""The two clients of one app together, made when they are first needed.

What the adapters keep: it can be copied with its key and pickled without it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx
from pydantic import SecretStr
from typing_extensions import Self

from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.settings import check_api_key, check_base_url


class Clients:
    """A sync and an async client with the same settings.

    Pickles and JSON never hold the key nor connections: where one is loaded, the key is taken
    from the environment again. A deep copy keeps the key and shares the http clients.

    Args:
        api_key: App or dataset key. Default: the first of `key_variables` that is set.
        base_url: Default: `DIFY_BASE_URL`, else "https://api.dify.ai/v1".
        timeout: Seconds for one network operation. Default: connect 10, read 60.
        max_retries: Further attempts where repeating is safe.
        http_client: Your own `httpx.Client`; default: a shared one.
        http_async_client: Your own `httpx.AsyncClient`; default: a shared one per event loop.
        default_headers: Headers for every request.
        key_variables: Environment variables that may hold the key.

    Raises:
        ValueError: If there is no key, or `base_url` is no URL.

    Example:
        >>> clients = Clients("app-...")
        >>> clients.sync.send(application.info()).name
        'Astronomer'
    """

    def __init__(
        self,
        api_key: SecretStr | str | None = None,
        *,
        base_url: str | None = None,
        timeout: httpx.Timeout | float | None = None,
        max_retries: int = 2,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        default_headers: Mapping[str, str] | None = None,
        key_variables: tuple[str, ...] = ("DIFY_API_KEY",),
    ) -> None:
        self._key_variables = key_variables
        self._api_key: SecretStr | None = check_api_key(api_key or self._key_of_environment())
        self._http_client = http_client
        self._http_async_client = http_async_client
        self._settings: dict[str, Any] = {
            "base_url": check_base_url(base_url or os.environ.get("DIFY_BASE_URL")),
            "timeout": timeout,
            "max_retries": max_retries,
            "default_headers": dict(default_headers or {}),
        }

    def _key_of_environment(self) -> str | None:
        values = (os.environ.get(name) for name in self._key_variables)
        return next((value for value in values if value), None)

    @cached_property
    def sync(self) -> DifyClient:
        """The sync client."""
        return DifyClient(self._required_key(), http_client=self._http_client, **self._settings)

    @cached_property
    def asynchronous(self) -> AsyncDifyClient:
        """The async client."""
        return AsyncDifyClient(
            self._required_key(), http_async_client=self._http_async_client, **self._settings
        )

    def _required_key(self) -> SecretStr:
        """The key; after a pickle was loaded, the environment's.

        Raises:
            ValueError: If there is none.
        """
        if self._api_key is None:
            self._api_key = check_api_key(self._key_of_environment())
        return self._api_key

    def __repr__(self) -> str:
        return f"Clients(base_url={self._settings['base_url']!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_key_variables": self._key_variables, "_settings": self._settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _api_key=None, _http_client=None, _http_async_client=None)

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__setstate__(self.__getstate__())
        copied._api_key = self._api_key
        copied._http_client = self._http_client
        copied._http_async_client = self._http_async_client
        return copied

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self.__copy__()
