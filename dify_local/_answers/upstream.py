"""Answers from a model: any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import httpx

from dify_local._answers.reply import Failure, Step
from dify_local._protocol.values import JsonObject
from dify_local._storage.conversations import Turn

_SYSTEM = "Answer the question from this context where it helps:\n\n"


@dataclass
class Upstream:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        url: Base URL, such as `http://localhost:11434/v1`.
        model: Name of the model.
        key: API key, if the endpoint wants one.
        timeout: Longest silence in seconds.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0

    async def answer(
        self, query: str, context: str, history: Sequence[Turn] = ()
    ) -> AsyncGenerator[Step, None]:
        """Stream the model's answer.

        Args:
            query: The question.
            context: Retrieved text.
            history: Earlier turns, oldest first.

        Yields:
            Pieces of text, or a `Failure` when the endpoint cannot be reached or refuses.
        """
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        request = {
            "model": self.model,
            "messages": _messages(query, context, history),
            "stream": True,
        }
        url = f"{self.url.rstrip('/')}/chat/completions"
        try:
            async with (
                httpx.AsyncClient(headers=headers, timeout=self.timeout) as client,
                client.stream("POST", url, json=request) as response,
            ):
                if response.is_error:
                    yield _failure(response.status_code)
                    return
                async for line in response.aiter_lines():
                    text = _delta(line)
                    if text:
                        yield text
        except httpx.HTTPError as error:
            yield Failure(
                "completion_request_error",
                400,
                f"[models] Connection Error, {type(error).__name__}",
            )


def _messages(query: str, context: str, history: Sequence[Turn]) -> list[JsonObject]:
    messages = [{"role": "system", "content": f"{_SYSTEM}{context}"}] if context else []
    for turn in history:
        messages.append({"role": "user", "content": turn.query})
        messages.append({"role": "assistant", "content": turn.answer})
    return [*messages, {"role": "user", "content": query}]


def _failure(status: int) -> Failure:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Failure("rate_limit_error", 429, "[models] Rate Limit Error, too many requests")
    return Failure(
        "completion_request_error", 400, f"[models] Server Unavailable Error, status {status}"
    )


def _delta(line: str) -> str:
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return ""
    choices = json.loads(data).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""
