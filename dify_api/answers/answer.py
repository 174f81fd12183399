"""The answer of an app."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dify_api.answers.events import (
    AgentThoughtEvent,
    HumanInputForm,
    WorkflowFinished,
)
from dify_api.models import AnswerFile, Model, RetrieverResource, Usage


class Answer(Model):
    """What an app answered, whole or (on an error's `answer`) as far as it came.

    Example:
        >>> answer = client.send(chat.send_message("Which planet has most moons?", user="ann"))
        >>> answer.text, answer.conversation_id, answer.usage.total_tokens
        ('Saturn ...', '7719ddd9-...', 178)
    """

    text: str = ""
    """The answer: the moderator's replacement if there was one; else a New Agent's closing
    message; else a chatflow's own outputs; else the streamed pieces in order."""
    streamed_text: str = ""
    """The streamed pieces in order, which some releases lose or double."""
    conversation_id: str | None = None
    message_id: str | None = None
    task_id: str | None = None
    workflow_run_id: str | None = None
    created_at: datetime | None = None
    usage: Usage | None = None
    """Tokens and price; of a workflow, and of a chatflow that was left, those of its nodes."""
    retriever_resources: list[RetrieverResource] = []
    files: list[AnswerFile] = []
    """What the app made, without the user's own attachments."""
    agent_thoughts: list[AgentThoughtEvent] = []
    """An agent's steps in order, each in its last state."""
    reasoning: str = ""
    """What `reasoning_chunk` events said (1.16.0)."""
    annotation_reply: dict[str, Any] | None = None
    """The annotation that answered, where one did."""
    outputs: dict[str, Any] | None = None
    """A workflow's outputs, or a chatflow's; of a datasource its `data`, a list."""
    workflow: WorkflowFinished | None = None
    """How the run ended: status, steps, tokens, seconds."""
    forms: list[HumanInputForm] = []
    """The forms that the app waits for: of a paused run, on the error's `answer`, and of a New
    Agent that asks a human."""
    finish_reason: str | None = None
    """"stop"; "stopped" after a stop, by this process or by moderation; None while unfinished."""
    lacks_message_end: bool = False
    """Whether the server left out a chatflow's `message_end`: usage and citations are unknown."""
