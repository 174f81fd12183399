"""Request bodies and queries, named and checked as Dify's own, so that refusals read the same."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dify_local._protocol.values import is_uuid

ResponseMode = Literal["blocking", "streaming"]


class RequestModel(BaseModel):
    """Built when it is first used: there are many, and most servers need few."""

    model_config = ConfigDict(defer_build=True)


def _uuid_or_none(value: str | None, name: str) -> str | None:
    if not value or not value.strip():
        return None
    if not is_uuid(value):
        raise ValueError(f"{name} must be a valid UUID")
    return value


class CompletionRequestPayload(RequestModel):
    """Body of `POST /completion-messages`."""

    inputs: dict[str, Any]
    query: StrictStr = ""
    files: list[dict[str, Any]] | None = None
    response_mode: ResponseMode | None = None
    retriever_from: str = "dev"


class ChatRequestPayload(RequestModel):
    """Body of `POST /chat-messages`."""

    inputs: dict[str, Any]
    query: StrictStr
    files: list[dict[str, Any]] | None = None
    response_mode: ResponseMode | None = None
    conversation_id: str | None = None
    retriever_from: str = "dev"
    auto_generate_name: bool = True
    workflow_id: str | None = None

    @field_validator("conversation_id", mode="before")
    @classmethod
    def _check_conversation_id(cls, value: str | None) -> str | None:
        return _uuid_or_none(value, "conversation_id")


class WorkflowRunPayload(RequestModel):
    """Body of `POST /workflows/run`."""

    inputs: dict[str, Any]
    files: list[dict[str, Any]] | None = None
    response_mode: ResponseMode | None = None


class MessageListQuery(RequestModel):
    """Query of `GET /messages`."""

    conversation_id: str
    first_id: str | None = None
    limit: int = Field(default=20, ge=1, le=100)

    @field_validator("conversation_id", "first_id")
    @classmethod
    def _check_id(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _uuid_or_none(value, str(info.field_name)) or (None if value is None else "")


class ConversationListQuery(RequestModel):
    """Query of `GET /conversations`."""

    last_id: str | None = None
    limit: int = Field(default=20, ge=1, le=100)
    sort_by: Literal["created_at", "-created_at", "updated_at", "-updated_at"] = "-updated_at"

    @field_validator("last_id")
    @classmethod
    def _check_last_id(cls, value: str | None) -> str | None:
        return _uuid_or_none(value, "last_id")


class ConversationRenamePayload(RequestModel):
    """Body of `POST /conversations/{id}/name`."""

    name: str | None = None
    auto_generate: bool = False

    @model_validator(mode="after")
    def _check_name(self) -> ConversationRenamePayload:
        if not self.auto_generate and not (self.name or "").strip():
            raise ValueError("name is required when auto_generate is false")
        return self


class ConversationVariablesQuery(RequestModel):
    """Query of `GET /conversations/{id}/variables`."""

    last_id: str | None = None
    limit: int = Field(default=20, ge=1, le=100)
    variable_name: str | None = None

    @field_validator("variable_name")
    @classmethod
    def _check_name(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[\w.-]+", value):
            raise ValueError(
                "Variable name can only contain letters, numbers, hyphens (-), underscores (_), "
                "and periods (.)"
            )
        return value


class ConversationVariableUpdatePayload(RequestModel):
    """Body of `PUT /conversations/{id}/variables/{id}`."""

    value: Any


class MessageFeedbackPayload(RequestModel):
    """Body of `POST /messages/{id}/feedbacks`."""

    rating: Literal["like", "dislike"] | None = None
    content: str | None = None


class FeedbackListQuery(RequestModel):
    """Query of `GET /app/feedbacks`."""

    page: int = Field(default=1, ge=1)
    limit: int = Field(default=20, ge=1, le=101)


class TextToAudioPayload(RequestModel):
    """Body of `POST /text-to-audio`."""

    message_id: str | None = None
    voice: str | None = None
    text: str | None = None
    streaming: bool | None = None


class AnnotationCreatePayload(RequestModel):
    """Body of `POST /apps/annotations`, and of the `PUT` that changes one."""

    question: str
    answer: str


class AnnotationReplyActionPayload(RequestModel):
    """Body of `POST /apps/annotation-reply/{action}`."""

    score_threshold: float
    embedding_provider_name: str
    embedding_model_name: str


class AnnotationListQuery(RequestModel):
    """Query of `GET /apps/annotations`."""

    page: int = Field(default=1, ge=1)
    limit: int = Field(default=20, ge=1)
    keyword: str = ""


class WorkflowLogQuery(RequestModel):
    """Query of `GET /workflows/logs`."""

    keyword: str | None = None
    status: Literal["succeeded", "failed", "stopped"] | None = None
    created_at__before: datetime | None = None
    created_at__after: datetime | None = None
    created_by_end_user_session_id: str | None = None
    page: int = Field(default=1, ge=1, le=99999)
    limit: int = Field(default=20, ge=1, le=100)


class HumanInputFormSubmitPayload(RequestModel):
    """Body of `POST /form/human_input/{form_token}`."""

    inputs: dict[str, Any]
    action: str
