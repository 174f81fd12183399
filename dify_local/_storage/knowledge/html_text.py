"""The text of an HTML document."""

from __future__ import annotations

from html.parser import HTMLParser


def html_text(document: str) -> str:
    """Return what a browser would show, a line for each piece."""
    reader = _Reader()
    reader.feed(document)
    return "\n".join(reader.parts)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.parts.append(data.strip())
