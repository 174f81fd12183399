"""Reads a folder of documents: Markdown, plain text and PDF, also in the folders inside it."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_logger = logging.getLogger("dify_local")

SUFFIXES = (".md", ".markdown", ".txt", ".pdf")
_REPORT_EVERY = 1.0
_HEADING = re.compile(r"\s*#\s*(.+)\n")


@dataclass(frozen=True)
class DocumentFile:
    """A file of a folder.

    Attributes:
        path: Where it is.
        name: Its path inside the folder, with `/` between.
        content: Its bytes.
    """

    path: Path
    name: str
    content: bytes

    @property
    def digest(self) -> str:
        """Return what tells whether the file has changed."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def media_type(self) -> str:
        """Return the media type that its name tells."""
        kinds = {".txt": "text/plain", ".pdf": "application/pdf"}
        return kinds.get(self.path.suffix.lower(), "text/markdown")

    def read(self) -> tuple[str, list[str]]:
        """Return the title, and the paragraphs with white space folded.

        The title is the first heading, or the name without suffix.

        Raises:
            ValueError: The file cannot be read as text.
        """
        is_pdf = self.path.suffix.lower() == ".pdf"
        text = (_pdf_text if is_pdf else _plain_text)(self.path, self.content)
        heading = _HEADING.match(text)
        title = heading.group(1).strip() if heading else self.path.stem
        body = text[heading.end() :] if heading else text
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", body)]
        return title, [paragraph for paragraph in paragraphs if paragraph]


def read_folder(folder: Path) -> Iterator[DocumentFile]:
    """Yield the documents of a folder by name; a large folder is read with a log line a second.

    Hidden files and folders are left out; files of other types are, too, and are told of.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder has no documents.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"No folder of documents at {folder}")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _shown(folder, path)]
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise ValueError(
            f"No documents in {folder}: what is read are files that end in {', '.join(SUFFIXES)}"
        )
    skipped = sorted({path.suffix or path.name for path in files} - {p.suffix for p in paths})
    if skipped:
        count = len(files) - len(paths)
        _logger.warning("%s: %d files are not read: %s", folder, count, ", ".join(skipped))
    reported = time.monotonic()
    for number, path in enumerate(paths):
        if time.monotonic() - reported >= _REPORT_EVERY:
            reported = time.monotonic()
            _logger.info("Read %d of %d documents", number, len(paths))
        yield DocumentFile(path, path.relative_to(folder).as_posix(), path.read_bytes())


def _shown(folder: Path, path: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _plain_text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8, or move it elsewhere"
        ) from None


def pdf_text(content: bytes) -> str:
    """Return the text of a PDF, a blank line between its pages.

    Raises:
        ImportError: pypdf is not installed.
        ValueError: It is no PDF, or a broken one.
    """
    try:
        from pypdf import PdfReader  # an extra of its own: only some folders have PDFs
        from pypdf.errors import PyPdfError
    except ImportError:
        raise ImportError(
            "PDFs are read with pypdf only: pip install 'dify-adapters[pdf]'"
        ) from None
    try:
        return "\n\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    except PyPdfError as error:
        raise ValueError(f"this is no PDF that can be read: {error}") from None


def _pdf_text(path: Path, content: bytes) -> str:
    try:
        return pdf_text(content)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
