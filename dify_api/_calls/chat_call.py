"""What stands before a chat message: the conversation rule, the fork check, the uploads.

Both adapters prepare a call with `prepare_chat` and then stream its operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, get_args

from dify_api._calls.attachments import references
from dify_api._calls.chat_settings import Memory, OnFork, Transcript
from dify_api._calls.conversation import (
    ConversationForkedError,
    Instructions,
    Request,
    find_anchor,
    plan_request,
)
from dify_api._calls.input_message import InputMessage, Marks
from dify_api._runs.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.endpoints import chat
from dify_api.endpoints.messages import list_messages
from dify_api.errors import ConversationNotFoundError
from dify_api.operation import Operation

_VALUES = {"memory": get_args(Memory), "on_fork": get_args(OnFork)}


@dataclass  # to freeze so many fields takes longer than to make them
class ChatOptions:
    """What a chat call is made with beside its messages.

    Attributes:
        apps: Names of the app (`connection.app_names`): the one it has now, and earlier ones.
        user: The end user.
        conversation_id: Given for this call; None to follow the history.
        inputs: Values of the app's variables.
        system_input: Input that takes the system text; None to write it into the query.
        memory: Who keeps the history.
        on_fork: What to do when the server's conversation went on without the history given.
        transcript: Writes out a history. Default: in English.
        delete_conversation: Whether a conversation that this call begins is deleted after it;
            for `memory="none"`, where nobody could continue it.
        files: Further entries of the request's `files`, as they are.
        response_mode: "streaming" or "blocking".
        auto_generate_name: Whether the server names a new conversation.
        workflow_id: Published version of a chatflow to run.
        trace_id: Your trace id.
        trace_session_id: The session that it belongs to.

    Raises:
        ValueError: If `memory` or `on_fork` is none of its values, or a conversation that goes
            on is to be deleted.
    """

    apps: Sequence[str]
    user: str = field(repr=False)
    conversation_id: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    system_input: str | None = None
    memory: Memory = "server"
    on_fork: OnFork = "ignore"
    transcript: Transcript | None = None
    delete_conversation: bool = False
    files: Sequence[Mapping[str, Any]] = ()
    response_mode: chat.ResponseMode = "streaming"
    auto_generate_name: bool = False
    workflow_id: str | None = None
    trace_id: str | None = None
    trace_session_id: str | None = None

    def __post_init__(self) -> None:
        for name, known in _VALUES.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if self.delete_conversation and self.memory != "none":
            raise ValueError(
                'delete_conversation goes with memory="none": use model.detached('
                "delete_conversation=True)"
            )

    def continues(self, messages: Sequence[InputMessage]) -> bool:
        """Whether a call with these messages goes on with a conversation on the server."""
        _, anchor = find_anchor(messages, self.apps, self.user, self.conversation_id, self.memory)
        return bool(self.conversation_id or anchor)


@dataclass(frozen=True)
class AppCall:
    """A call that is ready.

    Attributes:
        operation: What to stream.
        marks: What the answer is marked with, so that a later call continues from it.
    """

    operation: Operation[Answer]
    marks: Marks = field(default_factory=dict)

    streamed_text: ClassVar[str] = ""
    """What was told of the answer before: nothing."""


def prepare_chat(
    messages: Sequence[InputMessage],
    options: ChatOptions,
    instructions: Instructions = Instructions(),  # noqa: B008  # it is frozen
) -> Flow[AppCall]:
    """Work out the request for a list of messages, uploading their files.

    Args:
        messages: Oldest first.
        options: What else the call is made with.
        instructions: What is asked of the app's model beside the messages.

    Returns:
        The call.

    Raises:
        ValueError: If there is nothing to send, or a message holds what cannot be sent.
        ConversationForkedError: With `on_fork="error"`, if the conversation went on elsewhere.
    """
    request = _plan(messages, options, instructions)
    if (yield from _is_to_begin_anew(request, options)):
        anew = replace(options, conversation_id=None)
        if anew.memory == "server":
            anew = replace(anew, memory="client")
        request = _plan(messages, anew, instructions)
    attached = [file for message in messages[request.first :] for file in message.attachments()]
    uploaded = yield from references(attached, options.user)
    files = [*(dict(file) for file in options.files), *uploaded]
    inputs = dict(options.inputs)
    if options.system_input and request.system:
        inputs[options.system_input] = request.system
    is_own = options.memory == "none" and request.conversation_id is None
    operation = chat.send_message(
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
        delete_conversation=is_own and options.delete_conversation,
    )
    operation = operation.traced(trace_session_id=options.trace_session_id)
    return AppCall(operation, request.marks)


def planned_marks(
    messages: Sequence[InputMessage],
    options: ChatOptions,
    instructions: Instructions = Instructions(),  # noqa: B008  # it is frozen
) -> Marks:
    """What the answer of a call is marked with that was made before."""
    return _plan(messages, options, instructions).marks


def _plan(
    messages: Sequence[InputMessage], options: ChatOptions, instructions: Instructions
) -> Request:
    return plan_request(
        messages,
        apps=options.apps,
        user=options.user,
        conversation_id=options.conversation_id,
        memory=options.memory,
        system_as_input=options.system_input is not None,
        instructions=instructions,
        transcript=options.transcript,
    )


def _is_to_begin_anew(request: Request, options: ChatOptions) -> Flow[bool]:
    """Whether the conversation is gone, or went on without the history given.

    Raises:
        ConversationForkedError: Where that is an error.
    """
    if options.on_fork == "ignore" or request.conversation_id is None:
        return False
    if options.on_fork == "error" and request.message_id is None:
        return False  # nothing to compare with
    try:
        page = yield list_messages(request.conversation_id, user=options.user, limit=1)
    except ConversationNotFoundError:
        newest, is_gone = None, True
    else:
        newest, is_gone = (page.data[-1].id if page.data else None), False
    forked = request.message_id is not None and newest != request.message_id
    if forked and options.on_fork == "error":
        raise ConversationForkedError(request.conversation_id, request.message_id or "", newest)
    return forked or is_gone
