"""Retrieval from a knowledge base.

The best candidates come from SQLite FTS5 (BM25). A search by meaning compares words here: its score
is the cosine of the counted words, so that a text finds itself with a score of 1; as with vectors,
there are results also where nothing fits.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from dify_local._protocol.values import JsonObject
from dify_local._storage.knowledge.records import Document, Hit, ScoredChild, Segment
from dify_local._storage.knowledge.tables import Tables
from dify_local._storage.knowledge.words import search_terms

SearchMethod = Literal["semantic_search", "full_text_search", "hybrid_search", "keyword_search"]

_COLUMNS = "s.id, s.hit_count, s.body AS segment, d.body AS document"
_MATCHING = f"""
    SELECT {_COLUMNS}, -bm25(segment_index, 2.0, 1.0) AS score FROM segment_index
    JOIN segments s ON s.sequence = segment_index.rowid JOIN documents d ON d.id = s.document_id
    WHERE segment_index MATCH ? AND s.dataset_id = ? AND s.enabled AND d.available
    {{documents}} ORDER BY score DESC, s.sequence LIMIT ?
"""  # noqa: S608 - only constants
_FIRST = f"""
    SELECT {_COLUMNS}, 0.0 AS score FROM segments s JOIN documents d ON d.id = s.document_id
    WHERE s.dataset_id = ? AND s.enabled AND d.available {{documents}}
    ORDER BY d.sequence, s.position LIMIT ?
"""  # noqa: S608 - only constants
_THESE_DOCUMENTS = "AND d.id IN (SELECT value FROM json_each(?))"
_MOST_CANDIDATES = 50


@dataclass(frozen=True)
class Query:
    """What to look for in one dataset.

    Attributes:
        text: Free text.
        method: How to search.
        top_k: How many segments at most.
        score_threshold: Lowest score.
        vector_weight: In a hybrid search, how much the meaning counts; the words count for the
            rest.
        document_ids: Only these documents; None for all.
    """

    dataset_id: str
    text: str
    method: SearchMethod = "full_text_search"
    top_k: int = 4
    score_threshold: float = 0.0
    vector_weight: float = 1.0
    document_ids: Sequence[str] | None = None


def retrieve(tables: Tables, query: Query) -> list[Hit]:
    """Return the best segments for a query, best first, and count them as hit."""
    hits = find(tables, query)
    tables.count_hits(hit.segment for hit in hits)
    return hits


def find(tables: Tables, query: Query) -> list[Hit]:
    """Return the best segments for a query, best first; they are to be read, not changed."""
    hits = [_with_children(tables, hit, query) for hit in _matching(tables, query)]
    if query.method in {"semantic_search", "hybrid_search"}:
        hits = [replace(hit, score=_mixed(hit, query)) for hit in hits]
        found = {hit.segment.id for hit in hits}
        if len(hits) < query.top_k:
            hits += [hit for hit in _first(tables, query) if hit.segment.id not in found]
        hits.sort(key=lambda hit: -hit.score)
    if query.method == "keyword_search":
        hits = [replace(hit, score=0.0) for hit in hits]
    return [hit for hit in hits[: query.top_k] if hit.score >= query.score_threshold]


def _matching(tables: Tables, query: Query) -> Iterator[Hit]:
    terms = dict.fromkeys(search_terms(query.text))
    if not terms:
        return
    match = " OR ".join(f'"{term}"' for term in terms)
    limit = max(_MOST_CANDIDATES, query.top_k)
    if query.method in {"full_text_search", "keyword_search"}:
        limit = query.top_k
    sql, documents = _restricted(_MATCHING, query)
    for row in tables.store.rows(sql, match, query.dataset_id, *documents, limit):
        yield _hit(row, _scale(row["score"]))


def _first(tables: Tables, query: Query) -> Iterator[Hit]:
    sql, documents = _restricted(_FIRST, query)
    limit = query.top_k + _MOST_CANDIDATES
    for row in tables.store.rows(sql, query.dataset_id, *documents, limit):
        yield _hit(row, 0.0)


def _restricted(sql: str, query: Query) -> tuple[str, list[str]]:
    if query.document_ids is None:
        return sql.format(documents=""), []
    return sql.format(documents=_THESE_DOCUMENTS), [json.dumps(list(query.document_ids))]


def _hit(row: sqlite3.Row, score: float) -> Hit:
    segment = Segment(**_decoded(row["segment"]), hit_count=row["hit_count"])
    return Hit(segment, _document(row["document"]), score)


@lru_cache(maxsize=4_000)
def _decoded(text: str) -> JsonObject:
    value: JsonObject = json.loads(text)
    return value


@lru_cache(maxsize=1_000)
def _document(text: str) -> Document:
    return Document(**json.loads(text))


def _scale(score: float) -> float:
    # BM25 has no upper bound; Dify's scores lie between 0 and 1.
    return round(score / (score + 2.0), 6) if score > 0 else 0.0


def _mixed(hit: Hit, query: Query) -> float:
    by_children = [child.score for child in hit.child_chunks]
    meaning = max([likeness(query.text, hit.segment.content), *by_children])
    if query.method != "hybrid_search":
        return meaning
    return query.vector_weight * meaning + (1 - query.vector_weight) * hit.score


def likeness(one: str, other: str) -> float:
    """Return the cosine of the counted words of two texts, between 0 and 1.

    Example:
        >>> likeness("the moons of Saturn", "Saturn's moon")
        0.816497
    """
    left, right = Counter(search_terms(one)), Counter(search_terms(other))
    product = sum(count * right[word] for word, count in left.items())
    length = math.hypot(*left.values()) * math.hypot(*right.values())
    return round(product / length, 6) if length else 0.0


def _with_children(tables: Tables, hit: Hit, query: Query) -> Hit:
    if hit.document.doc_form != "hierarchical_model":
        return hit
    scored = [
        ScoredChild(chunk, likeness(query.text, chunk.content))
        for chunk in tables.children(hit.segment.id)
    ]
    found = sorted((child for child in scored if child.score), key=lambda one: -one.score)
    return replace(hit, child_chunks=tuple(found))
