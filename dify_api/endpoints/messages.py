"""Messages: the history of a conversation."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from dify_api.endpoints.pages import Page
from dify_api.models import AnswerFile, Items, Model, RetrieverResource, Timestamp
from dify_api.operation import Operation, require


class MessageFeedback(Model):
    """The user's own rating of a message."""

    rating: str | None = None
    """like or dislike."""


def _file(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


class AgentThought(Model):
    """A step of an agent, as history keeps it."""

    id: str | None = None
    chain_id: str | None = None
    message_id: str | None = None
    position: int | None = None
    """Place among the message's steps, from 1."""
    thought: str | None = None
    answer: str | None = None
    """Text of a New Agent's step (1.16.0)."""
    tool: str | None = None
    tool_labels: dict[str, Any] | None = None
    tool_input: str | None = None
    observation: str | None = None
    files: Items[Annotated[AnswerFile, BeforeValidator(_file)]] = Field(
        default=[], validation_alias=AliasChoices("files", "message_files")
    )
    """What the tool made; called `message_files` up to 1.0, ids alone from 1.4 on."""
    created_at: Timestamp | None = None


class Message(Model):
    """A question and its answer."""

    id: str = ""
    conversation_id: str | None = None
    parent_message_id: str | None = None
    inputs: dict[str, Any] = {}
    query: str = ""
    answer: str = ""
    """As saved: trimmed, or "" where the client left or the run failed."""
    message_files: Items[AnswerFile] = []
    """The user's files and the app's; `belongs_to` tells them apart."""
    feedback: MessageFeedback | None = None
    retriever_resources: Items[RetrieverResource] = []
    agent_thoughts: Items[AgentThought] = []
    created_at: Timestamp | None = None
    status: str | None = None
    """normal, error, or paused where a human is asked."""
    error: str | None = None
    extra_contents: Items[dict[str, Any]] = []
    """Forms of a paused run, their `form_token` included (1.13.0 and later)."""
    message_tokens: int | None = None
    """Tokens of the prompt (1.16.0)."""
    answer_tokens: int | None = None
    total_tokens: int | None = None
    provider_response_latency: float | None = None
    """Seconds."""
    total_price: Decimal | None = None
    currency: str | None = None


def list_messages(
    conversation_id: str, *, user: str, first_id: str | None = None, limit: int | None = None
) -> Operation[Page[Message]]:
    """List the messages of a conversation (`GET /messages`).

    A page holds the newest messages, oldest first; `client.iterate` goes from the newest
    message back to the oldest, across pages.

    Args:
        conversation_id: The conversation.
        user: The end user whose conversation it is.
        first_id: Id of the first message of the page before.
        limit: Messages on a page, 1 to 100. Default: the server's, 20.

    Raises:
        ValueError: If `conversation_id` or `user` is empty.

    Example:
        >>> for message in client.iterate(list_messages(conversation_id, user="ann")):
        ...     print(message.query, "->", message.answer)
    """
    require(conversation_id, "conversation_id", "without one the server lists nothing")
    require(user, "user", "name the end user whose conversation this is")
    return Operation(
        "GET",
        "/messages",
        Page[Message],
        query={"first_id": first_id, "limit": limit},
        user=user,
        conversation_id=conversation_id,
        repeatable=True,
        page="first_id",
    )
