"""Extractive answers: the sentences of the retrieved segments that fit a question best.

No model writes here, so the same question always has the same answer. A sentence fits by the words
of the question that it has, or its subject, or the document's title; rare words count more. What a
question wants (a person, a date, a number with a unit, a superlative, a list) is looked for in the
sentence. Where nothing fits well enough, the documents do not tell.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from dify_local._answers.questions import Kind, Question, read_question, variants
from dify_local._answers.sentences import Sentence, sentences_of
from dify_local._storage.knowledge import Hit, Knowledge, words
from dify_local._storage.knowledge.words import all_words
from dify_local._storage.knowledge.words import stem as _stem

NOTHING_FOUND = "I found nothing about that: the documents do not tell."

LEAD_IN = "According to the document"
# Among how many segments an answer is looked for.
_CANDIDATES = 60
# How much a term counts where the sentence does not have it, but its subject or title does.
_BY_SUBJECT, _BY_TITLE, _BY_KIND, _BY_INTRODUCTION = 0.9, 0.75, 0.7, 0.6
# How much of a question a sentence must cover; less where it has the kind of answer that is asked.
_LEAST_COVERAGE, _LEAST_OF_KIND = 0.62, 0.5
_LEAST_SCORE = 0.6
_SUPERLATIVE_WEIGHT = 1.5
# Words that only join what a question is about, or name the sort of thing that is asked for.
_RELATIONS, _RELATION_WEIGHT = frozenset({"consist", "caus", "call"}), 0.5
_MOST_LISTED = 8
_ENUMERATION = re.compile(r"[A-Z][\w'-]+(?:, [A-Z][\w'-]+)* and [A-Z][\w'-]+")
# What makes a superlative that of others: "the second largest", "the four largest".
_ORDINAL = frozenset(
    {"second", "third", "fourth", "fifth", "sixth", "next", "two", "three", "four", "five", "six"}
)
_NO = re.compile(r"\b(?:no|not|without|never)\b ((?:\w+ ?){1,2})")


@dataclass(frozen=True)
class _Candidate:
    sentence: Sentence
    hit: Hit
    coverage: float
    score: float


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
    weights = {term: _weight(knowledge, term, asked) for term in asked.terms}
    candidates = [
        _candidate(knowledge, asked, weights, sentence, hit)
        for hit in knowledge.find(_widened(asked), top_k=_CANDIDATES)
        for sentence in sentences_of(hit.segment.content, hit.document.title)
    ]
    candidates.sort(key=lambda candidate: -candidate.score)
    if not candidates:
        return NOTHING_FOUND, []
    chosen = _listed(asked, candidates) or _best(asked, candidates, sentences)
    if not chosen:
        return NOTHING_FOUND, []
    return _told(chosen), [candidate.hit for candidate in chosen]


def _widened(asked: Question) -> str:
    """Return the terms of a question with the words that mean the same."""
    return " ".join(dict.fromkeys(form for term in asked.terms for form in [term, *variants(term)]))


def _weight(knowledge: Knowledge, term: str, asked: Question) -> float:
    weight = min(knowledge.weight(one) for one in variants(term))
    if term in _RELATIONS or (term == asked.sort and term != asked.head):
        return weight * _RELATION_WEIGHT
    return weight * (_SUPERLATIVE_WEIGHT if term in asked.superlatives else 1.0)


def _candidate(
    knowledge: Knowledge,
    asked: Question,
    weights: dict[str, float],
    sentence: Sentence,
    hit: Hit,
) -> _Candidate:
    title = frozenset(words(hit.document.title))
    denied = {stem for denial in _NO.findall(sentence.text) for stem in words(denial)}
    total = covered = 0.0
    for term, weight in weights.items():
        total += weight
        forms = variants(term)
        if asked.head and not asked.negated and forms & denied:
            continue
        if forms & sentence.stems:
            covered += weight
        elif forms & sentence.subject_stems:
            covered += weight * _BY_SUBJECT
        elif forms & title:
            covered += weight * _BY_TITLE
        elif term in asked.implied and asked.kind.fits(sentence.text):
            covered += weight * _BY_KIND
        elif term in {asked.head, asked.sort} and forms & _introduction(knowledge, hit.document.id):
            covered += weight * _BY_INTRODUCTION
    coverage = covered / total if total else 0.0
    return _Candidate(sentence, hit, coverage, coverage + _bonus(asked, sentence, hit, denied))


def _bonus(asked: Question, sentence: Sentence, hit: Hit, denied: set[str]) -> float:
    bonus = 0.02 * hit.score - 0.002 * max(0, len(sentence.stems) - 15)
    if asked.kind is not Kind.FACT:
        bonus += 0.2 if asked.kind.fits(sentence.text) else -0.25
    if asked.kind is Kind.COUNT:
        bonus += _count_bonus(asked, sentence)
    for term in asked.superlatives:
        bonus += _superlative_bonus(asked, term, sentence)
    about = sentence.stems | sentence.subject_stems | set(words(hit.document.title))
    bonus -= 0.25 * len(asked.names - about)
    wanted = {form for term in asked.terms for form in variants(term)}
    if (asked.negated or asked.head) and asked.negated != bool(denied & wanted):
        bonus -= 0.3
    subject = set(words(sentence.subject))
    if subject & wanted:
        bonus += 0.1
    if asked.definition and subject and set(asked.terms) <= subject:
        bonus += 0.3 if re.search(r"\b(?:is|are|was) (?:an?|the)\b", sentence.text) else 0.1
    if asked.head and _ENUMERATION.search(sentence.text):
        bonus += 0.15
    return bonus


def _superlative_bonus(asked: Question, term: str, sentence: Sentence) -> float:
    """Tell how well a superlative of a question is met: "the largest moon", not "the second"."""
    found = all_words(sentence.text)
    places = [place for place, word in enumerate(found) if _stem(word) in variants(term)]
    if not places:
        return -0.3
    if not _ORDINAL & set(all_words(asked.text)):
        places = [place for place in places if place == 0 or found[place - 1] not in _ORDINAL]
        if not places:
            return -0.3
    wanted = _followers(asked.text, {term}) & set(asked.terms)
    followers = _followers(sentence.text, variants(term))
    if followers & (wanted or set(asked.terms)):
        return 0.2
    return -0.3 if wanted and followers else 0.0


def _followers(text: str, terms: Set[str]) -> set[str]:
    """Return the stems of the words that mean something behind some terms of a text."""
    pairs = itertools.pairwise(all_words(text))
    return {stem for before, after in pairs if _stem(before) in terms for stem in words(after)}


def _count_bonus(asked: Question, sentence: Sentence) -> float:
    """Tell whether a number in the sentence counts what is asked for, and how near it is."""
    counted = re.search(r"\bhow many (?:\w+ )?\w+|\bnumber of \w+", asked.text.lower())
    if counted is None:
        return 0.0
    forms = {form for term in words(counted[0]) for form in variants(term)}
    after = re.compile(Kind.COUNT.value + r"((?: [\w'-]+){1,3})", re.IGNORECASE)
    places = [
        place
        for match in after.finditer(sentence.text)
        for place, word in enumerate(all_words(match[1]))
        if _stem(word) in forms
    ]
    return 0.2 - 0.1 * min(places) if places else -0.2


def _best(asked: Question, candidates: Sequence[_Candidate], sentences: int) -> list[_Candidate]:
    best = candidates[0]
    of_kind = asked.kind is not Kind.FACT and asked.kind.fits(best.sentence.text)
    least = _LEAST_OF_KIND if of_kind else _LEAST_COVERAGE
    if best.coverage < least or best.score < _LEAST_SCORE:
        return []
    return [
        candidate
        for candidate in candidates[:sentences]
        if candidate.score >= best.score * 0.75
        and candidate.hit.document.id == best.hit.document.id
    ]


def _listed(asked: Question, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Return a sentence of each document that tells of one, where several are asked for."""
    if asked.head is None or len(asked.terms) < 2:
        return []
    found: dict[str, _Candidate] = {}
    for candidate in candidates:
        if candidate.score >= 0.8 and candidate.coverage >= 0.8:
            found.setdefault(candidate.hit.document.id, candidate)
    return list(found.values())[:_MOST_LISTED] if len(found) > 1 else []


def _told(chosen: Sequence[_Candidate]) -> str:
    titles = list(dict.fromkeys(candidate.hit.document.title for candidate in chosen))
    *others, last = titles
    about = f"s on {', '.join(others)} and {last}" if others else f" on {last}"
    return f"{LEAD_IN}{about}: {' '.join(candidate.sentence.text for candidate in chosen)}"


def _introduction(knowledge: Knowledge, document_id: str) -> frozenset[str]:
    """Return the stems of a document's first sentence, which says what it is about."""
    segments = knowledge.tables.segments(document_id)[:1]
    return _first_stems(segments[0].content) if segments else frozenset()


@lru_cache(maxsize=1_000)
def _first_stems(text: str) -> frozenset[str]:
    found = sentences_of(text, "")
    return found[0].stems if found else frozenset()
