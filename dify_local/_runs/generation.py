"""One answer being made: its ids, its text so far, and the ways it can be stopped."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from dify_local._answers.reply import Failure, Pause, Reply, Silence, Step, Thought, TokenCount
from dify_local._apps.app import App
from dify_local._protocol.events import PING
from dify_local._protocol.values import JsonObject, new_id, now, seconds_since
from dify_local._runs.usage import count_tokens, no_usage, usage
from dify_local._storage.store import EndUser

# Sleeping is cheaper than waiting for a stop; a stop may come late by so many seconds.
_SHORT = 0.05


class GenerationStopped(Exception):  # noqa: N818 - a stop is no error
    """Somebody called the stop endpoint."""


class GenerationFailed(Exception):  # noqa: N818 - named after what happened
    """The model failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Pace:
    """How fast answers come.

    Args:
        token_delay: Seconds before each token.
        ping_interval: Seconds between pings.

    Raises:
        ValueError: Time would run backwards, or pings would never end.
    """

    token_delay: float = 0.0
    ping_interval: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.token_delay < math.inf:
            raise ValueError(f"The delay of a token is 0 seconds or more, not {self.token_delay}")
        if not self.ping_interval > 0:
            raise ValueError(f"Pings come more than 0 seconds apart, not {self.ping_interval}")


@dataclass
class Generation:
    """An answer in the making.

    Attributes:
        app: The app that answers.
        end_user: Who asked.
        query: What was asked.
        inputs: Values of the input form.
        files: Files that came with the question, as file objects.
        reply: What is going to be said.
        pace: How fast.
        conversation_id: The conversation; None in completion and workflow apps.
        task_id: Names this generation at the stop endpoint.
        message_id: Names the answer for ever.
        created_at: Time of the question in epoch seconds.
        parts: The text so far, in tokens.
        stopped: Set when somebody calls the stop endpoint.
        counted: The tokens as a model upstream has counted them.
    """

    app: App
    end_user: EndUser
    query: str
    inputs: JsonObject
    files: list[JsonObject]
    reply: Reply
    pace: Pace
    conversation_id: str | None = None
    task_id: str = field(default_factory=new_id)
    message_id: str = field(default_factory=new_id)
    created_at: int = field(default_factory=now)
    parts: list[str] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    counted: TokenCount | None = None

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self._next_ping = self.began + self.pace.ping_interval

    @property
    def answer(self) -> str:
        """Return the text so far."""
        return "".join(self.parts)

    def replace(self, text: str) -> None:
        """Replace the text so far."""
        self.parts = [text]

    def elapsed(self) -> float:
        """Return the seconds since the question."""
        return seconds_since(self.began)

    def usage(self) -> JsonObject:
        """Return the token usage so far; a stopped answer has none, as on real servers."""
        if self.reply.preset:
            return no_usage()
        latency = self.elapsed()
        if self.stopped.is_set():
            return usage(0, 0, latency=latency, timed=False)
        timed = self.app.mode != "agent"
        if self.counted:
            counts = self.counted.prompt_tokens, self.counted.completion_tokens
            return usage(*counts, latency=latency, timed=timed)
        prompt_tokens = count_tokens(f"{self.query} {self.reply.context}")
        return usage(prompt_tokens, count_tokens(self.answer), latency=latency, timed=timed)

    async def play(self, *, separate_thoughts: bool = False) -> AsyncIterator[Step | JsonObject]:
        """Yield the steps of the reply in time, with pings in between.

        Text is added to `parts`. A `Pause` is yielded too; the caller decides what it means.

        Args:
            separate_thoughts: Yield thoughts as such; else they are text in `<think>`.

        Raises:
            GenerationStopped: The stop endpoint was called.
            GenerationFailed: The reply contains a failure.
        """
        inlined = self.reply.thinks and not separate_thoughts
        steps = _inlined(self.reply.steps) if inlined else self.reply.steps
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Failure):
                    raise GenerationFailed(step)
                if isinstance(step, TokenCount):
                    self.counted = step
                    continue
                async for ping in self._before(step):
                    yield ping
                if isinstance(step, str):
                    self.parts.append(step)
                if not isinstance(step, Silence):
                    yield step
                if isinstance(step, Pause):
                    return

    def _before(self, step: Step) -> AsyncIterator[JsonObject]:
        if isinstance(step, Silence):
            return self.rest(step.seconds, pings=step.pings)
        return self.rest(self.pace.token_delay)

    async def rest(self, seconds: float, *, pings: bool = True) -> AsyncIterator[JsonObject]:
        """Let some seconds pass, yielding a ping whenever one is due.

        Raises:
            GenerationStopped: The stop endpoint was called meanwhile.
        """
        clock = time.monotonic
        deadline = clock() + seconds
        while True:
            if self.stopped.is_set():
                raise GenerationStopped
            left = deadline - clock()
            if pings:
                left = min(left, self._next_ping - clock())
            await self._sleep(left)
            if pings and clock() >= self._next_ping:
                self._next_ping += self.pace.ping_interval
                yield PING
            if clock() >= deadline:
                break
        if self.stopped.is_set():
            raise GenerationStopped

    async def _sleep(self, seconds: float) -> None:
        if seconds <= _SHORT:
            await asyncio.sleep(max(0.0, seconds))
            return
        timeout = None if seconds == float("inf") else seconds
        try:
            await asyncio.wait_for(self.stopped.wait(), timeout)
        except asyncio.TimeoutError:
            return


async def _inlined(steps: AsyncGenerator[Step, None]) -> AsyncGenerator[Step, None]:
    """Yield steps with thoughts as text, between the tags that models put around them."""
    thinking = False
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Thought) != thinking:
                thinking = not thinking
                yield "<think>\n" if thinking else "\n</think>\n\n"
            yield step.text if isinstance(step, Thought) else step
