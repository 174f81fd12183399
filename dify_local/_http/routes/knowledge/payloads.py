"""Bodies and queries of the knowledge endpoints, named and checked as Dify's own."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field, StrictStr, field_validator, model_validator

from dify_local._http.payloads import RequestModel
from dify_local._storage.knowledge.filters import MetadataFilteringCondition
from dify_local._storage.knowledge.records import FieldType
from dify_local._storage.knowledge.search import SearchMethod

Permission = Literal["only_me", "all_team_members", "partial_members"]
IndexingTechnique = Literal["high_quality", "economy"]


class RerankingModel(RequestModel):
    """A model that puts what was found in a better order."""

    reranking_provider_name: str | None = None
    reranking_model_name: str | None = None


class VectorSetting(RequestModel):
    """How much the meaning counts."""

    vector_weight: float
    embedding_provider_name: str | None = None
    embedding_model_name: str | None = None


class KeywordSetting(RequestModel):
    """How much the words count."""

    keyword_weight: float


class Weights(RequestModel):
    """How a hybrid search weighs meaning and words."""

    weight_type: Literal["semantic_first", "keyword_first", "customized"] | None = None
    vector_setting: VectorSetting | None = None
    keyword_setting: KeywordSetting | None = None


class RetrievalModel(RequestModel):
    """How to search a knowledge base."""

    search_method: SearchMethod
    reranking_enable: bool
    reranking_model: RerankingModel | None = None
    reranking_mode: str | None = None
    top_k: int
    score_threshold_enabled: bool
    score_threshold: float | None = None
    weights: Weights | None = None
    metadata_filtering_conditions: MetadataFilteringCondition | None = None


class HitTestingPayload(RequestModel):
    """Body of `POST /datasets/{id}/retrieve`."""

    query: StrictStr = Field(max_length=250)
    retrieval_model: RetrievalModel | None = None
    external_retrieval_model: dict[str, Any] | None = None
    attachment_ids: list[str] | None = None


class DatasetListQuery(RequestModel):
    """Query of `GET /datasets`."""

    page: int = 1
    limit: int = 20
    keyword: str | None = None
    include_all: bool = False
    tag_ids: list[str] = []


class DatasetCreatePayload(RequestModel):
    """Body of `POST /datasets`."""

    name: StrictStr = Field(min_length=1, max_length=40)
    description: str = Field(default="", max_length=400)
    indexing_technique: IndexingTechnique | None = None
    permission: Permission | None = "only_me"
    external_knowledge_api_id: str | None = None
    provider: str = "vendor"
    external_knowledge_id: str | None = None
    retrieval_model: RetrievalModel | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    summary_index_setting: dict[str, Any] | None = None


class DatasetUpdatePayload(RequestModel):
    """Body of `PATCH /datasets/{id}`."""

    name: StrictStr | None = Field(default=None, min_length=1, max_length=40)
    description: str | None = Field(default=None, max_length=400)
    indexing_technique: IndexingTechnique | None = None
    permission: Permission | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    retrieval_model: RetrievalModel | None = None
    partial_member_list: list[dict[str, Any]] | None = None
    external_retrieval_model: dict[str, Any] | None = None
    external_knowledge_id: str | None = None
    external_knowledge_api_id: str | None = None
    summary_index_setting: dict[str, Any] | None = None


class PreProcessingRule(RequestModel):
    """Something to clean a text of."""

    id: str
    enabled: bool


class Segmentation(RequestModel):
    """Where to cut, and how long a piece may be."""

    separator: str = "\n"
    max_tokens: int
    chunk_overlap: int = 0


class Rule(RequestModel):
    """A process rule of one's own."""

    pre_processing_rules: list[PreProcessingRule] | None = None
    segmentation: Segmentation | None = None
    parent_mode: Literal["full-doc", "paragraph"] | None = None
    subchunk_segmentation: Segmentation | None = None


class ProcessRule(RequestModel):
    """How a document is split."""

    mode: Literal["automatic", "custom", "hierarchical"]
    rules: Rule | None = None


def _check_doc_form(value: str | None) -> str | None:
    if value is not None and value not in {"text_model", "hierarchical_model", "qa_model"}:
        raise ValueError("Invalid doc_form.")
    return value


class DocumentSettings(RequestModel):
    """What a document may say about itself, made from a text or from a file."""

    process_rule: ProcessRule | None = None
    original_document_id: str | None = None
    doc_form: str | None = None
    doc_language: str | None = None
    indexing_technique: str | None = None
    retrieval_model: RetrievalModel | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None

    _doc_form = field_validator("doc_form")(_check_doc_form)


class DocumentTextCreatePayload(DocumentSettings):
    """Body of `POST /datasets/{id}/document/create-by-text`."""

    name: str
    text: str


class DocumentTextUpdate(DocumentSettings):
    """Body of `POST /datasets/{id}/documents/{id}/update-by-text`."""

    name: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _check_name(self) -> DocumentTextUpdate:
        if self.text is not None and self.name is None:
            raise ValueError("name is required when text is provided")
        return self


