"""Responses of a query engine, whose sources are known only at the end of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.schema import NodeWithScore
from typing_extensions import Self

from llama_index_dify.open_streams import aclose


class Tokens(Generator[str, None, None]):
    """Tokens of an answer; a loop over them that is left early stops the app.

    A generator that its response holds would outlive the loop, and the app would go on. So each
    loop has one of its own, which ends with it.

    Args:
        tokens: What they are read from.
    """

    def __init__(self, tokens: Generator[str, None, None]) -> None:
        self._tokens = tokens

    def __iter__(self) -> Generator[str, None, None]:
        yield from self._tokens

    def send(self, value: None) -> str:
        """The next token."""
        return self._tokens.send(value)

    def throw(self, *error: Any) -> str:
        """Raise an error where the next token is read."""
        return self._tokens.throw(*error)

    def close(self) -> None:
        """Leave the stream: the app is stopped if it was going on."""
        self._tokens.close()


class AsyncTokens(AsyncGenerator[str, None]):
    """`Tokens` for asyncio."""

    def __init__(self, tokens: AsyncGenerator[str, None]) -> None:
        self._tokens = tokens

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        try:
            async for token in self._tokens:
                yield token
        finally:
            await aclose([self._tokens])

    async def asend(self, value: None) -> str:
        """The next token."""
        return await self._tokens.asend(value)

    async def athrow(self, *error: Any) -> str:
        """Raise an error where the next token is read."""
        return await self._tokens.athrow(*error)

    async def aclose(self) -> None:
        """Leave the stream: the app is stopped if it was going on."""
        await self._tokens.aclose()


def metadata_of(sources: Sequence[NodeWithScore]) -> dict[str, Any]:
    """Each source's metadata by its node's id, as LlamaIndex's synthesizers return them."""
    return {source.node.node_id: source.node.metadata for source in sources}


@dataclass
class DifyResponse(Response):
    """An answer with its sources.

    Attributes:
        raw: What the app said beside the text: conversation_id, message_id, usage and more, as
            in the response of its LLM.
    """

    raw: Mapping[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: str, sources: list[NodeWithScore], raw: Mapping[str, Any] | None) -> Self:
        """A response with the metadata of its sources."""
        return cls(text, sources, metadata_of(sources), raw)


@dataclass
class DifyStreamingResponse(StreamingResponse):
    """An answer that streams; `source_nodes`, `metadata` and `raw` are complete at its end.

    A loop over `response_gen` that is left early, or its `close()`, stops the app.

    Attributes:
        raw: As in `DifyResponse`; None until the stream has ended.

    Example:
        >>> response = DifyQueryEngine(api_key="app-...", streaming=True).query("And Jupiter?")
        >>> for token in response.response_gen:
        ...     print(token, end="", flush=True)
        >>> len(response.source_nodes)
        3
    """

    raw: Mapping[str, Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.get_response().response or "None"

    def get_response(self) -> DifyResponse:
        """Wait for the answer; a moderator's replacement of what was streamed counts."""
        for _ in self.response_gen:
            pass
        return DifyResponse(self.response_txt, self.source_nodes, self.metadata, self.raw)

    def print_response_stream(self) -> None:
        """Print the answer as it comes, after what has come where that was read before."""
        if self.response_txt is not None:
            print(self.response_txt)
        for token in self.response_gen:
            print(token, end="", flush=True)


@dataclass
class AsyncDifyStreamingResponse(AsyncStreamingResponse):
    """`DifyStreamingResponse` for asyncio: `async for token in response.response_gen`.

    Attributes:
        raw: As in `DifyResponse`; None until the stream has ended.
        began: Whether any of the stream was asked for.
        ended: Whether it is over.
    """

    raw: Mapping[str, Any] | None = field(default=None, repr=False)
    began: bool = field(default=False, init=False, repr=False)
    ended: bool = field(default=False, init=False, repr=False)

    def __str__(self) -> str:
        if self.ended:
            return self.response_txt or "None"
        if self.began and _is_in_event_loop():
            # Waiting here would hold up the very loop that reads the stream.
            raise RuntimeError("the answer is still streaming: await get_response() first")
        return super().__str__()

    async def get_response(self) -> DifyResponse:
        """Wait for the answer; a moderator's replacement of what was streamed counts."""
        async for _ in self.response_gen:
            pass
        return DifyResponse(self.response_txt, self.source_nodes, self.metadata, self.raw)


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
