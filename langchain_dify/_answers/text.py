"""What is done to an answer's text while it streams.

Reasoning goes out, stop sequences cut it, tool calls are read, and the last piece may replace it.
Pure, and indifferent to where the pieces of the text are cut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile

from langchain_core.messages.base import TextAccessor
from typing_extensions import Self

from dify_api.answers._stop import StopSequences
from dify_api.answers._thinking import ThinkSplitter
from dify_api.answers._tool_calls import Call, ToolCallReader


class StreamedText(TextAccessor):
    """A piece of a streamed text, which may take the place of all that came before it.

    Whoever joins the pieces sees what each shows; whoever adds them up ends at the answer, in
    whatever order they are added.

    Args:
        text: The piece, or what replaces all before it.
        replaces: Whether it does.
        shown: What those see who do not add but print. Default: `text`.

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

    # The sums are of this class again: LangChain merges blocks only where the types are the same.

    def __radd__(self, before: str) -> StreamedText:
        if self.replacement is None:
            return StreamedText(before + str(self))
        return StreamedText(self.replacement, replaces=True)

    def __add__(self, after: str) -> StreamedText:
        if isinstance(after, StreamedText) and after.replacement is not None:
            return StreamedText(after.replacement, replaces=True)
        if self.replacement is None:
            return StreamedText(str(self) + str(after))
        return StreamedText(self.replacement + str(after), replaces=True)

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (self.replacement, str(self)))


def _restore(replacement: str | None, shown: str) -> StreamedText:
    if replacement is None:
        return StreamedText(shown)
    return StreamedText(replacement, replaces=True, shown=shown)


def unseen(shown: str, answer: str) -> str:
    """What of an answer is not shown yet; all of it where another text was shown.

    Example:
        >>> unseen("Saturn has", "Saturn has 146 moons.")
        ' 146 moons.'
        >>> unseen("Saturn. ", "Saturn.")
        ''
        >>> unseen("Jupiter", "Saturn")
        'Saturn'
    """
    if _unsigned(shown) == _unsigned(answer):
        return ""
    begun = _LAST_MARKS.sub("", shown)
    if begun and answer.startswith(begun):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(shown, answer, strict=False))
        return answer[sum(1 for _ in same) :]
    return answer


def is_scrambled(shown: str, answer: str) -> bool:
    """Whether all of an answer was shown, among other words or with its pieces mixed up.

    Servers mix up what runs side by side, and an agent's last message repeats the end of what it
    wrote before.

    Example:
        >>> is_scrambled("Let me see. It is noon.", "It is noon.")
        True
    """
    seen, said = _unsigned(shown), _unsigned(answer)
    words, seen_words = Counter(said), Counter(seen)
    return seen[len(seen) - len(said) :] == said or (
        words <= seen_words and 2 * words.total() >= seen_words.total()
    )


def _unsigned(text: str) -> list[str]:
    """The words of a text, the signatures of its files' addresses aside."""
    return _SIGNATURE.sub("", text).split()


_LAST_MARKS = re.compile(r"\W+$")
_SIGNATURE = re.compile(r"(?<=\?)(?:(?:timestamp|nonce|sign)=[^&\s)\]\"'<>]*&?)+")


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
        self._sequences, self._new_reader = tuple(stop), reader
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

    def fresh(self) -> TextFilter:
        """One that does the same to another text."""
        return TextFilter(self.reasoning, self._sequences, self._new_reader)

    def whole(self, text: str) -> tuple[str, str, list[Call]]:
        """Shown text, reasoning and tool calls of a whole text."""
        if self.is_plain:
            return text, "", []
        fresh = self.fresh()
        shown, reasoning = fresh.feed(text)
        rest, more = fresh.end()
        return shown + rest, reasoning + more, fresh._reader.calls if fresh._reader else []

    def _after_reasoning(self, text: str) -> str:
        if self._stop:
            text = self._stop.feed(text)
        return self._reader.feed(text) if self._reader else text
