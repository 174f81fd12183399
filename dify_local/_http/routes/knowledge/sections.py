"""The sections of Dify's reference that the endpoints of the knowledge bases stand in."""

from starlette.routing import Router

from dify_local._http.routes.knowledge import (
    child_chunks,
    datasets,
    document_files,
    document_status,
    documents,
    metadata,
    models,
    pipelines,
    retrieval,
    segments,
    tags,
)

_SECTIONS = (
    datasets,
    tags,
    documents,
    document_files,
    document_status,
    segments,
    child_chunks,
    metadata,
    retrieval,
    pipelines,
    models,
)

router = Router(
    [route for section in _SECTIONS for route in section.routes], redirect_slashes=False
)
