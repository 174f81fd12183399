"""The way of an answer's text: reasoning out, cut at stop sequences, tool calls read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from langchain_core.messages.tool import ToolCall

from dify_api.answers._thinking import ThinkSplitter
from langchain_dify._texts import StopSequences


class CallReader(Protocol):
    """Reads tool calls out of a text that may hold some."""

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is sure to be no call."""
        ...

    def end(self) -> str:
        """What was held back and turned out to be no call."""
        ...

    @property
    def calls(self) -> list[ToolCall]:
        """The calls, once the text has ended."""
        ...


class TextFlow:
    """What happens to the text of one answer, piece by piece.

    Args:
        reasoning: Whether `<think>` text is taken out.
        stop: Sequences to cut at.
        reader: Makes a reader of tool calls; None where no tools are bound.
    """

    def __init__(
        self,
        reasoning: bool = False,
        stop: Sequence[str] = (),
        reader: Callable[[], CallReader] | None = None,
    ) -> None:
        self.reasoning = reasoning
        self._arguments = (reasoning, tuple(stop), reader)
        self._think = ThinkSplitter() if reasoning else None
        self._stop = StopSequences(stop) if stop else None
        self._reader = reader() if reader else None
        self.is_plain = not (reasoning or stop or reader)
        """Whether text passes as it is."""

    @property
    def is_cut(self) -> bool:
        """Whether a stop sequence has come."""
        return self._stop is not None and self._stop.found

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece; return what it adds to the shown text and to the reasoning."""
        reasoning = ""
        if self._think:
            text, reasoning = self._think.feed(text)
        return self._after_reasoning(text), reasoning

    def end(self) -> tuple[str, str]:
        """What was held back, once no more comes."""
        text, reasoning = self._think.end() if self._think else ("", "")
        if self._stop:
            text = self._stop.feed(text) + self._stop.end()
        if self._reader:
            text = self._reader.feed(text) + self._reader.end()
        return text, reasoning

    def whole(self, text: str) -> tuple[str, str, list[ToolCall]]:
        """Shown text, reasoning and tool calls of a whole text."""
        if self.is_plain:
            return text, "", []
        flow = TextFlow(*self._arguments)
        shown, reasoning = flow.feed(text)
        rest, more = flow.end()
        return shown + rest, reasoning + more, flow._reader.calls if flow._reader else []

    def _after_reasoning(self, text: str) -> str:
        if self._stop:
            text = self._stop.feed(text)
        return self._reader.feed(text) if self._reader else text
