"""Errors of writing knowledge bases, a part of `dify_api.errors`."""

from __future__ import annotations

from dify_api.errors import BadRequestError, ConflictError, ForbiddenError, ServerError


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
