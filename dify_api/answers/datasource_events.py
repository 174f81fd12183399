"""The events of a datasource node that is run by itself, in a knowledge pipeline."""

from __future__ import annotations

from typing import Any, Literal

from dify_api.answers.message_events import Event


class DatasourceProcessingEvent(Event):
    """How far the datasource is."""

    event: Literal["datasource_processing"] = "datasource_processing"
    total: int | None = None
    completed: int | None = None


class DatasourceCompletedEvent(Event):
    """What it has found; several may come."""

    event: Literal["datasource_completed"] = "datasource_completed"
    data: Any = None
    """An object or a list: pages, files, what a crawl found."""
    total: int | None = None
    completed: int | None = None
    time_consuming: float | None = None
    """Seconds."""


class DatasourceErrorEvent(Event):
    """It failed."""

    event: Literal["datasource_error"] = "datasource_error"
    error: str | None = None
