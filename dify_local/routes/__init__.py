"""The endpoints of the service API, one module for each section of Dify's reference."""

from __future__ import annotations

from starlette.routing import BaseRoute

from dify_local.routes import application, chat, conversations, files, messages


def all_routes() -> list[BaseRoute]:
    """Return every endpoint, without the `/v1` before it."""
    return [
        *chat.routes,
        *messages.routes,
        *conversations.routes,
        *files.routes,
        *application.routes,
    ]
