"""What a question asks for: its terms with their synonyms, and the kind of answer it wants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from dify_local._answers.sentences import names_in, plainly
from dify_local._storage.knowledge.words import all_words, stem, words


class Kind(Enum):
    """The kind of an answer, and what a sentence that gives one has in it."""

    FACT = r""
    PERSON = r"\b[A-Z][a-z]+ (?:Le |de |van )?[A-Z][a-z]+\b"
    DATE = r"\b(?:1\d{3}|20\d{2})\b|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b|\b\d+:\d\d\b"
    REASON = r"\b(?:because|causes?|so that|comes from|gives?|due to|traps?|points?)\b"
    COUNT = r"\b(?:\d[\d,.]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|no)\b"
    SHARE = r"\d[\d.,]* ?(?:percent|%)|\b\d[\d,.]*\b"
    DURATION = (
        r"(?:\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirty))\S* "
        r"(?:Earth |solar )?(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b"
    )
    LENGTH = r"\d[\d.,]*(?: million| billion)? ?(?:kilomet|met(?:re|er)|km|miles?|light)"
    TEMPERATURE = r"\bdegrees?\b|°|\bminus \d"
    MATERIAL = r"\b(?:consist|compos|made)\w*|\bof (?:\w+, )*\w+ and \w+"
    AGE = r"\d[\d.,]*(?: thousand| million| billion)? years?\b"
    SPEED = r"\bper (?:hour|second|minute)\b|km/h"
    MASS = r"\b(?:mass|kilograms?|tonnes?|tons?|heav\w+)\b"

    def fits(self, sentence: str) -> bool:
        """Tell whether a sentence has an answer of this kind."""
        return re.search(self.value, sentence) is not None


# The first that matches counts: pattern, kind, and the stems that the pattern stands for.
_KINDS: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
    (r"\bwho\b|\bby whom\b", Kind.PERSON, ()),
    (r"\bwhen\b|\b(?:what|which) (?:year|date|day)\b|\bsince when\b", Kind.DATE, ()),
    (r"\bwhy\b|\bhow come\b|\bcauses?\b|\breason\b", Kind.REASON, ()),
    (r"\bconsist (?:up )?(?:of|from|out)\b|\bcomposition\b", Kind.MATERIAL, ("consist",)),
    (r"\bhow many\b|\bnumber of\b", Kind.COUNT, ()),
    (r"\bhow much\b|\bpercent", Kind.SHARE, ()),
    (r"\bhow (?:hot|cold|warm|cool)\b|\btemperature", Kind.TEMPERATURE, ("temperatur",)),
    (r"\bhow old\b|\bage of\b", Kind.AGE, ("old",)),
    (r"\bhow (?:fast|quick|strong)|\bspeed\b", Kind.SPEED, ("speed",)),
    (r"\bhow (?:heavy|massive)|\bweigh", Kind.MASS, ("mass",)),
    (r"\bhow (?:far|distant)\b|\bdistance\b", Kind.LENGTH, ("away",)),
    (r"\bhow (?:high|tall|deep)\b", Kind.LENGTH, ("high",)),
    (r"\bhow (?:big|large|wide|small|broad)\b|\bdiameter\b|\bsize\b", Kind.LENGTH, ("diameter",)),
    (r"\bhow (?:long|often|soon)\b", Kind.DURATION, ()),
)
# What a question with "how" measures is told by its kind.
_MEASURES = """
    big cold cool deep fast far heavy high hot large long many massive much often old quick quickly
    small strong tall warm wide
"""
# Words that only ask.
_ASKING = """
    actually answer any anymore anything approximately around available believe briefly called
    compare compared comparing comparison current currently define describe described detail
    details did doing done during ever exactly exist existing exists explain explained fact
    facts famous finish get gets give given gives go going got happen happened happens help
    helps idea info information interesting kind known let like likes list look looked looks
    made main make makes maybe mean means meant more mostly name named names need needs normally
    now number numbers one please point possible precisely provide provided quick quickly really
    regarding roughly said say says see show shown shows something sort special still summarise
    summarised summarize summary take taken takes talk telling thing things think today took
    type typed types typical typically use used uses usual usually want wanted wants way ways
    whole word words work worked
