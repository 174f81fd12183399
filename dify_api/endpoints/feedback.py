"""Feedback: what users think of messages."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal

from dify_api.endpoints.pages import Page
from dify_api.models import Model, Timestamp
from dify_api.operation import Operation, path, require, require_uuid

Rating = Literal["like", "dislike"]


class Feedback(Model):
    """A rating of a message."""

    id: str = ""
    app_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None
    rating: str | None = None
    """like or dislike."""
    content: str | None = None
    from_source: str | None = None
    """user or admin."""
    from_end_user_id: str | None = None
    from_account_id: str | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


def create(
    message_id: str, rating: Rating | None, *, user: str, content: str | None = None
) -> Operation[None]:
    """Rate a message, or withdraw the rating (`POST /messages/{message_id}/feedbacks`).

    A user has one rating for each message: another one replaces it.

    Args:
        message_id: The message, such as `answer.message_id`.
        rating: "like", "dislike", or None to withdraw; withdrawing what is not there is 400.
        user: The end user who sent the message.
        content: What the user says about it (0.14.2 and later).

    Raises:
        ValueError: If `message_id` is no UUID, or `user` is empty.

    Example:
        >>> client.send(create(answer.message_id, "like", user="ann"))
    """
    require_uuid(message_id, "message_id")
    require(user, "user", "name the end user who sent the message")
    body: dict[str, Any] = {"rating": rating}
    if content is not None:
        body["content"] = content
    return Operation(
        "POST",
        path("/messages/{}/feedbacks", message_id),
        NoneType,
        json=body,
        user=user,
        repeatable=True,
    )


def list_feedbacks(
    *, page: int | None = None, limit: int | None = None
) -> Operation[Page[Feedback]]:
    """List the ratings of an app's messages (`GET /app/feedbacks`; servers since 1.4.0).

    Args:
        page: Number of the page, from 1.
        limit: Ratings on a page, 1 to 101. Default: the server's, 20.
    """
    return Operation(
        "GET",
        "/app/feedbacks",
        Page[Feedback],
        query={"page": page, "limit": limit},
        repeatable=True,
        page="page",
    )
