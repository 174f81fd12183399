"""The endpoints of the knowledge bases, which take a dataset key."""

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

routes = [route for section in _SECTIONS for route in section.routes]
