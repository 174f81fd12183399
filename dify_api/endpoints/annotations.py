"""Annotations: answers given by people, which a chat app prefers to its model's.

Servers since 1.2.0; 1.4.1 answers 500 to all of them. Beside `from __future__ import annotations`
import this module under another name, which mypy insists on.
"""

from __future__ import annotations

from types import NoneType
from typing import Literal

from dify_api.endpoints.pages import Page
from dify_api.models import Model, Timestamp
from dify_api.operation import Operation, path, require, require_uuid


class Annotation(Model):
    """A question and its answer."""

    id: str = ""
    question: str | None = None
    answer: str | None = None
    hit_count: int | None = None
    created_at: Timestamp | None = None


class AnnotationReplyJob(Model):
    """The switching on or off of annotation replies, which takes a while."""

    job_id: str = ""
    job_status: str | None = None
    """waiting, processing, completed or error."""
    error_msg: str | None = None


def list_annotations(
    *, keyword: str | None = None, page: int | None = None, limit: int | None = None
) -> Operation[Page[Annotation]]:
    """List an app's annotations (`GET /apps/annotations`; servers since 1.2.0).

    Args:
        keyword: Text to find in questions and answers.
        page: Number of the page, from 1.
        limit: Annotations on a page, 1 to 100. Default: the server's, 20.
    """
    return Operation(
        "GET",
        "/apps/annotations",
        Page[Annotation],
        query={"keyword": keyword, "page": page, "limit": limit},
        repeatable=True,
        page="page",
    )


def create(question: str, answer: str) -> Operation[Annotation]:
    """Add an annotation (`POST /apps/annotations`; servers since 1.2.0).

    Raises:
        ValueError: If `question` or `answer` is empty.

    Example:
        >>> client.send(create("How many moons has Saturn?", "146, as of 2023.")).id
        '0f4c7d5e-...'
    """
    return Operation("POST", "/apps/annotations", Annotation, json=_body(question, answer))


def update(annotation_id: str, question: str, answer: str) -> Operation[Annotation]:
    """Change an annotation (`PUT /apps/annotations/{annotation_id}`; servers since 1.2.0).

    Raises:
        ValueError: If `annotation_id` is no UUID, or `question` or `answer` is empty.
    """
    return Operation(
        "PUT",
        _path(annotation_id),
        Annotation,
        json=_body(question, answer),
        repeatable=True,
    ).or_older(method="POST")  # 1.2.0 to 1.3.0


def delete(annotation_id: str) -> Operation[None]:
    """Delete an annotation (`DELETE /apps/annotations/{annotation_id}`; servers since 1.2.0).

    Raises:
        ValueError: If `annotation_id` is no UUID.
    """
    return Operation("DELETE", _path(annotation_id), NoneType)


def enable_reply(
    *, score_threshold: float, embedding_provider_name: str, embedding_model_name: str
) -> Operation[AnnotationReplyJob]:
    """Let annotations answer (`POST /apps/annotation-reply/enable`; servers since 1.2.0).

    Args:
        score_threshold: How like a question must be to an annotation's, 0 to 1.
        embedding_provider_name: Provider of the model that compares them, such as
            "langgenius/openai/openai".
        embedding_model_name: That model.

    Raises:
        ValueError: If a name is empty.

    Example:
        >>> job = client.send(enable_reply(score_threshold=0.9,
        ...                                embedding_provider_name="langgenius/openai/openai",
        ...                                embedding_model_name="text-embedding-3-small"))
        >>> client.send(reply_status("enable", job.job_id)).job_status
        'completed'
    """
    return _reply("enable", score_threshold, embedding_provider_name, embedding_model_name)


def disable_reply(
    *, score_threshold: float, embedding_provider_name: str, embedding_model_name: str
) -> Operation[AnnotationReplyJob]:
    """Let the model answer again (`POST /apps/annotation-reply/disable`; servers since 1.2.0).

    Servers want the settings of `enable_reply` here as well.

    Raises:
        ValueError: If a name is empty.
    """
    return _reply("disable", score_threshold, embedding_provider_name, embedding_model_name)


def reply_status(
    action: Literal["enable", "disable"], job_id: str
) -> Operation[AnnotationReplyJob]:
    """Ask how a switching goes (`GET /apps/annotation-reply/{action}/status/{job_id}`).

    Servers since 1.2.0. A job that is forgotten is 400.

    Args:
        action: What the job is to do.
        job_id: From `enable_reply` or `disable_reply`.

    Raises:
        ValueError: If `job_id` is no UUID.
    """
    require_uuid(job_id, "job_id")
    return Operation(
        "GET",
        path("/apps/annotation-reply/{}/status/{}", action, job_id),
        AnnotationReplyJob,
        repeatable=True,
    )


def _reply(
    action: str, score_threshold: float, provider: str, model: str
) -> Operation[AnnotationReplyJob]:
    require(provider, "embedding_provider_name", "name the provider of the embedding model")
    require(model, "embedding_model_name", "name the embedding model")
    return Operation(
        "POST",
        path("/apps/annotation-reply/{}", action),
        AnnotationReplyJob,
        json={
            "score_threshold": score_threshold,
            "embedding_provider_name": provider,
            "embedding_model_name": model,
        },
    )


def _body(question: str, answer: str) -> dict[str, str]:
    return {
        "question": require(question, "question", "write what is asked"),
        "answer": require(answer, "answer", "write what to answer"),
    }


def _path(annotation_id: str) -> str:
    require_uuid(annotation_id, "annotation_id")
    return path("/apps/annotations/{}", annotation_id)
