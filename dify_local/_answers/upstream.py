"""Answers from a model: any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dify_local._answers.reply import Failure, Silence, Step, TokenCount
from dify_local._protocol.values import JsonObject
from dify_local._storage.conversations import Turn

if TYPE_CHECKING:  # 0.1 s, which those without a model upstream need not wait for
    import httpx

_SYSTEM = "Answer the question from this context where it helps:\n\n"
_LONGEST_MESSAGE = 500
_LOOK_UP_EVERY = 0.1


@dataclass
class Upstream:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        url: Base URL, such as `http://localhost:11434/v1`.
        model: Name of the model.
        key: API key, if the endpoint wants one.
        timeout: Longest silence in seconds.

    Raises:
        ValueError: The URL is none.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    _client: httpx.AsyncClient | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            valid = urlsplit(self.url).scheme in {"http", "https"} and urlsplit(self.url).hostname
        except ValueError:
            valid = None
        if not valid:
            raise ValueError(
                f"The upstream {self.url!r} is no URL such as http://localhost:11434/v1"
            )

    async def answer(
        self, query: str, context: str, history: Sequence[Turn] = (), images: Sequence[str] = ()
    ) -> AsyncGenerator[Step, None]:
        """Stream the model's answer.

        Args:
            query: The question.
            context: Retrieved text.
            history: Earlier turns, oldest first.
            images: URLs of images that came with the question, `data:` ones too.

        Yields:
            Pieces of text, the token count where the endpoint tells it, or a `Failure` when the
            endpoint cannot be reached, refuses, or does not answer in text to the end.
        """
        import httpx

        request = {
            "model": self.model,
            "messages": _messages(query, context, history, images),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        url = f"{self.url.rstrip('/')}/chat/completions"
        try:
            async with self._connected().stream("POST", url, json=request) as response:
                if response.is_error:
                    yield self._refusal(response.status_code, await response.aread())
                    return
                answer = _Answer()
                async for chunk in _chunks(response):
                    for step in answer.read(chunk):
                        yield step
                for step in answer.ending():
                    yield step
        except _Unreadable as error:
            yield self._failure("Bad Response Error", str(error))
        except httpx.HTTPError as error:
            yield self._failure("Connection Error", type(error).__name__)

    def _connected(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
            self._client = httpx.AsyncClient(headers=headers, timeout=self.timeout)
        return self._client

    async def close(self) -> None:
        """Close the connections; the next answer opens others."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    def _refusal(self, status: int, body: bytes) -> Failure:
        try:
            message = _error_message(json.loads(body)) or f"status {status}"
        except ValueError:
            message = f"status {status}"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Failure("rate_limit_error", 429, self._message("Rate Limit Error", message))
        kind = "Server Unavailable Error" if status >= 500 else "Bad Request Error"
        return self._failure(kind, message)

    def _failure(self, kind: str, message: str) -> Failure:
        return Failure("completion_request_error", 400, self._message(kind, message))

    def _message(self, kind: str, message: str) -> str:
        # Some endpoints repeat the key that they refuse.
        safe = message.replace(self.key, "[key]") if self.key else message
        return f"[models] {kind}, {safe[:_LONGEST_MESSAGE]}"


async def patiently(steps: AsyncGenerator[Step, None]) -> AsyncGenerator[Step, None]:
    """Yield steps, and while the next one is awaited a `Silence` now and then.

    So pings go out, and a stop is noticed, whatever the endpoint does.
    """
    async with aclosing(steps):
        while True:
            following = asyncio.ensure_future(anext(steps, None))
            try:
                while not (await asyncio.wait({following}, timeout=_LOOK_UP_EVERY))[0]:
                    yield Silence(0)
            finally:
                following.cancel()
                await asyncio.wait({following})
            step = following.result()
            if step is None:
                return
            yield step


class _Unreadable(Exception):  # noqa: N818 - becomes a `Failure`
    """The endpoint's answer is not what an OpenAI-compatible one sends."""


@dataclass
class _Answer:
    """What a model has said so far, streamed in chunks or whole."""

    text: bool = False
    finished: bool = False
    tools: list[str] = field(default_factory=list)
    usage: TokenCount | None = None

    def read(self, chunk: JsonObject) -> list[Step]:
        """Return the text of a chunk.

        Raises:
            _Unreadable: The chunk is an error.
        """
        if chunk.get("error"):
            raise _Unreadable(_error_message(chunk) or "an error without a message")
        self._count(chunk.get("usage"))
        choices = chunk.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return []
        choice = choices[0]
        self.finished = self.finished or bool(choice.get("finish_reason"))
        said = choice.get("delta") or choice.get("message") or {}
        for call in said.get("tool_calls") or []:
            name = (call.get("function") or {}).get("name")
            self.tools.extend([name] if name else [])
        text = said.get("content")
        if not (isinstance(text, str) and text):
            return []
        self.text = True
        # Some split a character over two chunks; half of it cannot be sent on.
        return [text.encode(errors="replace").decode()]

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
            prompt, completion = (count if isinstance(count, int) else 0 for count in counts)
            self.usage = TokenCount(prompt, completion)

    def ending(self) -> list[Step]:
        """Return what follows the last piece of text.

        Raises:
            _Unreadable: The stream has ended early, or nothing was said in text.
        """
        if not self.finished:
            raise _Unreadable("the stream ended before the answer did")
        if self.tools and not self.text:
            raise _Unreadable(f"the model called {', '.join(self.tools)} instead of answering")
        return [self.usage] if self.usage else []


async def _chunks(response: httpx.Response) -> AsyncIterator[JsonObject]:
    """Yield the chunks of a streamed answer, or the one of an answer that came whole."""
    content_type = response.headers.get("content-type", "")
    if content_type.startswith("application/json"):
        yield _parsed(await response.aread())
        yield _DONE
        return
    async for line in _lines(response):
        field_name, _, data = line.partition(b":")
        if field_name != b"data":
            continue
        if data.strip() == b"[DONE]":
            yield _DONE
            return
        yield _parsed(data)


# Some endpoints leave `finish_reason` out.
_DONE: JsonObject = {"choices": [{"finish_reason": "stop"}]}


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    # Not `aiter_lines`, which ends a line at U+2028 as well.
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    yield rest


def _parsed(data: bytes) -> JsonObject:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _Unreadable(f"no JSON object: {data[:80].decode(errors='replace').strip()!r}")
    return value


def _error_message(body: object) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    return message if isinstance(message, str) else ""


def _messages(
    query: str, context: str, history: Sequence[Turn], images: Sequence[str]
) -> list[JsonObject]:
    messages: list[JsonObject] = []
    if context:
        messages.append({"role": "system", "content": f"{_SYSTEM}{context}"})
    for turn in history:
        messages.append({"role": "user", "content": turn.query})
        messages.append({"role": "assistant", "content": turn.answer})
    if not images:
        return [*messages, {"role": "user", "content": query}]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [*messages, {"role": "user", "content": [*parts, {"type": "text", "text": query}]}]