class DocumentFileUpdate(DocumentSettings):
    """The `data` of `PATCH /datasets/{id}/documents/{id}`."""

    name: str | None = None


class KnowledgeConfig(RequestModel):
    """What Dify checks of a document once its payload is accepted."""

    indexing_technique: IndexingTechnique
    name: str | None = None
    text: str | None = None


class DocumentListQuery(RequestModel):
    """Query of `GET /datasets/{id}/documents`."""

    page: int = 1
    limit: int = 20
    keyword: str | None = None
    status: str | None = None


class DocumentIdsPayload(RequestModel):
    """Body of `PATCH /datasets/{id}/documents/status/{action}`."""

    document_ids: list[str] = []


class DocumentBatchDownloadZipPayload(RequestModel):
    """Body of `POST /datasets/{id}/documents/download-zip`."""

    document_ids: list[UUID] = Field(min_length=1, max_length=100)


class SegmentCreateArgs(RequestModel):
    """A new segment."""

    content: str | None = None
    answer: str | None = None
    keywords: list[str] | None = None
    attachment_ids: list[str] | None = None


class NewSegment(SegmentCreateArgs):
    """A new segment, whose text must be given."""

    content: str = Field(min_length=1)


class SegmentCreatePayload(RequestModel):
    """Body of `POST /datasets/{id}/documents/{id}/segments`."""

    segments: list[NewSegment] = Field(min_length=1)


class SegmentUpdateArgs(SegmentCreateArgs):
    """What of a segment changes."""

    enabled: bool | None = None
    regenerate_child_chunks: bool = False
    summary: str | None = None


class SegmentUpdatePayload(RequestModel):
    """Body of `POST /datasets/{id}/documents/{id}/segments/{id}`."""

    segment: SegmentUpdateArgs


class SegmentListQuery(RequestModel):
    """Query of `GET /datasets/{id}/documents/{id}/segments`."""

    page: int = Field(default=1, ge=1)
    limit: int = Field(default=20, ge=1)
    status: list[str] = []
    keyword: str | None = None


class ChildChunkListQuery(RequestModel):
    """Query of `GET .../child_chunks`."""

    page: int = Field(default=1, ge=1)
    limit: int = Field(default=20, ge=1)
    keyword: str | None = None


class ChildChunkCreatePayload(RequestModel):
    """Body of `POST .../child_chunks`."""

    content: str


class ChildChunkUpdatePayload(RequestModel):
    """Body of `PATCH .../child_chunks/{id}`."""

    content: str


class MetadataArgs(RequestModel):
    """Body of `POST /datasets/{id}/metadata`."""

    type: FieldType
    name: str


class MetadataUpdatePayload(RequestModel):
    """Body of `PATCH /datasets/{id}/metadata/{id}`."""

    name: str


class MetadataDetail(RequestModel):
    """A value for a field of a document."""

    id: str
    name: str
    value: StrictStr | int | float | None = None


class DocumentMetadataOperation(RequestModel):
    """The values of one document."""

    document_id: str
    metadata_list: list[MetadataDetail]
    partial_update: bool = False


class MetadataOperationData(RequestModel):
    """Body of `POST /datasets/{id}/documents/metadata`."""

    operation_data: list[DocumentMetadataOperation]


class TagCreatePayload(RequestModel):
    """Body of `POST /datasets/tags`."""

    name: str = Field(min_length=1, max_length=50)


class TagUpdatePayload(RequestModel):
    """Body of `PATCH /datasets/tags`."""

    name: str = Field(min_length=1, max_length=50)
    tag_id: str


class TagDeletePayload(RequestModel):
    """Body of `DELETE /datasets/tags`."""

    tag_id: str


class TagBindingPayload(RequestModel):
    """Body of `POST /datasets/tags/binding`."""

    tag_ids: list[str]
    target_id: str

    @field_validator("tag_ids")
    @classmethod
    def _check_tag_ids(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("Tag IDs is required.")
        return value


class TagUnbindingPayload(RequestModel):
    """Body of `POST /datasets/tags/unbinding`."""

    tag_ids: list[str] = []
    tag_id: str | None = None
    target_id: str


class DatasourcePluginsQuery(RequestModel):
    """Query of `GET /datasets/{id}/pipeline/datasource-plugins`."""

    is_published: bool = True


class DatasourceNodeRunPayload(RequestModel):
    """Body of `POST /datasets/{id}/pipeline/datasource/nodes/{id}/run`."""

    inputs: dict[str, Any]
    datasource_type: str
    credential_id: str | None = None
    is_published: bool


class PipelineRunApiEntity(RequestModel):
    """Body of `POST /datasets/{id}/pipeline/run`."""

    inputs: dict[str, Any]
    datasource_type: str
    datasource_info_list: list[dict[str, Any]]
    start_node_id: str
    is_published: bool
    response_mode: str
