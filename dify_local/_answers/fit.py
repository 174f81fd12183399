"""How well a sentence fits a question: by its words, and by what the question wants."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

from dify_local._answers.questions import Kind, Question, variants
from dify_local._answers.sentences import Sentence
from dify_local._storage.knowledge import Hit, Knowledge, words
from dify_local._storage.knowledge.words import all_words, stem

# The kinds that have a number, or a date.
MEASURED = frozenset(Kind) - {Kind.FACT, Kind.PERSON, Kind.REASON, Kind.MATERIAL}

# How much a term counts where the sentence does not have it, but its subject or title does.
_BY_SUBJECT, _BY_TITLE, _BY_KIND = 0.9, 0.75, 0.7
_LISTED_BY_DOCUMENT, _SORT_BY_DOCUMENT = 0.6, 0.4
_SUPERLATIVE_WEIGHT = 1.5
# Words that only join what a question is about, or name the sort of thing that is asked for.
_RELATIONS, _RELATION_WEIGHT = frozenset({"consist", "caus", "call"}), 0.5
# A sentence that covers less is not looked at any further.
_WORTH_WHILE = 0.35
# What makes a superlative that of others: "the second largest", "the four largest".
_ORDINALS = "second third fourth fifth sixth next two three four five six"
_ORDINAL = frozenset(_ORDINALS.split())
_COUNTED = re.compile(r"\bhow many (?:\w+ )?\w+|\bnumber of \w+")
_COUNT = re.compile(Kind.COUNT.value + r"((?: [\w'-]+){1,3})", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """A sentence that may answer.

    Attributes:
        sentence: The sentence.
        hit: Where it stands.
        coverage: How much of the question it has, from 0 to 1.
        score: How well it fits: its coverage, more or less.
    """

    sentence: Sentence
    hit: Hit
    coverage: float
    score: float


@dataclass
class Fit:
    """Measures sentences by one question.

    Args:
        knowledge: Knows how much each word tells.
        asked: The question.
    """

    knowledge: Knowledge
    asked: Question
    _stems_by_document: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = self.asked
        self._forms = {term: variants(term) for term in asked.terms}
        self._weights = {term: self._weight(term) for term in asked.terms}
        self._total = sum(self._weights.values())
        self._wanted = frozenset(form for forms in self._forms.values() for form in forms)
        self._asked_order = [stem(word) for word in all_words(asked.text)]
        counted = _COUNTED.search(asked.text.lower())
        self._counted = frozenset(
            form for term in (words(counted[0]) if counted else ()) for form in variants(term)
        )

    def _weight(self, term: str) -> float:
        weight = min(self.knowledge.weight(form) for form in self._forms[term])
        if term in _RELATIONS or (term == self.asked.sort and term != self.asked.head):
            return weight * _RELATION_WEIGHT
        return weight * (_SUPERLATIVE_WEIGHT if term in self.asked.superlatives else 1.0)

    def candidate(self, sentence: Sentence, hit: Hit) -> Candidate | None:
        """Return a sentence with its score, or None where it has too little of the question."""
        title = _title_stems(hit.document.title)
        coverage = self._coverage(sentence, hit, title)
        if coverage < _WORTH_WHILE:
            return None
        score = coverage + self._bonus(sentence, hit, title)
        return Candidate(sentence, hit, coverage, score)

    def _coverage(self, sentence: Sentence, hit: Hit, title: Set[str]) -> float:
        asked = self.asked
        covered = 0.0
        for term, forms in self._forms.items():
            weight = self._weights[term]
            if asked.head and not asked.negated and forms & sentence.denied:
                continue
            if forms & sentence.stems:
                covered += weight
            elif forms & sentence.subject_stems:
                covered += weight * _BY_SUBJECT
            elif forms & title:
                covered += weight * _BY_TITLE
            elif term in asked.implied and asked.kind.fits(sentence.text):
                covered += weight * _BY_KIND
            elif term in {asked.head, asked.sort} and forms & self._document_stems(hit):
                covered += weight * (_LISTED_BY_DOCUMENT if asked.head else _SORT_BY_DOCUMENT)
        return covered / self._total if self._total else 0.0

    def _document_stems(self, hit: Hit) -> frozenset[str]:
        """Return the stems of a whole document, which tell what sort of thing it is about."""
        document_id = hit.document.id
        if document_id not in self._stems_by_document:
            contents = self.knowledge.tables.contents(document_id)
            self._stems_by_document[document_id] = _stems_of(contents)
        return self._stems_by_document[document_id]

    def _bonus(self, sentence: Sentence, hit: Hit, title: Set[str]) -> float:
        asked = self.asked
        bonus = 0.02 * hit.score - 0.002 * max(0, len(sentence.stems) - 15)
        if asked.kind is not Kind.FACT:
            bonus += 0.2 if asked.kind.fits(sentence.text) else -0.25
        if asked.kind in MEASURED and not sentence.subject_names <= set(asked.terms):
            bonus -= 0.15
        if self._counted:
            bonus += self._count_bonus(sentence)
        for term in asked.superlatives:
            bonus += self._superlative_bonus(term, sentence)
        bonus -= 0.25 * len(asked.names - sentence.stems - sentence.subject_stems - title)
        denies = bool(sentence.denied & self._wanted)
        if (asked.negated or asked.head) and asked.negated != denies:
            bonus -= 0.3
        subject = sentence.subject_stems
        if subject & self._wanted:
            bonus += 0.1 if subject & asked.names or asked.sort in subject else 0.05
        if asked.definition and subject and set(asked.terms) <= subject:
            bonus += 0.3 if sentence.defines else 0.1
        return bonus + (0.15 if asked.head and sentence.enumerates else 0.0)

    def _superlative_bonus(self, term: str, sentence: Sentence) -> float:
        """Tell how well a superlative is met: "the largest moon", not "the second"."""
        forms, found = self._forms[term], sentence.ordered
        places = [place for place, one in enumerate(found) if one in forms]
        if not places:
            return -0.3 if term.endswith("est") else -0.1
        if not _ORDINAL.intersection(self._asked_order):
            places = [place for place in places if place == 0 or found[place - 1] not in _ORDINAL]
            if not places:
                return -0.3
        noun = self._behind(self._asked_order, {term}) & set(self.asked.terms)
        noun = noun or ({self.asked.sort} if self.asked.sort else set())
        followers = self._behind(found, forms)
        if followers & ((noun or set(self.asked.terms)) - forms):
            return 0.2
        return -0.3 if noun and followers else 0.0

    @staticmethod
    def _behind(stems: Sequence[str], terms: Set[str]) -> set[str]:
        """Return what stands behind some terms and means something."""
        pairs = itertools.pairwise(stems)
        return {after for before, after in pairs if before in terms and words(after)}

    def _count_bonus(self, sentence: Sentence) -> float:
        """Tell whether a number in the sentence counts what is asked for, and how near it is."""
        places = [
            place
            for match in _COUNT.finditer(sentence.text)
            for place, word in enumerate(all_words(match[1]))
            if stem(word) in self._counted
        ]
        return 0.2 - 0.1 * min(places) if places else -0.2


@lru_cache(maxsize=1_000)
def _title_stems(title: str) -> frozenset[str]:
    return frozenset(words(title))


@lru_cache(maxsize=1_000)
def _stems_of(contents: tuple[str, ...]) -> frozenset[str]:
    return frozenset(one for content in contents for one in words(content))
