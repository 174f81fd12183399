"""Errors of writing knowledge bases, a part of `dify_api.errors`."""

from __future__ import annotations

from collections.abc import Mapping

from dify_api.errors import (
    BadRequestError,
    ConflictError,
    DifyError,
    ForbiddenError,
    RateLimitError,
    ServerError,
)


class HighQualityDatasetOnlyError(BadRequestError, code="high_quality_dataset_only"):
    """The knowledge base is an economy one."""


class InvalidActionError(BadRequestError, code="invalid_action"):
    """An unknown action, or the document is locked or not yet indexed."""


class DocumentAlreadyFinishedError(BadRequestError, code="document_already_finished"):
    """The document is indexed already."""


class DocumentIndexingError(BadRequestError, code="document_indexing"):
    """The document is being indexed and cannot be changed now."""


class InvalidMetadataError(BadRequestError, code="invalid_metadata"):
    """Not "all", "only" or "without"."""


class ArchivedDocumentImmutableError(ForbiddenError, code="archived_document_immutable"):
    """Un-archive the document first."""


class DatasetNameDuplicateError(ConflictError, code="dataset_name_duplicate"):
    """The workspace has a knowledge base of this name."""


class DatasetInUseError(ConflictError, code="dataset_in_use"):
    """Apps use the knowledge base."""


class DatasetIndexingInProgressError(ConflictError, code="dataset_indexing_in_progress"):
    """Documents of the knowledge base are being indexed."""


class PipelineRunError(ServerError, code="pipeline_run_error"):
    """The run of a knowledge pipeline failed, or its inputs are wrong."""


class KnowledgeRateLimitError(RateLimitError):
    """The subscription's limit of requests to knowledge bases in a minute (403 in Dify's cloud).

    Each further attempt counts, so that none is made at once.
    """


class KnowledgeQuotaError(ForbiddenError):
    """The subscription's limit of documents, uploads or storage is reached."""


class IndexingError(DifyError):
    """Documents were written, and the server could not index them.

    Attributes:
        errors: What the server says of each, by the id that the document has in its source.
    """

    errors: Mapping[str, str]
