"""What a knowledge base consists of: datasets, documents, segments, child chunks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from dify_local._protocol.values import JsonObject, new_id, now, stable_id

ACCOUNT_ID = stable_id("account")
ACCOUNT_NAME = "admin"
EMBEDDING_MODEL = "text-embedding-3-small"
EMBEDDING_PROVIDER = "langgenius/openai/openai"
RERANKING_MODEL = "rerank-v3.5"
RERANKING_PROVIDER = "langgenius/cohere/cohere"

IndexingStatus = Literal[
    "waiting", "parsing", "cleaning", "splitting", "indexing", "completed", "error", "paused"
]
FieldType = Literal["string", "number", "time"]


@dataclass
class Dataset:
    """A knowledge base.

    Attributes:
        retrieval_model: How it is searched where a request does not say.
        process_rule: The rule of the newest document.
        file_digests: For a folder's dataset, what was read of each file.
    """

    name: str
    id: str = field(default_factory=new_id)
    description: str = ""
    provider: str = "vendor"
    permission: str = "only_me"
    data_source_type: str | None = None
    indexing_technique: str | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    retrieval_model: JsonObject | None = None
    summary_index_setting: JsonObject | None = None
    doc_form: str | None = None
    built_in_field_enabled: bool = False
    enable_api: bool = True
    partial_member_list: list[JsonObject] = field(default_factory=list)
    process_rule: JsonObject | None = None
    pipeline_id: str | None = None
    app_count: int = 0
    created_at: int = field(default_factory=now)
    updated_at: int = field(default_factory=now)
    file_digests: dict[str, str] = field(default_factory=dict)

    @property
    def has_vectors(self) -> bool:
        """Tell whether it can be searched by meaning."""
        return self.indexing_technique == "high_quality"

    @property
    def has_keywords(self) -> bool:
        """Tell whether it can be searched by keywords; one over a folder has both indexes."""
        return not self.has_vectors or bool(self.file_digests)


@dataclass
class Document:
    """A document of a knowledge base.

    Attributes:
        position: Place in its knowledge base, from 1.
        title: What it is about, in words: its first heading, or its name.
        upload_file: Its file, as the API shows it; none for a document of a pipeline.
        process_rule: How it is split: `id`, `mode`, `rules`.
        moments: When each state of its indexing was reached, in seconds since the epoch.
        locked_until: Until when it cannot be switched on or off again.
        doc_metadata: Values by the name of their field.
    """

    dataset_id: str
    name: str
    position: int
    batch: str
    title: str = ""
    id: str = field(default_factory=new_id)
    upload_file: JsonObject | None = None
    data_source_type: str = "upload_file"
    data_source_info: JsonObject = field(default_factory=dict)
    process_rule: JsonObject | None = None
    created_from: str = "api"
    created_at: float = field(default_factory=now)
    updated_at: float = field(default_factory=now)
    doc_form: str = "text_model"
    doc_language: str | None = None
    indexing_status: IndexingStatus = "waiting"
    error: str | None = None
    moments: dict[str, int] = field(default_factory=dict)
    indexing_latency: float | None = None
    enabled: bool = True
    disabled_at: int | None = None
    archived: bool = False
    tokens: int | None = None
    word_count: int | None = None
    locked_until: float = 0.0
    doc_metadata: dict[str, object] = field(default_factory=dict)

    @property
    def available(self) -> bool:
        """Tell whether it can be retrieved from, and changed."""
        return self.indexing_status == "completed" and self.enabled and not self.archived

    @property
    def display_status(self) -> str:
        """Return the state that people are shown."""
        if self.indexing_status == "waiting":
            return "queuing"
        if self.indexing_status in {"error", "paused"}:
            return self.indexing_status
        if self.indexing_status != "completed":
            return "indexing"
        if self.archived:
            return "archived"
        return "available" if self.enabled else "disabled"


@dataclass
class ChildChunk:
    """A piece of a segment, by which the segment is found."""

    segment_id: str
    content: str
    position: int
    type: Literal["automatic", "customized"] = "automatic"
    id: str = field(default_factory=new_id)
    created_at: int = field(default_factory=now)
    updated_at: int = field(default_factory=now)


@dataclass
class Segment:
    """A piece of a document: what is retrieved.

    Attributes:
        position: Place in its document, from 1.
        answer: In a dataset of questions and answers, what answers the content.
        hit_count: How often a retrieval has found it.
    """

    dataset_id: str
    document_id: str
    position: int
    content: str
    tokens: int
    id: str = field(default_factory=new_id)
    answer: str | None = None
    keywords: list[str] | None = None
    index_node_id: str = field(default_factory=new_id)
    enabled: bool = True
    disabled_at: int | None = None
    status: str = "completed"
    created_at: int = field(default_factory=now)
    updated_at: int = field(default_factory=now)
    updated_by: str | None = None
    indexing_at: int = field(default_factory=now)
    hit_count: int = 0

    @property
    def index_node_hash(self) -> str:
        """Return the hash by which Dify recognises the text."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def word_count(self) -> int:
        """Return its size in characters, which Dify calls words."""
        return len(self.content) + len(self.answer or "")


@dataclass
class MetadataField:
    """A field that the documents of a knowledge base may have a value for."""

    dataset_id: str
    name: str
    type: FieldType
    id: str = field(default_factory=new_id)


@dataclass(frozen=True)
class ScoredChild:
    """A child chunk that fits a query, with its score between 0 and 1."""

    chunk: ChildChunk
    score: float


@dataclass(frozen=True)
class Hit:
    """A segment that a query has found, with its document and a score between 0 and 1."""

    segment: Segment
    document: Document
    score: float
    child_chunks: tuple[ScoredChild, ...] = ()
