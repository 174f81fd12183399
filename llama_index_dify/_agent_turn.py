"""What a model needs to know of the agent that it answers for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dify_api._calls.tool_calling import tool_instructions
from dify_api.answers._tool_calls import ToolCallReader
from dify_api.answers.answer import Answer


@dataclass(frozen=True)
class AgentTurn:
    """A step of an agent.

    Attributes:
        agent: Its name. Agents of one app have conversations of their own.
        tools: What it may call, in OpenAI's format.
        on_answer: Told the whole answer.
    """

    agent: str
    tools: Sequence[dict[str, Any]] = ()
    on_answer: Callable[[Answer], None] | None = None

    @property
    def offer(self) -> str:
        """The text that offers the tools to the app's model; "" where there is none."""
        return tool_instructions(self.tools) if self.tools else ""

    def reader(self) -> ToolCallReader | None:
        """What reads calls of the tools."""
        names = [tool["function"]["name"] for tool in self.tools]
        return ToolCallReader(names) if names else None

    def app_names(self, names: Sequence[str]) -> list[str]:
        """The names by which the agent's own answers are marked."""
        return [f"{name} {self.agent}" for name in names]
