"""The fields by which an adapter names its app: key, address, limits, HTTP clients."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.settings import (
    DEFAULT_PROGRESS_TIMEOUT,
    check_base_url,
    fingerprint,
)

_NOT_PICKLED = ("api_key", "http_client", "http_async_client")


def _key_from_environment() -> SecretStr | None:
    key = os.environ.get("DIFY_API_KEY")
    return SecretStr(key) if key else None


class DifyConnection(BaseModel):
    """Which app to talk to, and how: a base of the adapters' pydantic classes.

    The key appears in no repr, serialisation or pickle: an object that is loaded takes its key
    from `DIFY_API_KEY` again. Connections are opened at the first request and shared by all
    objects that talk to one server.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, populate_by_name=True, hide_input_in_errors=True
    )

    api_key: SecretStr | None = Field(
        default_factory=_key_from_environment, repr=False, exclude=True
    )
    """Key of the app ("app-..."). Default: `DIFY_API_KEY`."""
    base_url: str = Field(default_factory=lambda: check_base_url(os.environ.get("DIFY_BASE_URL")))
    """Address of the API. Default: `DIFY_BASE_URL`, else "https://api.dify.ai/v1"."""
    timeout: httpx.Timeout | float | None = None
    """Seconds for one network operation. Default: connect 10, read 60."""
    progress_timeout: float | None = DEFAULT_PROGRESS_TIMEOUT
    """Seconds that an answer may bring nothing but pings; None for no limit."""
    max_retries: int = 2
    """Further attempts where repeating is safe."""
    default_headers: Mapping[str, str] | None = Field(default=None, repr=False, exclude=True)
    """Headers for every request."""
    proxy: str | None = Field(default=None, repr=False, exclude=True)
    """URL of a proxy. Default: that of the environment."""
    verify: bool = True
    """Whether to check the server's certificate."""
    http_client: httpx.Client | None = Field(default=None, repr=False, exclude=True)
    """Your own client for sync calls, which you close. Default: a shared one."""
    http_async_client: httpx.AsyncClient | None = Field(default=None, repr=False, exclude=True)
    """Your own client for async calls, which you close. Default: a shared one per event loop."""

    @field_validator("base_url", mode="before")
    @classmethod
    def _check_base_url(cls, value: object) -> str:
        return check_base_url(value if isinstance(value, str) else None)

    @property
    def client(self) -> DifyClient:
        """A client of the app. It is cheap: the connections behind it are shared.

        Raises:
            ValueError: If there is no key.
        """
        return DifyClient(http_client=self.http_client, **self._settings())

    @property
    def async_client(self) -> AsyncDifyClient:
        """A client of the app for asyncio.

        Raises:
            ValueError: If there is no key.
        """
        return AsyncDifyClient(http_async_client=self.http_async_client, **self._settings())

    @property
    def app(self) -> str:
        """Fingerprint of the app: a short hash of base URL and key, "" without a key."""
        return fingerprint(self.base_url, self.api_key) if self.api_key else ""

    def _settings(self) -> dict[str, Any]:
        return {
            "api_key": self.api_key,
            "base_url": self.base_url,
            "timeout": self.timeout,
            "progress_timeout": self.progress_timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
            "proxy": self.proxy,
            "verify": self.verify,
        }

    def __getstate__(self) -> dict[Any, Any]:
        # Taken out first: the frameworks' own __getstate__ tries to pickle each value.
        bare = self.model_copy(update=dict.fromkeys(_NOT_PICKLED))
        state = super(DifyConnection, bare).__getstate__()
        for name in _NOT_PICKLED:
            state["__dict__"].pop(name, None)
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        for name in _NOT_PICKLED:
            field = type(self).model_fields[name]
            vars(self)[name] = field.get_default(call_default_factory=True)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        memo = {} if memo is None else memo
        for client in (self.http_client, self.http_async_client):
            if client is not None:
                memo[id(client)] = client  # connections are shared, not copied
        return super().__deepcopy__(memo)
