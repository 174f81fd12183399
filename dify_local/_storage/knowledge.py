"""A knowledge base over a folder of documents: SQLite FTS5, ranked by BM25.

A document is a Markdown or text file, its first `# heading` the title; a blank line ends a segment.
Ids are made from the names, so that they are the same in every process.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dify_local._protocol.values import JsonObject, now, stable_id

SHIPPED_DOCUMENTS = Path(__file__).parents[1] / "documents"
_SHIPPED_NAME = "Solar System"

_WORD = re.compile(r"[^\W_]+")
_TOO_COMMON = """
    a about again also am an and any are as at be been but by can could did do does for from give
    had has have he her his how i if in into is it its just know like me my of on or our please she
    should so some tell than that the their them then there these they this those to us was we were
    what when where which who whom whose why will with would you your
"""
_STOP_WORDS = frozenset(_TOO_COMMON.split())


def words(text: str) -> list[str]:
    """Return the meaningful words of a text in lower case, without plural endings.

    Example:
        >>> words("Which moons does Jupiter have?")
        ['moon', 'jupiter']
    """
    return [_singular(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@dataclass(frozen=True)
class Document:
    """A file of the knowledge base."""

    id: str
    name: str
    title: str


@dataclass
class Segment:
    """A paragraph of a document.

    Attributes:
        position: Place in its document, from 1.
        hit_count: How often a retrieval has found it.
    """

    id: str
    document: Document
    position: int
    content: str
    hit_count: int = 0

    @property
    def index_node_hash(self) -> str:
        """Return the hash by which Dify recognises the text."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Hit:
    """A segment that a query has found, with its score between 0 and 1."""

    segment: Segment
    score: float


def dataset_name(folder: Path) -> str:
    """Return the name of the knowledge base over a folder."""
    return _SHIPPED_NAME if folder == SHIPPED_DOCUMENTS else folder.name


def dataset_id(folder: Path) -> str:
    """Return the id of the knowledge base over a folder, the same in every process."""
    return stable_id("dataset", dataset_name(folder))


@dataclass
class Knowledge:
    """The segments of a folder, searchable.

    Its name is that of the folder, and its id follows from the name.

    Args:
        folder: Where the `.md` and `.txt` files are.

    Raises:
        FileNotFoundError: The folder is not there.

    Example:
        >>> knowledge = Knowledge(SHIPPED_DOCUMENTS)
        >>> knowledge.retrieve("Which planet has the most moons?")[0].segment.document.name
        'saturn.md'
    """

    folder: Path
    segments: list[Segment] = field(init=False, default_factory=list)
    documents: list[Document] = field(init=False, default_factory=list)
    created_at: int = field(init=False, default_factory=now)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise FileNotFoundError(f"No folder of documents at {self.folder}")
        self.name = dataset_name(self.folder)
        self.id = dataset_id(self.folder)
        for path in sorted(self.folder.iterdir()):
            if path.suffix in {".md", ".txt"}:
                self._read(path)
        self._frequencies = Counter(
            word for segment in self.segments for word in set(words(segment.content))
        )
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute("CREATE VIRTUAL TABLE segments USING fts5(title, words)")
        self._index.executemany(
            "INSERT INTO segments (rowid, title, words) VALUES (?, ?, ?)",
            [
                (row, " ".join(words(segment.document.title)), " ".join(words(segment.content)))
                for row, segment in enumerate(self.segments)
            ],
        )

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        heading = re.match(r"#\s*(.+)\n", text)
        title = heading.group(1).strip() if heading else path.stem
        document = Document(stable_id("document", self.id, path.name), path.name, title)
        self.documents.append(document)
        body = text[heading.end() :] if heading else text
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", body)]
        for position, content in enumerate(filter(None, paragraphs), start=1):
            segment_id = stable_id("segment", document.id, position)
            self.segments.append(Segment(segment_id, document, position, content))

    def retrieve(self, query: str, *, top_k: int = 3, score_threshold: float = 0.0) -> list[Hit]:
        """Return the best segments for a query, best first.

        Args:
            query: Free text; words too common to mean anything are left out.
            top_k: How many to return at most.
            score_threshold: Lowest score to return, 0 to 1.
        """
        terms = dict.fromkeys(words(query))
        if not terms:
            return []
        match = " OR ".join(f'"{term}"' for term in terms)
        rows = self._index.execute(
            "SELECT rowid, -bm25(segments, 2.0, 1.0) AS score FROM segments "
            "WHERE segments MATCH ? ORDER BY score DESC, rowid LIMIT ?",
            (match, top_k),
        )
        hits = [Hit(self.segments[row], self._scale(score)) for row, score in rows]
        hits = [hit for hit in hits if hit.score >= score_threshold]
        for hit in hits:
            hit.segment.hit_count += 1
        return hits

    @staticmethod
    def _scale(score: float) -> float:
        # BM25 has no upper bound; Dify's scores lie between 0 and 1.
        return round(score / (score + 2.0), 6) if score > 0 else 0.0

    def weight(self, word: str) -> float:
        """Return how much a word tells: rare words tell more."""
        return math.log(1 + len(self.segments) / (1 + self._frequencies[word]))

    def word_count(self) -> int:
        """Return the size of the knowledge base in characters, which Dify calls words."""
        return sum(len(segment.content) for segment in self.segments)

    def citation(self, hit: Hit, position: int, retriever_from: str) -> JsonObject:
        """Return one entry of `retriever_resources`.

        Args:
            hit: What was retrieved.
            position: Place in the list, from 1.
            retriever_from: `api` for completion, chat and agent apps, `workflow` for chatflows.
        """
        segment = hit.segment
        in_workflow = retriever_from == "workflow"
        return {
            "position": position,
            "dataset_id": self.id,
            "dataset_name": self.name,
            "document_id": segment.document.id,
            "document_name": segment.document.name,
            "data_source_type": "upload_file",
            "segment_id": segment.id,
            "retriever_from": retriever_from,
            "score": hit.score,
            "hit_count": segment.hit_count if in_workflow else None,
            "word_count": len(segment.content) if in_workflow else None,
            "segment_position": segment.position if in_workflow else None,
            "index_node_hash": segment.index_node_hash if in_workflow else None,
            "content": segment.content,
            "page": None,
            "doc_metadata": None,
            "title": None,
            "files": None,
            "summary": None,
        }

    def citations(self, hits: Iterable[Hit], retriever_from: str = "api") -> list[JsonObject]:
        """Return `retriever_resources` for some hits."""
        return [
            self.citation(hit, position, retriever_from)
            for position, hit in enumerate(hits, start=1)
        ]

    def close(self) -> None:
        """Close the index."""
        self._index.close()