"""
_MEASURED = frozenset(_MEASURES.split())
_ONLY_ASKING = frozenset(_ASKING.split())
_GROUPS = """
    largest biggest greatest larger bigger
    smallest tiniest littlest smaller
    farthest furthest
    closest nearest
    hottest warmest hotter warmer
    coldest coolest colder cooler
    highest tallest higher taller
    fastest quickest strongest
    discover find spot detect discovery discoverer
    consist compose composition contain comprise ingredient
    launch start begin
    visit explore
    return back
    person man people human astronaut
    thick dense
    mountain volcano peak
    spin turn rotate rotation roll
    rock rocky
    ice icy
    spacecraft probe spaceship craft
    life alive
    live inhabit inhabitant
    temperature hot cold warm heat hotter colder warmer
    diameter wide across broad size large big larger bigger wider smaller
    away distance far distant
    old age
    speed fast
    mass heavy weight weigh massive
    high tall height deep
    last length duration
    orbit year revolve circle
    moon satellite
    reach arrive land
    lead cause
    colour color
    invent create
    cost price
    city town
"""


_SUPERLATIVE = re.compile(r"\w{2,}(?:est)$|^(?:most|least|first|last|only)$")
_NOT_SUPERLATIVE = frozenset({"west", "forest", "rest", "test", "interest"})


def is_superlative(word: str) -> bool:
    """Tell whether a word is a superlative, or stands out one in the same way."""
    return _SUPERLATIVE.search(word) is not None and word not in _NOT_SUPERLATIVE


def _positive(superlative: str) -> str:
    """Return the plain form of a superlative.

    Example:
        >>> _positive("hottest")
        'hot'
    """
    plain = superlative.removesuffix("iest").removesuffix("est")
    return plain[:-1] if plain[-2:-1] == plain[-1:] and plain != superlative else stem(plain)


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, frozenset[str]]:
    synonyms: dict[str, frozenset[str]] = {}
    for line in _GROUPS.strip().splitlines():
        group = frozenset(stem(word) for word in line.split())
        for member in group:
            synonyms[member] = synonyms.get(member, frozenset()) | group
    return synonyms


def variants(term: str) -> frozenset[str]:
    """Return a stem with the stems that mean the same.

    Example:
        >>> "largest" in variants("biggest")
        True
    """
    found = _synonyms().get(term)
    if found is None and is_superlative(term):
        found = frozenset({_positive(term)})
    return (found or frozenset()) | {term}


_LISTING = re.compile(
    r"^(?:and )?(?:which|what|name|list)\b(?: are)?(?: all)?(?: the)? (\w+)", re.I
)
_DEFINITION = re.compile(
    r"^(?:what|who)(?: is| are|'s) (?:an? |the )?[\w' -]+\??$|^(?:tell|describe|explain)\b"
    r"|what is known about",
    re.I,
)


@dataclass(frozen=True)
class Question:
    """A question, taken apart.

    Attributes:
        text: As it was asked.
        kind: The kind of its answer.
        terms: The stems that an answer should have, each with its variants.
        implied: Those of the terms that the kind stands for: what fits the kind has them.
        names: Those of the terms that are names.
        superlatives: Those of the terms that are superlatives.
        sort: The stem of the noun behind "which" or "what".
        head: In a question for a list, the stem of what is listed.
        negated: Whether it asks for what has not, or is not.
        definition: Whether it asks what something is.
    """

    text: str
    kind: Kind
    terms: tuple[str, ...]
    implied: frozenset[str]
    names: frozenset[str]
    superlatives: frozenset[str]
    sort: str | None
    head: str | None
    negated: bool
    definition: bool


def read_question(text: str) -> Question:
    """Take a question apart.

    Example:
        >>> question = read_question("How many moons does Mars have?")
        >>> question.kind.name, question.terms
        ('COUNT', ('moon', 'mar'))
    """
    text = asked_in(text)
    ordered = _ORDER.match(text.strip())
    if ordered:
        text = f"What is {ordered[1]}"
    text = _COMPARED.sub("", plainly(text))
    lowered = text.lower()
    kind = Kind.FACT
    implied: tuple[str, ...] = ()
    for pattern, one, stems in _KINDS:
        if re.search(pattern, lowered):
            kind, implied = one, stems
            break
    if kind is Kind.MATERIAL and _sort(text):
        kind, implied = Kind.FACT, ()
    asked = re.search(r"\bhow (\w+)", lowered)
    measure = stem(asked[1]) if asked and asked[1] in _MEASURED else None
    telling = [word for word in all_words(text) if word not in _ONLY_ASKING | _NEGATIONS]
    terms = [term for word in telling for term in words(word) if term != measure]
    if kind is Kind.REASON:
        terms = [term for term in terms if term not in {"caus", "reason"}] or terms
    terms += [term for term in implied if not variants(term) & set(terms)]
    superlatives = frozenset(stem(word) for word in all_words(text) if is_superlative(word))
    if kind is Kind.REASON:
        terms = [_positive(term) if term in superlatives else term for term in terms]
    return Question(
        text,
        kind,
        tuple(dict.fromkeys(terms)),
        frozenset(implied) - (set(words(text)) if kind is not Kind.MATERIAL else set()),
        frozenset(one for name in names_in(text) for one in words(name)),
        superlatives & frozenset(terms),
        _sort(text),
        _head(text) if not superlatives else None,
        bool(_NEGATIONS & set(all_words(text))) or "n't" in lowered,
        kind is Kind.FACT and _DEFINITION.search(text.strip()) is not None,
    )


def asked_in(text: str) -> str:
    """The questions of a text: what is said beside them ("Please be brief.") asks for nothing.

    Of a prompt, whose lines hold context and what was said before, the last one.
    """
    questions = _ASKED.findall(text)
    if "\n" not in text.strip():
        return " ".join(questions) or text
    return _LABEL.sub("", questions[-1]) if questions else text


# "What colour is Mars?" asks for an attribute, "Which planet is the hottest?" for one of a sort.
_ATTRIBUTE = re.compile(
    r"(?:which|what) \w+ (?:is|are|was|were) (?:the )?(?!\w+est\b)[\w'-]+(?: [\w'-]+)?\W*$",
    re.IGNORECASE,
)
_SORT = re.compile(r"(?:(?:in|on|to|from|at|by) )?(?:which|what) (\w+)", re.IGNORECASE)
# "Write a report about Venus." asks what Venus is.
_ORDER = re.compile(
    r"(?:please )?(?:write|tell|give|make|create|draft|explain|describe|summari[sz]e|report|show"
    r"|talk|chat)\b"
    r"[^.?!]*?\b(?:about|on) ([^.?!]+)",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[^.!?\n]+(?:\.\d[^.!?\n]*)*\?")
_LABEL = re.compile(r"^.*:\s+")
_COMPARED = re.compile(r"\bthan (?:the |a |an )?[\w' -]+(?=\?|$)", re.IGNORECASE)
_NEGATIONS = frozenset({"no", "not", "without", "never", "neither", "nor"})


def _sort(text: str) -> str | None:
    match = None if _ATTRIBUTE.match(text.strip()) else _SORT.match(text.strip())
    found = words(match[1]) if match else []
    return found[0] if found else None


def _head(text: str) -> str | None:
    match = _LISTING.match(text.strip())
    last = match[1].split()[-1].lower() if match else ""
    plural = last not in {"does", "has", "was", "is"} and stem(last) != last.removesuffix("e")
    return stem(last) if plural else None
