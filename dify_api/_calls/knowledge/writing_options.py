"""How both adapters write a knowledge base: the arguments that they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_api._calls.knowledge.knowledge_base import KnowledgeBase
from dify_api._calls.knowledge.progress import Progress, bar, silent
from dify_api.connection import ConnectionOptions
from dify_api.endpoints.document_settings import NewDocumentSettings, new_settings_fields
from dify_api.endpoints.retrieval import IndexingTechnique


class WritingOptions(NewDocumentSettings, total=False):
    """How a knowledge base is written, beside the settings of its documents."""

    indexing_technique: IndexingTechnique | None
    """Of a new knowledge base: "high_quality" (default), found by meaning, or "economy"."""
    wait: bool
    """Whether to wait until documents are indexed, and can be found. Default: True."""
    indexing_timeout: float | None
    """Seconds that indexing may go without progress; None for no limit. Default: 600."""
    max_concurrency: int
    """Documents written at a time. Default: 4."""


class KnowledgeOptions(ConnectionOptions, WritingOptions, total=False):
    """The options of what writes a knowledge base."""


class Writing:
    """A knowledge base to write, and how.

    Args:
        dataset_id: The knowledge base; None for the one of that name, made where there is none.
        name: Its name.
        same_content: As in `KnowledgeBase`.
        options: Of `WritingOptions`.

    Raises:
        TypeError: For an option that there is not.
        ValueError: If there is no knowledge base, or an option cannot have its value.
    """

    def __init__(
        self,
        dataset_id: str | None,
        name: str | None,
        options: Mapping[str, Any],
        *,
        same_content: bool = False,
    ) -> None:
        unknown = options.keys() - WritingOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"unexpected argument: {', '.join(sorted(unknown))}")
        settings = {k: v for k, v in options.items() if k in NewDocumentSettings.__annotations__}
        new_settings_fields(**settings)  # checks them
        self.wait: bool = options.get("wait", True)
        self.max_concurrency: int = options.get("max_concurrency", 4)
        if self.max_concurrency < 1:
            raise ValueError(f"max_concurrency must be 1 or more, not {self.max_concurrency}")
        self.base = KnowledgeBase(
            dataset_id,
            name=name,
            indexing_technique=options.get("indexing_technique"),
            indexing_timeout=options.get("indexing_timeout", 600.0),
            same_content=same_content,
            settings=settings,
        )


def split_options(options: KnowledgeOptions) -> tuple[dict[str, Any], Any]:
    """Those of `WritingOptions`, and the others, which are the connection's."""
    names = WritingOptions.__annotations__.keys()
    writing = {name: value for name, value in options.items() if name in names}
    return writing, {name: value for name, value in options.items() if name not in names}


def progress_of(show_progress: bool) -> Progress:
    """Whether there is a progress bar."""
    return bar if show_progress else silent
