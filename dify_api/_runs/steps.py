"""What a course is made of.

A course is a generator, pure and without a twin. It yields what is to be done next and is told
what came of it; the two edges in `streams` do it:

- an `Operation` is sent, its result or its `DifyError` comes back;
- `Follow` opens a stream, whose events are read into the answer; what broke the connection comes
  back, None where the server ended it, or the `DifyError` of a stream that was refused;
- `TakeTurn` and `Pause` come back once they are over.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from dify_api._runs.flows import Pause
from dify_api.answers._reader import AnswerReader
from dify_api.answers.answer import Answer
from dify_api.operation import Operation


@dataclass(frozen=True)
class Follow:
    """Read the events of a call into the answer.

    Attributes:
        operation: The call.
        patience: Seconds for which it may bring nothing but pings, at any time; None for the
            connection's `progress_timeout`.
    """

    operation: Operation[Answer]
    patience: float | None = None

    @property
    def begins(self) -> bool:
        """Whether it begins the answer, rather than going on with it."""
        return self.operation.method == "POST"


@dataclass(frozen=True)
class TakeTurn:
    """Wait for the turn of a conversation, and hold it until the answer has ended.

    Attributes:
        conversation_id: The conversation.
        begins: Whether a message is begun: a second apart from the one before.
    """

    conversation_id: str
    begins: bool = True


Step = Follow | TakeTurn | Pause | Operation[Any]
Course = Generator[Step, Any, None]
Plan = Callable[[AnswerReader], Course]
"""Makes the course of an answer, once there is what reads it."""
