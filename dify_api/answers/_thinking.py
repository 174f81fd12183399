"""Reasoning that models write into their answer, between `<think>` and `</think>`.

Servers send it inline, even where the app keeps reasoning apart (1.12.1, 1.14.2).
"""

from __future__ import annotations


class ThinkSplitter:
    r"""Splits a text that begins with `<think>...</think>` into answer and reasoning.

    Example:
        >>> split = ThinkSplitter()
        >>> split.feed("<thi"), split.feed("nk>Hm"), split.feed("m.</think>\n\nHello")
        (('', ''), ('', 'Hm'), ('Hello', 'm.'))
    """

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._trim = False  # blank space between reasoning and answer belongs to neither

    @classmethod
    def split(cls, text: str) -> tuple[str, str]:
        """Answer and reasoning of a whole text."""
        splitter = cls()
        answer, reasoning = splitter.feed(text)
        rest, more = splitter.end()
        return answer + rest, reasoning + more

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return what it adds to the answer and to the reasoning."""
        text, self._held = self._held + piece, ""
        answer, reasoning = "", ""
        while text:
            tag = "</think>" if self._inside else "<think>"
            before, found, text = text.partition(tag)
            if not found:
                kept = beginning_at_end(before, tag)
                self._held = before[len(before) - kept :]
                before = before[: len(before) - kept]
            if self._inside:
                reasoning += before
            else:
                answer += self._trimmed(before)
            if found:
                self._trim = self._inside
                self._inside = not self._inside
        return answer, reasoning

    def end(self) -> tuple[str, str]:
        """What was held back, once no more comes."""
        held, self._held = self._held, ""
        return ("", held) if self._inside else (self._trimmed(held), "")

    def _trimmed(self, text: str) -> str:
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        return text


def beginning_at_end(text: str, sequence: str) -> int:
    """Length of the longest proper beginning of `sequence` that `text` ends with.

    Example:
        >>> beginning_at_end("one ST", "STOP")
        2
    """
    for length in range(min(len(sequence) - 1, len(text)), 0, -1):
        if text.endswith(sequence[:length]):
            return length
    return 0
