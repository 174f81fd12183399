"""Chat messages: chat, agent, chatflow (advanced-chat) and New Agent apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from dify_api.answers.answer import Answer
from dify_api.endpoints.response_mode import ResponseMode as ResponseMode
from dify_api.models import Items, Model
from dify_api.operation import Operation, path, require, require_uuid, without_none

STOP_PATH = "/chat-messages/{task_id}/stop"


class SuggestedQuestions(Model):
    """What the user may want to ask next."""

    data: Items[str] = []


def send_message(
    query: str,
    *,
    user: str,
    conversation_id: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    files: Sequence[Mapping[str, Any]] | None = None,
    response_mode: ResponseMode = "streaming",
    auto_generate_name: bool = False,
    workflow_id: str | None = None,
    trace_id: str | None = None,
    delete_conversation: bool = False,
) -> Operation[Answer]:
    """Send a message to a chat, agent or chatflow app (`POST /chat-messages`).

    Args:
        query: What the user says.
        user: Stable identifier of the end user, up to 255 characters; conversations and files
            belong to it.
        conversation_id: Conversation to continue; None for a new one.
        inputs: Values of the app's variables. Sent on every turn: servers since 1.0 validate
            and use them each time.
        files: File references, such as `files.reference(...)` makes them.
        response_mode: "streaming" (default), or "blocking", which agents refuse and proxies
            cut after 60 to 100 seconds.
        auto_generate_name: Let the server name a new conversation; up to 1.12.1 that delays
            the first token by a second. Default: False.
        workflow_id: Published version of a chatflow to run (1.7.2 and later).
        trace_id: Your trace id, letters, digits, "_" and "-" (1.7.0 and later).
        delete_conversation: Delete the conversation once the answer has ended, failed or was
            left; best effort, what goes wrong is logged.

    Raises:
        ValueError: If `query` or `user` is empty.

    Example:
        >>> answer = client.send(send_message("And which is largest?", user="ann",
        ...                                   conversation_id=answer.conversation_id))
    """
    if not query or not (query.strip() or files):
        raise ValueError("query must not be empty: say what to ask the app")
    require(user, "user", "name the end user whose conversation this is")
    return Operation(
        "POST",
        "/chat-messages",
        Answer,
        json=without_none(
            {
                "inputs": dict(inputs or {}),
                "query": query,
                "response_mode": response_mode,
                "files": list(files) if files else None,
                "auto_generate_name": auto_generate_name,
                "workflow_id": workflow_id,
                "trace_id": trace_id,
            }
        ),
        user=user,
        conversation_id=conversation_id,
        generates=True,
        stop_path=STOP_PATH,
        delete_path="/conversations/{conversation_id}" if delete_conversation else None,
    )


def stop(task_id: str, *, user: str) -> Operation[None]:
    """Stop a message that is being generated (`POST /chat-messages/{task_id}/stop`).

    The server says 200 whatever happens; the stream then ends with what was generated.

    Args:
        task_id: From any event of the stream, or `stream.task_id`.
        user: The user who sent the message.
    """
    require(user, "user", "name the end user who sent the message")
    return Operation(
        "POST",
        path("/chat-messages/{}/stop", task_id),
        NoneType,
        json={},
        user=user,
        repeatable=True,
        stops=task_id,
    )


def suggested_questions(message_id: str, *, user: str) -> Operation[SuggestedQuestions]:
    """Let a model think of next questions (`GET /messages/{message_id}/suggested`).

    Servers since 0.3.28. It costs tokens, and is 400 where the app has the feature off:
    `application.parameters()` tells, in `suggested_questions_after_answer`.

    Args:
        message_id: The answered message, such as `answer.message_id`.
        user: The user who sent it.

    Raises:
        ValueError: If `message_id` is no UUID, or `user` is empty.

    Example:
        >>> client.send(suggested_questions(answer.message_id, user="ann")).data
        ['Which of them is largest?', 'Who found Titan?', 'How old are the rings?']
    """
    require_uuid(message_id, "message_id")
    require(user, "user", "name the end user who sent the message")
    return Operation(
        "GET",
        path("/messages/{}/suggested", message_id),
        SuggestedQuestions,
        user=user,
    )
