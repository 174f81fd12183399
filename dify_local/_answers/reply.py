"""What an answer consists of, before the mode of an app dresses it in events.

A step is a piece of text (a `str`, one token) or one of the classes below.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge import Hit

_TOKEN = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class Silence:
    """Nothing happens for some seconds; pings go out unless `pings` is false."""

    seconds: float
    pings: bool = True


@dataclass(frozen=True)
class Failure:
    """The model fails."""

    code: str
    status: int
    message: str


@dataclass(frozen=True)
class Replacement:
    """Output moderation replaces the text so far."""

    text: str


@dataclass(frozen=True)
class Attachment:
    """The answer brings a file."""

    name: str
    mime_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Pause:
    """The run waits for a person to fill in a form.

    Args:
        lifetime: Seconds until the form expires and the run goes on without it; three days where
            none are named.
    """

    lifetime: float | None = None


@dataclass(frozen=True)
class TokenCount:
    """How many tokens a model says it has read and written."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Thought:
    """A piece of what the model thinks, where that is separated from what it says."""

    text: str


GRAPH_PARTS = ("iteration", "loop", "retry", "branches", "agent")


@dataclass(frozen=True)
class GraphPart:
    """Nodes that a workflow or chatflow has beside its model.

    Args:
        kind: One of `GRAPH_PARTS`; `retry` makes the model fail first.
        count: How many items, rounds, retries or branches.
    """

    kind: str
    count: int


Step: TypeAlias = str | Silence | Failure | Replacement | Attachment | Pause | Thought | TokenCount


@dataclass(frozen=True)
class ToolCall:
    """One use of a tool by an agent."""

    tool: str
    tool_input: JsonObject
    observation: str


@dataclass
class Reply:
    """A whole answer, ready to be played.

    Attributes:
        steps: The pieces in order.
        hits: Retrieved segments, cited at the end.
        tool_calls: Tools an agent uses first.
        context: Text the model has read beside the query; it counts as prompt tokens.
        speech: Whether the answer is read aloud.
        preset: Whether the text was known before anybody asked, so that no model says it.
        thinks: Whether there are thoughts among the steps.
        graph_parts: Nodes that the graph of a workflow or chatflow has for this answer.
        annotation: The annotation that answers instead of a model, as `metadata` names it.
        outputs: What a workflow gives, if that is told.
        events: The stream itself, if it is told; then there is nothing else.
    """

    steps: AsyncGenerator[Step, None]
    hits: list[Hit] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    context: str = ""
    speech: bool = False
    annotation: JsonObject | None = None
    preset: bool = False
    thinks: bool = False
    graph_parts: list[GraphPart] = field(default_factory=list)
    outputs: JsonObject | None = None
    events: list[JsonObject] | None = None


def tokens(text: str) -> list[str]:
    """Split a text into the pieces that are streamed: words with the space behind them.

    Joining the pieces gives the text back.

    Example:
        >>> tokens("Hello wide  world")
        ['Hello ', 'wide  ', 'world']
    """
    return _TOKEN.findall(text)


async def play(steps: Iterable[Step]) -> AsyncGenerator[Step, None]:
    """Return known steps as the stream that a model would give."""
    for step in steps:
        yield step


def text_reply(text: str, *, hits: Iterable[Hit] = ()) -> Reply:
    """Return the reply that says a text word by word."""
    return Reply(play(tokens(text)), list(hits))
