"""What stands before a chat message: the conversation rule, the fork check, the uploads.

Both adapters prepare a call with `prepare_chat` and then stream its operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dify_api._calls.attachments import references
from dify_api._calls.conversation import (
    ConversationForkedError,
    InputMessage,
    Memory,
    OnFork,
    Request,
    plan_request,
)
from dify_api._calls.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.endpoints import chat
from dify_api.endpoints.messages import list_messages
from dify_api.errors import ConversationNotFoundError
from dify_api.operation import Operation


@dataclass(frozen=True)
class ChatOptions:
    """What a chat call is made with beside its messages.

    Attributes:
        app: Fingerprint of the app (`client.fingerprint`).
        user: The end user.
        conversation_id: Given for this call; None to follow the history.
        inputs: Values of the app's variables.
        system_input: Input that takes the system text; None to write it into the query.
        memory: Who keeps the history.
        on_fork: What to do when the server's conversation went on without the history given.
        files: Further entries of the request's `files`, as they are.
        response_mode: "streaming" or "blocking".
        auto_generate_name: Whether the server names a new conversation.
        workflow_id: Published version of a chatflow to run.
        trace_id: Your trace id.
    """

    app: str
    user: str
    conversation_id: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    system_input: str | None = None
    memory: Memory = "server"
    on_fork: OnFork = "ignore"
    files: Sequence[Mapping[str, Any]] = ()
    response_mode: chat.ResponseMode = "streaming"
    auto_generate_name: bool = False
    workflow_id: str | None = None
    trace_id: str | None = None


def prepare_chat(messages: Sequence[InputMessage], options: ChatOptions) -> Flow[Operation[Answer]]:
    """Work out the request for a list of messages, uploading their files.

    Args:
        messages: Oldest first.
        options: What else the call is made with.

    Returns:
        The operation to stream.

    Raises:
        ValueError: If there is nothing to send, or a message holds what cannot be sent.
        ConversationForkedError: With `on_fork="error"`, if the conversation went on elsewhere.
    """
    request = _plan(messages, options, options.memory)
    if options.on_fork != "ignore" and request.message_id and request.conversation_id:
        newest = yield from _newest_message(request.conversation_id, options.user)
        if newest != request.message_id:
            if options.on_fork == "error":
                raise ConversationForkedError(request.conversation_id, request.message_id, newest)
            request = _plan(messages, options, "client")
    attached = [file for message in messages[request.first :] for file in message.attachments()]
    uploaded = yield from references(attached, options.user)
    files = [*(dict(file) for file in options.files), *uploaded]
    inputs = dict(options.inputs)
    if options.system_input and request.system:
        inputs[options.system_input] = request.system
    return chat.send_message(
        # A message of files alone is sent as a blank, which the server takes, unlike "".
        request.query or (" " if files else ""),
        user=options.user,
        conversation_id=request.conversation_id,
        inputs=inputs,
        files=files,
        response_mode=options.response_mode,
        auto_generate_name=options.auto_generate_name,
        workflow_id=options.workflow_id,
        trace_id=options.trace_id,
    )


def _plan(messages: Sequence[InputMessage], options: ChatOptions, memory: Memory) -> Request:
    return plan_request(
        messages,
        app=options.app,
        user=options.user,
        conversation_id=options.conversation_id if memory == options.memory else None,
        memory=memory,
        system_as_input=options.system_input is not None,
    )


def _newest_message(conversation_id: str, user: str) -> Flow[str | None]:
    """Id of the newest message on the server; None where the conversation is gone or empty."""
    try:
        page = yield list_messages(conversation_id, user=user, limit=1)
    except ConversationNotFoundError:
        return None
    return page.data[-1].id if page.data else None
