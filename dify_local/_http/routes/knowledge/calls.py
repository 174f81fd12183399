"""What every route of the knowledge bases does first: check the key, find what the path names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.requests import Request

from dify_local._http.requests import json_body, require_dataset_key, service_of
from dify_local._protocol.errors import ApiError, not_found
from dify_local._runs.service import Service
from dify_local._storage.knowledge import Tables
from dify_local._storage.knowledge.records import Dataset, Document, Segment

Payload = TypeVar("Payload", bound=BaseModel)


@dataclass(frozen=True)
class KnowledgeCall:
    """An accepted request of a knowledge base.

    Attributes:
        service: The running service.
        request: The request itself.
    """

    service: Service
    request: Request

    @property
    def tables(self) -> Tables:
        """Return the knowledge bases."""
        return self.service.tables

    def path(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.request.path_params[name])

    def query(self, model: type[Payload], *lists: str) -> Payload:
        """Return the query parameters as a checked payload.

        Args:
            model: The payload.
            *lists: Parameters that may be repeated.
        """
        given: QueryParams = self.request.query_params
        repeated = {name: given.getlist(name) for name in lists if name in given}
        return model.model_validate({**dict(given), **repeated})

    async def payload(self, model: type[Payload]) -> Payload:
        """Return the JSON body as a checked payload."""
        return model.model_validate(await json_body(self.request))

    def dataset(self) -> Dataset:
        """Return the dataset of the path.

        Raises:
            ApiError: There is none, or its API is switched off.
        """
        dataset = self.tables.dataset(self.path("dataset_id"))
        if dataset is None:
            raise not_found("Dataset not found.")
        if not dataset.enable_api:
            raise ApiError(403, "forbidden", "Dataset api access is not enabled.")
        return dataset

    def document(self, dataset: Dataset, message: str = "Document not found.") -> Document:
        """Return the document of the path.

        Raises:
            ApiError: There is none.
        """
        document = self.tables.document(dataset.id, self.path("document_id"))
        if document is None:
            raise not_found(message)
        return document

    def segment(self, document: Document) -> Segment:
        """Return the segment of the path.

        Raises:
            ApiError: There is none.
        """
        segment = self.tables.segment(document.id, self.path("segment_id"))
        if segment is None:
            raise not_found("Segment not found.")
        return segment


def knowledge_call(request: Request) -> KnowledgeCall:
    """Accept a request that has the dataset key.

    Raises:
        ApiError: It has not.
    """
    require_dataset_key(request)
    return KnowledgeCall(service_of(request), request)
