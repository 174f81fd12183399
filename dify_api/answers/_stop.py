"""Stop sequences, which Dify's API does not have: an answer is cut at the first of them here."""

from __future__ import annotations

from collections.abc import Sequence

from dify_api.answers._thinking import beginning_at_end


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

    def whole(self, text: str) -> str:
        """A whole text up to the first sequence."""
        fresh = StopSequences(self._sequences)
        return fresh.feed(text) + fresh.end()

    def end(self) -> str:
        """The text that was held back, once no more comes."""
        held, self._held = self._held, ""
        return held
