"""The events of an answer: text, thoughts, files, speech, its end and its failure."""

from __future__ import annotations

from typing import Any, Literal

from dify_api.models import AnswerFile, Model, Moment, RetrieverResource, Usage


class Event(Model):
    """What all events share.

    Ids are absent where the mode has none: completion streams have no `conversation_id`,
    `ping` and (from 0.6.0) `error` no `task_id`.
    """

    event: str = ""
    task_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    created_at: Moment | None = None
    """When the message was created: the same on all events of a stream."""


class PingEvent(Event):
    """A sign of life, every 10 seconds and at the start of workflow and chatflow streams."""

    event: Literal["ping"] = "ping"


class UnknownEvent(Event):
    """An event that this release does not know; its fields are in `model_extra`."""


class WarningEvent(Event):
    """A remark of the server about the request."""

    event: Literal["warning"] = "warning"
    warning: str = ""


class ErrorEvent(Event):
    """The failure that ends the stream."""

    event: Literal["error"] = "error"
    workflow_run_id: str | None = None
    code: str | None = None
    status: int | None = None
    message: str | None = None


# The answer's text ---------------------------------------------------------------------------


class MessageEvent(Event):
    """A piece of the answer (or, at the end of a New Agent's run, the whole of it)."""

    event: Literal["message"] = "message"
    id: str | None = None
    answer: str = ""
    from_variable_selector: list[str] | None = None
    """Node and variable that the text came from, in chatflows."""


class AgentMessageEvent(Event):
    """A piece of an agent's answer."""

    event: Literal["agent_message"] = "agent_message"
    id: str | None = None
    answer: str = ""


class MessageFileEvent(Event):
    """A file that a tool made.

    Servers 1.11.2 to 1.12.1 send text under this name when a file is attached to the question:
    `answer` is then set, and `url` is not.
    """

    event: Literal["message_file"] = "message_file"
    id: str | None = None
    type: str | None = None
    belongs_to: str | None = None
    url: str | None = None
    answer: str | None = None
    from_variable_selector: list[str] | None = None


class AnnotationEvent(Event):
    """A canned answer (0.3.x; later an ordinary `message`)."""

    event: Literal["annotation"] = "annotation"
    id: str | None = None
    answer: str = ""
    annotation_id: str | None = None
    annotation_author_name: str | None = None


class MessageReplaceEvent(Event):
    """The text so far is replaced: by moderation, or by the stored text on re-attaching."""

    event: Literal["message_replace"] = "message_replace"
    answer: str = ""
    reason: str | None = None
    """1.3.1 and later: "output_moderation" or ""."""


class TextChunk(Model):
    """`data` of a `text_chunk` or `text_replace`."""

    text: str = ""
    from_variable_selector: list[str] | None = None


class TextChunkEvent(Event):
    """A piece of the text outputs of a workflow app."""

    event: Literal["text_chunk"] = "text_chunk"
    workflow_run_id: str | None = None
    data: TextChunk = TextChunk()


class TextReplaceEvent(Event):
    """The text of a workflow app so far is replaced by moderation."""

    event: Literal["text_replace"] = "text_replace"
    workflow_run_id: str | None = None
    data: TextChunk = TextChunk()


class ReasoningChunk(Model):
    """`data` of a `reasoning_chunk`."""

    message_id: str | None = None
    node_id: str | None = None
    reasoning: str = ""
    is_final: bool = False


class ReasoningChunkEvent(Event):
    """A piece of a model's reasoning, kept out of the answer (1.16.0)."""

    event: Literal["reasoning_chunk"] = "reasoning_chunk"
    workflow_run_id: str | None = None
    data: ReasoningChunk = ReasoningChunk()


class AgentThoughtEvent(Event):
    """A step of an agent. Sent again with the same `id` as more of it becomes known."""

    event: Literal["agent_thought"] = "agent_thought"
    id: str | None = None
    position: int | None = None
    """From 1."""
    thought: str | None = None
    observation: str | None = None
    tool: str | None = None
    """Names of the tools called, joined by ";"."""
    tool_labels: dict[str, Any] | None = None
    tool_input: str | None = None
    """JSON text."""
    message_files: list[str] | None = None


class AnswerMetadata(Model):
    """`metadata` of a `message_end` or of a blocking answer."""

    usage: Usage | None = None
    retriever_resources: list[RetrieverResource] | None = None
    annotation_reply: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None


class MessageEndEvent(Event):
    """The end of the answer, with usage and citations."""

    event: Literal["message_end"] = "message_end"
    id: str | None = None
    metadata: AnswerMetadata | None = None
    files: list[AnswerFile] | None = None
    retriever_resources: list[RetrieverResource] | None = None
    """0.3.x only; later inside `metadata`."""


class TTSMessageEvent(Event):
    """A piece of the spoken answer."""

    event: Literal["tts_message"] = "tts_message"
    audio: str = ""
    """Base64 of MP3 bytes."""


class TTSMessageEndEvent(Event):
    """The end of the spoken answer."""

    event: Literal["tts_message_end"] = "tts_message_end"
    audio: str = ""
