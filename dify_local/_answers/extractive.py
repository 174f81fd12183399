"""Extractive answers: the sentences of the documents that fit a question best.

No model writes here, so the same question always has the same answer. A sentence fits by the words
of the question that it has, or its subject, or the document's title; rare words count more. What a
question wants (a person, a date, a number with a unit, a superlative, a list) is looked for in the
sentence. Where nothing fits well enough, the documents do not tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from dify_local._answers.fit import MEASURED, Candidate, Fit
from dify_local._answers.questions import Kind, Question, read_question, variants
from dify_local._answers.sentences import sentences_of
from dify_local._storage.knowledge import Hit, Knowledge

NOTHING_FOUND = "I found nothing about that: the documents do not tell."

LEAD_IN = "According to the document"
# Among how many segments an answer is looked for.
_CANDIDATES = 60
# How much of a question a sentence must cover; less where it has the kind of answer that is asked.
_LEAST_COVERAGE, _LEAST_OF_KIND = 0.62, 0.5
_LEAST_SCORE, _LEAST_UNMEASURED = 0.6, 0.8
_MOST_LISTED = 8


def answer_from(
    knowledge: Knowledge, question: str, *, sentences: int = 2
) -> tuple[str, list[Hit]]:
    """Return the best sentences of a knowledge base with a short lead-in, and where they are from.

    Args:
        knowledge: The documents.
        question: The question, standing alone.
        sentences: How many sentences at most, where not one of each document is listed.
    """
    asked = read_question(question)
    fit = Fit(knowledge, asked)
    measured = [
        fit.candidate(sentence, hit)
        for hit in knowledge.find(_widened(asked), top_k=_CANDIDATES)
        for sentence in sentences_of(hit.segment.content, hit.document.title)
    ]
    candidates = [candidate for candidate in measured if candidate]
    candidates.sort(key=lambda candidate: -candidate.score)
    if not candidates or not _knows_names(knowledge, asked, candidates[0]):
        return NOTHING_FOUND, []
    chosen = _listed(asked, candidates) or _best(asked, candidates, sentences)
    if not chosen:
        return NOTHING_FOUND, []
    return _told(chosen), [candidate.hit for candidate in chosen]


def _widened(asked: Question) -> str:
    """Return the terms of a question with the words that mean the same."""
    return " ".join(dict.fromkeys(form for term in asked.terms for form in [term, *variants(term)]))


def _knows_names(knowledge: Knowledge, asked: Question, best: Candidate) -> bool:
    """Tell whether the documents know what a question names; it may be named for short."""
    about = best.sentence.stems | best.sentence.subject_stems
    return all(name in about or knowledge.knows(name) for name in asked.names)


def _best(asked: Question, candidates: Sequence[Candidate], sentences: int) -> list[Candidate]:
    best = candidates[0]
    of_kind = asked.kind is not Kind.FACT and asked.kind.fits(best.sentence.text)
    least = _LEAST_OF_KIND if of_kind else _LEAST_COVERAGE
    least_score = _LEAST_UNMEASURED if asked.kind in MEASURED and not of_kind else _LEAST_SCORE
    if best.coverage < least or best.score < least_score:
        return []
    return [
        candidate
        for candidate in candidates[:sentences]
        if candidate.score >= best.score * 0.75
        and candidate.hit.document.id == best.hit.document.id
    ]


def _listed(asked: Question, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return a sentence of each document that tells of one, where several are asked for."""
    if asked.head is None or len(asked.terms) < 2:
        return []
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.score >= 0.8 and candidate.coverage >= 0.8:
            found.setdefault(candidate.hit.document.id, candidate)
    return list(found.values())[:_MOST_LISTED] if len(found) > 1 else []


def _told(chosen: Sequence[Candidate]) -> str:
    titles = list(dict.fromkeys(candidate.hit.document.title for candidate in chosen))
    *others, last = titles
    about = f"s on {', '.join(others)} and {last}" if others else f" on {last}"
    return f"{LEAD_IN}{about}: {' '.join(candidate.sentence.text for candidate in chosen)}"
