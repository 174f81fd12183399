"""What is done to an answer's text while it streams.

Reasoning goes out, stop sequences cut it, tool calls are read, and the last piece may replace it.
Pure, and indifferent to where the pieces of the text are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langchain_core.messages.tool import ToolCall
from typing_extensions import Self

from dify_api.answers._thinking import ThinkSplitter, beginning_at_end
from langchain_dify._answers.tool_calls import ToolCallReader


class StreamedText(str):
    """A piece of a streamed text, which may take the place of all that came before it.

    Chunks of a message are merged by `+`. The last one carries a replacement where the answer
    turned out not to be what was streamed (moderation, a server that lost or doubled pieces), so
    that merged chunks, in LangChain's own merging too, end at the answer.

    Args:
        text: The piece, or what replaces all before it.
        replaces: Whether it does.
        shown: What those see who do not merge but print. Default: `text`.

    Example:
        >>> "bad wor" + StreamedText("I cannot say that.", replaces=True)
        'I cannot say that.'
    """

    replacement: str | None

    def __new__(cls, text: str, *, replaces: bool = False, shown: str | None = None) -> Self:
        """Make a piece."""
        piece = super().__new__(cls, text if shown is None else shown)
        piece.replacement = text if replaces else None
        return piece

    def __radd__(self, before: str) -> str:
        return before + str(self) if self.replacement is None else self.replacement

    def __add__(self, other: str) -> StreamedText:
        # Of this class again: LangChain merges blocks only where the types are the same.
        if isinstance(other, StreamedText) and other.replacement is not None:
            return StreamedText(other.replacement)
        return StreamedText(str(self) + str(other))

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (self.replacement, str(self)))


def _restore(replacement: str | None, shown: str) -> StreamedText:
    if replacement is None:
        return StreamedText(shown)
    return StreamedText(replacement, replaces=True, shown=shown)


def remainder(shown: str, answer: str) -> str | None:
    """What must follow `shown` so that the whole is `answer`; None if nothing must.

    Example:
        >>> remainder("Saturn has", "Saturn has 146 moons.")
        ' 146 moons.'
        >>> remainder("Jupiter", "Saturn")  # replaces what it is added to
        'Saturn'
    """
    if answer == shown:
        return None
    if answer.startswith(shown):
        return answer[len(shown) :]
    return StreamedText(answer, replaces=True)


class StopSequences:
    """Cuts a text at the first of some sequences, wherever the pieces are cut.

    Example:
        >>> stop = StopSequences(["STOP"])
        >>> stop.feed("one ST"), stop.feed("OP two"), stop.found
        ('one ', '', True)
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""
        self.found = False

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is sure to stand before any sequence."""
        if self.found:
            return ""
        text = self._held + piece
        places = [place for s in self._sequences if (place := text.find(s)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        kept = max((beginning_at_end(text, s) for s in self._sequences), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """The text that was held back, once no more comes."""
        held, self._held = self._held, ""
        return held


class TextFilter:
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
        reader: Callable[[], ToolCallReader] | None = None,
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
        fresh = TextFilter(*self._arguments)
        shown, reasoning = fresh.feed(text)
        rest, more = fresh.end()
        return shown + rest, reasoning + more, fresh._reader.calls if fresh._reader else []

    def _after_reasoning(self, text: str) -> str:
        if self._stop:
            text = self._stop.feed(text)
        return self._reader.feed(text) if self._reader else text
