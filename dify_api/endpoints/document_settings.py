"""How documents are split and searched: what creations and updates of documents have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

from pydantic import AliasChoices, Field
from typing_extensions import TypedDict, Unpack

from dify_api.endpoints.files import File, file_part
from dify_api.endpoints.retrieval import RetrievalModel, embedding_fields, retrieval_settings
from dify_api.models import Items, Model
from dify_api.operation import FilePart, require_uuid, without_none

DocForm = Literal["text_model", "hierarchical_model", "qa_model"]
"""Segments; segments with child chunks to find them by; questions with answers."""

ProcessMode = Literal["automatic", "custom", "hierarchical"]

SHORTEST_SEGMENT = 50
"""Tokens: servers accept less, and fail when they index the document."""


class PreProcessingRule(Model):
    """A cleaning of the text before it is split."""

    id: Literal["remove_stopwords", "remove_extra_spaces", "remove_urls_emails"] | None = None
    enabled: bool = True


class Segmentation(Model):
    """Where and how long to cut."""

    separator: str | None = Field(
        default=None, validation_alias=AliasChoices("separator", "delimiter")
    )
    r"""Text at which to cut. Default: "\\n"."""
    max_tokens: int | None = None
    """At least 50. Default: 500."""
    chunk_overlap: int | None = None
    """Tokens that a segment shares with the one before."""


class ProcessRules(Model):
    """What the modes "custom" and "hierarchical" do."""

    pre_processing_rules: Items[PreProcessingRule] = []
    segmentation: Segmentation | None = None
    parent_mode: Literal["full-doc", "paragraph"] | None = None
    """What a segment is, in hierarchical documents: all the text, or a part of it."""
    subchunk_segmentation: Segmentation | None = None
    """Where to cut segments into child chunks."""


class ProcessRule(Model):
    r"""How to split a document.

    Example:
        >>> ProcessRule(rules=ProcessRules(segmentation=Segmentation(separator="\n\n")))
        >>> ProcessRule(rules=ProcessRules(
        ...     parent_mode="paragraph",
        ...     segmentation=Segmentation(separator="\n\n"),
        ...     subchunk_segmentation=Segmentation(max_tokens=200),
        ... ))
    """

    mode: ProcessMode | None = None
    """Default: hierarchical where rules say a `parent_mode`, custom where there are other rules,
    else automatic."""
    rules: ProcessRules | None = None


class DocumentSettings(TypedDict, total=False):
    """Settings of an update of a document."""

    process_rule: ProcessRule | Mapping[str, Any] | None
    """How to split it. Default: automatic for a new document, else the knowledge base's latest."""
    doc_form: DocForm | None
    """Default: "hierarchical_model" if the rule is hierarchical, else "text_model"."""
    doc_language: str | None
    """Of questions and answers, such as "English"."""
    retrieval_model: RetrievalModel | Mapping[str, Any] | None
    """How to search the knowledge base."""


class NewDocumentSettings(DocumentSettings, total=False):
    """Settings of a new document."""

    embedding_model: str | None
    """For a knowledge base that has no documents yet. Default: the workspace's."""
    embedding_model_provider: str | None
    """Its provider, such as "langgenius/openai/openai"."""
    original_document_id: str | None
    """The document that it replaces."""


def settings_fields(
    *,
    process_rule: ProcessRule | Mapping[str, Any] | None = None,
    doc_form: DocForm | None = None,
    doc_language: str | None = None,
    retrieval_model: RetrievalModel | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`DocumentSettings` as servers want them.

    Raises:
        ValueError: If one holds a value that it cannot have.
    """
    rule = None if process_rule is None else _completed_rule(process_rule)
    if doc_form is None and rule is not None and rule.mode == "hierarchical":
        doc_form = "hierarchical_model"
    return without_none(
        {
            "process_rule": rule and rule.model_dump(mode="json", exclude_none=True),
            "doc_form": doc_form,
            "doc_language": doc_language,
            "retrieval_model": retrieval_settings(retrieval_model),
        }
    )


def new_settings_fields(
    *,
    embedding_model: str | None = None,
    embedding_model_provider: str | None = None,
    original_document_id: str | None = None,
    **settings: Unpack[DocumentSettings],
) -> dict[str, Any]:
    """`NewDocumentSettings` as servers want them.

    Raises:
        ValueError: If one holds a value that it cannot have.
    """
    if original_document_id is not None:
        require_uuid(original_document_id, "original_document_id")
    if settings.get("process_rule") is None:
        settings["process_rule"] = ProcessRule(mode="automatic")
    return {
        **settings_fields(**settings),
        **embedding_fields(embedding_model, embedding_model_provider),
        **without_none({"original_document_id": original_document_id}),
    }


def document_part(file: File, name: str | None, mime_type: str | None) -> FilePart:
    """The part of a document's file.

    Raises:
        ValueError: If its name has no extension.
    """
    part = file_part(file, name, mime_type)
    if not PurePath(part.name).suffix:
        raise ValueError(
            f"name must have an extension such as .txt, by which servers tell what the file is, "
            f"not {part.name!r}"
        )
    return part


def _completed_rule(process_rule: ProcessRule | Mapping[str, Any]) -> ProcessRule:
    """The rule with all that servers want."""
    rule = ProcessRule.model_validate(process_rule).model_copy(deep=True)
    rules = rule.rules
    if rule.mode is None:
        hierarchical = rules is not None and rules.parent_mode is not None
        rule.mode = "hierarchical" if hierarchical else "custom" if rules else "automatic"
    if rule.mode == "automatic":
        return rule
    if rules is None:
        raise ValueError(f'process_rule: the mode "{rule.mode}" needs rules')
    rules.segmentation = _completed(rules.segmentation)
    if rule.mode == "hierarchical":
        rules.parent_mode = rules.parent_mode or "paragraph"
        rules.subchunk_segmentation = _completed(rules.subchunk_segmentation)
    return rule


def _completed(given: Segmentation | None) -> Segmentation:
    segmentation = given or Segmentation()
    if segmentation.separator is None:
        segmentation.separator = "\n"
    if segmentation.max_tokens is None:
        segmentation.max_tokens = 500
    if segmentation.max_tokens < SHORTEST_SEGMENT:
        raise ValueError(
            f"max_tokens must be {SHORTEST_SEGMENT} or more, not {segmentation.max_tokens}: "
            "servers would fail when they index the document"
        )
    return segmentation
