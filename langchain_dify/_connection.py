"""The connection of LangChain's classes: as everywhere, and checked when an object is made."""

from __future__ import annotations

from pydantic import model_validator
from typing_extensions import Self

from dify_api.connection import DifyConnection
from dify_api.settings import check_api_key


class CheckedConnection(DifyConnection):
    """Which app to talk to, and how. A missing key is told at once, not at the first call."""

    @model_validator(mode="after")
    def _check_api_key(self) -> Self:
        check_api_key(self.api_key)
        return self
