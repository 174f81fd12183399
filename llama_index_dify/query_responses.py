"""Responses of a query engine, whose sources are known only at the end of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.schema import NodeWithScore


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


@dataclass
class DifyStreamingResponse(StreamingResponse):
    """An answer that streams; `source_nodes`, `metadata` and `raw` are complete at its end.

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
