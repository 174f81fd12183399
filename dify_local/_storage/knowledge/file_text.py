"""The text of a document's file."""

from __future__ import annotations

import csv
import io
import re
from pathlib import PurePath

from dify_local._storage.document_files import pdf_text

_KINDS = """
    txt markdown md mdx pdf html htm xlsx xls vtt properties doc docx csv eml msg pptx ppt xml epub
"""
EXTENSIONS = frozenset(_KINDS.split())
_HEADING = re.compile(r"#\s*(.+)\n")


class UnreadableFileError(Exception):
    """A file whose text cannot be read; the message is shown as the document's error."""


def file_texts(extension: str, content: bytes) -> list[str]:
    """Return the texts of a file: one, or one for each row of a table.

    Args:
        extension: Of its name, which tells what it is.
        content: Its bytes.

    Raises:
        UnreadableFileError: It is no such file, or of a kind that this server cannot read.
    """
    if extension == "pdf":
        return [_pdf_text(content)]
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UnreadableFileError(f"dify_local cannot read the text of .{extension} files.")
    text = content.decode("utf-8", errors="replace")
    if extension in {"html", "htm", "xml"}:
        # Few documents are, and the parser takes long to import.
        from dify_local._storage.knowledge.html_text import html_text

        return [html_text(text)]
    return _csv_rows(text) if extension == "csv" else [text]


def title_of(name: str, text: str) -> str:
    """Return what a document is about: its first heading, or its name without an extension."""
    heading = _HEADING.match(text)
    return heading[1].strip() if heading else PurePath(name).stem or name


def without_heading(text: str) -> str:
    """Return a text without the heading that is its title."""
    heading = _HEADING.match(text)
    return text[heading.end() :] if heading else text


def _pdf_text(content: bytes) -> str:
    try:
        return pdf_text(content)
    except ImportError as error:
        raise UnreadableFileError(str(error)) from None
    except ValueError:
        raise UnreadableFileError("Failed to load document (PDFium: Data format error).") from None


def _csv_rows(text: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(text))
    return [";".join(f"{name}: {value}" for name, value in row.items()) for row in rows]
