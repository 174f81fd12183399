"""Extractive answers: the sentences of the retrieved segments that fit a question best.

No model writes here, so the same question always has the same answer. A question that refers back
("and which of those is the largest?") is read together with the question before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from dify_local._storage.conversations import Turn
from dify_local._storage.knowledge import Hit, Knowledge, words

# How much more the words of the newest question count than those of the one it refers to.
_NEWEST = 2

NOTHING_FOUND = "I found nothing about that in the documents."

_LEAD_IN = "According to the document on"
_TOPIC = re.compile(rf"{_LEAD_IN} ([^:]+):")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
_REFERS_BACK = re.compile(
    r"^\s*(and|what about|how about)\b|\b(those|these|them|they|their|it|its|that|ones?|he|she)\b",
    re.IGNORECASE,
)


def standalone_question(query: str, history: Sequence[Turn]) -> str:
    """Return a question that can be understood alone, by adding what it refers to.

    Example:
        >>> standalone_question("and which is the largest?", [Turn("What moons has Mars?", "Two.")])
        'What moons has Mars? and which is the largest?'
    """
    if not history or not (_REFERS_BACK.search(query) or not words(query)):
        return query
    topic = _TOPIC.match(history[-1].answer)
    return " ".join(filter(None, [topic and topic[1], history[-1].query, query]))


def answer_from(
    knowledge: Knowledge,
    question: str,
    hits: Sequence[Hit],
    *,
    query: str = "",
    sentences: int = 2,
) -> str:
    """Return the best sentences of some hits with a short lead-in.

    Args:
        knowledge: Knows how much each word tells.
        question: The question, already standing alone.
        hits: Retrieved segments, best first.
        query: The newest part of the question, which counts more.
        sentences: How many sentences at most.
    """
    wanted = Counter(dict.fromkeys(words(question), 1))
    if query != question:
        wanted.update(dict.fromkeys(words(query), _NEWEST))
    candidates = [
        (_fit(knowledge, wanted, sentence) + hit.score, sentence, hit.document.title)
        for hit in hits
        for sentence in _SENTENCE.split(hit.segment.content)
    ]
    candidates.sort(key=lambda candidate: -candidate[0])
    if not candidates:
        return NOTHING_FOUND
    best_score, _, title = candidates[0]
    chosen = [
        sentence
        for score, sentence, from_title in candidates[:sentences]
        if score >= best_score * 0.6 and from_title == title
    ]
    return f"{_LEAD_IN} {title}: {' '.join(chosen)}"


def _fit(knowledge: Knowledge, wanted: Counter[str], sentence: str) -> float:
    found = words(sentence)
    overlap = sum(wanted[word] * knowledge.weight(word) for word in set(found))
    # A long sentence matches more words by chance.
    return round(overlap / max(1.0, len(found) / 15), 3)
