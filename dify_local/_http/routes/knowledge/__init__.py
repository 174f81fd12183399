"""The endpoints of the knowledge bases, which take a dataset key."""

from dify_local._http.routes.knowledge import (
    datasets,
    documents,
    metadata,
    retrieval,
    segments,
)

routes = [
    *datasets.routes,
    *documents.routes,
    *segments.routes,
    *metadata.routes,
    *retrieval.routes,
]
