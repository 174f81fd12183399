"""What every route of the knowledge bases does first: check the key, find what the path names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.datastructures import QueryParams, UploadFile
from starlette.requests import Request

from dify_local._http.requests import (
    UploadedFile,
    json_body,
    require_dataset_key,
    service_of,
)
from dify_local._protocol.errors import ApiError, invalid_param, not_found
from dify_local._protocol.values import JsonObject
from dify_local._runs.service import Service
from dify_local._storage.knowledge import Tables
from dify_local._storage.knowledge.records import Dataset, Document, Segment

LONGEST_DOCUMENT = 15 * 1024 * 1024

Payload = TypeVar("Payload", bound=BaseModel)


@dataclass(frozen=True)
class KnowledgeForm:
    """A multipart body.

    Attributes:
        data: The JSON object of its part `data`; empty where there is none.
        file: Its part `file`.
        files: How many files it has.
    """

    data: JsonObject
    file: UploadedFile | None
    files: int

    def one_file(self) -> UploadedFile:
        """Return its file.

        Raises:
            ApiError: There is none, or more than one.
        """
        if self.file is None:
            raise ApiError(400, "no_file_uploaded", "Please upload your file.")
        self.require_no_more()
        return self.file

    def require_no_more(self) -> None:
        """Refuse a second file, and one without a name or too large."""
        if self.files > 1:
            raise ApiError(400, "too_many_files", "Only one file is allowed.")
        if self.file and not self.file.filename:
            raise ApiError(
                400, "filename_not_exists_error", "The specified filename does not exist."
            )
        if self.file and len(self.file.content) > LONGEST_DOCUMENT:
            raise ApiError(413, "file_too_large", "")


def _json_object(data: object) -> JsonObject:
    if not isinstance(data, str) or not data:
        return {}
    try:
        value = json.loads(data)
    except ValueError as error:
        raise invalid_param(str(error)) from None
    if not isinstance(value, dict):
        raise invalid_param("data must be a JSON object")
    return value


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

    async def form(self) -> KnowledgeForm:
        """Return the multipart body.

        Raises:
            ApiError: Its `data` is no JSON object.
        """
        async with self.request.form() as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            part, data = form.get("file"), form.get("data")
            file = None
            if isinstance(part, UploadFile):
                content = await part.read()
                file = UploadedFile(part.filename or "", part.content_type or "", content)
        return KnowledgeForm(_json_object(data), file, len(files))

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
