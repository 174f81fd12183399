"""A document of a source, such as a file or a page, on its way into a knowledge base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

_LONGEST_NAME = 200
"""Servers cut longer names."""
_NAME_KEYS = ("title", "file_name", "source", "file_path", "url")
_PIECE = 1 << 20


@dataclass(frozen=True)
class SourceDocument:
    """What a knowledge base shall hold of a document.

    Attributes:
        id: Its id in the source, by which it is found again.
        name: Its name in Dify.
        text: Its text, which Dify splits. Empty if it has `segments` or a `file`.
        segments: Its text as it was split already.
        file: A file in place of a text, which Dify reads and splits.
        metadata: Whatever is known of it.
        segment_metadata: What is known of each of the `segments` besides.
    """

    id: str
    name: str
    text: str = field(default="", repr=False)
    segments: tuple[str, ...] = field(default=(), repr=False)
    file: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    segment_metadata: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that could be found."""
        return self.file is None and not self.text.strip() and not any(self.segments)

    @cached_property
    def content_hash(self) -> str:
        """Tells whether name and content are the same."""
        content = hashlib.sha256(_json([self.name, self.text, self.segments]).encode())
        if self.file is not None:
            with self.file.open("rb") as opened:
                while piece := opened.read(_PIECE):
                    content.update(piece)
        return content.hexdigest()[:32]

    @cached_property
    def full_hash(self) -> str:
        """`content_hash`, and whether the metadata are the same."""
        known = _json([self.metadata, self.segment_metadata])
        return f"{self.content_hash}-{hashlib.sha256(known.encode()).hexdigest()[:16]}"

    @cached_property
    def size(self) -> int:
        """Bytes that are sent."""
        return self.file.stat().st_size if self.file is not None else len(self.sent_text.encode())

    @cached_property
    def separator(self) -> str:
        """What stands between `segments`, and in none of them."""
        separator = "\n\n---segment---\n\n"
        while any(separator.strip() in segment for segment in self.segments):
            separator = separator.replace("---segment---", "----segment----")
        return separator

    @property
    def sent_text(self) -> str:
        """The text that is sent, with the segments divided by `separator`."""
        return self.separator.join(self.segments) if self.segments else self.text


def document_name(metadata: Mapping[str, Any], text: str) -> str:
    """The name of a document that has none: its title or file, else how it begins.

    Example:
        >>> document_name({"source": "docs/moons.md"}, "Saturn has ...")
        'moons.md'
    """
    for key in _NAME_KEYS:
        value = metadata.get(key)
        if isinstance(value, str) and value.strip():
            path = "/" in value or "\\" in value
            name = value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if path else value
            return shortened(name or value)
    return shortened(" ".join(text.split())[:60]) or "untitled"


def shortened(name: str) -> str:
    """A name as long as servers keep it."""
    return name.strip()[:_LONGEST_NAME].strip()


def stable_id(*facts: object) -> str:
    """An id for a document that has none: the same facts have the same.

    So that what an interrupted run has written is found by the next.
    """
    return hashlib.sha256(_json(facts).encode()).hexdigest()[:32]


def last_of_each_id(documents: Sequence[SourceDocument]) -> list[SourceDocument]:
    """The documents, of several with one id the last."""
    return list({document.id: document for document in documents}.values())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, default=str, sort_keys=True)
