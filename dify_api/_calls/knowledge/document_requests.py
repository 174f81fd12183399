"""The requests that write a source document into a knowledge base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, cast

from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api.endpoints import documents
from dify_api.endpoints.documents import (
    DocumentBatch,
    ProcessRule,
    ProcessRules,
    Segmentation,
)
from dify_api.endpoints.knowledge import Dataset
from dify_api.endpoints.retrieval import IndexingTechnique
from dify_api.errors import BadRequestError
from dify_api.operation import Operation

_LONGEST_SEGMENT = 4000
"""Tokens that servers take, unless they are set otherwise."""
_AUTOMATIC = ProcessRule(mode="automatic")
"""Left out, servers take the knowledge base's latest, which may be that of other segments."""
_OF_UPDATES = ("process_rule", "doc_form", "doc_language", "retrieval_model")


class DocumentRequests:
    """Makes them for one knowledge base.

    Args:
        dataset: The knowledge base.
        technique: Of one that has no documents yet.
        settings: Fields of `documents.NewDocumentSettings`.
    """

    def __init__(
        self, dataset: Dataset, technique: IndexingTechnique, settings: Mapping[str, Any]
    ) -> None:
        self._dataset = dataset
        self._technique: IndexingTechnique = cast(
            "IndexingTechnique", dataset.indexing_technique or technique
        )
        self._settings = settings

    def create(self, source: SourceDocument) -> Operation[DocumentBatch]:
        """Add the document."""
        settings = self._settings_for(source)
        if source.file is not None:
            return documents.create_by_file(
                self._dataset.id,
                source.file,
                name=_file_name(source.name, source.file),
                indexing_technique=self._technique,
                **settings,
            )
        return documents.create_by_text(
            self._dataset.id,
            source.name,
            source.sent_text,
            indexing_technique=self._technique,
            **settings,
        )

    def update(self, source: SourceDocument, document_id: str) -> Operation[DocumentBatch]:
        """Put it in the place of one that there is, which keeps its Dify id."""
        settings = {"process_rule": _AUTOMATIC, **self._settings_for(source)}
        of_updates: Any = {k: v for k, v in settings.items() if k in _OF_UPDATES}
        if source.file is not None:
            name = _file_name(source.name, source.file)
            return documents.update(
                self._dataset.id, document_id, source.file, name=name, **of_updates
            )
        return documents.update_by_text(
            self._dataset.id, document_id, name=source.name, text=source.sent_text, **of_updates
        )

    def _settings_for(self, source: SourceDocument) -> Any:
        settings = dict(self._settings)
        if source.segments:
            settings["process_rule"] = self._rule_of_segments(source.separator)
        if self._dataset.document_count and self._dataset.doc_form:
            settings.setdefault("doc_form", self._dataset.doc_form)
        return settings

    def _rule_of_segments(self, separator: str) -> ProcessRule:
        """Cut where the segments were divided, and nowhere else."""
        rules = ProcessRules(
            segmentation=Segmentation(
                separator=separator, max_tokens=_LONGEST_SEGMENT, chunk_overlap=0
            )
        )
        if self._dataset.doc_form == "hierarchical_model":
            rules.parent_mode = "paragraph"
        return ProcessRule(rules=rules)


def is_not_available(error: BadRequestError) -> bool:
    """Whether a document cannot be updated in the state that it is in."""
    message = error.message.lower()
    return "not available" in message or "being indexed" in message


def _file_name(name: str, file: Path) -> str:
    """The name with the file's extension, by which servers tell what it is."""
    return name if PurePath(name).suffix else f"{name}{file.suffix}"
