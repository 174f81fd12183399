"""The endpoints of the service API, one module for each section of Dify's reference."""

from starlette.routing import BaseRoute

from dify_local._http.routes import (
    annotations,
    application,
    chat,
    conversations,
    files,
    human_input,
    knowledge,
    messages,
    workflows,
)

_SECTIONS = (
    chat,
    workflows,
    human_input,
    messages,
    conversations,
    files,
    application,
    annotations,
    knowledge,
)


def all_routes() -> list[BaseRoute]:
    """Return every endpoint, without the `/v1` before it."""
    return [route for section in _SECTIONS for route in section.routes]
